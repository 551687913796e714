"""Axes with spikes of the cochlea and with pooled blocks, for notebooks 1 and 4."""

from math import ceil

import numpy as np
from matplotlib.axes import Axes

from shd_corpus.cochlea import resonance_hz
from shd_corpus.shd_file import N_CHANNELS
from shd_helpers.events.downsampling import Downsampling

CHANNEL = "unit (cochlea channel)"  # the label of their axes
HZ = (200, 500, 1000, 2000, 5000, 10_000, 20_000)


def label_hz(axis: Axes, n_channels: int = N_CHANNELS) -> None:
    """Label the right side of an axis of channels with their resonance frequencies.

    These are known only for the 700 channels of the cochlea: any other axis stays as it is.
    """
    if n_channels != N_CHANNELS:
        return
    frequencies = resonance_hz(N_CHANNELS)  # falls with the channel, and interp wants it to rise
    channels = np.interp(HZ, frequencies[::-1], np.arange(N_CHANNELS)[::-1])
    right = axis.secondary_yaxis("right")
    right.set_yticks(channels, [f"{hz:,}" for hz in HZ])
    right.set_ylabel("resonance (Hz)")


def last_ms(times_s: np.ndarray, grid: Downsampling | None = None) -> float:
    """Return where the time axis of an utterance can end: the last spike, rounded up to 50 ms.

    Milliseconds from seconds. The axis doesn't go on beyond the duration of `grid`.
    """
    last = 50.0
    if len(times_s):
        last *= ceil(20 * float(times_s.max()) + 1e-9)
    if grid:
        last = min(last, 1000 * grid.duration_s)
    return last


def draw_blocks(axis: Axes, matrix: np.ndarray, grid: Downsampling) -> None:
    """Draw a pooled matrix over milliseconds and cochlea channels, its blocks in true size.

    The matrix is (steps, units), and an earlier one is removed. Blocks finer than a pixel come out
    gray.
    """
    for image in axis.images:
        image.remove()
    top = grid.first_unit + grid.n_units * grid.pool_units
    axis.grid(False)
    axis.imshow(
        matrix.T,
        extent=(0, grid.n_steps * grid.step_ms, grid.first_unit, top),
        cmap="Greys",
        vmin=0,
        vmax=0.8,
        origin="lower",
        interpolation="antialiased",
    )
