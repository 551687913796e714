"""Folds by speaker, and the example that makes them without this package."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from shd_judge import compare, five_folds, speaker_folds, speech_commands_folds

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "nearest_mean.py"
TRAINING_SPEAKERS = [0, 1, 2, 3, 6, 7, 8, 9, 10, 11]  # of SHD


def test_folds_hold_out_each_speaker_once():
    speakers = np.array([7, 3, 3, 9, 7])
    folds = speaker_folds(speakers)
    assert [fold.name for fold in folds] == ["speaker 3", "speaker 7", "speaker 9"]
    for fold, speaker in zip(folds, (3, 7, 9), strict=True):
        assert set(speakers[fold.test]) == {speaker}
        assert sorted([*fold.training, *fold.test]) == [*range(5)]
    (only,) = speaker_folds(speakers, [9])
    assert only.training.tolist() == [0, 1, 2, 4]
    with pytest.raises(ValueError, match=r"no utterance by 5\. There are: 3, 7, 9"):
        speaker_folds(speakers, [5])
    with pytest.raises(ValueError, match="at least two"):
        speaker_folds(np.zeros(3, int))


def test_five_folds_of_shd_hold_out_two_speakers_each():
    speakers = np.random.default_rng(0).permutation(np.repeat(TRAINING_SPEAKERS, 3))
    folds = five_folds(speakers)
    pairs = [sorted(set(speakers[fold.test].tolist())) for fold in folds]
    assert pairs == [[0, 7], [1, 8], [2, 9], [3, 10], [6, 11]]
    for fold in folds:
        assert sorted([*fold.training, *fold.test]) == [*range(30)]
    with pytest.raises(ValueError, match="there are 4, and five folds need at least five"):
        five_folds(np.arange(4))


def test_people_of_speech_commands_who_validate_or_test_are_in_no_fold():
    """By the archive's rule, 026290a7 validates and 060cd039 tests."""
    train = ["004ae714", "00b01445", "00f0204f", "012c8314", "0132a06d"]
    people = np.array([*train, "026290a7", "060cd039", *train])
    folds = speech_commands_folds(people)
    assert [fold.name for fold in folds] == [f"fold {k}" for k in range(5)]
    for k, fold in enumerate(folds):
        assert set(people[fold.test]) == {train[k]}
        assert sorted([*fold.training, *fold.test]) == [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]


def write_training_file(path):
    """Write a file in the layout of ``shd_train.h5``, whose classes spike on channels of their own.

    Speaker 11 says every class as the next one, so all answers are wrong.
    """
    h5py = pytest.importorskip("h5py")
    rng = np.random.default_rng(0)
    speakers = np.repeat(TRAINING_SPEAKERS, 40)
    labels = np.tile(np.arange(20), 20)
    said = np.where(speakers == 11, (labels + 1) % 20, labels)
    with h5py.File(path, "w") as file:
        file["labels"] = labels.astype(np.uint16)
        file["extra/speaker"] = speakers.astype(np.uint16)
        for name, kind in (("times", np.float16), ("units", np.uint16)):
            column = file.create_dataset(f"spikes/{name}", (400,), h5py.vlen_dtype(kind))
            for row, channel in enumerate(35 * said):
                column[row] = (channel + rng.integers(35, size=rng.integers(20, 30))).astype(kind)


def test_the_example_follows_the_protocol_in_thirty_lines(tmp_path):
    write_training_file(tmp_path / "shd_train.h5")
    command = [sys.executable, str(EXAMPLE), "shd_train.h5", "nearest_mean.csv"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "nearest_mean.csv")
    by_speaker = table.pivot(index="speaker", columns="seed", values="accuracy")
    assert by_speaker.index.tolist() == TRAINING_SPEAKERS
    assert by_speaker.columns.tolist() == [0, 1, 2]
    assert (by_speaker.loc[:10] > 0.9).all(axis=None) and (by_speaker.loc[11] < 0.1).all()
    assert "over 10 speakers and 3 seeds" in str(compare(table, table.assign(accuracy=0.5)))
    code = EXAMPLE.read_text(encoding="utf-8")
    assert len(code.splitlines()) <= 30
    assert "shd_judge" not in code and "shd_helpers" not in code
