"""Notebook 8 breaks one weight: the right bit, and the votes that it changes."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import shd_circuit
from shd_corpus.class_names import LANGUAGES
from shd_course.figures import circuits
from tests import RESULTS
from tests.builders.notebooks import prose_of


@pytest.mark.parametrize(
    ("weight", "bit", "broken"),
    [(0, 0, 1), (6, 6, 70), (5, 7, -123), (-1, 7, 127), (-128, 7, 0), (-1, 0, -2), (127, 7, -1)],
)
def test_a_bit_is_flipped_in_twos_complement(weight, bit, broken):
    assert circuits.flipped(weight, bit) == broken
    assert circuits.flipped(broken, bit) == weight
    assert np.int8(weight).view(np.uint8) ^ np.uint8(1 << bit) == np.int8(broken).view(np.uint8)


@pytest.fixture(scope="module")
def study():
    """Return the circuit, its utterances, and the hidden spikes: steps, utterances, neurons."""
    circuit = shd_circuit.study_circuit("circuit_study")
    utterances = shd_circuit.read_vectors(RESULTS / "circuit_study")
    runs = [circuit.run(each.milliseconds, each.units) for each in utterances]
    hidden = np.stack([run.spk[0] for run in runs], axis=1).astype(int)
    scores = np.array([run.scores for run in runs])
    yield circuit, utterances, hidden, scores
    plt.close("all")


def votes_of(circuit, hidden, k, changes):
    """Return the votes for class k if one weight is changed, (utterances, hidden neurons).

    `changes` has what is added to the weight of each hidden neuron.
    """
    layer = circuit.layers[1]
    votes = mem = np.zeros(hidden.shape[1:], int)
    for spikes in hidden:
        total = (spikes @ layer.weight[k])[:, None] + spikes * changes
        reset = layer.threshold[k] * (mem > layer.threshold[k])
        mem = mem - mem // 8 + layer.bias[k] + (total << layer.shift) - reset
        mem = np.clip(mem, -2048, 2047)
        votes = votes + (mem > layer.threshold[k])
    return votes


def test_what_is_drawn_is_what_the_broken_circuit_answers(study, monkeypatch):
    circuit, utterances, hidden, intact = study
    names = LANGUAGES["english"]
    seen = {}
    monkeypatch.setattr(
        circuits, "explore", lambda figure, update, **_: seen.update(figure=figure, update=update)
    )
    circuits.break_a_weight(circuit, utterances, names, "one", 46, bit=6, shown=3)
    line = seen["update"]()
    votes = intact.copy()
    votes[:, 1] = votes_of(circuit, hidden, 1, 70 - 6)[:, 46]
    n_right = (votes.argmax(1) == [each.label for each in utterances]).sum()
    assert (
        line == f"Bit 6 of one weight is flipped, 6 becomes 70: {n_right} of 20 answers are right"
    )
    left, right = seen["figure"].axes
    before, after = ([bar.get_height() for bar in bars] for bars in left.containers)
    assert before == intact[3].tolist() and after == votes[3].tolist()
    assert len(right.lines[1].get_ydata()) == n_right
    assert sorted(np.concatenate([each.get_ydata() for each in right.lines[1:]])) == sorted(
        votes.argmax(1)
    )


def test_what_notebook_8_says_of_broken_weights(study):
    circuit, utterances, hidden, intact = study
    page = prose_of(8)
    labels = np.array([each.label for each in utterances])
    assert (intact.argmax(1) == labels).all() and len(labels) == 20
    n_harmless = 0
    n_right_of = {}
    for k in range(10):
        is_negative = circuit.layers[1].weight[k] < 0
        votes = votes_of(circuit, hidden, k, np.where(is_negative, 128, -128))  # the sign's bit
        for neuron in range(256):
            scores = intact.copy()
            scores[:, k] = votes[:, neuron]
            n_right = (scores.argmax(1) == labels).sum()
            n_right_of[k, neuron] = n_right
            n_harmless += n_right == 20
    share = hidden.mean(axis=(0, 1))
    assert share.argmax() == 46 and share[46] == pytest.approx(1 / 5, abs=0.01)
    assert f"for {100 * n_harmless / 2560:.0f} % of the 2,560 output weights" in page
    others = [n for (_, neuron), n in n_right_of.items() if neuron != 46]
    assert "breaks more than ten answers" in page and min(others) < 10
