"""The notebooks' figures with controls: each is a figure and an `update` that changes it."""

from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from shd_helpers.events.downsample import Downsampling, Events, downsize
from shd_helpers.figures.controls import explore
from shd_helpers.figures.data import CHANNEL, end_of, extent, label_hz, show_blocks
from shd_helpers.figures.runs import PercentMatrix
from shd_helpers.figures.style import DOT, INK, SEEN, UNSEEN, legend_above, styled
from shd_helpers.figures.way import Way
from shd_helpers.network import surrogates
from shd_helpers.network.spiking import SpikingNetwork
from shd_helpers.source.shd_file import LANGUAGES, N_CHANNELS, Utterances, language_classes


@styled
def downsizing(
    data: Utterances,
    grid: Downsampling,
    language: str,
    sound: Callable[[str, int, int], bytes | None] | None = None,
) -> Figure | None:
    """Explore how one utterance is cut, binned and pooled.

    Parameters
    ----------
    data : Utterances
        Any data set.
    grid : Downsampling
        Where the controls start; bins and duration stay.
    language : str
        ``"english"``, ``"german"`` or ``"both"``.
    sound : callable, optional
        Takes word, speaker and take; returns the utterance as a WAV file.
    """
    words, class_of = list(LANGUAGES[language]), language_classes(data.keys, language)
    key_of = {words[c]: key for key, c in class_of.items()}
    speakers = np.unique(data.speakers[np.isin(data.labels, list(class_of))]).tolist()
    counts = np.unique(np.stack([data.labels, data.speakers]), axis=1, return_counts=True)[1]
    takes = int(counts.max())
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.8), sharex=True, sharey=True)
    (spikes,) = axes[0].plot([], [], **DOT)
    (entries,) = axes[1].plot([], [], **DOT)
    blocks = show_blocks(axes[2])
    axes[0].set(ylabel=CHANNEL, ylim=(0, N_CHANNELS))
    cuts = [axis.axhline(0, color="C1", linewidth=1) for axis in axes]
    for axis in axes:
        axis.set_xlabel("time (ms)")
    label_hz(axes[2])

    def update(word, speaker, take, *, first_unit, pool_units, pool_steps, pool_threshold) -> str:
        of = np.flatnonzero((data.labels == key_of[word]) & (data.speakers == speaker))
        if len(of) == 0:
            return f"Speaker {speaker} doesn't say {word} in this file."
        i = of[min(take, len(of)) - 1]
        times, units = data.spikes(i)
        pool_threshold = min(pool_threshold, pool_units * pool_steps)
        part = slice(data.offsets[i], data.offsets[i + 1])
        one = Utterances(
            data.times[part], data.units[part], np.array([0, len(times)]), data.labels[[i]],
            data.speakers[[i]], data.keys,
        )  # fmt: skip
        fine, pooled = (
            Downsampling(first_unit, grid.duration_s, *pooling)
            for pooling in ((1, 1, 1), (pool_units, pool_steps, pool_threshold))
        )
        binned, events = (downsize(one, g, language) for g in (fine, pooled))
        spikes.set_data(times * 1000, units)
        entries.set_data(binned.steps * fine.step_ms, binned.units + first_unit)
        blocks.set_data(events.to_frames([0])[:, 0].T)
        blocks.set_extent(extent(pooled))
        for cut in cuts:
            cut.set_ydata([first_unit, first_unit])
        axes[0].set(xlim=(0, 1000 * end_of(times, grid.duration_s)), ylim=(0, N_CHANNELS))
        axes[0].set_title(f"{len(times):,} spikes")
        told = []
        for axis, g, e in zip(axes[1:], (fine, pooled), (binned, events), strict=True):
            axis.set_title(f"{g.n_units} x {g.n_steps}: {len(e.steps):,} active")
            told.append(f"{g.n_units} units x {g.n_steps} steps with {len(e.steps)} events")
        share = len(events.steps) / max(1, len(times))
        return (
            f"<b>{word}</b>, speaker {speaker}, take {min(take, len(of))} of {len(of)}: "
            f"{len(times)} spikes; {told[0]}; pooled at threshold {pool_threshold} to {told[1]}: "
            f"{share:.0%} of the spikes"
        )

    controls = {
        "word": ("word", words[0], words),
        "speaker": ("speaker", speakers[0], speakers),
        "take": ("take", 1, (1, takes)),
        "first_unit": ("cut below unit", grid.first_unit, (0, 400, 10)),
        "pool_units": ("units in a block", grid.pool_units, (1, 24)),
        "pool_steps": ("steps in a block", grid.pool_steps, (1, 20)),
        "pool_threshold": ("threshold", grid.pool_threshold, (1, 9)),
    }
    hear = (lambda word, speaker, take, **_: sound(word, speaker, take)) if sound else None
    return explore(figure, update, controls, hear)


