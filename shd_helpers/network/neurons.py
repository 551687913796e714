"""The neurons of a layer: how they are made, and how snntorch's calling convention runs them.

Every neuron that follows the convention of snntorch's neurons can be one of a `SpikingNetwork`'s::

    state = lif.reset_mem()  # one tensor, or a tuple of several; the membrane is the last one
    out = lif(cur, *state)  # spikes first; the new states, in the same order, are last

snntorch's Leaky, Synaptic, Alpha, RLeaky, RSynaptic and Lapicque do, and so does the study's
`AdaptiveLeaky`.
"""

from collections.abc import Callable
from typing import Any

import snntorch as snn
import torch
from torch import nn

from shd_engine.adaptive import AdaptiveLeaky
from shd_engine.network import NEURON_FORM, NeuronError, initial_state, take_step
from shd_helpers.network.config import NetworkConfig
from shd_helpers.network.surrogates import SpikeGrad
from shd_helpers.user_code import UserCodeError

NeuronFactory = Callable[..., nn.Module]


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
