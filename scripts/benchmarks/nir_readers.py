"""What a NIR file becomes in other frameworks; `nir_importers` runs this in an environment each.

Run as ``python nir_readers.py READER FILE.nir INPUT.npz COUNTS.npz``. The input is (steps, batch,
units) zeros and ones; the output neurons' spikes are counted, (batch, classes).
"""

import sys
from collections.abc import Callable
from pathlib import Path

import nir
import numpy as np
import torch
from torch import nn

DT = 1e-4  # seconds, the step that snntorch and SpikingJelly expect


def with_state(network: Callable, x: torch.Tensor) -> torch.Tensor:
    """Run a network that takes and returns its state, step by step.

    Parameters
    ----------
    network : callable
        Takes an input and a state, and returns an output and the next state.
    x : torch.Tensor
        The input, shape (steps, batch, units).

    Returns
    -------
    torch.Tensor
        Spike counts, shape (batch, classes).
    """
    state = None
    counts = torch.zeros(())
    for now in x:
        out, state = network(now, state)
        counts = counts + out
    return counts


def snntorch(graph: nir.NIRGraph, x: torch.Tensor) -> torch.Tensor:
    """Read with snntorch's importer.

    Parameters
    ----------
    graph : nir.NIRGraph
        Of `shd_circuit.write_nir`.
    x : torch.Tensor
        The input, shape (steps, batch, units).

    Returns
    -------
    torch.Tensor
        Spike counts, shape (batch, classes).
    """
    from snntorch.import_nir import import_from_nir

    return with_state(import_from_nir(graph), x)


def spikingjelly(graph: nir.NIRGraph, x: torch.Tensor) -> torch.Tensor:
    """Read with SpikingJelly's importer.

    Parameters
    ----------
    graph : nir.NIRGraph
        Of `shd_circuit.write_nir`.
    x : torch.Tensor
        The input, shape (steps, batch, units).

    Returns
    -------
    torch.Tensor
        Spike counts, shape (batch, classes).
    """
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    return with_state(import_from_nir(graph, dt=DT), x)


def norse(graph: nir.NIRGraph, x: torch.Tensor) -> torch.Tensor:
    """Read with Norse's importer, told the step.

    Parameters
    ----------
    graph : nir.NIRGraph
        Of `shd_circuit.write_nir`.
    x : torch.Tensor
        The input, shape (steps, batch, units).

    Returns
    -------
    torch.Tensor
        Spike counts, shape (batch, classes).
    """
    import norse.torch

    return with_state(norse.torch.from_nir(graph, dt=DT), x)


def norse_r_folded(graph: nir.NIRGraph, x: torch.Tensor) -> torch.Tensor:
    """Read with Norse's importer, which ignores r, after r went into weights and biases.

    Parameters
    ----------
    graph : nir.NIRGraph
        Of `shd_circuit.write_nir`.
    x : torch.Tensor
        The input, shape (steps, batch, units).

    Returns
    -------
    torch.Tensor
        Spike counts, shape (batch, classes).
    """
    for i in (1, 2):
        fc = graph.nodes[f"fc{i}"]
        r = graph.nodes[f"lif{i}"].r
        fc.weight = fc.weight * r[:, None]
        fc.bias = fc.bias * r
    return norse(graph, x)


def sinabs(graph: nir.NIRGraph, x: torch.Tensor) -> torch.Tensor:
    """Read with sinabs' importer.

    Parameters
    ----------
    graph : nir.NIRGraph
        Of `shd_circuit.write_nir`.
    x : torch.Tensor
        The input, shape (steps, batch, units).

    Returns
    -------
    torch.Tensor
        Spike counts, shape (batch, classes).
    """
    from sinabs.nir import from_nir

    network = from_nir(graph, batch_size=x.shape[1])
    return network(x.swapaxes(0, 1).flatten(0, 1)).unflatten(0, x.shape[1::-1]).sum(1)


def sinabs_adapter(graph: nir.NIRGraph, x: torch.Tensor) -> torch.Tensor:
    """Build sinabs layers from the graph by hand: its time constants, its reset.

    Parameters
    ----------
    graph : nir.NIRGraph
        Of `shd_circuit.write_nir`.
    x : torch.Tensor
        The input, shape (steps, batch, units).

    Returns
    -------
    torch.Tensor
        Spike counts, shape (batch, classes).
    """
    from sinabs.activation import MembraneSubtract, SingleSpike
    from sinabs.layers import LIF

    layers: list[nn.Module] = []
    for i in (1, 2):
        fc = graph.nodes[f"fc{i}"]
        lif = graph.nodes[f"lif{i}"]
        n_neurons, n_inputs = fc.weight.shape
        linear = nn.Linear(n_inputs, n_neurons)
        linear.weight.data = torch.from_numpy(fc.weight)
        linear.bias.data = torch.from_numpy(fc.bias)
        beta = 1 - float(graph.metadata["time_step_s"]) / torch.from_numpy(lif.tau).double()
        threshold = torch.from_numpy(lif.v_threshold)
        # sinabs subtracts at once and lets the rest decay; the study subtracts after the decay
        reset = MembraneSubtract((threshold / beta).float())
        steps = (-1 / beta.log()).float()  # its time constants: exp(-1 / steps) is left
        neurons = LIF(
            tau_mem=steps,
            spike_threshold=threshold,
            spike_fn=SingleSpike,
            reset_fn=reset,
            norm_input=False,
        )
        layers += [linear, neurons]
    return nn.Sequential(*layers)(x.swapaxes(0, 1)).sum(1)


def rockpool(graph: nir.NIRGraph, x: torch.Tensor) -> torch.Tensor:
    """Read with Rockpool's importer.

    Parameters
    ----------
    graph : nir.NIRGraph
        Of `shd_circuit.write_nir`.
    x : torch.Tensor
        The input, shape (steps, batch, units).

    Returns
    -------
    torch.Tensor
        Spike counts, shape (batch, classes).
    """
    from rockpool.nn.modules.torch.nir import from_nir

    network = from_nir(graph)
    out, *_ = network(x.swapaxes(0, 1))
    return out.sum(1)


@torch.no_grad()
def main(reader: str, graph: str, inputs: str, out: str) -> None:
    """Read a graph, run the input, write the counts.

    Parameters
    ----------
    reader : str
        A function of this module.
    graph : str
        The NIR file.
    inputs : str
        The ``.npz`` file of the input, `x`.
    out : str
        The ``.npz`` file to write.
    """
    x = torch.from_numpy(np.load(inputs)["x"]).float()
    counts = globals()[reader](nir.read(graph), x)
    np.savez(Path(out), counts=counts.detach().numpy())


if __name__ == "__main__":
    main(*sys.argv[1:])
