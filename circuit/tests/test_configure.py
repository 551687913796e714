"""A folder is configured for other lanes, memories and names; no tool builds what can't work."""

import shutil
import subprocess

import pytest
from benches import write_core
from circuits import (
    SMALL,
    exported,
    named,
    needs_icarus,
    needs_verilator,
    needs_yosys,
)
from shd_circuit import configure
from shd_circuit.folder import ExportError
from shd_circuit.hardware import PARAMETERS
from shd_circuit.rtl.tools import run_yosys
from shd_circuit.sources import memories, source_text, verilog_values

from tests import RESULTS


@pytest.mark.parametrize(("name", "lanes"), [("study", 5), ("small", 4), ("narrow windows", 3)])
def test_memories_are_packed_for_any_lanes_and_back(name, lanes, tmp_path):
    network, _ = exported(tmp_path / "circuit", name, 1)
    configure.configure(tmp_path / "circuit", LANES=lanes)
    for file, text in memories(network, lanes).items():
        assert (tmp_path / "circuit" / file).read_text() == text
    assert configure.parameters_of(tmp_path / "circuit")["MEM_LANES"] == lanes
    configure.configure(tmp_path / "circuit", LANES=1)
    for file, text in memories(network).items():
        assert (tmp_path / "circuit" / file).read_text() == text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--lanes", "3"], "must divide the 4 neurons of a window"),
        (["--lanes", "0"], "must divide"),
        (["--initial", "0"], "would never hold anything"),
        (["--prefix", "2nd_"], "must begin with a letter"),
    ],
)
def test_a_configuration_that_cannot_work_changes_nothing(arguments, says, tmp_path):
    exported(tmp_path / "circuit", "small", 1)
    before = {path: path.read_bytes() for path in (tmp_path / "circuit").iterdir()}
    with pytest.raises(SystemExit, match=says):
        configure.main([*arguments, "--folder", str(tmp_path / "circuit")])
    assert {path: path.read_bytes() for path in (tmp_path / "circuit").iterdir()} == before


def test_a_prefix_is_before_every_module_s_name_and_is_taken_back(tmp_path):
    folder = tmp_path / "circuit"
    exported(folder, "study", 1)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    configure.configure(folder, prefix="digits_")
    assert "module digits_core #(" in (folder / "core.v").read_text()
    assert '`include "digits_network.vh"' in (folder / "shd_top.v").read_text()
    assert "    digits_core #(" in (folder / "shd_top.v").read_text()
    assert "toplevel: digits_shd_top" in (folder / "shd_circuit.core").read_text()
    configure.configure(folder, prefix="")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("name", ["study", *SMALL])
def test_every_parameter_is_explained(name):
    assert list(verilog_values(named(name))) == list(PARAMETERS)


# --- tools ----------------------------------------------------------------------------------------


def icarus(folder, top, parameter):
    name, value = parameter
    command = ["iverilog", "-g2005", "-o", "out", "-s", top, f"-P{top}.{name}={value}"]
    return tool([*command, "shd_top.v", "core.v"], folder)


def verilator(folder, top, parameter):
    name, value = parameter
    command = ["verilator", "--lint-only", "-Wno-fatal", "-Wno-lint", "-Wno-style"]
    command += ["--top-module", top, f"-G{name}={value}"]
    return tool([*command, "shd_top.v", "core.v"], folder)


def yosys(folder, top, parameter):
    name, value = parameter
    script = f"read_verilog -defer shd_top.v core.v; hierarchy -check -top {top} "
    try:
        run_yosys(folder, f"{script} -chparam {name} {value}")
    except ExportError as error:
        return str(error)
    return ""


def tool(command, folder):
    """Return what a tool says if it fails, else nothing."""
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return ended.stdout + ended.stderr if ended.returncode else ""


WRONG = [
    ("core", ("LANES", 2), "LANES_differs_from_MEM_LANES"),
    ("shd_top", ("LANES", 2), "LANES_differs_from_MEM_LANES"),
    ("core", ("LANES", 3), "LANES_must_divide_NEURONS_PER_WINDOW"),
    ("core", ("INITIAL", 0), "INITIAL_0_wants_WRITABLE_1"),
    ("shd_top", ("BAUD", 1843200), "BAUD_must_divide_CLOCK_HZ"),
    ("shd_top", ("BAUD", 6000000), "BAUD_must_divide_CLOCK_HZ"),
]
RIGHT = [("core", ("WRITABLE", 1)), ("shd_top", ("BAUD", 115200)), ("shd_top", ("BAUD", 3000000))]


@needs_icarus
@needs_verilator
@needs_yosys
@pytest.mark.slow
@pytest.mark.parametrize("elaborate", [icarus, verilator, yosys])
def test_a_wrong_parameter_stops_elaboration(elaborate, tmp_path):
    write_core(tmp_path, named("small"), lanes=1)
    (tmp_path / "shd_top.v").write_text(source_text("rtl/shd_top.v"))
    for top, parameter, says in WRONG:
        assert says in elaborate(tmp_path, top, parameter), parameter
    for top, parameter in RIGHT:
        assert elaborate(tmp_path, top, parameter) == "", parameter


@needs_yosys
@pytest.mark.slow
def test_a_core_whose_memories_begin_empty_is_an_ecp5_s_too(tmp_path):
    write_core(tmp_path, named("no pooling"), lanes=1)
    configure.configure(tmp_path, WRITABLE=1, INITIAL=0)
    run_yosys(tmp_path, "read_verilog core.v; synth_ecp5 -top core -run begin:map_ffs")


TWO = """module two; bench first(); study_bench second(); endmodule
"""


@needs_verilator
@pytest.mark.slow
def test_the_study_s_network_and_the_small_one_are_in_one_design(tmp_path):
    """Each answers its own utterance; the lanes differ, too."""
    sources = ["two.v"]
    for name, prefix, lanes in (("circuit", "", 16), ("circuit_study", "study_", 8)):
        folder = tmp_path / name
        shutil.copytree(RESULTS / name, folder)
        configure.configure(folder, prefix=prefix, LANES=lanes, MEM_PATH=f"{name}/")
        sources += [f"{name}/core.v", f"{name}/bench.v"]
    (tmp_path / "two.v").write_text(TWO)
    command = ["verilator", "--binary", "--timing", "-O3", "-Wno-fatal", "-Wno-lint", "-Wno-style"]
    command += ["--quiet", "--top-module", "two", "-Icircuit", "-Icircuit_study"]
    assert tool([*command, *sources], tmp_path) == ""
    run = ["./obj_dir/Vtwo", "+utterances=1"]
    ended = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ended.stdout.count("PASS: 1 utterances") == 2
