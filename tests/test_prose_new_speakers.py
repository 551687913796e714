"""Every result in the prose of notebook 7, computed from committed tables."""

import pytest

from shd_helpers.study import contrasts, read_table, summarise
from tests.test_prose import README, says

NOTEBOOK = "07_new_speakers"


class Ladder:
    """The ladder's runs: by rung, by speaker, and the differences from rung to rung."""

    def __init__(self):
        runs = read_table("ladder_hd").rename(columns={"validation_speakers": "speaker"})
        runs = runs.assign(input=runs.rung)
        self.rungs = rungs = [*runs.rung.unique()]
        self.means = summarise(runs, "rung", over="speaker")
        self.by_speaker = 100 * runs.pivot(
            index="speaker", columns="rung", values="validation_accuracy"
        )
        self.steps, self.total = (
            contrasts(runs, pairs, "validation_accuracy").droplevel("against")
            for pairs in (
                [*zip(rungs[1:], rungs, strict=False)],
                [(rung, rungs[0]) for rung in rungs[1:]],
            )
        )

    def step(self, rung):
        return f"{self.steps.loc[rung, 'mean']:+.1f} ± {self.steps.loc[rung, 'ci95']:.1f}"


@pytest.fixture(scope="module")
def ladder():
    return Ladder()


def test_the_answer_of_notebook_7(ladder):
    last, total = ladder.rungs[-1], ladder.total.iloc[-1]
    accuracy = ladder.means.validation
    for sentence in (
        f"rises from {accuracy['study']:.1f} to {accuracy[last]:.1f} %, by "
        f"{total['mean']:.1f} ± {total.ci95:.1f} points.",
        f"The largest step is augmentation with {ladder.step('augmentation')} points",
        f"A beta for every neuron ({ladder.step('beta per neuron')}) and reading the output "
        f"membranes instead of counting spikes ({ladder.step('membrane readout')}) come next; "
        f"alone, neither stands after adjusting for all {len(ladder.steps)} comparisons.",
        f"1. For new speakers make more voices: augmentation brings "
        f"{ladder.steps.loc['augmentation', 'mean']:.1f} points",
        f"brings nothing ({ladder.step('60 epochs')}).",
        f"of the {len(ladder.steps)} steps two have a `p` below 0.05, none a `p_holm`.",
    ):
        says(NOTEBOOK, sentence)
    assert (ladder.steps.p < 0.05).sum() == 2 and (ladder.steps.p_holm > 0.05).all()
    assert ladder.steps["mean"].nlargest(3).index.tolist() == [
        *("augmentation", "beta per neuron", "membrane readout")
    ]
    assert f"another {total['mean']:.1f} ± {total.ci95:.1f} points" in README


def test_how_strong_the_augmentation_is_in_notebook_7():
    found = summarise(read_table("augmentation_hd"), "augmentation")
    share = found.validation
    says(
        NOTEBOOK,
        f"with it medium gets {share['medium']:.1f} %, without it "
        f"{share['medium, no dropout']:.1f} % (no augmentation: {share['none']:.1f} %; each ± "
        f"{found.validation_ci95.max():.1f}, pooled)",
    )
    assert share.idxmax() == "medium, no dropout"
    names = ["shift_units", "shift_ms", "stretch", "dropout"]
    medium = found.loc["medium", names].astype(float)
    for name, part in (("weak", 0.5), ("strong", 1.5)):
        assert [*found.loc[name, names]] == pytest.approx([*(part * medium)])
    assert medium.tolist() == [8, 60, 0.2, 0.2]
    assert found.epochs.unique().tolist() == [60]


def test_the_rungs_of_notebook_7(ladder):
    by, means = ladder.by_speaker, ladder.means
    hardest = by.study.idxmin()
    gain = by.augmentation - by["60 epochs"]
    (loser,) = gain.index[gain < 0]
    for sentence in (
        f"**60 epochs** instead of 30 bring {ladder.step('60 epochs')} points. With "
        f"{means.train['study']:.0f} % of the training words right",
        f"**Augmentation** brings {ladder.step('augmentation')}. Speaker {hardest}, who is "
        f"understood worst, rises from {by.loc[hardest, '60 epochs']:.0f} to "
        f"{by.loc[hardest, 'augmentation']:.0f} %; one of the ten, speaker {loser}, falls by "
        f"{-gain[loser]:.0f} points.",
        f"**A beta for every neuron** brings {ladder.step('beta per neuron')}, **a threshold for "
        f"every neuron** {ladder.step('threshold per neuron')}, **the early stop** "
        f"{ladder.step('early stop')}.",
        f"**Membrane readout** brings {ladder.step('membrane readout')}.",
    ):
        says(NOTEBOOK, sentence)
    assert gain.idxmax() == hardest


def test_costs_of_the_rungs_of_notebook_7(ladder):
    spikes, updates = ladder.means.hidden_spikes, ladder.means.neuron_updates
    costs = ladder.means.drop(index="eight delays", errors="ignore")
    for sentence in (
        f"Accumulates stay at {costs.effective_acs.min() / 1e6:.2f} to "
        f"{costs.effective_acs.max() / 1e6:.2f} million a word",
        f"saves {100 * (1 - updates['early stop'] / updates['study']):.0f} % of the neuron updates",
        f"{spikes['membrane readout'] / spikes['early stop']:.1f} times the hidden spikes",
    ):
        says(NOTEBOOK, sentence)
    later = ladder.total.iloc[1:]
    says(
        NOTEBOOK,
        f"every rung is above it by {later['mean'].min():.1f} points or more, and stands after "
        f"Holm's adjustment (`p_holm` {later.p_holm.max():.3f} at most)",
    )
