"""The numbers in the circuit's pages are those of the tables."""

import re

import numpy as np
import pandas as pd
import pytest

from shd_circuit import cost
from shd_circuit.folder import read_circuit, read_vectors
from shd_circuit.rtl import FAMILIES, SEEDS
from shd_circuit.rtl.__main__ import ANSWER, CLOCKS, COLUMNS, LANES
from shd_helpers.paths import ROOT
from shd_helpers.study import read_table
from shd_judge import interval
from tests import RESULTS

DOCUMENT = (ROOT / "packages" / "circuit" / "README.md").read_text()
VERIFICATION = (ROOT / "docs" / "verification.md").read_text()
FOLDERS = ("circuit", "circuit_study")
# what each FPGA has, in the order of `Family.cells`, as nextpnr 0.11 reports it
AVAILABLE = {"UP5K": (5280, 5280, 30, 4, 8), "ECP5-25F": (24288, 24288, 56, 28)}
N_COUNTED = 2  # utterances of which activity is counted


@pytest.fixture(scope="module")
def measured():
    """The value of each folder, device, build and quantity in results/rtl.csv."""
    table = pd.read_csv(RESULTS / "rtl.csv").set_index(["folder", *COLUMNS[:3]]).sort_index()
    return table.value


def activity(measured, folder):
    """Return what a core does with an utterance, as `rtl.toggles` counts it."""
    counted = measured[folder]["UP5K's cells", "lanes 4"]
    return counted.rename(lambda quantity: quantity.removesuffix(" per utterance"))


def row_of(*cells):
    """Return a row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def placed_row(measured, folder, device):
    """Return the row of what a board needs."""
    values = measured[folder][device]
    (build,) = {name for name, _ in values.index}
    cells = ["flip-flops", *FAMILIES[device].cells.values()]
    needs = "; ".join(
        f"{cell}: {values[build, cell]:,g} of {available:,}"
        for cell, available in zip(cells, AVAILABLE[device], strict=True)
    )
    return row_of(folder, device, build, needs, f"{values[build, 'MHz']:g}")


def buffer_row(measured, folder, lanes):
    """Return the row of a buffer's entries by clock, and of cycles to the answer."""
    values = measured[folder]["core", f"lanes {lanes}"]
    quantities = [f"FIFO at {clock / 1e6:g} MHz" for clock in CLOCKS]
    quantities.append(ANSWER)
    return row_of(folder, str(lanes), *(f"{values[quantity]:,g}" for quantity in quantities))


def enough_lanes(measured):
    """Return the table of the fewest lanes with which the board's FIFO suffices, by clock."""
    lanes_needed = []
    for clock in CLOCKS[:4]:
        quantity = f"FIFO at {clock / 1e6:g} MHz"
        entries = {
            lanes: max(measured[folder, "core", f"lanes {lanes}", quantity] for folder in FOLDERS)
            for lanes in LANES
        }
        lanes_needed.append(min(lanes for lanes, needed in entries.items() if needed <= 512))
    clocks = " | ".join(f"{clock / 1e6:g} MHz" for clock in CLOCKS[:4])
    numbers = " | ".join(map(str, lanes_needed))
    return f"| clock | {clocks} |\n|---|---|---|---|---|\n| lanes | {numbers} |\n"


def kilobytes(folder):
    """Return how much memory a circuit's numbers need, without and with the core's lists."""
    network = read_circuit(RESULTS / folder)
    stored = cost.memory(network).bytes
    with_lists = stored.drop("delays").sum() + cost.list_bits(network) / 8
    return f"{stored.sum() / 1e3:.1f} kB, {with_lists / 1e3:.1f} kB with the core's lists"


def energy_row(name, runs, idle, of_memory_pj, stored):
    """Return a row of the table of energy: millijoules, from the lowest to the highest assumption.

    `of_memory_pj` is a function from the picojoules of a memory word to the shares.
    """
    low, high = map(of_memory_pj, cost.MEMORY_PJ)
    shares = [f"{value:.2f}" for value in low[:-1]]
    memories = f"{low.iloc[-1]:.2f} to {high.iloc[-1]:.2f}"
    digits = ".1f" if high.sum() >= 1 else ".2f"
    total = f"**{low.sum():{digits}} to {high.sum():{digits}}**"
    return row_of(name, runs, idle, *shares, memories, total, stored)


