"""The comparison: a small convolutional network without spikes, on the same input, trained alike.

It has what the spiking network lacks, weights shared over units and steps and real-valued
activations, and so tells how much the downsized input still holds. The functions are those of the
engines, so that `training` treats it as any network.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from shd_helpers.events.downsample import Events

CHANNELS = (16, 32, 64)
BLOCK = (6, 3)  # steps x units whose mean the first convolution sees
PLACES = (6, 7)  # what is left in steps and units


class ConvolutionalNetwork(nn.Module):
    """Means over blocks of the input, three convolutions over steps and units, a linear layer.

    Each convolution has windows of 3 x 3, batch normalization and a maximum over 2 x 2; the last
    maximum leaves 6 x 7 places of whatever size there is. The generator draws the weights
    (Kaiming-uniform; biases start at zero).
    """

    def __init__(self, n_classes: int, generator: torch.Generator) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.AvgPool2d(BLOCK)]
        n_in = 1
        for n in CHANNELS:
            convolution = nn.utils.skip_init(nn.Conv2d, n_in, n, 3, padding=1, bias=False)
            nn.init.kaiming_uniform_(convolution.weight, nonlinearity="relu", generator=generator)
            # On a CPU a training step takes half of the time with weights and input in this order.
            convolution.weight.data = convolution.weight.data.to(memory_format=torch.channels_last)
            # the maximum first: a quarter of the numbers is left, and the result is the same
            layers += [convolution, nn.BatchNorm2d(n), nn.MaxPool2d(2), nn.ReLU()]
            n_in = n
        layers[-2] = nn.AdaptiveMaxPool2d(PLACES)
        self.convolutions = nn.Sequential(*layers)
        self.fc = nn.utils.skip_init(nn.Linear, n_in * PLACES[0] * PLACES[1], n_classes)
        nn.init.kaiming_uniform_(self.fc.weight, generator=generator)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return class scores (batch, classes) of an input (steps, batch, units)."""
        means = self.convolutions[0](x.transpose(0, 1)[:, None])
        means = means.contiguous(memory_format=torch.channels_last)
        return self.fc(self.convolutions[1:](means).flatten(1))


def forward_backward(
    model: ConvolutionalNetwork, events: Events, index: Sequence[int] | np.ndarray
) -> tuple[float, torch.Tensor]:
    """Run a batch forward and backward, as `loop.forward_backward`."""
    model.train()
    model.zero_grad()
    scores = model(torch.from_numpy(events.to_frames(index)))
    loss = functional.cross_entropy(scores, torch.from_numpy(events.labels[index]))
    loss.backward()
    return loss.item(), scores.detach()


@torch.no_grad()
def evaluate_batch(
    model: ConvolutionalNetwork, events: Events, index: Sequence[int] | np.ndarray
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return class scores (batch, classes), and the number of spikes (batch, 2): none."""
    model.eval()
    scores = model(torch.from_numpy(events.to_frames(index)))
    return scores, torch.zeros(len(index), 2, dtype=torch.int64)
