"""The numbers of README and of the documents, computed from the committed tables."""

import re

import pandas as pd
import pytest

from hardware.cost import memory
from hardware.folder import read_circuit
from shd_helpers.paths import ROOT, runs_dir
from shd_helpers.study import (
    contrasts,
    difference,
    interval,
    read_table,
    speaker_accuracies,
    summarise,
)
from shd_helpers.study.notebooks import next_steps, report
from shd_helpers.sweeps import plan_of
from tests import RESULTS

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}
RESULTS_PAGE = DOCS["results"]
PLAN, UNSEEN = plan_of("final"), "test_unseen_accuracy"
SMALL, FULL = PLAN["primary"]
BENCH = pd.read_csv(RESULTS / "bench.csv")


def new_speakers(table, by="input"):
    """Return the accuracies of the ten speakers on whom no recipe was tuned."""
    return speaker_accuracies(table, by).query("speaker in @PLAN['strangers']")


def points(row, sign=""):
    return f"{row['mean']:{sign}.1f} ± {row.ci95:.1f}"


FINAL = new_speakers("final_hd")
ORIGINAL = new_speakers("original_left_out_hd")
ONE = plan_of("reference")


def judged(speakers):
    """Return what some new speakers get, with the seeds that have left out each of them."""
    rows = speaker_accuracies("reference_hd", "model")
    study = speaker_accuracies("final_hd").query("input == @SMALL").assign(input="study")
    rows = pd.concat([study, rows]).query("speaker in @speakers")
    return rows[rows.groupby(["input", "seed"])[UNSEEN].transform("count") == len(speakers)]


ALL, SIX = judged(range(12)), judged(ONE["strangers"])


def loss(rows, part="unseen", pair=(SMALL, FULL)):
    row = contrasts(rows, [pair], f"test_{part}_accuracy").iloc[0]
    return points(row * [-1, 1, 1, 1, 1, 1])


def acs(model):
    """Return how many times the accumulates of the study's network a model takes."""
    runs, study = read_table("reference_hd").query("model == @model"), read_table("final_hd")
    return runs.effective_acs.mean() / study[study.input == SMALL].effective_acs.mean()


def being_new(name):
    rows = FINAL[FINAL.input == name]
    row = difference(rows.assign(**{UNSEEN: rows.test_seen_accuracy}), rows, UNSEEN, "speaker")
    return f"{row.mean:.0f} ± {row.ci95:.0f}"


def test_the_answer():
    means = summarise(FINAL, "input", over="speaker").test_unseen
    costs = read_table("final_hd").groupby("input")[["parameters", "effective_acs"]].mean()
    saved = 100 * (1 - costs.loc[SMALL] / costs.loc[FULL])
    german = FINAL[FINAL.seed.isin(FINAL.seed[FINAL.input == PLAN["replication"][0]])]
    for sentence in (
        f"Downsizing costs a new speaker {loss(FINAL)} percent points: {means[SMALL]:.1f} % of the "
        f"words are classified correctly on 183 x 333 instead of {means[FULL]:.1f} % on 700",
        f"speakers that were trained on lose {loss(FINAL, 'seen')} points",
        f"{saved.parameters:.0f} % of the parameters and {saved.effective_acs:.0f} % of the acc",
        f"{being_new(FULL)} points on 700 x 1000, and {being_new(SMALL)} on 183 x 333",
        f"{loss(german, pair=PLAN['replication'])} points (five seeds)",
    ):
        assert sentence in RESULTS_PAGE, sentence


def test_the_first_screen():
    means = summarise(FINAL, "input", over="speaker").test_unseen
    six = summarise(SIX, "input", over="speaker").test_unseen
    ahead = points(contrasts(SIX, [("small", "study")], UNSEEN).iloc[0], "+")
    parameters = read_table("reference_hd").groupby("model").parameters.mean()
    board = pd.read_csv(RESULTS / "rtl.csv").query("folder == 'circuit' and device == 'UP5K'")
    bits = pd.read_csv(RESULTS / "circuit_bits_small.csv").query("speaker in @ONE['strangers']")
    stored = memory(read_circuit(RESULTS / "circuit")).bytes.sum() / 1000
    whole = read_table("final_hd").query("input == @SMALL").reset_index()
    cells = board.value[board.quantity.str.startswith("logic cells")].item()
    for part in (
        f"costs {loss(FINAL)} percent points of a new speaker's words, of which {means[SMALL]:.1f}",
        f"whom it was trained on lose {loss(FINAL, 'seen')}.",
        f"gets {six['small']:.1f} % instead of {six['study']:.1f} (the six of them who chose "
        f"nothing; three seeds; {ahead} points)",
        f"with {parameters['small']:,.0f} parameters instead of {whole.parameters[0]:,.0f}",
        f"side by side get {six['reference']:.1f} %",
        f"5- and 8-bit weights get {100 * bits.accuracy.mean():.1f} % and hold {stored:.1f} kB",
        f"take {cells:,.0f} logic cells and all block RAMs of a small FPGA (iCE40 UP5K)",
    ):
        assert part in README, part


