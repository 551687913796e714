"""The compiled engine: the arithmetic of snntorch's loop, compiled by numba.

snntorch's loop passes over memory once for every operation of every step. The compiled engine takes
one utterance through all steps, the loss and all steps back while its membranes stay in the cache,
and adds a row of weights only where there is an event. Its loops are in `network.kernels`, whose
docstring describes them, and `network.parameter_layout` says where parameters lie in memory. The
results are snntorch's: the same operations in float32, rounded in the same order. Only sums over
inputs, steps and utterances are added up in another order than a matrix product does.

It has a neuron of its own, written without torch, so it knows some classes of layers and neurons
and some of their options. A network that it can't compute runs in snntorch's loop, and a message
gives the reason, from `unsupported_by_compiled_engine`.

There are as many threads as torch has: ``OMP_NUM_THREADS`` in the environment, or the caller's
`torch.set_num_threads`. Nothing is set here, and no bit of a result depends on their number.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from snntorch import Leaky
from torch import nn

from shd_helpers.events.event_lists import Events, checked_utterances
from shd_helpers.network import kernels, module_engine, surrogates
from shd_helpers.network.adaptive import AdaptiveLeaky
from shd_helpers.network.module_engine import Index
from shd_helpers.network.parameter_layout import ParameterLayout, aligned
from shd_helpers.network.spiking import LayerStates, SpikingNetwork, unfamiliar_component

# Neurons x steps x utterances that are worth another thread: starting one takes as long.
WORTH_A_THREAD = 1_000_000
# Most partial sums of a gradient, so that no more threads work on a batch in training. With more,
# adding them up would take longer.
MOST_GROUPS = 16
SMALLEST_GROUP = 4  # utterances


def forward_backward(
    model: SpikingNetwork, events: Events, index: Index
) -> tuple[float, torch.Tensor]:
    """Take a batch forward and back: what zero_grad, the loop over steps and backward() do."""
    index = checked_index(model, events, index)
    layout = ParameterLayout.of(model)
    labels = labels_to_train_with(events, index, layout.layers[-1].n_neurons)
    batch = batch_of(events, index, labels)
    n_groups = min(MOST_GROUPS, -(-len(index) // SMALLEST_GROUP))
    n_workers = workers_for(batch, layout, n_groups)
    results = new_results(batch, layout, n_groups, n_workers, layout.n_parameters)
    compute(batch, layout.pack(model), results, n_workers)
    layout.set_gradients(model, results.gradients.sum(axis=0))  # numpy adds row after row
    return float(results.losses.mean()), torch.from_numpy(results.scores)


def evaluate_batch(
    model: SpikingNetwork, events: Events, index: Index
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a batch forward; count spikes."""
    index = checked_index(model, events, index)
    layout = ParameterLayout.of(model)
    batch = batch_of(events, index)
    n_workers = workers_for(batch, layout, n_groups=len(index))
    results = new_results(batch, layout, len(index), n_workers)
    compute(batch, layout.pack(model), results, n_workers)
    return torch.from_numpy(results.scores), torch.from_numpy(results.n_spikes)


def record(model: SpikingNetwork, events: Events, index: Index) -> LayerStates:
    """Run a batch forward and keep the states, as `SpikingNetwork.record` does."""
    index = checked_index(model, events, index)
    layout = ParameterLayout.of(model)
    batch = batch_of(events, index)
    n_workers = workers_for(batch, layout, n_groups=len(index))
    results = new_results(batch, layout, len(index), n_workers, keep_states=True)
    compute(batch, layout.pack(model), results, n_workers)
    spks = []
    mems = []
    for i, (_, lif) in enumerate(model.layers):
        utterances_first = torch.from_numpy(layout.membranes(i, results.states, events.n_steps))
        mem = utterances_first.transpose(0, 1).contiguous()
        mems.append(mem)
        spks.append((mem - lif.threshold > 0).float())
    return LayerStates(spks[-1], mems[-1], tuple(spks[:-1]), tuple(mems[:-1]))


def checked_index(model: SpikingNetwork, events: Events, index: Index) -> np.ndarray:
    """Return the indices of a batch as an array, after checking that the engine can compute it."""
    if reason := unsupported_by_compiled_engine(model):
        raise ValueError(
            f"The compiled engine can't compute this network: {reason}. Use engine='snntorch'"
        )
    n_inputs = model.layers[0][0].in_features
    n_delays = len(model.delays)
    if events.n_units * n_delays != n_inputs:
        raise ValueError(
            f"The events have {events.n_units} units, but the network was built for "
            f"{n_inputs // n_delays}. Downsample the data as for the network's training, or build "
            f"a network for {events.n_units} units"
        )
    return checked_utterances(index, len(events))


