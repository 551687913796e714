"""Four panels that show an utterance in a network, up to a time that can be changed."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from torch import nn

from shd_course.figures.style import DOT
from shd_engine.network import LayerStates
from shd_helpers.events.downsampling import Events
from shd_helpers.network.engine import choose_engine
from shd_helpers.network.spiking import SpikingNetwork


class Playback:
    """Panels with input, hidden spikes, output membranes, and class scores up to a given time.

    `size` has units and steps, `colors` those of the legend by their meaning. Empty columns of
    panels at the left are in `beside`.
    """

    def __init__(
        self,
        network: nn.Module,
        size: tuple[int, int],
        class_names: tuple[str, ...],
        step_ms: float,
        colors: dict[str, str],
        columns: int = 0,
    ) -> None:
        assert isinstance(network, SpikingNetwork)  # another network has no scores at each step
        self._network = network
        self.counts_spikes = network.readout == "spikes"
        self._names = class_names
        self._step_ms = step_ms
        n_units, self._n_steps = size
        n_classes = len(class_names)
        self.end_ms = self._n_steps * step_ms
        self._label = ""
        figsize = (10.4 + 3.3 * columns, max(5.4, 0.38 * n_classes))
        self.figure: Figure
        self.figure, axes = plt.subplots(2, 2 + columns, figsize=figsize)
        self.beside: list[Axes] = [*axes[:, :columns].ravel()]
        (inputs, self.membranes), (hidden, self._scores) = axes[:, columns:]
        inputs.set(ylabel="input unit", ylim=(0, n_units))
        hidden.set(ylabel="hidden neuron", ylim=(0, network.layers[-2][0].out_features))
        self._rasters = [axis.plot([], [], **DOT)[0] for axis in (inputs, hidden)]
        time = np.arange(self._n_steps) * step_ms
        self._lines = self.membranes.plot(
            time, np.zeros((len(time), n_classes)), "-", linewidth=0.8
        )
        self.membranes.set(ylabel="membrane\n(thresholds)")
        over_time = (inputs, hidden, self.membranes)
        for axis in (*self.beside, *over_time):
            axis.set(xlabel="time (ms)", xlim=(0, self.end_ms))
        self._nows = [axis.axvline(0, color="C3", linewidth=1) for axis in over_time]
        self._bars = self._scores.barh(range(n_classes), np.zeros(n_classes))
        self._scores.set_yticks(range(n_classes), class_names, fontsize=8)
        self._scores.set(xlabel="class score so far", ylabel="class")
        self._scores.invert_yaxis()  # the first class at the top, as in the other figures
        self._scores.xaxis.set_major_locator(MaxNLocator(4))
        handles = [Patch(color=color, label=label) for label, color in colors.items()]
        self._scores.legend(handles=handles, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)

    def load(self, events: Events, i: int, label: str = "") -> str:
        """Run one utterance through the network, draw it, and return the predicted class."""
        self._states = choose_engine("compiled", self._network).record(self._network, events, [i])
        self._label = label
        spikes = (events.to_frames([i])[:, 0], self._states.hidden_spk[-1][:, 0].numpy())
        for line, spk, unit in zip(self._rasters, spikes, ("events", "spikes"), strict=True):
            steps, neurons = np.nonzero(spk)
            line.set_data(steps * self._step_ms, neurons)
            line.axes.set_title(f"{len(steps):,} {unit}")
        mem = self._states.mem[:, 0].numpy()
        for line, values in zip(self._lines, mem.T, strict=True):
            line.set_ydata(values)
        self.membranes.set_ylim(mem.min() - 0.5, mem.max() + 0.5)
        return self._names[self._scores_until(self._n_steps).argmax()]

    def _scores_until(self, step: int) -> np.ndarray:
        """Return the class scores of the first steps, (classes,)."""
        first = LayerStates(self._states.spk[:step], self._states.mem[:step])
        return self._network.scores(first)[0].numpy()

    def seek(self, until_ms: float) -> tuple[float, str, float]:
        """Show the class scores at a time.

        Returns the time of the last step until then in milliseconds, the class with the highest
        score, and its score.
        """
        step = max(1, min(self._n_steps, int(until_ms / self._step_ms)))
        scores = self._scores_until(step)
        leader = self._names[scores.argmax()]
        now_ms = step * self._step_ms
        colors = dict.fromkeys(self._names, "0.8") | {leader: "C1"} | {self._label: "C0"}
        for name, bar, line, score in zip(
            self._names, self._bars, self._lines, scores, strict=True
        ):
            bar.set(width=score, color=colors[name])
            line.set(color=colors[name], zorder=3 if name in (self._label, leader) else 2)
        self._scores.set_xlim(min(0, scores.min()), max(1, scores.max()) * 1.05)
        self._scores.set_title(f"after {now_ms:.0f} ms")
        for now in self._nows:
            now.set_xdata([now_ms] * 2)
        return now_ms, leader, float(scores.max())
