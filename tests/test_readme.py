"""The numbers of README and of the documents, computed from the committed tables."""

import re
import statistics

import nbformat
import numpy as np
import pandas as pd
import pytest

from shd_corpus.class_names import ENGLISH
from shd_helpers.paths import OF_A_RUN, ROOT, runs_dir
from shd_helpers.study import read_table
from shd_helpers.study.notebooks import next_steps, report
from tests import RESULTS
from tests.builders.documentation import blocks_of

README = (ROOT / "README.md").read_text(encoding="utf-8")
EVIDENCE = (ROOT / "evidence" / "README.md").read_text(encoding="utf-8")
DOCS = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}
BEST_SEEN = pd.read_csv(RESULTS / "looks_best.csv").set_index("judged_by")
LOOKS = pd.read_csv(RESULTS / "looks.csv")
BENCH = pd.read_csv(RESULTS / "bench.csv")


def test_earlier_runs_on_the_six_speakers_are_counted():
    looks = LOOKS
    is_earlier = looks.first_results < "2026-11-28"
    is_by_speakers = looks.judged_by == "held-out speakers"
    sweeps = looks[is_earlier & is_by_speakers & (looks.kind == "run of a sweep")]
    assert len(sweeps) == 10
    said = f"every speaker. Half of their {sweeps.looks.sum()} runs held out one of the six."
    assert f"Ten sweeps had tested networks on {said}" in EVIDENCE


def test_what_an_earlier_network_reached_on_the_official_split():
    best = f"{BEST_SEEN.best_accuracy['official test file']:.1f} %"
    assert f"which was removed, reached {best} (" in DOCS["compare"]
    assert f"and {best} on the official split" in DOCS["tried"]
    assert f"128 adaptive neurons had reached {best} on the official test file" in EVIDENCE
    (majorities,) = [name for name in LOOKS.name if name.startswith("majorities")]
    assert "adapting network 94.3 % (" in majorities
    assert "a majority vote of five 94.3 %" in EVIDENCE


def test_scores_of_the_same_utterances_are_those_of_the_runs():
    """The two programs read the reduced test file apart from each other."""
    runs = read_table("ten_ms_hd_10ms").set_index(["model", "seed"]).test_accuracy
    again = pd.read_csv(RESULTS / "ten_ms.csv").query("test == 'hd'")
    again = again.set_index(["model", "seed"]).accuracy
    assert len(again) == 15
    assert again.sort_index().to_numpy() == pytest.approx(runs.sort_index().to_numpy(), abs=1e-3)


def selected_on(said):
    """Return the row of docs/compare.md to which a published result belongs."""
    if pd.isna(said):
        return "not known"
    if said == "test file":
        return "the test file"
    if said == "nothing":
        epochs = pd.read_csv(RESULTS / "se_adlif.csv").epochs.max()
        return (
            f"nothing ([trained by us](../evidence/se_adlif.yaml) for {epochs} of 300 epochs, "
            "tested on held-out speakers)"
        )
    if said == "held out from training":  # of utterances or of speakers
        return f"{said}, not known how"
    what = "speakers" if "speakers" in said else "utterances"
    return f"{what} held out from training"


def test_published_results_by_what_they_were_selected_on():
    papers = pd.read_csv(RESULTS / "published.csv")
    groups = papers.groupby(papers.selected_on.map(selected_on))
    assert len(groups) == 6
    for name, group in groups:
        second_hand = group.verified.isin(["second source", "not verified"]).sum()
        lowest, highest = group.accuracy.min(), group.accuracy.max()
        accuracy = f"{highest:.1f} %" if len(group) == 1 else f"{lowest:.1f} to {highest:.1f} %"
        row = f"| {name} | {len(group)} | {accuracy} | {second_hand} |"
        assert f"\n{row}\n" in DOCS["compare"], row
    n_on_test_file = (papers.selected_on == "test file").sum()
    page = (ROOT / "packages" / "judge" / "README.md").read_text(encoding="utf-8")
    n_published = (papers.verified != "this study").sum()
    assert (
        f"Of the {n_published} published results that we list, {n_on_test_file} were selected on "
        "the official test file"
    ) in page


ALLOWED = {  # of a column of published.csv; "" is not known
    "spread_is": {"deviation", "standard error", "interval", ""},
    "selected_on": {
        "held-out speakers",
        "random utterances held out",
        "held out from training",
        "test file",
        "nothing",
        "",
    },
    "verified": {"paper", "public code", "second source", "not verified", "this study"},
}


def test_published_results_have_the_described_values():
    papers = pd.read_csv(RESULTS / "published.csv").fillna({column: "" for column in ALLOWED})
    for column, allowed in ALLOWED.items():
        assert set(papers[column]) == allowed
    assert papers.network.is_unique and papers.note.notna().all()
    assert papers.source.str.fullmatch(
        r"https://(doi\.org/10\.\d+/\S+|arxiv\.org/abs/[\d.]+)"
    ).all()
    assert papers.code.dropna().str.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{7}").all()
    assert set(papers.same_network_as.dropna()) <= set(papers.network)
    assert papers.accuracy.between(0, 100).all() and papers.spread.dropna().between(0, 10).all()
    assert papers.spread[papers.spread_is != ""].notna().all()
    assert (papers.parameters.dropna() > 1000).all()


