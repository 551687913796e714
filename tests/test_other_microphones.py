"""What `tools/other_microphones.py` can't use is named before any network has got a word."""

import numpy as np
import pytest
import soundfile

from tools import other_microphones


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("take.wav", (8000,), r"{digit}_{speaker}_{take}.wav"),
        ("3_ann_0.wav", (8000, 2), "mono"),
        (None, (), "no wav file in this folder"),
    ],
)
def test_what_is_no_word_is_named(tmp_path, monkeypatch, capsys, name, shape, message):
    monkeypatch.setenv("SHD_RESULTS_DIR", str(tmp_path / "results"))
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "voices_hd.csv").write_text("speaker,duration_s\n0,0.45\n")
    if name:
        soundfile.write(tmp_path / name, np.zeros(shape), 8000)
    monkeypatch.setattr("sys.argv", ["other_microphones", str(tmp_path)])
    with pytest.raises(SystemExit):
        other_microphones.main()
    said = capsys.readouterr().err
    assert message in said and (name or "") in said
    assert not (tmp_path / "results" / "other_microphones.csv").exists()
