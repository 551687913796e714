"""What notebook 7 says of neurons that adapt, from the committed tables."""

import re

import pandas as pd
import pytest

from shd_helpers.paths import NOTEBOOKS
from shd_helpers.source import LANGUAGES
from shd_helpers.study import (
    collect_predictions,
    contrasts,
    read_table,
    speaker_accuracies,
    summarise,
)
from shd_helpers.sweeps import plan_of
from tests.test_prose import README, percent, says, table_rows

NOTEBOOK = "07_new_speakers"
ONE, TWO, EIGHT = "one layer", "two layers", "eight delays"
BEST = f"{EIGHT}, adapting, threshold 1"
PLAN = plan_of("adapting")
PAIRS = PLAN["primary"], *PLAN["secondary"], *PLAN["joined"], *PLAN["last"]
FAMILY = [tuple(pair) for pair in PAIRS]  # all that its section compares
LEVEL = 2  # points


@pytest.fixture(scope="module")
def trials():
    return read_table("adaptation_hd").rename(columns={"neurons": "input"})


def test_what_adapting_brings_pairs_of_training_speakers(trials):
    pairs = [
        (f"{ONE}, adapting", ONE),
        (f"{EIGHT}, adapting", EIGHT),
        (f"{TWO}, adapting", f"{ONE}, adapting"),
        (f"{TWO}, adapting, threshold 1", f"{TWO}, adapting"),
        (f"{EIGHT}, adapting, threshold 1", f"{EIGHT}, adapting"),
    ]
    worth = contrasts(trials, pairs, "validation_accuracy", over="pair")
    rows = [row for _, row in worth.iterrows()]
    gain = [f"{row['mean']:+.1f} ± {row.ci95:.1f}" for row in rows]
    more = trials.groupby("input").parameters.mean()
    for sentence in (
        f"**Adapting** changes one layer by {gain[0]} points, with "
        f"{more[pairs[0][0]] - more[ONE]:.0f} numbers more (p {rows[0].p:.2f}, adjusted "
        f"{rows[0].p_holm:.2f}), and a layer with eight delays by {gain[1]}.",
        f"**A second layer** of adapting neurons changes the mean by {gain[2]}.",
        f"**Threshold 1** changes two adapting layers by {gain[3]}, and eight delays by {gain[4]} "
        f"(p {rows[4].p:.2f}, adjusted {rows[4].p_holm:.2f}), again in each pair.",
    ):
        says(NOTEBOOK, sentence)
    by_pair = trials.pivot(index="pair", columns="input", values="validation_accuracy")
    for better, worse in (*pairs[:2], *pairs[3:]):  # in each pair
        assert (by_pair[better] > by_pair[worse]).all()
    assert (worth.p_holm > 0.05).all()


def test_what_all_together_bring_and_cost(trials):
    means = trials.groupby("input")[
        ["validation_accuracy", "hidden_spikes", "effective_acs"]
    ].mean()
    percent = 100 * means.validation_accuracy
    assert percent.idxmax() == BEST
    says(
        NOTEBOOK,
        f"the mean rises from {percent[EIGHT]:.1f} % (*eight delays*, the full layer of before) "
        f"to {percent[BEST]:.1f} %.",
    )
    often = [means.hidden_spikes[f"{name}, adapting"] / means.hidden_spikes[name]
             for name in (ONE, EIGHT)]  # fmt: skip
    says(NOTEBOOK, f"spike {often[0]:.0f} to {often[1]:.0f} times as often")
    dear = means.effective_acs[BEST] / means.effective_acs[f"{EIGHT}, adapting"]
    says(NOTEBOOK, f"With eight delays threshold 1 takes {dear:.1f} times the accumulates.")


def test_what_a_network_with_fewer_parameters_wants():
    runs = read_table("fewer_parameters_hd").rename(columns={"kind": "input"})
    first, plain, blended, far, fast, shared = runs.input.unique()
    assert [blended, far, fast, shared] == [
        *(f"{first}, {words}" for words in ("blended words", "stretched far")),
        f"{first} fast",
        "shared weights, adapting",
    ]
    pairs = [(kind, first) for kind in (plain, blended, far, fast, shared)]
    worth = contrasts(runs, pairs, "validation_accuracy", over="pair").droplevel("against")
    mean = 100 * runs.groupby("input").validation_accuracy.mean()
    counted = runs.groupby("input")[["parameters", "hidden_spikes"]].mean()
    often = counted.hidden_spikes[fast] / counted.hidden_spikes[first]
    for sentence in (
        f"**Stretched far** brings {points(worth.loc[far])} points, nearly the same in each pair "
        f"(p {worth.p[far]:.3f}, adjusted {worth.p_holm[far]:.3f}).",
        f"**Adapting fast** has the highest mean, {mean[fast]:.1f} %: {points(worth.loc[fast])} "
        f"points, which isn't shown. Its neurons spike half as often.",
        f"**Blended words** change the mean by {points(worth.loc[blended])} points; without "
        f"adaptation it is {points(worth.loc[plain])}. Neither is shown.",
        f"**Shared weights** have {counted.parameters[shared]:,.0f} parameters. They change the "
        f"mean by {points(worth.loc[shared])} points",
        f"with 128 neurons the adapting network has {counted.parameters[first]:,.0f}.",
    ):
        says(NOTEBOOK, sentence)
    assert worth.p_holm[far] < 0.05 and (worth.p_holm.drop(far) > 0.05).all()
    assert mean.idxmax() == fast and 0.45 < often < 0.55


