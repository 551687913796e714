"""Downsampling as a transform, for a plain `DataLoader` or a pipeline of the package tonic."""

from collections.abc import Sequence

import numpy as np

from shd_corpus.shd_file import N_CHANNELS
from shd_helpers.events.downsampling import BIN_MS, DEFAULT, Downsampling, pooled_entries


class SpikesToFrames:
    """Downsample the spikes of one utterance, as a transform for data sets of your own.

    It takes a tuple of times and units, or an array of events in the format of the package tonic.
    It returns the matrix that `downsample` makes from the same spikes. A `DataLoader` stacks the
    matrices to (batch, steps, units). ``frames.transpose(0, 1)`` puts time first, as the study's
    networks need it.

    Parameters
    ----------
    downsampling : Downsampling
        How utterances become matrices of zeros and ones.
    n_channels : int
        Number of channels of the spikes: 700 for SHD and SSC.

    Raises
    ------
    ValueError
        If the settings leave nothing of so few channels.

    Examples
    --------
    >>> transform = SpikesToFrames(Downsampling(pool_steps=10))
    >>> transform(([0.1, 0.1004], [300, 301])).shape
    (100, 183)
    """

    def __init__(
        self,
        downsampling: Downsampling = DEFAULT,
        n_channels: int = N_CHANNELS,
    ) -> None:
        self.downsampling = downsampling.for_channels(n_channels)

    def __call__(self, spikes: tuple[Sequence, Sequence] | np.ndarray) -> np.ndarray:
        """Return the matrix of one utterance.

        Returns (steps, units).
        """
        grid = self.downsampling
        bins, units = _bins_and_units(spikes)
        if len(bins) != len(units):
            raise ValueError(
                f"{len(bins)} times and {len(units)} units: each spike has one of both"
            )
        if not (bins >= 0).all():  # not for NaN either
            raise ValueError("a time below 0, or no number: times count from the utterance's start")
        if len(units) and not 0 <= units.min() <= units.max() < grid.n_channels:
            raise ValueError(
                f"a unit outside 0..{grid.n_channels - 1}: set n_channels to the number of channels"
            )
        frame = np.zeros((grid.n_steps, grid.n_units), np.float32)
        frame.flat[pooled_entries(bins, units, grid)] = 1.0
        return frame

    def __repr__(self) -> str:
        """Return how the transform was made."""
        return f"SpikesToFrames({self.downsampling})"


def _bins_and_units(
    spikes: tuple[Sequence, Sequence] | np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the time bin and the unit of each spike, of either form that the transform takes."""
    names = getattr(getattr(spikes, "dtype", None), "names", None)
    if names is None:
        times, units = spikes
        # First to float64: the files' float16 would be rounded.
        milliseconds = np.asarray(times).astype(np.float64) * 1000
        return np.floor(milliseconds / BIN_MS), np.asarray(units)
    if not {"t", "x"} <= set(names):
        raise ValueError(
            f"an array with the fields {', '.join(names)}: it needs t (microseconds) and x (units)"
        )
    assert isinstance(spikes, np.ndarray)
    # Dividing by 1e6 first would move some times into the bin before.
    return np.floor(spikes["t"] / (1000 * BIN_MS)), spikes["x"]
