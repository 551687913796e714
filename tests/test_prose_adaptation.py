"""What notebook 7 says of neurons that adapt, from the committed tables."""

import pytest

from shd_helpers.study import contrasts, read_table
from tests.test_prose import says

NOTEBOOK = "07_new_speakers"
ONE, TWO, EIGHT = "one layer", "two layers", "eight delays"


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
    best = f"{EIGHT}, adapting, threshold 1"
    percent = 100 * means.validation_accuracy
    assert percent.idxmax() == best
    says(
        NOTEBOOK,
        f"the mean rises from {percent[EIGHT]:.1f} % (*eight delays*, a network as those before) "
        f"to {percent[best]:.1f} %.",
    )
    often = [means.hidden_spikes[f"{name}, adapting"] / means.hidden_spikes[name]
             for name in (ONE, EIGHT)]  # fmt: skip
    says(NOTEBOOK, f"spike {often[0]:.0f} to {often[1]:.0f} times as often")
    dear = means.effective_acs[best] / means.effective_acs[f"{EIGHT}, adapting"]
    says(NOTEBOOK, f"With eight delays threshold 1 takes {dear:.1f} times the accumulates.")
