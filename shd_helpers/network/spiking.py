"""The spiking network: layers of weights, each followed by leaky integrate-and-fire neurons."""

import inspect
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import snntorch as snn
import torch
from torch import nn

from shd_corpus.checks import check_whole
from shd_helpers.network import surrogates
from shd_helpers.network.config import STUDY_STEP_MS, NetworkConfig
from shd_helpers.network.neurons import (
    NeuronFactory,
    foreign_neurons,
    initial_state,
    own_neurons,
    take_step,
)
from shd_helpers.network.surrogates import SpikeGrad
from shd_helpers.user_code import class_name, load_object


class LayerStates(NamedTuple):
    """The spikes and membrane potentials of a network at every step; time first.

    The hidden entries have one tensor for each hidden layer if they were asked for, else none.
    """

    spk: torch.Tensor  # (steps, batch, classes) spikes of the output layer
    mem: torch.Tensor  # (steps, batch, classes) membrane potentials before the reset
    hidden_spk: tuple[torch.Tensor, ...] = ()  # (steps, batch, neurons) each
    hidden_mem: tuple[torch.Tensor, ...] = ()  # (steps, batch, neurons) each

    def cpu(self) -> "LayerStates":
        """Return the same states on the CPU, without a path to gradients."""
        return LayerStates(
            self.spk.detach().cpu(),
            self.mem.detach().cpu(),
            tuple(spk.detach().cpu() for spk in self.hidden_spk),
            tuple(mem.detach().cpu() for mem in self.hidden_mem),
        )


class WindowSizes(NamedTuple):
    """The arguments of a `ChannelConv1d`, which describes them."""

    n_units: int
    n_delays: int
    n_channels: int
    kernel_size: int
    stride: int


