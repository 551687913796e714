"""The command that writes the demo page (``make say``), and its worker, without a browser."""

import re

import pytest
from circuits import exported

from shd_circuit import say
from shd_circuit.folder import ExportError


@pytest.fixture
def folder(tmp_path):
    exported(tmp_path / "circuit", "study", 1)
    return tmp_path / "circuit"


@pytest.mark.parametrize("name", ["network.h", "classes.txt"])
def test_a_file_is_named_if_it_is_missing_and_needed(name, folder, monkeypatch):
    monkeypatch.setattr(say, "compile_c", lambda *_: b"")
    assert '"digits": ["a", "b", "c", "d", "e"]' in say.page(folder)
    (folder / name).unlink()
    with pytest.raises(ExportError, match=rf"{re.escape(name)}: no such file"):
        say.page(folder)
