"""The program that loads a large data set, on a small one."""

import os
import re
import sys

from evidence.benchmarks import bench_large_data


def test_a_large_data_set_is_written_and_loaded(monkeypatch, capsys):
    monkeypatch.setenv("SHD_DATA_DIR", os.environ.get("SHD_DATA_DIR", "data"))  # it sets another
    monkeypatch.setattr(sys, "argv", ["bench_large_data", "--share", "0.003"])
    monkeypatch.setattr(bench_large_data, "SPIKES", 3000)
    bench_large_data.main()
    said = capsys.readouterr().out
    assert "large: 225 utterances, 35 classes" in said
    events = re.findall(r"(?:downsampled|loaded from the cache): ([\d,]+) events", said)
    assert len(events) == 2 and events[0] == events[1] != "0"
