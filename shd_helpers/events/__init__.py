"""Spikes downsampled to lists of events, their split into subsets, and their augmentation."""

from shd_helpers.events.augmentation import Augmentation
from shd_helpers.events.downsampling import Downsampling, Events, downsample, load_events
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

__all__ = [
    "Augmentation",
    "Downsampling",
    "Events",
    "Fold",
    "Split",
    "Subsets",
    "add_augmented_copies",
    "downsample",
    "languages",
    "load_events",
    "load_subsets",
    "shd_folds",
    "speaker_folds",
]
