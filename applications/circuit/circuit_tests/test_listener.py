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
from shd_corpus.filter_bank import EventStream, FilterBank, to_samples
from shd_corpus.filter_bank.kernels import ENDS, GOES_ON, IS_DROPPED
from shd_corpus.speech import SPEECH_RATE_HZ, synthesize
from shd_helpers.events.downsampling import Downsampling

WAIT = 4000  # samples
# one process compiles both designs
pytestmark = [needs_verilator, pytest.mark.xdist_group("listener")]


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


def test_a_click_right_behind_a_digit_leaves_this_answer_and_the_next(trained):
    """While the digit is computed, the click's steps fill the ring, and then it is dropped."""
    two = to_samples(synthesize("two", "en-us+m3", 450), SPEECH_RATE_HZ)
    click = np.concatenate([np.zeros(2670), noise(0.03, 8000)])
    sound = with_background(np.concatenate([two, click]), two)
    raw = from_microphone(sound, WAIT)
    status = EventStream(FilterBank()).advance(scaled(raw, WAIT)).status
    assert [*status[status > GOES_ON]] == [ENDS, IS_DROPPED, ENDS]
    assert len(check(*trained, raw)) == 2


@pytest.mark.slow
def test_twenty_spoken_digits(trained):
    raw = from_microphone(with_background(*spoken(20)), WAIT)
    assert len(check(*trained, raw)) >= 15  # the others are found together with a neighbor, or not


def test_noise(small):
    """Two utterances 0.3 s apart; the circuit is never reset."""
    parts = [(0.4, 30), (0.3, 3000), (0.3, 30), (0.2, 6000), (0.4, 30)]
    raw = from_microphone(np.concatenate([noise(*part) for part in parts]), WAIT)
    assert len(check(*small, raw)) == 2


def test_a_reset_forgets_the_utterance_in_which_it_comes(small):
    """And nothing else is left of what was before."""
    folder, design = small
    burst = from_microphone(
        np.concatenate([noise(0.4, 30), noise(0.3, 3000), noise(0.4, 30)]), WAIT
    )
    begun = burst[: WAIT + 8600]  # 2,350 samples in
    lines, events = heard(folder, design, np.concatenate([begun, [PRESSED], burst]))
    wanted, utterances = expected(design, scaled(burst, WAIT))
    assert "e" in {line[0] for line in events[: len(events) // 3]}  # the first one had begun
    assert lines == wanted and len(lines) == 1
    steps = sum(n_steps for n_steps, _ in utterances)
    assert sum(line == "/" for line in events) > steps


def test_a_microphone_that_stops_and_goes_on(small):
    """Its pin stays as it is, high or low, so all bits of a sample are equal."""
    folder, design = small
    parts = [(0.4, 30), (0.2, 3000), (1.8, 30), (0.2, 6000), (0.4, 30)]
    raw = from_microphone(np.concatenate([noise(*part) for part in parts]), WAIT)
    is_stuck = np.zeros(len(raw), bool)
    is_stuck[WAIT + 16_000 : WAIT + 20_000] = True
    lines, _ = heard(folder, design, np.where(is_stuck, STUCK, raw))
    samples = [scaled(np.where(is_stuck, level, raw), WAIT) for level in (0, -1)]
    assert lines in [expected(design, each)[0] for each in samples]
    assert len(lines) >= 2
