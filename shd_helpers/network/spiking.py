"""The spiking network: layers of weights, each followed by leaky integrate-and-fire neurons.

`build_network` makes it from its settings, or else the network of the user's own that these name.

Every neuron that follows the convention of snntorch's neurons can be one of a `SpikingNetwork`'s::

    state = lif.reset_mem()  # one tensor, or a tuple of several; the membrane is the last one
    out = lif(cur, *state)  # spikes first; the new states, in the same order, are last

snntorch's Leaky, Synaptic, Alpha, RLeaky, RSynaptic and Lapicque do, and so does the study's
`AdaptiveLeaky`.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import snntorch as snn
import torch
from torch import nn

from shd_corpus.checks import check_whole
from shd_engine.adaptive import AdaptiveLeaky
from shd_engine.network import (
    NEURON_FORM,
    ChannelConv1d,
    LayeredNetwork,
    NeuronError,
    initial_state,
    take_step,
    weight_and_bias,
)
from shd_helpers.network import surrogates
from shd_helpers.network.config import STUDY_STEP_MS, NetworkConfig
from shd_helpers.network.surrogates import SpikeGrad
from shd_helpers.user_code import UserCodeError, is_reference, load_object

NeuronFactory = Callable[..., nn.Module]


class SpikingNetwork(LayeredNetwork):
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
        Neurons, surrogate, readout, delays and windows; default: the study's. `n_hidden`, `hidden`
        and `network` are for `build_network`.
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
        ``neuron(n, **options)`` returns n neurons that follow snntorch's convention (see the
        module), such as ``lambda n, **options: snn.Synaptic(0.9, 0.8, **options)``. The
        options are `spike_grad` and, for output neurons that never spike,
        ``reset_mechanism="none"`` and an infinite `threshold`. The betas of `config` then have no
        effect. Default: the neurons of `config`.

    Attributes
    ----------
    step_ms : float
        Length of a time step, in milliseconds.
    layer_delays : tuple of tuple of int
        For each layer, the steps by which each copy of its inputs is late.

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

    fc1: nn.Linear | ChannelConv1d

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
        config = config or NetworkConfig()
        if generator is None:
            generator = torch.Generator().manual_seed(int(torch.randint(2**62, (1,))))
        n_layers = _checked_number_of_layers(sizes)
        _check_given_once(sizes, config, spike_grad, neuron)
        layer_delays = _checked_delays(config, n_layers, step_ms, delays)
        if spike_grad is None:
            surrogate = surrogates.spike_grad(config.surrogate, config.slope)
        else:
            surrogates.check_function(spike_grad, "spike_grad")
            surrogate = spike_grad
        make = _users_neuron(config, neuron)
        layers = []
        n_before = sizes[0]
        for i, n_neurons in enumerate(sizes[1:]):
            is_first = i == 0
            fc = _new_weights(config, is_first, n_before, len(layer_delays[i]), n_neurons)
            nn.init.xavier_uniform_(fc.weight, generator=generator)
            nn.init.zeros_(fc.bias)
            is_last = i == n_layers - 1
            n_before = fc.out_features
            lif: nn.Module
            if make is None:
                lif = own_neurons(n_before, config, step_ms, is_last, surrogate, generator)
            else:
                silent = is_last and config.has_silent_outputs
                lif = foreign_neurons(make, n_before, silent, surrogate, generator, f"lif{i + 1}")
            layers.append((fc, lif))
        super().__init__(layers, layer_delays, config.readout)
        self.config = config
        self.step_ms = step_ms

    def synapse_counts(self) -> list[np.ndarray]:
        """Count for each layer how many weights that aren't 0 each of its inputs has.

        Returns
        -------
        list of ndarray
            One array of int64 for each layer, (inputs,).
        """
        return [(weight_and_bias(fc)[0] != 0).sum(0).cpu().numpy() for fc, _ in self.layers]


def _new_weights(
    config: NetworkConfig, is_first: bool, n_before: int, n_copies: int, n_neurons: int
) -> nn.Linear | ChannelConv1d:
    """Return the weights of a layer, of copies of `n_before` units or neurons."""
    if is_first and config.kernel_size:
        return ChannelConv1d(n_before, n_copies, n_neurons, config.kernel_size, config.stride)
    # Linear draws weights, which are replaced, from torch's global generator
    with torch.random.fork_rng(devices=[]):
        return nn.Linear(n_before * n_copies, n_neurons)


def _users_neuron(config: NetworkConfig, given: NeuronFactory | None) -> NeuronFactory | None:
    """Return the function of the user's that makes neurons; None for the study's own."""
    if given is not None:
        config.check_learns_nothing("a neuron of your own")
    return given if config.has_own_neurons else load_object(config.neuron)


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
    if config.hidden and config.hidden_sizes != tuple(sizes)[1:-1]:
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


def build_network(
    config: NetworkConfig, n_units: int, n_classes: int, step_ms: float, generator: torch.Generator
) -> nn.Module:
    """Return an untrained network with the given settings."""
    if is_reference(config.network):
        model = _foreign_network(config.network, n_units, n_classes, generator)
        warn_of_other_steps(model, step_ms, f"network {config.network}")
        return model
    sizes = (n_units, *config.hidden_sizes, n_classes)
    return SpikingNetwork(sizes, config, generator, step_ms)


def _foreign_network(
    reference: str, n_units: int, n_classes: int, generator: torch.Generator
) -> nn.Module:
    """Return the network that a user's function makes; UserCodeError if it makes none."""
    make = load_object(reference)
    form = "A network is given by a function or a class: (n_units, n_classes) -> torch.nn.Module."
    if isinstance(make, nn.Module):
        raise UserCodeError(f"network {reference}: is a network already. {form}")
    try:
        model = with_seed(generator, lambda: make(n_units, n_classes))
    except Exception as error:
        raise UserCodeError(
            f"network {reference}: making it for {n_units} units and {n_classes} classes raised "
            f"{type(error).__name__}: {error}. {form}"
        ) from error
    if not isinstance(model, nn.Module):
        raise UserCodeError(f"network {reference}: returned a {type(model).__name__}. {form}")
    return model


