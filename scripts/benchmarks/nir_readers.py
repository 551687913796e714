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
    """Run a network that takes and returns its state, step by step; return the spike counts."""
    state, counts = None, torch.zeros(())
    for now in x:
        out, state = network(now, state)
        counts = counts + out
    return counts


def snntorch(graph: nir.NIRGraph, x: torch.Tensor) -> torch.Tensor:
    """Read with snntorch's importer."""
    from snntorch.import_nir import import_from_nir

    return with_state(import_from_nir(graph), x)


def spikingjelly(graph: nir.NIRGraph, x: torch.Tensor) -> torch.Tensor:
    """Read with SpikingJelly's importer."""
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    return with_state(import_from_nir(graph, dt=DT), x)


def norse(graph: nir.NIRGraph, x: torch.Tensor) -> torch.Tensor:
    """Read with Norse's importer, told the step."""
    import norse.torch

    return with_state(norse.torch.from_nir(graph, dt=DT), x)


def norse_r_folded(graph: nir.NIRGraph, x: torch.Tensor) -> torch.Tensor:
    """Read with Norse's importer, which ignores r, after r went into weights and biases."""
    for i in (1, 2):
        fc, r = graph.nodes[f"fc{i}"], graph.nodes[f"lif{i}"].r
        fc.weight, fc.bias = fc.weight * r[:, None], fc.bias * r
    return norse(graph, x)


def sinabs(graph: nir.NIRGraph, x: torch.Tensor) -> torch.Tensor:
    """Read with sinabs' importer."""
    from sinabs.nir import from_nir

    network = from_nir(graph, batch_size=x.shape[1])
    return network(x.swapaxes(0, 1).flatten(0, 1)).unflatten(0, x.shape[1::-1]).sum(1)


def sinabs_adapter(graph: nir.NIRGraph, x: torch.Tensor) -> torch.Tensor:
    """Build sinabs layers from the graph by hand: its time constants, its reset."""
    from sinabs.activation import MembraneSubtract, SingleSpike
    from sinabs.layers import LIF

    layers: list[nn.Module] = []
    for i in (1, 2):
        fc, lif = graph.nodes[f"fc{i}"], graph.nodes[f"lif{i}"]
        linear = nn.Linear(*fc.weight.shape[::-1])
        linear.weight.data, linear.bias.data = map(torch.from_numpy, (fc.weight, fc.bias))
        beta = 1 - float(graph.metadata["time_step_s"]) / torch.from_numpy(lif.tau).double()
        threshold = torch.from_numpy(lif.v_threshold)
        # sinabs subtracts at once and lets the rest decay; the study subtracts after the decay
        reset = MembraneSubtract((threshold / beta).float())
        steps = (-1 / beta.log()).float()  # its time constants: exp(-1 / steps) is left
        neurons = LIF(
            tau_mem=steps, spike_threshold=threshold, spike_fn=SingleSpike, reset_fn=reset,
            norm_input=False,
        )  # fmt: skip
        layers += [linear, neurons]
    return nn.Sequential(*layers)(x.swapaxes(0, 1)).sum(1)


def rockpool(graph: nir.NIRGraph, x: torch.Tensor) -> torch.Tensor:
    """Read with Rockpool's importer."""
    from rockpool.nn.modules.torch.nir import from_nir

    network = from_nir(graph)
    out, *_ = network(x.swapaxes(0, 1))
    return out.sum(1)


@torch.no_grad()
def main(reader: str, graph: str, inputs: str, out: str) -> None:
    """Read a graph, run the input, write the counts."""
    x = torch.from_numpy(np.load(inputs)["x"]).float()
    counts = globals()[reader](nir.read(graph), x)
    np.savez(Path(out), counts=counts.detach().numpy())


if __name__ == "__main__":
    main(*sys.argv[1:])
