"""The numbers in circuit/README.md are those of the tables."""

import pandas as pd
import pytest
from shd_circuit import cost
from shd_circuit.folder import read_circuit, read_vectors
from shd_circuit.rtl import FAMILIES
from shd_circuit.rtl.__main__ import ANSWER, CLOCKS, COLUMNS, LANES

from shd_helpers.paths import ROOT
from shd_helpers.study import interval, read_table
from shd_helpers.sweeps import plan_of
from tests import RESULTS

DOCUMENT = (ROOT / "circuit" / "README.md").read_text()
FOLDERS = ("circuit", "circuit_study")


@pytest.fixture(scope="module")
def measured():
    """The value of each folder, device, build and quantity in results/rtl.csv."""
    table = pd.read_csv(RESULTS / "rtl.csv").set_index(["folder", *COLUMNS[:3]]).sort_index()
    return table.value


def placed_and_routed():
    """Return the cells of the document's tables on FPGAs and buffers, row by row."""
    start = DOCUMENT.index("### Placed and routed")
    section = DOCUMENT[start : DOCUMENT.index("## Budget")]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [row.strip("| ").split(" | ") for row in rows]


def activity(measured, folder):
    """Return what a core does with an utterance, as `rtl.toggles` counts it."""
    counted = measured[folder]["UP5K's cells", "lanes 4"]
    return counted.rename(lambda quantity: quantity.removesuffix(" per utterance"))


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("device", FAMILIES)
def test_needs_and_clock_of_each_fpga_are_the_table_s(measured, folder, device):
    values = measured[folder][device]
    (build,) = {name for name, _ in values.index}
    cells = FAMILIES[device].cells.values()
    needs = "; ".join(f"{cell}: {values[build, cell]:,g}" for cell in cells)
    row = [folder, device, build, needs, f"{values[build, 'MHz']:g}"]
    assert row in placed_and_routed()


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("lanes", LANES)
def test_buffers_and_cycles_to_the_answer_are_the_table_s(measured, folder, lanes):
    values = measured[folder]["core", f"lanes {lanes}"]
    quantities = [f"FIFO at {clock / 1e6:g} MHz" for clock in CLOCKS]
    quantities.append(ANSWER)
    row = [folder, str(lanes), *(f"{values[quantity]:,g}" for quantity in quantities)]
    assert row in placed_and_routed()


@pytest.mark.parametrize("folder", FOLDERS)
def test_cycles_of_an_utterance_are_those_that_the_core_takes(folder):
    network = read_circuit(RESULTS / folder)
    utterances = read_vectors(RESULTS / folder)
    mean = cost.total_cycles(network, utterances, lanes=4) / len(utterances)
    assert f"`{folder}` {mean:,.0f}" in DOCUMENT


@pytest.mark.parametrize("folder", FOLDERS)
def test_energies_of_an_utterance_follow_from_the_counts(measured, folder):
    """In whole microjoules: two utterances were counted, and a memory's energy is assumed."""
    counted = activity(measured, folder)
    uj = cost.energy(counted)
    columns = (uj.cycles, uj.clocked, uj.changes, uj.reads + uj.writes, uj.sum())
    row = " | ".join(f"{column:.0f}" for column in columns)
    assert f"| {folder} | {counted.cycles:,.0f} | {row} |" in DOCUMENT


def board_rows(measured):
    """Return the rows of the table of a board that waits: its clock, and the shares of energy."""
    counted = activity(measured, "circuit")
    network = read_circuit(RESULTS / "circuit")
    two = read_vectors(RESULTS / "circuit")[:2]  # the counted ones
    awake = sum(cost.awake_cycles(network, utterance, lanes=4) for utterance in two) / 2
    builds = (
        ("12 MHz", 12e6, None),
        ("2 MHz", 2e6, None),
        ("2 MHz, stops while idle (`slow_top`)", 2e6, awake),
    )
    rows = []
    for name, clock_hz, n_awake in builds:
        mj = cost.board_energy(counted, clock_hz, awake=n_awake)
        runs = 1 if n_awake is None else awake / clock_hz
        columns = [f"{runs:.0%}", f"{1 - counted.cycles / clock_hz:.0%}"]
        columns += [f"{value:.2f}" for value in mj]
        columns.append(f"{mj.sum():.2f}")
        rows.append(f"| {name} | {' | '.join(columns)} |")
    return rows


def test_the_energy_of_a_board_follows_from_the_counts(measured):
    for row in board_rows(measured):
        assert row in DOCUMENT
    *_, stopping = board_rows(measured)
    assert float(stopping.strip("| ").split(" | ")[-1]) <= 0.3


def test_what_the_bits_cost_stands_where_the_accuracy_stands():
    """By speaker and seed, paired with the same networks in floats."""
    bits = pd.read_csv(RESULTS / "circuit_bits_small.csv").query("speaker >= 0")
    bits["loss"] = 100 * (bits.float_accuracy - bits.accuracy)
    mean, half = interval(bits.pivot(index="speaker", columns="seed", values="loss").to_numpy())
    assert f"these bits cost {mean:.2f} ± {half:.2f} percentage points (twelve" in DOCUMENT
    committed = (RESULTS / "circuit" / "README.md").read_text()
    assert f"costs such networks {mean:.2f} ± {half:.2f} percentage points" in committed


def test_the_comparison_with_other_circuits_has_the_tables_numbers(measured):
    logic_cells = measured["circuit", "UP5K", "lanes 4", "logic cells (a LUT and a flip-flop)"]
    answer_us = measured["circuit", "core", "lanes 4", ANSWER] / 12
    mj = cost.energy(activity(measured, "circuit")).sum() / 1000
    bits = pd.read_csv(RESULTS / "circuit_bits_small.csv").rename(columns={"run": "hash"})
    is_unseen = bits.speaker.isin(plan_of("reference")["unseen_speakers"])
    unseen = 100 * bits[is_unseen].accuracy.mean()
    benchmark = read_table("benchmark_hd").query("model == 'small'")
    official = 100 * bits.merge(benchmark[["hash"]]).accuracy.mean()
    kb = cost.memory(read_circuit(RESULTS / "circuit")).bytes.sum() / 1e3
    for text in (
        f"`hd`: {unseen:.1f} % (circuits of its recipe, six speakers each left out of training, "
        "three seeds)",
        f"| UP5K: {logic_cells:,g} logic",
        f"{kb:.1f} kB of numbers",
        f"{answer_us:.0f} µs after its end, at 12 MHz (core alone) | about {mj:.2f} mJ for the "
        "core while it computes, estimated from two utterances",
        f"encoded anew: {official:.1f} % (five seeds)",
    ):
        assert text in DOCUMENT, text
