"""Recordings of another corpus, which the pretrained networks classify."""

import shutil
import sys

import pytest
import soundfile

from evidence import other_microphones
from shd_corpus.class_names import ENGLISH
from shd_corpus.speech import SPEECH_RATE_HZ, synthesize
from tests import RESULTS


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (None, r"no wav file\. Name the folder"),
        ("foo.wav", r"foo\.wav: the name must be .*such as 7_jackson_0\.wav"),
        ("11_ann_0.wav", r"11_ann_0\.wav: the name must be"),
        ("7_ann_0.wav", r"7_ann_0\.wav: .*remove it\.$"),
    ],
)
def test_recordings_that_can_t_be_classified_are_named(name, message, tmp_path, monkeypatch):
    """The last one is damaged."""
    if name:
        (tmp_path / name).write_bytes(b"RIFF of nothing")
    monkeypatch.setattr(sys, "argv", ["script", str(tmp_path)])
    monkeypatch.setattr(other_microphones, "networks_dir", lambda: tmp_path)
    with pytest.raises(SystemExit, match=message):
        other_microphones.main()


def test_other_networks_answer_the_same_recordings(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "3_ann_0.wav", synthesize("three", "en-us+m3"), SPEECH_RATE_HZ)
    for name in ("small", "study_0"):
        shutil.copy(RESULTS / "networks" / f"{name}.npz", tmp_path)
    monkeypatch.setattr(other_microphones, "networks_dir", lambda: tmp_path)
    monkeypatch.setattr(other_microphones, "tqdm", list)
    table = other_microphones.classify(tmp_path)
    assert table.network.tolist() == ["study_0", "small"]
    assert {(row.speaker, row.label) for row in table.itertuples()} == {("ann", "three")}
    assert set(table.predicted) <= set(ENGLISH)
