"""Stopping early: decide before the last step, with integers only.

What an output neuron fires after the word's end comes of biases, its own and the hidden neurons':
nearly the same votes for every word. They are no news, but training counted on them, so that they
can't just be left out. A circuit that stops with r steps to go therefore adds the bias votes of r
steps, from a table; the class with most votes is the answer, the lowest of several with equally
many.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
import pandas as pd

from hardware.integer import IntegerNetwork
from shd_helpers.checks import check_whole
from shd_helpers.events.downsample import Events
from shd_helpers.network import answers
from shd_helpers.network.costs import event_accumulates
from shd_helpers.network.engines import fused
from shd_helpers.network.spiking import SpikingNetwork

CHUNK = 64  # utterances whose states are kept at a time


@dataclass(frozen=True)
class Rule:
    """When to stop: at the end of the first step in which one of the two holds, once an event came.

    With both 0 all steps are run.
    """

    margin: int = 0  # votes by which the first class leads the second, table included; 0: never
    silence: int = 0  # steps without an input event; 0: never

    def __post_init__(self) -> None:
        """Refuse what is no rule."""
        check_whole("margin", self.margin, 0)
        check_whole("silence", self.silence, 0)


@dataclass(frozen=True)
class Progress:
    """What a network has done by the end of each step."""

    votes: np.ndarray  # (utterances, steps, classes) int64, output spikes so far
    silence: np.ndarray  # (utterances, steps) int64, steps since the last event; -1: none yet
    accumulates: np.ndarray  # (utterances, steps), events and spikes that met a weight so far
    bias_votes: np.ndarray  # (steps + 1, classes) int64, row r: the votes of r steps without input
    neurons: int

    @cached_property
    def totals(self) -> np.ndarray:
        """Return the votes with the table's for the steps to go, as `votes`."""
        return self.votes + self.bias_votes[: self.votes.shape[1]][::-1]

    @cached_property
    def leads(self) -> np.ndarray:
        """Return by how many votes the first class leads the second, as `silence`."""
        first_two = np.partition(self.totals, -2, axis=2)
        return first_two[..., -1] - first_two[..., -2]

    def stop(self, rule: Rule) -> tuple[np.ndarray, np.ndarray]:
        """Return when a rule stops each utterance, and the answers.

        Parameters
        ----------
        rule : Rule
            The rule.

        Returns
        -------
        steps : ndarray
            Steps that were run, shape (utterances,), int64, at least 1.
        answers : ndarray
            Classes, shape (utterances,), int64.
        """
        stops = np.zeros(self.silence.shape, bool)
        stops[:, -1] = True
        if rule.margin:
            stops |= (self.leads >= rule.margin) & (self.silence >= 0)
        if rule.silence:
            stops |= self.silence >= rule.silence
        at = stops.argmax(1)
        return at + 1, answers(self.totals[np.arange(len(at)), at])

    def measure(self, rule: Rule, labels: np.ndarray) -> dict[str, float]:
        """Return accuracy (fraction) and mean costs of an utterance under a rule.

        Parameters
        ----------
        rule : Rule
            The rule.
        labels : ndarray
            Classes, shape (utterances,).

        Returns
        -------
        dict
            `accuracy`, `steps`, `accumulates`, `neuron_updates` (neurons times steps); not a number
            where there is no utterance.
        """
        if not len(labels):
            return dict.fromkeys(("accuracy", "steps", "accumulates", "neuron_updates"), np.nan)
        steps, answers = self.stop(rule)
        done = self.accumulates[np.arange(len(steps)), steps - 1]
        return {
            "accuracy": float(np.mean(answers == labels)),
            "steps": float(steps.mean()),
            "accumulates": float(done.mean()),
            "neuron_updates": float(self.neurons * steps.mean()),
        }

    def take(self, index: np.ndarray) -> "Progress":
        """Return the progress of the utterances `index`, numbers or booleans (utterances,)."""
        parts = {name: getattr(self, name)[index] for name in ("votes", "silence", "accumulates")}
        return replace(self, **parts)