def points(row):
    """Return a difference with its interval."""
    return f"{row['mean']:+.1f} ± {row.ci95:.1f}"


@pytest.fixture(scope="module")
def judged():
    """Accuracies of every speaker left out: the study's, those judged before, and the winner."""
    tuned = speaker_accuracies("final_hd").query("input == '183 x 333' and seed == 0")
    models = [speaker_accuracies(f"{name}_hd", "model") for name in ("judged", "adapting")]
    runs = pd.concat([tuned.assign(input="study"), *models])
    return runs, runs[runs.speaker.isin(plan_of("adapting")["strangers"])]


def test_the_adapting_network_judged_by_every_speaker(judged, trials):
    everybody, new = judged
    assert (new.groupby("input").speaker.nunique() == 10).all()
    plan = plan_of("adapting")
    pairs = [tuple(pair) for pair in (plan["primary"], *plan["secondary"])]
    assert pairs == FAMILY[:2] == [(BEST, "convolutional"), (BEST, "no shared weights")]
    table = summarise(new, "input", over="speaker").loc[[BEST, "study"]]
    best, study = table.test_unseen
    nothing = everybody[everybody.speaker.isin([4, 5])].groupby("input").test_unseen_accuracy
    found = contrasts(new, FAMILY, "test_unseen_accuracy")
    beside, full = (found.loc[pair] for pair in pairs)
    seen = contrasts(new, FAMILY, "test_seen_accuracy").loc[pairs[1]]
    validated = {int(i) for pair in trials.validation_speakers for i in str(pair).split(",")}
    six = new[~new.speaker.isin(validated)]
    assert sorted(validated) == [0, 1, 2, 3, 8, 9] and six.speaker.nunique() == 6
    others = [(BEST, "study"), (BEST, "shared weights")]
    unplanned = [row for _, row in contrasts(new, others, "test_unseen_accuracy").iterrows()]
    text = [points(row) for row in unplanned]
    by = (100 * new[new.input == BEST].set_index("speaker").test_unseen_accuracy).sort_values()
    assert sorted(by.index[:3]) == [2, 7, 11] and by.iloc[3] >= 94
    for sentence in (
        f"It gets {best:.1f} % (± {table.test_unseen_ci95[BEST]:.1f}) of a new speaker's words, "
        f"with {100 * (100 - best) / (100 - study):.0f} % of the errors that the study's network "
        "makes. "
        f"Seen speakers get {table.test_seen[BEST]:.1f} %. Of the words by speakers 4 and 5 "
        f"{100 * nothing.mean()[BEST]:.1f} % are right.",
        f"**Beside the comparison**: {points(beside)} points where that hears threshold 2 (p "
        f"{beside.p:.3f}, adjusted {beside.p_holm:.3f}), which isn't shown.",
        f"no difference is seen for a new speaker: {points(full)} points.",
        f"**Seen speakers** gain {points(seen)[1:]} points over the full layer, and",
        f"{text[0]} points against the study's network, {text[1]} against the small one.",
        f"speakers 2, 7 and 11, of whose words it gets {by[2]:.0f}, {by[7]:.0f} and {by[11]:.0f} %",
        f"| with at most half of the study's errors | {100 * (100 - best) / (100 - study):.0f} % |",
        f"It gets {best:.1f} %, with a quarter of the errors; between these two full layers no",
    ):
        says(NOTEBOOK, sentence)
    assert beside.p < 0.05 < min(beside.p_holm, full.p)
    assert 0.2 < (100 - best) / (100 - study) < 0.3  # "a quarter of them"
    assert f"neurons that adapt it is {best:.1f} %, a quarter of the errors. Against" in README


def test_threshold_and_adaptation_of_the_best_network_one_without_the_other(judged):
    _, new = judged
    joined = [tuple(pair) for pair in plan_of("adapting")["joined"]]
    low, plain = "eight delays, adapting, threshold 2", "eight delays, threshold 1"
    assert joined == [
        (low, "convolutional"), (low, "no shared weights"), (BEST, low), (BEST, plain)
    ]  # fmt: skip
    found = contrasts(new, FAMILY, "test_unseen_accuracy")
    six = new[~new.speaker.isin([0, 1, 2, 3])]
    of_six = contrasts(six, joined, "test_unseen_accuracy").loc[(BEST, low)]
    without, full, threshold, adapting = (found.loc[pair] for pair in joined)
    means = 100 * new.groupby("input").test_unseen_accuracy.mean()
    for sentence in (
        f"With threshold 2 it gets {means[low]:.1f} %, without adaptation {means[plain]:.1f} %. "
        f"Threshold 1 is worth {points(threshold)} points to it (p {threshold.p:.3f}, adjusted for "
        f"all eight pairs {threshold.p_holm:.3f}), adapting {points(adapting)} (adjusted "
        f"{adapting.p_holm:.3f}). Neither is shown. And speakers 0 to 3 had chosen threshold 1 for "
        f"it: over the six others it is worth {points(of_six)}.",
        f"(With threshold 2 for both it is {points(without)}.)",
        f"With the same inputs it is {points(full)} (adjusted {full.p_holm:.3f})",
        f"To the best network threshold 1 is worth {points(threshold)[1:]} points (adjusted p "
        f"{threshold.p_holm:.3f}).",
    ):
        says(NOTEBOOK, sentence)
    worth = f"is worth {points(threshold)[1:]} points to it (adjusted p {threshold.p_holm:.3f},"
    says(NOTEBOOK, f"{worth} not shown).")
    assert (found.p_holm > 0.05).all() and len(found) == 8


