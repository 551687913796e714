"""The network: two fully connected layers, each followed by leaky integrate-and-fire neurons."""

from collections.abc import Sequence
from typing import NamedTuple

import snntorch as snn
import torch
from torch import nn

from shd_helpers.surrogates import spike_grad


class Recording(NamedTuple):
    """What the network did at every step; time first.

    The hidden entries hold one tensor per hidden layer where they were asked for, else none.
    """

    spk: torch.Tensor  # (steps, batch, classes) spikes of the output layer
    mem: torch.Tensor  # (steps, batch, classes) membrane potentials before the reset
    hidden_spk: tuple[torch.Tensor, ...] = ()  # (steps, batch, neurons) each
    hidden_mem: tuple[torch.Tensor, ...] = ()


class SpikingNetwork(nn.Module):
    """Fully connected layers of snntorch's `Leaky` neurons (reset by subtraction, threshold 1).

    A layer's current is I = W x + b, its membrane follows
    U[t] = beta U[t-1] + I[t] - (U[t-1] > 1), and it spikes where U[t] > 1.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, hidden neurons (one number a layer), classes.
    beta : float
        Share of the membrane potential that is left after one step, 0..1.
    surrogate : str
        ``"fast_sigmoid"``, ``"atan"`` or ``"sigmoid"``.
    slope : float
        The surrogate's steepness.
    generator : torch.Generator
        Draws the Xavier-uniform weights (biases start at zero).
    """

    def __init__(
        self,
        sizes: Sequence[int],
        beta: float,
        surrogate: str,
        slope: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        if len(sizes) < 2 or min(sizes) < 1:
            raise ValueError(f"sizes {list(sizes)}: give inputs, hidden layers and classes")
        if not 0 <= beta <= 1:
            raise ValueError(f"beta {beta}: must be 0..1")
        self.n_layers = len(sizes) - 1
        for i in range(self.n_layers):
            # skip_init: nn.Linear would draw weights from torch's global generator
            fc = nn.utils.skip_init(nn.Linear, sizes[i], sizes[i + 1])
            nn.init.xavier_uniform_(fc.weight, generator=generator)
            nn.init.zeros_(fc.bias)
            lif = snn.Leaky(beta=beta, spike_grad=spike_grad(surrogate, slope))
            snn.SpikingNeuron.instances.remove(lif)  # snntorch would keep it alive for ever
            self.add_module(f"fc{i + 1}", fc)
            self.add_module(f"lif{i + 1}", lif)

    @property
    def layers(self) -> list[tuple[nn.Linear, snn.Leaky]]:
        """Return the layers in order: (fc1, lif1), (fc2, lif2), ..."""
        names = range(1, self.n_layers + 1)
        return [(getattr(self, f"fc{i}"), getattr(self, f"lif{i}")) for i in names]

    def forward(self, x: torch.Tensor, record_hidden: bool = False) -> Recording:
        """Run all steps from resting potential.

        Parameters
        ----------
        x : Tensor
            Input spikes, shape (steps, batch, inputs).
        record_hidden : bool
            Also keep the hidden layers' spikes and membranes.

        Returns
        -------
        Recording
            Spikes and membranes of every step.
        """
        mem = [x.new_zeros(x.shape[1], fc.out_features) for fc, _ in self.layers]
        spks, mems = [[] for _ in mem], [[] for _ in mem]
        for spk in x.unbind(0):
            for i, (fc, lif) in enumerate(self.layers):
                spk, mem[i] = lif(fc(spk), mem[i])
                if record_hidden or i == self.n_layers - 1:
                    spks[i].append(spk)
                    mems[i].append(mem[i])
        *hidden_spk, spk = [torch.stack(steps) for steps in spks if steps]
        *hidden_mem, mem = [torch.stack(steps) for steps in mems if steps]
        return Recording(spk, mem, tuple(hidden_spk), tuple(hidden_mem))
