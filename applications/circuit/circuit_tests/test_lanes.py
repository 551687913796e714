"""A folder is exported for any number of lanes, and no tool builds what can't work."""

import subprocess

import pytest
from benches import write_core
from circuits import (
    SMALL,
    exported,
    named,
    needs_icarus,
    needs_yosys,
    random_circuit,
)

from shd_circuit.folder import ExportError, build_folder, read_circuit
from shd_circuit.hardware import PARAMETERS
from shd_circuit.rtl.tools import run_yosys
from shd_circuit.sources import (
    memories,
    memory_words,
    stored_bits,
    verilog_files,
    verilog_parameters,
    verilog_values,
)


@pytest.mark.parametrize(("name", "lanes"), [("study", 5), ("small", 4), ("narrow windows", 3)])
def test_a_folder_is_exported_for_any_lanes_and_read_back(name, lanes, tmp_path):
    network, _ = exported(tmp_path, name, 1, lanes=lanes)
    again = read_circuit(tmp_path)
    assert memories(again) == memories(network)
    assert verilog_parameters(again) == verilog_parameters(network)
    build_folder(tmp_path, LANES=1)
    for file, text in memories(network).items():
        assert (tmp_path / file).read_text() == text


@pytest.mark.parametrize("lanes", [0, 3])
def test_lanes_that_a_window_cannot_have_are_refused(lanes, tmp_path):
    with pytest.raises(ExportError, match=f"lanes {lanes}: must divide the 4 neurons of a window"):
        exported(tmp_path / "circuit", "small", 1, lanes=lanes)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["study", *SMALL])
def test_every_parameter_is_explained(name):
    assert list(verilog_values(named(name))) == list(PARAMETERS)


def test_memory_words_of_several_lanes_by_hand():
    network = random_circuit()
    words = memory_words(network, 4)
    bits = stored_bits(network)
    first, second = network.layers
    assert len(words["bias"]) == 24 // 4 + 2
    n = bits["bias"]
    a, b, c, d = (bias % (1 << n) for bias in first.bias[:4].tolist())
    assert words["bias"][0] == [a + (b << n) + (c << 2 * n) + (d << 3 * n)]
    assert words["bias"][-1] == [second.bias[4] % (1 << n)]
    # of five classes the last is alone in its group: no membrane exceeds the other thresholds
    high = network.high
    beyond = (high << n) + (high << 2 * n) + (high << 3 * n)
    assert words["threshold"][-1] == [second.threshold[4] + beyond]
    last_group = words["weight1"][5]
    n = bits["weight1"]
    assert last_group[7] >> 3 * n == first.weight[23, 7] % (1 << n)
    assert [len(group) for group in words["weight2"]] == [24, 24]


# --- tools ----------------------------------------------------------------------------------------


def icarus(folder, top, parameter):
    """Return what Icarus Verilog says if it fails, else nothing."""
    name, value = parameter
    command = ["iverilog", "-g2005", "-y", ".", "-o", "out", "-s", top, f"-P{top}.{name}={value}"]
    command += [f"{top}.v"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return ended.stdout + ended.stderr if ended.returncode else ""


WRONG = [
    ("core", ("LANES", 2), "LANES_differs_from_MEM_LANES"),
    ("core", ("LANES", 3), "LANES_must_divide_NEURONS_PER_WINDOW"),
    ("core", ("INITIAL", 0), "INITIAL_0_wants_WRITABLE_1"),
    (
        "spiking_network",
        ("N_HIDDEN", 31),
        "N_HIDDEN_differs_from_N_WINDOWS_times_NEURONS_PER_WINDOW",
    ),
    (
        "spiking_network",
        ("WEIGHT1_BITS", 0),
        "WEIGHT1_BITS_WEIGHT2_BITS_and_BIAS_BITS_must_be_2_or_more",
    ),
    ("core", ("RAM_STYLE", '"nonsense"'), "RAM_STYLE_must_be_auto_block_distributed_huge"),
]
RIGHT = [
    ("core", ("WRITABLE", 1)),
]


@needs_icarus
@pytest.mark.slow
def test_a_wrong_parameter_stops_elaboration(tmp_path):
    write_core(tmp_path, named("small"), lanes=1)
    for top, parameter, says in WRONG:
        assert says in icarus(tmp_path, top, parameter), parameter
    for top, parameter in RIGHT:
        assert icarus(tmp_path, top, parameter) == "", parameter


@needs_yosys
@pytest.mark.slow
def test_a_core_whose_memories_begin_empty_is_an_ecp5_s_too(tmp_path):
    write_core(tmp_path, named("no pooling"), lanes=1)
    build_folder(tmp_path, WRITABLE=1, INITIAL=0)
    run_yosys(
        tmp_path, f"read_verilog {verilog_files('core')}; synth_ecp5 -top core -run begin:map_ffs"
    )
