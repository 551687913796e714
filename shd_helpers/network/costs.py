"""What an answer costs a circuit, counted as NeuroBench counts it.

Yik et al. (2025), "The NeuroBench framework for benchmarking neuromorphic computing algorithms and
systems", Nature Communications 16: an accumulate is a spike that meets a weight. `neurobench` is
the tests' oracle.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from shd_helpers.events.downsample import Events
from shd_helpers.network.convolutional import ConvolutionalNetwork
from shd_helpers.network.engine import Network, choose_engine
from shd_helpers.network.spiking import unfamiliar_component

if TYPE_CHECKING:
    import pandas as pd


def check_counted(model: Network) -> None:
    """Raise ValueError if a network does something that isn't counted here.

    A neuron with a second state would have its updates left out, and other layers their synapses.
    """
    if isinstance(model, ConvolutionalNetwork):
        return
    if reason := unfamiliar_component(model):
        raise ValueError(
            f"This network's operations can't be counted: {reason}. The counts know layers of "
            "snntorch's Leaky, whose only state is the membrane. Count what your network adds in "
            "shd_helpers/network/costs.py."
        )


def accumulates(
    synapses: Sequence[np.ndarray], delays: Sequence[int], events: Events, n_spikes: np.ndarray
) -> np.ndarray:
    """Return how often each utterance's events and spikes meet a weight, shape (utterances,).

    A copy of an event that would arrive after the last step costs nothing, and weights that are
    exactly 0 are no synapses. `synapses` says how many weights each input of a layer meets, by
    layer: (delays x units,), then (neurons,); `delays` are the steps by which copies of events
    arrive late. Spikes, (utterances, layers), count with their neurons' mean number of synapses.
    """
    total, of = np.zeros(len(events)), np.repeat(np.arange(len(events)), np.diff(events.offsets))
    for k, delay in enumerate(delays):
        in_time = events.steps.astype(np.int64) + delay < events.n_steps
        np.add.at(total, of[in_time], synapses[0][events.units[in_time] + k * events.n_units])
    for met, spikes in zip(synapses[1:], n_spikes.T, strict=False):  # the output's meet none
        total += spikes * met.mean()
    return total


def late_spikes(model: Network, events: Events) -> np.ndarray:
    """Return how often each utterance's neurons, hidden and output, spike after its last event.

    In the step of the last event itself a spike is not late. A network without spikes has none: 0.
    Shape (utterances,), int64.
    """
    late = np.zeros(len(events), np.int64)
    if isinstance(model, ConvolutionalNetwork):
        return late
    end = np.full(len(events), -1)  # an utterance without events is over before it begins
    spoken = np.flatnonzero(np.diff(events.offsets))
    end[spoken] = events.steps[events.offsets[spoken + 1] - 1]
    run = choose_engine("fused", model)
    for index in np.split(np.arange(len(events)), range(32, len(events), 32)):
        states = run.record(model, events, index)
        is_late = torch.arange(events.n_steps)[:, None] > torch.from_numpy(end[index])
        for spk in (*states.hidden_spk, states.spk):
            late[index] += (spk.detach().cpu().sum(2) * is_late).sum(0).numpy().astype(np.int64)
    return late


def costs(model: Network, predictions: "pd.DataFrame", n_steps: int, n_units: int) -> dict:
    """Return what the network costs, and an utterance on average.

    Parameters
    ----------
    predictions : DataFrame
        From `evaluation.Evaluation.predictions`.
    n_steps, n_units : int
        Size of the input.

    Returns
    -------
    dict of str to float
        `parameters` (learned numbers), `footprint_bytes` (parameters and constants in float32),
        `input_events` (mean over utterances). With spikes also `unrolled_synapses` (weights that
        are not 0, a shared one counted at each of its places), `neuron_updates` (of a membrane, by
        leak and current: neurons x steps), `effective_acs`, `hidden_spikes`, `late_spikes` (means
        over utterances) and `activation_sparsity` (share of silent neuron-steps, hidden and output
        layers); without spikes `macs`, the multiply-accumulates of an utterance, batch
        normalization left out.

    Raises
    ------
    ValueError
        If the network does something that isn't counted here; see `check_counted`.
    """
    check_counted(model)
    tensors = model.state_dict().values()
    found = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "footprint_bytes": sum(t.numel() * t.element_size() for t in tensors),
        "input_events": float(predictions.input_events.mean()),
    }
    if isinstance(model, ConvolutionalNetwork):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model.eval()(torch.zeros(n_steps, 1, n_units))
        return found | {"macs": counter.get_total_flops() // 2}  # a product and its sum are two
    spikes = predictions.hidden_spikes + predictions.output_spikes
    updates = n_steps * sum(fc.out_features for fc, _ in model.layers)
    synapses = sum(int(met.sum()) for met in model.synapses)
    means = ("effective_acs", "hidden_spikes", "late_spikes")
    found |= {"unrolled_synapses": synapses, "neuron_updates": updates}
    found |= {name: float(predictions[name].mean()) for name in means}
    return found | {"activation_sparsity": float(1 - spikes.mean() / updates)}