class ChannelConv1d(nn.Module):
    """A convolution over the input channels: in each window, neurons share the same weights.

    A fully connected layer has a weight for each pair of input and neuron. Here a neuron sees only
    a window of `kernel_size` neighboring units, of every delayed copy of the input, and the same
    weights are used in all windows. Window p begins at unit p stride; units above the last window
    are not seen. Channel c of window p is neuron p n_channels + c.
    """

    def __init__(
        self, n_units: int, n_delays: int, n_channels: int, kernel_size: int, stride: int
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_channels, n_delays * kernel_size))
        self.bias = nn.Parameter(torch.empty(n_channels))
        self.sizes = WindowSizes(n_units, n_delays, n_channels, kernel_size, stride)
        first_units = torch.arange(0, n_units - kernel_size + 1, stride)  # of each window
        first_inputs = torch.arange(n_delays) * n_units  # of each copy
        seen_by_first_window = (first_inputs[:, None] + torch.arange(kernel_size)).flatten()
        self.window_inputs: torch.Tensor
        # It follows from the sizes, so that it isn't saved with the weights.
        self.register_buffer(
            "window_inputs", first_units[:, None] + seen_by_first_window, persistent=False
        )
        self.in_features = n_delays * n_units
        self.out_features = len(first_units) * n_channels

    def unfolded(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the weight and bias of a fully connected layer that computes the same."""
        n_windows = len(self.window_inputs)
        n_channels = len(self.bias)
        # In each window all channels see the same inputs, and each channel has the same weights.
        inputs = self.window_inputs[:, None].expand(-1, n_channels, -1)
        weight = self.weight.expand(n_windows, -1, -1)
        full = self.weight.new_zeros(n_windows, n_channels, self.in_features)
        full = full.scatter(2, inputs, weight)
        return full.flatten(0, 1), self.bias.repeat(n_windows)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the currents (batch, neurons) of inputs (batch, inputs)."""
        return nn.functional.linear(x, *self.unfolded())


def weight_and_bias(fc: nn.Linear | ChannelConv1d) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a layer's weight and bias; shared weights are repeated for each window."""
    return fc.unfolded() if isinstance(fc, ChannelConv1d) else (fc.weight, fc.bias)


# Which method snntorch's neurons compute their states with if reset_mechanism is "none".
_WITHOUT_RESET = "_base_int"


class SpikingNetwork(nn.Module):
    """Layers of spiking neurons that classify spike trains; by default the study's network.

    A layer's current is I = W x + b. The membrane potential of the study's neurons, snntorch's
    `Leaky`, follows U[t] = beta U[t-1] + I[t] - threshold (U[t-1] > threshold), and they spike
    where U[t] > threshold. Thresholds are 1 at first.

    The readout makes class scores of the output neurons:

    * ``"spikes"``: a class score is the number of spikes of the class's output neuron.
    * ``"membrane"``: it is the mean over the steps of that neuron's membrane potential. The output
      neurons never spike.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, hidden neurons (a number for each hidden layer), classes. With shared weights
        (`kernel_size`), the number for the first layer is that of each window: see `ChannelConv1d`.
    config : NetworkConfig, optional
        Neurons, surrogate, readout, delays and windows; default: the study's. `n_hidden`, `hidden`,
        `ensemble_size` and `network` are for `build_network`.
    generator : torch.Generator, optional
        Draws the Xavier-uniform weights. Default: one whose seed torch's global generator draws.
        Biases start at zero.
    step_ms : float
        Length of a time step, such as `Events.step_ms`. Betas keep the time constant that `config`
        has at 3 ms, and delays stay 30 ms apart.
    delays : sequence of int, optional
        Steps by which copies of the input arrive late, instead of those of `config`. Every copy
        has weights of its own, so that a neuron can respond to an early event and a later one at
        the same step.
    spike_grad : callable, optional
        Any function that snntorch takes as `spike_grad`, instead of the surrogate of `config`.
    neuron : callable, optional
        ``neuron(n, **options)`` returns n neurons that follow snntorch's convention (see
        `network.neurons`), such as ``lambda n, **options: snn.Synaptic(0.9, 0.8, **options)``. The
        options are `spike_grad` and, for output neurons that never spike,
        ``reset_mechanism="none"`` and an infinite `threshold`. The betas of `config` then have no
        effect. Default: the neurons of `config`.

    Attributes
    ----------
    step_ms : float
        Length of a time step, in milliseconds.
    layer_delays : tuple of tuple of int
        For each layer, the steps by which each copy of its inputs is late.
    ensemble_members : tuple of SpikingNetwork
        The networks whose mean this one computes; empty if it is no ensemble. They are no
        submodules: see `network.ensemble`.

    Raises
    ------
    ValueError
        If a size isn't a whole number above 0, delays don't ascend from 0 upwards, or there isn't a
        number of `hidden_delays` for each hidden layer.
    UserCodeError
        If the surrogate or the neuron can't be used, or the neuron doesn't use the surrogate.

    References
    ----------
    Hammouamri et al. (2024), "Learning Delays in Spiking Neural Networks using Dilated Convolutions
    with Learnable Spacings", ICLR.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        config: NetworkConfig | None = None,
        generator: torch.Generator | None = None,
        step_ms: float = STUDY_STEP_MS,
        delays: Sequence[int] | None = None,
        *,
        spike_grad: SpikeGrad | None = None,
        neuron: NeuronFactory | None = None,
    ) -> None:
        super().__init__()
        self.fc1: nn.Linear | ChannelConv1d
        config = config or NetworkConfig()
        if generator is None:
            generator = torch.Generator().manual_seed(int(torch.randint(2**62, (1,))))
        self.n_layers = _checked_number_of_layers(sizes)
        _check_given_once(sizes, config, spike_grad, neuron)
        self.layer_delays = _checked_delays(config, self.n_layers, step_ms, delays)
        self.readout = config.readout
        self.config = config
        self.step_ms = step_ms
        self.ensemble_members: tuple[SpikingNetwork, ...] = ()
        if spike_grad is None:
            surrogate = surrogates.spike_grad(config.surrogate, config.slope)
        else:
            surrogates.check_function(spike_grad, "spike_grad")
            surrogate = spike_grad
        make_neurons = _neuron_factory(config, neuron, surrogate, step_ms, generator)
        n_before = sizes[0]
        for i, n_neurons in enumerate(sizes[1:]):
            fc = self._new_weights(i, n_before, n_neurons, generator)
            is_last = i == self.n_layers - 1
            lif = make_neurons(fc.out_features, is_last, f"lif{i + 1}")
            self.add_module(f"fc{i + 1}", fc)
            self.add_module(f"lif{i + 1}", lif)
            n_before = fc.out_features

    def _new_weights(
        self, i: int, n_before: int, n_neurons: int, generator: torch.Generator
    ) -> nn.Linear | ChannelConv1d:
        """Return the weights of layer i, of copies of `n_before` units or neurons."""
        config = self.config
        n_copies = len(self.layer_delays[i])
        fc: nn.Linear | ChannelConv1d
        if i == 0 and config.kernel_size:
            fc = ChannelConv1d(n_before, n_copies, n_neurons, config.kernel_size, config.stride)
        else:
            # Linear draws weights, which are replaced below, from torch's global generator
            with torch.random.fork_rng(devices=[]):
                fc = nn.Linear(n_before * n_copies, n_neurons)
        nn.init.xavier_uniform_(fc.weight, generator=generator)
        nn.init.zeros_(fc.bias)
        return fc

    @property
    def delays(self) -> tuple[int, ...]:
        """Return by how many steps each copy of the input is late."""
        return self.layer_delays[0]

    @property
    def layers(self) -> list[tuple[nn.Linear, snn.Leaky]]:
        """Return the layers in order: (fc1, lif1), (fc2, lif2), ..."""
        numbers = range(1, self.n_layers + 1)
        return [(getattr(self, f"fc{i}"), getattr(self, f"lif{i}")) for i in numbers]

    def synapse_counts(self) -> list[np.ndarray]:
        """Count for each layer how many weights that aren't 0 each of its inputs has.

        Returns
        -------
        list of ndarray
            One array of int64 for each layer, (inputs,).
        """
        return [(weight_and_bias(fc)[0] != 0).sum(0).cpu().numpy() for fc, _ in self.layers]

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
        # When a neuron of snntorch is made, `reset_mechanism` decides which of its methods computes
        # the next state. Changing the attribute later has no effect, so only the method tells what
        # the neuron does. Leaky, Synaptic and the others each have their own method, all of the
        # same name. A neuron of the user's own has none.
        state_function = getattr(lif, "state_function", None)
        has_no_reset = getattr(state_function, "__name__", "") == _WITHOUT_RESET
        return has_no_reset and bool(torch.isinf(lif.threshold).all())

    def scores(self, recording: LayerStates) -> torch.Tensor:
        """Return the class scores that the readout computes from the output layer's states.

        Parameters
        ----------
        recording : LayerStates
            From `record`.

        Returns
        -------
        Tensor
            (batch, classes).
        """
        if self.readout == "membrane":
            return recording.mem.mean(0)
        return recording.spk.sum(0)

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
        layers = self.layers
        states = [initial_state(lif) for _, lif in layers]
        spk_by_layer: list[list[torch.Tensor]] = [[] for _ in layers]
        mem_by_layer: list[list[torch.Tensor]] = [[] for _ in layers]
        for spk in self.delayed_copies(x).unbind(0):
            for i, (fc, lif) in enumerate(layers):
                if i and self.layer_delays[i] != (0,):
                    spk = _late_copies(spk_by_layer[i - 1], self.layer_delays[i])
                spk, states[i] = take_step(lif, fc(spk), states[i], f"lif{i + 1}")
                spk_by_layer[i].append(spk)
                mem_by_layer[i].append(states[i][-1])
        for _, lif in layers:
            lif.reset_mem()  # otherwise the last states would keep the graph of gradients alive
        recorded = slice(None) if hidden else slice(-1, None)  # the output layer is last
        *hidden_spk, last_spk = [torch.stack(steps) for steps in spk_by_layer[recorded]]
        *hidden_mem, last_mem = [torch.stack(steps) for steps in mem_by_layer[recorded]]
        return LayerStates(last_spk, last_mem, tuple(hidden_spk), tuple(hidden_mem))


def _late_copies(steps: Sequence[torch.Tensor], delays: Sequence[int]) -> torch.Tensor:
    """Return the copies of a layer's spikes that arrive now, (batch, copies x neurons).

    `steps` has the spikes of all steps until now, (batch, neurons) each.
    """
    now = len(steps) - 1
    nothing = torch.zeros_like(steps[now])
    copies = [steps[now - delay] if delay <= now else nothing for delay in delays]
    return torch.cat(copies, dim=1)


def _neuron_factory(
    config: NetworkConfig,
    given: NeuronFactory | None,
    surrogate: SpikeGrad,
    step_ms: float,
    generator: torch.Generator,
) -> Callable[[int, bool, str], nn.Module]:
    """Return a function that makes the neurons of a layer: the study's own, or a user's.

    It takes the number of neurons, whether they are those of the output layer, and what messages
    call them, such as ``lif1``.
    """
    make_foreign = given
    if given is not None:
        config.check_learns_nothing("a neuron of your own")
    elif not config.has_own_neurons:
        make_foreign = load_object(config.neuron)

    def own(n: int, is_last: bool, _name: str) -> nn.Module:
        return own_neurons(n, config, step_ms, is_last, surrogate, generator)

    if make_foreign is None:
        return own

    def foreign(n: int, is_last: bool, name: str) -> nn.Module:
        accumulates_only = is_last and config.has_silent_outputs
        return foreign_neurons(make_foreign, n, accumulates_only, surrogate, generator, name)

    return foreign


def _check_given_once(
    sizes: Sequence[int],
    config: NetworkConfig,
    spike_grad: SpikeGrad | None,
    neuron: NeuronFactory | None,
) -> None:
    """Raise ValueError if an argument and a setting of the config contradict each other."""
    usual = NetworkConfig()
    for name, given in (("surrogate", spike_grad), ("neuron", neuron)):
        value = getattr(config, name)
        if given is not None and value != getattr(usual, name):
            raise ValueError(
                f"{name}: given twice, as an argument and as {value!r} in the config. Leave one out"
            )
    # An ensemble that is computed as one network has the hidden neurons of all members.
    is_alone = config.ensemble_size == 1
    if is_alone and config.hidden and config.hidden_sizes != tuple(sizes)[1:-1]:
        raise ValueError(
            f"sizes {list(sizes)}: the config has other hidden layers, {config.hidden!r}. Leave "
            "`hidden` out of it, or make both equal"
        )


def _checked_number_of_layers(sizes: Sequence[int]) -> int:
    """Return how many layers a network of these sizes has; ValueError if there is no such one."""
    if not isinstance(sizes, Sequence):
        raise ValueError(f"sizes {sizes!r}: give one tuple, such as (183, 256, 10)")
    listed = list(sizes)
    if len(listed) < 2:
        raise ValueError(f"sizes {listed}: give at least the numbers of inputs and of classes")
    for size in listed:
        check_whole(f"sizes {listed}: the size", size, 1)
    return len(listed) - 1


def _checked_delays(
    config: NetworkConfig, n_layers: int, step_ms: float, delays: Sequence[int] | None
) -> tuple[tuple[int, ...], ...]:
    """Return the delays of each layer's inputs; those of the first layer may be given."""
    first = config.delays(step_ms) if delays is None else tuple(delays)
    if not first or sorted(set(first)) != list(first) or first[0] < 0:
        raise ValueError(f"delays {list(first)}: give steps from 0 upwards, ascending")
    return (first, *config.later_layer_delays(step_ms, n_layers - 1))


# The methods and properties that determine a network's currents, spikes and scores. A network in
# which one of them was replaced may compute something else.
_COMPUTING = (
    "accumulates_only", "delayed_copies", "delays", "forward", "layers", "record", "scores",
    "synapse_counts",
)  # fmt: skip


def unfamiliar_component(model: nn.Module, neurons: tuple[type, ...] = (snn.Leaky,)) -> str | None:
    """Say which component of a network isn't one of the study's own.

    What computes or counts a network without running its Python code (the compiled engine, costs,
    circuits) knows the classes below and no others. A subclass isn't among them, because it may do
    something else or have another state.
    """
    if not isinstance(model, SpikingNetwork):
        return f"it is a {class_name(model)}, not a SpikingNetwork"
    for name in _COMPUTING:
        if inspect.getattr_static(model, name) is not vars(SpikingNetwork)[name]:
            return f"its {name} is not SpikingNetwork's"
    for i, (fc, lif) in enumerate(model.layers, start=1):
        if type(fc) not in (nn.Linear, ChannelConv1d):
            return f"fc{i} is a {class_name(fc)}, neither a plain Linear layer nor a ChannelConv1d"
        if type(lif) not in neurons:
            known = " or ".join(neuron.__name__ for neuron in neurons)
            return f"lif{i} is a {class_name(lif)}, not snntorch's {known}"
        if "forward" in vars(fc) or "forward" in vars(lif):
            return f"the forward of a module in layer {i} was replaced"
    return None
