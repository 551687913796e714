"""The ceiling: a small convolutional network without spikes, on the same cells, trained alike.

It has what the spiking network lacks, weights shared over units and steps and real-valued
activations, and so tells how much the downsized cells still hold. The functions are those of the
engines, so that `training` treats it as any network.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from shd_helpers.preprocessing import Events

CHANNELS = (16, 32, 64)
KERNELS = (7, 3, 3)
STRIDES = ((3, 3), (2, 2), (2, 2))  # steps, units
PLACES = (8, 4)  # what is left is averaged to so many places in steps and units


class ConvolutionalNetwork(nn.Module):
    """Three convolutions over steps and units, averages over 8 x 4 places, a linear layer.

    Parameters
    ----------
    n_classes : int
        Classes.
    generator : torch.Generator
        Draws the weights (Kaiming-uniform; biases start at zero).
    """

    def __init__(self, n_classes: int, generator: torch.Generator) -> None:
        super().__init__()
        layers, n_in = [], 1
        for n, size, stride in zip(CHANNELS, KERNELS, STRIDES, strict=True):
            convolution = nn.utils.skip_init(
                nn.Conv2d, n_in, n, size, stride, padding=size // 2, bias=False
            )
            nn.init.kaiming_uniform_(convolution.weight, nonlinearity="relu", generator=generator)
            layers += [convolution, nn.BatchNorm2d(n), nn.ReLU()]
            n_in = n
        self.convolutions = nn.Sequential(*layers)
        self.places = nn.AdaptiveAvgPool2d(PLACES)
        self.fc = nn.utils.skip_init(nn.Linear, n_in * PLACES[0] * PLACES[1], n_classes)
        nn.init.kaiming_uniform_(self.fc.weight, generator=generator)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return class scores (batch, classes) of cells (steps, batch, units)."""
        features = self.convolutions(x.transpose(0, 1)[:, None])
        return self.fc(self.places(features).flatten(1))


def step(
    model: ConvolutionalNetwork, events: Events, index: np.ndarray, rate_cost: float = 0.0
) -> tuple[float, torch.Tensor]:
    """Run a batch forward and backward, as `reference.step`; there are no spikes to cost."""
    model.train()
    model.zero_grad()
    scores = model(torch.from_numpy(events.dense(index)))
    loss = functional.cross_entropy(scores, torch.from_numpy(events.labels[index]))
    loss.backward()
    return loss.item(), scores.detach()


@torch.no_grad()
def count_spikes(
    model: ConvolutionalNetwork, events: Events, index: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return class scores (batch, classes), and the number of spikes (batch, 2): none."""
    model.eval()
    scores = model(torch.from_numpy(events.dense(index)))
    return scores, torch.zeros(len(index), 2, dtype=torch.int64)


@torch.no_grad()
def multiply_accumulates(model: ConvolutionalNetwork, n_steps: int, n_units: int) -> int:
    """Return the multiplications of an utterance, batch normalisation left out.

    Parameters
    ----------
    model : ConvolutionalNetwork
        Any.
    n_steps, n_units : int
        Size of the input.
    """
    size, total = torch.tensor([n_steps, n_units]), 0
    for layer in model.convolutions:
        if isinstance(layer, nn.Conv2d):
            size = (size - 1) // torch.tensor(layer.stride) + 1
            total += layer.weight.numel() * int(size.prod())
    return total + model.fc.weight.numel()
