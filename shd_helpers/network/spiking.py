"""The network: fully connected layers, each followed by leaky integrate-and-fire neurons."""

import inspect
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import snntorch as snn
import torch
from torch import nn

from shd_helpers.network.config import STUDY_STEP_MS, NetworkConfig
from shd_helpers.network.surrogates import spike_grad


class LayerStates(NamedTuple):
    """What the network did at every step; time first.

    The hidden entries hold one tensor per hidden layer where they were asked for, else none.
    """

    spk: torch.Tensor  # (steps, batch, classes) spikes of the output layer
    mem: torch.Tensor  # (steps, batch, classes) membrane potentials before the reset
    hidden_spk: tuple[torch.Tensor, ...] = ()  # (steps, batch, neurons) each
    hidden_mem: tuple[torch.Tensor, ...] = ()


class ChannelConv1d(nn.Module):
    """A convolution over the units: at every place neurons see a window, with the same weights.

    Channel c at place p is neuron p n_channels + c and sees the `kernel_size` units from p stride
    on, of every delayed copy; units above the last window are not seen.
    """

    def __init__(
        self, n_units: int, n_delays: int, n_channels: int, kernel_size: int, stride: int
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_channels, n_delays * kernel_size))
        self.bias = nn.Parameter(torch.empty(n_channels))
        self.shape = n_units, n_delays, n_channels, kernel_size, stride
        first = torch.arange(0, n_units - kernel_size + 1, stride)
        seen = torch.arange(n_delays)[:, None] * n_units + torch.arange(kernel_size)
        columns = first[:, None] + seen.flatten()  # (places, delays x kernel_size)
        self.columns: torch.Tensor
        self.register_buffer("columns", columns[:, None].expand(-1, n_channels, -1), False)
        self.in_features, self.out_features = n_delays * n_units, len(first) * n_channels

    def unfolded(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weight (neurons, inputs) and bias (neurons,) of the same layer without sharing."""
        n_places = len(self.columns)
        full = self.weight.new_zeros(n_places, len(self.bias), self.in_features)
        full = full.scatter(2, self.columns, self.weight.expand(n_places, -1, -1))
        return full.flatten(0, 1), self.bias.repeat(n_places)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the currents (batch, neurons) of inputs (batch, inputs)."""
        return nn.functional.linear(x, *self.unfolded())


def weight_and_bias(fc: nn.Linear | ChannelConv1d) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a layer's weight (neurons, inputs) and bias (neurons,), shared ones spread out."""
    return fc.unfolded() if isinstance(fc, ChannelConv1d) else (fc.weight, fc.bias)


class SpikingNetwork(nn.Module):
    """Fully connected layers of snntorch's `Leaky` neurons (threshold 1).

    A layer's current is I = W x + b, its membrane follows
    U[t] = beta U[t-1] + I[t] - (U[t-1] > 1), and it spikes where U[t] > 1. The class scores are the
    output neurons' spike counts, or, with the readout "membrane", the means over the steps of
    membranes that never spike.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, hidden neurons (one number a layer), classes. Where the first layer's neurons have
        a window (`kernel_size`), their number is for every place: see `ChannelConv1d`.
    generator : torch.Generator
        Draws the Xavier-uniform weights (biases start at zero).
    step_ms : float
        Length of a time step; betas keep the time constant that `config` has at 3 ms.
    delays : sequence of int, optional
        Steps by which copies of the input arrive late, instead of those of `config`. Every copy
        has weights of its own, so that a neuron can wait for an early event until a late one is
        there. ValueError, if they don't ascend from 0 upwards.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        config: NetworkConfig,
        generator: torch.Generator,
        step_ms: float = STUDY_STEP_MS,
        delays: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.fc1: nn.Linear | ChannelConv1d
        delays = config.delays(step_ms) if delays is None else tuple(delays)
        if not delays or sorted(set(delays)) != list(delays) or delays[0] < 0:
            raise ValueError(f"delays {list(delays)}: give steps from 0 upwards, ascending")
        self.n_layers, self.readout, self.delays = len(sizes) - 1, config.readout, delays
        self.config = config
        self.members: tuple[SpikingNetwork, ...] = ()  # no modules of this one: see `join`
        beta = config.step_beta(step_ms)
        fc: nn.Linear | ChannelConv1d
        for i in range(self.n_layers):
            if i == 0 and config.kernel_size:
                window = config.kernel_size, config.stride
                fc = ChannelConv1d(sizes[0], len(delays), sizes[1], *window)
            else:
                n_in = fc.out_features if i else sizes[0] * len(delays)
                with torch.random.fork_rng(devices=[]):  # Linear draws from torch's own generator
                    fc = nn.Linear(n_in, sizes[i + 1])
            nn.init.xavier_uniform_(fc.weight, generator=generator)
            nn.init.zeros_(fc.bias)
            is_readout = config.readout == "membrane" and i == self.n_layers - 1
            threshold = float("inf") if is_readout else 1.0
            per_neuron = torch.ones(fc.out_features)
            learn_threshold = config.learn_threshold and not is_readout
            learn_beta = config.learn_beta and not (is_readout and config.ensemble_size > 1)
            lif = snn.Leaky(
                beta=beta * per_neuron if learn_beta else beta,
                threshold=threshold * per_neuron if learn_threshold else threshold,
                learn_beta=learn_beta,
                learn_threshold=learn_threshold,
                reset_mechanism="none" if is_readout else "subtract",
                spike_grad=spike_grad(config.surrogate, config.slope),
            )
            snn.SpikingNeuron.instances.remove(lif)  # snntorch would keep it alive for ever
            self.add_module(f"fc{i + 1}", fc)
            self.add_module(f"lif{i + 1}", lif)

    @torch.no_grad()
    def join(self) -> None:
        """Take the weights of the members, so that the scores are the means of theirs.

        The hidden neurons stand side by side. An output neuron of the readout "membrane" only adds
        up, and with the same beta, so it can add up for all members at once.
        """
        n = len(self.members[0].fc1.bias)  # at a place
        states = [one.state_dict() for one in self.members]
        for name, values in self.state_dict().items():
            each = [state[name] for state in states]
            if name.startswith("fc1"):  # a row for each neuron at a place
                values.copy_(torch.cat(each))
            elif "1." in name and len(each[0].shape) == 1:  # a value for each neuron of all places
                values.copy_(torch.stack(each).unflatten(1, (-1, n)).transpose(0, 1).flatten())
            elif name == "fc2.weight":
                columns = torch.stack(each, 1).unflatten(2, (-1, n))  # classes, members, places, n
                values.copy_(columns.transpose(1, 2).flatten(1) / len(each))
            elif name == "fc2.bias":
                values.copy_(torch.stack(each).mean(0))

    @property
    def layers(self) -> list[tuple[nn.Linear, snn.Leaky]]:
        """Return the layers in order: (fc1, lif1), (fc2, lif2), ..."""
        names = range(1, self.n_layers + 1)
        return [(getattr(self, f"fc{i}"), getattr(self, f"lif{i}")) for i in names]

    @property
    def synapses(self) -> list[np.ndarray]:
        """Return how many weights that aren't 0 each input of a layer meets, (inputs,) by layer."""
        return [(weight_and_bias(fc)[0] != 0).sum(0).numpy() for fc, _ in self.layers]

    @staticmethod
    def accumulates_only(lif: snn.Leaky) -> bool:
        """Tell whether a layer's membranes only add up: no spike, no reset."""
        return lif.state_function.__func__ is snn.Leaky._base_int and bool(
            torch.isinf(lif.threshold).all()
        )

    def scores(self, recording: LayerStates) -> torch.Tensor:
        """Return the class scores, shape (batch, classes)."""
        return recording.mem.mean(0) if self.readout == "membrane" else recording.spk.sum(0)

    def delayed_copies(self, x: torch.Tensor) -> torch.Tensor:
        """Return the input's delayed copies side by side: (steps, batch, delays x inputs)."""
        copies = x.new_zeros(*x.shape[:2], len(self.delays), x.shape[2])
        for k, delay in enumerate(self.delays):
            copies[delay:, :, k] = x[: max(0, len(x) - delay)]
        return copies.flatten(2)

    def forward(self, x: torch.Tensor, record_hidden: bool = False) -> LayerStates:
        """Run all steps from resting potential; return spikes and membranes of every step.

        Parameters
        ----------
        x : Tensor
            Input spikes, shape (steps, batch, inputs).
        record_hidden : bool
            Also keep the hidden layers' spikes and membranes.
        """
        mem = [x.new_zeros(x.shape[1], fc.out_features) for fc, _ in self.layers]
        spks: list[list[torch.Tensor]] = [[] for _ in mem]
        mems: list[list[torch.Tensor]] = [[] for _ in mem]
        for spk in self.delayed_copies(x).unbind(0):
            for i, (fc, lif) in enumerate(self.layers):
                spk, mem[i] = lif(fc(spk), mem[i])
                spks[i].append(spk)
                if record_hidden or i == self.n_layers - 1:
                    mems[i].append(mem[i])
        kept = slice(None if record_hidden else -1, None)
        *hidden_spk, last_spk = [torch.stack(steps) for steps in spks[kept]]
        *hidden_mem, last_mem = [torch.stack(steps) for steps in mems[kept]]
        return LayerStates(last_spk, last_mem, tuple(hidden_spk), tuple(hidden_mem))


# What decides which currents, spikes and scores a network has.
_METHODS = ("forward", "scores", "delayed_copies", "layers", "accumulates_only", "synapses")


def class_name(thing: object) -> str:
    """Return the full name of an object's class, such as ``snntorch._neurons.leaky.Leaky``."""
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def unfamiliar_component(model: nn.Module) -> str | None:
    """Say which part of a network isn't one of the study's own, the first one; None if all are.

    What computes or counts a network without running its Python code (the compiled engine, costs,
    circuits) knows the classes below and no others. A subclass isn't among them, because it may do
    something else or have another state.
    """
    if not isinstance(model, SpikingNetwork):
        return f"it is a {class_name(model)}, not a SpikingNetwork"
    for name in _METHODS:
        if inspect.getattr_static(model, name) is not vars(SpikingNetwork)[name]:
            return f"its {name} is not SpikingNetwork's"
    for i, (fc, lif) in enumerate(model.layers, start=1):
        if type(fc) not in (nn.Linear, ChannelConv1d):
            return f"fc{i} is a {class_name(fc)}, neither a plain Linear layer nor a ChannelConv1d"
        if type(lif) is not snn.Leaky:
            return f"lif{i} is a {class_name(lif)}, not snntorch's Leaky"
        if "forward" in vars(fc) or "forward" in vars(lif):
            return f"the forward of a module in layer {i} was replaced"
    return None