# The rows of the table of accepted answers: sound and utterances of the folds.


def test_how_long_the_committed_runs_took():
    """The page rounds, and the next sweep adds some hours."""
    tables = [pd.read_csv(path, low_memory=False) for path in RESULTS.glob("*_hd.csv")]
    # Some runs are rows of two sweeps, because the second one reused them.
    runs = pd.concat([table[["hash", "total_s"]] for table in tables]).drop_duplicates("hash")
    run_times = runs.total_s
    page = (ROOT / "sweeps" / "README.md").read_text(encoding="utf-8")
    hours, minutes = re.search(
        r"took about (\d+) hours .* longest one (\d+) minutes", page
    ).groups()
    assert run_times.sum() / 3600 == pytest.approx(int(hours), rel=0.05)
    assert run_times.max() / 60 == pytest.approx(int(minutes), abs=1)


def accuracies_of_notebook_3():
    """Return the accuracies, as fractions, that the committed notebook shows in its last table."""
    cells = nbformat.read(OF_A_RUN[2], as_version=4).cells
    (cell,) = [cell for cell in cells if cell.source.endswith("scored.table()")]
    table = cell.outputs[0].data["text/html"]
    names = re.findall(r'class="col_heading[^>]*>([^<]+)<', table)
    percent = re.findall(r'class="data[^>]*>([\d.]+)%<', table)
    return {name: float(value) / 100 for name, value in zip(names, percent, strict=True)}


def quantities(text):
    """Return the numbers of a text: a shape, and an estimate with its interval, count as one."""
    without_targets = re.sub(r"\]\([^)]*\)", "]", text)
    return re.findall(r"\d[\d.,]*(?: \w+)? x \d+|\d[\d.,]* ± [\d.,]+|\d[\d.,]*", without_targets)


def test_readme_is_short():
    assert len(README.split()) <= 700
    before_the_first_command, *_ = README.split("\n```\n")
    assert len(before_the_first_command.split()) <= 500
    assert len(quantities(before_the_first_command)) <= 6


def test_the_python_of_readme_runs(monkeypatch, capsys):
    (block,) = (each.code for each in blocks_of(ROOT / "README.md") if each.language == "python")
    assert len([line for line in block.splitlines() if line]) <= 10
    monkeypatch.chdir(ROOT)
    exec(block, {})
    printed = capsys.readouterr().out
    answers = re.findall(r"flac (\w+) accepted: True", printed)
    assert answers == ["nine", "three", "three"]
    assert printed.endswith("steps, utterances, units: (333, 1, 183)\n")


def test_what_make_study_prints(monkeypatch):
    """The default run is the first of the sweep `chosen`, and that of notebook 3."""
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("SHD_RUNS_DIR", raising=False)
    chosen = read_table("chosen_digits")
    five = 100 * chosen.test_accuracy
    run = chosen.query("seed == 0").iloc[0]
    assert f"from {five.min():.1f} to {five.max():.1f} % of all test utterances" in DOCS["tests"]
    shown = accuracies_of_notebook_3()
    unseen = [
        shown[f"unseen speaker {each}"] for each in (4, 8, 10, 11)
    ]  # with 100 utterances each
    assert np.mean(unseen) == pytest.approx(run.test_unseen_accuracy)
    for part in ("train", "validation", "test_seen"):
        assert shown[part] == pytest.approx(run[f"{part}_accuracy"], abs=5e-4)
    printed = report(shown, "digits", ENGLISH, "english", 0)
    printed += "\n" + next_steps(runs_dir() / "digits")
    assert f"\n```\n{printed}\n```\n" in README


def test_how_far_another_processor_is():
    (row,) = read_table("networks_hd").query("model == 'study' and seed == 0").itertuples()
    page = (ROOT / "sweeps" / "README.md").read_text()
    assert (
        f"with seed 0 classifies {100 * row.test_accuracy:.1f} % of the official test utt" in page
    )


def test_speed():
    compiled = BENCH[BENCH.variant == "compiled"].set_index(["benchmark", "batch"]).ratio
    shares = " | ".join(f"1/{compiled['training step', batch]:.0f}" for batch in (128, 32, 8))
    assert f"\n| {shares} |\n" in DOCS["speed"]
    floor = BENCH[BENCH.benchmark == "floor"].set_index("variant").ratio
    assert f"takes 1/{floor['bytes that must move']:.0f} of its time" in DOCS["speed"]
    assert f"its arithmetic 1/{floor.arithmetic:.1f} at" in DOCS["speed"]
    rows = re.findall(r"^\| ([a-z ]+) \| 1/(\d+) \| 1/(\d+) \|$", DOCS["speed"], re.M)
    assert len(rows) == 2
    for name, *shares in rows:
        assert shares == [f"{compiled[f'training step, {name}', b]:.0f}" for b in (128, 32)], name


