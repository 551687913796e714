"""Draw what the notebooks explain: neuron, gradient, pooling, network, an utterance, the circuit.

And draw the engine's speed. ``SHD_IMG_DIR=img python -m evidence.drawings`` makes all seven.
Numbers in them are the package's.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise, product
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, Polygon, Rectangle

from shd_circuit.cost import memory
from shd_circuit.folder import read_circuit
from shd_circuit.integer import IntegerNetwork
from shd_corpus.microphone import RecordedUtterance, encode_utterance
from shd_corpus.shd_file import N_CHANNELS
from shd_corpus.sound_file import read_wave
from shd_course.figures.spike_axes import CHANNEL
from shd_helpers.command import run
from shd_helpers.data import DIGITS
from shd_helpers.events import Downsampling
from shd_helpers.figures.style import DOT, INK, save
from shd_helpers.network import NetworkConfig
from shd_helpers.paths import ROOT, results_dir
from shd_helpers.study import input_of, load_pretrained, record_examples
from shd_helpers.study.trained_network import TrainedNetwork

RECORDING = DIGITS / "lang-english_speaker-01_trial-12_digit-3.flac"
NETWORK = "study_0"
CIRCUIT = ROOT / "results" / "circuit_study"
SOURCE = f"data: {RECORDING.name}"
SOURCE_AND_NETWORK = f"{SOURCE}; network {NETWORK}"
Point = tuple[float, float]
LINE: dict[str, Any] = {"linestyle": "-", "linewidth": 1.6}
# In the neuron's circuit, a component has the color of its term in the equation.
IN = "C0"
LEAK = "C1"
SPIKE = "C2"
RESET = "C3"
# The close-up of pooling has 4 x 4 blocks, from this step and this unit of the pooled input.
BLOCKS = 4
CLOSE_UP_STEP = 84
CLOSE_UP_UNIT = 112


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """Return an empty figure to draw into."""
    figure, axis = plt.subplots(figsize=(0.8 * width, 0.8 * height + 0.5))
    axis.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    axis.axis("off")
    return figure, axis


def _wire(axis: Axes, *points: Point, color: str = INK, **style: Any) -> None:
    """Draw a line through points."""
    axis.plot(*np.transpose(points), color=color, **LINE | style)


def _arrow(axis: Axes, tail: Point, head: Point, color: str = INK, **style: Any) -> None:
    """Draw an arrow between two points."""
    look = {"arrowstyle": "-|>", "mutation_scale": 16, "linewidth": 1.6, "shrinkA": 0, "shrinkB": 0}
    axis.annotate("", head, tail, arrowprops=look | {"color": color} | style)


def _text(axis: Axes, x: float, y: float, what: str, color: str = INK, **style: Any) -> None:
    """Write a text, by default centered."""
    axis.text(x, y, what, {"color": color, "ha": "center", "va": "center", "size": 12} | style)


def _box(axis: Axes, middle: Point, size: Point, what: str, color: str) -> None:
    """Draw a box with a text in it."""
    corner = middle[0] - size[0] / 2, middle[1] - size[1] / 2
    style = "round,pad=0,rounding_size=0.12"
    axis.add_patch(FancyBboxPatch(corner, *size, style, fc="white", ec=color, lw=1.8, zorder=3))
    _text(axis, *middle, what, color, zorder=4)


def neuron() -> Figure:
    """Draw a leaky integrate-and-fire neuron as a circuit, beside its equation."""
    figure, axis = canvas(13.6, 4.9)
    leak = f"leak: {NetworkConfig().beta:.0%} is left after {Downsampling().step_ms:g} ms"
    for x, y, what, color, ha in (
        (0.2, 3.75, "current in", IN, "left"), (3.4, 3.75, "membrane $U$", INK, "center"),
        (0.95, 1.92, "$C$", INK, "right"), (2.95, 1.92, "leak\n$R$", LEAK, "left"),
        (4.6, 0.65, "reset: takes 1 away", RESET, "left"), (6.1, 4.2, "threshold", SPIKE, "left"),
        (6.32, 3.3, "+", SPIKE, "center"), (6.32, 2.65, "\u2212", SPIKE, "center"),
        (5.65, 2.65, "1 ", SPIKE, "right"), (8.06, 4.2, "spike", SPIKE, "center"),
    ):  # fmt: skip
        _text(axis, x, y, what, color, ha=ha)
    top = 3.3
    ground = 0.4
    _wire(axis, (0.2, top), (6.1, top))
    _wire(axis, (1.4, ground), (2.6, ground), (2.6, 0.1), (2.6, ground), (4.4, ground))
    _wire(axis, (2.25, 0.1), (2.95, 0.1), linewidth=2.6)
    _arrow(axis, (0.2, top), (1.1, top), IN)
    for y, end in ((2.05, top), (1.8, ground)):  # the capacitor's plates
        _wire(axis, (1.4, y), (1.4, end))
        _wire(axis, (1.05, y), (1.75, y), linewidth=2.6)
    _wire(axis, (2.6, top), (2.6, ground), color=LEAK)
    axis.add_patch(Rectangle((2.4, 1.3), 0.4, 1.25, fc="white", ec=LEAK, lw=2, zorder=3))
    _wire(axis, (4.4, top), (4.4, ground), color=RESET)
    axis.add_patch(Circle((4.4, 1.6), 0.36, fc="white", ec=RESET, lw=2, zorder=3))
    _arrow(axis, (4.4, 1.86), (4.4, 1.34), RESET, zorder=4)
    axis.add_patch(Polygon([(6.1, 3.9), (6.1, 2.1), (7.5, 3)], fc="white", ec=SPIKE, lw=2))
    _wire(axis, (6.1, 2.65), (5.7, 2.65), color=SPIKE)
    _wire(axis, (7.5, 3), (8, 3), (8, 3.7), (8.12, 3.7), (8.12, 3), (8.4, 3), color=SPIKE)
    _wire(axis, (7.75, 3.0), (7.75, 1.6), (4.9, 1.6), color=RESET, linestyle="--")
    _arrow(axis, (5.0, 1.6), (4.74, 1.6), RESET)
    _box(axis, (6.3, 1.6), (1.5, 0.8), "one step\nlater", RESET)
    for x, y, term, meaning, color in (
        (8.9, 4.4, r"$U[t]\;=\;\beta\,U[t-1]$", leak, LEAK),
        (9.85, 3.2, "$+\\;I[t]$", "current in: weights of the active inputs, bias", IN),
        (9.85, 2.0, "$-\\;(U[t-1]>1)$", "reset: 1 if it spiked in the step before", RESET),
        (8.9, 0.8, r"$S[t]\;=\;(U[t]>1)$", "spike: 1 above the threshold, else 0", SPIKE),
    ):
        _text(axis, x, y, term, color, ha="left", size=18)
        _text(axis, 8.9, y - 0.5, meaning, ha="left", size=11)
    return figure


def unrolled() -> Figure:
    """Draw three steps of a neuron, and the paths of the gradient back through them."""
    figure, axis = canvas(12.6, 8)
    rows = (0.4, 2.1, 3.9, 5.7, 7.3)  # weights, current, membrane, spike, loss
    back: dict[str, Any] = {"linewidth": 3.4, "mutation_scale": 22}
    _, _, mid, high, _ = rows
    for x, t in ((1.0, "t-1"), (4.8, "t"), (8.6, "t+1")):
        for (low, up), color in zip(pairwise(rows), (IN, IN, SPIKE, SPIKE), strict=True):
            _arrow(axis, (x - 0.25, low + 0.35), (x - 0.25, up - 0.35), "0.5")
            _arrow(axis, (x + 0.25, up - 0.35), (x + 0.25, low + 0.35), color, **back)
        for y, what, color in zip(rows[1:], "IUS", (IN, INK, SPIKE), strict=False):
            _box(axis, (x, y), (1.2, 0.7), f"${what}[{t}]$", color)
        if x > 8:
            break
        _arrow(axis, (x + 0.6, mid + 0.17), (x + 3.2, mid + 0.17), "0.5")
        _arrow(axis, (x + 3.2, mid - 0.17), (x + 0.6, mid - 0.17), LEAK, **back)
        _text(axis, x + 1.9, mid - 0.55, r"membrane: $\times\,\beta$", LEAK)
        _arrow(axis, (x + 0.6, high), (x + 3.25, mid + 0.35), "0.5", linestyle="--")
        axis.plot(x + 1.9, 4.97, "x", color=RESET, markersize=17, markeredgewidth=3.5)
        _text(axis, x + 2.2, 5.75, "reset: detached,\nno way back", RESET, size=11)
    _box(axis, (4.8, rows[4]), (8.8, 0.7), "loss $L$", INK)
    weights = "weights and bias: the same in all steps, so their gradients add up"
    _box(axis, (4.8, rows[0]), (8.8, 0.7), weights, IN)
    for y, what, color in (
        (7.3, "   thin: forward\n   thick: the gradient", INK),
        (6.5, "error $e$ of a spike", SPIKE),
        (4.8, "surrogate:\n" + r"$\times\,h[t+1]$", SPIKE),
        (3.0, "gradient $\\delta$ of a membrane", IN),
        (1.25, r"$\times\,x[t+1]$, the input", IN),
    ):
        _text(axis, 9.15, y, what, color, ha="left")
    return figure


def pooling(word: RecordedUtterance, trained: TrainedNetwork) -> Figure:
    """Draw which spikes are dropped, and how the blocks of a close-up become one entry each."""
    grid = trained.grid
    fine = replace(grid, pool_units=1, pool_steps=1, pool_threshold=1)
    figure, axes = plt.subplots(1, 3, figsize=(12.4, 4.8), width_ratios=(1.5, 1, 1))
    spikes, before, after = axes
    _draw_spikes(spikes, word, grid)
    row = CLOSE_UP_UNIT * grid.pool_units
    column = CLOSE_UP_STEP * grid.pool_steps
    height = BLOCKS * grid.pool_units
    width = BLOCKS * grid.pool_steps
    entries = _frame(word, trained._replace(grid=fine))[row : row + height, column : column + width]
    corner = (column, grid.first_unit + row)
    spikes.add_patch(Rectangle(corner, width, height, fc="none", ec=RESET, lw=2, zorder=6))
    blocks = _frame(word, trained)[CLOSE_UP_UNIT:, CLOSE_UP_STEP:][:BLOCKS, :BLOCKS]
    _draw_blocks(before, entries)
    _draw_blocks(after, blocks)
    _write_counts(after, entries, blocks)
    spikes.set_title(_remainders(grid, fine))
    before.set_title(f"the small box: entries,\nblocks of {grid.pool_units} x {grid.pool_steps}")
    after.set_title(f"a block becomes 1 (dark) from\n{grid.pool_threshold} active entries on")
    return figure


def _remainders(grid: Downsampling, fine: Downsampling) -> str:
    """Return how many units and milliseconds are in blocks, and how many are left over.

    `fine` is the same grid without pooling.
    """
    units_over = fine.n_units % grid.pool_units
    steps_over = fine.n_steps % grid.pool_steps
    units = (
        f"{N_CHANNELS} - {grid.first_unit} = {fine.n_units} = {grid.n_units} x {grid.pool_units}"
    )
    steps = f"{fine.n_steps} = {grid.n_steps} x {grid.pool_steps} + {steps_over}"
    return f"units: {units} + {units_over}\nms: {steps}; the rest is in no block"


def _frame(word: RecordedUtterance, trained: TrainedNetwork) -> np.ndarray:
    """Return an utterance as a network's input, (units, steps)."""
    return input_of(trained, word.times, word.units).to_frames([0])[:, 0].T


