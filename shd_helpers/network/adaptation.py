"""Adaptation: what membrane and spikes did in the last tenths of a second weakens the current.

As Baronig et al. (2025), "Advancing spatio-temporal processing through adaptation in spiking neural
networks", Nature Communications 16: a new adaptation is fed by the new membrane, which keeps its
oscillations from growing.
"""

import torch
from torch import nn

SPREAD = 2.0  # time constants lie between a half and the double of what is asked for
FROM_MEM, FROM_SPK = 2.4, 4.8  # highest weights at the start


class Adaptation(nn.Module):
    """What the currents of a layer's neurons lose.

    A[t] = left A[t-1] + (1 - left) (from_mem U[t] + from_spk S[t]) of membranes U and spikes S; in
    step t + 1 a neuron's current is less by A[t]. Weights below 0 count as 0.

    Parameters
    ----------
    n : int
        Neurons.
    adapt_ms, step_ms : float
        About the time constant, and the length of a step. Each neuron's own is drawn, uniformly on
        a logarithmic scale, and isn't learned.
    generator : torch.Generator
        Draws it, and the weights that learning starts from.
    """

    def __init__(self, n: int, adapt_ms: float, step_ms: float, generator: torch.Generator) -> None:
        super().__init__()
        drawn = torch.rand(3, n, generator=generator)
        tau_ms = adapt_ms * SPREAD ** (2 * drawn[0] - 1)
        self.left: torch.Tensor
        self.register_buffer("left", torch.exp(-step_ms / tau_ms))
        self.from_mem = nn.Parameter(FROM_MEM * drawn[1])
        self.from_spk = nn.Parameter(FROM_SPK * drawn[2])

    def forward(self, before: torch.Tensor, mem: torch.Tensor, spk: torch.Tensor) -> torch.Tensor:
        """Return the next adaptation, (batch, neurons), from the one before and what they did."""
        fed = self.from_mem.clamp(min=0) * mem + self.from_spk.clamp(min=0) * spk
        return self.left * before + (1 - self.left) * fed
