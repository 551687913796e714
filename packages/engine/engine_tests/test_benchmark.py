"""The benchmark, on a few small utterances."""

import csv
import sys
from xml.etree import ElementTree

import pytest

import engine_benchmark
from engine_examples.twelve_programs import SMALL


@pytest.mark.slow
def test_all_ways_are_timed_and_drawn(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(engine_benchmark, "clock", lambda action: action() is not None or 1.0)
    few = {name: SMALL[name] for name in ("policy", "quick start", "tutorial 3", "tutorial 6")}
    study = engine_benchmark.STUDY["the study's network, batches of 8"]
    monkeypatch.setattr(engine_benchmark, "USUAL", few)
    monkeypatch.setattr(engine_benchmark, "first_calls", list)  # they compile for half a minute
    monkeypatch.setattr(engine_benchmark, "STUDY", {"study": study._replace(shape=(333, 2, 183))})
    chart = tmp_path / "chart.svg"
    monkeypatch.setattr(sys, "argv", ["bench", "--rounds", "1", "--chart", str(chart)])
    engine_benchmark.main()
    rows = [*csv.DictReader(capsys.readouterr().out.splitlines())]
    found = {(row["program"], row["variant"]): float(row["ratio"]) for row in rows}
    assert ("study", "loss_and_gradients") in found and ("all twelve", "geometric mean") in found
    assert len(found) >= 13 and {*found.values()} == {1}
    assert "numba" in rows[0]["note"]
    bars = ElementTree.parse(chart).getroot()[1:]
    assert [bar.text for bar in bars[::3]][:4] == [*few]


def test_the_length_of_a_bar_is_the_ratio():
    bars = ElementTree.fromstring(engine_benchmark.chart({"slow": 0.5, "fast": 2.0}))[1:]
    assert [bar.text for bar in bars[::3]][:2] == ["fast", "slow"]
    assert float(bars[1].get("width")) == 4 * float(bars[4].get("width"))
