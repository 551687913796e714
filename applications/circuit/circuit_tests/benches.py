"""Drive a core in Icarus Verilog or Verilator with `rough.v`, as roughly as its ports allow."""

import subprocess
from pathlib import Path

import numpy as np
from circuits import with_ticks

from shd_circuit.sources import MODULE_FILES, Utterance, memories, source_text, verilog_parameters


def sends(utterances):
    """Return the lines that let `rough.v` send utterances as they are."""
    lines = []
    for utterance in utterances:
        lines += [f"0 {ms} {unit}" for ms, unit in zip(*utterance.spikes, strict=True)]
        lines.append("1 0 0")
    return lines


def rough_sends(network, utterances):
    """Return lines that must be answered as the plain utterances are.

    Utterances are begun and reset, in their midst or in that of their answer. There are ticks,
    spikes of unknown units, and spikes that come late.
    """
    rng = np.random.default_rng(0)
    lines = []
    for i, utterance in enumerate(utterances):
        if rng.random() < 0.3:
            begun = sends([utterance])[: rng.integers(len(utterance.units) + 1)]
            lines += begun + [f"2 {rng.integers(5)} 0"] * int(rng.integers(2))
            lines.append(f"3 {rng.integers(3000)} 0")
        ms, units, _ = with_ticks(network, utterance) if i % 2 else utterance
        if n := len(ms):
            with_last = np.flatnonzero(ms[1:] == ms[:-1]) + 1  # a millisecond of two spikes
            late = with_last[rng.random(len(with_last)) < 0.2]
            ms = ms.copy()
            ms[late] = rng.integers(0, ms[late] + 1)
            at = rng.integers(0, n, 30)
            shown = np.maximum.accumulate(ms)[at]
            ms = np.insert(ms, at, shown)
            units = np.insert(units, at, rng.integers(700, 1024, 30))
        lines += sends([Utterance(ms, units, utterance.label)])
    return lines


def write_core(folder, network, lanes):
    """Write the core of a circuit, without anything else of an export."""
    for file in MODULE_FILES:
        (folder / file).write_text(source_text(f"rtl/{file}"))
    (folder / "network.vh").write_text(verilog_parameters(network, LANES=lanes))
    for file, text in memories(network, lanes).items():
        (folder / file).write_text(text)


def lines_of(folder, bench, *files):
    """Return the lines that a bench prints in Icarus, whatever it prints."""
    command = ["iverilog", "-g2005", "-y", ".", "-s", bench, "-o", bench, *map(str, files)]
    subprocess.run(command, cwd=folder, check=True)
    run = ["vvp", "-n", bench]
    ended = subprocess.run(run, cwd=folder, capture_output=True, text=True, timeout=300, check=True)
    return ended.stdout.splitlines()


def in_icarus(folder, lines):
    """Return what the core of a folder answers, as `expected.txt` has it."""
    (folder / "sends.txt").write_text("\n".join(lines))
    return answers_in_icarus(folder, "rough", "core.v")


def answers_in_icarus(folder, bench, source):
    """Return the same, of a bench of these tests that drives a module."""
    command = ["iverilog", "-g2005", "-Wall", "-Wno-timescale", "-y", ".", "-o", bench, source]
    return _in_bench(folder, bench, command, ["vvp", "-n", bench, "+rough"])


def in_verilator(folder, lines, *sources):
    """Return the same, of sources; every register begins at random."""
    (folder / "sends.txt").write_text("\n".join(lines))
    return answers_in_verilator(folder, "rough", *sources)


def answers_in_verilator(folder, bench, *sources):
    """Return the same, of a bench of these tests that drives a module."""
    command = ["verilator", "--binary", "--timing", "--x-assign", "unique", "--x-initial", "unique"]
    command += ["-Wno-fatal", "-Wno-lint", "-Wno-style", "--quiet", "--timescale", "1ns/1ns", "-O3"]
    command += ["-CFLAGS", "-O1", "-DNO_ICE40_DEFAULT_ASSIGNMENTS", "--top-module", bench]
    command += ["-y", ".", "--Mdir", f"{sources[0]}.d"]
    run = [f"{sources[0]}.d/V{bench}", "+rough", "+verilator+rand+reset+2", "+verilator+seed+1"]
    return _in_bench(folder, bench, [*command, *sources], run)


def _in_bench(folder, bench, command, run):
    command = [*command, str(Path(__file__).with_name(f"{bench}.v"))]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert built.stderr == "" or "-Wall" not in command
    ended = subprocess.run(  # a broken core may never answer
        run, cwd=folder, capture_output=True, text=True, check=True, timeout=3600
    )
    lines = [line.split() for line in ended.stdout.splitlines()]
    answered = [line for line in lines if line[0] != "-"]  # such lines are Verilator's
    return "".join(f"{answer} {' '.join(scores)}\n" for *scores, answer in answered)