def core_rows(measured):
    """Return the rows of energy of a core that has an utterance's spikes at once."""
    rows = []
    for folder in FOLDERS:
        counted = activity(measured, folder)
        runs = f"{counted.cycles / 1e3:.0f} k cycles"
        name = f"`core.v` of `{folder}`, while it computes"

        def shares(memory_pj, counted=counted):
            mj = cost.energy(counted, memory_pj) / 1000
            return pd.Series([mj.cycles, mj.clocked, mj.changes, mj.reads + mj.writes])

        row = energy_row(name, runs, "never", shares, kilobytes(folder))
        rows.append(row.replace("| never |", "| never | not counted |"))
    return rows


def fpga_rows(measured):
    """Return the rows of what the FPGA's core supply gives in a second, at two clocks."""
    counted = activity(measured, "circuit")
    n_flip_flops = measured["circuit", "UP5K", "lanes 4", "flip-flops"]
    rows = []
    for mhz in (12, 2):

        def shares(memory_pj, clock_hz=mhz * 1e6):
            return cost.fpga_core_energy(counted, n_flip_flops, clock_hz, memory_pj)

        name = f"`shd_top.v` of `circuit` on for a second, {mhz} MHz"
        idle = 1 - counted.cycles / (mhz * 1e6)
        rows.append(energy_row(name, "100%", f"{idle:.0%}", shares, "as its core"))
    return rows


def phrases(measured):
    """Return the sentences of the page on verification with numbers of the tables, by a name."""
    network = read_circuit(RESULTS / "circuit")
    utterances = read_vectors(RESULTS / "circuit")
    mean = cost.total_cycles(network, utterances, lanes=4) / len(utterances)
    two = activity(measured, "circuit").cycles
    bits = pd.read_csv(RESULTS / "circuit_bits_small.csv").rename(columns={"run": "hash"})
    benchmark = read_table("benchmark_hd").query("model == 'small'")
    official = 100 * bits.merge(benchmark[["hash"]]).accuracy.mean()
    logic_cells = measured["circuit", "UP5K", "lanes 4", "logic cells (a LUT and a flip-flop)"]
    answer_us = measured["circuit", "core", "lanes 4", ANSWER] / 12
    return {
        "cycles": f"two counted utterances take {two / 1e3:.0f} k cycles in `circuit`. The mean "
        f"of all twenty is {mean / 1e3:.0f} k",
        "accuracy": f"`commands`: {unseen_accuracy()} % (180 unseen people) |",
        "size": f"| UP5K: {logic_cells:,g} logic cells, 30 block and 3 single-port RAMs |",
        "answer": f"| {answer_us:.0f} µs after its end, at 12 MHz (core alone) |",
        "official split": f"encoded anew: {official:.1f} % (five seeds)",
    }


def unseen_accuracy():
    """Return the mean accuracy and its interval for unseen people."""
    people = 100 * pd.read_csv(RESULTS / "circuit_people.csv")[["accuracy"]].to_numpy()
    return "{:.1f} ± {:.1f}".format(*interval(people))


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("device", FAMILIES)
def test_needs_and_clock_of_each_fpga_are_the_table_s(measured, folder, device):
    assert placed_row(measured, folder, device) in DOCUMENT


@pytest.mark.parametrize("folder", FOLDERS)
def test_buffers_and_cycles_to_the_answer_are_the_table_s(measured, folder):
    assert buffer_row(measured, folder, 4) in DOCUMENT


def test_energies_follow_from_the_counts(measured):
    for row in core_rows(measured) + fpga_rows(measured):
        assert row in VERIFICATION
    low, high = cost.MEMORY_PJ
    assert f"| a memory word, read or written | {low} to {high} | *assumed*" in VERIFICATION


def test_the_flip_flops_of_the_second_are_those_of_the_whole_design(measured):
    """The counted core has a third fewer than `shd_top`, which has the same clock."""
    counted = activity(measured, "circuit")
    n_of_core = counted.clocked / counted.cycles
    n_of_top = measured["circuit", "UP5K", "lanes 4", "flip-flops"]
    assert n_of_core < 0.75 * n_of_top
    shares = cost.fpga_core_energy(counted, n_of_top, clock_hz=12e6)
    mj = n_of_top * 12e6 * cost.ENERGY_PJ["clocked"] / 1e9
    assert shares["flip-flops"] == pytest.approx(mj)
    for text in (f"the {n_of_top:,g} of `shd_top`", f"and not only the {n_of_core:,.0f} of `core`"):
        assert text in VERIFICATION


