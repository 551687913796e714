"""Layers of weights and spiking neurons: their modules, and a network that loops over them."""

import inspect
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import snntorch as snn
import torch
from torch import nn

State = tuple[torch.Tensor, ...]
NEURON_FORM = (
    "A neuron follows snntorch's convention: reset_mem() returns its states, and "
    "neuron(currents, *states) returns spikes and the new states, the membrane last, all of the "
    "shape of the currents."
)


class NotCompilableError(ValueError):
    """A module can't be compiled; the message is the reason."""


class NeuronError(ValueError):
    """A neuron doesn't follow snntorch's calling convention; the message says how."""


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


def weight_and_bias(fc: nn.Linear | ChannelConv1d) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a layer's weight and bias; shared weights are repeated for each window."""
    return fc.unfolded() if isinstance(fc, ChannelConv1d) else (fc.weight, fc.bias)


def initial_state(lif: nn.Module) -> State:
    """Return the states of a layer's neurons at rest."""
    state = lif.reset_mem()  # type: ignore[operator]
    return tuple(state) if isinstance(state, tuple | list) else (state,)


def take_step(
    lif: nn.Module, cur: torch.Tensor, state: State, name: str
) -> tuple[torch.Tensor, State]:
    """Take one step with a layer's neurons."""
    out = lif(cur, *state)
    called = f"{name}: {type(lif).__name__}"
    _check_number_of_values(out, len(state), called)
    spk = out[0]
    new_state = tuple(out[-len(state) :])
    _check_shape(spk, "spikes", cur, called)
    for number, values in enumerate(new_state, start=1):
        _check_shape(values, f"state {number}", cur, called)
    return spk, new_state


def _check_number_of_values(out: object, n_states: int, called: str) -> None:
    """Raise NeuronError if a neuron returned fewer values than spikes and its new states.

    Most neurons return the spikes and then all states, which is one value more than the states. But
    the spikes of RLeaky and RSynaptic are a state, too, which they feed back. They are the first of
    the returned values and the first state at once, so that there are only as many values as
    states.
    """
    n_values = len(out) if isinstance(out, tuple | list) else 1
    if n_values < max(2, n_states):
        returned = "one value" if not isinstance(out, tuple | list) else f"{n_values} values"
        raise NeuronError(
            f"{called} returned {returned} for currents and {n_states} states. {NEURON_FORM}"
        )


def _check_shape(values: object, what: str, cur: torch.Tensor, called: str) -> None:
    """Raise NeuronError if what a neuron returned isn't a tensor of the shape of its currents."""
    if isinstance(values, torch.Tensor) and values.shape == cur.shape:
        return
    # Numbers and texts have no shape, and a tensor of one number has an empty one.
    shape = tuple(getattr(values, "shape", ())) or type(values).__name__
    raise NeuronError(
        f"{called} returned {what} of shape {shape} for currents of shape {tuple(cur.shape)}. "
        f"{NEURON_FORM}"
    )


READOUTS = ("spikes", "membrane")
MOST_DELAY = 2**16  # steps; no event arrives later
Weights = nn.Linear | ChannelConv1d | LearnedDelays
Layers = Sequence[tuple[Weights, snn.Leaky]]


class Chain(NamedTuple):
    """Layers of weights and neurons, each of which gets the spikes of the one before.

    The compiled engine computes a `Chain`, or a `LayeredNetwork`, which has the same attributes.
    """

    layers: Layers
    layer_delays: tuple[tuple[int, ...], ...]  # by how many steps each copy of the inputs is late
    readout: str  # "spikes" or "membrane": what `loss_and_gradients` makes class scores of


# Which method snntorch's neurons compute their states with if reset_mechanism is "none".
_WITHOUT_RESET = "_base_int"


class LayeredNetwork(nn.Module):
    """Layers of spiking neurons, with delays between them, and a loop over the steps.

    Layer i has the names ``fc{i}`` and ``lif{i}``, from 1.

    Parameters
    ----------
    layers : sequence of (Module, Module)
        Weights, `nn.Linear`, `ChannelConv1d` or `LearnedDelays`, and the neurons after them, which
        follow snntorch's convention.
    layer_delays : sequence of sequence of int, optional
        For each layer, the steps by which each copy of its inputs is late. Every copy has weights
        of its own. Default: one copy without a delay.
    readout : str
        What the class scores are: ``"spikes"``, the number of spikes of each output neuron, or
        ``"membrane"``, the mean over the steps of its membrane potential.

    Raises
    ------
    ValueError
        If there is no such readout, or the layers and their delays don't fit together.
    """

    def __init__(
        self,
        layers: Layers,
        layer_delays: Sequence[Sequence[int]] | None = None,
        readout: str = "spikes",
    ) -> None:
        super().__init__()
        self.n_layers = len(layers)
        delays = [(0,)] * self.n_layers if layer_delays is None else layer_delays
        self.layer_delays = tuple(map(tuple, delays))
        self.readout = readout
        if readout not in READOUTS:
            raise ValueError(f"readout {readout!r}: must be 'spikes' or 'membrane'")
        check_sizes(layers, self.layer_delays)
        for i, (fc, lif) in enumerate(layers, start=1):
            self.add_module(f"fc{i}", fc)
            self.add_module(f"lif{i}", lif)

    @property
    def delays(self) -> tuple[int, ...]:
        """Return by how many steps each copy of the input is late."""
        return self.layer_delays[0]

    @property
    def layers(self) -> list[tuple[nn.Linear, snn.Leaky]]:
        """Return the layers in order: (fc1, lif1), (fc2, lif2), ..."""
        numbers = range(1, self.n_layers + 1)
        return [(getattr(self, f"fc{i}"), getattr(self, f"lif{i}")) for i in numbers]

    @staticmethod
    def accumulates_only(lif: snn.Leaky) -> bool:
        """Tell whether a layer's neurons only accumulate their currents: no spike, no reset.

        Parameters
        ----------
        lif : Leaky
            The neurons of a layer.

        Returns
        -------
        bool
            True if they have no reset and infinite thresholds.
        """
        return not resets(lif) and bool(torch.isinf(lif.threshold).all())

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
        if self.delays == (0,):
            return x
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


