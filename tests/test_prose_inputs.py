"""What notebook 7 and README say of downsizing where words are augmented."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from shd_helpers.study import contrasts, difference, read_table, speaker_accuracies, summarise
from shd_helpers.sweeps import plan_of
from shd_helpers.sweeps.yaml_file import SWEEPS, read_yaml
from tests import RESULTS
from tests.test_prose import README, says

NOTEBOOK = "07_new_speakers"
ADAPTING = "eight delays, adapting, threshold 1"


class Inputs:
    """Three inputs with the ladder's recipe, and with the tuned one; every speaker left out."""

    def __init__(self):
        plan = plan_of("inputs")
        self.small, self.full = plan["primary"]
        self.learned = self.of_new("inputs_hd", plan)
        tuned = self.of_new("final_hd", plan).query("seed == 0")
        self.tuned = tuned[tuned.input.isin(self.learned.input)]
        assert (self.learned.groupby("input").speaker.nunique() == 10).all()
        pairs = [plan["primary"], *plan["secondary"]]
        self.unseen, self.seen = (
            contrasts(self.learned, pairs, f"test_{part}_accuracy") for part in ("unseen", "seen")
        )
        self.change = difference(self.lost(self.learned), self.lost(self.tuned), "loss", "speaker")

    @staticmethod
    def of_new(name, plan):
        table = speaker_accuracies(name)
        return table[table.speaker.isin(plan["strangers"])]

    def lost(self, runs):
        by = runs.pivot(index=["speaker", "seed"], columns="input", values="test_unseen_accuracy")
        return (by[self.full] - by[self.small]).rename("loss").reset_index()


@pytest.fixture(scope="module")
def inputs():
    return Inputs()


def points(row, sign="+"):
    """Return a difference with its interval, as the prose gives it."""
    return f"{row['mean']:{sign}.1f} ± {row.ci95:.1f}"


def test_what_downsizing_costs_with_augmentation(inputs):
    unseen = inputs.unseen
    loss, low, over = (unseen.iloc[i] for i in range(3))
    acs = summarise(read_table("inputs_hd"), "input", over="held_out").effective_acs / 1e6
    less, more = points(loss).lstrip("-"), points(over).lstrip("+")
    seen = inputs.seen.iloc[0]
    for sentence in (
        f"With augmentation, too, downsizing costs a new speaker {less} points; with "
        f"`pool_threshold` 1 no loss is seen ({points(low)} points, one seed).",
        f"threshold 2 loses {less} points; with threshold 1 no loss is seen ({points(low)}, one "
        "seed), for "
        f"{acs['183 x 333, threshold 1'] / acs[inputs.small]:.1f} times the accumulates.",
        f"On 183 x 333 a new speaker gets {less} points less than on 700 x 1000 (p {loss.p:.3f}, "
        f"`p_holm` {loss.p_holm:.3f}).",
        f"no loss is seen**: {points(low)} points (one seed). The interval reaches a loss of "
        f"{low.ci95 - low['mean']:.1f} points, above the margin of {plan_of('final')['margin']:g} "
        "of notebook 6, so a second seed should decide.",
        f"Threshold 1 gets {more} points more than threshold 2 (p {over.p:.3f}). After adjustment "
        f"for three comparisons (`p_holm` {over.p_holm:.3f}) this isn't shown.",
        f"Seen speakers lose {points(seen).lstrip('-')} points on 183 x 333, which may be none.",
        f"Threshold 1 takes {acs['183 x 333, threshold 1']:.2f} million accumulates a word, "
        f"threshold 2 takes {acs[inputs.small]:.2f} and 700 x 1000 takes {acs[inputs.full]:.2f}.",
    ):
        says(NOTEBOOK, sentence)
    assert (
        f"Downsizing costs {less} points with these changes, too. With pooling threshold 1 no loss "
        f"is seen, {points(low)} points (one seed), for "
        f"{acs['183 x 333, threshold 1'] / acs[inputs.small]:.1f} times the accumulates"
    ) in README
    says("06_downsizing_study", f"with threshold 1 none is seen ({points(low)} points, one seed)")
    assert loss.p_holm < 0.05 < over.p_holm
    assert seen["mean"] < 0 and abs(seen["mean"]) < seen.ci95


