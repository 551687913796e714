"""The core is placed and routed on each FPGA.

The command that simulates and places a circuit (``make rtl``).
"""

import json

import pandas as pd
import pytest
from circuits import exported, needs_yosys

from shd_circuit import rtl
from shd_circuit.folder import ExportError
from shd_circuit.rtl import __main__ as command
from shd_circuit.rtl.front_ends import placed_front_end
from shd_corpus.filter_bank import FilterBank


def test_the_clock_is_that_of_the_slowest_placement(tmp_path, monkeypatch):
    """With its path. Flip-flops are counted in the netlist that all placements share."""
    exported(tmp_path / "circuit", "study", 1)
    clocks = {"1": 30.04, "2": 25.46, "3": 27.0, "4": 28.0, "5": 29.0}  # by seed

    def synthesized(folder, _):
        cells = {str(i): {"type": kind} for i, kind in enumerate(["SB_DFF", "SB_DFFE", "SB_LUT4"])}
        (folder / "top.json").write_text(json.dumps({"modules": {"placed": {"cells": cells}}}))

    def placed(command, folder):
        mhz = clocks.pop(command[-1])
        hop = {"to": {"cell": f"at {mhz}"}, "delay": 1000 / mhz}
        report = {
            "utilization": {cell: {"used": 7} for cell in rtl.FAMILIES["UP5K"].cells},
            "fmax": {"clk": {"achieved": mhz}},
            "critical_paths": [{"from": "clk", "to": "clk", "path": [hop]}],
        }
        (folder / "report.json").write_text(json.dumps(report))

    monkeypatch.setattr(rtl, "run_yosys", synthesized)
    monkeypatch.setattr(rtl, "find_tool", str)
    monkeypatch.setattr(rtl, "run_tool", placed)
    needed, path = rtl.place_and_route(tmp_path / "circuit", "UP5K")
    assert (needed["MHz"], needed["flip-flops"], path) == (25.5, 2, [" 39.28 at 25.46"])
    assert not clocks


@pytest.mark.slow
@needs_yosys
def test_a_design_that_is_too_large_is_told_what_is_lacking(tmp_path):
    memories = "".join(f"reg [15:0] m{i} [0:255]; reg [15:0] d{i};" for i in range(31))
    writes = "".join(f"m{i}[a] <= in; d{i} <= m{i}[a + 8'd{i}];" for i in range(31))
    data = " ^ ".join(f"d{i}" for i in range(31))
    (tmp_path / "large.v").write_text(
        "module large(input clk, input [7:0] a, input [15:0] in, output reg [15:0] out);"
        f"{memories} always @(posedge clk) begin {writes} out <= {data}; end endmodule"
    )
    with pytest.raises(ExportError, match=r"large: doesn't fit UP5K.*too few block RAMs of 4 kbit"):
        rtl.place_and_route_module(tmp_path, "UP5K", "large.v", "large")


@pytest.mark.slow
@needs_yosys
@pytest.mark.parametrize("family", ["UP5K", pytest.param("ECP5-25F", marks=pytest.mark.full)])
def test_a_small_core_fits_and_its_needs_are_reported(family, tmp_path, monkeypatch):
    monkeypatch.setattr(rtl, "SEEDS", (1,))
    exported(tmp_path / "circuit", "study", 1)
    needed, path = rtl.place_and_route(tmp_path / "circuit", family)
    cells = rtl.FAMILIES[family].cells.values()
    assert list(needed) == ["flip-flops", *cells, "MHz"]
    assert needed["MHz"] > 12
    assert needed[next(iter(cells))] > needed["flip-flops"] > 100
    assert len(path) > 2
    assert sum(float(line.split()[0]) for line in path) > 5  # nanoseconds


@pytest.mark.slow
@needs_yosys
@pytest.mark.parametrize("n_channels", [77, 30])
def test_a_front_end_leaves_room_for_a_core(n_channels, monkeypatch):
    """On an UP5K of 5,280 cells and 30 block RAMs, 20 % above its clock of 12 MHz."""
    monkeypatch.setattr(rtl, "SEEDS", (1,))
    needed = placed_front_end(FilterBank(n_channels), "UP5K")
    assert needed["logic cells (a LUT and a flip-flop)"] < 1900
    assert needed["block RAMs of 4 kbit"] == 7
    assert needed["multipliers"] == 4
    assert needed["MHz"] > 1.2 * 12


OPTIONS = [
    "--language english",
    "--membranes 2",
    "--circuit 8-8-16",
    "--utterances 5",
    "--dataset x",
]


def stop(message):
    """Return a function that ends the command with a message."""

    def stopped(*_):
        raise ExportError(message)

    return stopped


@pytest.mark.parametrize("option", ["", *OPTIONS])
def test_an_argument_that_changes_the_export_is_not_ignored(option, tmp_path, monkeypatch):
    """An export of other arguments is there already."""
    exported(tmp_path / "circuit", "study", 1)
    monkeypatch.setattr(command, "export_from", stop("exported anew"))
    monkeypatch.setattr(command, "check_core", stop("taken as it is"))
    out = ["--out", str(tmp_path / "circuit")]
    monkeypatch.setattr("sys.argv", ["rtl", "some_run", *out, *option.split()])
    with pytest.raises(SystemExit, match="exported anew" if option else "taken as it is"):
        command.main()


ROWS = [("core", "lanes 1", "cycles", 14629480.5), ("core", "lanes 1", "MHz", 26.8)]


def test_a_table_keeps_its_digits_and_the_rows_of_others(tmp_path):
    table = pd.DataFrame(ROWS, columns=command.COLUMNS)
    path = tmp_path / "rtl.csv"
    for folder in ("a", "b", "a"):
        command.write_table(path, folder, table)
    lines = path.read_text().splitlines()
    assert lines[0] == "folder,device,build,quantity,value"
    assert [line[0] for line in lines[1:]] == ["b", "b", "a", "a"]
    assert lines[1] == "b,core,lanes 1,cycles,14629480.5" and lines[2].endswith(",26.8")
    assert [*table.columns] == command.COLUMNS  # the caller's is as it was