def test_the_adapting_network_and_the_comparison_on_the_same_inputs(judged):
    _, new = judged
    pairs, other = (
        [tuple(pair) for pair in plan_of("adapting")["last"]],
        "convolutional, threshold 1",
    )
    assert pairs == [(BEST, other), (other, "convolutional")]
    six = new[~new.speaker.isin([0, 1, 2, 3])]
    part, seen = "test_unseen_accuracy", "test_seen_accuracy"
    beside, of_six, of_seen = (
        contrasts(runs, pairs, of).loc[pairs[0]]
        for runs, of in ((new, part), (six, part), (new, seen))
    )
    mean = 100 * new[new.input == other][part].mean()
    for sentence in (
        f"With threshold 1 the comparison gets {mean:.1f} %, and no difference is seen: "
        f"{points(beside)} points. Over the six others it is {points(of_six)}.",
        f"and {points(of_seen)[1:]} over the comparison with threshold 1 (not adjusted).",
        f"| no difference is seen: {points(beside)} points, both with threshold 1 |",
        f"The convolutional network gets {mean:.1f} % then, with 50,298 parameters",
    ):
        says(NOTEBOOK, sentence)
    assert f"without spikes no difference is seen: {points(beside)} points." in README
    assert abs(beside["mean"]) + beside.ci95 > LEVEL and min(beside.p, of_six.p) > 0.05


def test_where_the_adapting_network_errs():
    heard = collect_predictions("adapting_hd").merge(read_table("adapting_hd")[["hash", "model"]])
    heard = heard[~heard.seen & (heard.model == BEST)]
    heard = heard[heard.speaker.isin(plan_of("adapting")["strangers"])]
    wrong = heard[heard.label != heard.predicted]
    share = 100 * wrong.speaker.isin([2, 7, 11]).mean()
    says(NOTEBOOK, f"of its {len(wrong)} wrong words {share:.0f} % are by speakers 2, 7 and 11")
    words, pairs = [*LANGUAGES["english"]], wrong.groupby(["label", "predicted"]).size()
    label, predicted = pairs.idxmax()
    says(NOTEBOOK, f"It hears *{words[predicted]}* for *{words[label]}* {pairs.max()} times.")


def test_what_the_adapting_network_costs_and_its_row_in_readme(judged):
    tables = [read_table(f"{name}_hd") for name in ("adapting", "judged", "final")]
    best = tables[0].query("model == @BEST").mean(numeric_only=True)
    full = tables[1].query("model == 'no shared weights'").effective_acs.mean()
    study = tables[2].query("input == '183 x 333'").effective_acs.mean()
    plain = tables[0].query("model == 'convolutional, threshold 1'").mean(numeric_only=True)
    macs = f"{plain.macs / 1e6:.1f}"
    says(
        NOTEBOOK,
        f"{best.parameters:,.0f} parameters and {best.effective_acs / 1e6:.1f} million "
        f"accumulates a word. These are {best.effective_acs / study:.0f} times the study's "
        f"accumulates, and {best.effective_acs / full:.1f} times the full layer's; the comparison "
        f"has {plain.parameters:,.0f} parameters and takes {macs} million multiply-accumulates.",
    )
    says(NOTEBOOK, f"with {plain.parameters:,.0f} parameters and {macs} million multiply-acc")
    means, found = summarise(judged[1], "input", over="speaker"), table_rows("input (hd)")
    for name, model, cost in (
        ("best", BEST, f"{best.effective_acs / 1e6:.2f} million"),
        ("without spikes", PLAN["last"][0][1], f"{plain.macs / 1e6:.2f} million products"),
    ):
        cells = [f"{percent(means.loc[model], part)} %" for part in ("test_seen", "test_unseen")]
        parameters = (best if model == BEST else plain).parameters
        row = found[f"183 x 333, threshold 1, notebook 7's {name}"]
        assert row == [*cells, f"{parameters:,.0f}", cost]


def test_what_is_called_level():
    """Only what lies within ± 2 points with its whole interval; nothing does here."""
    for text in (README, *(path.read_text(encoding="utf-8") for path in NOTEBOOKS.glob("0[67]*"))):
        assert not re.search(r"\blevel with\b|\| level", text)
