"""The numbers of README and of the documents, computed from the committed tables."""

import re

import nbformat
import numpy as np
import pandas as pd
import pytest

from evidence.accepted import on_other_corpus
from evidence.networks_in_use import ENTRIES
from shd_circuit.cost import memory
from shd_circuit.folder import read_circuit
from shd_corpus.class_names import ENGLISH
from shd_helpers.paths import OF_A_RUN, ROOT, runs_dir
from shd_helpers.study import (
    load_pretrained,
    read_table,
    speaker_accuracies,
    summarize,
)
from shd_helpers.study.notebooks import next_steps, report
from shd_helpers.study.tables import plan_of
from shd_judge import contrasts, difference, interval, weighted_contrasts
from tests import RESULTS
from tests.builders.documentation import blocks_of

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}
RESULTS_PAGE = DOCS["results"]
PLAN = plan_of("final")
UNSEEN = "test_unseen_accuracy"
SMALL, FULL = PLAN["primary"]
BEST_SEEN = pd.read_csv(RESULTS / "looks_best.csv").set_index("judged_by")
BENCH = pd.read_csv(RESULTS / "bench.csv")


def new_speakers(table, by="input"):
    """Return the accuracies of the ten speakers on whom no recipe was tuned."""
    return speaker_accuracies(table, by).query("speaker in @PLAN['unseen_speakers']")


def points(row, sign=""):
    """Return a difference with its adjusted interval, to which its verdict belongs."""
    return f"{row['mean']:{sign}.1f} ± {row.ci_holm:.1f}"


FINAL = new_speakers("final_hd")
ORIGINAL = new_speakers("original_leave_one_speaker_out_hd")
ONE = plan_of("reference")


def judged(speakers):
    """Return the accuracies of some unseen speakers, with the seeds that all networks have."""
    others = speaker_accuracies("reference_hd", "model")
    names = {SMALL: "study", FULL: "study, 700 x 1000"}
    study = speaker_accuracies("final_hd").query("input in @names")
    rows = pd.concat([study.assign(input=study.input.map(names)), others])
    common = set.intersection(*(set(of) for _, of in rows.groupby("input").seed))
    rows = rows[rows.speaker.isin(speakers) & rows.seed.isin(common)]
    assert (rows.groupby(["input", "seed"]).size() == len(speakers)).all()
    return rows


ALL = judged(range(12))
SIX = judged(ONE["unseen_speakers"])
PLANNED_SEEDS = [0, 1]  # of German, and of the small network on 700 x 1000; the others were added
ACCEPTED = pd.read_csv(RESULTS / "accepted.csv")


def test_the_block_of_a_cited_number_computes_it(capsys):
    page = RESULTS / "README.md"
    (block,) = (each.code for each in blocks_of(page) if each.language == "python")
    exec(block, {})
    loss, interval_95 = re.search(
        r"of (\d\.\d+) ± (\d\.\d+) percentage points before", page.read_text(encoding="utf-8")
    ).groups()
    assert capsys.readouterr().out.split()[-2:] == [f"-{loss}", interval_95]


def worst_of(rows, name):
    """Return the lowest accuracy of a speaker, and who it is, as the tables print it."""
    by_speaker = 100 * rows[rows.input == name].groupby("speaker")[UNSEEN].mean()
    return f"{by_speaker.min():.0f} % (speaker {by_speaker.idxmin()})"


def loss_of(rows, pair):
    """Return rows whose accuracy is what the first of a pair of inputs loses."""
    keys = ["speaker", "seed"]
    small, full = (rows[rows.input == name].set_index(keys)[UNSEEN] for name in pair)
    return (full - small).reset_index()


def loss(rows, part="unseen", pair=(SMALL, FULL)):
    row = contrasts(rows, [pair], f"test_{part}_accuracy").iloc[0]
    row["mean"] = -row["mean"]
    return points(row)


