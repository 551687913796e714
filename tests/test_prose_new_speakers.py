"""Every result in the prose of notebook 7, computed from committed tables."""

import pandas as pd
import pytest

from shd_helpers.study import contrasts, read_table, speaker_accuracies, summarise
from shd_helpers.sweeps import plan_of
from shd_helpers.sweeps.contest import chosen
from tests.test_prose import says

NOTEBOOK = "07_new_speakers"


class Ladder:
    """The ladder's whole rungs: means, by speaker, and the differences from rung to rung."""

    def __init__(self):
        runs = read_table("ladder_hd").rename(columns={"validation_speakers": "speaker"})
        runs = runs.astype({"speaker": int}).assign(input=runs.rung)
        rungs = [*runs.rung.unique()]
        self.means = summarise(runs, "rung", over="speaker")
        by_speaker = runs.pivot(index="speaker", columns="rung", values="validation_accuracy")
        self.by_speaker, self.last = 100 * by_speaker, rungs[-1]
        pairs = [*zip(rungs[1:], rungs, strict=False), (rungs[-1], rungs[0])]
        found = contrasts(runs, pairs, "validation_accuracy")
        self.steps, self.total = found[:-1].droplevel("against"), found.iloc[-1]
        others = runs[~runs.speaker.isin([8, 9])]
        self.eight = contrasts(others, pairs[-1:], "validation_accuracy").iloc[0]

    def step(self, rung):
        return f"{self.steps.loc[rung, 'mean']:+.1f} ± {self.steps.loc[rung, 'ci95']:.1f}"


@pytest.fixture(scope="module")
def ladder():
    return Ladder()


def test_the_whole_ladder_of_notebook_7(ladder):
    accuracy, steps, total = ladder.means.validation, ladder.steps, ladder.total
    for sentence in (
        f"From the study's recipe to {ladder.last} a new speaker's accuracy rises from "
        f"{accuracy['study']:.1f} to {accuracy[ladder.last]:.1f} %, by {total['mean']:.1f} ± "
        f"{total.ci95:.1f} points.",
        f"On the way there augmentation is the largest step, with {ladder.step('augmentation')};",
        f"none a `p_holm` (augmentation: {steps.p_holm['augmentation']:.3f}); the whole ladder has "
        f"({total.p_holm:.3f})",
        f"Over the eight others the ladder brings {ladder.eight['mean']:.1f} ± "
        f"{ladder.eight.ci95:.1f} points:",
        f"in the ladder augmentation is the largest step, {ladder.step('augmentation')} points (p "
        f"{steps.p['augmentation']:.3f}, adjusted {steps.p_holm['augmentation']:.3f})",
    ):
        says(NOTEBOOK, sentence)
    assert (steps.p < 0.05).sum() == 3 and (steps.p_holm > 0.05).all() and total.p_holm < 0.05
    assert steps["mean"].idxmax() == "augmentation"


def test_the_study_s_recipe_in_notebooks_6_and_7(ladder):
    table = speaker_accuracies("final_hd").query("input == '183 x 333'")
    table = table[table.speaker.isin(ladder.by_speaker.index)]
    found = 100 * table.groupby("speaker").test_unseen_accuracy.mean()
    assert len(found) == 10
    strangers = speaker_accuracies("final_hd").query("input == '183 x 333'")
    strangers = strangers[strangers.speaker.isin(plan_of("final")["strangers"])]
    first = strangers.query("seed == 0").test_unseen_accuracy
    for sentence in (
        f"{100 * strangers.test_unseen_accuracy.mean():.1f} %: notebook [6]",
        f"its own ten speakers, five seeds; {100 * first.mean():.1f} % with the first seed alone.",
        f"{ladder.means.validation['study']:.1f} %: the ladder, over the same ten;",
    ):
        says(NOTEBOOK, sentence)
    seeds = speaker_accuracies("final_hd").query("input in ['183 x 333', '700 x 1000']")
    seeds = seeds[seeds.speaker.isin(plan_of("final")["strangers"])]
    by_seed = 100 * seeds.pivot_table("test_unseen_accuracy", "seed", "input")
    apart = (by_seed["700 x 1000"] - by_seed["183 x 333"]).std()
    says(NOTEBOOK, f"inputs of notebook 6 varies by {apart:.1f} points from seed to seed")
    spread = 100 * table.groupby("speaker").test_unseen_accuracy.var().mean() ** 0.5
    says(NOTEBOOK, f"accuracy spreads by {spread:.1f} points (standard deviation")


