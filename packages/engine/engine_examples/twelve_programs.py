"""Twelve small programs as users of snnTorch write them: the structure of its tutorials and others.

`PROGRAMS` has a network and an input of each, small for tests, and at their usual size for the
benchmark.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import snntorch as snn
import torch
from snntorch import surrogate, utils
from torch import nn

from shd_engine.unrolling import Unrolled


class StaticImage(nn.Module):
    """Tutorial 5: the same image in each step."""

    def __init__(self, n_inputs: int, n_hidden: int, n_steps: int = 25) -> None:
        super().__init__()
        self.n_steps = n_steps
        self.fc1 = nn.Linear(n_inputs, n_hidden)
        self.lif1 = snn.Leaky(beta=0.95)
        self.fc2 = nn.Linear(n_hidden, 10)
        self.lif2 = snn.Leaky(beta=0.95)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return spikes and membranes of the last layer."""
        mem1 = self.lif1.init_leaky()
        mem2 = self.lif2.init_leaky()
        spk2_rec = []
        mem2_rec = []
        for step in range(self.n_steps):
            spk1, mem1 = self.lif1(self.fc1(self.input(x, step)), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spk2_rec.append(spk2)
            mem2_rec.append(mem2)
        return torch.stack(spk2_rec, dim=0), torch.stack(mem2_rec, dim=0)

    def input(self, x: torch.Tensor, step: int) -> torch.Tensor:
        """Return what the first layer gets in a step."""
        return x


class FlattenedImage(StaticImage):
    """The quick start: a picture is flattened in each step."""

    def input(self, x: torch.Tensor, step: int) -> torch.Tensor:
        """Return what the first layer gets in a step."""
        return x.view(x.size(0), -1)


class SpikesOverTime(StaticImage):
    """Tutorial 3: spikes that change from step to step."""

    def input(self, x: torch.Tensor, step: int) -> torch.Tensor:
        """Return what the first layer gets in a step."""
        return x[step]


def convolutions(n_channels: int, pooled_first: bool, sizes: tuple[int, int, int]) -> nn.Module:
    """Return the one step of tutorial 6, or of tutorial 7, where neurons come before pooling."""
    first, second, n_flat = sizes
    options = {"beta": 0.5, "spike_grad": surrogate.fast_sigmoid(25), "init_hidden": True}

    def block(n_before: int, n: int) -> list[nn.Module]:
        after = [nn.MaxPool2d(2), snn.Leaky(**options)]
        return [nn.Conv2d(n_before, n, 5), *(after if pooled_first else after[::-1])]

    return nn.Sequential(
        *block(n_channels, first),
        *block(first, second),
        nn.Flatten(),
        nn.Linear(n_flat, 10),
        snn.Leaky(**options, output=True),
    )


def population(n_inputs: int, n_hidden: int, n_outputs: int) -> nn.Module:
    """Return the one step of the tutorial of population coding."""
    return nn.Sequential(
        nn.Linear(n_inputs, n_hidden),
        snn.Leaky(beta=0.9, init_hidden=True),
        nn.Linear(n_hidden, n_outputs),
        snn.Leaky(beta=0.9, init_hidden=True, output=True),
    )


class Regression(nn.Module):
    """The first tutorial of regression: membranes follow a curve."""

    def __init__(self, n_hidden: int) -> None:
        super().__init__()
        self.fc_in = nn.Linear(1, n_hidden)
        self.lif_in = snn.Leaky(
            beta=torch.rand(n_hidden), threshold=torch.rand(n_hidden), learn_beta=True
        )
        self.fc_hidden = nn.Linear(n_hidden, n_hidden)
        self.lif_hidden = snn.Leaky(beta=torch.rand(n_hidden), learn_beta=True)
        self.fc_out = nn.Linear(n_hidden, 1)
        self.li_out = snn.Leaky(beta=torch.rand(1), learn_beta=True, reset_mechanism="none")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the membranes of the last layer, (steps, batch, 1)."""
        mem_1 = self.lif_in.init_leaky()
        mem_2 = self.lif_hidden.init_leaky()
        mem_3 = self.li_out.init_leaky()
        mem_3_rec = []
        for step in range(x.size(0)):
            spk_in, mem_1 = self.lif_in(self.fc_in(x[step, :, :]), mem_1)
            spk_hidden, mem_2 = self.lif_hidden(self.fc_hidden(spk_in), mem_2)
            _, mem_3 = self.li_out(self.fc_out(spk_hidden), mem_3)
            mem_3_rec.append(mem_3)
        return torch.stack(mem_3_rec)


class RecurrentRegression(nn.Module):
    """The second tutorial of regression: recurrent neurons, and membranes as class scores."""

    def __init__(self, n_inputs: int, n_hidden: int, n_steps: int = 25) -> None:
        super().__init__()
        self.n_steps = n_steps
        self.fc1 = nn.Linear(n_inputs, n_hidden)
        self.lif1 = snn.RLeaky(beta=0.9, linear_features=n_hidden)
        self.fc2 = nn.Linear(n_hidden, 10)
        self.lif2 = snn.Leaky(beta=0.9)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the mean membranes of the last layer."""
        spk1, mem1 = self.lif1.init_rleaky()
        mem2 = self.lif2.init_leaky()
        total = 0
        for _ in range(self.n_steps):
            spk1, mem1 = self.lif1(self.fc1(x.flatten(1)), spk1, mem1)
            _, mem2 = self.lif2(self.fc2(spk1), mem2)
            total = total + mem2
        return total / self.n_steps


class TwoSynaptic(nn.Module):
    """Tutorial 4: synaptic neurons."""

    def __init__(self, n_inputs: int, n_hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(n_inputs, n_hidden)
        self.lif1 = snn.Synaptic(alpha=0.9, beta=0.8)
        self.fc2 = nn.Linear(n_hidden, 10)
        self.lif2 = snn.Synaptic(alpha=0.9, beta=0.8, reset_mechanism="zero")

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return spikes and membranes of the last layer."""
        syn1, mem1 = self.lif1.init_synaptic()
        syn2, mem2 = self.lif2.init_synaptic()
        spks, mems = [], []
        for step in x:
            spk1, syn1, mem1 = self.lif1(self.fc1(step), syn1, mem1)
            spk2, syn2, mem2 = self.lif2(self.fc2(spk1), syn2, mem2)
            spks.append(spk2)
            mems.append(mem2)
        return torch.stack(spks), torch.stack(mems)


class HiddenStates(nn.Module):
    """A sequence of layers that keep their states, and a loop around it."""

    def __init__(self, n_inputs: int, n_hidden: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(n_inputs, n_hidden),
            snn.Leaky(beta=0.9, init_hidden=True, reset_mechanism="zero"),
            nn.Linear(n_hidden, 10),
            snn.Leaky(beta=0.9, init_hidden=True, output=True),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return how often each output neuron has spiked."""
        utils.reset(self.net)
        spks = []
        for step in range(x.size(0)):
            spk, _ = self.net(x[step])
            spks.append(spk)
        return torch.stack(spks).sum(dim=0)


class Policy(nn.Module):
    """A policy of reinforcement learning: a last layer without neurons, and several results."""

    def __init__(self, n_inputs: int, n_hidden: int) -> None:
        super().__init__()
        self.encoder = nn.Linear(n_inputs, n_hidden)
        self.lif1 = snn.RLeaky(beta=0.9, linear_features=n_hidden)
        self.actions = nn.Linear(n_hidden, 4)
        self.value = nn.Linear(n_hidden, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return logits of actions and values of states, for (batch, steps, inputs)."""
        spk, mem = self.lif1.reset_mem()
        logits, values = [], []
        for step in range(x.shape[1]):
            spk, mem = self.lif1(torch.tanh(self.encoder(x[:, step])), spk, mem)
            logits.append(self.actions(spk))
            values.append(self.value(spk).squeeze(-1))
        return {"logits": torch.stack(logits, 1), "value": torch.stack(values, 1)}


class Rows(nn.Module):
    """The rows of an image as steps, recurrent neurons, and dropout between layers."""

    def __init__(self, n_inputs: int, n_hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(n_inputs, n_hidden)
        self.lif1 = snn.RLeaky(beta=0.9, linear_features=n_hidden)
        self.dropout = nn.Dropout(0.2)
        self.fc2 = nn.Linear(n_hidden, 10)
        self.lif2 = snn.Leaky(beta=0.9)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the spikes of the last layer, for (batch, rows, columns)."""
        spk1, mem1 = self.lif1.reset_mem()
        mem2 = self.lif2.reset_mem()
        spks = []
        for row in x.unbind(1):
            spk1, mem1 = self.lif1(self.fc1(row), spk1, mem1)
            spk2, mem2 = self.lif2(self.fc2(self.dropout(spk1)), mem2)
            spks.append(spk2)
        return torch.stack(spks)


class Program(NamedTuple):
    """A network and the shape of its input."""

    make: Callable[[], nn.Module]  # as the user wrote it
    shape: tuple[int, ...]
    is_one_step: bool = False  # `engine.unroll` makes the loop
    share: float = 0.0  # of entries that are events; 0 if they are any numbers


SMALL = {
    "tutorial 5": Program(partial(StaticImage, 20, 30, 7), (6, 20)),
    "quick start": Program(partial(FlattenedImage, 20, 30, 7), (6, 1, 4, 5)),
    "tutorial 3": Program(partial(SpikesOverTime, 20, 30, 7), (7, 6, 20), share=0.3),
    "tutorial 6": Program(partial(convolutions, 1, True, (3, 4, 4)), (7, 6, 1, 16, 16), True),
    "tutorial 7": Program(partial(convolutions, 2, False, (3, 4, 4)), (7, 6, 2, 16, 16), True, 0.3),
    "regression": Program(partial(Regression, 12), (9, 6, 1)),
    "recurrent regression": Program(partial(RecurrentRegression, 20, 12, 7), (6, 1, 4, 5)),
    "population coding": Program(partial(population, 20, 30, 15), (7, 6, 20), True),
    "tutorial 4": Program(partial(TwoSynaptic, 20, 30), (7, 6, 20), share=0.3),
    "hidden states": Program(partial(HiddenStates, 20, 30), (7, 6, 20), share=0.3),
    "policy": Program(partial(Policy, 8, 20), (6, 7, 8)),
    "rows": Program(partial(Rows, 8, 20), (6, 9, 8)),
}
USUAL = {
    "tutorial 5": Program(partial(StaticImage, 784, 1000, 25), (128, 784)),
    "quick start": Program(partial(FlattenedImage, 784, 1000, 25), (128, 1, 28, 28)),
    "tutorial 3": Program(partial(SpikesOverTime, 784, 1000, 200), (200, 32, 784), share=0.1),
    "tutorial 6": Program(
        partial(convolutions, 1, True, (12, 64, 1024)), (50, 128, 1, 28, 28), True
    ),
    "tutorial 7": Program(
        partial(convolutions, 2, False, (12, 32, 800)), (30, 128, 2, 34, 34), True, 0.02
    ),
    "regression": Program(partial(Regression, 128), (50, 32, 1)),
    "recurrent regression": Program(partial(RecurrentRegression, 784, 128, 25), (128, 1, 28, 28)),
    "population coding": Program(partial(population, 784, 128, 500), (25, 128, 784), True),
    "tutorial 4": Program(partial(TwoSynaptic, 784, 1000), (100, 32, 784), share=0.1),
    "hidden states": Program(partial(HiddenStates, 784, 128), (50, 128, 784), share=0.1),
    "policy": Program(partial(Policy, 8, 128), (32, 100, 8)),
    "rows": Program(partial(Rows, 28, 128), (128, 28, 28)),
}


def input_of(program: Program, generator: torch.Generator) -> torch.Tensor:
    """Return a random input; a static image is expanded over the steps."""
    if program.share:
        return (torch.rand(program.shape, generator=generator) < program.share).float()
    if program.is_one_step:
        image = torch.rand(program.shape[1:], generator=generator)
        return image.expand(program.shape)
    return torch.rand(program.shape, generator=generator)


def loop_of(program: Program, net: nn.Module) -> nn.Module:
    """Return a network with its loop over the steps, as the user's program has it."""
    return Unrolled(net) if program.is_one_step else net
