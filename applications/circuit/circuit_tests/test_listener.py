"""The listener in Verilog, from the microphone's pins to answers on its serial port."""

import numpy as np
import pytest
from circuits import needs_verilator, random_circuit
from listened import design_of
from simulated import (
    PRESSED,
    STUCK,
    Design,
    build,
    expected,
    from_microphone,
    heard,
    heard_utterances,
    scaled,
)

from corpus_tests.filter_bank_sounds import noise, spoken, with_background
from shd_circuit import say
from shd_circuit.confidence import Confidence
from shd_corpus.filter_bank import FilterBank
from shd_helpers.events.downsampling import Downsampling

WAIT = 4000  # samples
pytestmark = needs_verilator


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small listener of random integers, which is built."""
    grid = Downsampling(0, 0.999, 1, 3, 1, n_channels=16)
    network = random_circuit(grid=grid, delays=(0, 4), is_membrane=True, mem_bits=14)
    design = Design(network, FilterBank(16), Confidence(9000, 40_000, 4), WAIT, 2, 8)
    folder = tmp_path_factory.mktemp("small")
    build(folder, design)
    return folder, design


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The listener of the trained network at the clock of a board, 12 MHz."""
    design = design_of(say.load(say.NETWORK, "english"), WAIT)
    folder = tmp_path_factory.mktemp("trained")
    build(folder, design)
    return folder, design


def check(folder, design, raw):
    """Compare what is heard with Python, and return the lines."""
    lines, events = heard(folder, design, raw)
    wanted, utterances = expected(design, scaled(raw, WAIT))
    assert lines == wanted
    assert heard_utterances(events) == utterances
    return lines


def test_two_spoken_digits(trained):
    words = [word for i, word in enumerate(spoken(60)) if i in {30, 55}]
    raw = from_microphone(with_background(*words)[5000:-5000], WAIT)
    lines = check(*trained, raw)
    assert [line[-4:] for line in lines] == ["= 03", "? 05"]


def test_noise(small):
    """Two utterances 0.3 s apart; the circuit is never reset."""
    parts = [(0.4, 30), (0.3, 3000), (0.3, 30), (0.2, 6000), (0.4, 30)]
    raw = from_microphone(np.concatenate([noise(*part) for part in parts]), WAIT)
    assert len(check(*small, raw)) == 2
