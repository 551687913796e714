"""A convolutional network without spikes, trained on the same input, for comparison.

It has what the spiking network lacks: weights shared over units and steps, and real-valued
activations. So its accuracy shows that the downsampled input has at least this much information.
A sweep takes it as a network of one's own: ``network: "../convolutional.py:ConvolutionalNetwork"``.
"""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

CHANNELS = (16, 32, 64)  # of the three convolutions
BLOCK = (6, 3)  # steps x units whose mean is an input of the first convolution
FINAL_SIZE = (6, 7)  # steps x units after the last maximum


class ConvolutionalNetwork(nn.Module):
    """Means over blocks of the input, three convolutions over steps and units, a linear layer.

    Each convolution has windows of 3 x 3, batch normalization and a maximum over 2 x 2. The last
    maximum adapts to the size of the input, and leaves 6 x 7 numbers of each channel.
    """

    def __init__(self, _n_units: int, n_classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.AvgPool2d(BLOCK)]
        n_in = 1
        for n_out in CHANNELS:
            convolution = nn.utils.skip_init(nn.Conv2d, n_in, n_out, 3, padding=1, bias=False)
            nn.init.kaiming_uniform_(convolution.weight, nonlinearity="relu")
            # On a CPU a training step takes half of the time with weights and input in this order.
            convolution.weight.data = convolution.weight.data.to(memory_format=torch.channels_last)
            layers.append(convolution)
            layers.append(nn.BatchNorm2d(n_out))
            # Before ReLU, which then has a quarter of the numbers to compute, for the same result.
            layers.append(nn.MaxPool2d(2))
            layers.append(nn.ReLU())
            n_in = n_out
        layers[-2] = nn.AdaptiveMaxPool2d(FINAL_SIZE)
        self.convolutions = nn.Sequential(*layers)
        self.fc = nn.utils.skip_init(nn.Linear, n_in * FINAL_SIZE[0] * FINAL_SIZE[1], n_classes)
        nn.init.kaiming_uniform_(self.fc.weight)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the class scores of a batch."""
        images = x.transpose(0, 1)[:, None]  # (batch, 1, steps, units)
        means = self.convolutions[0](images)
        means = means.contiguous(memory_format=torch.channels_last)
        return self.fc(self.convolutions[1:](means).flatten(1))


def multiply_accumulates(model: ConvolutionalNetwork, n_steps: int, n_units: int) -> int:
    """Return how many multiply-accumulates an utterance takes."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(torch.zeros(n_steps, 1, n_units))
    return counter.get_total_flops() // 2  # a product and its sum count as two
