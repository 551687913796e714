"""Which utterances train and test the networks of ``plan.yaml``."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from evidence.everybody.others import kinds
from evidence.everybody.plan import plan
from evidence.trainings import HD_SPEAKERS, VALIDATION, Study, Training, Utterances, load
from shd_corpus.class_names import LANGUAGES
from shd_helpers.events import Downsampling, Events
from shd_helpers.events.event_lists import concatenate
from shd_helpers.events.loading import TEST_FILE, TRAINING_FILE, load_file
from shd_helpers.paths import data_dir
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.trained_network import OTHER

KINDS = tuple(kinds([]))


def sounds_file() -> Path:
    """Return the file of the sounds that are no digit."""
    return data_dir() / "others" / "others_train.h5"


def load_sounds(grid: Downsampling) -> Events:
    """Return the sounds that are no digit; their speakers are numbers of their kinds."""
    return load_file(sounds_file(), TRAINING_FILE, grid, "both")


def with_classes(events: Events, names: tuple[str, ...]) -> Events:
    """Return utterances with the class numbers of a network that has more classes."""
    numbers = np.array([names.index(name) for name in events.class_names])
    return replace(events, labels=numbers[events.labels], class_names=names)


def _split(events: Events, is_held_out: np.ndarray) -> tuple[Events, Events]:
    """Return the utterances that aren't held out, and those that are."""
    return events.take(np.flatnonzero(~is_held_out)), events.take(np.flatnonzero(is_held_out))


def utterances(training: Training) -> Utterances:
    """Return the utterances that train a network, and those that test it by their data set."""
    recipe = Recipe.from_flat(training.cell.settings)
    grid = recipe.input
    commands = load("commands", grid)
    hd = load("hd_cut", grid, language=recipe.language)
    sounds = load_sounds(grid)
    people, validation_people = _split(commands, np.isin(commands.speakers, VALIDATION))
    if training.role == "test":
        trains = [commands, hd, sounds]
        tests = {"commands": load("commands", grid, TEST_FILE)}
    elif training.fold is not None:
        others, speaker = _split(hd, hd.speakers == HD_SPEAKERS + training.fold)
        trains = [people, others, sounds]
        tests = {"hd_cut": speaker}
    else:
        numbers = [KINDS.index(kind) for kind in plan()["held_out_kinds"]]
        known, new = _split(sounds, np.isin(sounds.speakers, numbers))
        trains = [people, hd, known]
        tests = {"commands": validation_people, "others": new}
    names = (*LANGUAGES[recipe.language], OTHER)
    tests = {dataset: with_classes(events, names) for dataset, events in tests.items()}
    return concatenate([with_classes(events, names) for events in trains]), tests


STUDY = Study("everybody", "everybody_scores.h5", utterances, keeps_networks=True)
