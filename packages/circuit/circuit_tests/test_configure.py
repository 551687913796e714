"""A folder is configured for other lanes, memories and names; no tool builds what can't work."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from benches import write_core
from circuits import (
    SMALL,
    exported,
    named,
    needs_icarus,
    needs_verilator,
    needs_yosys,
    study_folder,
)

from shd_circuit import configure
from shd_circuit.folder import ExportError
from shd_circuit.hardware import PARAMETERS
from shd_circuit.rtl.tools import run_yosys
from shd_circuit.sources import memories, source_text, verilog_values


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
        (["--prefix", "dé_"], "letters of ASCII"),
        (["--mem-path", 'di"gits/'], "MEM_PATH .* no quote"),
        (["--mem-path", "digits\\"], "MEM_PATH .* no quote, backslash"),
        (["--ram-style", "nonsense"], "RAM_STYLE 'nonsense': must be one of auto, block"),
        (["--mem-path", "di\ngits"], "MEM_PATH .* line break"),
    ],
)
def test_a_configuration_that_cannot_work_changes_nothing(arguments, says, tmp_path):
    exported(tmp_path / "circuit", "small", 1)
    before = {path: path.read_bytes() for path in (tmp_path / "circuit").iterdir()}
    with pytest.raises(SystemExit, match=says):
        configure.main([*arguments, "--folder", str(tmp_path / "circuit")])
    assert {path: path.read_bytes() for path in (tmp_path / "circuit").iterdir()} == before


@pytest.mark.parametrize(
    ("given", "written"),
    [("digits", "digits/"), ("digits/", "digits/"), ("./", "./"), ("a b//", "a b/"), ("", "")],
)
def test_a_path_of_memories_ends_with_a_slash(given, written, tmp_path):
    """`core.v` puts it before a file's name."""
    exported(tmp_path / "circuit", "study", 1)
    configure.main(["--mem-path", given, "--folder", str(tmp_path / "circuit")])
    assert f'MEM_PATH = "{written}"' in (tmp_path / "circuit" / "network.vh").read_text()


