"""The circuit's confidence: in C and in Python the same decisions."""

import subprocess

import numpy as np
import pytest
from circuits import needs_gcc, study_folder

from shd_circuit.confidence import confidence_of
from shd_circuit.folder import read_circuit, read_vectors
from shd_circuit.quantize import circuit_of, score_units
from shd_circuit.sources import Utterance, events_text
from shd_corpus.class_names import LANGUAGES
from shd_helpers.network import Quantization
from shd_helpers.study import load_pretrained


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


def test_the_committed_threshold_is_that_of_the_network_s_file(trained):
    network, bits = trained
    confidence = confidence_of(network, bits, circuit_of(network, bits))
    assert (study_folder("circuit") / "confidence.h").read_text() == confidence.header()
    assert confidence.threshold == pytest.approx(network.about["confidence_threshold"], abs=1e-4)


@pytest.mark.parametrize(("threshold", "n_accepted"), [(np.inf, 0), (1.0, 1), (1e-6, 3), (0.0, 3)])
def test_thresholds_at_the_limits_accept_nothing_or_everything(trained, threshold, n_accepted):
    network, bits = trained
    network = network._replace(about=network.about | {"confidence_threshold": threshold})
    confidence = confidence_of(network, bits, circuit_of(network, bits))
    sure = [1 << 29] + 9 * [0]
    doubtful = [3_000_000] + 9 * [2_900_000]
    tie = 10 * [0]
    found = [confidence.of(scores) for scores in (sure, doubtful, tie)]
    assert [accepted for _, accepted in found].count(1) == n_accepted
    assert (found[0][0], found[2][0]) == (1000, 100)


def test_a_network_without_a_threshold_has_no_confidence(trained):
    network, bits = trained
    about = {name: value for name, value in network.about.items() if name != "confidence_threshold"}
    bare = network._replace(about=about)
    assert confidence_of(bare, bits, circuit_of(bare, bits)) is None


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """Compile the reference that prints confidences."""
    folder = tmp_path_factory.mktemp("programs")
    command = ["gcc", "-std=c99", "-O2", "-DACCEPT", "-o", folder / "reference"]
    subprocess.run([*command, study_folder("circuit") / "reference.c"], check=True)
    return folder


def of_c(folder, spikes):
    """Return the scores, and confidence and decision, that the C reference prints of each."""
    ended = subprocess.run([folder / "reference"], input=spikes, capture_output=True, text=True)
    lines = [[int(n) for n in line.split()] for line in ended.stdout.splitlines()]
    return [line[1:-2] for line in lines], [line[-2:] for line in lines]


@needs_gcc
@pytest.mark.parametrize("n", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_c_and_python_decide_alike_and_as_the_softmax_of_floats(trained, programs, n):
    """On utterances from clear ones to noise."""
    network, bits = trained
    circuit = read_circuit(study_folder("circuit"))
    utterances = disturbed(read_vectors(study_folder("circuit")), n)
    scores = np.array([circuit.run(*utterance.spikes).scores for utterance in utterances])
    scores_of_c, found = of_c(programs, events_text(utterances))
    confidence = confidence_of(network, bits, circuit)
    assert scores_of_c == scores.tolist()
    assert found == [confidence.of(row.tolist()) for row in scores]
    per_mille, accepted = np.array(found).T
    logits = scores / score_units(network.network, bits, circuit)
    in_floats = 1 / np.exp(logits - logits.max(1, keepdims=True)).sum(1)
    assert np.abs(in_floats - per_mille / 1000).max() < 0.005
    above_threshold = in_floats - network.about["confidence_threshold"]
    is_accepted = (scores.argmax(1) != len(LANGUAGES["english"])) & (above_threshold >= 0)
    assert (accepted == is_accepted)[np.abs(above_threshold) > 0.005].all()
    assert n / 20 < accepted.sum() < n * 19 / 20


def test_the_circuit_of_a_network_with_a_class_for_other_sounds_never_accepts_it(trained):
    network, bits = trained
    circuit = circuit_of(network, bits)
    assert confidence_of(network, bits, circuit).other == 10
    of_eleven_digits = network._replace(class_names=(*LANGUAGES["english"], "ten"))
    assert confidence_of(of_eleven_digits, bits, circuit).other is None
