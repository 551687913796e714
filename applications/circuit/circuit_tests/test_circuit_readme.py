"""The numbers in the circuit's pages are those of the tables."""

import re

import pandas as pd
import pytest

from shd_circuit import cost, study_circuit
from shd_circuit.folder import read_vectors
from shd_circuit.rtl.__main__ import COLUMNS
from shd_helpers.paths import ROOT
from tests import RESULTS

FOLDERS = ("circuit", "circuit_study")
# what each FPGA has, in the order of `Family.cells`, as nextpnr 0.11 reports it
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


def test_all_flip_flops_are_clocked_in_the_whole_second(measured):
    """Also while the core is idle. The placed ones are those of the core and of its wrapper."""
    counted = activity(measured, "circuit")
    shares = cost.fpga_core_energy(counted, clock_hz=12e6)
    mj = counted.clocked / counted.cycles * 12e6 * cost.ENERGY_PJ["clocked"] / 1e9
    assert shares["flip-flops"] == pytest.approx(mj)
    assert counted.clocked / counted.cycles < measured["circuit", "UP5K", "lanes 4", "flip-flops"]


def test_the_counts_are_of_the_core_that_is_committed(measured):
    """As many cycles as `cost` counts: else `make rtl` must count anew."""
    for folder in FOLDERS:
        network = study_circuit(folder)
        two = read_vectors(RESULTS / folder)[:N_COUNTED]
        reset_cycle = 1 / N_COUNTED
        cycles = cost.total_cycles(network, two, lanes=4) / N_COUNTED + reset_cycle
        assert activity(measured, folder).cycles == pytest.approx(cycles, rel=1e-4)


def test_the_first_lines_of_the_readme_run(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    page = (ROOT / "applications" / "circuit" / "README.md").read_text(encoding="utf-8")
    code, printed = re.search(r"```python\n(.*?)```.*?```\n(.*?)```", page, re.S).groups()
    exec(code, {})
    assert capsys.readouterr().out == printed
