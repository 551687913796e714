"""Spikes downsized to lists of events, their split and augmentation."""

from shd_helpers.events.augmentation import Augmentation
from shd_helpers.events.downsample import Downsampling, Events, downsize, load_events
from shd_helpers.events.split import Parts, Split, add_copies, load_parts

__all__ = [
    "Augmentation",
    "Downsampling",
    "Events",
    "Parts",
    "Split",
    "add_copies",
    "downsize",
    "load_events",
    "load_parts",
]