WAYS = {
    "`loss_and_gradients`": ("own module", "loss_and_gradients"),
    "any loss, lists of events": ("own module", "any loss"),
    "any loss, dense input": ("own module", "any loss, dense input"),
    "`scan`": ("scan", "scan"),
    "`loss_and_gradients`, recurrent": ("own module, recurrent", "loss_and_gradients"),
    "any loss, lists of events, recurrent": ("own module, recurrent", "any loss"),
    "any loss, dense input, recurrent": ("own module, recurrent", "any loss, dense input"),
    "`scan`, recurrent": ("scan, recurrent", "scan"),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_speed_of_each_way_to_use_the_engine(way):
    benchmark, variant = WAYS[way]
    rows = BENCH[(BENCH.benchmark == f"training step, {benchmark}") & (BENCH.variant == variant)]
    ratios = [rows.set_index("batch").ratio[batch] for batch in (128, 32, 8)]
    cells = [f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.1f}" for ratio in ratios]
    page = (ROOT / "packages" / "engine" / "README.md").read_text(encoding="utf-8")
    assert f"\n| {way} | {' | '.join(cells)} |\n" in page


def test_how_fast_scan_could_be_with_the_products_alone():
    rows = BENCH[(BENCH.benchmark == "training step, scan") & (BENCH.variant == "products alone")]
    ratios = rows.set_index("batch").ratio
    page = (ROOT / "packages" / "engine" / "README.md").read_text(encoding="utf-8")
    said = f"which alone are {ratios[128]:.1f}, {ratios[32]:.1f} and {ratios[8]:.0f} times as fast"
    assert said in page


LIBRARIES = {
    "ours": "compiled",
    "snnTorch": "snntorch loop",
    "snnTorch, products outside the loop": "snntorch loop, products hoisted",
    "SpikingJelly": "SpikingJelly, multi-step",
    "Norse": "Norse",
    "JAX": "JAX scan, jit",
}


@pytest.mark.parametrize("benchmark", ["training step", "inference"])
def test_speed_lists_all_libraries(benchmark):
    rows = BENCH[BENCH.benchmark == benchmark].set_index(["variant", "batch"]).median_s
    measured = {variant for variant, _ in rows.dropna().index}
    assert measured == {*LIBRARIES.values()}
    for name, variant in LIBRARIES.items():
        times = [1000 * rows[variant, batch] for batch in (128, 32, 8)]
        cells = [f"{time:.0f}" if time >= 100 else f"{time:.1f}" for time in times]
        assert f"\n| {name} | {' | '.join(cells)} |\n" in DOCS["speed"], name


@pytest.mark.parametrize(
    ("what", "benchmark", "variant", "decimals"),
    [
        ("an epoch of the study's network on one core, 3610 utterances", "epoch", "training", 1),
        ("augmentation of these utterances in one epoch", "epoch", "augmentation", 2),
        (
            "downsampling all 8156 training utterances of `hd`",
            "data",
            "downsizing to 183 x 333",
            1,
        ),
        ("making `spoken`, 1360 utterances", "data", "making spoken, English", 0),
        (
            "12 runs of 30 epochs, each with one speaker held out, by two processes",
            "speakers left out",
            "2 workers",
            0,
        ),
        (
            "`make study` for the first time",
            "make study",
            "first: no data, nothing compiled",
            0,
        ),
        ("`make study` again", "make study", "repeated", 0),
    ],
)
def test_times_of_other_parts(what, benchmark, variant, decimals):
    (time,) = BENCH.query("benchmark == @benchmark and variant == @variant").median_s
    assert f"\n| {what} | {time:.{decimals}f} s |\n" in DOCS["speed"]


def test_the_cochlea_is_as_fast_as_its_page_says():
    (ratio,) = BENCH.query("benchmark == 'cochlea' and variant == 'encode' and batch == 1").ratio
    assert f"{ratio:.0f} times as fast as the reference implementation" in DOCS["cochlea"]


def test_the_row_of_the_network_that_was_trained_here():
    papers = pd.read_csv(RESULTS / "published.csv")
    (row,) = papers[papers.verified == "this study"].itertuples()
    counts = pd.read_csv(RESULTS / "se_adlif.csv")
    last = counts[counts.epochs == counts.epochs.max()]
    shares = [100 * right / n for right, n in zip(last.right, last.utterances, strict=True)]
    assert len(shares) == 10 and last.utterances.sum() == 8_156
    assert row.accuracy == pytest.approx(statistics.mean(shares), abs=0.05)
    # Student's t of nine degrees of freedom
    half = 2.262157 * statistics.stdev(shares) / 10**0.5
    assert row.spread == pytest.approx(half, abs=0.05)
    page = (ROOT / "packages" / "engine" / "README.md").read_text(encoding="utf-8")
    assert f"Trained for {last.epochs.iloc[0]} of its 300 epochs" in page
    assert f"{row.accuracy:.1f} ± {row.spread:.1f} % of the utterances of held-out speakers" in page
    (published,) = papers[papers.network == row.same_network_as].itertuples()
    assert published.selected_on == "test file"
    assert f"Published are {published.accuracy:.1f} % of the official test file" in page
