"""Every result in the prose of notebook 8, computed from committed tables, networks and words."""

import numpy as np
import pytest

from shd_helpers import circuit, study
from shd_helpers.circuit.budget import memory
from shd_helpers.study import read_network, read_table, summarise
from shd_helpers.study.tables import RESULTS
from tests.test_prose import says

NOTEBOOK = "08_for_the_circuit"


def as_integers(table, part="validation"):
    return table.assign(**{f"{part}_accuracy": table[f"integer_{part}_accuracy"]})


@pytest.fixture(scope="module")
def bits():
    """The network of the committed folder, and the validated circuits with their bytes."""
    network = circuit.circuit_of(read_network("circuit_0"))
    table = read_table("circuit_bits_validation_hd")
    numbers = memory(network).numbers
    found = summarise(as_integers(table), "circuit")
    each = table.groupby("circuit").first()
    stored = [each[f"fc{i}_bits"] * numbers[f"weights, layer {i}"] / 8 for i in (1, 2)]
    return table, found.assign(bytes=sum(stored)), numbers


def test_one_neuron_in_notebook_8():
    kept, word = read_network("circuit_0"), circuit.read_vectors(RESULTS / "circuit")[3]
    run = circuit.circuit_of(kept).run(word.milliseconds, word.units)
    heard = study.input_of(kept, (word.milliseconds + 0.5) / 1000, word.units)
    (example,) = study.record_examples(kept.network, heard).values()
    floats, integers = example["spk"][:, word.label], run.spk[1][:, word.label]
    first = int(np.flatnonzero(floats != integers)[0] * heard.step_ms)
    assert first in range(440, 450) and integers[first // 3]
    says(NOTEBOOK, "Until 440 ms the neuron fires in the same steps; then one spike comes")
    says(NOTEBOOK, f"nearly the same, {integers.sum()} against {floats.sum()}")
    says(NOTEBOOK, f"last event, at {word.milliseconds.max()} ms")
    assert integers[700 // 3 :].any()


def test_bits_of_notebook_8(bits):
    table, found, numbers = bits
    share = found.validation
    rounded = share[["8/8/16", "8/8/12", "6/8/12", "4/8/12"]]
    floats = 100 * table[table.quantised_epochs == 0].validation_accuracy.mean()
    agree = 100 * table.groupby("circuit").integer_agreement.mean()
    few = found.loc["3/8/12, tuned"]
    for sentence in (
        f"({rounded.min():.1f} to {rounded.max():.1f} %, each ± {found.validation_ci95.max():.1f}, "
        f"pooled; the floats have {floats:.1f} %). With 3 bits it is {share['3/8/12']:.1f} %.",
        f"costs {share['4/8/12'] - share['4/8/12, layer']:.1f} points at 4 bits",
        f"with 4 bits there it is {share['8/4/12']:.1f} %",
        f"to {agree['8/8/10']:.0f} % of the words instead of {agree['8/8/12']:.0f} %",
        f"3 bits are back at {few.validation:.1f} %, with {few.bytes / 1e3:.1f} kB of weights; as "
        f"floats of 32 bits they take {4 * numbers.filter(like='weights').sum() / 1e3:.1f} kB. "
        f"With 2 bits it is {share['2/8/12, tuned']:.1f} %.",
    ):
        says(NOTEBOOK, sentence)
    assert abs(share["8/8/10"] - share["8/8/12"]) < 1
    assert (share[["8/8/12, nearest", "8/8/12, product"]] - share["8/8/12"]).abs().max() < 1
    smaller = found.bytes < few.bytes
    assert (share[smaller] < few.validation - 1).all()


def test_leak_of_notebook_8():
    found = summarise(as_integers(read_table("circuit_leak_hd")), "circuit")
    assert found.validation.idxmax() == "shift by 3"
    assert np.ptp(found.validation) < np.sqrt(2) * found.validation_ci95.min()
    says(NOTEBOOK, "The shift by 3 has the highest mean, so the circuit takes it: beta is 0.875")
