"""Reasons why the compiled engine, or a circuit, can't compute a network.

Both have a neuron of their own, written without torch, so they know some classes of layers and
neurons and some of their options. A network that the compiled engine can't compute runs in
snntorch's loop, and one that a circuit can't compute isn't exported. In both cases a message gives
the reason that is found here.
"""

import torch
from snntorch import Leaky
from torch import nn

from shd_helpers.network import module_engine, surrogates
from shd_helpers.network.adaptive import AdaptiveLeaky
from shd_helpers.network.spiking import SpikingNetwork, unfamiliar_component

# The classes of neurons that the compiled engine and circuits support. Subclasses are refused.
COMPILED_NEURONS = (Leaky, AdaptiveLeaky)
CIRCUIT_NEURONS = (Leaky,)


def unsupported_by_compiled_engine(model: nn.Module) -> str | None:
    """Say why the compiled engine can't compute a network.

    It computes layers of `Leaky` or `AdaptiveLeaky` neurons with per-neuron, learned or unequal
    betas and thresholds. Each layer may have delays, a surrogate and a slope of its own.
    """
    device = module_engine.device_of(model)
    if device.type != "cpu":
        return f"its parameters are on the device {device}"
    if reason := _unsupported_layers(model, COMPILED_NEURONS):
        return reason
    assert isinstance(model, SpikingNetwork)
    compiled = [name for name, each in surrogates.TABLE.items() if each.kind is not None]
    for i, (_, lif) in enumerate(model.layers, start=1):
        name = getattr(lif.spike_grad, "surrogate", None)
        if name not in compiled:
            known = ", ".join(compiled)
            return f"the surrogate of lif{i} is {_surrogate_name(lif)}, not one of {known}"
    return None


def unsupported_by_circuit(model: nn.Module) -> str | None:
    """Say why a circuit can't compute a network.

    Circuits have layers of `Leaky` neurons that are reset by subtraction, delays of the input
    alone, and the readouts "spikes" and "membrane". The surrogate doesn't matter, because only the
    backward pass uses it.
    """
    if reason := _unsupported_layers(model, CIRCUIT_NEURONS):
        return reason
    assert isinstance(model, SpikingNetwork)
    for i, delays in enumerate(model.layer_delays[1:], start=2):
        if delays != (0,):
            return f"layer {i} gets copies of the spikes before it that are {delays} steps late"
    return None


def _unsupported_layers(model: nn.Module, neurons: tuple[type, ...]) -> str | None:
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