def _draw_spikes(axis: Axes, word: RecordedUtterance, grid: Downsampling) -> None:
    """Draw an utterance's spikes, and the channels that are dropped."""
    end_ms = 1000 * grid.duration_s
    first_unit = grid.first_unit
    axis.plot(1000 * word.times, word.units, **DOT)
    axis.set(xlim=(0, end_ms), ylim=(0, N_CHANNELS), xlabel="time (ms)", ylabel=CHANNEL)
    axis.add_patch(Rectangle((0, 0), end_ms, first_unit, fc="0.93", ec="0.6", hatch="//", zorder=2))
    white = {"fc": "white", "ec": "none", "pad": 2}
    label = f"{first_unit} units dropped: the highest tones"
    _text(axis, end_ms / 2, first_unit / 2, label, bbox=white)


def _write_counts(axis: Axes, entries: np.ndarray, blocks: np.ndarray) -> None:
    """Write into each block how many of its entries are active."""
    size = len(entries) // BLOCKS, entries.shape[1] // BLOCKS
    counts = entries.reshape(BLOCKS, size[0], BLOCKS, size[1]).sum((1, 3))
    for (i, j), count in np.ndenumerate(counts):
        color = "white" if blocks[i, j] else INK
        _text(axis, j + 0.5, i + 0.5, f"{count:.0f}", color, size=18)


