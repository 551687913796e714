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
    "a cell counts twice": ("is_found && new_cells != old_cells", "is_found"),
    "a spike is taken late": ("held_ms} >= bin_end", "held_ms} > bin_end"),
    "a spike of no unit counts": ("&& is_used && !rst", "&& !rst"),
    "the first step never ends": ("SCAN: if (scan_ends)", "SCAN: if (scan_ends && !is_first)"),
    "an answer is taken back": (
        "out_valid = sends && has_score;",
        "out_valid = sends && has_score && !out_ready;",
    ),
    "a class is passed over": (
        "wire gives = out_valid && out_ready;",
        "wire gives = sends && out_ready;",
    ),
    "an event outlives the reset": ("n_cells == ENOUGH && !rst;", "n_cells == ENOUGH;"),
}


def test_what_is_accepted_is_counted_once_and_nothing_stands_still():
    prove(CORE, DEPTH, counter())


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
        prove(CORE.replace(line, broken), 40, counter())  # more than the longest wait
