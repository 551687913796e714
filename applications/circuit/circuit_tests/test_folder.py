"""An exported folder's circuit is read back, and refused if its numbers don't fit."""

import re

import pytest
from circuits import SMALL, exported

from shd_circuit.folder import ExportError, read_circuit, read_spikes
from shd_circuit.rtl import simulate
from shd_circuit.sources import memories, verilog_parameters


@pytest.mark.parametrize("name", ["late delays", "leak by product", "saturation", *SMALL])
def test_a_folder_s_circuit_is_read_back(name, tmp_path):
    network, _ = exported(tmp_path / "circuit", name, 1)
    again = read_circuit(tmp_path / "circuit")
    assert memories(again) == memories(network)
    assert verilog_parameters(again) == verilog_parameters(network)


DEFECTS = [
    ("network.vh", "MEM_BITS = 12", "MEM_BITS = 0", "MEM_BITS 0: must be at least 2"),
    ("network.vh", "MEM_BITS = 12", "MEM_BITS = 4000000", "MEM_BITS 4000000: must be at least 2"),
    ("network.vh", "MEM_BITS = 12", "MEM_BITS = 13", "bias.mem: number 1 is ffc, not 1ffc"),
    ("network.vh", "SHIFT1 = 0", "SHIFT1 = 64", "SHIFT1 64: must be at least 0, at most 31"),
    ("network.vh", "LEAK_SHIFT = 4", "LEAK_SHIFT = 64", "LEAK_SHIFT 64: must be"),
    ("network.vh", "STRIDE = 1", "STRIDE = 0", "STRIDE 0: must be at least 1"),
    ("network.vh", "N_HIDDEN = 24", "N_HIDDEN = 23", "network.vh"),
    ("network.vh", "N_STEPS = 333", "N_STEPS = 0", "network.vh"),
    ("network.vh", "POOL_STEPS = 3", "POOL_STEPS = 0", "network.vh"),
    ("network.vh", "WEIGHT1_BITS = 3", "WEIGHT1_BITS = 2", "weight1.mem: number"),
    ("network.vh", "    parameter N_CLASSES = 5,\n", "", "network.vh: N_CLASSES is missing"),
    ("network.vh", "LANES = 1", "LANES = 4", "network.vh: LANES is 4, not 1"),
    ("threshold.mem", None, "7ff\n0\n", "network.vh"),
    ("threshold.mem", "00", "ff", "threshold.mem: a threshold above 2047"),
    ("threshold.mem", "00", "000000", "a threshold below 1"),
    ("threshold.mem", None, "800\n" * 29, "threshold.mem: a threshold above 2047"),
    ("leak.mem", "4", "5", "leak.mem: number 1 is 005, not 004"),
    ("delay.mem", "0", "3ff", "network.vh: N_SLOTS is 1, not "),
    ("weight1.mem", None, "ffff\n", "network.vh"),
]


@pytest.mark.parametrize(("name", "old", "new", "message"), DEFECTS)
def test_a_folder_whose_numbers_do_not_fit_is_refused(name, old, new, message, tmp_path):
    """No core notices that they are wrong."""
    exported(tmp_path, "study", 1)
    path = tmp_path / name
    text = path.read_text()
    assert old is None or old in text
    if new == "000000":  # the whole first number
        old = text.split()[0]
    path.write_text(new if old is None else text.replace(old, new, 1))
    with pytest.raises(ExportError, match=re.escape(message)) as error:
        read_circuit(tmp_path)
    assert "make export" in str(error.value)


def test_a_last_utterance_may_end_with_the_file(tmp_path):
    """`reference.c` answers it, too; only an empty line makes an utterance of nothing."""
    path = tmp_path / "vectors.txt"
    wanted = {
        "": [],
        "\n": [[[], []]],
        "12 300\n13 301\n": [[[12, 13], [300, 301]]],
        "12 300\n\n0 1": [[[12], [300]], [[0], [1]]],
        "12 300\n \t\n\n": [[[12], [300]], [[], []]],
    }
    for text, utterances in wanted.items():
        path.write_text(text)
        assert [spikes.tolist() for spikes in read_spikes(path)] == utterances


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("12 1324", "unit 1324: the cochlea has 0 to 699"),
        ("12 700", "unit 700"),
        ("-1 5", "two whole numbers from 0"),
        ("12", "two whole numbers from 0"),
        ("1 2 3 4", "two whole numbers from 0"),
        ("12 1_0", "two whole numbers from 0"),
        ("9 5", "earlier than the line before"),
    ],
)
def test_a_line_that_reference_c_refuses_is_named(line, says, tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text(f"11 5\n\n10 699\n10 0\n{line}\n\n")
    with pytest.raises(ExportError, match=rf"vectors\.txt: .*line 5 .*{says}.*make export"):
        read_spikes(path)


@pytest.mark.parametrize("name", ["weight1", "weight2", "bias", "threshold", "leak", "delay"])
def test_a_file_that_is_missing_or_has_no_number_is_named(name, tmp_path):
    exported(tmp_path, "study", 1)
    path = tmp_path / f"{name}.mem"
    text = path.read_text()
    path.write_text(f"{text}z\n")
    n_lines = text.count("\n") + 1
    with pytest.raises(ExportError, match=rf"{name}\.mem: line {n_lines} has .*make export"):
        read_circuit(tmp_path)
    path.unlink()
    with pytest.raises(ExportError, match=rf"{name}\.mem: no such file.*make export") as error:
        read_circuit(tmp_path)
    assert "network.vh" not in str(error.value)


def test_a_folder_without_a_core_is_named(tmp_path):
    with pytest.raises(ExportError, match=r"core\.v: no such file.*make export"):
        simulate(tmp_path)
