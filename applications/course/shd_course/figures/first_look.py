"""The figures of notebook 0: a spoken digit becomes spikes, and a network votes."""

import base64
import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import soundfile
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shd_corpus.cochlea import encode
from shd_corpus.shd_file import N_CHANNELS
from shd_corpus.sound_file import read_utterance
from shd_course.figures.controls import explore
from shd_course.figures.style import CHANNEL, DOT, INK, TITLE, describe, draw_blocks, label_hz
from shd_helpers.command import from_extra
from shd_helpers.events import Downsampling
from shd_helpers.network.engine import choose_engine
from shd_helpers.paths import ROOT
from shd_helpers.study.trained_network import input_of, load_pretrained

with from_extra("study"):
    import ipywidgets as widgets

NETWORK = ROOT / "results" / "networks" / "study_0.npz"  # whatever $SHD_RESULTS_DIR is
N_NAMED = 3  # classes with the most votes, whose lines have colors and names
STYLES = ("-", "--", "-.")
WRONG = "C3"  # of an answer
FOUR_SIZES = ROOT / "results" / "four_sizes.js"


def sound_and_spikes(path: Path) -> Figure:
    """Draw the sound of a recording above the spikes that the model of the inner ear makes of it.

    Parameters
    ----------
    path : Path
        A sound file with one utterance.

    Returns
    -------
    Figure
        Closed, so that a notebook shows it once.
    """
    wave, rate_hz = read_utterance(path)
    times, units = encode(wave, rate_hz, seed=0)
    figure, (sound, spikes) = plt.subplots(2, 1, figsize=(9, 5), sharex=True, height_ratios=(1, 3))
    milliseconds = 1000 * np.arange(len(wave)) / rate_hz
    sound.plot(milliseconds, wave, color=INK, linestyle="-", linewidth=0.5)
    sound.set_ylabel("sound")
    spikes.plot(1000 * times, units, **DOT)
    spikes.set(xlabel="time (ms)", ylabel=CHANNEL, ylim=(0, N_CHANNELS))
    label_hz(spikes)
    title = f"The recording becomes {len(times):,} spikes"
    figure.suptitle(title, **TITLE)
    describe(figure, title)
    plt.close(figure)
    return figure


