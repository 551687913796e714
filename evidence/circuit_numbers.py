"""What pages say of the study's circuits: rows of tables, energies, and memory."""

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from shd_circuit import cost, read_vectors, study_circuit, write_study_circuit
from shd_circuit.export import STUDY_CIRCUITS
from shd_circuit.rtl import FAMILIES
from shd_circuit.rtl.__main__ import ANSWER, COLUMNS
from shd_circuit.rtl.bitstream import BOARDS, CELLS
from shd_circuit.rtl.bitstream import COLUMNS as COLUMNS_OF_LISTENER
from shd_circuit.sources import answers_text
from shd_corpus.filter_bank import FilterBank
from shd_helpers.paths import results_dir

# what each FPGA has, in the order of `Family.cells`, as nextpnr 0.11 reports it
AVAILABLE = {"UP5K": (5280, 5280, 30, 4, 8), "ECP5-25F": (24288, 24288, 56, 28)}
LOGIC_CELLS = "logic cells (a LUT and a flip-flop)"
Shares = Callable[[float], pd.Series]  # millijoules, from the picojoules of a memory word
network = cache(study_circuit)


@cache
def exported(name: str, file: str) -> str:
    """Return a text of the folder that `make export` writes of a circuit of the study."""
    with tempfile.TemporaryDirectory() as folder:
        return (write_study_circuit(name, Path(folder) / name) / file).read_text(encoding="utf-8")


@cache
def measured() -> pd.Series:
    """Return the values of rtl.csv by folder, device, build and quantity."""
    table = pd.read_csv(results_dir() / "rtl.csv")
    return table.set_index(["folder", *COLUMNS[:3]]).sort_index().value


@cache
def listener() -> pd.Series:
    """Return the values of listener_needs.csv by device, part and quantity."""
    table = pd.read_csv(results_dir() / "listener_needs.csv")
    return table.set_index(COLUMNS_OF_LISTENER[:3]).sort_index().value


def cells_of(module: str) -> str:
    """Return the cells of a module of the listener in a table."""
    return " | ".join(f"{listener()['UP5K', module][quantity]:,g}" for quantity in CELLS)


def placed_listener(board: str) -> str:
    """Return the row of what a board's listener needs."""
    family = BOARDS[board].family
    values = listener()[family, board]
    needs = "; ".join(
        f"{cell}: {values[cell]:,g} of {available:,}"
        for cell, available in zip(
            ("flip-flops", *FAMILIES[family].cells.values()), AVAILABLE[family], strict=True
        )
    )
    return _row(board, family, needs, f"{values['MHz']:g}")


def busiest_step(name: str) -> int:
    """Return the most cycles of a step of a folder's utterances, with four lanes."""
    utterances = read_vectors(results_dir() / name)
    counted = [cost.step_cycles(network(name), each, lanes=4) for each in utterances]
    return max((intake + computing).max() for intake, computing in counted)


def listens(mhz: float = 12) -> Shares:
    """Return the energy of an UP5K's core supply in a second in which the listener listens."""
    counted = listener()["UP5K's cells", "second without speech"]
    return lambda pj: cost.fpga_core_energy(counted, mhz * 1e6, pj)


def recognizes() -> Shares:
    """Return what the listener takes more for a digit."""
    return lambda pj: cost.energy(listener()["UP5K's cells", "digit"], pj) / 1000


def people() -> pd.DataFrame:
    """Return what became of each person's recordings, by how the listener heard them."""
    return pd.read_csv(results_dir() / "listener_people.csv").set_index(["heard", "person"])


def answer_ms(mhz: float = 12) -> pd.Series:
    """Return how long after each simulated utterance's end its answer was decided."""
    cycles = pd.read_csv(results_dir() / "listener_simulated.csv").cycles.dropna()
    return cycles.astype(str).str.split().explode().astype(float) / (1000 * mhz)


def hold_ms() -> float:
    """Return how long it must be quiet until an utterance is over."""
    bank = FilterBank()
    return bank.settings.hold_steps * bank.step_ms


def activity(folder: str) -> pd.Series:
    """Return what a core does with an utterance, as `rtl.toggles` counts it."""
    counted = measured()[folder]["UP5K's cells", "lanes 4"]
    return counted.rename(lambda quantity: quantity.removesuffix(" per utterance"))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def placed() -> str:
    """Return the rows of what a core in `placed.v` needs, of its clock, and of its answer."""
    rows = []
    for folder in STUDY_CIRCUITS:
        for device, family in FAMILIES.items():
            build = f"lanes {family.build['LANES']}"
            values = measured()[folder][device][build]
            needs = "; ".join(
                f"{cell}: {values[cell]:,g} of {available:,}"
                for cell, available in zip(
                    ("flip-flops", *family.cells.values()), AVAILABLE[device], strict=True
                )
            )
            rows.append(
                _row(
                    folder,
                    device,
                    build,
                    needs,
                    f"{values['MHz']:g}",
                    f"{answer_cycles(folder, build):,g}",
                )
            )
    return "\n".join(rows)


def answer_cycles(folder: str, build: str = "lanes 4") -> float:
    """Return the most cycles from an utterance's end to the answer."""
    return measured()[folder, "core", build, ANSWER]


def kilobytes(name: str) -> tuple[float, float]:
    """Return how much memory a circuit's numbers need, without and with the core's list."""
    stored = cost.memory(network(name)).bytes
    with_lists = stored.sum() + cost.list_bits(network(name)) / 8
    return stored.sum() / 1e3, with_lists / 1e3


def answer(name: str, spikes: list[tuple[int, int]]) -> str:
    """Return the line that the C reference prints for some spikes: millisecond and unit."""
    return answers_text([network(name).run(*np.array(spikes).T)]).rstrip()


def mean_cycles(name: str) -> float:
    """Return the mean of all utterances' cycles, with four lanes."""
    utterances = read_vectors(results_dir() / name)
    return cost.total_cycles(network(name), utterances, lanes=4) / len(utterances)


def of_core(folder: str) -> Shares:
    """Return the energy of a core that has an utterance's spikes at once."""

    def shares(memory_pj: float) -> pd.Series:
        mj = cost.energy(activity(folder), memory_pj) / 1000
        return pd.Series([mj.cycles, mj.clocked, mj.changes, mj.reads + mj.writes])

    return shares


def of_fpga(mhz: float) -> Shares:
    """Return the energy that the FPGA's core supply gives in a second, for `circuit`."""
    return lambda pj: cost.fpga_core_energy(activity("circuit"), mhz * 1e6, pj)


def energy(shares: Shares) -> str:
    """Return an energy from the lowest to the highest assumption, or once if both are the same."""
    ends = [shares(pj).sum() for pj in cost.MEMORY_PJ]
    digits = ".1f" if ends[-1] >= 1 else ".2f"
    return " to ".join(dict.fromkeys(f"{end:{digits}}" for end in ends))


def energy_cells(shares: Shares) -> str:
    """Return an energy's cells in the table: its shares, and their sum."""
    low, high = map(shares, cost.MEMORY_PJ)
    fixed = [f"{value:.2f}" for value in low.iloc[:-1]]
    memories = f"{low.iloc[-1]:.2f} to {high.iloc[-1]:.2f}"
    return " | ".join([*fixed, memories, f"**{energy(shares)}**"])