@styled
def surrogate_reach(distance: np.ndarray, surrogate: str, slope: float) -> Figure | None:
    """Explore a surrogate's derivative, and how much of an error it passes on to which membranes.

    Parameters
    ----------
    distance : ndarray
        Membrane potentials minus threshold, of a batch, any shape.
    surrogate, slope : str, float
        Where the controls start.
    """
    x, median = np.linspace(-3, 1.5, 901), float(np.median(distance))
    # the mean over some million membranes, by a histogram fine enough for the steepest surrogate
    number, edges = np.histogram(distance, bins=2**16)
    centre, number = (edges[1:] + edges[:-1]) / 2, number / distance.size
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8))
    left.plot(x, x > 0, color=INK, linewidth=1, linestyle="-", label="step")
    (curve,) = left.plot(x, x, color="C0", label="smooth curve")
    (derivative,) = left.plot(x, x, color="C1", linestyle="--", label="its derivative")
    left.set(xlabel="membrane potential minus threshold", ylabel="output, derivative")
    legend_above(left)
    heights, edges = np.histogram(distance, bins=np.linspace(-3, 1.5, 91), density=True)
    right.stairs(heights, edges, fill=True, color="0.8", label="membranes")
    passed = right.stairs(heights, edges, fill=True, color="C1", label="times derivative")
    top = 30 * heights.max()
    right.set(xlabel="membrane potential minus threshold", ylabel="density", yscale="log")
    right.set_ylim(1e-5 * top, top)
    legend_above(right)
    middle = (edges[1:] + edges[:-1]) / 2

    def update(surrogate, log_slope) -> str:
        slope = 2.0**log_slope
        slopes = surrogates.derivative(surrogate, x, slope)
        smooth = surrogates.smooth(surrogate, x, slope)
        curve.set_ydata(smooth)
        derivative.set_ydata(slopes)
        low, high = min(0, smooth.min()), max(1, smooth.max(), slopes.max())
        left.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
        passed.set_data(heights * surrogates.derivative(surrogate, middle, slope))
        mean = float(number @ surrogates.derivative(surrogate, centre, slope))
        typical = float(surrogates.derivative(surrogate, np.array(median), slope))
        return (
            f"{surrogate}, slope {slope:.3g}: over {distance.size:,} membranes the mean derivative "
            f"is <b>{mean:.4f}</b>; at the median membrane, {-median:.2f} below the threshold, it "
            f"is <b>{typical:.4f}</b>"
        )

    controls = {
        "surrogate": ("surrogate", surrogate, list(surrogates.SURROGATES)),
        "log_slope": ("slope: 2 to the power", float(np.log2(slope)), (-1.0, 6.0, 0.1)),
    }
    return explore(figure, update, controls)