def _draw_blocks(axis: Axes, entries: np.ndarray) -> None:
    """Draw a square matrix of entries, with thick lines around its blocks."""
    axis.imshow(entries, cmap="Greys", vmax=1.5, origin="lower", extent=(0, BLOCKS, 0, BLOCKS))
    axis.set(aspect="equal", xlim=(-0.2, BLOCKS + 0.2))
    axis.axis("off")
    for n, width, color in ((len(entries), 0.5, "0.6"), (BLOCKS, 2.4, RESET)):
        for draw in (axis.hlines, axis.vlines):
            draw(np.linspace(0, BLOCKS, n + 1), 0, BLOCKS, color, linewidth=width)


def network(trained: TrainedNetwork, scores: np.ndarray) -> Figure:
    """Draw the network's layers, with numbers of weights, and the votes for an utterance.

    Shapes: `scores` (classes,).
    """
    figure, axis = canvas(12.6, 6.2)
    sizes = [trained.grid.n_units]
    for name, bias in trained.network.named_parameters():
        if "bias" in name:
            sizes.append(len(bias))
    rows = np.linspace(5.0, 0.9, 10)
    gap = 8  # the row of the dots that stand for the other neurons
    xs = (1.2, 5.0, 8.8)
    columns = [np.delete(rows, gap), np.delete(rows, gap), np.linspace(5.0, 0.9, sizes[2])]
    for x, y, color in zip(xs, columns, (IN, SPIKE, SPIKE), strict=True):
        axis.plot([x] * len(y), y, "o", color=color, mfc="white", mew=2, markersize=18, zorder=3)
    for (left, right), (x, end) in zip(pairwise(columns), pairwise(xs), strict=True):
        _text(axis, x, rows[gap], "\u22ee", size=18)
        for a, b in product(left, right):
            _wire(axis, (x, a), (end, b), color="0.75", linewidth=0.5)
    titles = f"{sizes[0]} inputs", f"{sizes[1]} LIF neurons", f"{sizes[2]} LIF neurons", "votes"
    for x, title in zip((*xs, 11.2), titles, strict=True):
        _text(axis, x, 5.8, title, size=14)
    n_parameters = 0
    for x, (n_in, n_out) in zip((3.1, 6.9), pairwise(sizes), strict=True):
        n_parameters += n_in * n_out + n_out
        weights = f"{n_in} x {n_out} = {n_in * n_out:,} weights"
        _text(axis, x, 0.3, f"{weights}\n+ {n_out} biases")
    _text(axis, 11.0, 0.3, f"{n_parameters:,} parameters\nare learned")
    _draw_votes(axis, columns[-1], trained.class_names, scores)
    return figure