def warn_of_other_steps(model: nn.Module, step_ms: float, name: str) -> None:
    """Warn if a spiking network was made for steps of another length than its input has.

    A user's function makes a network from the numbers of units and classes, so it doesn't learn how
    long a step is, and a `SpikingNetwork` takes 3 ms if it isn't told.
    """
    for module in model.modules():
        if isinstance(module, SpikingNetwork) and module.step_ms != step_ms:
            warnings.warn(
                f"{name}: its SpikingNetwork was made for steps of {module.step_ms:g} ms, but "
                f"those of the input last {step_ms:g} ms. So its delays and time constants are "
                f"wrong. Give it the length of a step: SpikingNetwork(..., step_ms={step_ms:g})",
                stacklevel=3,
            )
            return


# --- Neurons ---------------------------------------------------------------------------------


def own_neurons(
    n: int,
    config: NetworkConfig,
    step_ms: float,
    is_last: bool,
    spike_grad: SpikeGrad,
    generator: torch.Generator,
) -> snn.Leaky:
    """Return a layer of the study's own neurons: `Leaky` or, in hidden layers, `AdaptiveLeaky`."""
    accumulates_only = is_last and config.has_silent_outputs
    threshold = float("inf") if accumulates_only else 1.0
    learn_threshold = config.learn_threshold and not accumulates_only
    beta = config.step_beta(step_ms)
    per_neuron = torch.ones(n)
    options: dict[str, Any] = {
        "beta": beta * per_neuron if config.learn_beta else beta,
        "threshold": threshold * per_neuron if learn_threshold else threshold,
        "learn_beta": config.learn_beta,
        "learn_threshold": learn_threshold,
        "reset_mechanism": "none" if accumulates_only else "subtract",
        "spike_grad": spike_grad,
    }
    if config.neuron == "adaptive" and not is_last:
        lif = AdaptiveLeaky(
            n, adapt_ms=config.adapt_ms, step_ms=step_ms, generator=generator, **options
        )
    else:
        lif = snn.Leaky(**options)
    _forget(lif)
    return lif


def foreign_neurons(
    make: NeuronFactory,
    n: int,
    accumulates_only: bool,
    spike_grad: SpikeGrad,
    generator: torch.Generator,
    name: str,
) -> nn.Module:
    """Return a layer of neurons that a user's function makes, after trying them out."""
    options: dict[str, Any] = {"spike_grad": spike_grad}
    if accumulates_only:
        options |= {"reset_mechanism": "none", "threshold": float("inf")}
    try:
        lif = with_seed(generator, lambda: make(n, **options))
    except Exception as error:
        listed = ", ".join(options)
        raise UserCodeError(
            f"{name}: making a neuron of {n} units raised {type(error).__name__}: {error}. A "
            f"neuron is given by a function of the number of units that also takes {listed} and "
            "passes them on, such as lambda n, **options: snn.Synaptic(0.9, 0.8, **options). "
            "RLeaky and RSynaptic also need linear_features=n."
        ) from error
    if not isinstance(lif, nn.Module):
        raise UserCodeError(f"{name}: the function returned a {type(lif).__name__}. {NEURON_FORM}")
    _forget(lif)
    _try_out(lif, n, name)
    if getattr(lif, "spike_grad", spike_grad) is not spike_grad:
        raise UserCodeError(
            f"{name}: its neurons don't use the surrogate of the network. The function that makes "
            "them must pass **options on, such as "
            "lambda n, **options: snn.Synaptic(0.9, 0.8, **options)."
        )
    return lif


def with_seed(generator: torch.Generator, make: Callable[[], Any]) -> Any:
    """Call a function while torch's global generator has a seed that another generator draws."""
    seed = int(torch.randint(2**62, (1,), generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return make()


def _try_out(lif: nn.Module, n: int, name: str) -> None:
    """Take two steps with new neurons, and raise UserCodeError if they break the convention."""
    if not callable(getattr(lif, "reset_mem", None)):
        raise UserCodeError(f"{name}: {type(lif).__name__} has no method reset_mem. {NEURON_FORM}")
    cur = torch.linspace(-1, 2, 2 * n).view(2, n)
    try:
        with torch.no_grad():
            state = initial_state(lif)
            for _ in range(2):
                _, state = take_step(lif, cur, state, name)
    except NeuronError as error:
        raise UserCodeError(str(error)) from error
    except Exception as error:
        raise UserCodeError(
            f"{name}: a step with {type(lif).__name__} and currents of shape (2, {n}) raised "
            f"{type(error).__name__}: {error}. {NEURON_FORM}"
        ) from error
    if not torch.isfinite(state[-1]).all():
        raise UserCodeError(
            f"{name}: the membrane of {type(lif).__name__} isn't a finite number after two steps "
            "with currents of -1 to 2. Check its constants and the order of its states."
        )
    lif.reset_mem()  # type: ignore[operator]


def _forget(lif: nn.Module) -> None:
    """Remove neurons from snntorch's list, which would keep them in memory for ever."""
    for module in lif.modules():
        if module in snn.SpikingNeuron.instances:
            snn.SpikingNeuron.instances.remove(module)
