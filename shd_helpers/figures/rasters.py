"""Figures of sound, spikes and blocks: what seaborn can't draw."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from math import ceil

import matplotlib.pyplot as plt
import numpy as np
import soundfile
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from shd_helpers.events.downsample import Downsampling
from shd_helpers.figures.style import DOT, INK
from shd_helpers.network import answers
from shd_helpers.source.cochlea import resonance_hz
from shd_helpers.source.shd_file import N_CHANNELS

CHANNEL = "unit (cochlea channel)"
HZ = (200, 500, 1000, 2000, 5000, 10_000, 20_000)


def label_hz(axis: Axes) -> None:
    """Write each channel's resonance frequency (Hz) at the right side of an axis of channels."""
    frequencies = resonance_hz(N_CHANNELS)  # falls with the channel
    places = np.interp(HZ, frequencies[::-1], np.arange(N_CHANNELS)[::-1])
    right = axis.secondary_yaxis("right")
    right.set_yticks(places, [f"{hz:,}" for hz in HZ])
    right.set_ylabel("resonance (Hz)")


def last_ms(times_s: np.ndarray, grid: Downsampling | None = None) -> float:
    """Return where an axis of time can end (ms): the last spike, rounded up to 50 ms."""
    last = 50 * ceil(20 * float(times_s.max()) + 1e-9) if len(times_s) else 50
    return min(last, 1000 * grid.duration_s) if grid else last


def draw_blocks(axis: Axes, matrix: np.ndarray, grid: Downsampling) -> None:
    """Draw a pooled matrix (steps, units) over ms and cochlea channels, its blocks in true size.

    It takes the place of one that is there. Blocks finer than a pixel come out grey.
    """
    for image in axis.images:
        image.remove()
    top = grid.first_unit + grid.n_units * grid.pool_units
    axis.grid(False)
    axis.imshow(
        matrix.T, extent=(0, grid.n_steps * grid.step_ms, grid.first_unit, top), cmap="Greys",
        vmin=0, vmax=0.8, origin="lower", interpolation="antialiased",
    )  # fmt: skip


def word_to_digit(
    sound: bytes | None,
    spikes: tuple[np.ndarray, np.ndarray],
    example: Mapping[str, np.ndarray],
    class_names: Sequence[str],
    step_ms: float,
) -> Figure:
    """Draw a word from sound to digit: spikes, downsized input, hidden spikes, class scores.

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
    end_ms = last_ms(spikes[0])
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