@styled
def utterances(
    network: SpikingNetwork, events: Events, predictions: pd.DataFrame, step_ms: float
) -> Figure | None:
    """Explore test utterances on their way through the network, class scores adding up over time.

    Parameters
    ----------
    network : SpikingNetwork
        Trained network with one hidden layer or more; the last one is shown.
    events : Events
        Test utterances.
    predictions : DataFrame
        What the network answers to them, with the columns `speaker`, `label`, `predicted`.
    step_ms : float
        Length of a step, milliseconds.
    """
    wrong = np.flatnonzero(predictions.label != predictions.predicted)
    lists = {False: np.arange(len(events)), True: wrong if len(wrong) else np.arange(len(events))}
    way = Way(network, (events.n_units, events.n_steps), events.class_names, step_ms)
    way.legend(**{"spoken word": "C0", "other word, ahead": "C1"})
    end_ms, last = events.n_steps * step_ms, [-1]

    def update(only_wrong, number, until) -> str:
        chosen = lists[only_wrong]
        i = int(chosen[min(number, len(chosen)) - 1])
        word = events.class_names[events.labels[i]]
        if [i] != last:
            last[:] = [i]
            way.show(events, i, word)
            way.title(f"spoken: {word}; answer at the end: {predictions.predicted[i]}")
        now_ms, ahead, score = way.until(until)
        kind = "misclassified" if only_wrong else "all"
        return (
            f"utterance {i} ({min(number, len(chosen))} of {len(chosen)} {kind}), speaker "
            f"{predictions.speaker[i]}: spoken <b>{word}</b>, answer {predictions.predicted[i]}; "
            f"after {now_ms:.0f} ms {ahead} is ahead with {score:g}"
        )

    controls = {
        "only_wrong": ("only misclassified", False, None),
        "number": ("utterance", 1, (1, len(events))),
        "until": ("until (ms)", round(end_ms), (round(step_ms), round(end_ms), round(step_ms))),
    }
    return explore(way.figure, update, controls)


@styled
def inputs(
    means: pd.DataFrame, confusions: pd.DataFrame, class_names: Sequence[str], start: str
) -> Figure | None:
    """Explore the inputs of a sweep: accuracy over cost, and which words are confused.

    Parameters
    ----------
    means : DataFrame
        From `statistics.summarise`, by `input`, over speakers.
    confusions : DataFrame
        Numbers of `utterances` by `input`, `seen`, `label`, `predicted`.
    class_names : sequence of str
        Words, in the order of the classes.
    start : str
        The input to begin with.
    """
    n = len(class_names)
    parts = {"seen": (True, SEEN), "unseen": (False, UNSEEN)}
    figure, axes = plt.subplots(1, 3, figsize=(13, max(4.4, 0.3 * n)), width_ratios=(1, 1, 1))
    for (part, (_, label)), marker, color in zip(parts.items(), "os", ("C0", "C1"), strict=True):
        axes[0].plot(means.effective_acs, means[f"test_{part}"], marker, color=color, label=label)
    axes[0].set(xscale="log", xlabel="accumulates per utterance", ylabel="test accuracy (%)")
    legend_above(axes[0])
    (marks,) = axes[0].plot([], [], "o", markersize=14, fillstyle="none", color="C3")
    matrices = [PercentMatrix(axis, class_names) for axis in axes[1:]]
    for axis, (_, label) in zip(axes[1:], parts.values(), strict=True):
        axis.set_title(f"{label}; % of a spoken word")

    def update(point) -> str:
        row = means.loc[point]
        marks.set_data([row.effective_acs] * 2, [row.test_seen, row.test_unseen])
        told = [f"<b>{point}</b>, {row.units:.0f} speakers, {row.seeds:.0f} seeds"]
        for matrix, (part, (seen, label)) in zip(matrices, parts.items(), strict=True):
            of = confusions[(confusions.input == point) & (confusions.seen == seen)]
            counts = np.zeros((n, n))
            counts[of.label, of.predicted] = of.utterances
            matrix.show(100 * counts / np.maximum(counts.sum(1, keepdims=True), 1))
            accuracy = f"{label} {row[f'test_{part}']:.1f} ± {row[f'test_{part}_ci95']:.1f} %"
            share, most = counts.sum(0) / max(1, counts.sum()), int(counts.sum(0).argmax())
            told.append(f"{accuracy}, most frequent answer {class_names[most]} ({share[most]:.0%})")
        told.append(
            f"{row.parameters:,.0f} parameters, {row.effective_acs / 1e6:.2f} million accumulates "
            f"and {row.hidden_spikes:,.0f} hidden spikes per utterance"
        )
        return "; ".join(told)

    return explore(figure, update, {"point": ("input", start, list(means.index))})