def _draw_votes(axis: Axes, ys: np.ndarray, class_names: Sequence[str], scores: np.ndarray) -> None:
    """Draw a bar for each class, right of the network."""
    for y, name, score in zip(ys, class_names, scores, strict=True):
        is_best = score == scores.max()
        length = 1.8 * score / scores.max()
        _text(axis, 9.2, y, name, ha="left", weight="bold" if is_best else "normal")
        axis.add_patch(Rectangle((10.3, y - 0.13), length, 0.26, fc=INK if is_best else "0.75"))
        _text(axis, 10.4 + length, y, f"{score:.0f}", ha="left", size=11)


def way(
    word: RecordedUtterance, trained: TrainedNetwork, example: Mapping[str, np.ndarray]
) -> Figure:
    """Draw the stages of an utterance from sound to digit, one panel for each."""
    figure, axes = plt.subplots(2, 3, figsize=(12, 6.4))
    sound, channels, pooled, hidden, output, votes = axes.flat
    sound.plot(np.arange(len(word.wave)) / word.rate_hz * 1000, word.wave, color=INK, linewidth=0.5)
    sound.set(title="1. sound", ylabel="share of full scale")
    channels.plot(1000 * word.times, word.units, **DOT)
    channels.set(ylabel=CHANNEL, ylim=(0, N_CHANNELS))
    channels.set_title(f"2. cochlea: {len(word.times):,} spikes")
    names = trained.class_names
    scores = example["scores"]
    rows = range(len(names))
    size = f"{trained.grid.n_units} x {trained.grid.n_steps}"
    for axis, name, label, title, look in (
        (pooled, "input", "input unit", f"3. {size}: %s events", {"markersize": 2.5}),
        (hidden, "hidden", "hidden neuron", "4. hidden layer: %s spikes", {"markersize": 2.5}),
        (
            output,
            "spk",
            "output neuron",
            "5. output layer: %s votes",
            {"marker": "|", "markersize": 9},
        ),
    ):
        steps, neurons = np.nonzero(example[name])
        axis.plot(steps * trained.grid.step_ms, neurons, **DOT | look)
        axis.set(ylabel=label, ylim=(0, example[name].shape[1]), title=title % f"{len(steps):,}")
    for axis in (sound, channels, pooled, hidden, output):
        axis.set(xlabel="time (ms)", xlim=(0, 1000 * trained.grid.duration_s))
    votes.barh(rows, scores, color=np.where(scores == scores.max(), INK, "0.75"))
    votes.set(xlabel="votes", title=f"6. most votes: {names[int(np.asarray(scores).argmax(-1))]}")
    plt.setp((output, votes), yticks=rows, yticklabels=names, ylim=(len(names) - 0.4, -0.6))
    return figure


