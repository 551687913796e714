"""Figures of the data: sound, spikes, bins and blocks; each takes data and returns the figure."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from math import ceil

import matplotlib.pyplot as plt
import numpy as np
import soundfile
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from shd_helpers.events.downsample import BIN_MS, Downsampling
from shd_helpers.figures.style import DOT, INK, legend_above, styled
from shd_helpers.network import answers
from shd_helpers.source.cochlea import resonance_hz
from shd_helpers.source.shd_file import N_CHANNELS

CHANNEL = "unit (cochlea channel)"
MEMBRANE = "membrane potential\n(in thresholds)"
HZ = (200, 500, 1000, 2000, 5000, 10_000, 20_000)


def label_hz(axis: Axes) -> None:
    """Write each channel's resonance frequency (Hz) at the right side of an axis of channels."""
    frequencies = resonance_hz(N_CHANNELS)  # falls with the channel
    places = np.interp(HZ, frequencies[::-1], np.arange(N_CHANNELS)[::-1])
    right = axis.secondary_yaxis("right")
    right.set_yticks(places, [f"{hz:,}" for hz in HZ])
    right.set_ylabel("resonance (Hz)")


def end_of(times_s: np.ndarray, duration_s: float = np.inf) -> float:
    """Return where an axis of time can end: the last spike, rounded up to 0.05 s."""
    last = ceil(20 * float(times_s.max()) + 1e-9) / 20 if len(times_s) else 0.05
    return min(last, duration_s)


@styled
def spike_histograms(
    units: np.ndarray, times: np.ndarray, first_unit: int, duration_s: float
) -> Figure:
    """Draw the shares of spikes over channels and over time (seconds), with the two cuts."""
    figure, axes = plt.subplots(1, 2)
    end = max(end_of(times), duration_s + 0.1)
    for axis, values, bins, cut, label, title in (
        (axes[0], units, np.arange(0, N_CHANNELS + 1, 10), first_unit, CHANNEL, "unit {:g}"),
        (axes[1], times, np.arange(0, end + 0.01, 0.02), duration_s, "time (s)", "{:g} s"),
    ):
        share = np.histogram(values, bins)[0] / len(values) * 100
        axis.stairs(share, bins, fill=True, color="C0")
        axis.axvline(cut, color=INK, linestyle="--", label=f"cut at {title.format(cut)}")
        axis.set(xlabel=label, ylabel="share of spikes (%)", xlim=(0, bins[-1]))
        legend_above(axis)
    channels, hz = np.arange(0, N_CHANNELS, 100), resonance_hz(N_CHANNELS)
    axes[0].set_xticks(channels, [f"{c}\n{hz[c] / 1000:.2g}" for c in channels])
    axes[0].set_xlabel(f"{CHANNEL}; below, its resonance (kHz)")
    return figure


