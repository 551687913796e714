"""Spikes downsampled to lists of events, their split into subsets, and their augmentation."""

from shd_helpers.events.augmentation import Augmentation
from shd_helpers.events.downsampling import Downsampling, downsample
from shd_helpers.events.event_lists import Events, EventsDataset, concatenate
from shd_helpers.events.loading import cut_sentence, load_events, load_pair
from shd_helpers.events.split import (
    Fold,
    Split,
    Subsets,
    add_augmented_copies,
    languages,
    load_subsets,
    shd_folds,
    speaker_folds,
)
from shd_helpers.events.transform import SpikesToFrames

__all__ = [
    "Augmentation",
    "Downsampling",
    "Events",
    "EventsDataset",
    "Fold",
    "SpikesToFrames",
    "Split",
    "Subsets",
    "add_augmented_copies",
    "concatenate",
    "cut_sentence",
    "downsample",
    "languages",
    "load_events",
    "load_pair",
    "load_subsets",
    "shd_folds",
    "speaker_folds",
]