def test_what_augmentation_changes_in_downsizing(inputs):
    means = [
        100 * runs.groupby("input").test_unseen_accuracy.mean()
        for runs in (inputs.tuned, inputs.learned)
    ]
    gain = means[1] - means[0]
    pairs = [
        [runs[runs.input == name] for runs in (inputs.learned, inputs.tuned)] for name in gain.index
    ]
    halves = {round(difference(*pair, "test_unseen_accuracy", "speaker").ci95) for pair in pairs}
    says(
        NOTEBOOK,
        f"Each input gains {gain.min():.0f} to {gain.max():.0f} points for a new speaker (each ± "
        f"{halves.pop()}).",
    )
    assert not halves  # one number for all three
    one = difference(*dict(zip(gain.index, pairs, strict=True))[inputs.small],
                     "test_unseen_accuracy", "speaker")  # fmt: skip
    assert (
        f"Six changes bring another {one.mean:.1f} ± {one.ci95:.1f} "
        f"(from {means[0][inputs.small]:.1f} to {means[1][inputs.small]:.1f} %, one seed): "
        "words moved in training, 60 epochs, own betas, own thresholds, an early stop, a membrane "
        "readout."
    ) in README
    plans = (read_yaml(SWEEPS / f"{name}.yaml") for name in ("final", "inputs"))
    before, after = (each["fixed"] | each["grid"]["input"][inputs.small] for each in plans)
    moved = {"shift_units", "shift_ms", "stretch"}
    named = {"epochs", "learn_beta", "learn_threshold", "stop_ms", "readout", *moved}
    assert {name for name, value in after.items() if before.get(name) != value} == named
    assert after["epochs"] == 60
    chosen = speaker_accuracies("judged_hd", "model")
    chosen = chosen[chosen.input == plan_of("judged")["primary"][0]]
    chosen = chosen[chosen.speaker.isin(inputs.learned.speaker)]
    plain = inputs.learned.query("input == @inputs.small")
    more = difference(chosen, plain, "test_unseen_accuracy", "speaker")
    says(
        NOTEBOOK,
        f"the augmented recipe gets {means[1][inputs.small]:.1f} %, and the small network only "
        f"{more.mean:.1f} ± {more.ci95:.1f} points more (not planned)",
    )
    assert f"which is {more.mean:.1f} ± {more.ci95:.1f} points more; a full layer" in README
    assert 0 < more.mean < more.ci95
    was, now = (each[inputs.full] - each[inputs.small] for each in means)
    change, final = inputs.change, Inputs.of_new("final_hd", plan_of("final"))
    of_five = 100 * final.groupby("input").test_unseen_accuracy.mean()
    five = of_five[inputs.full] - of_five[inputs.small]
    says(
        NOTEBOOK,
        f"The loss was {was:.1f} points (this seed; {five:.1f} over five) and is {now:.1f}; "
        f"the change of {change.mean:.1f} ± {change.ci95:.1f} isn't shown.",
    )
    assert change.p > 0.05


@pytest.fixture(scope="module")
def people():
    """Words of another corpus: whether each is right, as said and slowed, by kind of network."""
    words = pd.read_csv(RESULTS / "other_microphones.csv")
    words["right"] = 100.0 * (words.label == words.predicted)
    words["slowed"] = 100.0 * (words.label == words.slowed_predicted)
    axes = {"inputs_hd": "input", "microphones_hd": "trained_for", "adapting_hd": "model"}
    kinds = pd.concat(read_table(name).set_index("run_name")[axis] for name, axis in axes.items())
    words["kind"] = words.network.map(kinds).fillna(words.network.str.split("_").str[0])
    n_networks = words.groupby("kind").network.nunique()
    for name in ("study", "best", "tempo", "tempo, adapting"):
        assert n_networks[name] == 5
    assert n_networks["183 x 333"] == n_networks[ADAPTING] == 12 and len(n_networks) == 12
    return words


def gain_of(first, second):
    """Return a difference over people, in points, and half of its interval."""
    gain = first - second
    half = np.ptp(ttest_1samp(gain, 0).confidence_interval(0.95)) / 2
    return gain.mean(), half


