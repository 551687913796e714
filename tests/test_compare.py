"""Two data sets held against each other: numbers by hand."""

import dataclasses
import sys

import numpy as np
import pytest

from evidence import compare
from evidence.compare import compare_utterances
from shd_corpus.checks import DatasetError
from shd_corpus.class_names import ENGLISH, GERMAN
from shd_corpus.shd_file import Utterances, write_shd

KEYS = ENGLISH + GERMAN


def utterances(rows, labels, speakers=None, keys=KEYS, files=()) -> Utterances:
    """Build a data set of rows of (times, units)."""
    times, units = ([np.array(row[i]) for row in rows] for i in (0, 1))
    return Utterances(
        np.concatenate([*times, []]).astype(np.float16),
        np.concatenate([*units, []]).astype(np.uint16),
        np.cumsum([0, *map(len, times)]),
        np.array(labels, dtype=np.int64),
        np.array([0] * len(rows) if speakers is None else speakers, dtype=np.int64),
        keys,
        tuple(files),
    )


def draw(rows, seed) -> list:
    """Return random utterances of 200 to 300 spikes, in some of the entries of `rows`' kind."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(200, 300, rows)
    return [(np.sort(rng.uniform(0, 0.5, n)), rng.integers(0, 700, n)) for n in sizes]


def as_matrices(*sides) -> tuple[np.ndarray, np.ndarray]:
    """Return which bins of 10 ms have spikes, for each utterance, and mean numbers of spikes."""
    active = np.zeros((2, 4, 60, 700))
    spikes = np.zeros((2, 60, 700))
    for side, rows in enumerate(sides):
        for i, (times, units) in enumerate(rows):
            for time, unit in zip(times.astype(np.float16).astype(float), units, strict=True):
                active[side, i, int(time / 0.01), unit] = 1
                spikes[side, int(time / 0.01), unit] += 1 / 4
    return active, spikes


def test_the_measures_are_those_computed_by_hand():
    """Against whole matrices, and means of sorted times."""
    rows_a = draw(4, 0)
    rows_b = draw(4, 1)
    a = utterances(rows_a, [0, 1, 1, 3])
    b = utterances(rows_b, [0, 1, 1, 3])
    measures, classes = compare_utterances(a, b)
    active, spikes = as_matrices(rows_a, rows_b)
    blocks = active[:, :, :51].reshape(2, 4, 51, 140, 5).sum(axis=-1)[:, :, :50]
    expected = np.mean(
        [np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(*blocks, strict=True)]
    )
    assert measures["correlation"] == pytest.approx(expected, abs=1e-3)
    assert measures["active_ratio"] == pytest.approx(active[1].sum() / active[0].sum())
    assert measures["spikes_ratio"] == pytest.approx(spikes[1].sum() / spikes[0].sum())
    bands = spikes.sum(axis=1).reshape(2, 140, 5).sum(axis=-1)
    difference = np.abs(bands[0] - bands[1]).sum() / bands[0].sum()
    assert measures["units_difference"] == pytest.approx(difference)
    steps = spikes.sum(axis=2)
    difference = np.abs(steps[0] - steps[1]).sum() / steps[0].sum()
    assert measures["time_difference"] == pytest.approx(difference)
    check_side("a", rows_a, measures, classes)
    check_side("b", rows_b, measures, classes)


def check_side(side, rows, measures, classes):
    """Check what is measured of one of the two data sets."""
    edges = [np.quantile(times.astype(np.float16).astype(float), [0.05, 0.95]) for times, _ in rows]
    onset, end = 1000 * np.mean(edges, axis=0)
    assert measures[f"onset_ms_{side}"] == pytest.approx(onset)
    assert measures[f"end_ms_{side}"] == pytest.approx(end)
    assert measures[f"utterances_{side}"] == measures["matched"] == 4
    assert classes.index.tolist() == ["zero", "one", "three"]
    assert classes[f"utterances_{side}"].tolist() == [1, 2, 1]
    one = np.mean([len(times) for times, _ in rows[1:3]])
    assert classes.loc["one", f"spikes_{side}"] == one


def test_utterances_are_matched_by_name_in_any_order():
    rows = draw(3, 0)
    other_order = GERMAN + ENGLISH
    a = utterances(rows, [0, 1, 2], files=["x", "y", "z"])
    b = [rows[2], rows[0], draw(1, 5)[0]]
    b = utterances(b, [12, 10, 17], keys=other_order, files=["z", "x", "other"])
    measures, classes = compare_utterances(a, b)
    assert measures["matched"] == 2
    assert measures["correlation"] == pytest.approx(1)
    assert classes.index.tolist() == ["zero", "one", "two", "seven"]
    assert classes.utterances_b.tolist() == [1, 0, 1, 1]


def test_data_sets_that_can_t_be_compared_are_refused():
    some = utterances(draw(2, 0), [0, 1])
    silent = utterances([(np.array([]), np.array([]))] * 2, [0, 1])
    other = dataclasses.replace(some, n_channels=1000)
    for a, b, message in (
        (some, silent, "without spikes"),
        (silent, some, "without spikes"),
        (some, other, "have 700 and 1000 channels"),
    ):
        with pytest.raises(DatasetError, match=message):
            compare_utterances(a, b)


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["compare", *map(str, arguments)])
    compare.main()


def test_the_command_prints_both_files(tmp_path, monkeypatch, capsys):
    for seed, name in enumerate(("one", "two")):
        for part in ("train", "test"):
            rows = zip(*draw(10, seed), strict=True)
            write_shd(tmp_path / name / f"{name}_{part}.h5", *rows, [0, 2, 4, 6, 8] * 2, [0] * 10)
    run(monkeypatch, tmp_path / "one", tmp_path / "two")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "train" and lines[2].endswith("two_train.h5")
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.strip()}
    assert rows["matched"] == ["10", "10"]
    utterances_a, _, utterances_b, _, ratio = rows["eight"][:5]
    assert utterances_a == utterances_b == "2" and float(ratio) == pytest.approx(1, abs=0.2)
    with pytest.raises(SystemExit, match="no such folder"):
        run(monkeypatch, tmp_path / "one", tmp_path / "absent")
