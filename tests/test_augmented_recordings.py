"""The figure of augmented recordings."""

import hashlib

import numpy as np
import pytest
import soundfile

from corpus_tests.made_recordings import RATE, tone
from evidence.augmented_recordings import describe, main
from shd_corpus.versions import WAVEFORMS
from shd_corpus.waveform_augmentation import WaveformAugmentation


def test_a_recording_that_can_t_be_drawn_is_named(tmp_path, monkeypatch):
    path = tmp_path / "x.wav"
    monkeypatch.setattr("sys.argv", ["augmented_recordings", str(path)])
    for _ in ("missing", "damaged"):
        with pytest.raises(SystemExit, match=rf"^{path}: "):
            main()
        path.write_bytes(b"no sound")


def test_the_figure_says_what_was_drawn(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "x.wav", tone(0.1), RATE)
    monkeypatch.setenv("SHD_IMG_DIR", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["augmented_recordings", str(tmp_path / "x.wav")])
    drawn_for = []
    described = describe
    monkeypatch.setattr(
        "evidence.augmented_recordings.describe", lambda x: drawn_for.append(x) or described(x)
    )
    main()
    assert (tmp_path / "augmented_recordings.png").stat().st_size > 10_000
    digest = hashlib.sha256((tmp_path / "x.wav").read_bytes()).hexdigest()
    for copy, change in enumerate(drawn_for, 1):
        number = hashlib.sha256(f"x.wav 0 {digest} {copy} {WAVEFORMS}".encode()).hexdigest()
        assert change == WaveformAugmentation.drawn(np.random.default_rng(int(number, 16)))
    assert len(drawn_for) == 5
