"""The figures of notebook 8: integers beside floats, a broken weight, and disturbances."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shd_course.figures.controls import explore
from shd_course.figures.style import INK, TITLE, legend_above

if TYPE_CHECKING:
    from shd_circuit.folder import Utterance
    from shd_circuit.integer import IntegerNetwork

SIGN = 0x80  # the highest of 8 bits
RIGHT: dict[str, Any] = {"marker": "o", "color": "C0", "linestyle": "none", "label": "right"}
WRONG: dict[str, Any] = {"marker": "X", "color": "C1", "linestyle": "none", "label": "wrong"}

UNTIL_MS = 200  # later than this, the two membranes can't be told apart in a figure
# The kinds of disturbances in each panel; shapes repeat between panels, not within one.
PANELS = {
    "each number is off": {
        "mismatch of weights": "weights",
        "mismatch of thresholds": "thresholds",
        "mismatch of leaks": "leaks",
        "mismatch of all three": "all three",
    },
    "events and hidden neurons": {
        "lost events": "lost events",
        "spurious events": "spurious events",
        "silent neurons": "silent neurons",
        "firing neurons": "firing neurons",
    },
}


def membranes(traces: pd.DataFrame) -> Figure:
    """Draw the membrane of one output neuron in integers and in floats, until they differ.

    The traces are in thresholds, indexed by milliseconds, with a column for each version.
    """
    figure, axis = plt.subplots(figsize=(9, 3.4))
    early = traces[traces.index <= UNTIL_MS]
    for i, (name, values) in enumerate(early.items()):
        axis.plot(values, color=f"C{i}", linestyle=("-", "--")[i], label=name)
        spikes = early.index[values > 1]
        y = 2.4 - 0.35 * i
        axis.plot(spikes, [y] * len(spikes), "|", color=f"C{i}", markersize=12, mew=2)
        if len(spikes):
            arrow = {"arrowstyle": "->", "color": f"C{i}"}
            text = f"first spike, {name}"
            axis.annotate(
                text,
                (spikes[0] - 1, y),
                (spikes[0] - 9, y),
                ha="right",
                va="center",
                arrowprops=arrow,
            )
    axis.axhline(1, color=INK, linewidth=1, linestyle=":", label="threshold")
    axis.set(xlabel="time (ms)", ylabel="membrane (thresholds)", xlim=(0, UNTIL_MS))
    legend_above(axis)
    return figure


def flipped(weight: int, bit: int) -> int:
    """Return a weight of 8 bits, in two's complement, with one of its bits flipped."""
    pattern = (weight & 0xFF) ^ (1 << bit)
    return pattern - 0x100 if pattern & SIGN else pattern


def break_a_weight(
    circuit: "IntegerNetwork",
    utterances: Sequence["Utterance"],
    names: Sequence[str],
    digit: str,
    hidden_neuron: int,
    bit: int,
    shown: int,
) -> Figure | None:
    """Show what a flipped bit of a weight of the output layer does to votes and answers.

    `circuit` has weights of 8 bits there, and `names` are those of its classes. Controls begin
    with a weight, by its digit and hidden neuron, with its bit, and with the utterance `shown`. See
    `explore`.
    """
    spoken = np.array([utterance.label for utterance in utterances])
    said = [f"{i + 1}: {names[label]}" for i, label in enumerate(spoken)]
    places = np.arange(len(names))
    figure, (votes, answers) = plt.subplots(1, 2, figsize=(10, 4.2))
    hidden, output = circuit.layers

    def scores_of(network: "IntegerNetwork") -> np.ndarray:
        return np.array([network.run(each.milliseconds, each.units).scores for each in utterances])

    intact = scores_of(circuit)

    def update(
        digit: str = digit,
        hidden_neuron: int = hidden_neuron,
        bit: int = bit,
        utterance: str = said[shown],
    ) -> str:
        k = list(names).index(digit)
        weight = output.weight.copy()
        weight[k, hidden_neuron] = flipped(int(weight[k, hidden_neuron]), bit)
        broken = replace(circuit, layers=(hidden, replace(output, weight=weight)))
        scores = scores_of(broken)
        i = said.index(utterance)
        votes.clear()
        votes.bar(places - 0.2, intact[i], 0.4, color="0.75", label="intact")
        votes.bar(places + 0.2, scores[i], 0.4, color="C1", hatch="//", label="broken")
        votes.set(ylabel="votes", xlabel=f"class; utterance {utterance}")
        votes.set_xticks(places, names, rotation=45)
        legend_above(votes)
        answers.clear()
        answers.plot(places, places, color="0.75", linestyle="-")
        answer = scores.argmax(axis=1)
        is_right = answer == spoken
        shift = [-0.15 if label in spoken[:j] else 0.15 for j, label in enumerate(spoken)]
        for of_kind, look in ((is_right, RIGHT), (~is_right, WRONG)):
            answers.plot((spoken + shift)[of_kind], answer[of_kind], **look)
        answers.set_xticks(places, names, rotation=45)
        answers.set_yticks(places, names)
        answers.set(xlabel="spoken digit", ylabel="answer", ylim=(-0.5, len(names) - 0.5))
        legend_above(answers)
        numbers = f"{output.weight[k, hidden_neuron]} becomes {weight[k, hidden_neuron]}"
        right = f"{is_right.sum()} of {len(spoken)} answers are right"
        line = f"Bit {bit} of one weight is flipped, {numbers}: {right}"
        figure.suptitle(line, **TITLE)
        return line

    return explore(
        figure,
        update,
        digit=list(names),
        hidden_neuron=(0, output.weight.shape[1] - 1),
        bit=(0, 7),
        utterance=said,
    )


def disturbances(accuracies: pd.Series, undisturbed: float, n_classes: int = 10) -> Figure:
    """Draw accuracy over the strength of each disturbance, in two panels.

    The accuracies are in percent, indexed by kind and strength, a fraction.
    """
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.4), sharey=True)
    for axis, (title, kinds) in zip(axes, PANELS.items(), strict=True):
        _draw_kinds(axis, accuracies, kinds)
        axis.axhline(undisturbed, color="0.4", linewidth=1, linestyle="-")
        axis.axhline(100 / n_classes, color="0.4", linewidth=1, linestyle=":")
        axis.set(title=title, xlabel="strength (%)")
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2)
    few = accuracies["firing neurons"].sort_index().iloc[:1]
    strength = 100 * few.index[0]
    arrow = {"arrowstyle": "->", "color": INK}
    text = f"{strength:g} % of the neurons\nalways fire"
    at = strength, few.iloc[0] + 2
    axes[1].annotate(text, at, (strength, at[1] + 14), va="bottom", arrowprops=arrow)
    axes[0].set(ylabel="accuracy, unseen speakers (%)", ylim=(0, undisturbed + 8))
    return figure


def _draw_kinds(axis: Axes, accuracies: pd.Series, kinds: Mapping[str, str]) -> None:
    """Draw one line for each kind of disturbance over its strength."""
    for i, (kind, label) in enumerate(kinds.items()):
        line = accuracies[kind].sort_index()
        axis.plot(100 * line.index, line, marker="osD^"[i], label=label)
    axis.set_xscale("log")
    strengths = sorted({strength for kind in kinds for strength in accuracies[kind].index})
    axis.set_xticks([100 * each for each in strengths], [f"{100 * each:g}" for each in strengths])
    axis.minorticks_off()
