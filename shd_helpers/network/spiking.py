"""The spiking network: layers of weights, each followed by leaky integrate-and-fire neurons."""

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
    """The spikes and membrane potentials of a network at every step; time first.

    The hidden entries have one tensor for each hidden layer if they were asked for, else none.
    """

    spk: torch.Tensor  # (steps, batch, classes) spikes of the output layer
    mem: torch.Tensor  # (steps, batch, classes) membrane potentials before the reset
    hidden_spk: tuple[torch.Tensor, ...] = ()  # (steps, batch, neurons) each
    hidden_mem: tuple[torch.Tensor, ...] = ()  # (steps, batch, neurons) each

    def cpu(self) -> "LayerStates":
        """Return the same states on the CPU, without a path to gradients.

        Returns
        -------
        LayerStates
            For figures and files.
        """
        return LayerStates(
            self.spk.detach().cpu(),
            self.mem.detach().cpu(),
            tuple(spk.detach().cpu() for spk in self.hidden_spk),
            tuple(mem.detach().cpu() for mem in self.hidden_mem),
        )


class ChannelConv1d(nn.Module):
    """A convolution over the input channels: in each window, neurons share the same weights.

    A fully connected layer has a weight for each pair of input and neuron. Here a neuron sees only
    a window of `kernel_size` neighboring units, of every delayed copy of the input, and the same
    weights are used in all windows. Window p begins at unit p stride; units above the last window
    are not seen. Channel c of window p is neuron p n_channels + c.

    Parameters
    ----------
    n_units : int
        Units of the input, without delayed copies.
    n_delays : int
        Delayed copies of the input, the one without a delay included.
    n_channels : int
        Neurons in each window.
    kernel_size : int
        Units in a window.
    stride : int
        Units from the beginning of one window to that of the next.
    """

    def __init__(
        self, n_units: int, n_delays: int, n_channels: int, kernel_size: int, stride: int
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_channels, n_delays * kernel_size))
        self.bias = nn.Parameter(torch.empty(n_channels))
        self.shape = n_units, n_delays, n_channels, kernel_size, stride
        first_units = torch.arange(0, n_units - kernel_size + 1, stride)
        copies = torch.arange(n_delays)[:, None] * n_units
        seen_by_first = (copies + torch.arange(kernel_size)).flatten()
        inputs = first_units[:, None] + seen_by_first  # (windows, delays x kernel_size)
        self.columns: torch.Tensor  # (windows, channels, delays x kernel_size): of `unfolded`
        self.register_buffer(
            "columns", inputs[:, None].expand(-1, n_channels, -1), persistent=False
        )
        self.in_features = n_delays * n_units
        self.out_features = len(first_units) * n_channels

    def unfolded(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the weight and bias of a fully connected layer that computes the same.

        Returns
        -------
        weight : Tensor
            (neurons, inputs), zero outside of a neuron's window.
        bias : Tensor
            (neurons,).
        """
        n_windows = len(self.columns)
        full = self.weight.new_zeros(n_windows, len(self.bias), self.in_features)
        full = full.scatter(2, self.columns, self.weight.expand(n_windows, -1, -1))
        return full.flatten(0, 1), self.bias.repeat(n_windows)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the currents (batch, neurons) of inputs (batch, inputs).

        Parameters
        ----------
        x : Tensor
            (batch, delays x units).

        Returns
        -------
        Tensor
            (batch, windows x channels).
        """
        return nn.functional.linear(x, *self.unfolded())


def weight_and_bias(fc: nn.Linear | ChannelConv1d) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a layer's weight and bias; shared weights are repeated for each window.

    Parameters
    ----------
    fc : Linear or ChannelConv1d
        The layer.

    Returns
    -------
    weight : Tensor
        (neurons, inputs).
    bias : Tensor
        (neurons,).
    """
    return fc.unfolded() if isinstance(fc, ChannelConv1d) else (fc.weight, fc.bias)


class SpikingNetwork(nn.Module):
    """Layers of leaky integrate-and-fire neurons (snntorch's `Leaky`) that classify spike trains.

    A layer's current is I = W x + b. Its membrane potential follows
    U[t] = beta U[t-1] + I[t] - threshold (U[t-1] > threshold), and it spikes where
    U[t] > threshold. Thresholds are 1 at first. The class scores are the output neurons' spike
    counts. With the readout "membrane" they are the means over the steps of the output neurons'
    membrane potentials; these neurons never spike.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, hidden neurons (a number for each hidden layer), classes. With shared weights
        (`kernel_size`), the number for the first layer is that of each window: see `ChannelConv1d`.
    config : NetworkConfig
        Neurons, surrogate, readout, delays and windows. `n_hidden`, `ensemble_size` and `network`
        are for `build_network`.
    generator : torch.Generator
        Draws the Xavier-uniform weights. Biases start at zero.
    step_ms : float
        Length of a time step. Betas keep the time constant that `config` has at 3 ms.
    delays : sequence of int, optional
        Steps by which copies of the input arrive late, instead of those of `config`. Every copy
        has weights of its own, so that a neuron can wait for an early event until a late one is
        there.

    Attributes
    ----------
    ensemble_members : tuple of SpikingNetwork
        The networks whose mean this one computes; empty if it is no ensemble. They are no
        submodules: see `network.ensemble`.

    Raises
    ------
    ValueError
        If the delays don't ascend from 0 upwards.
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
        self.n_layers = len(sizes) - 1
        self.readout = config.readout
        self.delays = delays
        self.config = config
        self.ensemble_members: tuple[SpikingNetwork, ...] = ()
        n_inputs = sizes[0] * len(delays)
        for i in range(self.n_layers):
            fc: nn.Linear | ChannelConv1d
            if i == 0 and config.kernel_size:
                fc = ChannelConv1d(
                    sizes[0], len(delays), sizes[1], config.kernel_size, config.stride
                )
            else:
                # Linear draws weights, which are replaced below, from torch's global generator
                with torch.random.fork_rng(devices=[]):
                    fc = nn.Linear(n_inputs, sizes[i + 1])
            nn.init.xavier_uniform_(fc.weight, generator=generator)
            nn.init.zeros_(fc.bias)
            is_last = i == self.n_layers - 1
            lif = _neurons(fc.out_features, config, config.step_beta(step_ms), is_last)
            self.add_module(f"fc{i + 1}", fc)
            self.add_module(f"lif{i + 1}", lif)
            n_inputs = fc.out_features

    @property
    def layers(self) -> list[tuple[nn.Linear, snn.Leaky]]:
        """Return the layers in order: (fc1, lif1), (fc2, lif2), ..."""
        numbers = range(1, self.n_layers + 1)
        return [(getattr(self, f"fc{i}"), getattr(self, f"lif{i}")) for i in numbers]

    @property
    def synapses(self) -> list[np.ndarray]:
        """Return how many weights that aren't 0 each input of a layer has, (inputs,) by layer."""
        return [(weight_and_bias(fc)[0] != 0).sum(0).numpy() for fc, _ in self.layers]

    @staticmethod
    def accumulates_only(lif: snn.Leaky) -> bool:
        """Tell whether a layer's neurons only accumulate their currents: no spike, no reset.

        So do the output neurons of the readout "membrane".

        Parameters
        ----------
        lif : Leaky
            The neurons of a layer.

        Returns
        -------
        bool
            True if they have no reset and infinite thresholds.
        """
        has_no_reset = lif.state_function.__func__ is snn.Leaky._base_int
        return has_no_reset and bool(torch.isinf(lif.threshold).all())

    def scores(self, recording: LayerStates) -> torch.Tensor:
        """Return the class scores that the readout makes of a recording.

        Parameters
        ----------
        recording : LayerStates
            From `record`.

        Returns
        -------
        Tensor
            (batch, classes).
        """
        return recording.mem.mean(0) if self.readout == "membrane" else recording.spk.sum(0)

    def delayed_copies(self, x: torch.Tensor) -> torch.Tensor:
        """Return the input's delayed copies, which are the inputs of the first layer.

        Parameters
        ----------
        x : Tensor
            Input spikes, (steps, batch, units).

        Returns
        -------
        Tensor
            (steps, batch, delays x units): all units of the first copy, then those of the second.
        """
        copies = x.new_zeros(*x.shape[:2], len(self.delays), x.shape[2])
        for k, delay in enumerate(self.delays):
            copies[delay:, :, k] = x[: max(0, len(x) - delay)]
        return copies.flatten(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run all steps from resting potential; return the class scores.

        Parameters
        ----------
        x : Tensor
            Input spikes, shape (steps, batch, units).

        Returns
        -------
        Tensor
            (batch, classes).
        """
        return self.scores(self.record(x, hidden=False))

    def record(self, x: torch.Tensor, hidden: bool = True) -> LayerStates:
        """Run all steps from resting potential; return spikes and membranes of every step.

        Parameters
        ----------
        x : Tensor
            Input spikes, shape (steps, batch, units).
        hidden : bool
            Also keep the hidden layers' spikes and membranes.

        Returns
        -------
        LayerStates
            Those of the output layer, and of the hidden layers if asked for.
        """
        mem = [x.new_zeros(x.shape[1], fc.out_features) for fc, _ in self.layers]
        spk_by_layer: list[list[torch.Tensor]] = [[] for _ in mem]
        mem_by_layer: list[list[torch.Tensor]] = [[] for _ in mem]
        for spk in self.delayed_copies(x).unbind(0):
            for i, (fc, lif) in enumerate(self.layers):
                spk, mem[i] = lif(fc(spk), mem[i])
                if hidden or i == self.n_layers - 1:
                    spk_by_layer[i].append(spk)
                    mem_by_layer[i].append(mem[i])
        recorded = slice(None) if hidden else slice(-1, None)  # the output layer is last
        *hidden_spk, last_spk = [torch.stack(steps) for steps in spk_by_layer[recorded]]
        *hidden_mem, last_mem = [torch.stack(steps) for steps in mem_by_layer[recorded]]
        return LayerStates(last_spk, last_mem, tuple(hidden_spk), tuple(hidden_mem))


def _neurons(n: int, config: NetworkConfig, beta: float, is_last: bool) -> snn.Leaky:
    """Return a layer's neurons, in the last layer those of the configured readout.

    `beta` is the share of a membrane potential that is left after one step.
    """
    accumulates_only = is_last and config.readout == "membrane"
    threshold = float("inf") if accumulates_only else 1.0
    # The output neurons of an ensemble's members need the same beta: see `network.ensemble`.
    is_member_output = accumulates_only and config.ensemble_size > 1
    learn_beta = config.learn_beta and not is_member_output
    learn_threshold = config.learn_threshold and not accumulates_only
    per_neuron = torch.ones(n)
    lif = snn.Leaky(
        beta=beta * per_neuron if learn_beta else beta,
        threshold=threshold * per_neuron if learn_threshold else threshold,
        learn_beta=learn_beta,
        learn_threshold=learn_threshold,
        reset_mechanism="none" if accumulates_only else "subtract",
        spike_grad=spike_grad(config.surrogate, config.slope),
    )
    snn.SpikingNeuron.instances.remove(lif)  # snntorch would keep it in memory for ever
    return lif


# What decides which currents, spikes and scores a network has.
_METHODS = (
    "forward",
    "record",
    "scores",
    "delayed_copies",
    "layers",
    "accumulates_only",
    "synapses",
)


def class_name(thing: object) -> str:
    """Return the full name of an object's class, such as ``snntorch._neurons.leaky.Leaky``.

    Parameters
    ----------
    thing : object
        Any object.

    Returns
    -------
    str
        Module and qualified name.
    """
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def unfamiliar_component(model: nn.Module) -> str | None:
    """Say which component of a network isn't one of the study's own.

    What computes or counts a network without running its Python code (the compiled engine, costs,
    circuits) knows the classes below and no others. A subclass isn't among them, because it may do
    something else or have another state.

    Parameters
    ----------
    model : Module
        Any network.

    Returns
    -------
    str or None
        The first such component and why it isn't known; None if all are.
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
