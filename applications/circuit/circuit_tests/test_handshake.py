"""The core's handshakes, proven in the first cycles, whatever happens at its ports."""

import pytest
from circuits import needs_yosys

from shd_circuit.folder import ExportError
from shd_circuit.rtl import counter, prove
from shd_circuit.sources import MODULE_FILES, source_text

pytestmark = [pytest.mark.slow, needs_yosys]

CORE = "".join(source_text(f"rtl/{file}") for file in MODULE_FILES)
DEPTH = 45  # more takes minutes
# By then, an utterance of two steps with spikes in one of them can be answered. One with spikes in
# both steps can't.
DEPTH_OF_TWO_STEPS = 40
BROKEN = {
    "a spike is taken over another": ("if (in_valid && in_ready)", "if (in_valid)"),
    "an event hides another": ("8'd0 : word | 8'd1 << event_bit", "8'd0 : 8'd1 << event_bit"),
    "a window takes an event of another": (
        "block_in_window < WINDOW;",
        "block_in_window <= WINDOW;",
    ),
    "a spike is taken late": ("held_ms} >= bin_end", "held_ms} > bin_end"),
    "a spike of no unit counts": ("&& is_used && !rst", "&& !rst"),
    "the last of equal scores is the answer": ("score > best;", "score >= best;"),
    "an answer is taken back": (
        "out_valid = sends && has_score;",
        "out_valid = sends && has_score && !out_ready;",
    ),
    "a class is passed over": (
        "wire gives = out_valid && out_ready;",
        "wire gives = sends && out_ready;",
    ),
}
SCAN = "SCAN: if (scan_ends"


def test_what_is_accepted_is_counted_once():
    prove(CORE, DEPTH, counter())


def test_an_answer_never_takes_longer_than_all_steps():
    """With one unit, this is less than 40 cycles. With two, the check would end before."""
    prove(CORE, 40, counter(n_units=1))
    assert CORE.count(SCAN) == 1
    with pytest.raises(ExportError, match="failed assertion"):
        prove(CORE.replace(SCAN, f"{SCAN} && !is_first"), 40, counter(n_units=1))


@pytest.mark.full
def test_steps_are_added_up_and_bins_are_closed():
    """An utterance of one unit, two steps and two bins."""
    two_steps = counter(n_units=1, n_steps=2, pool_steps=2)
    prove(CORE, DEPTH_OF_TWO_STEPS, two_steps)


@pytest.mark.full
def test_a_core_that_forgets_a_step_is_found_out():
    line = "<= is_first ? term : score + term;"
    assert CORE.count(line) == 1
    two_steps = counter(n_units=1, n_steps=2, pool_steps=2)
    with pytest.raises(ExportError, match="failed assertion"):
        prove(CORE.replace(line, "<= term;"), DEPTH_OF_TWO_STEPS, two_steps)


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_core_is_found_out(fault):
    (line, broken) = BROKEN[fault]
    assert CORE.count(line) == 1
    with pytest.raises(ExportError, match="failed assertion"):
        prove(CORE.replace(line, broken), DEPTH, counter())
