"""Binning and pooling against nested loops; the cache against damage."""

import os

import numpy as np
import pytest

from shd_corpus.checks import DatasetError
from shd_corpus.class_names import ENGLISH, GERMAN
from shd_corpus.shd_file import write_shd
from shd_helpers.events import Downsampling, downsample, load_pair, loading
from tests.builders.events import utterances


def test_study_grid_is_183_by_333():
    grid = Downsampling()
    assert (grid.n_units, grid.n_steps, grid.n_bins) == (183, 333, 1000)
    # unit 699 and the last millisecond belong to no full block of three
    events = downsample(utterances([([0.9995, 0.9995, 0.5, 0.5], [151, 152, 699, 698])]), grid)
    assert len(events.steps) == 0
    # two of nine cells are enough, one is not, the same cell twice is one
    spikes = [([0.0, 0.002], [150, 152]), ([0.003, 0.003], [150, 150]), ([], [])]
    events = downsample(utterances(spikes), grid)
    assert events.offsets.tolist() == [0, 1, 1, 1]
    assert (events.steps[0], events.units[0]) == (0, 0)


def test_float16_times_are_widened_before_scaling():
    """1026/2048 s are 500.98 ms, which float16 would round up to 501."""
    time = np.float16(1026 / 2048)
    assert int(time * np.float16(1000)) != int(float(time) * 1000)
    grid = Downsampling(pool_units=1, pool_steps=1, pool_threshold=1)
    assert downsample(utterances([([time], [200])]), grid).steps[0] == int(float(time) * 1000)


def test_language_picks_utterances_by_name():
    keys = GERMAN + ENGLISH  # the German words come first here
    data = utterances([([0.1], [300])] * 4, labels=[0, 10, 19, 5], keys=keys)
    grid = Downsampling(pool_threshold=1)
    english = downsample(data, grid, "english")
    assert english.labels.tolist() == [0, 9] and english.speakers.tolist() == [1, 2]
    german = downsample(data, grid, "german")
    assert german.labels.tolist() == [0, 5] and german.class_names[5] == "fuenf"
    assert len(downsample(data, grid, "both")) == 4


# ---- files and their cache ----


def make(path, n=20, times=(0.1, 0.1004, 0.3), speaker=0, **settings):
    write_shd(path, [times] * n, [(201, 202, 300)] * n, range(n), [speaker] * n, **settings)


@pytest.fixture
def files(tmp_path, data_dir):
    make(tmp_path / "mini_train.h5")
    make(tmp_path / "mini_test.h5", speaker=1)
    return tmp_path / "mini_train.h5", tmp_path / "mini_test.h5"


def same(a, b):
    return all(np.array_equal(x, vars(b)[name]) for name, x in vars(a).items())


def test_the_cache_is_used_and_depends_on_content_and_parameters(files, data_dir, monkeypatch):
    train, _ = load_pair(files, Downsampling())
    with monkeypatch.context() as patch:
        patch.setattr(loading, "read_in_slices", None)  # reading again would fail
        again, _ = load_pair(files, Downsampling())
    assert same(train, again) and len(train.steps) == 10
    assert len(load_pair(files, Downsampling(pool_threshold=1))[0].steps) == 20
    assert len(list((data_dir / "cache").glob("*.npz"))) == 4
    write_shd(files[0], [[0.5, 0.5]] * 10, [[400, 401]] * 10, range(9, -1, -1), [0] * 10)
    train, _ = load_pair(files, Downsampling())
    assert train.labels.tolist() == list(range(9, -1, -1))


def test_changed_code_downsamples_again(files, data_dir, monkeypatch):
    load_pair(files, Downsampling())
    monkeypatch.setattr(loading, "code_hash", lambda: "of other code")
    monkeypatch.setattr(loading, "read_in_slices", None)  # reading again fails
    with pytest.raises(TypeError):
        load_pair(files, Downsampling())


@pytest.mark.parametrize("damage", ["flipped", "other", "pipe"])
def test_damaged_cache_is_made_again(files, data_dir, damage):
    train, _ = load_pair(files, Downsampling())
    (entry,) = (data_dir / "cache").glob("mini_train_*.npz")
    if damage == "flipped":
        content = bytearray(entry.read_bytes())
        content[content.index(train.units.tobytes())] ^= 0xFF
        entry.write_bytes(content)
    if damage == "other":
        with entry.open("wb") as file:
            np.savez(file, steps=np.zeros(3))
    if damage == "pipe":
        entry.unlink()
        os.mkfifo(entry)
    again, _ = load_pair(files, Downsampling())
    assert same(train, again)
    assert len(loading._read_cache(entry)) == len(train)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 0, "keys": GERMAN}, r"mini_train\.h5: no utterance\. Write some into it"),
        ({"n": 0}, r"mini_train\.h5.*no utterance in language 'english'"),
        ({"n": 8}, r"mini_train\.h5: no training utterance of eight, nine"),
        ({"times": (1, 2, 7)}, r"mini_train\.h5: 100% of the spikes come after 1 s"),
        (
            {"times": (0.1, 0.2, 0.3)},
            r"mini_train\.h5: downsampling leaves no event.*pool_threshold",
        ),
        ({"speaker": 1}, r"mini_test\.h5: the same utterances as in the training file mini_train"),
    ],
)
def test_data_that_cannot_be_used_are_named_with_their_file(files, changes, message):
    make(files[0], **changes)
    with pytest.raises(DatasetError, match=message):
        load_pair(files, Downsampling())
