"""The figures of notebook 1: from a sound to pooled events.

Each function draws what it is given, finds what its arrow points at, and saves the figure.
"""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from shd_corpus import cochlea
from shd_corpus.shd_file import N_CHANNELS, Utterances
from shd_course.figures.style import CHANNEL, DOT, INK, label_hz, last_ms, point_at, save
from shd_helpers.events.downsampling import Downsampling

SHOWN_DIGITS = ("three", "nine")
SHOWN_CHANNELS = (300, 450, 600)  # whose motion is drawn
DENSE_S = 0.01  # size of the blocks among which the densest is found
DENSE_UNITS = 20
CLOSE_UP_STEPS = 24  # bins and units that are drawn in a close-up
CLOSE_UP_UNITS = 30


def sound_to_spikes(wave: np.ndarray, rate_hz: int, source: str) -> Figure:
    """Draw a sound, the motion of three channels of the cochlea, and the spikes of all channels.

    `wave` is (samples,).
    """
    faded = cochlea.fade(cochlea.normalize(wave), rate_hz)
    velocity = cochlea.membrane_velocity(faded, rate_hz)[:, list(SHOWN_CHANNELS)]
    times, units = cochlea.encode(wave, rate_hz, seed=0)
    figure, axes = plt.subplots(3, 1, figsize=(9, 7), sharex=True, height_ratios=(1, 1.3, 2))
    axes[0].plot(np.arange(len(wave)) / rate_hz, wave, color=INK, linewidth=0.5, linestyle="-")
    axes[0].set(ylabel="sound\n(full scale 1)", xlim=(0, len(wave) / rate_hz))
    axes[0].set_title("1. the sound")
    resonances = cochlea.resonance_hz(N_CHANNELS)
    feet = -1.5 * np.arange(len(SHOWN_CHANNELS))
    time_s = np.arange(len(velocity)) / (rate_hz // 2)
    for foot, motion, color in zip(feet, velocity.T, ("C0", "C1", INK), strict=True):
        motion = motion / np.abs(velocity).max()
        axes[1].plot(time_s, motion + foot, color=color, linewidth=0.6, linestyle="-")
    axes[1].set_yticks(feet, [f"{unit}: {resonances[unit]:,.0f} Hz" for unit in SHOWN_CHANNELS])
    axes[1].set_ylabel("channel and\nits resonance")
    axes[1].set_title("2. the motion of three of the 700 channels")
    axes[2].plot(times, units, **DOT)
    axes[2].set(xlabel="time (s)", ylabel=CHANNEL, ylim=(0, N_CHANNELS))
    axes[2].set_title("3. the spikes of all channels")
    label_hz(axes[2])
    pulse_s = _busiest(times[units > SHOWN_CHANNELS[1]], 0.002)
    point_at(axes[2], "one pulse of the voice", (pulse_s, 420), (0.03, 330))
    title = "The inner ear turns a sound into spikes of 700 channels"
    return save(figure, "sound_to_spikes", source, title)


def _busiest(values: np.ndarray, width: float) -> float:
    """Return the middle of the interval of this width that has the most values."""
    counts = np.bincount((values / width).astype(int))
    return width * (float(counts.argmax()) + 0.5)


def digits_and_speakers(utterances: Utterances, source: str) -> Figure:
    """Draw rasters of two digits, each by the same two speakers."""
    digits, speakers = _two_of_each(utterances)
    figure, axes = plt.subplots(
        len(speakers),
        len(digits),
        sharex=True,
        sharey=True,
        squeeze=False,
        figsize=(4.5 * len(digits), 5.6),
    )
    for row, speaker in zip(axes, speakers, strict=True):
        for axis, digit in zip(row, digits, strict=True):
            is_shown = utterances.labels == utterances.keys.index(digit)
            is_shown &= utterances.speakers == speaker
            times, units = utterances.spikes(int(np.flatnonzero(is_shown)[0]))
            axis.plot(times, units, **DOT | {"markersize": 0.6})
            axis.set_title(f"{digit}, speaker {speaker}")
        label_hz(row[-1], utterances.n_channels)
        row[0].set(ylabel=CHANNEL, ylim=(0, utterances.n_channels))
    plt.setp(axes[-1], xlabel="time (s)")
    return save(figure, "digits_and_speakers", source, "Each digit has a pattern of its own")


def _two_of_each(utterances: Utterances) -> tuple[list[str], list[int]]:
    """Return two digits of a file, and the first two speakers who say both."""
    spoken = [utterances.keys[label] for label in np.unique(utterances.labels)]
    digits = [digit for digit in SHOWN_DIGITS if digit in spoken] or spoken[:2]
    labels = [utterances.keys.index(digit) for digit in digits]
    of_digit = [set(utterances.speakers[utterances.labels == label].tolist()) for label in labels]
    return digits, sorted(set.intersection(*of_digit))[:2]


def _densest(times_s: np.ndarray, units: np.ndarray) -> tuple[float, float]:
    """Return time and unit of the middle of the block that has the most spikes."""
    steps = (times_s / DENSE_S).astype(int)
    rows = units.astype(int) // DENSE_UNITS
    counts = np.zeros((steps.max() + 1, rows.max() + 1), int)
    np.add.at(counts, (steps, rows), 1)
    step, row = np.unravel_index(counts.argmax(), counts.shape)
    return DENSE_S * (float(step) + 0.5), DENSE_UNITS * (float(row) + 0.5)


def binned_close_up(
    times_s: np.ndarray, units: np.ndarray, matrix: np.ndarray, first_unit: int, source: str
) -> Figure:
    """Draw spikes over the entries of the matrix that they make active, at a place with many.

    Shapes: `times_s` (spikes,), `units` (spikes,), `matrix` (bins, units).
    """
    is_inside = (units >= first_unit) & (times_s < len(matrix) / 1000)
    middle_s, middle_unit = _densest(times_s[is_inside], units[is_inside])
    start_ms = max(0, int(1000 * middle_s) - CLOSE_UP_STEPS // 2)
    start_unit = max(first_unit, int(middle_unit) - CLOSE_UP_UNITS // 2)
    figure, axis = plt.subplots(figsize=(8, 4.6))
    extent = (0, len(matrix), first_unit, first_unit + matrix.shape[1])
    axis.imshow(matrix.T, extent=extent, origin="lower", cmap="Blues", vmin=0, vmax=2.5)
    axis.plot(1000 * times_s, units + 0.5, ".", color=INK, markersize=5)
    axis.set(xlim=(start_ms, start_ms + CLOSE_UP_STEPS), xlabel="time (ms), in bins of 1 ms")
    axis.set(ylim=(start_unit, start_unit + CLOSE_UP_UNITS), ylabel=CHANNEL)
    axis.xaxis.set_minor_locator(MultipleLocator(1))
    axis.yaxis.set_minor_locator(MultipleLocator(1))
    axis.grid(True, which="minor")
    title = "An entry is 1 (shaded) where at least one spike (dot) falls into it"
    return save(figure, "binned_close_up", source, title)


def pooled_at_thresholds(
    pooled: Mapping[int, np.ndarray], grid: Downsampling, source: str
) -> Figure:
    """Draw the events that are left of one utterance at several thresholds.

    `pooled` has a (steps, units) array for each threshold, ascending. In each panel but the last,
    the events that the next threshold removes have another color.
    """
    last_step = max(np.flatnonzero(events.any(axis=1)).max(initial=0) for events in pooled.values())
    end_ms = last_ms(np.array([last_step * grid.step_ms / 1000]), grid)
    figure, axes = plt.subplots(
        1, len(pooled), sharex=True, sharey=True, squeeze=False, figsize=(11, 3.9)
    )
    of_each = [np.asarray(events, bool) for events in pooled.values()]
    of_next = [*of_each[1:], of_each[-1]]
    for axis, threshold, events, kept in zip(axes[0], pooled, of_each, of_next, strict=True):
        for shown, look in (
            (events & ~kept, {"color": "C1", "label": "removed by the next threshold"}),
            (events & kept, {"color": INK, "label": "events"}),
        ):
            steps, columns = np.nonzero(shown)
            middle_ms = grid.step_ms * (steps + 0.5)
            units = grid.first_unit + grid.pool_units * (columns + 0.5)
            axis.plot(middle_ms, units, "s", markersize=1.5, markeredgewidth=0, **look)
        axis.set_title(f"threshold {threshold}: {np.count_nonzero(events):,} events")
        axis.set(xlabel="time (ms)", xlim=(0, end_ms), ylim=(0, grid.n_channels))
    axes[0, 0].set_ylabel(CHANNEL)
    label_hz(axes[0, -1], grid.n_channels)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=2, markerscale=4)
    title = "The higher the threshold, the fewer events are left, and the lone ones go first"
    return save(figure, "pooling_thresholds", source, title)