def bias_votes(model: SpikingNetwork | IntegerNetwork, n_steps: int) -> np.ndarray:
    """Return the table of votes that come of the biases alone.

    Parameters
    ----------
    model : SpikingNetwork or IntegerNetwork
        Trained.
    n_steps : int
        Steps of an utterance.

    Returns
    -------
    ndarray
        Shape (n_steps + 1, classes), int64. Row r has the output spikes of the last r of `n_steps`
        steps without input.
    """
    n_units = len(model.synapses[0]) // len(model.delays)
    none, one = np.empty(0, np.uint16), np.zeros(1, np.int64)
    silent = Events(none, none, np.zeros(2, np.int64), one, one, (), n_steps, n_units)
    _, spikes = next(_spikes(model, silent))
    return np.concatenate([np.zeros_like(spikes[:1]), np.cumsum(spikes[::-1], axis=0)])


def follow(model: SpikingNetwork | IntegerNetwork, events: Events) -> Progress:
    """Run utterances and keep what the network has done by the end of each step.

    Parameters
    ----------
    model : SpikingNetwork or IntegerNetwork
        Trained, of two layers; class scores are spike counts.
    events : Events
        Utterances.

    Returns
    -------
    Progress
        Of all steps.

    Raises
    ------
    ValueError
        If the network has other than two layers, its class scores are no spikes, or its engine
        can't compute it.
    """
    if isinstance(model, SpikingNetwork) and model.readout != "spikes":
        raise ValueError(f"readout {model.readout!r}: there are no votes without output spikes")
    if len(model.layers) != 2:
        raise ValueError(f"{len(model.layers)} layers: only networks of two are followed")
    n, n_steps, synapses = len(events), events.n_steps, model.synapses
    table = bias_votes(model, n_steps)
    votes = np.zeros((n, n_steps, table.shape[1]), np.int64)
    accumulates = event_accumulates(synapses[0], model.delays, events)
    for i, (hidden, output) in enumerate(_spikes(model, events)):
        votes[i] = output.cumsum(0)
        accumulates[i] += hidden @ synapses[1]
    of, last = np.repeat(np.arange(n), np.diff(events.offsets)), np.full((n, n_steps), -1)
    last[of, events.steps] = events.steps
    last = np.maximum.accumulate(last, axis=1)
    silence = np.where(last < 0, -1, np.arange(n_steps) - last)
    n_neurons = len(synapses[1]) + votes.shape[2]
    return Progress(votes, silence, accumulates.cumsum(1), table, n_neurons)


def _spikes(
    model: SpikingNetwork | IntegerNetwork, events: Events
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield each utterance's hidden and output spikes, (steps, neurons) int64 each."""
    if isinstance(model, IntegerNetwork):
        for low, high in pairwise(events.offsets):
            spk = model.run_pooled(events.steps[low:high], events.units[low:high]).spk
            yield spk[0].astype(np.int64), spk[1].astype(np.int64)
        return
    for low in range(0, len(events), CHUNK):
        index = np.arange(low, min(low + CHUNK, len(events)))
        states = fused.record(model, events, index)
        for b in range(len(index)):
            yield states.hidden_spk[0][:, b].long().numpy(), states.spk[:, b].long().numpy()


def recommend(table: pd.DataFrame, loss: float = 0.005) -> Rule:
    """Return the rule with fewest steps that costs little, by validation utterances alone.

    Parameters
    ----------
    table : DataFrame
        A row a run and rule, with `margin`, `silence`, `validation_accuracy` and
        `validation_steps`; both 0 among the rules.
    loss : float
        Accuracy that may be lost against running all steps, in the mean over runs; a fraction.
    """
    means = table.groupby(["margin", "silence"])[["validation_accuracy", "validation_steps"]].mean()
    least = means.loc[(0, 0), "validation_accuracy"] - loss - 1e-12
    good = means[means.validation_accuracy >= least]
    margin, silence = good.validation_steps.idxmin()
    return Rule(int(margin), int(silence))
