"""Spikes downsampled to lists of events, their split into subsets, and their augmentation."""

from shd_helpers.events.augmentation import Augmentation
from shd_helpers.events.downsampling import Downsampling, Events, downsample, load_events
from shd_helpers.events.split import Split, Subsets, add_augmented_copies, load_subsets

__all__ = [
    "Augmentation",
    "Downsampling",
    "Events",
    "Split",
    "Subsets",
    "add_augmented_copies",
    "downsample",
    "load_events",
    "load_subsets",
]