def test_the_counts_are_of_the_core_that_is_committed(measured):
    """As many cycles as `cost` counts: else `make rtl` must count anew."""
    for folder in FOLDERS:
        network = read_circuit(RESULTS / folder)
        two = read_vectors(RESULTS / folder)[:N_COUNTED]
        reset_cycle = 1 / N_COUNTED
        cycles = cost.total_cycles(network, two, lanes=4) / N_COUNTED + reset_cycle
        assert activity(measured, folder).cycles == pytest.approx(cycles, rel=1e-4)


def test_sentences_have_the_tables_numbers(measured):
    for name, phrase in phrases(measured).items():
        assert phrase in VERIFICATION, name


def test_the_sentences_of_the_readme_have_the_tables_numbers(measured):
    assert enough_lanes(measured) in DOCUMENT
    network = read_circuit(RESULTS / "circuit")
    (core, _), (fpga, _) = core_rows(measured), fpga_rows(measured)
    of_core, of_fpga = (row.split("**")[1] for row in (core, fpga))
    assert f"estimate {of_core} mJ while `core.v` computes, and {of_fpga} mJ for" in DOCUMENT
    # block RAMs have 4,096 bits; a slot of the history is a power of 2 of blocks
    unit_bits = network.grid.n_units.bit_length()
    n_slots = network.delays[-1] + 1
    history_bits = n_slots * 2**unit_bits * unit_bits
    block_ram_bits = 4096 * AVAILABLE["UP5K"][2]
    assert history_bits > block_ram_bits
    assert (
        f"fill {history_bits:,} bits, and the 30 block RAMs hold {block_ram_bits:,}" in VERIFICATION
    )


def test_the_example_of_the_c_reference_is_what_the_circuit_answers():
    spikes = np.array([[12, 300], [12, 301], [13, 301]]).T
    run = read_circuit(RESULTS / "circuit").run(*spikes)
    assert "printf '12 300\\n12 301\\n13 301\\n\\n' | ./reference" in DOCUMENT
    assert f"\n```\n{run.answer} {' '.join(map(str, run.scores))}\n```\n" in DOCUMENT


@pytest.mark.parametrize(("column", "device"), [*enumerate(FAMILIES, start=1)])
def test_the_options_of_each_placement_are_those_of_the_code(column, device):
    family = FAMILIES[device]
    section = VERIFICATION.split("## How the boards were placed")[1]
    rows = [line.strip("| ").split(" | ") for line in section.split("\n\n")[2].splitlines()]
    of_option = {option: of_device[column - 1] for option, *of_device in rows if of_device}
    assert of_option["option"] == device
    assert of_option["synthesis"] == f"`{family.synthesis}`"
    assert of_option["`LANES`"] == str(family.build["LANES"])
    memories = f"{family.build['WRITABLE']}, {family.build['INITIAL']}: "
    assert of_option["`WRITABLE`, `INITIAL`"].startswith(memories)
    assert of_option["`RAM_STYLE`"].startswith(f"`{family.build.get('RAM_STYLE', 'auto')}`")
    assert of_option["package, speed grade"].startswith(f"`{family.nextpnr[3]}`")
    assert of_option["seeds"] == f"{SEEDS[0]} to {SEEDS[-1]}"


def test_the_folder_leads_with_unseen_speakers():
    committed = (RESULTS / "circuit" / "README.md").read_text()
    unseen = re.search(r"reaches an accuracy of (.*? speakers\))", committed)[1]
    assert unseen.startswith(f"{unseen_accuracy()} %")
    assert f"| {unseen_accuracy()} % for 180 unseen people |" in DOCUMENT
    assert committed.index(unseen) < committed.index("This folder has")
    section = committed[committed.index("## How accurate") : committed.index("## Check it")]
    assert section.index(f"unseen speakers | | {unseen}") < section.index("exported | ")
    mean, half = map(
        float, re.search(r"accuracy by (.*?) ± (.*?) percentage points", section).groups()
    )
    assert ("*undecided*" in section) == (abs(mean) < half)


def test_the_first_lines_of_the_readme_run(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    page = (ROOT / "packages" / "circuit" / "README.md").read_text(encoding="utf-8")
    code, printed = re.search(r"```python\n(.*?)```.*?```\n(.*?)```", page, re.S).groups()
    exec(code, {})
    assert capsys.readouterr().out == printed
