from torch import nn

from shd_helpers import SpikingNetwork


class SmallGRU(nn.Module):
    """Count the spikes of every nine steps (27 ms), then a GRU; scores from its mean state."""

    def __init__(self, n_units, n_classes):
        super().__init__()
        self.gru = nn.GRU(n_units, 32)
        self.out = nn.Linear(32, n_classes)

    def forward(self, frames):
        counts = frames.unfold(0, 9, 9).sum(-1)
        states, _ = self.gru(counts)
        return self.out(states.mean(0))


def spiking(n_units, n_classes):
    return SpikingNetwork((n_units, 32, n_classes))