def content(folder):
    """Return the bytes of each file of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("n_written", range(0, 12, 4))
def test_a_disk_that_is_full_leaves_the_folder_as_it_was(n_written, tmp_path, monkeypatch):
    folder = tmp_path / "circuit"
    exported(folder, "study", 1)
    before = content(folder)
    write_bytes = Path.write_bytes
    written = []

    def until_full(path, data):
        if len(written) == n_written:
            raise OSError(28, "No space left on device")
        written.append(path)
        return write_bytes(path, data)

    monkeypatch.setattr(Path, "write_bytes", until_full)
    with pytest.raises(SystemExit, match=r"(?s)Nothing was configured.*No space left"):
        configure.main(["--lanes", "4", "--prefix", "digits_", "--folder", str(folder)])
    assert content(folder) == before


def test_a_folder_that_was_partly_changed_is_not_called_unchanged(tmp_path, monkeypatch):
    folder = tmp_path / "circuit"
    exported(folder, "study", 1)
    replace = os.replace
    replaced = []

    def first(source, target):
        if replaced:
            raise OSError("The disk was unplugged")
        replaced.append(target)
        return replace(source, target)

    monkeypatch.setattr(os, "replace", first)
    with pytest.raises(SystemExit) as ended:
        configure.main(["--lanes", "4", "--folder", str(folder)])
    message = str(ended.value.code)
    assert f"only {replaced[0].name} could be replaced" in message
    assert "Nothing" not in message and "Export it again" in message
    assert not list(folder.glob("*.part"))


def test_a_configured_file_keeps_its_permissions(tmp_path):
    exported(tmp_path / "circuit", "study", 1)
    path = tmp_path / "circuit" / "network.vh"
    path.chmod(0o640)
    configure.configure(tmp_path / "circuit", LANES=2)
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        ("network.vh", "MEM_LANES", "OTHER", r"network\.vh: has no parameter MEM_LANES\. Export"),
        ("network.vh", "BIAS_BITS", "OTHER", r"network\.vh: has no parameter BIAS_BITS\. Export"),
        ("network.vh", "WRITABLE", "OTHER", r"network\.vh: has no parameter WRITABLE\. Export"),
        ("leak.mem", "4\n4\n", "4\n4z\n", r"leak\.mem: line 2 has something else than hex"),
        ("mask.mem", "1", "\xff", r"mask\.mem: isn't a text file"),
        ("bias.mem", "\n", " 0\n", r"circuit/bias\.mem: numbers are missing, or it isn't packed"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(name, old, new, says, tmp_path):
    folder = tmp_path / "circuit"
    exported(folder, "study", 1)
    path = folder / name
    text = path.read_text()
    assert old in text
    path.write_bytes(text.replace(old, new, 1).encode("latin1"))
    with pytest.raises(SystemExit, match=f"(?s)Nothing was configured.*{says}"):
        configure.main(["--lanes", "4", "--folder", str(folder)])


@pytest.mark.parametrize("arguments", [["--lanes", "4"], ["--writable", "1"], []])
def test_missing_numbers_and_too_few_bits_are_found_by_each_configuration(arguments, tmp_path):
    folder = tmp_path / "circuit"
    exported(folder, "study", 1)
    arguments = [*arguments, "--folder", str(folder)]
    path = folder / "weight1.mem"
    text = path.read_text()
    path.write_text("\n".join(text.splitlines()[:10]))
    with pytest.raises(SystemExit, match=r"weight1\.mem: numbers are missing"):
        configure.main(arguments)
    path.write_text(text)
    parameters = folder / "network.vh"
    parameters.write_text(parameters.read_text().replace("WEIGHT1_BITS = 3", "WEIGHT1_BITS = 0"))
    with pytest.raises(SystemExit, match=r"more than 0 bits \(WEIGHT1_BITS\)"):
        configure.main(arguments)


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
    ("shd_top", ("SILENCE_MS", 300), "SILENCE_MS_must_be_1_to_255"),
    ("core", ("N_HIDDEN", 31), "N_HIDDEN_differs_from_N_WINDOWS_times_NEURONS_PER_WINDOW"),
    ("core", ("WEIGHT1_BITS", 0), "WEIGHT1_BITS_WEIGHT2_BITS_and_BIAS_BITS_must_be_2_or_more"),
]
WRONG_STYLE = ("core", ("RAM_STYLE", '"nonsense"'), "RAM_STYLE_must_be_auto_block_distributed_huge")
RIGHT = [
    ("core", ("WRITABLE", 1)),
    ("shd_top", ("BAUD", 115200)),
    ("shd_top", ("BAUD", 3000000)),
    ("shd_top", ("SILENCE_MS", 255)),
]


@needs_icarus
@needs_verilator
@needs_yosys
@pytest.mark.slow
@pytest.mark.parametrize("elaborate", [icarus, verilator, yosys])
def test_a_wrong_parameter_stops_elaboration(elaborate, tmp_path):
    write_core(tmp_path, named("small"), lanes=1)
    (tmp_path / "shd_top.v").write_text(source_text("rtl/shd_top.v"))
    # yosys takes no texts as parameters
    for top, parameter, says in WRONG if elaborate is yosys else [*WRONG, WRONG_STYLE]:
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
        shutil.copytree(study_folder(name), folder)
        configure.configure(folder, prefix=prefix, LANES=lanes, MEM_PATH=f"{name}/")
        sources += [f"{name}/core.v", f"{name}/bench.v"]
    (tmp_path / "two.v").write_text(TWO)
    command = ["verilator", "--binary", "--timing", "-O3", "-Wno-fatal", "-Wno-lint", "-Wno-style"]
    command += ["--quiet", "--top-module", "two", "-Icircuit", "-Icircuit_study"]
    assert tool([*command, *sources], tmp_path) == ""
    run = ["./obj_dir/Vtwo", "+utterances=1"]
    ended = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ended.stdout.count("PASS: 1 utterances") == 2