@styled
def digit_rasters(spikes: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Draw rasters of (times in seconds, units), one panel a word."""
    rows = -(-len(spikes) // 5)
    figure, axes = plt.subplots(
        rows, 5, figsize=(11, 2.3 * rows + 0.3), sharex=True, sharey=True, squeeze=False
    )
    end = max(end_of(times) for times, _ in spikes.values())
    for axis, (word, (times, units)) in zip(axes.flat, spikes.items(), strict=False):
        axis.plot(times, units, **DOT | {"markersize": 0.5})  # small panels
        axis.set(title=word, xlim=(0, end), ylim=(0, N_CHANNELS))
        axis.xaxis.set_major_locator(MaxNLocator(3, prune="upper"))
    figure.supylabel(CHANNEL, fontsize=10)
    for axis in axes[:, -1]:
        label_hz(axis)
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
    *,
    channels: Sequence[int],
) -> Figure:
    """Draw a word's way through the cochlea: sound, membrane, hair cells, spikes.

    Parameters
    ----------
    wave : (samples,) array
        Sound, full scale 1.
    rate_hz : int
        Sampling rate of the sound; membrane and hair cells have half of it.
    velocity, probability : (steps, channels) array
        Membrane velocity, and firing probability of a nerve fibre in a step.
    times, units : (spikes,) array
        Spikes: seconds, cochlea channels.
    channels : sequence of int
        Channels whose membrane and hair cells are drawn.
    """
    figure, axes = plt.subplots(4, 1, figsize=(9, 8), sharex=True, height_ratios=(1, 1.3, 1.6, 2))
    axes[0].plot(np.arange(len(wave)) / rate_hz, wave, color=INK, linewidth=0.5, linestyle="-")
    axes[0].set(ylabel="sound\n(full scale 1)", xlim=(0, len(wave) / rate_hz))
    time_s = np.arange(len(velocity)) / (rate_hz // 2)
    largest = np.abs(velocity[:, channels]).max()
    rates = 1000 * probability[:, channels]
    top = 10 * ceil(rates.max() / 10)  # one scale for all rows
    hz = resonance_hz(N_CHANNELS)
    for i, channel in enumerate(channels):
        color = ("C0", "C1", INK)[i % 3]  # these differ in grey, too
        style = {"color": color, "linewidth": 0.6, "linestyle": "-"}
        axes[1].plot(time_s, velocity[:, channel] / largest - 1.5 * i, **style)
        label = f"unit {channel}: {hz[channel]:,.0f} Hz"
        axes[2].plot(time_s, rates[:, i] - 1.3 * top * i, label=label, **style)
    axes[1].set_yticks([-1.5 * i for i in range(len(channels))], [f"unit {c}" for c in channels])
    axes[1].set_ylabel("membrane velocity\n(share of largest)")
    feet = -1.3 * top * np.arange(len(channels))
    axes[2].set_yticks([*feet, *(feet + top)], ["0"] * len(feet) + [f"{top}"] * len(feet))
    axes[2].set_ylabel("firing probability\nper sample\n(per mille)")
    legend_above(axes[2])
    axes[3].plot(times, units, **DOT)
    axes[3].set(xlabel="time (s)", ylabel=CHANNEL, ylim=(0, N_CHANNELS))
    label_hz(axes[3])
    return figure


@styled
def windows(
    encoded: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]], rate_hz: int
) -> Figure:
    """Draw what a window does to a word: the windowed sound above its spikes, a column a window.

    Parameters
    ----------
    encoded : mapping
        By the window's name: the windowed sound (samples,), and the times (seconds) and units of
        its spikes.
    rate_hz : int
        Sampling rate of the sound.
    """
    figure, axes = plt.subplots(
        2, len(encoded), figsize=(10, 5), sharex=True, sharey="row", height_ratios=(1, 2.4)
    )
    for (above, below), (name, (wave, times, units)) in zip(axes.T, encoded.items(), strict=True):
        time_s = np.arange(len(wave)) / rate_hz
        above.plot(time_s, wave, color=INK, linewidth=0.5, linestyle="-")
        above.set(title=f"{name}: {len(times):,} spikes", xlim=(0, time_s[-1]))
        below.plot(times, units, **DOT)
        below.set(xlabel="time (s)", ylim=(0, N_CHANNELS))
    axes[0, 0].set_ylabel("windowed sound")
    axes[1, 0].set_ylabel(CHANNEL)
    label_hz(axes[1, -1])
    return figure


@styled
def scatter_and_matrix(
    times: np.ndarray, units: np.ndarray, matrix: np.ndarray, grid: Downsampling
) -> Figure:
    """Draw spikes (seconds, channels) beside the active entries of the matrix made of them.

    Takes the matrix, (bins, units), before pooling, and the downsampling that made it.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), sharex=True, sharey=True)
    left.plot(times * 1000, units, **DOT)
    left.set(xlabel="time (ms)", ylabel=CHANNEL, xlim=(0, 1000 * end_of(times, grid.duration_s)))
    bins, rows = np.nonzero(matrix)
    right.plot(bins * BIN_MS, rows + grid.first_unit, **DOT)
    size = f"{matrix.shape[1]} x {matrix.shape[0]} entries"
    right.set(xlabel=f"time (ms), in bins of {BIN_MS:g} ms", ylim=(0, N_CHANNELS))
    right.set_title(f"{size}, {len(bins):,} active", loc="left")
    for axis in (left, right):
        axis.axhline(grid.first_unit, color="C1", label=f"cut at unit {grid.first_unit}")
    legend_above(left, f"{len(times):,} spikes")
    label_hz(right)
    return figure


@styled
def one_neuron(inputs: np.ndarray, mem: np.ndarray, step_ms: float) -> Figure:
    """Draw a neuron's input in each step, and its membrane, which spikes above the threshold 1."""
    figure, axes = plt.subplots(
        2, 1, figsize=(8, 4), sharex=True, gridspec_kw={"height_ratios": (1, 2)}
    )
    time, mem = np.arange(len(mem)) * step_ms, np.asarray(mem)
    spikes = mem > 1
    axes[0].bar(time, inputs, width=step_ms, color="C0")
    axes[0].set_ylabel("active inputs")
    axes[1].plot(time, mem, color=INK, linewidth=1, label="membrane")
    axes[1].axhline(1, color="C3", linestyle="--", linewidth=1, label="threshold")
    axes[1].plot(time[spikes], mem[spikes], "v", color="C1", label=f"{spikes.sum()} spikes")
    end_ms = time[np.flatnonzero(inputs)[-1]] + 200  # and a look at the leak
    axes[1].set(xlabel="time (ms)", ylabel=MEMBRANE, xlim=(0, min(end_ms, time[-1])))
    legend_above(axes[1])
    return figure


