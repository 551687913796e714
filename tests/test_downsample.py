"""Binning and pooling against nested loops; the cache against damage.

Lists of events: which utterances are taken, repeated events, and lists that don't match.
"""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from shd_corpus.checks import DatasetError
from shd_corpus.class_names import ENGLISH, GERMAN
from shd_corpus.shd_file import write_shd
from shd_helpers.events import Downsampling, downsample, load_pair, loading
from shd_helpers.events.downsampling import Events, concatenate, have_equal_arrays
from tests.builders.events import random_events, utterances


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


EVENTS = random_events(5, 7, 4, 3, 0.3)
MASKS = [
    np.array([True, False, False, True, False]),
    [False, True, True, False, False],
    torch.tensor([True, True, True, True, True]),
    np.zeros(0, bool),
]


@pytest.mark.parametrize("use", [Events.take, Events.to_frames])
@pytest.mark.parametrize("mask", MASKS, ids=["array", "list", "tensor", "empty"])
def test_a_mask_is_refused_and_the_remedy_takes_the_same_utterances(use, mask):
    with pytest.raises(ValueError, match=r"mask of True and False.*np\.flatnonzero\(mask\)"):
        use(EVENTS, mask)
    chosen = np.flatnonzero(mask)
    assert EVENTS.take(chosen).labels.tolist() == [EVENTS.labels[i] for i in chosen]


@pytest.mark.parametrize("use", [Events.take, Events.to_frames])
@pytest.mark.parametrize("index", [[-1], [-2], [0, 5], [4, -5]])
def test_an_index_that_no_utterance_has_is_refused(use, index):
    said = rf"from {min(index)} to {max(index)}, but there are 5 utterances, which count from 0"
    with pytest.raises(IndexError, match=said):
        use(EVENTS, index)


@pytest.mark.parametrize("index", [[], [0], [4, 0, 4], range(5), np.array([3], np.uint8)])
def test_taken_utterances_have_the_events_of_the_originals(index):
    taken = EVENTS.take(index)
    assert len(taken) == len(index)
    for position, i in enumerate(index):
        original = slice(EVENTS.offsets[i], EVENTS.offsets[i + 1])
        copy = slice(taken.offsets[position], taken.offsets[position + 1])
        assert taken.steps[copy].tolist() == EVENTS.steps[original].tolist()
        assert taken.units[copy].tolist() == EVENTS.units[original].tolist()


@pytest.mark.parametrize("dtype", ["i1", "<u2", ">i4", "u8"])
def test_offsets_of_another_type_give_the_same_utterances(dtype):
    other = replace(EVENTS, offsets=EVENTS.offsets.astype(dtype))
    for index in ([4, 1], []):
        assert have_equal_arrays(other.take(index), EVENTS.take(index), ("steps", "offsets"))


def test_a_repeated_event_counts_as_often_in_a_batch_as_in_the_frames():
    steps = np.array([1, 1, 1, 2, 0], np.uint16)
    units = np.array([3, 3, 3, 0, 2], np.uint16)
    zeros = np.zeros(2, np.int64)
    events = Events(steps, units, np.array([0, 4, 5]), zeros, zeros, ("no",), 3, 4)
    wanted = np.zeros((3, 2, 4))
    for utterance, step, unit in ((0, 1, 3), (0, 1, 3), (0, 1, 3), (0, 2, 0), (1, 0, 2)):
        wanted[step, utterance, unit] += 1
    np.testing.assert_array_equal(events.to_frames([0, 1]), wanted)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"class_names": ("1", "0", "2")}, r"class_names \('1', '0', '2'\) instead of \('0', '1'"),
        ({"n_steps": 8}, "n_steps 8 instead of 7"),
        ({"n_units": 9}, "n_units 9 instead of 4"),
        ({"step_ms": 10.0}, r"step_ms 10\.0 instead of 3\.0"),
        ({"n_channels": 64}, "n_channels 64 instead of 700"),
    ],
)
def test_lists_that_do_not_go_together_are_not_concatenated(change, said):
    with pytest.raises(ValueError, match=rf"list 3 of events has {said}"):
        concatenate([EVENTS, EVENTS, replace(EVENTS, **change)])