def acs(model):
    """Return how many times the accumulates of the study's network a model takes."""
    runs = read_table("reference_hd").query("model == @model")
    study = read_table("final_hd")
    return runs.effective_acs.mean() / study[study.input == SMALL].effective_acs.mean()


def being_new(name):
    rows = FINAL[FINAL.input == name]
    row = difference(rows.assign(**{UNSEEN: rows.test_seen_accuracy}), rows, UNSEEN, "speaker")
    return f"{row.mean:.0f} ± {row.ci95:.0f}"


def test_the_answer():
    means = summarize(FINAL, "input", over="speaker").test_unseen
    costs = read_table("final_hd").groupby("input")[["parameters", "effective_acs"]].mean()
    saved = 100 * (1 - costs.loc[SMALL] / costs.loc[FULL])
    german = FINAL[FINAL.seed.isin(FINAL.seed[FINAL.input == PLAN["replication"][0]])]
    planned = FINAL[FINAL.seed.isin(PLANNED_SEEDS)]
    best = contrasts(SIX, ONE["primary"], UNSEEN).loc["reference", "study"]
    assert best.verdict == "shown"
    first = contrasts(planned, [PLAN["replication"]], UNSEEN).iloc[0]
    assert first.verdict == "undecided"
    assert contrasts(german, [PLAN["replication"]], UNSEEN).verdict.tolist() == ["shown"]
    for sentence in (
        f"unseen speakers drops by {loss(FINAL)} percentage points, from {means[FULL]:.1f} % on "
        f"700 x 1000 to {means[SMALL]:.1f} % on 183 x 333 (ten speakers, five seeds).",
        f"For seen speakers the loss is {loss(FINAL, 'seen')} percentage points, *undecided*.",
        f"{saved.parameters:.0f} % fewer parameters and {saved.effective_acs:.0f} % fewer acc",
        f"{being_new(FULL)} percentage points on 700 x 1000, and {being_new(SMALL)} percentage "
        "points on 183 x 333 (ten speakers, five seeds). These comparisons were not planned, so",
        f"the *reference* below is {points(best)} percentage points more accurate for six unseen",
        f"loss is {loss(german, pair=PLAN['replication'])} percentage points with five seeds (po",
        f"these it is {loss(planned, pair=PLAN['replication'])} percentage points, *undecided*",
    ):
        assert sentence in RESULTS_PAGE, sentence


def test_the_first_screen():
    cells = pd.read_csv(RESULTS / "people_cells.csv").query("question == 'cost'").set_index("cell")
    rows = pd.read_csv(RESULTS / "people_contrasts.csv").set_index(["first", "second"])
    primary = rows.loc["183 x 333, threshold 2", FULL]
    control = rows.loc["183 x 333, threshold 2", "183 x 333, thinned"]
    unseen = contrasts(FINAL, [(SMALL, FULL)], UNSEEN).iloc[0]
    assert primary.verdict == control.verdict == unseen.verdict == "shown"
    full, small = cells.loc[FULL], cells.loc["183 x 333, threshold 2"]
    assert full.networks == small.networks == 15
    assert small.input_events / full.input_events == pytest.approx(1 / 4, abs=0.01)
    for part in (
        f"accuracy rises by {primary.difference:.1f} ± {primary.ci95_adjusted:.1f} percentage "
        "points ([shown](docs/glossary.md#shown-and-undecided)), from "
        f"{100 * full.accuracy:.1f} to {100 * small.accuracy:.1f} %. We asked {full.people:,.0f} "
        "people of",
        "The smaller input has a quarter of the events,",
        f"accuracy is {control.difference:.1f} ± {control.ci95_adjusted:.1f} percentage points "
        "lower (*shown*).",
        f"a loss of {loss(FINAL)} percentage points (*shown*, ten speakers).",
    ):
        assert part in README, part


def test_the_size_of_the_later_networks_effect():
    nested = pd.read_csv(RESULTS / "nested_contrasts.csv").set_index("against").loc["study"]
    assert nested.verdict == small_by_the_later_method().verdict == "shown"
    primary = contrasts(SIX, ONE["primary"], UNSEEN)
    assert primary.loc["small", "small, 700 x 1000"].verdict == "undecided"