def check_sizes(layers: Layers, layer_delays: Sequence[Sequence[int]]) -> None:
    """Raise ValueError if the layers of a network and their delays don't fit together."""
    if len(layer_delays) != len(layers):
        raise ValueError(
            f"layer_delays: has {len(layer_delays)} entries for {len(layers)} layers. Give one for "
            "each layer, (0,) for a layer without delays"
        )
    n_before = None
    for i, ((fc, _), delays) in enumerate(zip(layers, layer_delays, strict=True), start=1):
        is_whole = all(isinstance(delay, int | np.integer) for delay in delays)
        if (
            not delays
            or not is_whole
            or any(a >= b for a, b in pairwise((-1, *delays, MOST_DELAY)))
        ):
            raise ValueError(
                f"layer_delays: layer {i} has {tuple(delays)}, but must have numbers of steps that "
                f"ascend, from 0 to {MOST_DELAY - 1}"
            )
        if isinstance(fc, LearnedDelays) and len(delays) != fc.n_delays:
            raise ValueError(
                f"layer_delays: layer {i} has LearnedDelays, so its entry must be "
                f"range({fc.n_delays})"
            )
        if n_before and fc.in_features != len(delays) * n_before:
            raise ValueError(
                f"layers: layer {i} has weights from {fc.in_features} inputs, but gets "
                f"{len(delays)} x {n_before}, a copy of the layer before for each of its delays"
            )
        n_before = fc.out_features


def _late_copies(steps: Sequence[torch.Tensor], delays: Sequence[int]) -> torch.Tensor:
    """Return the copies of a layer's spikes that arrive now, (batch, copies x neurons).

    `steps` has the spikes of all steps until now, (batch, neurons) each.
    """
    now = len(steps) - 1
    nothing = torch.zeros_like(steps[now])
    copies = [steps[now - delay] if delay <= now else nothing for delay in delays]
    return torch.cat(copies, dim=1)


def resets(lif: Any) -> bool:
    """Tell whether a spike resets the neurons of a layer.

    When a neuron of snntorch is made, `reset_mechanism` decides which of its methods computes the
    next state. Changing the attribute later has no effect, so only the method tells what the neuron
    does. Leaky, Synaptic and the others each have their own method, all of the same name. A neuron
    of the user's own has none.
    """
    return getattr(getattr(lif, "state_function", None), "__name__", "") != _WITHOUT_RESET


# The methods and properties that determine a network's currents, spikes and scores. A network in
# which one of them was replaced may compute something else.
_COMPUTING = (
    "accumulates_only", "delayed_copies", "delays", "forward", "layers", "record", "scores",
)  # fmt: skip


def unfamiliar_component(model: nn.Module, neurons: tuple[type, ...] = (snn.Leaky,)) -> str | None:
    """Say which component of a network isn't one of this package's or of snntorch's own.

    What computes or counts a network without running its Python code (the compiled engine, costs,
    circuits) knows the classes below and no others. A subclass isn't among them, because it may do
    something else or have another state.
    """
    if not isinstance(model, LayeredNetwork):
        return f"it is a {_class_name(model)}, not a LayeredNetwork"
    for name in _COMPUTING:
        if inspect.getattr_static(model, name) is not vars(LayeredNetwork)[name]:
            return f"its {name} is not LayeredNetwork's"
    return unfamiliar_layer(model.layers, neurons)


def unfamiliar_layer(layers: Layers, neurons: tuple[type, ...]) -> str | None:
    """Say which module of some layers isn't one of this package's or of snntorch's own."""
    for i, (fc, lif) in enumerate(layers, start=1):
        if type(fc) not in (nn.Linear, ChannelConv1d, LearnedDelays):
            return f"fc{i} is a {_class_name(fc)}, no plain Linear, ChannelConv1d or LearnedDelays"
        if type(lif) not in neurons:
            known = " or ".join(neuron.__name__ for neuron in neurons)
            return f"lif{i} is a {_class_name(lif)}, not snntorch's {known}"
        if "forward" in vars(fc) or "forward" in vars(lif):
            return f"the forward of a module in layer {i} was replaced"
    return None


def _class_name(thing: object) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"