@pytest.mark.parametrize("use", [Events.take, Events.to_frames])
@pytest.mark.parametrize(
    ("index", "said"),
    [
        (
            np.where(np.ones(5)),
            r"has the shape \(1, 5\), .*np\.where\(mask\) returns, give the first",
        ),
        (3, r"has the shape \(\)"),
        ([0.9], "must be whole numbers"),
        (["0"], "must be whole numbers"),
    ],
)
def test_an_index_that_is_no_list_of_whole_numbers_is_refused(use, index, said):
    with pytest.raises(ValueError, match=said):
        use(EVENTS, index)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["zreo"], rf"class 'zreo': unknown\. The classes are {', '.join(EVENTS.class_names)}"),
        ([EVENTS.class_names[1]] * 2, "a class is named twice"),
        (EVENTS.class_names[0], "must be a list"),
    ],
)
def test_classes_that_cannot_be_selected_get_a_sentence(names, said):
    with pytest.raises(ValueError, match=said):
        EVENTS.of_classes(names)


TWICE = ("zero", "one", "zero")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"class_names": TWICE}, r"class_names \('zero', 'one', 'zero'\): a class is named twice"),
        ({"n_steps": 6}, "steps: has values from 0 to 6, but must have 0 to 5"),
        ({"n_units": 3}, "units: has values from 0 to 3, but must have 0 to 2"),
        ({"class_names": ("a",)}, "labels: has values from 0 to 2, but must have 0 to 0"),
        ({"labels": EVENTS.labels - 1}, "labels: has values from -1 to 1, but must have 0 to 2"),
        ({"labels": EVENTS.labels + 0.0}, "labels: must be an array of whole numbers"),
        ({"steps": EVENTS.steps.astype(int) - 1}, "steps: has values from -1 to 5"),
        ({"steps": EVENTS.steps * 0.5}, "steps: must be an array of whole numbers"),
        ({"steps": EVENTS.steps.tolist()}, "steps: must be an array of whole numbers"),
        ({"units": EVENTS.units[:, None]}, "units: must be an array of whole numbers"),
        ({"units": EVENTS.units.astype(int) - 4}, "units: has values from -4 to -1"),
        ({"steps": EVENTS.steps[1:]}, r"units: has the length (\d+) instead of \d+"),
        ({"units": EVENTS.units[1:]}, r"units: has the length (\d+) instead of \d+"),
        ({"offsets": EVENTS.offsets[:-1]}, "offsets: has the length 5 instead of 6. .* 5 labels"),
        ({"labels": EVENTS.labels[1:]}, "offsets: has the length 6 instead of 5. .* 4 labels"),
        ({"speakers": EVENTS.speakers[1:]}, "speakers: has the length 4 instead of 5"),
        ({"rows": np.arange(6)}, "rows: has the length 6 instead of 5"),
        ({"file": np.zeros(1)}, "file: has the length 1 instead of 5"),
        ({"offsets": EVENTS.offsets + 1}, r"offsets: must be whole .* from 0 to \d+, .*np\.cumsum"),
        (
            {"offsets": EVENTS.offsets[::-1]},
            r"offsets: must be whole .* from 0 to \d+, .*np\.cumsum",
        ),
        (
            {"offsets": EVENTS.offsets[[0, 2, 1, 3, 4, 5]]},
            "offsets: must be whole numbers that ascend from 0",
        ),
        *(({"step_ms": value}, "step_ms .*above 0") for value in (np.nan, 0, -3.0, np.inf, "3")),
        *(({"n_steps": value}, "n_steps .*a whole number") for value in (0, -1, 2.5)),
        ({"n_units": "4"}, "n_units '4': must be a whole number from 1 to 65536"),
    ],
)
def test_lists_that_no_utterances_can_have_are_refused(change, said):
    with pytest.raises(ValueError, match=said):
        replace(EVENTS, **change)


def test_numbers_of_numpy_and_lists_of_nothing_are_taken():
    events = replace(EVENTS, n_steps=np.int64(7), step_ms=np.float32(3), steps=EVENTS.steps + 0)
    assert events.to_frames([0]).shape == (7, 1, 4)
    none = EVENTS.take([])
    assert len(none) == 0 and none.of_classes(["2"]).class_names == ("2",)
