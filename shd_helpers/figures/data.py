"""Figures of the data: sound, spikes, bins and blocks; each takes data and returns the figure."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from shd_helpers.figures.style import INK, styled
from shd_helpers.source.shd_file import N_CHANNELS


@styled
def spike_histograms(units: np.ndarray, times: np.ndarray, first_unit: int) -> Figure:
    """Histograms of cochlea channels and spike times (seconds) over many utterances."""
    figure, (left, right) = plt.subplots(1, 2)
    sns.histplot(x=units, bins=np.arange(0, N_CHANNELS + 1, 10), stat="percent", ax=left)
    left.axvline(first_unit, color=INK, linestyle="--", label=f"cut at unit {first_unit}")
    left.legend()
    left.set(xlabel="unit (cochlea channel)", ylabel="share of spikes (%)")
    sns.histplot(x=times, bins=np.arange(0, 1.42, 0.02), stat="percent", ax=right)
    right.axvline(1.0, color=INK, linestyle="--", label="end of the 1 s window")
    right.legend()
    right.set(xlabel="time (s)", ylabel="share of spikes (%)")
    return figure


@styled
def digit_rasters(spikes: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Rasters of (times, units), one panel a word; times in seconds."""
    rows = -(-len(spikes) // 5)
    figure, axes = plt.subplots(
        rows, 5, figsize=(10, 2.3 * rows), sharex=True, sharey=True, squeeze=False
    )
    for axis, (word, (times, units)) in zip(axes.flat, spikes.items(), strict=False):
        axis.plot(times, units, ".", markersize=0.3, color=INK, rasterized=True)
        axis.set(title=word, xlim=(0, 1), ylim=(0, N_CHANNELS))
        axis.set_xticks((0, 0.5, 1), ("0", "0.5", "1"))
    figure.supylabel("unit (cochlea channel)", fontsize=10)
    for axis in axes[-1]:
        axis.set_xlabel("time (s)")
    return figure


@styled
def word_to_spikes(
    wave: np.ndarray,
    rate_hz: int,
    velocity: np.ndarray,
    probability: np.ndarray,
    times: np.ndarray,
    units: np.ndarray,
    channels: Sequence[int],
) -> Figure:
    """Sound (samples,), membrane and hair cells (steps, channels) at half its rate, and raster."""
    figure, axes = plt.subplots(4, 1, figsize=(9, 8), sharex=True, height_ratios=(1, 1.3, 1.3, 2))
    axes[0].plot(np.arange(len(wave)) / rate_hz, wave, color=INK, linewidth=0.5, linestyle="-")
    axes[0].set(ylabel="sound\n(full scale 1)")
    time_s = np.arange(len(velocity)) / (rate_hz // 2)
    for i, channel in enumerate(channels):
        style = {"color": f"C{i}", "linewidth": 0.6, "linestyle": "-"}
        largest = np.abs(velocity[:, channels]).max()
        axes[1].plot(time_s, velocity[:, channel] / largest - 1.5 * i, **style)
        axes[2].plot(time_s, 1000 * probability[:, channel], label=f"unit {channel}", **style)
    axes[1].set_yticks([-1.5 * i for i in range(len(channels))], [f"unit {c}" for c in channels])
    axes[1].set_ylabel("membrane velocity\n(share of largest)")
    axes[2].set_ylabel("firing probability\na step (1/1000)")
    axes[2].legend(ncols=len(channels))
    axes[3].plot(times, units, ".", markersize=1, color=INK, rasterized=True)
    axes[3].set(xlabel="time (s)", ylabel="unit (cochlea channel)", ylim=(0, N_CHANNELS))
    return figure


@styled
def scatter_and_matrix(
    times: np.ndarray, units: np.ndarray, matrix: np.ndarray, first_unit: int
) -> Figure:
    """Spikes (seconds, channels) beside the binary matrix (steps of 1 ms, units) made of them."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), sharey=True)
    left.plot(times * 1000, units, ".", markersize=1.2, color=INK, rasterized=True)
    left.axhline(first_unit, color="C1", label=f"cut at unit {first_unit}")
    left.legend(loc="lower right", frameon=True, framealpha=1)
    left.set(title=f"{len(times)} spikes", xlabel="time (ms)", ylabel="unit (cochlea channel)")
    steps, n_units = matrix.shape
    cells = np.nonzero(matrix)
    right.plot(cells[0], cells[1] + first_unit, "s", markersize=0.8, color=INK, rasterized=True)
    right.axhline(first_unit, color="C1")
    right.set(
        title=f"{n_units} x {steps} cells, {int(matrix.sum())} active",
        xlabel="step (1 ms)",
        xlim=left.get_xlim(),
        ylim=(0, N_CHANNELS),
    )
    return figure


@styled
def pooling_thresholds(matrices: Mapping[str, np.ndarray]) -> Figure:
    """Pooled matrices (steps, units) side by side, one panel a threshold."""
    figure, axes = plt.subplots(2, 2, figsize=(10, 6), sharex=True, sharey=True)
    for axis, (title, matrix) in zip(axes.flat, matrices.items(), strict=True):
        steps, units = np.nonzero(matrix)
        axis.plot(steps, units, "s", markersize=1.1, color=INK, rasterized=True)
        axis.set(
            title=f"{title}: {len(steps)} events",
            xlim=(0, matrix.shape[0]),
            ylim=(0, matrix.shape[1]),
        )
    for axis in axes[-1]:
        axis.set_xlabel("step (3 ms)")
    for axis in axes[:, 0]:
        axis.set_ylabel("unit (3 channels)")
    return figure
