"""The notebooks' figures with controls: each is a figure and an `update` that changes it."""

from bisect import bisect_right
from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from shd_helpers.events import downsample as preprocessing
from shd_helpers.events.downsample import Downsampling, Events
from shd_helpers.figures.controls import explore
from shd_helpers.figures.style import INK, styled
from shd_helpers.network import surrogates
from shd_helpers.network.engines import fused as engine
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
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.8))
    (dots,) = axes[0].plot([], [], ".", markersize=1.2, color=INK, rasterized=True)
    cut = axes[0].axhline(0, color="C1", label="cut")
    axes[0].legend(loc="lower right", frameon=True)
    axes[0].set(xlabel="time (s)", ylabel="unit (cochlea channel)", xlim=(0, grid.duration_s))
    axes[0].set(ylim=(0, N_CHANNELS))
    (cells,) = axes[1].plot([], [], ".", markersize=1.2, color=INK, rasterized=True)
    blocks = axes[2].imshow(
        np.zeros((2, 2)), origin="lower", cmap="Greys", vmin=0, vmax=0.6, aspect="auto",
        interpolation="auto",
    )  # fmt: skip
    for axis in axes[1:]:
        axis.set(xlabel="step", ylabel="unit")
        axis.grid(False)

    def update(word, speaker, take, first_unit, pool_units, pool_steps, pool_threshold) -> str:
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
        fixed = {"bin_ms": grid.bin_ms, "duration_s": grid.duration_s}
        grids = (
            Downsampling(first_unit, pool_units=1, pool_steps=1, pool_threshold=1, **fixed),
            Downsampling(first_unit, pool_units=pool_units, pool_steps=pool_steps, pool_threshold=pool_threshold,
                 **fixed),
        )  # fmt: skip
        dots.set_data(times, units)
        cut.set_ydata([first_unit, first_unit])
        axes[0].set_title(f"{len(times)} spikes")
        told = []
        for axis, name, g in zip(axes[1:], ("cut, binned", "pooled"), grids, strict=True):
            events = preprocessing.downsize(one, g, language)
            if axis is axes[1]:
                cells.set_data(events.steps, events.units)
            else:
                blocks.set_data(events.to_frames([0])[:, 0].T)
                blocks.set_extent((0, g.n_steps, 0, g.n_units))
            axis.set(xlim=(0, g.n_steps), ylim=(0, g.n_units))
            axis.set_title(f"{name}: {g.n_units} x {g.n_steps}, {len(events.steps)} events")
            told.append(f"{g.n_units} units x {g.n_steps} steps with {len(events.steps)} events")
        share = len(events.steps) / max(1, len(times))
        return (
            f"<b>{word}</b>, speaker {speaker}, take {min(take, len(of))} of {len(of)}: "
            f"{len(times)} spikes; {told[0]}; pooled at threshold {pool_threshold} {told[1]}: "
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
    """Explore a surrogate's derivative, and for how many membranes it is of use.

    Parameters
    ----------
    distance : ndarray
        Membrane potentials minus threshold, of a batch, any shape.
    surrogate, slope : str, float
        Where the controls start.
    """
    distance, x = distance.ravel(), np.linspace(-3, 1.5, 901)
    nearest_first = np.sort(np.abs(distance))
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8))
    left.plot(x, x > 0, color=INK, linewidth=1, label="step")
    (curve,) = left.plot(x, x, color="C0", label="smooth curve")
    (derivative,) = left.plot(x, x, color="C1", label="its derivative")
    left.set(xlabel="membrane potential minus threshold", ylabel="spike, derivative")
    left.legend(loc="upper left")
    heights, edges = np.histogram(distance, bins=np.linspace(-3, 1.5, 91), density=True)
    right.stairs(heights, edges, fill=True, color="0.75", label="all membranes")
    middle = (edges[1:] + edges[:-1]) / 2
    useful = right.stairs(heights, edges, fill=True, color="C1", label="useful gradient")
    right.set(xlabel="membrane potential minus threshold", ylabel="density", yscale="log")
    right.legend(loc="upper left")

    def update(surrogate, log_slope) -> str:
        slope = 2.0**log_slope
        slopes = surrogates.derivative(surrogate, x, slope)
        smooth = surrogates.smooth(surrogate, x, slope)
        curve.set_ydata(smooth)
        derivative.set_ydata(slopes)
        low, high = min(0, smooth.min()), max(1, smooth.max(), slopes.max())
        left.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
        left.set_title(f"{surrogate}, slope {slope:.3g}")
        reached = surrogates.derivative(surrogate, middle, slope) >= 0.1
        useful.set_data(np.where(reached, heights, np.nan))
        # the derivative falls with the distance: look for the last one that it reaches
        falling = lambda d: -surrogates.derivative(surrogate, d, slope)  # noqa: E731
        share = bisect_right(nearest_first, -0.1, key=falling) / distance.size
        right.set_title(f"a tenth of the error or more reaches {share:.1%}")
        return (
            f"{surrogate}, slope {slope:.3g}: the derivative is 0.1 or more for <b>{share:.1%}</b> "
            f"of {distance.size:,} membranes"
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
    """Explore test utterances on their way through the network, votes adding up over time.

    Parameters
    ----------
    network : SpikingNetwork
        Trained network with one hidden layer or more; the last one is shown.
    events : Events
        Test utterances.
    predictions : DataFrame
        From `training.predict` on them.
    step_ms : float
        Length of a step, milliseconds.
    """
    wrong = np.flatnonzero(predictions.label != predictions.predicted)
    lists = {False: np.arange(len(events)), True: wrong if len(wrong) else np.arange(len(events))}
    names, end_ms = events.class_names, events.n_steps * step_ms
    n_hidden = network.layers[-2][0].out_features
    figure, axes = plt.subplots(2, 2, figsize=(11, 5.6))
    rasters = []
    for axis, label, n in zip(
        axes[:, 0], ("input unit", "hidden neuron"), (events.n_units, n_hidden), strict=True
    ):
        (line,) = axis.plot([], [], ".", markersize=1.2, color=INK, rasterized=True)
        axis.set(xlabel="time (ms)", ylabel=label, xlim=(0, end_ms), ylim=(0, n))
        rasters.append(line)
    time = np.arange(events.n_steps) * step_ms
    membranes = axes[0, 1].plot(time, np.zeros((len(time), len(names))), "-", linewidth=0.8)
    colors = dict.fromkeys(names, "0.7")
    axes[0, 1].set(xlabel="time (ms)", ylabel="output membrane", xlim=(0, end_ms))
    bars = axes[1, 1].barh(range(len(names)), np.zeros(len(names)), color="0.6")
    axes[1, 1].set_yticks(range(len(names)), names, fontsize=8)
    axes[1, 1].set(xlabel="class score so far (blue: spoken; orange: another word is ahead)")
    nows = [axis.axvline(0, color="C3", linewidth=1) for axis in (*axes[:, 0], axes[0, 1])]
    last: dict[int, object] = {}

    def update(only_wrong, number, until) -> str:
        chosen = lists[only_wrong]
        i = int(chosen[min(number, len(chosen)) - 1])
        if i not in last:
            last.clear()
            last[i] = engine.record(network, events, [i])
            spikes = (events.to_frames([i])[:, 0], last[i].hidden_spk[-1][:, 0].numpy())
            for axis, line, spk in zip(axes[:, 0], rasters, spikes, strict=True):
                steps, neurons = np.nonzero(spk)
                line.set_data(steps * step_ms, neurons)
                axis.set_title(f"{len(steps)} spikes")
            mem = last[i].mem[:, 0].numpy()
            for line, values in zip(membranes, mem.T, strict=True):
                line.set_ydata(values)
            axes[0, 1].set_ylim(mem.min() - 0.5, mem.max() + 0.5)
        step = max(1, min(events.n_steps, int(until / step_ms)))
        kept = type(last[i])(last[i].spk[:step], last[i].mem[:step])
        scores = network.scores(kept)[0].numpy()
        word, ahead = names[events.labels[i]], names[int(scores.argmax())]
        shades = colors | {ahead: "C1"} | {word: "C0"}
        for name, bar, line, score in zip(names, bars, membranes, scores, strict=True):
            bar.set(width=score, color=shades[name])
            line.set(color=shades[name], zorder=3 if name in (word, ahead) else 2)
        axes[1, 1].set_xlim(min(0, scores.min()), max(1, scores.max()) * 1.05)
        axes[1, 1].set_title(f"ahead after {step * step_ms:.0f} ms: {ahead}")
        axes[0, 1].set_title(f"spoken: {word}; answer at the end: {predictions.predicted[i]}")
        for now in nows:
            now.set_xdata([step * step_ms] * 2)
        kind = "misclassified" if only_wrong else "all"
        return (
            f"utterance {i} ({min(number, len(chosen))} of {len(chosen)} {kind}), speaker "
            f"{predictions.speaker[i]}: spoken <b>{word}</b>, answer {predictions.predicted[i]}; "
            f"after {step * step_ms:.0f} ms {ahead} is ahead with {scores.max():g}"
        )

    controls = {
        "only_wrong": ("only misclassified", False, None),
        "number": ("utterance", 1, (1, len(events))),
        "until": ("until (ms)", round(end_ms), (round(step_ms), round(end_ms), round(step_ms))),
    }
    return explore(figure, update, controls)


@styled
def settings(
    means: pd.DataFrame, confusions: pd.DataFrame, class_names: Sequence[str], start: str
) -> Figure | None:
    """Explore the points of the downsizing figure: a run's place, parameters and confusions.

    Parameters
    ----------
    means : DataFrame
        From `comparison.over_seeds`.
    confusions : DataFrame
        Beside the table, from `make downsizing`, of the same settings.
    class_names : sequence of str
        Words, in the order of the classes.
    start : str
        The setting to begin with.
    """
    n = len(class_names)
    names = {f"{row.channels} x {row.steps}": row.Index for row in means.itertuples()}
    figure, axes = plt.subplots(1, 3, figsize=(12, 4.2), width_ratios=(1.2, 1, 1))
    for part, marker, label in (("test_seen", "o", "heard"), ("test_unseen", "s", "stranger")):
        axes[0].plot(means.effective_acs, means[part], marker, color="0.7", label=label)
    axes[0].set(xscale="log", xlabel="accumulates per utterance", ylabel="accuracy (%)")
    axes[0].legend()
    (marks,) = axes[0].plot([], [], "o", markersize=14, fillstyle="none", color="C3")
    images = []
    for axis, title in zip(axes[1:], ("heard speakers", "stranger"), strict=True):
        images.append(axis.imshow(np.zeros((n, n)), cmap="viridis", vmin=0, vmax=100))
        axis.set_xticks(range(n), class_names, rotation=90, fontsize=8)
        axis.set_yticks(range(n), class_names, fontsize=8)
        axis.set(xlabel="answer", ylabel="spoken", title=title)
        axis.grid(False)
    figure.colorbar(images[1], ax=axes[2], label="share of the spoken word (%)")

    def update(point) -> str:
        row = means.loc[names[point]]
        marks.set_data([row.effective_acs] * 2, [row.test_seen, row.test_unseen])
        axes[0].set_title(f"{point}")
        for image, part in zip(images, ("heard", "unheard"), strict=True):
            of = confusions[(confusions.configuration == names[point]) & (confusions.part == part)]
            counts = np.zeros((n, n))
            counts[of.label, of.predicted] = of.utterances
            image.set_data(100 * counts / np.maximum(counts.sum(1, keepdims=True), 1))
        return (
            f"<b>{point}</b> ({names[point]}), {row.seeds:.0f} seeds: heard {row.test_seen:.1f} ± "
            f"{row.test_seen_ci95:.1f} %, stranger {row.test_unseen:.1f} ± "
            f"{row.test_unseen_ci95:.1f} %; {row.parameters:,.0f} parameters, "
            f"{row.effective_acs / 1e6:.2f} million accumulates and {row.hidden_spikes:,.0f} hidden "
            "spikes per utterance"
        )

    chosen = next(label for label, setting in names.items() if setting == start)
    return explore(figure, update, {"point": ("channels x steps", chosen, list(names))})
