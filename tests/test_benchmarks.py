"""A benchmark on the reader's machine leaves the committed table as it is."""

import sys
from types import ModuleType

import pandas as pd
import pytest

from evidence.benchmarks import run
from shd_helpers.paths import ROOT


@pytest.fixture
def benchmark(monkeypatch, tmp_path):
    """Return a function that runs the command, with a benchmark that takes no time."""
    quick = ModuleType("bench_quick")
    quick.rows = lambda: [{"benchmark": "quick", "variant": "a", "batch": 1, "median_s": 0.5}]
    monkeypatch.setitem(sys.modules, "evidence.benchmarks.bench_quick", quick)
    monkeypatch.setattr(run, "BENCHMARKS", ("quick",))
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setenv("SHD_RESULTS_DIR", str(tmp_path / "results"))

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
        run.main()

    return command


def test_make_bench_writes_to_an_ignored_file(benchmark, tmp_path, capsys):
    benchmark()
    written = tmp_path / "build" / "bench.csv"
    assert pd.read_csv(written).median_s.item() == 0.5
    assert f"The table: {written}" in capsys.readouterr().out
    assert not (tmp_path / "results").exists()
    assert "build/" in (ROOT / ".gitignore").read_text().split()
