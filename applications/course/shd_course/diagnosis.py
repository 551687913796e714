"""Four networks that don't learn: the reader finds out why, and mends them.

Each network differs from a healthy one in one setting of `Settings`. A diagnosis is checked by an
experiment: the network gets the healthy value of the setting that the reader names, and is trained
again. If it learns then, the diagnosis was right.
"""

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter
from scipy import stats

from shd_course.figures.style import DOT, INK, describe, legend_above
from shd_helpers.events import Events
from shd_helpers.network import NetworkConfig, SpikingNetwork, choose_engine
from shd_helpers.study.training import TrainConfig, evaluate, fit

MOST_TRAINING = 100  # utterances: few enough to train a network in seconds
EPOCHS = 12
SHOWN_P = 0.001  # guessing must be this unlikely before a network counts as one that learns
N_MEMBRANES = 3  # hidden neurons whose membranes are drawn


@dataclass(frozen=True)
class Settings:
    """What the broken networks differ in; the defaults are healthy."""

    threshold: float = 1.0  # of the hidden neurons
    hidden_bias: float = 0.0  # current into each hidden neuron at every step, before training
    lr: float = 2e-3  # learning rate of Adam
    labels: str = "true"  # or "shuffled": each training utterance has the label of another one


BROKEN = {
    "A": Settings(hidden_bias=2.0),
    "B": Settings(labels="shuffled"),
    "C": Settings(threshold=500.0),
    "D": Settings(lr=1.0),
}
SETTINGS = tuple(field.name for field in fields(Settings))
HINTS = {
    "A": "Look at the raster: which neurons spike before the first input, and after the last?",
    "B": "The training loss falls, so spikes, gradients and updates work. What is learned that "
    "doesn't help with the validation utterances?",
    "C": "Look at the raster, which is empty, and at the distance of the membranes from the "
    "dashed line.",
    "D": "Raster and membranes look healthy before the training. How does the training loss after "
    "the first epoch compare with guessing? What could make a few updates so harmful?",
}


@dataclass(frozen=True)
class Trial:
    """A network that was trained for a few epochs, and what it did."""

    settings: Settings
    # Of the hidden neurons, for one utterance before the training, (steps, neurons)
    hidden_spk: np.ndarray
    hidden_mem: np.ndarray
    train_loss: list[float]  # after each epoch
    validation_loss: list[float]
    n_right: int  # validation utterances that are classified correctly at the end
    n_validation: int
    n_classes: int
    step_ms: float

    @property
    def beats_guessing(self) -> bool:
        """Whether guessing would rarely be right as often."""
        test = stats.binomtest(
            self.n_right, self.n_validation, 1 / self.n_classes, alternative="greater"
        )
        return bool(test.pvalue < SHOWN_P)

    @property
    def learns(self) -> bool:
        """Whether the network is better than guessing, by its accuracy and by its loss."""
        return self.beats_guessing and bool(self.validation_loss[-1] < np.log(self.n_classes))

    def __str__(self) -> str:
        """Return the accuracy, and whether that is learning."""
        guessing, loss = np.log(self.n_classes), self.validation_loss[-1]
        accuracy = f"{100 * self.n_right / self.n_validation:.0f} % right, loss {loss:.2f}"
        if self.learns:
            return f"{accuracy}: it learns"
        if not self.beats_guessing:
            return f"{accuracy}: no better than guessing"
        return (
            f"{accuracy}: right more often than by guessing, but so sure of its wrong answers that "
            f"its loss is above that of guessing, {guessing:.2f}"
        )


def train(settings: Settings, training: Events, validation: Events, seed: int = 0) -> Trial:
    """Train the study's network for a few epochs, with settings that may be broken.

    At most `MOST_TRAINING` of the training utterances are used.
    """
    rng = np.random.default_rng(seed)
    few = training.take(rng.permutation(len(training))[:MOST_TRAINING])
    if settings.labels == "shuffled":
        few = replace(few, labels=rng.permutation(few.labels))
    generator = torch.Generator().manual_seed(seed)
    config = NetworkConfig(readout="membrane")
    sizes = training.n_units, config.n_hidden, len(training.class_names)
    model = SpikingNetwork(sizes, config, generator, training.step_ms)
    fc1, lif1 = model.layers[0]
    with torch.no_grad():
        lif1.threshold.fill_(settings.threshold)
        fc1.bias.fill_(settings.hidden_bias)
    recording = choose_engine("compiled", model).record(model, validation, np.array([0]))
    plan = TrainConfig(epochs=EPOCHS, batch_size=8, lr=settings.lr, lr_step=EPOCHS)
    with contextlib.redirect_stdout(io.StringIO()):  # one line for each epoch
        history = fit(model, few, validation, plan, generator)
    evaluation = evaluate(model, validation)
    return Trial(
        settings=settings,
        hidden_spk=recording.hidden_spk[0][:, 0].numpy() > 0,
        hidden_mem=recording.hidden_mem[0][:, 0].numpy(),
        train_loss=[epoch["train_loss"] for epoch in history],
        validation_loss=[epoch["validation_loss"] for epoch in history],
        n_right=int((evaluation.answers == validation.labels).sum()),
        n_validation=len(validation),
        n_classes=len(training.class_names),
        step_ms=training.step_ms,
    )