def test_how_strong_the_augmentation_is_in_notebook_7():
    found = summarise(read_table("augmentation_hd"), "augmentation")
    share = found.validation
    says(
        NOTEBOOK,
        f"With dropout medium gets {share['medium']:.1f} %, without it "
        f"{share['medium, no dropout']:.1f} % (no augmentation: {share['none']:.1f} %; each ± "
        f"{found.validation_ci95.max():.1f}, two seeds, pooled)",
    )
    assert share.idxmax() == "medium, no dropout"
    names = ["shift_units", "shift_ms", "stretch", "dropout"]
    medium = found.loc["medium", names].astype(float)
    for name, part in (("weak", 0.5), ("strong", 1.5)):
        assert [*found.loc[name, names]] == pytest.approx([*(part * medium)])
    assert medium.tolist() == [8, 60, 0.2, 0.2]
    assert found.epochs.unique().tolist() == [60]


def test_the_rungs_of_notebook_7(ladder):
    by, means, steps = ladder.by_speaker, ladder.means, ladder.steps
    hardest = by.study.idxmin()
    gain = by.augmentation - by["60 epochs"]
    numbers = means.select_dtypes("number")
    fewer = numbers.loc["eight delays"] / numbers.loc["shared weights"]
    (loser,) = gain.index[gain < 0]
    for sentence in (
        f"no gain is seen ({ladder.step('60 epochs')} points). After 30 epochs "
        f"{means.train['study']:.1f} % of the training words are right, after 60 it is "
        f"{means.train['60 epochs']:.1f} %.",
        f"**Augmentation**: {ladder.step('augmentation')}. Speaker {hardest}, who is understood "
        f"worst, rises from {by.loc[hardest, '60 epochs']:.0f} to "
        f"{by.loc[hardest, 'augmentation']:.0f} %; one of the ten, speaker {loser}, falls by "
        f"{-gain[loser]:.0f} points.",
        f"**A beta for every neuron**: {ladder.step('beta per neuron')}. **A threshold for every "
        f"neuron**: {ladder.step('threshold per neuron')}. **Early stop**: "
        f"{ladder.step('early stop')}.",
        f"**Membrane readout**: {ladder.step('membrane readout')}. **Eight delays**: "
        f"{ladder.step('eight delays')}. **Shared weights**: {ladder.step('shared weights')}, "
        f"with {fewer.parameters:.0f} times fewer parameters; a loss above "
        f"{steps.excluded_loss['shared weights']:.1f} points is excluded.",
    ):
        says(NOTEBOOK, sentence)
    assert steps.excluded_loss["membrane readout"] < 0
    spikes, updates = numbers.hidden_spikes, numbers.neuron_updates
    acs = numbers.effective_acs.drop(["eight delays", "shared weights"]) / 1e6
    dearer = numbers.loc["eight delays"] / numbers.loc["membrane readout"]
    for sentence in (
        f"stay between {acs.min():.2f} and {acs.max():.2f} million a word",
        f"takes {100 * (1 - updates['early stop'] / updates['study']):.0f} % fewer neuron updates "
        f"if the circuit is told when the word ends ({ladder.step('early stop')} points).",
        f"{spikes['membrane readout'] / spikes['early stop']:.1f} times the hidden spikes",
        f"take {dearer.parameters:.1f} times the parameters and {dearer.effective_acs:.1f} times "
        f"the accumulates of the rung above",
        f"which makes {100 * dearer.neuron_updates - 100:.0f} % more neuron updates.",
        f"Shared weights have {fewer.parameters:.0f} times fewer parameters than the rung above, "
        f"and {fewer.effective_acs:.1f} times fewer accumulates",
    ):
        says(NOTEBOOK, sentence)


def test_the_contest_of_notebook_7():
    table = read_table("contest_hd")
    by = 100 * table.pivot(index="recipe", columns="contestant", values="validation_accuracy")
    one, two, shared, comparison = by_order = [*table.contestant.unique()]
    best, spread = by.max(), by.max() - by.min()
    cost = table.groupby("contestant")[["parameters", "effective_acs"]].mean()
    dearer = cost.loc[one] / cost.loc[shared]
    ahead = by[comparison] - by[[one, two, shared]].max(axis=1)
    apart = best[by_order[:3]]
    for sentence in (
        f"With its best recipe one hidden layer gets {best[one]:.1f} %, two get {best[two]:.1f} %, "
        f"shared weights {best[shared]:.1f} %, and the comparison {best[comparison]:.1f} %.",
        f"lie {spread[one]:.1f}, {spread[two]:.1f}, {spread[shared]:.1f} and "
        f"{spread[comparison]:.1f} points.",
        f"are within {apart.max() - apart.min():.1f} points.",
        f"have {dearer.parameters:.0f} times fewer parameters than one full layer, and "
        f"{dearer.effective_acs:.1f} times fewer accumulates.",
        f"by at least {ahead.min():.1f} points over the best of the three.",
    ):
        says(NOTEBOOK, sentence)
    assert ahead.min() > 0
    error = 100 * (best[apart.idxmax()] / 100 * (1 - best[apart.idxmax()] / 100) / 846) ** 0.5
    says(NOTEBOOK, f"standard error of the highest accuracy ({error:.1f} points,")
    assert next(iter(chosen(table))) == "shared weights"
    farthest = set(table[table.shift_units == 13].recipe)
    for name in (one, two):
        assert set(by[name].nlargest(2).index) == farthest
    out = 100 * table[table.recipe.isin(farthest)].groupby("recipe").dropout.first()
    says(
        NOTEBOOK,
        f"by 13 channels, are the best two. These also leave out many events ({out.min():.0f} and "
        f"{out.max():.0f} %)",
    )


