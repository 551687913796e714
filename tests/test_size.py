"""The package stays thin: lines of Python by folder, which fall when lines go and don't rise."""

import pytest

from shd_helpers.paths import ROOT

# Lines, comments and docstrings included. Raise one only for what the study needs, and say why.
# The circuit of the small network (windows, own leaks, membranes, a stop) took 20, 230 and 250
# lines; the page that hears 170 of hardware and 290 of tests, besides C and JavaScript. The proof
# of the handshakes took 80 of hardware, counted changes of nets 130, faults with few bits 50, an
# FPGA's cells that are checked and five seeds in each folder 30, and 65 of tests.
CEILINGS = {"shd_helpers": 8_890, "hardware": 2_995, "tools": 920, "tests": 11_055}


@pytest.mark.parametrize(("folder", "ceiling"), CEILINGS.items())
def test_a_folder_is_not_longer_than_it_may_be(folder, ceiling):
    lines = sum(
        len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / folder).rglob("*.py")
    )
    assert lines <= ceiling
    assert lines > 0.95 * ceiling, f"{folder} has {lines} lines now: lower its ceiling"
