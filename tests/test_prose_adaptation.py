"""What notebook 7 says of neurons that adapt, from the committed tables."""

import pandas as pd
import pytest

from shd_helpers.study import contrasts, read_table, speaker_accuracies, summarise
from shd_helpers.sweeps import plan_of
from tests.test_prose import README, percent, says, table_rows

NOTEBOOK = "07_new_speakers"
ONE, TWO, EIGHT = "one layer", "two layers", "eight delays"
BEST = f"{EIGHT}, adapting, threshold 1"


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
    assert pairs == [(BEST, "convolutional"), (BEST, "no shared weights")]
    table = summarise(new, "input", over="speaker").loc[[BEST, "study"]]
    best, study = table.test_unseen
    nothing = everybody[everybody.speaker.isin([4, 5])].groupby("input").test_unseen_accuracy
    beside, full = (row for _, row in contrasts(new, pairs, "test_unseen_accuracy").iterrows())
    seen = contrasts(new, pairs, "test_seen_accuracy").loc[pairs[1]]
    validated = {int(i) for pair in trials.validation_speakers for i in str(pair).split(",")}
    six = new[~new.speaker.isin(validated)]
    assert sorted(validated) == [0, 1, 2, 3, 8, 9] and six.speaker.nunique() == 6
    of_six = contrasts(six, pairs, "test_unseen_accuracy").loc[pairs[0]]
    others = [(BEST, "study"), (BEST, "shared weights")]
    unplanned = [row for _, row in contrasts(new, others, "test_unseen_accuracy").iterrows()]
    text = [points(row) for row in (full, of_six, *unplanned)]
    by = (100 * new[new.input == BEST].set_index("speaker").test_unseen_accuracy).sort_values()
    assert sorted(by.index[:3]) == [2, 7, 11] and by.iloc[3] >= 94
    for sentence in (
        f"a new speaker gets {best:.1f} % (± {table.test_unseen_ci95[BEST]:.1f}), with "
        f"{100 * (100 - best) / (100 - study):.0f} % of the errors that the study's network makes. "
        f"Seen speakers get {table.test_seen[BEST]:.1f} %. Of the words by speakers 4 and 5 "
        f"{100 * nothing.mean()[BEST]:.1f} % are right.",
        f"**Beside the network without spikes**: {points(beside)} points (p {beside.p:.3f}, "
        f"adjusted {beside.p_holm:.3f}).",
        f"Over the other six the gain is {text[1]}: the mean is similar",
        f"no difference is seen for a new speaker: {text[0]} points.",
        f"Seen speakers gain {points(seen)[1:]} (adjusted {seen.p_holm:.3f}).",
        f"{text[2]} points against the study's network, {text[3]} against the chosen one.",
        f"speakers 2, 7 and 11 have {by[2]:.0f}, {by[7]:.0f} and {by[11]:.0f} %",
        f"which hears threshold 2, it has {points(beside)[1:]} points more.",
    ):
        says(NOTEBOOK, sentence)
    assert beside.p_holm < 0.05 < min(full.p, of_six.p) and of_six["mean"] > beside["mean"]
    assert 0.2 < (100 - best) / (100 - study) < 0.3  # "a quarter of them"
    assert f"The best leaves a quarter of them: {best:.1f} %, with neurons that adapt" in README


def test_threshold_and_adaptation_of_the_best_network_one_without_the_other(judged):
    _, new = judged
    joined = [tuple(pair) for pair in plan_of("adapting")["joined"]]
    low, plain = "eight delays, adapting, threshold 2", "eight delays, threshold 1"
    assert joined == [
        (low, "convolutional"), (low, "no shared weights"), (BEST, low), (BEST, plain)
    ]  # fmt: skip
    found = contrasts(new, joined, "test_unseen_accuracy")
    without, full, threshold, adapting = (row for _, row in found.iterrows())
    means = 100 * new.groupby("input").test_unseen_accuracy.mean()
    for sentence in (
        f"With threshold 2 the winner gets {means[low]:.1f} %, without adaptation "
        f"{means[plain]:.1f} %. Threshold 1 is worth {points(threshold)} points to it (p "
        f"{threshold.p:.3f}, adjusted {threshold.p_holm:.3f}): here finer pooling is shown to "
        f"help. Adapting is worth {points(adapting)} (p {adapting.p:.3f}), which isn't shown.",
        f"On its inputs no difference is seen: {points(without)}.",
        f"With the same inputs it is {points(full)} (adjusted {full.p_holm:.3f})",
        f"To the best network threshold 1 is worth {points(threshold)[1:]} points (adjusted p "
        f"{threshold.p_holm:.3f}).",
    ):
        says(NOTEBOOK, sentence)
    worth = f"is worth {points(threshold)[1:]} points to it (adjusted p {threshold.p_holm:.3f})."
    assert worth in README
    says(NOTEBOOK, worth)
    assert threshold.p_holm < 0.05 < adapting.p and full.p_holm > 0.05 < without.p


def test_what_the_adapting_network_costs_and_its_row_in_readme(judged):
    tables = [read_table(f"{name}_hd") for name in ("adapting", "judged", "final")]
    best = tables[0].query("model == @BEST").mean(numeric_only=True)
    full = tables[1].query("model == 'no shared weights'").effective_acs.mean()
    study = tables[2].query("input == '183 x 333'").effective_acs.mean()
    says(
        NOTEBOOK,
        f"{best.parameters:,.0f} parameters and {best.effective_acs / 1e6:.1f} million "
        f"accumulates a word. These are {best.effective_acs / study:.0f} times the study's "
        f"accumulates, and {best.effective_acs / full:.1f} times the full layer's.",
    )
    row = summarise(judged[1], "input", over="speaker").loc[BEST]
    cells = [f"{percent(row, part)} %" for part in ("test_seen", "test_unseen")]
    cost = [f"{best.parameters:,.0f}", f"{best.effective_acs / 1e6:.2f} million"]
    name = "183 x 333, threshold 1, notebook 7's best"
    assert table_rows("input (hd)")[name] == [*cells, *cost]