def circuit(network: IntegerNetwork) -> Figure:
    """Draw the blocks of the circuit, and how many numbers each memory has."""
    figure, axis = canvas(12.8, 5.3)
    grid = network.grid
    stored = memory(network)
    hidden, output, biases, membranes = (
        f"{stored.numbers[name]:,} of {stored.bits[name]} bits"
        for name in ("weights, layer 1", "weights, layer 2", "biases", "membranes")
    )
    _, n_hidden, n_classes = network.sizes
    pooled = f"{grid.pool_units} x {grid.pool_steps} entries\nthreshold {grid.pool_threshold}"
    for x, y, width, what, color in (
        (3.1, 4.3, 2.2, f"pooling\n{pooled}", IN),
        (6.9, 4.3, 2.4, "list\nof what is active\nin this step", IN),
        (11.0, 4.3, 3.2, f"weights\n{hidden}\n{output}", RESET),
        (11.0, 1.3, 3.2, f"adders\nbiases: {biases}", SPIKE),
        (6.9, 1.3, 2.9, f"membranes\n{membranes}\nabove the threshold?", SPIKE),
        (3.1, 1.3, 2.2, f"counters\n{n_classes} classes", SPIKE),
    ):
        _box(axis, (x, y), (width, 1.7), what, color)
    for tail, head, x, y, what in (
        ((0.1, 4.3), (2.0, 4.3), 0.9, 4.8, "spikes\n(ms, unit)"),
        ((4.2, 4.3), (5.7, 4.3), 4.95, 4.6, "events"),
        ((8.1, 4.3), (9.4, 4.3), 8.75, 4.6, "address"),
        ((11.0, 3.45), (11.0, 2.15), 11.9, 2.8, "weights"),
        ((9.4, 1.3), (8.35, 1.3), 8.9, 1.6, "sums"),
        ((6.9, 2.15), (6.9, 3.45), 5.1, 2.8, f"spikes of {n_hidden} hidden neurons"),
        ((5.45, 1.3), (4.2, 1.3), 4.85, 1.6, "votes"),
        ((2.0, 1.3), (0.1, 1.3), 0.9, 1.6, "answer"),
    ):
        _arrow(axis, tail, head)
        _text(axis, x, y, what, size=11)
    return figure


