"""Each utterance is in one subset, none is lost, and no file is read that isn't needed."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shd_corpus.shd_file import read_shd
from shd_helpers.events import Downsampling, Events, load_pair
from shd_helpers.events.loading import (
    Split,
    concatenate,
    languages,
    load_subsets,
    split_utterances,
    split_validation,
)
from shd_judge import five_folds


def labeled(labels, speakers):
    n = len(labels)
    empty = np.zeros(0, np.uint16)
    names = tuple(map(str, range(10)))
    offsets = np.zeros(n + 1, np.int64)
    return Events(empty, empty, offsets, np.array(labels), np.array(speakers), names, 3, 3)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 12), st.integers(1, 4), st.floats(0.1, 0.6), st.integers(0, 99))
def test_random_split_takes_the_same_share_of_every_stratum(takes, speakers, fraction, seed):
    rng = np.random.default_rng(seed)
    rows = rng.permutation([(c, s) for c in range(10) for s in range(speakers)] * takes)
    events = labeled(rows[:, 0], rows[:, 1])
    train, valid = split_validation(events, Split(validation_fraction=fraction), seed)
    assert sorted([*train, *valid]) == list(range(len(rows)))
    assert abs(len(valid) - fraction * len(rows)) < 1
    for c in range(10):
        for s in range(speakers):
            share = np.sum((events.labels[valid] == c) & (events.speakers[valid] == s))
            assert abs(share - fraction * takes) < 1
    _, again = split_validation(events, Split(validation_fraction=fraction), seed)
    _, other = split_validation(events, Split(validation_fraction=fraction), seed + 1)
    assert np.array_equal(valid, again)
    assert len(rows) < 100 or not np.array_equal(valid, other)


@pytest.mark.parametrize(("text", "named"), [("8", {8}), ("7,11", {7, 11}), ("7-8,11", {7, 8, 11})])
def test_whole_speakers_validate(text, named):
    events = labeled([0, 1] * 20, [7, 7, 8, 8, 9, 9, 11, 11] * 5)
    split = Split(validation="speaker", validation_speakers=text)
    train, valid = split_validation(events, split, 0)
    assert set(events.speakers[valid]) == named and len(valid) == 10 * len(named)
    assert sorted([*train, *valid]) == list(range(40))


def test_impossible_splits():
    one_speaker = labeled([0, 1], [3, 3])
    for options, message in (
        ({"validation_fraction": 1e-6}, "0 for validation"),
        ({"validation": "speaker", "validation_speakers": "3"}, "leaves 0 utterances for training"),
        ({"validation": "speaker", "validation_speakers": "3,8,9"}, "8, 9: no such speaker here"),
    ):
        with pytest.raises(ValueError, match=message):
            split_validation(one_speaker, Split(**options), 0)


def rows(events):
    return {*zip(events.file.tolist(), events.rows.tolist(), strict=True)}


@pytest.fixture(scope="module")
def files(toy_dir):
    """Toy data: four speakers in the training file, the same and a fifth in the test file."""
    return toy_dir / "toy_train.h5", toy_dir / "toy_test.h5"


COARSE = Downsampling(pool_units=50, pool_steps=100)


def test_official_protocol_keeps_the_files_apart(files, data_dir):
    training, validation, test = load_subsets(files, COARSE, "english", Split(), 0)
    assert set(training.file) == set(validation.file) == {0} and set(test.file) == {1}
    assert len(rows(training) | rows(validation)) == len(training) + len(validation) == 120
    assert len(test) == 50
    original = read_shd(files[1])
    np.testing.assert_array_equal(original.speakers[test.rows], test.speakers)
    words = [original.keys[label] for label in original.labels[test.rows]]
    assert words == [test.class_names[label] for label in test.labels]


def test_utterances_of_all_speakers_train_under_everybody(files, data_dir):
    split = Split(protocol="everybody", validation_fraction=0.05, score_test=False)
    training, validation, test = load_subsets(files, COARSE, "english", split, 0)
    assert test is None and {*training.speakers} == {0, 1, 2, 3, 4}
    assert len(rows(training) | rows(validation)) == len(training) + len(validation) == 170


def test_leave_one_speaker_out_equals_a_count_by_hand(files, data_dir):
    everything = set()
    for speaker in range(5):
        split = Split(protocol="leave_one_speaker_out", held_out=speaker)
        training, validation, test = load_subsets(files, COARSE, "english", split, speaker)
        subsets = [rows(training), rows(validation), rows(test)]
        assert sum(map(len, subsets)) == len(set.union(*subsets)) == 170  # none twice, none lost
        assert speaker not in {*training.speakers, *validation.speakers}
        of_speaker = 10 if speaker == 4 else 40
        assert (test.speakers == speaker).sum() == of_speaker
        seen = test.speakers[test.speakers != speaker]
        for other in set(range(5)) - {speaker}:  # a tenth of everyone's utterances, to within one
            share = 0.1 * (10 if other == 4 else 40)
            assert abs((seen == other).sum() - share) <= 1
        everything |= rows(test)
    assert len(everything) > 150


def drawn_one_by_one(events, share, rng):
    """Draw a share of every speaker's utterances of each class, one after the other."""
    shuffled = rng.permutation(len(events)).tolist()
    start = rng.random()
    in_order = sorted(shuffled, key=lambda i: (events.labels[i], events.speakers[i]))
    taken = []
    due = math.floor(start)
    for n, i in enumerate(in_order, start=1):
        if math.floor(n * share + start) > due:
            due = math.floor(n * share + start)
            taken.append(i)
    return sorted(taken)


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_the_seed_draws_the_seen_speakers_test_utterances(files, data_dir, seed):
    """Committed accuracies are of these utterances; another seed draws others."""
    split = Split(protocol="leave_one_speaker_out", held_out=2)
    everything = concatenate(load_pair(files, COARSE))
    others = everything.take(np.flatnonzero(everything.speakers != 2))
    wanted = others.take(drawn_one_by_one(others, 0.1, np.random.default_rng([seed, 1])))
    found = load_subsets(files, COARSE, "english", split, seed).test
    assert rows(found.take(np.flatnonzero(found.speakers != 2))) == rows(wanted)
    again = load_subsets(files, COARSE, "english", split, seed + 1).test
    assert rows(again.take(np.flatnonzero(again.speakers != 2))) != rows(wanted)


