"""Lists of events: which utterances are taken, repeated events, and lists that don't match."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from shd_helpers.events.event_lists import Events, concatenate
from tests.builders.events import random_events

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


def test_a_repeated_event_counts_as_often_in_a_batch_as_in_the_frames():
    steps = np.array([1, 1, 1, 2, 0], np.uint16)
    units = np.array([3, 3, 3, 0, 2], np.uint16)
    zeros = np.zeros(2, np.int64)
    events = Events(steps, units, np.array([0, 4, 5]), zeros, zeros, ("no",), 3, 4)
    wanted = np.zeros((3, 2, 4))
    for utterance, step, unit in ((0, 1, 3), (0, 1, 3), (0, 1, 3), (0, 2, 0), (1, 0, 2)):
        wanted[step, utterance, unit] += 1
    data = events.dataset()
    frames, _ = data.collate([data[0], data[1]])
    np.testing.assert_array_equal(frames, wanted)
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