class BrokenNetworks:
    """Four networks that don't learn, trained for a few epochs, and what the reader says of them.

    Each network is trained when the object is made, and a line is printed for it.

    Parameters
    ----------
    training, validation : Events
        The utterances.
    """

    def __init__(self, training: Events, validation: Events) -> None:
        self._training = training
        self._validation = validation
        self.trials: dict[str, Trial] = {}
        for name, settings in BROKEN.items():
            self.trials[name] = train(settings, training, validation)
            print(f"network {name}: {self.trials[name]}")

    def draw(self) -> Figure:
        """Draw raster, membranes and losses, one row for each network.

        Returns
        -------
        Figure
            Closed, so that a notebook shows it once.
        """
        figure, axes = plt.subplots(
            len(self.trials), 3, figsize=(11, 2.2 * len(self.trials)), squeeze=False, sharex="col"
        )
        for row, (name, trial) in zip(axes, self.trials.items(), strict=True):
            _draw_raster(row[0], trial)
            row[0].set_ylabel(f"network {name}\nhidden neuron")
            _draw_membranes(row[1], trial)
            _draw_losses(row[2], trial)
        axes[0, 0].set_title("hidden spikes before training", loc="left")
        legend_above(axes[0, 1], f"{N_MEMBRANES} membranes")
        legend_above(axes[0, 2], "")
        for axis, label in zip(axes[-1], ("time (ms)", "time (ms)", "epoch"), strict=True):
            axis.set_xlabel(label)
        title = "Four networks that don't learn, each for a reason of its own"
        figure.suptitle(title)
        describe(figure, title)
        plt.close(figure)
        return figure

    def check(self, faults: Mapping[str, str | None]) -> None:
        """Mend the setting that the reader suspects in each network, and print whether it learns.

        Parameters
        ----------
        faults : mapping of str to str
            For each network the name of a setting, or None if there is no answer yet.
        """
        for name, broken in BROKEN.items():
            fault = faults.get(name)
            if fault is None:
                print(f"network {name}: not tried yet.")
            elif fault not in SETTINGS:
                choices = ", ".join(SETTINGS)
                print(f"network {name}: {fault!r} isn't a setting. Choose from: {choices}.")
            else:
                trial = train(mended(broken, fault), self._training, self._validation)
                wrong = f"Something else is broken. {HINTS[name]}"
                verdict = "Right." if trial.learns else wrong
                print(f"network {name} with healthy {fault}: {trial}. {verdict}")

    @staticmethod
    def solution() -> None:
        """Print which setting of each network is broken."""
        for name, broken in BROKEN.items():
            (fault,) = [each for each in SETTINGS if mended(broken, each) != broken]
            print(f"network {name}: {fault}")


def _draw_raster(axis: Axes, trial: Trial) -> None:
    """Draw one dot for each hidden spike."""
    steps, neurons = np.nonzero(trial.hidden_spk)
    n_steps, n_neurons = trial.hidden_spk.shape
    axis.plot(steps * trial.step_ms, neurons, **DOT | {"markersize": 1})
    axis.set(xlim=(0, n_steps * trial.step_ms), ylim=(0, n_neurons))


def _draw_membranes(axis: Axes, trial: Trial) -> None:
    """Draw the membrane potentials of some hidden neurons, and their threshold."""
    time_ms = trial.step_ms * np.arange(len(trial.hidden_mem))
    for neuron in range(N_MEMBRANES):
        axis.plot(time_ms, trial.hidden_mem[:, neuron], "-", linewidth=0.8)
    threshold = trial.settings.threshold
    axis.axhline(threshold, color=INK, linestyle="--", linewidth=1, label="threshold")
    axis.set(xlim=(0, time_ms[-1]), ylabel="membrane potential")
    lowest, highest = axis.get_ylim()
    axis.set_ylim(min(0, lowest), highest)  # so that the threshold is in the picture


def _draw_losses(axis: Axes, trial: Trial) -> None:
    """Draw training and validation loss after each epoch, beside the loss of guessing."""
    epochs = range(1, 1 + len(trial.train_loss))
    axis.plot(epochs, trial.train_loss, label="training")
    axis.plot(epochs, trial.validation_loss, label="validation")
    guessing = np.log(trial.n_classes)
    axis.axhline(guessing, color=INK, linestyle=":", linewidth=1, label="guessing")
    # The axis has at least a decade, so that a loss that hardly moves looks flat.
    largest = max(10.0, 1.3 * max(*trial.train_loss, *trial.validation_loss))
    smallest = min(1.0, *trial.train_loss, *trial.validation_loss)
    axis.set(ylabel="loss (nats)", yscale="log", ylim=(smallest, largest))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))


def mended(settings: Settings, name: str) -> Settings:
    """Return settings in which one setting has its healthy value."""
    return replace(settings, **{name: getattr(Settings(), name)})