def test_concatenated_events_are_those_of_the_files(files, data_dir):
    train, test = load_pair(files, COARSE)
    both = concatenate([train, test])
    assert len(both) == len(train) + len(test)
    for i in (0, len(train) - 1, len(train), len(both) - 1):
        file, k = (train, i) if i < len(train) else (test, i - len(train))
        np.testing.assert_array_equal(both.to_frames([i]), file.to_frames([k]))
        assert (both.rows[i], both.labels[i]) == (file.rows[k], file.labels[k])


def test_a_test_file_that_is_not_scored_is_not_read(files, tmp_path, data_dir):
    missing = files[0], tmp_path / "absent_test.h5"
    subsets = load_subsets(missing, COARSE, "english", Split(score_test=False), 0)
    scored = load_subsets(files, COARSE, "english", Split(), 0)
    assert subsets.test is None and rows(subsets.training) == rows(scored.training)
    for score_test in (True, False):  # the same utterances are held back
        split = Split(protocol="leave_one_speaker_out", held_out=2, score_test=score_test)
        subsets = load_subsets(files, COARSE, "english", split, 0)
        assert len(subsets.training) + len(subsets.validation) == 117
        assert 2 not in subsets.training.speakers
    assert subsets.test is None


def test_each_training_speaker_is_in_one_of_five_folds(files, tmp_path, data_dir):
    """The toy's training file has speakers 0 to 3. 1 and 2 validate, so the folds have 0 or 3."""
    missing = files[0], tmp_path / "absent_test.h5"
    tested = []
    for held_out in range(5):
        split = Split("folds", held_out, validation="speaker", validation_speakers="1-2")
        subsets = load_subsets(missing, COARSE, "english", split, 0)
        assert set(subsets.validation.speakers) == {1, 2}
        speakers = set(subsets.test.speakers.tolist())
        assert speakers.isdisjoint(subsets.training.speakers)
        assert speakers | set(subsets.training.speakers.tolist()) == {0, 3}
        tested.append(speakers)
    assert tested == [{0}, {3}, set(), set(), set()]
    without_test = Split(
        "folds", 1, validation="speaker", validation_speakers="1-2", score_test=False
    )
    subsets = load_subsets(missing, COARSE, "english", without_test, 0)
    assert subsets.test is None and set(subsets.training.speakers) == {0}


def test_the_folds_are_those_of_the_judge():
    speakers = np.repeat([0, 1, 2, 3, 6, 7, 8, 9, 10, 11], 4)
    events = replace(labeled(np.zeros(40, int), speakers), rows=np.arange(40))
    for k, fold in enumerate(five_folds(speakers)):
        subsets = split_utterances(events, None, Split("folds", k), 0)
        assert subsets.test.rows.tolist() == fold.test.tolist()
        rest = [*subsets.training.rows, *subsets.validation.rows]
        assert sorted(rest) == fold.training.tolist()


def test_only_digits_have_a_language():
    events = labeled([0, 1, 2, 1], [1, 1, 2, 2])
    events = replace(events, class_names=("seven", "sieben", "yes"))
    assert languages(events).tolist() == ["english", "german", "", "german"]
