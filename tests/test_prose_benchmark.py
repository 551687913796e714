"""What notebook 7 and README say of SHD's own benchmark."""

from itertools import combinations

import pandas as pd
import pytest

from shd_helpers.study import read_table, summarise
from tests import RESULTS
from tests.test_prose import README, percent, says

NOTEBOOK = "07_new_speakers"
CHOSEN, FULL, TWO = "shared weights", "no shared weights", "two hidden layers"
ADAPTS = "eight delays, adapting, threshold 1"
SMALL = f"{ADAPTS}, 128 neurons"
FAST = "128 neurons, adapting fast"


@pytest.fixture(scope="module")
def runs():
    return read_table("benchmark_hd")


@pytest.fixture(scope="module")
def models(runs):
    return summarise(runs, "model")


def test_the_benchmark_of_notebook_7(runs, models):
    study, chosen = models.loc["study"], models.loc[CHOSEN]
    four, eight = (models.loc[f"shared weights, {n} at a place"] for n in (4, 8))
    seeds = runs.groupby("model").test_accuracy
    better = models.test[[CHOSEN, FULL, TWO]] - study.test
    by_name = {name: percent(models.loc[name], "test") for name in (CHOSEN, FULL, TWO)}
    for sentence in (
        f"Seeds of one network lie up to {100 * (seeds.max() - seeds.min()).max():.1f} points "
        "apart",
        f"The study's network gets {study.test:.1f} %: {study.test_seen:.1f} % of the words by "
        f"speakers who trained, and {study.test_unseen:.1f} % of those by speakers 4 and 5.",
        f"They are {better.min():.0f} to {better.max():.0f} points better, and no difference is "
        f"seen among them: the small one, *shared weights*, gets {by_name[CHOSEN]} % with "
        f"{chosen.parameters:,.0f} parameters, the full layer {by_name[FULL]} %, two hidden layers "
        f"{by_name[TWO]} %. The comparison without spikes gets "
        f"{models.test['convolutional']:.1f} % (one seed), with "
        f"{models.parameters['convolutional']:,.0f} parameters and "
        f"{models.macs['convolutional'] / 1e6:.1f} million multiply-accumulates.",
        f"85 % are passed with {chosen.parameters:,.0f} parameters (mean of five seeds). With "
        f"{eight.parameters:,.0f} (eight neurons at a place) one seed gets {eight.test:.1f} %, "
        f"with {four.parameters:,.0f} it is {four.test:.1f} %.",
    ):
        says(NOTEBOOK, sentence)
    for one, other in combinations((CHOSEN, FULL, TWO), 2):
        apart = abs(models.test[one] - models.test[other])
        assert apart < (models.test_ci95[one] ** 2 + models.test_ci95[other] ** 2) ** 0.5
    assert chosen.test > 85 > eight.test
    five = models.seeds == 5
    assert {*models.index[five]} == {"study", CHOSEN, FULL, TWO, ADAPTS, SMALL, FAST}
    assert len(models.index[five]) == 7  # "seven networks"
    assert (models.seeds[~five] == 1).all()


def test_neurons_that_adapt_in_the_benchmark(models):
    best, full = models.loc[ADAPTS], models.loc[FULL]
    small, fast = models.loc[SMALL], models.loc[FAST]
    gain, ci95 = best.test - full.test, (best.test_ci95**2 + full.test_ci95**2) ** 0.5
    says(
        NOTEBOOK,
        f"They get {percent(best, 'test')} %, {gain:.1f} ± {ci95:.1f} points more than the full "
        f"layer, and {best.test_unseen:.1f} % of the words by speakers 4 and 5, where that gets "
        f"{full.test_unseen:.1f} %.",
    )
    more, half = small.test - fast.test, (fast.test_ci95**2 + small.test_ci95**2) ** 0.5
    says(
        NOTEBOOK,
        f"*Adapting fast* with 128 neurons, {fast.parameters:,.0f} parameters, the choice of the "
        f"pairs, gets {percent(fast, 'test')} %. The same with slower adaptation gets "
        f"{percent(small, 'test')} %: {more:.1f} ± {half:.1f} points more, not shown, and chosen",
    )
    assert 0 < more < half and fast.parameters == small.parameters
    dear = best.effective_acs / full.effective_acs
    says(NOTEBOOK, f"An answer costs {dear:.1f} times the accumulates of the full layer's.")
    assert gain > ci95 and {*models.test.nlargest(2).index} == {ADAPTS, SMALL}


def test_the_benchmark_beside_papers(runs, models):
    papers = pd.read_csv(RESULTS / "published.csv", index_col="network")
    on_test = papers.chosen_on == "test file"
    held_out = papers[papers.chosen_on.notna() & ~on_test]
    assert (held_out.verified.str.contains("not verified")).sum() == 3 and len(held_out) == 4
    fair, papers = held_out.accuracy, papers.accuracy
    honest = f"{fair.min():.1f} to {fair.max():.1f} %"
    assert 1.5 < papers[on_test].mean() - fair.mean() < 2.5  # "about two points"
    assert models.test.max() < 94 and papers.max() == papers[on_test].max()
    few = models[(models.parameters < 200_000) & (models.seeds == 5)]
    assert few.test.idxmax() == SMALL
    small, chosen = models.loc[SMALL], models.loc[FAST]
    says(
        NOTEBOOK,
        "of the spiking networks with so few parameters the rule's choice gets "
        f"{percent(chosen, 'test')} %, the highest on the test file {percent(small, 'test')} %, "
        f"and {small.test_seen:.1f} % of the words by speakers who trained.",
    )
    says(
        NOTEBOOK,
        "| SHD's own benchmark, 20 classes: 94 % with at most 200,000 parameters | no: "
        f"{percent(chosen, 'test')} % what the rule chose; {percent(small, 'test')} % the higher "
        "of two on the test file |\n"
        f"| there 85 %, with as few parameters as possible | {models.parameters[CHOSEN]:,.0f} |",
    )
    says(NOTEBOOK, f"Chosen by speakers or words held out, papers have {honest} (three of these")
    first = 100 * runs.query("model == @SMALL and seed == 0").test_accuracy.iloc[0]
    says(NOTEBOOK, f"had {first:.1f} % with its first seed, and got four more seeds later.")
    counted = (RESULTS / "README.md").read_text(encoding="utf-8")
    assert f"their first seed had {first:.1f} %" in counted
    assert f"All five have {small.test:.1f} %." in counted
    assert (
        "(20 classes, five seeds) the network that training speakers chose gets "
        f"{percent(chosen, 'test')} % with {chosen.parameters:,.0f} parameters; slower "
        f"adaptation gets {percent(small, 'test')} %, the higher of two on [the test file]"
    ) in README
    assert (
        f"With {models.parameters[CHOSEN]:,.0f} it is "
        f"{percent(models.loc[CHOSEN], 'test')} %. Papers: {honest} chosen on words or speakers "
        f"held out (three of four not verified), {papers.max()} on the test file."
    ) in README