def test_the_other_windows_of_notebook_7():
    found = summarise(read_table("windows_hd"), "window")
    contest = read_table("contest_hd").query("contestant == 'shared weights'")
    chosen_one = 100 * contest.validation_accuracy.max()
    error = (chosen_one * (100 - chosen_one) / 846) ** 0.5
    assert found.validation.max() < chosen_one + error
    one, two = (found.loc[name] for name in ("32 neurons", "32 neurons, second layer"))
    says(
        NOTEBOOK,
        f"at a place every 8 ({chosen_one:.1f} %). With 32 neurons they get {one.validation:.1f} "
        f"%, with a second layer of as many {two.validation:.1f} %.",
    )
    longer = found[(found.n_delays == 16) | (found.delay_ms == 60)].validation
    assert len(longer) == 3
    says(NOTEBOOK, f"With 16 delays, or delays of 60 ms, it is at most {longer.max():.1f} %.")
    assert len(found) == 7  # "seven other windows"


def test_the_hours_of_notebook_7():
    names = (
        "augmentation",
        "ladder",
        "contest",
        "windows",
        "judged",
        "inputs",
        "benchmark",
        "hidden_dropout",
        "full_layer",
        "adaptation",
        "adapting",
        "fewer_parameters",
        "microphones",
    )
    hours = sum(read_table(f"{name}_hd").total_s.sum() for name in names) / 3600 / 2
    says(NOTEBOOK, f"the runs behind it take {hours:.0f} hours on two cores")


def test_the_dropout_of_notebook_7():
    runs = read_table("hidden_dropout_hd").rename(columns={"left_out": "input"})
    none, little, much, low = runs.input.unique()
    pairs = [(little, "none"), (much, none), (low, much)]
    worth = contrasts(runs, pairs, "validation_accuracy", "pair")
    gains = [f"{row['mean']:+.1f} ± {row.ci95:.1f}" for _, row in worth.iterrows()]
    says(
        NOTEBOOK,
        f"With 20 % left out their mean changes by {gains[0]} points, with 40 % by {gains[1]}, and "
        f"threshold 1 changes the latter by {gains[2]}. None of it is shown.",
    )
    assert (worth["mean"].abs() < worth.ci95).all()


def test_dropout_judged_by_every_speaker_in_notebook_7():
    plan, full = plan_of("full_layer"), "no shared weights"
    runs = pd.concat(speaker_accuracies(f"{name}_hd", "model") for name in ("judged", "full_layer"))
    runs = runs[runs.speaker.isin(plan["strangers"])]
    assert (runs.groupby("input").speaker.nunique() == 10).all()
    pairs = [plan["primary"], *plan["secondary"]]
    found = contrasts(runs, pairs, "test_unseen_accuracy")
    assert [*found.index] == [
        ("threshold 1", "convolutional"), ("threshold 2", full), ("threshold 1", "threshold 2")
    ]  # fmt: skip
    beside, dropout, low = (row for _, row in found.iterrows())
    gains = [f"{row['mean']:+.1f} ± {row.ci95:.1f}" for row in (beside, dropout, low)]
    means = 100 * runs.groupby("input").test_unseen_accuracy.mean()
    for sentence in (
        f"With 20 % left out a new speaker gets {means['threshold 2']:.1f} %, with threshold 1 "
        f"besides {means['threshold 1']:.1f} %.",
        f"no difference is seen: {gains[0]} points. A loss above {beside.excluded_loss:.1f} is",
        f"changes the full layer by {gains[1]} points (p {dropout.p:.2f}, adjusted "
        f"{dropout.p_holm:.2f}): no gain, and a loss that isn't shown.",
        f"**Threshold 1** changes it by {gains[2]}, which isn't shown.",
        f"stays the best for a new speaker, with {means[full]:.1f} %.",
    ):
        says(NOTEBOOK, sentence)
    assert beside.p > 0.05 and low.p > 0.05 and dropout.p_holm > 0.05
    assert means.idxmax() == full
    trials = read_table("hidden_dropout_hd").pivot(
        index="pair", columns="left_out", values="validation_accuracy"
    )
    gain = 100 * (trials["20 %"] - trials.none)
    assert (gain > 0).all()
    says(NOTEBOOK, f"Three pairs had promised {gain.mean():+.1f}: they were too few to choose by.")
