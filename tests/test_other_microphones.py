"""What `tools/other_microphones.py` can't use is named before any network has heard a word."""

import importlib.util

import numpy as np
import pytest
import soundfile

from shd_helpers.paths import ROOT

SPEC = importlib.util.spec_from_file_location(
    "other_microphones", ROOT / "tools" / "other_microphones.py"
)
script = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(script)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("take.wav", (8000,), r"{digit}_{speaker}_{take}.wav"),
        ("3_ann_0.wav", (8000, 2), "mono"),
        ("3_ann_0.wav", (8000,), "Silence"),
        (None, (), "no wav file in this folder"),
    ],
)
def test_what_is_no_word_is_named(tmp_path, monkeypatch, capsys, name, shape, message):
    monkeypatch.setenv("SHD_RESULTS_DIR", str(tmp_path / "results"))
    if name:
        soundfile.write(tmp_path / name, np.zeros(shape), 8000)
    monkeypatch.setattr("sys.argv", ["other_microphones", str(tmp_path)])
    with pytest.raises(SystemExit):
        script.main()
    said = capsys.readouterr().err
    assert message in said and (name or "") in said
    assert not (tmp_path / "results").exists()
