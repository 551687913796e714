"""Spikes downsized to lists of events, their augmentation, and toy data for tests."""