def speed() -> Figure:
    """Draw how many times as fast as snnTorch's loop each library trains."""
    table = pd.read_csv(results_dir() / "bench.csv")
    ratios = table[table.benchmark == "training step"].set_index(["batch", "variant"]).ratio
    names = {"compiled": "shd_engine", "JAX scan, jit": "JAX, compiled scan"}
    names |= {"SpikingJelly, multi-step": "SpikingJelly", "snntorch loop": "snnTorch's loop"}
    names["Norse"] = "Norse"
    figure, axes = plt.subplots(1, 3, figsize=(12, 3), sharex=True, sharey=True)
    for axis, batch in zip(axes, (128, 32, 8), strict=True):
        lengths = ratios[batch][[*names]]
        colors = [IN, *["0.75"] * (len(names) - 1)]
        bars = axis.barh([*names.values()], lengths, color=colors)
        texts = [f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.1f}" for ratio in lengths]
        axis.bar_label(bars, texts, padding=3)
        axis.set(title=f"batches of {batch}", xlim=(0, 1.2 * ratios.max()))
    axes[0].invert_yaxis()
    axes[1].set_xlabel("times as fast as snnTorch's loop")
    return figure


def drawings() -> dict[str, Figure]:
    """Draw all figures."""
    word = encode_utterance(*read_wave(RECORDING))
    trained = load_pretrained(NETWORK)
    events = input_of(trained, word.times, word.units)
    (example,) = record_examples(trained.network, events).values()
    figures = {}
    with plt.rc_context({"axes.titlesize": 12}):
        figures["pooling"] = pooling(word, trained)
        figures["way"] = way(word, trained, example)
    figures["network"] = network(trained, example["scores"])
    figures["neuron"] = neuron()
    figures["unrolled"] = unrolled()
    figures["circuit"] = circuit(read_circuit(CIRCUIT))
    figures["speed"] = speed()
    return figures


def main() -> None:
    """Draw and save all."""
    argparse.ArgumentParser(prog="python -m evidence.drawings", description=__doc__).parse_args()
    sources = {"pooling": SOURCE, "network": SOURCE_AND_NETWORK, "way": SOURCE_AND_NETWORK}
    sources["speed"] = "a training step of 183-256-10 neurons, 333 steps; data: results/bench.csv"
    for name, figure in drawings().items():
        save(figure, name, sources.get(name, ""))


if __name__ == "__main__":
    run(main)