def show_blocks(axis: Axes) -> AxesImage:
    """Return an image for a matrix of zeros and ones; entries finer than a pixel come out grey."""
    axis.grid(False)
    return axis.imshow(
        np.zeros((1, 1)), cmap="Greys", vmin=0, vmax=0.8, origin="lower",
        interpolation="antialiased",
    )  # fmt: skip


def extent(grid: Downsampling) -> tuple[float, float, float, float]:
    """Return the edges of a pooled matrix, two in ms and two in cochlea channels, for `imshow`."""
    top = grid.first_unit + grid.n_units * grid.pool_units
    return 0, grid.n_steps * grid.step_ms, grid.first_unit, top


@styled
def pooling_thresholds(matrices: Mapping[int, np.ndarray], grid: Downsampling) -> Figure:
    """Draw up to four pooled matrices (steps, units), a panel a threshold, blocks in true size."""
    rows = 2 if len(matrices) == 4 else 1
    figure, axes = plt.subplots(
        rows, len(matrices) // rows, figsize=(10, 3 * rows), sharex=True, sharey=True, squeeze=False
    )
    steps = np.concatenate([np.flatnonzero(matrix.any(1)) for matrix in matrices.values()])
    end_ms = 1000 * end_of((steps + 1) * grid.step_ms / 1000, grid.duration_s)
    for axis, (threshold, matrix) in zip(axes.flat, matrices.items(), strict=True):
        show_blocks(axis).set(data=matrix.T, extent=extent(grid))
        axis.set(title=f"threshold {threshold}: {np.count_nonzero(matrix):,} events")
        axis.set(xlim=(0, end_ms), ylim=(0, N_CHANNELS))
    for axis in axes[-1]:
        axis.set_xlabel("time (ms)")
    for axis in axes[:, 0]:
        axis.set_ylabel(CHANNEL)
    for axis in axes[:, -1]:
        label_hz(axis)
    return figure


@styled
def word_to_digit(
    sound: bytes | None,
    spikes: tuple[np.ndarray, np.ndarray],
    example: Mapping[str, np.ndarray],
    class_names: Sequence[str],
    step_ms: float,
) -> Figure:
    """Draw the whole way of a word: sound, spikes, downsized input, hidden spikes, class scores.

    Parameters
    ----------
    sound : bytes or None
        A WAV file; without it the figure begins with the spikes.
    spikes : tuple of arrays
        Times (seconds) and units.
    example : mapping
        One entry of `study.record_examples`.
    class_names : sequence of str
        Words, in the order of the classes.
    step_ms : float
        Length of a step, milliseconds.
    """
    with plt.rc_context({"font.size": 13, "axes.titlesize": 13, "axes.labelsize": 13}):
        figure, axes = plt.subplots(1, 5 if sound else 4, figsize=(13 if sound else 10.6, 3.5))
    *first, channels, pooled, hidden, votes = axes
    end_ms = 1000 * end_of(spikes[0])
    if sound:
        wave, rate_hz = soundfile.read(BytesIO(sound))
        times_ms = np.arange(len(wave)) / rate_hz * 1000
        first[0].plot(times_ms, wave, color=INK, linestyle="-", linewidth=0.5)
        first[0].set_ylabel("share of full scale")
    channels.plot(spikes[0] * 1000, spikes[1], **DOT)
    channels.set(ylabel="channel", ylim=(0, N_CHANNELS))
    for axis, name, label in (
        (pooled, "input", "input unit"),
        (hidden, "hidden", "hidden neuron"),
    ):
        steps, neurons = np.nonzero(example[name])
        axis.plot(steps * step_ms, neurons, **DOT | {"markersize": 2})
        axis.set(ylabel=label, ylim=(0, example[name].shape[1]))
    n_steps, n_units = example["input"].shape
    for axis in (*first, channels, pooled, hidden):
        axis.set(xlabel="time (ms)", xlim=(0, end_ms))
        axis.xaxis.set_major_locator(MaxNLocator(3, prune="upper"))
        axis.yaxis.set_major_locator(MaxNLocator(4))
    scores, n = example["scores"], len(class_names)
    votes.barh(range(n), scores, color=np.where(scores == scores.max(), INK, "0.75"))
    votes.set_yticks(range(n), class_names, fontsize=11 if n <= 10 else 7)
    spikes_counted = np.array_equal(scores, example["spk"].sum(0))
    what = f"spikes in {n_steps * step_ms:.0f} ms" if spikes_counted else "mean membrane"
    votes.set(xlabel=what, ylim=(n - 0.4, -0.6))
    votes.grid(False)
    titles = [f"{N_CHANNELS} channels →", f"{n_units} x {n_steps} →"]
    titles += [f"{example['hidden'].shape[1]} neurons →", class_names[int(answers(scores))]]
    for axis, title in zip(axes, ["sound →"] * len(first) + titles, strict=True):
        axis.set_title(title, fontsize=14)
    return figure
