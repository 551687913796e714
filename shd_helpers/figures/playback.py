"""One utterance's way through a network, as far as a time: four panels that can be changed."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from shd_helpers.events.downsample import Events
from shd_helpers.figures.style import DOT
from shd_helpers.network import answers
from shd_helpers.network.engines.fused import record
from shd_helpers.network.spiking import LayerStates, SpikingNetwork


class Way:
    """Input, hidden spikes, output membranes, and class scores that add up over time.

    Parameters
    ----------
    network : SpikingNetwork
        Trained network with one hidden layer or more; the last one is shown.
    size : tuple of int
        Units and steps of an utterance.
    class_names : sequence of str
        Words, in the order of the classes.
    step_ms : float
        Length of a step, milliseconds.
    columns : int
        Empty columns of panels, left of the way's two.
    """

    def __init__(
        self,
        network: SpikingNetwork,
        size: tuple[int, int],
        class_names: tuple[str, ...],
        step_ms: float,
        columns: int = 0,
    ) -> None:
        self._network, self._names, self._step_ms = network, class_names, step_ms
        self._n_steps, self._word = size[1], ""
        figsize = (10.4 + 3.3 * columns, max(5.4, 0.38 * len(class_names)))
        self.figure: Figure
        self.figure, axes = plt.subplots(2, 2 + columns, figsize=figsize)
        self.beside: list[Axes] = [*axes[:, :columns].ravel()]
        (self._in, self._mem), (self._hidden, self._scores) = axes[:, columns:]
        end_ms, heights = size[1] * step_ms, (size[0], network.layers[-2][0].out_features)
        self._rasters = []
        for axis, label, n in zip(
            (self._in, self._hidden), ("input unit", "hidden neuron"), heights, strict=True
        ):
            self._rasters += axis.plot([], [], **DOT)
            axis.set(xlabel="time (ms)", ylabel=label, xlim=(0, end_ms), ylim=(0, n))
        time, nothing = np.arange(size[1]) * step_ms, np.zeros((size[1], len(class_names)))
        self._membranes = self._mem.plot(time, nothing, "-", linewidth=0.8)
        self._mem.set(xlabel="time (ms)", ylabel="membrane\n(thresholds)", xlim=(0, end_ms))
        self._bars = self._scores.barh(range(len(class_names)), np.zeros(len(class_names)))
        self._scores.set_yticks(range(len(class_names)), class_names, fontsize=8)
        self._scores.set(xlabel="class score so far", ylabel="word")
        timed = (self._in, self._hidden, self._mem)
        self._nows = [axis.axvline(0, color="C3", linewidth=1) for axis in timed]

    def legend(self, **colors: str) -> None:
        """Say above the class scores what colours mean."""
        handles = [Patch(color=color, label=label) for label, color in colors.items()]
        self._scores.legend(handles=handles, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)

    def show(self, events: Events, i: int, word: str = "") -> str:
        """Run utterance `i` and show it; return the answer. `word` is what was said, if known."""
        self._states, self._word = record(self._network, events, [i]), word
        spikes = (events.to_frames([i])[:, 0], self._states.hidden_spk[-1][:, 0].numpy())
        for line, spk in zip(self._rasters, spikes, strict=True):
            steps, neurons = np.nonzero(spk)
            line.set_data(steps * self._step_ms, neurons)
            line.axes.set_title(f"{len(steps):,} spikes")
        mem = self._states.mem[:, 0].numpy()
        for line, values in zip(self._membranes, mem.T, strict=True):
            line.set_ydata(values)
        self._mem.set_ylim(mem.min() - 0.5, mem.max() + 0.5)
        return self._names[answers(self._network.scores(self._states)[0])]

    def title(self, text: str) -> None:
        """Write above the output membranes."""
        self._mem.set_title(text)

    def until(self, until_ms: float) -> tuple[float, str, float]:
        """Add scores up until a time; return that of the step (ms), who leads, and the score."""
        step = max(1, min(self._n_steps, int(until_ms / self._step_ms)))
        if self._states.n_steps is not None:  # later membranes are 0, and no part of a mean
            step = min(step, int(self._states.n_steps[0]))
        kept = LayerStates(self._states.spk[:step], self._states.mem[:step])
        scores = self._network.scores(kept)[0].numpy()
        ahead = self._names[answers(scores)]
        shades = dict.fromkeys(self._names, "0.8") | {ahead: "C1"} | {self._word: "C0"}
        for name, bar, line, score in zip(
            self._names, self._bars, self._membranes, scores, strict=True
        ):
            bar.set(width=score, color=shades[name])
            line.set(color=shades[name], zorder=3 if name in (self._word, ahead) else 2)
        now_ms = step * self._step_ms
        self._scores.set_xlim(min(0, scores.min()), max(1, scores.max()) * 1.05)
        self._scores.set_title(f"after {now_ms:.0f} ms")
        for now in self._nows:
            now.set_xdata([now_ms] * 2)
        return now_ms, ahead, float(scores.max())
