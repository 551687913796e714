"""What docs and the committed folder's README say of the core, against formulas and files."""

import math
import re

import numpy as np
import pandas as pd
import pytest

import hardware
from hardware.folder import Description, readme
from hardware.rtl import CELLS
from hardware.sources import edge_words
from shd_helpers.paths import ROOT
from shd_helpers.study import read_network
from tests import RESULTS

DOC = (ROOT / "docs" / "circuit.md").read_text()


def test_cycles_and_cells_of_the_doc():
    """What a core takes in real time, what `make rtl` prints, and the ports of core.v."""
    text, network = DOC, hardware.circuit_of(read_network("circuit_0"))
    table = pd.read_csv(RESULTS / "circuit_budget.csv")
    few = table.pivot(index="circuit", columns="quantity", values="value").loc["3-8-12 tuned"]
    words = hardware.read_vectors(RESULTS / "circuit")
    last = [1 + hardware.step_cycles(network, word)[1][-1] for word in words]
    answers = [hardware.answer_cycles(network, word) for word in words]
    per_step = np.array([np.bincount(word.milliseconds // 3, minlength=333) for word in words])
    pairs = per_step[:, 1:] + per_step[:, :-1]
    assert per_step.max() == few["events, fullest step"] and pairs.max() == few["events, two steps"]
    clocks = [math.ceil(few[f"cycles, {x} step"] / 3e-3 / 1e5) / 10 for x in ("busiest", "worst")]
    for sentence in (
        f"{min(last)} to {max(last)} cycles pass from `in_end` to `out_valid`. Without them it is "
        f"{np.mean(answers) / 1e3:.0f} thousand on average.",
        f"the fullest step has {per_step.max()} events, and two in a row have at most "
        f"{pairs.max()}.",
        f"{clocks[0]} MHz for these words, {clocks[1]} MHz for any",
        f"{hardware.word_cycles(network, words) // 20:,} clock cycles a word\n",
        *(f"\n{few[f'cells: {name}']:8,.0f}  {cell}\n" for name, cell in CELLS.items()),
    ):
        assert sentence in text, sentence
    assert all(len({*zip(*word[:2], strict=True)}) == len(word.units) for word in words)


def test_ports_of_the_doc():
    core = (RESULTS / "circuit" / "core.v").read_text()
    found, widths = {}, {"": "1", "[15:0]": "16", "[9:0]": "10"}
    widths["signed [MEM_BITS-1:0]"] = "`MEM_BITS`, signed"
    declared = core[core.index(") (") : core.index("\n);")].replace("output wire", "\noutput wire")
    for line in declared.replace("input wire", "\ninput wire").splitlines()[1:]:
        if port := re.match(r"(in|out)put wire ((?:signed )?(?:\[.*?\])?) ?(.*)", line):
            names = [name.strip() for name in port[3].strip(" ,").split(",")]
            found |= dict.fromkeys(names, (port[1], widths[port[2]]))
    told, rows = {}, r"^\| (`.*`) \| (in|out), ([^|]*) \|"
    for names, direction, width in re.findall(rows, DOC, re.M):
        for name in re.findall("`(.*?)`", names):
            told[name] = direction, width.removesuffix(" each")
    assert told == found and len(told) == 17


def test_the_folder_s_readme():
    """It is what the present code writes; what needs data, accuracies and additions, is its own."""
    text, kept = (RESULTS / "circuit" / "README.md").read_text(), read_network("circuit_0")
    network, words = hardware.circuit_of(kept), hardware.read_vectors(RESULTS / "circuit")
    additions, share = re.search(r"average ([\d,]+) additions.*; (\d+)% of", text).groups()
    additions = float(additions.replace(",", ""))
    few = (
        pd.read_csv(RESULTS / "circuit_budget.csv")
        .pivot(index="circuit", columns="quantity", values="value")
        .loc["3-8-12 tuned"]
    )
    assert additions == pytest.approx(few.accumulates, rel=1e-4)
    rows = re.findall(r"^\| (few-bit.*|integers, as.*) \| (\d+) \| ([\d.]+)%", text, re.M)
    described = Description(
        name="circuit_0",
        origin=re.search(r"Trained on .*? membranes of \d+\.", text)[0],
        class_names=kept.class_names,
        data="the data set `hd`",
        scored=re.search(r"^Over all .*", text, re.M)[0],
        accuracies={name: (round(float(x) * int(n) / 100), int(n)) for name, n, x in rows},
        operations=pd.Series(
            {"accumulates": additions, "effective_accumulates": additions * int(share) / 100}
        ),
        is_tuned=True,
    )
    runs = [network.run(*word[:2]) for word in words]
    edges = edge_words(network, words)
    wanted = readme(network, words, runs, described, n_membranes=1, edges=edges, has_graph=True)
    assert text == wanted
