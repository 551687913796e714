"""The code blocks of docs/extend_data.md, one after the other in an empty folder."""

import re

import pytest

from shd_helpers.paths import ROOT

TEXT = (ROOT / "docs" / "extend_data.md").read_text(encoding="utf-8")


def test_the_blocks_run_in_an_empty_folder(tmp_path, data_dir, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    for number, block in enumerate(blocks):
        exec(compile(block, f"block {number}", "exec"), names)
    said = capsys.readouterr().out
    assert "moves: 100 utterances, 5 classes, 5 speakers; duration_s 1.25 cuts off 0.0 %" in said
    assert "my_wavs: 36 utterances, 3 classes, 4 speakers" in said
    assert len(blocks) == 8


def test_a_shorter_duration_is_warned_of(tmp_path, data_dir, monkeypatch):
    """As the page says."""
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    first, second = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)[:2]
    exec(first, names)
    assert "duration_s=1.25" in second
    with pytest.warns(UserWarning, match=r"duration_s 1 cuts off 1\d\.\d % of the spikes"):
        exec(second.replace("duration_s=1.25", "duration_s=1.0"), names)
