"""The circuit's confidence: in C, in Python and beside a board's answer the same decisions."""

import subprocess

import numpy as np
import pytest
from circuits import needs_gcc
from shd_circuit.board import BoardError
from shd_circuit.board import Confidence as OfBoard
from shd_circuit.confidence import confidence_of
from shd_circuit.folder import read_circuit, read_vectors
from shd_circuit.quantize import circuit_of, score_units
from shd_circuit.sources import Utterance, events_text

from shd_helpers.network import Quantization
from shd_helpers.study import load_pretrained
from tests import RESULTS

FOLDER = RESULTS / "circuit"


@pytest.fixture(scope="module")
def trained():
    """The network of the committed folder, and its bits."""
    return load_pretrained("small").speaking("english"), Quantization.named("5-8-16 product")


def disturbed(utterances, n):
    """Return n utterances: these with ever fewer of their spikes, and ever more at random."""
    rng = np.random.default_rng(0)
    changed = []
    for i in range(n):
        utterance = utterances[i % len(utterances)]
        kept = rng.random(len(utterance.units)) < rng.uniform(0.1, 1)
        n_new = int(rng.uniform(0, 0.5) * len(kept))
        milliseconds = np.concatenate([utterance.milliseconds[kept], rng.integers(0, 900, n_new)])
        units = np.concatenate([utterance.units[kept], rng.integers(0, 700, n_new)])
        order = np.argsort(milliseconds, kind="stable")
        changed.append(Utterance(milliseconds[order], units[order], utterance.label))
    return changed


@needs_gcc
def test_the_committed_threshold_is_the_network_s(trained):
    network, bits = trained
    confidence = confidence_of(network, bits, circuit_of(network, bits))
    assert (FOLDER / "confidence.h").read_text() == confidence.header()


def of_c(folder, utterances):
    """Return confidence and decision of each utterance, as the C reference prints them."""
    command = ["gcc", "-std=c99", "-O2", "-DACCEPT", FOLDER / "reference.c", "-o", "reference"]
    subprocess.run(command, cwd=folder, check=True)
    text = events_text(utterances)
    ended = subprocess.run(["./reference"], cwd=folder, input=text, capture_output=True, text=True)
    return [[int(n) for n in line.split()[-2:]] for line in ended.stdout.splitlines()]


@needs_gcc
def test_c_python_and_board_decide_alike_and_as_the_softmax_of_floats(trained, tmp_path):
    """On 200 utterances, from clear ones to noise."""
    network, bits = trained
    circuit = read_circuit(FOLDER)
    confidence = confidence_of(network, bits, circuit)
    utterances = disturbed(read_vectors(FOLDER), 200)
    scores = np.array([circuit.run(*utterance.spikes).scores for utterance in utterances])
    found = of_c(tmp_path, utterances)
    of_board = OfBoard(FOLDER)
    assert found == [of_board.of(row.tolist()) for row in scores]
    assert found == [[confidence.per_mille(row), confidence.accepts(row)] for row in scores]
    per_mille, accepted = np.array(found).T
    logits = scores / score_units(network.network, bits, circuit)
    in_floats = 1 / np.exp(logits - logits.max(1, keepdims=True)).sum(1)
    assert np.abs(in_floats - per_mille / 1000).max() < 0.005
    threshold = network.about["confidence_threshold"]
    is_clear = np.abs(in_floats - threshold) > 0.005
    assert (accepted == (in_floats >= threshold))[is_clear].all()
    assert 20 < accepted.sum() < 180


def test_a_folder_without_a_threshold_is_named():
    with pytest.raises(BoardError, match=r"confidence\.h: has no threshold.*--accept"):
        OfBoard(RESULTS / "circuit_study")
