"""The notebooks' figures with controls: each is a figure and an `update` that changes it.

What needs torch is imported where it is used, because `downsampling` doesn't need it.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from shd_corpus.class_names import language_classes, used_classes
from shd_corpus.shd_file import Utterances
from shd_course.figures.controls import explore
from shd_course.figures.style import (
    CHANNEL,
    DOT,
    INK,
    TITLE,
    draw_blocks,
    label_hz,
    last_ms,
    legend_above,
)
from shd_helpers.events.downsampling import Downsampling, Events, downsample
from shd_helpers.network.config import SURROGATES

if TYPE_CHECKING:
    from torch import Tensor

    from shd_helpers.network import SpikingNetwork


def _one_utterance(data: Utterances, i: int) -> Utterances:
    """Return a data set with one utterance of another one."""
    spikes = slice(data.offsets[i], data.offsets[i + 1])
    return Utterances(
        data.times[spikes],
        data.units[spikes],
        np.array([0, spikes.stop - spikes.start]),
        data.labels[[i]],
        data.speakers[[i]],
        data.keys,
        n_channels=data.n_channels,
    )


def downsampling(
    data: Utterances,
    grid: Downsampling,
    language: str,
) -> Figure | None:
    """Show what downsampling leaves of one utterance, with controls.

    Parameters
    ----------
    data : Utterances
        Any data set.
    grid : Downsampling
        Where the controls start; bins and duration stay.
    language : str
        ``"english"``, ``"german"`` or ``"both"``.

    Returns
    -------
    Figure or None
        As `explore` does.
    """
    labels = list(used_classes(data.keys, language))
    class_of = language_classes(data.keys, language)
    key_of = {labels[c]: key for key, c in class_of.items()}
    speakers = np.unique(data.speakers[np.isin(data.labels, list(class_of))]).tolist()
    takes = np.unique(np.stack([data.labels, data.speakers]), axis=1, return_counts=True)[1].max()
    grid = grid.for_channels(data.n_channels)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), sharex=True, sharey=True)
    (spikes,) = left.plot([], [], **DOT)
    left.set(ylabel=CHANNEL)
    cuts = [axis.axhline(0, color="C1", linewidth=1) for axis in (left, right)]
    plt.setp((left, right), xlabel="time (ms)")
    label_hz(right, data.n_channels)

    def update(
        label: str = labels[0],
        speaker: int = speakers[0],
        take: int = 1,
        first_unit: int = grid.first_unit,
        pool_units: int = grid.pool_units,
        pool_steps: int = grid.pool_steps,
        pool_threshold: int = grid.pool_threshold,
    ) -> str:
        of = np.flatnonzero((data.labels == key_of[label]) & (data.speakers == speaker))
        if len(of) == 0:
            return f"Speaker {speaker} doesn't say {label} in this file."
        i = of[min(take, len(of)) - 1]
        times, units = data.spikes(i)
        pool_threshold = min(pool_threshold, pool_units * pool_steps)
        chosen = replace(
            grid,
            first_unit=first_unit,
            pool_units=pool_units,
            pool_steps=pool_steps,
            pool_threshold=pool_threshold,
        )
        pooled = downsample(_one_utterance(data, i), chosen, language)
        spikes.set_data(times * 1000, units)
        draw_blocks(right, pooled.to_frames([0])[:, 0], chosen)
        for cut in cuts:
            cut.set_ydata([first_unit, first_unit])
        left.set(xlim=(0, last_ms(times, grid)), ylim=(0, data.n_channels))
        left.set_title("spikes")
        right.set_title(f"{chosen.n_units} units x {chosen.n_steps} steps")
        figure.suptitle(f"{len(times):,} spikes become {len(pooled.steps):,} events", **TITLE)
        return (
            f"{label}, speaker {speaker}, take {min(take, len(of))} of {len(of)}: "
            f"{len(times)} spikes; pooled at threshold {pool_threshold} to "
            f"{chosen.n_units} units x {chosen.n_steps} steps with {len(pooled.steps)} events: "
            f"{len(pooled.steps) / max(1, len(times)):.0%} of the spikes"
        )

    return explore(
        figure,
        update,
        label=labels,
        speaker=speakers,
        take=(1, int(takes)),
        first_unit=(0, 400, 10),
        pool_units=(1, 24),
        pool_steps=(1, 20),
        pool_threshold=(1, 9),
    )


def neuron(
    lif: Callable[..., tuple["Tensor", "Tensor"]],
    n_events: np.ndarray,
    step_ms: float,
) -> Figure | None:
    """Show input, membrane potential and spikes of one neuron, with controls.

    Parameters
    ----------
    lif : callable
        Takes the currents of all steps, beta and the function that makes spikes of distances from
        the threshold. Returns spikes and membrane potentials, each (steps,).
    n_events : (steps,) ndarray
        Events that the neuron receives in each step.
    step_ms : float
        Length of a step, milliseconds.

    Returns
    -------
    Figure or None
        As `explore` does.
    """
    import torch

    from shd_helpers.network.surrogates import true_step

    time_ms = step_ms * np.arange(len(n_events))
    figure, (above, middle, below) = plt.subplots(
        3, sharex=True, figsize=(8, 5), height_ratios=(1, 2, 0.6)
    )
    edges_ms = step_ms * np.arange(len(n_events) + 1)
    currents = above.stairs(n_events, edges_ms, fill=True, color="C0")
    (potential,) = middle.plot(time_ms, n_events, color=INK, linewidth=1, linestyle="-")
    middle.axhline(1, color="C1", linestyle="--", linewidth=1, label="threshold")
    legend_above(middle)
    above.set(ylabel="input\nI[t]")
    middle.set(ylabel="membrane\npotential U[t]")
    below.set(ylabel="spikes\nS[t]", ylim=(0, 1), yticks=[], xlabel="time (ms)")
    end_ms = min(time_ms[np.flatnonzero(n_events)[-1]] + 200, edges_ms[-1])
    below.set(xlim=(0, end_ms))
    below.grid(False)

    def update(weight: float = 0.02, beta: float = 0.95) -> str:
        current = weight * n_events
        spk, mem = lif(torch.tensor(current), beta, true_step)
        currents.set_data(current)
        above.set_ylim(0, 1.1 * max(current.max(), 0.1))
        potential.set_ydata(mem)
        middle.set_ylim(0, 1.1 * max(float(mem.max()), 1.1))
        for collection in below.collections:
            collection.remove()
        spike_ms = time_ms[spk.numpy() > 0]
        below.vlines(spike_ms, 0, 1, color=INK, linewidth=1)
        line = f"With weight {weight:g} and beta {beta:g}, the neuron spikes {len(spike_ms)} times"
        figure.suptitle(line, **TITLE)
        return line

    return explore(figure, update, weight=(0.0, 0.05, 0.002), beta=(0.5, 1.0, 0.01))


def surrogate_reach(distance: np.ndarray, surrogate: str, slope: float) -> Figure | None:
    """Show a surrogate's derivative, and which membranes get how much of an error.

    Parameters
    ----------
    distance : ndarray
        Membrane potentials minus threshold, of a batch, any shape.
    surrogate : str
        The surrogate with which the controls start.
    slope : float
        Its slope.

    Returns
    -------
    Figure or None
        As `explore` does.
    """
    from shd_course.figures import surrogate_visualization

    x = np.linspace(-2, 1, 601)
    median = float(np.median(distance))
    # A mean over some million membranes takes too long for each frame. These bins are narrow enough
    # for the narrowest surrogate.
    fine_counts, fine_edges = np.histogram(distance, bins=2**16)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8))
    left.plot(x, x > 0, color=INK, linewidth=1, linestyle="-", label="step")
    (curve,) = left.plot(x, x, color="C0", label="smooth curve")
    (derivative,) = left.plot(x, x, color="C1", linestyle="--", label="its derivative")
    plt.setp((left, right), xlabel="membrane potential minus threshold")
    left.set_ylabel("output, derivative")
    counts, edges = np.histogram(distance, bins=np.linspace(-2, 1, 61))
    heights = 100 * counts / distance.size
    right.stairs(heights, edges, fill=True, color="0.8", label="membranes")
    passed = right.stairs(heights, edges, fill=True, color="C1", label="times derivative")
    middle = (edges[1:] + edges[:-1]) / 2
    right.set(ylabel="share of the membranes (%)", ylim=(0, 1.1 * heights.max()))
    for axis in (left, right):
        legend_above(axis)

    def update(surrogate: str = surrogate, log2_slope: float = float(np.log2(slope))) -> str:
        slope = 2.0**log2_slope
        slopes = surrogate_visualization.derivative(surrogate, x, slope)
        smooth = surrogate_visualization.curve(surrogate, x, slope)
        curve.set_ydata(smooth)
        derivative.set_ydata(slopes)
        low = min(0, smooth.min())
        high = max(1, smooth.max(), slopes.max())
        left.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
        passed.set_data(heights * surrogate_visualization.derivative(surrogate, middle, slope))
        of_bins = surrogate_visualization.derivative(
            surrogate, (fine_edges[1:] + fine_edges[:-1]) / 2, slope
        )
        mean = float(fine_counts @ of_bins) / distance.size
        typical = float(surrogate_visualization.derivative(surrogate, np.array(median), slope))
        figure.suptitle(f"The median membrane passes on {typical:.4f} of the error", **TITLE)
        return (
            f"{surrogate}, slope {slope:.3g}: over {distance.size:,} membranes the mean derivative "
            f"is {mean:.4f}; at the median membrane, {-median:.2f} below the threshold, it "
            f"is {typical:.4f}"
        )

    names = list(SURROGATES)
    return explore(figure, update, surrogate=names, log2_slope=(-1.0, 6.0, 0.1))


def utterances(
    network: "SpikingNetwork",
    events: Events,
    predictions: pd.DataFrame,
    step_ms: float,
) -> Figure | None:
    """Show how the network classifies test utterances step by step, with controls.

    Parameters
    ----------
    network : SpikingNetwork
        Trained network with a hidden layer.
    events : Events
        Test utterances.
    predictions : DataFrame
        The network's predictions for them, with the columns `speaker`, `label`, `predicted`.
    step_ms : float
        Length of a step, milliseconds.

    Returns
    -------
    Figure or None
        As `explore` does.
    """
    from shd_course.figures.playback import Playback

    everything = np.arange(len(events))
    wrong = np.flatnonzero(predictions.label != predictions.predicted)
    colors = {"spoken class": "C0", "other class, highest": "C1"}
    size = events.n_units, events.n_steps
    playback = Playback(network, size, events.class_names, step_ms, colors)
    title = playback.figure.suptitle(" ", fontsize=12, x=0.01, ha="left")
    last = -1

    def update(
        only_misclassified: bool = len(wrong) > 0,
        utterance: int = 1,
        until_ms: int = round(playback.end_ms),
    ) -> str:
        nonlocal last
        chosen = wrong if only_misclassified and len(wrong) else everything
        number = min(utterance, len(chosen))
        i = int(chosen[number - 1])
        label = events.class_names[events.labels[i]]
        answer = predictions.predicted[i]
        if i != last:
            last = i
            playback.load(events, i, label)
            outcome = "correctly" if answer == label else "wrongly"
            title.set_text(f"A spoken {label} is classified {outcome}, as {answer}")
            playback.membranes.set_title("output membranes")
        now_ms, leader, score = playback.seek(until_ms)
        kind = "misclassified" if only_misclassified else "all"
        return (
            f"utterance {i} ({number} of {len(chosen)} {kind}), speaker "
            f"{predictions.speaker[i]}: spoken {label}, answer {answer}; after "
            f"{now_ms:.0f} ms {leader} is ahead with {score:g}"
        )

    return explore(
        playback.figure,
        update,
        only_misclassified=len(wrong) > 0,
        utterance=(1, len(events)),
        until_ms=(round(step_ms), round(playback.end_ms), round(step_ms)),
    )
