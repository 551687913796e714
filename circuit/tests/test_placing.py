"""The board's circuit is placed and routed on each FPGA."""

import pytest
from circuits import exported, needs_yosys

from shd_circuit.rtl import FAMILIES, place_and_route

pytestmark = [pytest.mark.slow, needs_yosys]


@pytest.mark.parametrize(
    ("family", "top"),
    [
        ("UP5K", "shd_top"),
        pytest.param("UP5K", "slow_top", marks=pytest.mark.full),
        pytest.param("ECP5-25F", "shd_top", marks=pytest.mark.full),
    ],
)
def test_a_small_board_fits_and_its_needs_are_reported(family, top, tmp_path):
    exported(tmp_path / "circuit", "study", 1)
    needed, path = place_and_route(tmp_path / "circuit", family, top)
    assert list(needed) == [*FAMILIES[family].cells.values(), "MHz"]
    assert needed["MHz"] > 12
    n_logic_cells = next(iter(needed.values()))
    assert n_logic_cells > 100
    assert len(path) > 2
    assert sum(float(line.split()[0]) for line in path) > 5  # nanoseconds
