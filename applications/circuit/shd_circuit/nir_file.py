"""The network as a graph that other tools read: NIR, the Neuromorphic Intermediate Representation.

Pedersen et al. (2024), "Neuromorphic intermediate representation", Nature Communications 15:8122.
The graph is input, fc1, lif1, fc2, lif2, output; with input delays, `copies` (a matrix of zeros and
ones) and `delays` stand before fc1. NIR's LIF is a differential equation. Taken in steps of dt it
is v += dt / tau (r I - v), so that tau = dt / (1 - beta) and r = tau / dt give v = beta v + I.
**NIR's neuron resets to a value; ours subtracts the threshold, a step late.** The file has all its
numbers exactly, and says in the metadata what must be subtracted.
"""

import json
import warnings
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
import torch
from snntorch import Leaky
from torch import nn

from shd_circuit.quantize import unsupported_by_circuit
from shd_corpus.files import atomic
from shd_corpus.shd_file import N_CHANNELS
from shd_helpers.events.downsampling import Downsampling
from shd_helpers.network import SpikingNetwork

STEP_S = 1e-4  # what a step is called: snntorch and SpikingJelly take every graph's to be this
UPDATE = (
    "a step: U = beta U + W x + b - threshold * (1 if U was above the threshold in the "
    "step before, else 0); a spike if U > threshold, strictly; beta = 1 - time_step_s / tau"
)
WARNING = (
    "NIR's LIF resets to v_reset. This network was trained with another reset: it subtracts the "
    "threshold one step late, after the leak. Readers that go by NIR's equation give other spikes. "
    "The same spikes come of subtracting threshold / beta at once."
)
UNITS = (
    "tau and delay: seconds of the graph, time_step_s a step; threshold, v_reset, v_leak, weights "
    "and biases: no unit; r: tau / time_step_s, so that a weight is what a spike adds to U"
)


def unwritable_reasons(model: nn.Module) -> list[str]:
    """Return all reasons why a NIR file can't hold a network."""
    if reason := unsupported_by_circuit(model):
        return [reason]
    assert isinstance(model, SpikingNetwork)
    reasons = []
    if model.readout != "spikes":
        reasons.append(f"readout {model.readout!r}: it has no spike counts")
    if model.config.kernel_size:
        reasons.append(f"kernel_size {model.config.kernel_size}: neurons share windows")
    if model.n_layers != 2:
        reasons.append("the file holds one hidden layer")
    for i, (_, lif) in enumerate(model.layers, start=1):
        if not model.accumulates_only(lif):
            reasons += _unwritable_neuron(f"lif{i}", lif)
    return reasons


def _unwritable_neuron(name: str, lif: Leaky) -> list[str]:
    """Return the reasons why the file can't hold a layer's neurons."""
    reasons = []
    beta = lif.beta.detach().clamp(0, 1).numpy()
    threshold = lif.threshold.detach()
    if not (torch.isfinite(threshold) & (threshold > 0)).all():
        reasons.append(f"{name} has a threshold that is not finite, or not above 0")
    if lif.state_function.__func__ is not Leaky._base_sub or not lif.reset_delay:
        reasons.append(f"{name} doesn't subtract its threshold one step after a spike")
    if (beta == 1).any():
        reasons.append(f"{name} has a beta of 1: no time constant is that long")
    elif ((1 - STEP_S / _taus(beta).astype(np.float64)).astype(np.float32) != beta).any():
        reasons.append(f"{name} has a beta that no float32 time constant gives back")
    return reasons


def write_nir(model: nn.Module, grid: Downsampling, path: str | Path) -> None:
    """Write a network as a NIR graph.

    Every neuron parameter is a float32 vector. A warning says what NIR can't express; the file's
    metadata have it, too.

    Parameters
    ----------
    model : SpikingNetwork
        Two fully connected layers with spike counts as class scores, with or without delays.
    grid : Downsampling
        Its input; kept in the metadata.
    path : str or Path
        The HDF5 file. A step is called `STEP_S` there; in the study it lasts `grid.step_ms`.

    Raises
    ------
    ValueError
        If the file can't hold the network; see `unwritable_reasons`.
    """
    if reasons := unwritable_reasons(model):
        raise ValueError(f"NIR can't hold this network: {'; '.join(reasons)}")
    assert isinstance(model, SpikingNetwork)
    warnings.warn(f"{path}: {WARNING}", stacklevel=2)
    nodes = _nodes(model, grid)
    edges = list(pairwise(nodes))  # a chain, in the order of the nodes
    graph = nir.NIRGraph(nodes, edges, metadata=_metadata(grid))
    with atomic(path) as unfinished:
        nir.write(unfinished, graph)


def _metadata(grid: Downsampling) -> dict[str, str | float]:
    """Return what the graph itself can't say."""
    return {
        "time_step_s": STEP_S,
        "step_ms": grid.step_ms,
        "reset": "subtract",
        "update": UPDATE,
        "units": UNITS,
        "input": json.dumps(_input_settings(grid)),
        "class": "the output neuron with most spikes; of several with equally many, the first",
        "warning": WARNING,
    }


def _input_settings(grid: Downsampling) -> dict[str, float]:
    """Return the arguments that make a `Downsampling` again; 700 channels go without saying."""
    settings = asdict(grid)
    if grid.n_channels == N_CHANNELS:
        del settings["n_channels"]
    return settings


def _nodes(model: SpikingNetwork, grid: Downsampling) -> dict[str, nir.NIRNode]:
    """Return the graph's nodes by name, in the order in which they are connected."""
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input({"input": np.array([grid.n_units])})}
    if model.delays != (0,):
        # a copy of the input for each delay, one below the other, then each copy's delay
        copies = np.tile(np.eye(grid.n_units, dtype=np.float32), (len(model.delays), 1))
        delays_s = np.repeat(np.array(model.delays) * STEP_S, grid.n_units)
        nodes["copies"] = nir.Linear(copies)
        nodes["delays"] = nir.Delay(delays_s.astype(np.float32))
    for i, (fc, lif) in enumerate(model.layers, start=1):
        nodes[f"fc{i}"] = nir.Affine(fc.weight.detach().numpy(), fc.bias.detach().numpy())
        nodes[f"lif{i}"] = _neurons(fc, lif)
    n_classes = model.layers[-1][0].out_features
    nodes["output"] = nir.Output({"output": np.array([n_classes])})
    return nodes


def _neurons(fc: nn.Linear, lif: Leaky) -> nir.LIF:
    """Return the node of a layer's neurons, with a value for each of them."""
    tau = _taus(_vector(lif.beta.clamp(0, 1), fc))
    return nir.LIF(
        tau=tau,
        r=tau / np.float32(STEP_S),
        v_leak=np.zeros_like(tau),
        v_reset=np.zeros_like(tau),
        v_threshold=_vector(lif.threshold, fc),
        metadata={"reset": "subtract"},
    )


def _vector(values: torch.Tensor, fc: nn.Linear) -> np.ndarray:
    """Return one value for each neuron of a layer, also where all share one."""
    return values.detach().expand(fc.out_features).contiguous().numpy()


def _taus(betas: np.ndarray) -> np.ndarray:
    """Return the time constants of betas, seconds, float32."""
    return (STEP_S / (1 - betas.astype(np.float64))).astype(np.float32)