def events(of, against):
    """Return how many times the events of another input an input of `final` has."""
    means = read_table("final_hd").groupby("input").input_events.mean()
    return means[of] / means[against]


def study_accumulates():
    return read_table("final_hd").query("input == @SMALL").effective_acs.mean()


def adaptive_accumulates():
    """Return those of the ensemble of three networks, English."""
    return 3 * read_table("judged_speakers_hd").effective_acs.mean()


def small_by_the_later_method():
    """Compare *small* with *study* as the nested accuracies are: over ten speakers only."""
    ten = ALL[~ALL.speaker.isin([4, 5])]
    means = ten.groupby(["input", "speaker"])[UNSEEN].mean().reset_index().assign(seed=0)
    return contrasts(means, [("small", "study")], UNSEEN).iloc[0]


def test_what_the_better_networks_cost():
    ratio = adaptive_accumulates() / study_accumulates()
    by_speaker = 100 * ALL.groupby(["speaker", "input"])[UNSEEN].mean().unstack()
    ahead = by_speaker.small - by_speaker.study
    assert len(ahead) == 12
    small = contrasts(SIX, ONE["secondary"], UNSEEN).loc["small", "study"]
    for sentence in (
        f"needs {adaptive_accumulates() / 1e6:.1f} million accumulates, {ratio:.0f} times those of",
        "It reads 2.7 times the events of the study's network and needs "
        f"{acs('small'):.1f} times its accumulates.",
        "It is more accurate for each of the twelve speakers, by "
        f"{ahead.min():.0f} to {ahead.max():.0f} percentage points.",
        f"the difference is {points(small_by_the_later_method(), '+')} percentage points (post hoc",
        f"there the adjusted interval is ± {small.ci_holm:.1f}, because",
        f"an input with 2.7 times the events and for {acs('reference'):.0f} times the accumulates.",
    ):
        assert sentence in RESULTS_PAGE, sentence
    assert f"{events('183 x 333, threshold 1', SMALL):.1f}" == "2.7"


def test_the_first_screen_has_few_quantities():
    """A shape, and an estimate with its interval, count as one."""
    first = README[: README.index("[![")]
    without_targets = re.sub(r"\]\([^)]*\)", "]", first)
    quantities = re.findall(
        r"\d[\d.,]*(?: \w+)? x \d+|\d[\d.,]* ± [\d.,]+|\d[\d.,]*", without_targets
    )
    assert len(quantities) <= 12


def test_the_circuit():
    every = pd.read_csv(RESULTS / "circuit_bits_small.csv").query("speaker >= 0")
    every["loss"] = every.float_accuracy - every.accuracy
    six = every.query("speaker in @ONE['unseen_speakers']")

    def told(rows, column, alpha=0.05):
        by_seed = 100 * rows.pivot(index="speaker", columns="seed", values=column)
        return interval(by_seed.to_numpy(), alpha)

    accuracy, loss_of_twelve = told(six, "accuracy"), told(every, "loss")
    loss = told(six, "loss", 0.05 / 2)  # of notebook 8's two comparisons, the lower p
    assert loss[1] > abs(loss[0]) and loss_of_twelve[1] > abs(loss_of_twelve[0])
    board = pd.read_csv(RESULTS / "rtl.csv").query("folder == 'circuit' and device == 'UP5K'")
    cells = board.value[board.quantity.str.startswith("logic cells")].item()
    circuit = memory(read_circuit(RESULTS / "circuit")).bytes.sum() / 1000
    for part in (
        "held out, reach {:.1f} ± {:.1f} % with 5- and 8-bit weights (six".format(*accuracy),
        "Rounding to these bits costs them {:.1f} ± {:.1f} percentage points".format(*loss),
        "all twelve speakers it costs {:.1f} ± {:.1f}, *undecided*".format(*loss_of_twelve),
        f"need {circuit:.1f} kB, and {lists_and_all():.1f} kB with the lists of its core",
        f"takes {cells:,.0f} logic cells and all block RAMs of a small FPGA (iCE40 UP5K)",
    ):
        assert part in RESULTS_PAGE, part