def noisy_votes(path: Path) -> Figure | None:
    """Show how a pretrained network votes on a recording, and let the reader add noise.

    Parameters
    ----------
    path : Path
        A sound file with one utterance.

    Returns
    -------
    Figure or None
        As `explore` does.
    """
    trained = load_pretrained(NETWORK)
    wave, rate_hz = read_utterance(path)
    loudness = np.sqrt(np.mean(wave**2))
    white = loudness * np.random.default_rng(0).normal(size=len(wave))
    step_ms = trained.grid.step_ms
    end_ms = trained.grid.n_steps * step_ms
    time_ms = step_ms * np.arange(1, trained.grid.n_steps + 1)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), width_ratios=(1, 1.3))
    (spikes,) = left.plot([], [], **DOT)
    lines = right.plot(time_ms, np.zeros((len(time_ms), len(trained.class_names))))
    left.set(ylabel=CHANNEL, ylim=(0, N_CHANNELS))
    right.set(ylabel="votes so far")
    plt.setp((left, right), xlabel="time (ms)", xlim=(0, end_ms))

    def mixed(noise: float, voice: bool) -> np.ndarray:
        return voice * wave + (noise if voice else 1.0) * white

    @cache  # a slider that moves in time changes neither
    def spikes_and_votes(noise: float, voice: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        times, units = encode(mixed(noise, voice), rate_hz, seed=0)
        events = input_of(trained, times, units)
        output = choose_engine("compiled", trained.network).record(trained.network, events, [0])
        return times, units, output.spk[:, 0].numpy().cumsum(0)

    def update(noise: float = 0.0, voice: bool = True, until_ms: int = round(end_ms)) -> str:
        times, units, votes = spikes_and_votes(noise, voice)
        n_steps = round(until_ms / step_ms)
        spikes.set_data(1000 * times, units)
        left.set_title(f"{len(times):,} spikes")
        order = np.argsort(-votes[n_steps - 1], kind="stable")
        for place, i in enumerate(order):
            color = f"C{place}" if place < N_NAMED else "0.8"
            style = STYLES[place] if place < N_NAMED else "-"
            lines[i].set(color=color, linestyle=style, zorder=3 if place < N_NAMED else 2)
            lines[i].set_data(time_ms[:n_steps], votes[:n_steps, i])
        names = [trained.class_names[i] for i in order[:N_NAMED]]
        counts = votes[n_steps - 1, order[:N_NAMED]]
        labels = [f"{name}: {count:g}" for name, count in zip(names, counts, strict=True)]
        right.legend([lines[i] for i in order[:N_NAMED]], labels, loc="upper left")
        right.set_ylim(0, max(10, 1.05 * votes.max()))
        sound = f"Voice with noise of {100 * noise:.0f} %" if noise else "Voice without noise"
        sound = sound if voice else "Noise alone"
        line = f"{sound}: after {until_ms} ms, {names[0]} has the most votes, {counts[0]:g}"
        figure.suptitle(line, **TITLE)
        return line

    def sound(noise: float, voice: bool, until_ms: int) -> bytes:
        wave = mixed(noise, voice)
        with io.BytesIO() as file:
            soundfile.write(file, 0.9 * wave / np.abs(wave).max(), rate_hz, format="WAV")
            return file.getvalue()

    return explore(
        figure,
        update,
        sound=sound,
        noise=(0.0, 2.0, 0.1),
        voice=True,
        until_ms=(round(step_ms), round(end_ms), round(step_ms)),
    )


@cache
def stored() -> dict[str, Any]:
    """Return four inputs, the network that reads each, and 20 utterances with their spikes."""
    text = FOUR_SIZES.read_text(encoding="utf-8")
    found = json.loads(text[text.index("{") : text.rindex(")")])
    for layers in found["networks"].values():
        for layer in layers:
            weights = np.frombuffer(base64.b64decode(layer["weights"]), np.int8)
            layer["weights"] = weights.reshape(-1, len(layer["biases"]))  # a row for each input
    return found


@cache
def events_of(number: int, size: str) -> np.ndarray:
    """Return where a stored utterance has events in one size, as (units, steps)."""
    png = io.BytesIO(base64.b64decode(stored()["utterances"][number]["spikes"]))
    spikes = plt.imread(png, format="png") > 0  # (channels, milliseconds)
    grid = Downsampling(**stored()["inputs"][size])
    shape = (grid.n_units, grid.pool_units, grid.n_steps, grid.pool_steps)
    last_unit = grid.first_unit + grid.n_units * grid.pool_units
    used = spikes[grid.first_unit : last_unit, : grid.n_steps * grid.pool_steps]
    counts = used.reshape(shape).sum((1, 3))
    return counts >= grid.pool_threshold


@cache
def answer_to(number: int, size: str) -> str:
    """Return what the network of one size answers to a stored utterance.

    A neuron's weights are integers times a scale, so each spike adds a row of them. The site's
    first page computes the same.
    """
    layers = stored()["networks"][size]
    potentials = [np.zeros(len(layer["biases"])) for layer in layers]
    votes = np.zeros(len(stored()["classes"]), int)
    for events in events_of(number, size).T:
        spikes = events
        for layer, potential in zip(layers, potentials, strict=True):
            threshold = layer["threshold"]
            sums = layer["weights"][spikes].sum(0, dtype=int)
            reset = threshold * (potential > threshold)
            current = np.multiply(layer["scales"], sums) + layer["biases"]
            potential[:] = layer["beta"] * potential + current - reset
            spikes = potential > threshold
        votes += spikes
    return stored()["classes"][votes.argmax()]


def _draw_input(axis: Axes, number: int, size: str) -> None:
    """Draw an utterance's input in one size, and the answer of the network that reads it."""
    draw_blocks(axis, events_of(number, size).T, Downsampling(**stored()["inputs"][size]))
    axis.set(xlabel="time (ms)", ylim=(0, N_CHANNELS), aspect="auto")
    answer = answer_to(number, size)
    color = INK if answer == stored()["utterances"][number]["digit"] else WRONG
    axis.set_title(f"{size.partition(',')[0]}: {answer}", color=color)


def one_digit_four_times(number: int) -> Figure:
    """Draw one of the stored utterances in four sizes, with a network's answer to each."""
    figure, axes = plt.subplots(1, 4, figsize=(12, 3), sharey=True)
    for axis, size in zip(axes, stored()["inputs"], strict=True):
        _draw_input(axis, number, size)
    axes[0].set_ylabel(CHANNEL)
    return figure


def four_sizes() -> Figure | None:
    """Shrink an utterance's input, beside the answers to all 20 in the same size.

    Returns
    -------
    Figure or None
        As `explore` does.
    """
    found = stored()
    utterances = found["utterances"]
    numbers = {f"{i}: {each['digit']}": i for i, each in enumerate(utterances, 1)}
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.6))

    def update(size: str = "700 x 1000", utterance: int = 1) -> str:
        _draw_input(left, utterance - 1, size)
        left.set_ylabel(CHANNEL)
        right.clear()
        right.axis("off")
        n_right = 0
        for i, each in enumerate(utterances):
            digit = each["digit"]
            answer = answer_to(i, size)
            n_right += digit == answer
            text = f"{i + 1}: {digit}" + f", answer {answer}" * (digit != answer)
            look = {"color": INK} if digit == answer else {"color": WRONG, "weight": "bold"}
            right.text(i // 10 / 2, 0.95 - i % 10 / 10, text, va="top", **look)
        line = f"{size}: {n_right} of these {len(utterances)} digits are right, "
        line += f"and {found['accuracies'][size]:.0%} over all held-out people"
        figure.suptitle(line, **TITLE)
        return line

    slider = widgets.SelectionSlider(options=[*found["inputs"]])
    return explore(figure, update, size=slider, utterance=numbers)