def labels_to_train_with(events: Events, index: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the labels of a batch's utterances."""
    labels = events.labels[index]
    if not (len(labels) and 0 <= labels.min() <= labels.max() < n_classes):
        problem = "the batch has no utterances"
        if len(labels):
            problem = f"the labels are from {labels.min()} to {labels.max()}"
        raise ValueError(
            f"events: {problem}. Training needs utterances with labels from 0 to {n_classes - 1}, "
            "because the network has as many classes"
        )
    return labels


def batch_of(events: Events, index: np.ndarray, labels: np.ndarray | None = None) -> kernels.Batch:
    """Return a batch as the kernels read it, with labels if there is a backward pass."""
    return kernels.Batch(
        steps=events.steps,
        units=events.units,
        offsets=events.offsets,
        utterances=index,
        labels=np.empty(0, np.int64) if labels is None else labels,
        has_labels=labels is not None,
        n_steps=events.n_steps,
    )


def workers_for(batch: kernels.Batch, layout: ParameterLayout, n_groups: int) -> int:
    """Return how many threads shall compute a batch: more for more work."""
    n_states = len(batch.utterances) * layout.n_states(batch.n_steps)
    return max(1, min(n_groups, torch.get_num_threads(), n_states // WORTH_A_THREAD))


def new_results(
    batch: kernels.Batch,
    layout: ParameterLayout,
    n_groups: int,
    n_workers: int,
    n_parameters: int = 0,
    keep_states: bool = False,
) -> kernels.Results:
    """Return memory for the results of a batch."""
    n_utterances = len(batch.utterances)
    n_kept = n_utterances if keep_states else n_workers
    return kernels.Results(
        states=aligned(n_kept, layout.n_states(batch.n_steps)),
        keeps_states=keep_states,
        gradients=aligned(n_groups, n_parameters),
        losses=np.zeros(n_utterances),
        scores=np.zeros((n_utterances, layout.layers[-1].n_neurons), np.float32),
        n_spikes=np.empty((n_utterances, len(layout.layers)), np.int64),
        is_valid=np.empty(n_utterances, np.bool_),
    )


def compute(
    batch: kernels.Batch, network: kernels.Network, results: kernels.Results, n_workers: int
) -> None:
    """Compute a batch, with several threads if it is worth them, and write the results."""
    with ThreadPoolExecutor(max(1, n_workers - 1)) as pool:  # starts threads only when needed
        others = [
            pool.submit(kernels.work, worker, n_workers, batch, network, results)
            for worker in range(1, n_workers)
        ]
        kernels.work(0, n_workers, batch, network, results)
    for other in others:
        other.result()  # raises what the thread has raised
    if not results.is_valid.all():
        raise ValueError(
            "events: some are out of order, or outside of the grid of steps and units. Sort each "
            "utterance's events by step, and check n_steps and n_units"
        )


# The classes of neurons that the compiled engine supports. Subclasses are refused.
COMPILED_NEURONS = (Leaky, AdaptiveLeaky)


def unsupported_by_compiled_engine(model: nn.Module) -> str | None:
    """Say why the compiled engine can't compute a network.

    It computes layers of `Leaky` or `AdaptiveLeaky` neurons with per-neuron, learned or unequal
    betas and thresholds. Each layer may have delays, a surrogate and a slope of its own.
    """
    device = module_engine.device_of(model)
    if device.type != "cpu":
        return f"its parameters are on the device {device}"
    if reason := unsupported_layers(model, COMPILED_NEURONS):
        return reason
    assert isinstance(model, SpikingNetwork)
    compiled = [name for name, each in surrogates.TABLE.items() if each.kind is not None]
    for i, (_, lif) in enumerate(model.layers, start=1):
        name = getattr(lif.spike_grad, "surrogate", None)
        if name not in compiled:
            known = ", ".join(compiled)
            return f"the surrogate of lif{i} is {_surrogate_name(lif)}, not one of {known}"
    return None


def unsupported_layers(model: nn.Module, neurons: tuple[type, ...]) -> str | None:
    """Say what in a network's layers is unknown to a program that knows some classes of neurons."""
    if reason := unfamiliar_component(model, neurons):
        return reason
    assert isinstance(model, SpikingNetwork)
    for i, (fc, lif) in enumerate(model.layers, start=1):
        is_last = i == model.n_layers
        if reason := _unsupported_weights(i, fc, lif) or _unsupported_neurons(i, lif, is_last):
            return reason
    return None


def _surrogate_name(lif: Leaky) -> str:
    """Return how a message calls the surrogate of a layer, such as boxcar."""
    step = lif.spike_grad
    name = getattr(step, "surrogate", getattr(step, "__qualname__", type(step).__name__))
    return str(name).partition(".<locals>")[0]  # snntorch's are functions within functions


def _unsupported_weights(i: int, fc: nn.Linear, lif: Leaky) -> str | None:
    """Say what is unusual about the tensors of layer i, or about how it is called."""
    if not isinstance(fc.weight, nn.Parameter) or fc.bias is None:
        return f"fc{i} is not a plain Linear layer with biases"
    if any(module._forward_hooks or module._forward_pre_hooks for module in (fc, lif)):
        return f"layer {i} has forward hooks"
    tensors = [fc.weight, fc.bias, lif.beta, lif.threshold]
    if isinstance(lif, AdaptiveLeaky):
        per_neuron = [lif.left, lif.from_mem, lif.from_spk]
        if any(tensor.shape != (fc.out_features,) for tensor in per_neuron):
            return f"the adaptation of lif{i} isn't one of {fc.out_features} neurons"
        tensors += per_neuron
    if any(tensor.dtype != torch.float32 and tensor.dim() for tensor in tensors):
        return f"layer {i} is not in float32"
    shapes = {(), (1,), (fc.out_features,)}
    if lif.beta.shape not in shapes or lif.threshold.shape not in shapes:
        return f"the beta or threshold of lif{i} is neither one number nor one per neuron"
    return None


def _unsupported_neurons(i: int, lif: Leaky, is_last: bool) -> str | None:
    """Say which option of snntorch's neurons in layer i the kernels don't have."""
    # Leaky's attribute reset_mechanism can be changed later, but that changes nothing in it.
    is_reset_by_subtraction = lif.state_function.__func__ is Leaky._base_sub and lif.reset_delay
    is_readout = is_last and SpikingNetwork.accumulates_only(lif)
    if not is_reset_by_subtraction and not is_readout:
        return f"lif{i} doesn't subtract its threshold one step after a spike"
    if lif.inhibition or lif.state_quant or lif.init_hidden:
        return f"lif{i} has inhibition, quantized states or hidden states"
    if lif.graded_spikes_factor.requires_grad or (lif.graded_spikes_factor != 1).any():
        return f"the spikes of lif{i} are graded"
    return None