def test_other_microphones_in_notebook_7(people):
    by = people.pivot_table("right", "speaker", "kind")
    mean, (gain, half) = by.mean(), gain_of(by["183 x 333"], by["study"])
    for sentence in (
        f"on 183 x 333 gets {mean['183 x 333']:.0f} % of the words right, the study's gets "
        f"{mean.study:.0f} %: {gain:+.0f} ± {half:.0f} points, which five people don't show.",
        f"no difference is seen: threshold 1 gets {mean['183 x 333, threshold 1']:.0f} %, and 700 "
        f"x 1000 gets {mean['700 x 1000']:.0f} %.",
    ):
        says(NOTEBOOK, sentence)
    assert 0 < gain < half
    full = by["700 x 1000"] - by["183 x 333"]
    assert ttest_1samp(full, 0).pvalue > 0.05


def test_training_for_other_microphones_in_notebook_7(people):
    by = people.pivot_table("right", "speaker", "kind")
    mean, table = by.mean(), read_table("microphones_hd")
    trained = table.trained_for.unique()
    found = {name: gain_of(by[name], by["best"]) for name in trained}
    text = {name: f"{gain:+.1f} ± {half:.1f}" for name, (gain, half) in found.items()}
    first_two = table.query("trained_for == 'tempo' and seed < 2").run_name
    early = people[people.network.isin(first_two)].right.mean()
    official = 100 * table.groupby("trained_for").test_accuracy.mean()
    for sentence in (
        f"*tempo, adapting* has the highest mean, {mean['tempo, adapting']:.1f} %. Against "
        f"*small*, *tempo* brings {text['tempo']} points, which isn't shown. "
        f"The first two seeds of *tempo* had {early:.1f} %.",
        f"have less than *small*: {text['band']} and {text['noise']} points. All three together "
        f"bring {text['all three']}.",
        f"**The full layer** with tempo gets {mean['tempo, full layer']:.1f} %",
        f"*tempo, adapting* gets {official['tempo, adapting']:.1f} %, tempo {official.tempo:.1f} "
        f"%, the small network {100 * read_table('best_hd').test_accuracy.mean():.1f} %.",
    ):
        says(NOTEBOOK, sentence)
    assert mean.idxmax() == "tempo, adapting" and mean.max() < 65
    assert all(abs(gain) < half for gain, half in found.values())


def test_words_of_other_people_slowed_in_notebook_7_and_readme(people):
    said, slowed = (people.pivot_table(part, "speaker", "kind") for part in ("right", "slowed"))
    names = [ADAPTING, "tempo, adapting", "best"]
    gains = [gain_of(slowed[name], said[name]) for name in names]
    text = [f"{gain:.1f} ± {half:.1f}" for gain, half in gains]
    mean = slowed.mean()
    words = people.drop_duplicates(["speaker", "label", "duration_s"])
    assert len(words) == 100
    usual = pd.read_csv(RESULTS / "voices_hd.csv").duration_s.median()
    for sentence in (
        f"the adapting network gets {mean[ADAPTING]:.1f} %, *tempo, adapting* {mean[names[1]]:.1f} "
        f"%, *small* and *tempo* {mean.best:.1f} %. The first gains {text[0]} points by it, the "
        f"second {text[1]} (p {ttest_1samp(slowed[names[1]] - said[names[1]], 0).pvalue:.2f}, not "
        f"adjusted for all these rows), *small* {text[2]}.",
        f"a word's spikes take {words.duration_s.median():.2f} s (median, the middle 98 %), those "
        f"of `hd` {usual:.2f} s.",
    ):
        says(NOTEBOOK, sentence)
    assert sorted(mean[mean > 65].index) == sorted([*names, "tempo"])  # "four of the means"
    assert f"{mean.tempo:.1f}" == f"{mean.best:.1f}" and mean.idxmax() == ADAPTING
    assert [gain > half for gain, half in gains] == [False, True, False]
    small, slow = said.best, slowed.best
    says("04_results_analysis", f"slowed to the usual length `best` gets {slow.mean():.0f} % of")
    halves = [np.ptp(ttest_1samp(by, 0).confidence_interval(0.95)) / 2 for by in (small, slow)]
    assert (
        f"with the small network {small.mean():.0f} ± {halves[0]:.0f} % (slowed to the usual "
        f"length {slow.mean():.0f} ± {halves[1]:.0f} %)."
    ) in README
