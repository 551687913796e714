"""What a classification costs a circuit, counted as NeuroBench counts it.

Yik et al. (2025), "The NeuroBench framework for benchmarking neuromorphic computing algorithms and
systems", Nature Communications 16: an accumulate is a spike that meets a weight. The tests compare
these counts with those of the package `neurobench`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from snntorch import Leaky
from torch import nn

from shd_engine.adaptive import AdaptiveLeaky
from shd_engine.network import unfamiliar_component
from shd_helpers.events.downsampling import Events
from shd_helpers.network.engine import choose_engine
from shd_helpers.network.spiking import SpikingNetwork

if TYPE_CHECKING:
    import pandas as pd

BATCH_SIZE = 32  # utterances whose states are kept in memory at once
STATES = {Leaky: 1, AdaptiveLeaky: 2}  # of a neuron, each updated in every step


def uncounted_reason(model: nn.Module) -> str | None:
    """Say what a network does that isn't counted here.

    Without this check, the counts would miss the updates of a second state and the synapses of an
    unknown kind of layer.
    """
    return unfamiliar_component(model, tuple(STATES))


def accumulates(
    synapses: Sequence[np.ndarray], delays: Sequence[int], events: Events, n_spikes: np.ndarray
) -> np.ndarray:
    """Return how often each utterance's events and spikes meet a weight.

    A copy of an event that would arrive after the last step costs nothing, and weights that are
    exactly 0 are no synapses.
    """
    total = _input_accumulates(synapses[0], delays, events)
    # Spikes of a layer meet the synapses of the next one, those of the output layer meet none.
    for next_synapses, spikes in zip(synapses[1:], n_spikes.T, strict=False):
        total += spikes * next_synapses.mean()
    return total


def _input_accumulates(synapses: np.ndarray, delays: Sequence[int], events: Events) -> np.ndarray:
    """Return how often each utterance's events meet a weight of the first layer, (utterances,)."""
    utterance_of = np.repeat(np.arange(len(events)), np.diff(events.offsets))
    total = np.zeros(len(events))
    for k, delay in enumerate(delays):
        in_time = events.steps.astype(np.int64) + delay < events.n_steps
        inputs = events.units[in_time] + k * events.n_units
        total += np.bincount(utterance_of[in_time], synapses[inputs], len(events))
    return total


def network_accumulates(model: SpikingNetwork, events: Events, n_spikes: np.ndarray) -> np.ndarray:
    """Return how often each utterance's events and spikes meet a weight of a network.

    It is `accumulates`, also for networks whose later layers have delays. A copy of a spike that
    would arrive after the last step costs nothing.
    """
    synapses = model.synapse_counts()
    if all(delays == (0,) for delays in model.layer_delays[1:]):
        return accumulates(synapses, model.delays, events, n_spikes)
    total = _input_accumulates(synapses[0], model.delays, events)
    engine = choose_engine("compiled", model)
    for index in _batches(events):
        states = engine.record(model, events, index)
        for i, spk in enumerate(states.hidden_spk, start=1):
            spikes_per_step = spk.detach().cpu().sum(2).numpy()  # (steps, batch)
            delays = model.layer_delays[i]
            by_copy = synapses[i].reshape(len(delays), -1)  # (copies, neurons)
            for delay, synapses_of_copy in zip(delays, by_copy, strict=True):
                in_time = spikes_per_step[: max(0, events.n_steps - delay)]
                total[index] += in_time.sum(0, dtype=np.float64) * synapses_of_copy.mean()
    return total


def _batches(events: Events) -> list[np.ndarray]:
    """Return the indices of all utterances in batches of `BATCH_SIZE`."""
    return np.split(np.arange(len(events)), range(BATCH_SIZE, len(events), BATCH_SIZE))


def late_spikes(model: nn.Module, events: Events) -> np.ndarray:
    """Return how many spikes of each utterance come after its last event.

    A circuit that stops at the last event would save them. A spike in the step of the last event
    itself is not late.
    """
    late = np.zeros(len(events), np.int64)
    last_step = np.full(len(events), -1)  # an utterance without events is over before it begins
    has_events = np.flatnonzero(np.diff(events.offsets))
    last_step[has_events] = events.steps[events.offsets[has_events + 1] - 1]
    engine = choose_engine("compiled", model)
    for index in _batches(events):
        states = engine.record(model, events, index)
        is_late = torch.arange(events.n_steps)[:, None] > torch.from_numpy(last_step[index])
        for spk in (*states.hidden_spk, states.spk):
            spikes_per_step = spk.detach().cpu().sum(2)  # (steps, batch)
            late[index] += (spikes_per_step * is_late).sum(0).numpy().astype(np.int64)
    return late


def costs(model: nn.Module, predictions: "pd.DataFrame", n_steps: int) -> dict:
    """Return what a network costs, and what an utterance costs on average."""
    if reason := uncounted_reason(model):
        raise ValueError(
            f"This network's operations can't be counted: {reason}. The counts know layers of "
            "snntorch's Leaky, whose only state is the membrane, and of AdaptiveLeaky, which has "
            "two. Count what your network adds in shd_helpers/network/operation_counts.py."
        )
    assert isinstance(model, SpikingNetwork)  # see `uncounted_reason`
    tensors = model.state_dict().values()
    spikes = predictions.hidden_spikes + predictions.output_spikes
    n_neurons = sum(fc.out_features for fc, _ in model.layers)
    n_states = sum(fc.out_features * STATES[type(lif)] for fc, lif in model.layers)
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "footprint_bytes": sum(tensor.numel() * tensor.element_size() for tensor in tensors),
        "input_events": float(predictions.input_events.mean()),
        "unrolled_synapses": sum(int(of_layer.sum()) for of_layer in model.synapse_counts()),
        "neuron_updates": n_steps * n_states,
        "effective_acs": float(predictions.effective_acs.mean()),
        "hidden_spikes": float(predictions.hidden_spikes.mean()),
        "late_spikes": float(predictions.late_spikes.mean()),
        "activation_sparsity": float(1 - spikes.mean() / (n_steps * n_neurons)),
    }
