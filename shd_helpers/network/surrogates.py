"""Surrogates: the function that snntorch takes, its curve, its derivative and the kernel's number.

A spike is a step of the membrane's distance from the threshold, whose derivative is zero almost
everywhere, so that no gradient would get through. A surrogate leaves the spike as it is. Only the
backward pass replaces the step's derivative by that of a smooth curve: Neftci, Mostafa, Zenke
(2019), "Surrogate Gradient Learning in Spiking Neural Networks", IEEE Signal Processing Magazine
36(6).

Any function that snntorch takes as `spike_grad` is a surrogate. The study's three are the entries
of `TABLE`. Each of them has three parts, which the names below mean:

* `spike_grad` is the function for snntorch, whose backward pass replaces the derivative;
* `curve` is the smooth curve that replaces the step in the backward pass, by its formula;
* `derivative` is the derivative of that curve, by its formula.

A function of the user's own has no formula. Autograd gives its derivative (`autograd_derivative`),
and the running integral of the derivative is its curve (`running_integral`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from snntorch import surrogate

from shd_corpus.checks import check_choice
from shd_engine.surrogates import (
    SpikeGrad,
    atan_derivative,
    autograd_derivative,
    fast_sigmoid_derivative,
    sigmoid_derivative,
)
from shd_helpers.user_code import UserCodeError, is_reference, load_object

Curve = Callable[[np.ndarray, float], np.ndarray]
# At these distances from the threshold a user's function is tried.
SAMPLED = np.linspace(-3, 3, 64)
FINE = 1e-3  # distance of the points of a running integral


@dataclass(frozen=True)
class Surrogate:
    """A surrogate: its spike function for snntorch, its curve and its derivative."""

    # No curve has a default, so that a new surrogate can't get that of another one by mistake.
    make_spike_grad: Callable[[float], SpikeGrad]
    # The smooth curve at distances x from the threshold, for a slope: an array shaped as x.
    curve: Curve
    # The derivative of `curve` with respect to x, with the same arguments.
    derivative: Curve


def _fast_sigmoid(x: np.ndarray, slope: float) -> np.ndarray:
    return x / (1 + slope * np.abs(x))


def _atan(x: np.ndarray, slope: float) -> np.ndarray:
    return np.arctan(np.pi * x * slope / 2) / np.pi


def _sigmoid(x: np.ndarray, slope: float) -> np.ndarray:
    return 0.5 * (1 + np.tanh(slope * x / 2))  # the logistic function, without overflow


# Another surrogate needs an entry here, and its name in `config.SURROGATES`.
TABLE = {
    "fast_sigmoid": Surrogate(
        make_spike_grad=surrogate.fast_sigmoid,
        curve=_fast_sigmoid,
        derivative=fast_sigmoid_derivative,
    ),
    "atan": Surrogate(
        make_spike_grad=surrogate.atan,
        curve=_atan,
        derivative=atan_derivative,
    ),
    "sigmoid": Surrogate(
        make_spike_grad=surrogate.sigmoid,
        curve=_sigmoid,
        derivative=sigmoid_derivative,
    ),
}


def surrogate_named(name: str) -> Surrogate:
    """Return the surrogate of a name, or of a reference to the user's own."""
    if is_reference(name):
        return surrogate_of_function(load_object(name), name)
    check_choice("surrogate", name, tuple(TABLE))
    return TABLE[name]


def surrogate_of_function(function: SpikeGrad, name: str = "the surrogate") -> Surrogate:
    """Return a user's function as a `Surrogate`; the setting `slope` has no effect on it."""
    check_function(function, name)
    # Each takes a slope, too, because the study's surrogates do.
    return Surrogate(
        # A function can have attributes, which some callables can't.
        make_spike_grad=lambda _slope: lambda x: function(x),
        curve=lambda x, _slope: running_integral(function, x),
        derivative=lambda x, _slope: autograd_derivative(function, x),
    )


def check_function(function: SpikeGrad, name: str) -> None:
    """Check that a user's function can be a surrogate."""
    form = "A surrogate takes a tensor x and returns (x > 0), with a gradient of its own."
    if isinstance(function, str):
        raise UserCodeError(
            f"{name}: {function!r} is a string. Give a function here, or the string as a setting: "
            f"NetworkConfig(surrogate={function!r})."
        )
    if not callable(function):
        raise UserCodeError(
            f"{name}: is a value of type {type(function).__name__}, not a function. {form}"
        )
    x = torch.tensor(SAMPLED, dtype=torch.float32, requires_grad=True)
    with torch.enable_grad():  # a caller may have switched gradients off
        try:
            spk = function(x)
        except Exception as error:
            raise UserCodeError(
                f"{name}: raised {type(error).__name__}: {error}. {form}"
            ) from error
        if not isinstance(spk, torch.Tensor):
            hint = " Does it return a surrogate when it is called, as surrogate.atan() does?"
            hint = hint if callable(spk) else ""
            raise UserCodeError(f"{name}: returned a {type(spk).__name__}.{hint} {form}")
        if spk.shape != x.shape:
            shapes = f"{tuple(spk.shape)} for {tuple(x.shape)}"
            raise UserCodeError(f"{name}: returned the shape {shapes}. {form}")
        if not spk.requires_grad:
            raise UserCodeError(f"{name}: its result has no gradient. {form}")
        (slopes,) = torch.autograd.grad(spk.sum(), x)
    for what, values in (("spikes", spk), ("gradient", slopes)):
        is_finite = torch.isfinite(values)
        if not is_finite.all():
            at = float(x.detach()[~is_finite][0])
            raise UserCodeError(f"{name}: its {what} at x = {at:.2f} isn't a finite number. {form}")


def true_step(x: torch.Tensor) -> torch.Tensor:
    """Return 1 where x > 0, else 0, with the step's true gradient, which is zero everywhere."""
    return (x > 0).to(x.dtype) + 0 * x  # + 0 x, because autograd needs a path to x


def spike_grad(name: str, slope: float) -> SpikeGrad:
    """Return the function that snntorch takes as `spike_grad`, of the named surrogate."""
    function = surrogate_named(name).make_spike_grad(slope)
    # snntorch hides both in a closure, and the description of a network names them.
    function.surrogate = name  # type: ignore[attr-defined]
    function.slope = slope  # type: ignore[attr-defined]
    return function


def curve(name: str, x: np.ndarray, slope: float) -> np.ndarray:
    """Return the smooth curve whose derivative replaces that of the step.

    With slope k it is x / (1 + k |x|), arctan(pi x k / 2) / pi or 1 / (1 + exp(-k x)).
    """
    return surrogate_named(name).curve(x, slope)


def derivative(name: str, x: np.ndarray, slope: float) -> np.ndarray:
    """Return the derivative of `curve`, by its formula."""
    return surrogate_named(name).derivative(x, slope)


def running_integral(function: SpikeGrad, x: np.ndarray) -> np.ndarray:
    """Return the curve whose derivative a surrogate has: the running integral, 0 at the threshold.

    It is added up by the trapezoidal rule in steps of 0.001, from the threshold to each side.
    """
    from scipy.integrate import cumulative_trapezoid  # not needed by `shd_helpers.hear`

    farthest = max(float(np.abs(x).max(initial=0)), FINE)
    n_points = int(np.ceil(farthest / FINE)) + 1
    away = np.linspace(0, farthest, n_points)
    above = cumulative_trapezoid(autograd_derivative(function, away), away, initial=0)
    below = cumulative_trapezoid(autograd_derivative(function, -away), away, initial=0)
    return np.where(x >= 0, np.interp(x, away, above), -np.interp(-x, away, below))