def test_one_network_for_everybodys_voice():
    six, twelve = (summarise(rows, "input", over="speaker").test_unseen for rows in (SIX, ALL))
    found = contrasts(SIX, [*ONE["primary"], *ONE["secondary"]], UNSEEN)
    planned = contrasts(SIX, ONE["primary"], UNSEEN).p_holm
    larger = found.loc["small", "small, 700 x 1000"]
    first = 100 * SIX[SIX.seed == 0].groupby("input")[UNSEEN].mean()
    pairs = {"model": "input", "validation_speakers": "speaker"}
    taken = read_table("ablations_hd").rename(columns=pairs), [("one member", "no delays")]
    worst = 100 * ALL.groupby(["input", "speaker"])[UNSEEN].mean().unstack(0).min()
    tuned = FINAL[(FINAL.input == SMALL) & FINAL.seed.isin(ORIGINAL.seed)]
    over = points(pd.Series(difference(tuned, ORIGINAL, UNSEEN, "speaker")._asdict()))
    for sentence in (
        f"{over} points over the original (two seeds, not planned)",
        f"which gets {six['study']:.1f} %: {points(found.loc['small', 'study'], '+')} points, *und",
        f"It gets {six['reference']:.1f} % of a new speaker's words, the study's network "
        f"{six['study']:.1f} %: {points(found.loc['reference', 'study'], '+')} points",
        f"nothing (adjusted p {planned['reference', 'study']:.3f}); over all twelve it gets "
        f"{twelve['reference']:.1f} %, at worst {worst['reference']:.0f}",
        f"without spikes is {points(found.loc['reference', 'no spikes'], '+')} points, to the "
        f"small one {points(found.loc['reference', 'small'], '+')}: both undecided",
        f"*small* network gets {six['small']:.1f} % with {acs('small'):.1f} times the accumulates",
        f"700 x 1000 is {points(larger, '+')} points, *undecided*; a loss above "
        f"{larger.excluded_loss:.1f} points is excluded",
        f"the first gave {first['small'] - first['small, 700 x 1000']:+.1f}.\n",
        f"delays {points(contrasts(*taken, 'validation_accuracy').iloc[0])} points; shared",
    ):
        assert sentence in RESULTS_PAGE, sentence


def test_the_table():
    of = {"macs": "million products", "effective_acs": "million"}
    for label, rows, name, table, cost in (
        ("700 x 1000", FINAL, FULL, "final", "effective_acs"),
        ("183 x 333", FINAL, SMALL, "final", "effective_acs"),
        ("small", SIX, "small", "reference", "effective_acs"),
        ("study", SIX, "study", "final", "effective_acs"),
        ("small, on 700 x 1000", SIX, "small, 700 x 1000", "reference", "effective_acs"),
        ("reference", SIX, "reference", "reference", "effective_acs"),
        ("without spikes", SIX, "no spikes", "reference", "macs"),
    ):
        row, runs = summarise(rows, "input", over="speaker").loc[name], read_table(f"{table}_hd")
        of_table = {"study": SMALL}.get(name, name)
        runs = runs[runs["model" if "model" in runs else "input"] == of_table]
        percents = [
            f"{row[p]:.1f} ± {row[f'{p}_ci95']:.1f} %" for p in ("test_seen", "test_unseen")
        ]
        costs = f"{runs.parameters.mean():,.0f}", f"{runs[cost].mean() / 1e6:.2f} {of[cost]}"
        assert f"{label} | {' | '.join((*percents, *costs))} |\n" in RESULTS_PAGE, label


