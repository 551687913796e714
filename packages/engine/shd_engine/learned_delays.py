"""Weights whose delays are learned, for the first or any other layer of a `LayeredNetwork`."""

import torch
from torch import nn

NARROWEST = 0.05  # steps; a copy's neighbors then get exp(-200) of its weight, which is 0


class LearnedDelays(nn.Module):
    """Weights, each with a delay that is learned: dilated convolutions with learnable spacings.

    The layer sees `n_delays` copies of its inputs, which are 0, 1, 2, ... steps late. Each weight
    is spread over the copies by a bell curve around its delay. The curve's position and width are
    learned, and so is the weight. After the training, `round` puts each weight on a single copy.
    In a `LayeredNetwork`, its entry of ``layer_delays`` is ``range(n_delays)``.

    Parameters
    ----------
    n_inputs : int
        Units of the input, or neurons of the layer before.
    n_neurons : int
        Neurons after the weights.
    n_delays : int
        The longest delay plus 1, in steps.
    width : float
        The width of all curves at first, in steps: the standard deviation of a Gaussian.

    References
    ----------
    I. Hammouamri, I. Khalfaoui-Hassani and T. Masquelier. Learning delays in spiking neural
    networks using dilated convolutions with learnable spacings. ICLR 2024.
    """

    def __init__(self, n_inputs: int, n_neurons: int, n_delays: int, width: float = 3.0) -> None:
        super().__init__()
        self.in_features = n_inputs * n_delays
        self.out_features = n_neurons
        like = nn.Linear(n_inputs, n_neurons)
        self.strength = like.weight
        self.bias = like.bias
        self.position = nn.Parameter((n_delays - 1) * torch.rand(n_neurons, n_inputs))
        self.width = nn.Parameter(torch.full((n_neurons, n_inputs), width))
        self.n_delays = n_delays

    @property
    def weight(self) -> torch.Tensor:
        """Return the spread weights, (neurons, copies x inputs), as a `nn.Linear` has them."""
        copies = torch.arange(self.n_delays)[:, None]
        position = self.position.clamp(0, self.n_delays - 1)[:, None]
        distance = (copies - position) / self.width.clamp(min=NARROWEST)[:, None]
        shares = torch.softmax(-distance.square() / 2, dim=1)
        return (self.strength[:, None] * shares).flatten(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the currents (batch, neurons) of inputs (batch, copies x inputs)."""
        return nn.functional.linear(x, self.weight, self.bias)

    @torch.no_grad()
    def round(self) -> None:
        """Put each weight on the copy that is nearest to its position."""
        self.position.clamp_(0, self.n_delays - 1).round_()
        self.width.fill_(NARROWEST)