def lists_and_all():
    """Return the kilobytes of the exported circuit with its core's lists, from its README."""
    page = (RESULTS / "circuit" / "README.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"^\| all, with the core's lists \| \| \| ([\d,]+) \|$", page, re.M)
    return int(found.replace(",", "")) / 1000


THRESHOLDS = ("threshold 1", "threshold 2")


def test_where_the_loss_comes_from():
    plan = plan_of("causes")
    causes = read_table("causes_hd").rename(columns={"held_out": "speaker"})
    found = weighted_contrasts(causes, plan["contrasts"], UNSEEN)
    assert set(found.verdict) == {"undecided"}
    assert len(found) == 5
    assert "the plan of `causes` has five contrasts, and none is shown" in RESULTS_PAGE
    of_threshold = found.loc["threshold 2 against threshold 1"]
    assert (
        f"Threshold 2 against 1 comes closest: it changes accuracy by {points(of_threshold)} "
        f"percentage points (adjusted p {of_threshold.p_holm:.2f}; ± {of_threshold.ci95:.1f} "
        "without the adjustment)."
    ) in RESULTS_PAGE
    for name, row in found.iterrows():
        cells = f"{points(row, '+')} | {row.p_holm:.2f} | *undecided*"
        assert f"\n| {name} | {cells} |\n" in RESULTS_PAGE, name
    assert len(causes) == 300
    means = summarize(causes, "input", over="speaker")
    for n_channels in (700, 550):
        inputs = [f"{n_channels} channels, {kind}" for kind in ("no pooling", *THRESHOLDS)]
        cells = [f"{means.test_unseen[i]:.1f} ± {means.test_unseen_ci95[i]:.1f} %" for i in inputs]
        assert f"\n| {n_channels} | {' | '.join(cells)} |\n" in RESULTS_PAGE


def test_earlier_runs_on_the_six_speakers_are_counted():
    looks = pd.read_csv(RESULTS / "looks.csv")
    is_earlier = looks.first_results < "2026-11-28"
    is_by_speakers = looks.judged_by == "held-out speakers"
    sweeps = looks[is_earlier & is_by_speakers & (looks.kind == "run of a sweep")]
    assert len(sweeps) == 10
    page = (RESULTS / "README.md").read_text(encoding="utf-8")
    said = f"every speaker. Half of their {sweeps.looks.sum()} runs held out one of the six."
    assert f"Ten sweeps had tested networks on {said}" in page


def of_twelve(name):
    """Return a network's accuracy for all twelve unseen speakers, with its interval."""
    row = summarize(ALL, "input", over="speaker").loc[name]
    return f"{row.test_unseen:.1f} ± {row.test_unseen_ci95:.1f} %"


def test_one_network_for_everybodys_voice():
    primary, secondary = (contrasts(SIX, ONE[name], UNSEEN) for name in ("primary", "secondary"))
    found = pd.concat([primary, secondary])
    larger = found.loc["small", "small, 700 x 1000"]
    pair = [("small", "small, 700 x 1000")]
    as_planned = contrasts(SIX[SIX.seed.isin(PLANNED_SEEDS)], pair, UNSEEN).iloc[0]
    by_seed = 100 * SIX.groupby(["input", "seed"])[UNSEEN].mean().unstack("seed")
    changes = by_seed.loc["small"] - by_seed.loc["small, 700 x 1000"]
    worst = 100 * ALL.groupby(["input", "speaker"])[UNSEEN].mean().unstack(0).min()
    tuned = FINAL[(FINAL.input == SMALL) & FINAL.seed.isin(ORIGINAL.seed)]
    over = difference(tuned, ORIGINAL, UNSEEN, "speaker")

    for sentence in (
        f"accuracy is {over.mean:.1f} ± {over.ci95:.1f} percentage points higher than with the one "
        "that the study began with",
        f"twelve speakers it reaches {of_twelve('reference')}, and {worst['reference']:.0f} % for",
        f"The network without spikes reaches {of_twelve('no spikes')} there.",
        "We could not tell whether downsizing costs this network accuracy (last row of the sixth "
        f"table below). A loss above {larger.excluded_loss:.1f} percentage points is excluded",
        f"with these the change is {points(as_planned, '+')} percentage points, *undecided*.",
        f"give {changes[0]:+.1f}, {changes[1]:+.1f} and {changes[2]:+.1f}.\n",
    ):
        assert sentence in RESULTS_PAGE, sentence
    assert larger.verdict == as_planned.verdict == "undecided"
    assert len(found) == 6
    for (first, second), row in found.iterrows():
        against = {"small, 700 x 1000": "small, on 700 x 1000"}.get(second, second)
        cells = f"{points(row, '+')} | {row.p_holm:.3f} | *{row.verdict}* | {costs(first, second)}"
        assert f"\n| {first} against {against} | {cells} |\n" in RESULTS_PAGE, (first, second)


def costs(first, second):
    """Return the cells of a comparison that have the networks' thresholds, events and costs."""
    study = read_table("final_hd").query("input == @SMALL").assign(model="study")
    runs = pd.concat([read_table("reference_hd"), study])
    means = runs.groupby("model")[["pool_threshold", "input_events", "effective_acs"]].mean()
    ratio = means.loc[first] / means.loc[second]
    accumulates = f"{ratio.effective_acs:.1f} times" if ratio.effective_acs > 0 else ""
    thresholds = " against ".join(f"{means.pool_threshold[name]:.0f}" for name in (first, second))
    return f"{thresholds} | {ratio.input_events:.1f} times | {accumulates}"


def test_what_an_ingredient_is_worth_is_adjusted_for_five_comparisons():
    names = {"model": "input", "validation_speakers": "speaker"}
    rows = read_table("ablations_hd").rename(columns=names)
    pairs = [(name, "one network") for name in rows.input.unique() if name != "one network"]
    found = contrasts(rows, pairs, "validation_accuracy").droplevel("against")
    assert rows.seed.nunique() == 1 and len(found) == 5
    assert (found.p_holm > 0.05).all() and found["mean"].abs().idxmax() == "no delays"
    for label, name in (
        ("no delays", "no delays"),
        ("no shared weights", "no shared weights"),
        ("no augmented recordings", "no waveform augmentation"),
        ("no shift and stretch augmentation", "no shift and stretch"),
        ("an ensemble of four", "ensemble of four"),
    ):
        million = f"{rows[rows.input == name].effective_acs.mean() / 1e6:.2f} million"
        line = f"\n| {label} | {points(found.loc[name], '+')} | {million} |\n"
        assert line in RESULTS_PAGE, label


def test_the_table():
    of = {"macs": "million multiply-accumulates", "effective_acs": "million accumulates"}
    for label, rows, name, table, cost in (
        ("700 x 1000", FINAL, FULL, "final", "effective_acs"),
        ("183 x 333", FINAL, SMALL, "final", "effective_acs"),
        ("small", SIX, "small", "reference", "effective_acs"),
        ("study", SIX, "study", "final", "effective_acs"),
        ("small, on 700 x 1000", SIX, "small, 700 x 1000", "reference", "effective_acs"),
        ("reference", SIX, "reference", "reference", "effective_acs"),
        ("convolutional, no spikes", SIX, "no spikes", "reference", "macs"),
    ):
        row = summarize(rows, "input", over="speaker").loc[name]
        runs = read_table(f"{table}_hd")
        of_table = {"study": SMALL}.get(name, name)
        runs = runs[runs["model" if "model" in runs else "input"] == of_table]
        percents = [
            f"{row[p]:.1f} ± {row[f'{p}_ci95']:.1f} %" for p in ("test_seen", "test_unseen")
        ]
        million = f"{runs[cost].mean() / 1e6:.2f} {of[cost]}"
        if rows is FINAL:
            million = million.removesuffix(" accumulates")  # the column's heading says it
        threshold = f"{runs.pool_threshold.mean():.0f}"
        n_events = f"{runs.input_events.mean():,.0f}"
        n_parameters = f"{runs.parameters.mean():,.0f}"
        cells = (threshold, n_events, million, n_parameters, *percents, worst_of(rows, name))
        assert f"{label} | {' | '.join(cells)} |\n" in RESULTS_PAGE, label


def test_the_benchmark():
    models = summarize(read_table("benchmark_hd"), "model")
    for name in models.index.intersection(["reference", "small"]):
        assert f"{models.test[name]:.1f} ± {models.test_ci95[name]:.1f} %" in RESULTS_PAGE, name
        assert f"{models.parameters[name]:,.0f}" in RESULTS_PAGE
    assert f"The study's has {models.parameters['study']:,.0f}." in RESULTS_PAGE
    best = BEST_SEEN.best_accuracy["official test file"]
    assert f"#adaptive-neuron), which was removed, reached {best:.1f} ± 1.2 %" in RESULTS_PAGE
    assert "Benchmark, 128 neurons: 92.6 ± 1.2 %" in DOCS["tried"]


def test_the_benchmark_by_language_and_speaker():
    table = pd.read_csv(RESULTS / "benchmark_speakers.csv").set_index(
        ["model", "language", "average"]
    )
    for model in ("study", "small", "reference"):
        rows = [
            table.loc[model, "english", "all utterances"],
            table.loc[model, "german", "all utterances"],
            table.loc[model, "both", "twelve speakers"],
        ]
        cells = " | ".join(f"{row.accuracy:.1f} ± {row.ci95:.1f} %" for row in rows)
        assert (
            f"\n| {model} | {input_and_cost(model, 'benchmark_hd')} | {cells} |\n" in RESULTS_PAGE
        )


def input_and_cost(model, table):
    """Return threshold, events and accumulates of a network as three cells."""
    runs = read_table(table).query("model == @model")
    n_events = f"{runs.input_events.mean():,.0f}"
    million = f"{runs.effective_acs.mean() / 1e6:.2f} million"
    return f"{runs.pool_threshold.mean():.0f} | {n_events} | {million}"


@pytest.mark.parametrize("model", ["study", "small", "reference"])
def test_the_accuracy_on_official_spikes(model):
    rows = pd.read_csv(RESULTS / "ten_ms.csv").query("model == @model").set_index("test")
    columns = [("official", "accuracy"), ("official", "english"), ("official", "german")]
    columns.append(("hd", "accuracy"))
    cells = []
    for test, column in columns:
        of_seeds = rows.loc[test]
        assert sorted(of_seeds.seed) == [*range(5)]
        mean, half = interval(100 * of_seeds[[column]].to_numpy())
        cells.append(f"{mean:.1f} ± {half:.1f} %")
    costs_of = input_and_cost(model, "ten_ms_hd_10ms")
    assert f"\n| {model} | {costs_of} | {' | '.join(cells)} |\n" in RESULTS_PAGE


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
    if said == "held out from training":  # of utterances or of speakers
        return f"{said}, not known how"
    what = "speakers" if "speakers" in said else "utterances"
    return f"{what} held out from training"


def test_published_results_by_what_they_were_selected_on():
    papers = pd.read_csv(RESULTS / "published.csv")
    groups = papers.groupby(papers.selected_on.map(selected_on))
    assert len(groups) == 5
    for name, group in groups:
        second_hand = group.verified.isin(["second source", "not verified"]).sum()
        lowest, highest = group.accuracy.min(), group.accuracy.max()
        accuracy = f"{highest:.1f} %" if len(group) == 1 else f"{lowest:.1f} to {highest:.1f} %"
        row = f"| {name} | {len(group)} | {accuracy} | {second_hand} |"
        assert f"\n{row}\n" in DOCS["compare"], row
    n_on_test_file = (papers.selected_on == "test file").sum()
    page = (ROOT / "packages" / "judge" / "README.md").read_text(encoding="utf-8")
    assert (
        f"Of the {len(papers)} published results that we list, {n_on_test_file} were selected on "
        "the official test file"
    ) in page


ALLOWED = {  # of a column of published.csv; "" is not known
    "spread_is": {"deviation", "standard error", "interval", ""},
    "selected_on": {
        "held-out speakers",
        "random utterances held out",
        "held out from training",
        "test file",
        "",
    },
    "verified": {"paper", "public code", "second source", "not verified"},
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
    assert papers.accuracy.between(0, 100).all() and papers.spread.dropna().between(0, 5).all()
    assert papers.spread[papers.spread_is != ""].notna().all()
    assert (papers.parameters.dropna() > 1000).all()


def test_other_microphones():
    words = pd.read_csv(RESULTS / "other_microphones.csv")
    words["right"] = 100.0 * (words.label == words.predicted)
    by_speaker = words.groupby(["network", "speaker"]).right.mean()
    heard = {
        name: "{:.0f} ± {:.0f} %".format(*interval(by_speaker[name].to_frame().to_numpy()))
        for name in ("adaptive", "small", "reference")
    }
    people = by_speaker.div(100).reset_index().rename(columns={"network": "input"}).assign(seed=0)
    small, earlier = (
        contrasts(people, [("adaptive", name)], "right").iloc[0] for name in ("small", "reference")
    )
    assert small.verdict == earlier.verdict == "undecided"
    assert f"The first two differ by {small['mean']:.1f} ± {small.ci95:.1f}" in RESULTS_PAGE
    assert f"had classified {heard['reference']} correctly" in RESULTS_PAGE
    below = f"{-earlier['mean']:.1f} ± {earlier.ci95:.1f}"
    assert f"*adaptive* is {below} percentage points below it (*undecided*;" in RESULTS_PAGE
    assert f"{heard['reference']}, and the adaptive ensemble {below} less" in DOCS["tried"]
    said = f"{heard['adaptive']} of them correctly, and the small network {heard['small']} (over"
    assert said in RESULTS_PAGE
    study = words[words.network.str.startswith("study_")]
    by = study.groupby(["speaker", "network"]).right.mean().unstack()
    assert "{:.0f} ± {:.0f} %".format(*interval(by.to_numpy())) in RESULTS_PAGE


FOLDS = pd.read_csv(RESULTS / "fold_thresholds.csv").set_index(["network", "sound", "utterances"])
# The rows of the table of accepted answers: sound and utterances of the folds.
GROUPS = {
    "English, as recorded": ("as recorded", "english"),
    "German, as recorded": ("as recorded", "german"),
    "both languages, augmented": ("augmented", "both languages"),
    "German, when only English answers are accepted": (
        "as recorded",
        "german, classified as english",
    ),
}


def over_speakers(by_speaker, digits):
    """Return mean and half interval in percent, as text."""
    mean, half = interval(100 * by_speaker.to_frame().to_numpy())
    return f"{mean:.{digits}f} ± {half:.{digits}f} %"


@pytest.mark.parametrize("label", GROUPS)
def test_accepted_answers_of_held_out_speakers(label):
    cells = []
    for name in ("adaptive", "small"):
        rows = FOLDS.loc[(ENTRIES[name], *GROUPS[label])]
        assert len(rows) == 10
        can_be_right = "when only" not in label
        cells.append(over_speakers(rows.accepted, 0))
        cells.append(over_speakers(rows.correct, 1) if can_be_right else "none")
    assert f"\n| {label} | {' | '.join(cells)} |\n" in RESULTS_PAGE


def test_accepted_answers_elsewhere():
    """On another corpus, and of sounds that are no digit."""
    elsewhere = {
        name: on_other_corpus(ACCEPTED[ACCEPTED.network == name]) for name in ("adaptive", "small")
    }
    augmented = FOLDS.loc[(ENTRIES["adaptive"], *GROUPS["both languages, augmented"])]
    worst = augmented.loc[augmented.correct == augmented.correct.min()].iloc[0]
    foreign = FOLDS.loc[
        (ENTRIES["adaptive"], *GROUPS["German, when only English answers are accepted"])
    ].accepted
    augmented_foreign = FOLDS.loc[
        (ENTRIES["adaptive"], "augmented", "german, classified as english")
    ].accepted
    sounds = pd.read_csv(RESULTS / "non_digits.csv").query("surroundings == 'none'")
    sounds = sounds.pivot(index="sound", columns="network", values="accepted")
    noise = sounds.loc["white noise of 1 s"]
    clicks = sounds.loc["clicks"]
    assert (noise.adaptive, noise.small) == (60, 0)
    for sentence in (
        f"*adaptive* accepts {100 * elsewhere['adaptive'].share_accepted:.0f}, and "
        f"{100 * elsewhere['adaptive'].accuracy:.1f} % of these answers are right.",
        f"The small network accepts {100 * elsewhere['small'].share_accepted:.0f}, and "
        f"{100 * elsewhere['small'].accuracy:.1f} % are right.",
        f"*adaptive* is right for {100 * worst.correct:.1f} % of the accepted augmented recordings "
        f"of speaker {worst.speaker:.0f}, the worst.",
        f"*adaptive* accepts {over_speakers(foreign, 0)} of them, or "
        f"{over_speakers(augmented_foreign, 0)} of augmented ones.",
        "Of 60 white noises that fill a recording of one second, *adaptive* accepts all 60, and "
        "*small* none.",
        f"Of 60 series of clicks, they accept {clicks.adaptive} and {clicks.small} (",
    ):
        assert sentence in RESULTS_PAGE, sentence
    assert len(ACCEPTED) == 200 and ACCEPTED.recording.nunique() == 100


def test_accepted_answers_in_noise_and_rooms():
    table = pd.read_csv(RESULTS / "conditions.csv", keep_default_na=False)
    augmented = FOLDS.loc[(ENTRIES["adaptive"], "augmented", "both languages")]
    threshold = augmented.set_index("speaker").confidence_threshold
    own = load_pretrained("adaptive").about["confidence_threshold"]
    table["accepted"] = table.confidence >= table.speaker.map(threshold).fillna(own)
    table["is_right"] = table.label == table.predicted

    def answered(condition):
        rows = table[table.condition == condition]
        assert len(rows) == 12 * 20
        return over_speakers(rows.groupby("speaker").accepted.mean(), 0)

    def right(condition):
        rows = table[(table.condition == condition) & table.accepted]
        return f"{100 * rows.groupby('speaker').is_right.mean().mean():.0f} %"

    noise = table[table.condition == "noise alone"]
    assert (noise.predicted == "six").mean() > 0.95
    for sentence in (
        f"answer {answered('noise 0 dB below')} of a held-out speaker's utterances, and "
        f"{right('noise 0 dB below')} of these answers are right.",
        f"they answer {answered('a room of 0.6 s')}, and {right('a room of 0.6 s')} are right.",
        f"these ensembles answer {answered('noise alone')} of such noises, nearly always with "
        "*six*.",
        f"accept {answered('German digits')} of a held-out speaker's German digits.",
    ):
        assert sentence in RESULTS_PAGE, sentence


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
    rows = re.findall(r"^\| ([a-z ]+) \| 1/(\d+) \| 1/(\d+) \|$", DOCS["speed"], re.M)
    assert len(rows) == 2
    for name, *shares in rows:
        assert shares == [f"{compiled[f'training step, {name}', b]:.0f}" for b in (128, 32)], name


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