def test_the_benchmark():
    models = summarise(read_table("benchmark_hd"), "model")
    for name in models.index.intersection(["reference", "small"]):
        assert f"{models.test[name]:.1f} ± {models.test_ci95[name]:.1f} %" in RESULTS_PAGE, name
        assert f"{models.parameters[name]:,.0f}" in RESULTS_PAGE
    papers = pd.read_csv(RESULTS / "published.csv").dropna(subset="chosen_on")
    on_test = papers.chosen_on == "test file"
    honest, best = papers.accuracy[~on_test], sorted(papers.accuracy[on_test])
    assert f"Papers: {honest.min()} to {honest.max()} % chosen on words or speakers" in RESULTS_PAGE
    assert f"{best[0]} and {best[1]} % on the test file." in RESULTS_PAGE


def test_other_microphones():
    words = pd.read_csv(RESULTS / "other_microphones.csv")
    words["right"] = 100.0 * (words.label == words.predicted)
    right = words.groupby("network").right.mean()
    heard = f"hears {right['reference']:.0f} %, the small one {right['small']:.0f} %"
    assert heard in RESULTS_PAGE
    study = words[words.network.str.startswith("study_")]
    by = study.groupby(["speaker", "network"]).right.mean().unstack()
    assert "{:.0f} ± {:.0f} %".format(*interval(by.to_numpy())) in RESULTS_PAGE


def test_not_sure_instead_of_a_wrong_answer():
    sure = pd.read_csv(RESULTS / "sure.csv", index_col="speaker")
    found = pd.read_csv(RESULTS / "conditions.csv").query("condition == 'German digits'")
    german = (found.confidence >= found.speaker.map(sure.sure_from)).mean()
    of_all, right = 100 * sure.answered.mean(), 100 * sure.right.mean()
    for sentence in (
        f"the reference answers {of_all:.0f} % of a new speaker's; {right:.1f} % of the answers",
        f"Of German digits it still answers {100 * german:.0f} %, for",
    ):
        assert sentence in RESULTS_PAGE, sentence


def test_what_make_study_prints(monkeypatch):
    """The default run is the first of the sweep `chosen`."""
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("SHD_RUNS_DIR", raising=False)
    monkeypatch.delenv("SHD_SMOKE", raising=False)
    chosen = read_table("chosen_spoken")
    five, run = 100 * chosen.test_accuracy, chosen.query("seed == 0").iloc[0]
    assert f"as between seeds ({five.min():.1f} to {five.max():.1f} % of all test" in README
    parts = ("train", "validation", "test", "test_seen", "test_unseen")
    scores = {part: run[f"{part}_accuracy"] for part in parts}
    printed = report(scores, "spoken", "english", 0)
    printed += "\n" + next_steps(runs_dir() / "spoken")
    assert f"\n```\n{printed}\n```\n" in README


def test_how_to_begin():
    """A visitor has no copy, and wants to know the size before the commands."""
    section = README[README.index("## Two commands") :]
    section = section[: section.index("\n## ", 1)]
    before, commands, *_ = section.split("```")
    assert commands.splitlines()[1].startswith("git clone ")
    assert commands.splitlines()[2].startswith("cd ")
    assert re.search(r"\d GB", before)


def test_how_far_another_processor_is():
    (row,) = read_table("networks_hd").query("model == 'study' and seed == 0").itertuples()
    page = (ROOT / "sweeps" / "README.md").read_text()
    assert f"seed 0 gets {100 * row.test_accuracy:.1f} % of the official test words" in page


def test_speed():
    fused = BENCH[BENCH.variant == "fused"].set_index(["benchmark", "batch"]).ratio
    for batch in (128, 32, 8):
        assert f"\n| {batch} | 1/{fused['training step', batch]:.0f} |" in DOCS["speed"]
    rows = re.findall(r"^\| ([a-z ]+) \| 1/(\d+) \| 1/(\d+) \|$", DOCS["speed"], re.M)
    for name, *shares in rows:
        assert shares == [f"{fused[f'training step, {name}', b]:.0f}" for b in (128, 32)], name


@pytest.mark.parametrize("name", ["README", *DOCS])
def test_no_page_names_a_machine(name):
    text = README if name == "README" else DOCS[name]
    assert not re.search(r"(?<![\w.:/])/(home|root|Users|work)/", text)


def test_readme_is_short():
    words = [word for word in README.split() if re.search(r"\w", word)]
    assert len(words) <= 850
