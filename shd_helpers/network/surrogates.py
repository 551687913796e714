"""The surrogates by name: snntorch's function, its curve and derivative, and the kernel's number.

A spike is a step of the membrane's distance from the threshold, whose derivative is zero almost
everywhere, so that no gradient would get through. A surrogate leaves the spike as it is. Only the
backward pass replaces the step's derivative by that of a smooth curve: Neftci, Mostafa, Zenke
(2019), "Surrogate Gradient Learning in Spiking Neural Networks", IEEE Signal Processing Magazine
36(6).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from snntorch import surrogate

from shd_helpers.checks import check_choice
from shd_helpers.network import kernels

Curve = Callable[[np.ndarray, float], np.ndarray]


@dataclass(frozen=True)
class Surrogate:
    """All that the package knows of one surrogate, in one object.

    Parameters
    ----------
    step : callable
        Returns snntorch's spike function for a slope.
    curve : callable
        The smooth curve at distances x from the threshold, for a slope: an array shaped as x.
    derivative : callable
        The derivative of `curve` with respect to x, with the same arguments.
    kind : int or None
        The number by which `kernels.step_back` knows the derivative. Without a number, networks
        with this surrogate are trained in snntorch's loop.
    kernel_slope : float
        The kernel works with the slope times this number.
    """

    # No curve has a default, so that a new surrogate can't get that of another one by mistake.
    step: Callable[[float], Any]
    curve: Curve
    derivative: Curve
    kind: int | None = None
    kernel_slope: float = 1.0


def _fast_sigmoid(x: np.ndarray, slope: float) -> np.ndarray:
    return x / (1 + slope * np.abs(x))


def _fast_sigmoid_derivative(x: np.ndarray, slope: float) -> np.ndarray:
    return 1 / (1 + slope * np.abs(x)) ** 2


def _atan(x: np.ndarray, slope: float) -> np.ndarray:
    return np.arctan(np.pi * x * slope / 2) / np.pi


def _atan_derivative(x: np.ndarray, slope: float) -> np.ndarray:
    return (slope / 2) / (1 + (np.pi * x * slope / 2) ** 2)


def _sigmoid(x: np.ndarray, slope: float) -> np.ndarray:
    return 0.5 * (1 + np.tanh(slope * x / 2))  # the logistic function, without overflow


def _sigmoid_derivative(x: np.ndarray, slope: float) -> np.ndarray:
    decay = np.exp(-slope * np.abs(x))  # the derivative is even: this side can't overflow
    return slope * decay / (1 + decay) ** 2


# Another surrogate needs an entry here, and a branch in `kernels.step_back` to be compiled.
TABLE = {
    "fast_sigmoid": Surrogate(
        step=surrogate.fast_sigmoid,
        curve=_fast_sigmoid,
        derivative=_fast_sigmoid_derivative,
        kind=kernels.FAST_SIGMOID,
    ),
    "atan": Surrogate(
        step=surrogate.atan,
        curve=_atan,
        derivative=_atan_derivative,
        kind=kernels.ATAN,
        kernel_slope=np.pi / 2,  # of x in the formula above
    ),
    "sigmoid": Surrogate(
        step=surrogate.sigmoid, curve=_sigmoid, derivative=_sigmoid_derivative, kind=kernels.SIGMOID
    ),
}
SURROGATES = tuple(TABLE)


def named(name: str) -> Surrogate:
    """Return the surrogate of a name.

    Parameters
    ----------
    name : str
        One of `SURROGATES`.

    Returns
    -------
    Surrogate
        Its functions.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    check_choice("surrogate", name, tuple(TABLE))
    return TABLE[name]


def true_step(x: torch.Tensor) -> torch.Tensor:
    """Return 1 where x > 0, else 0, with the step's true gradient, which is zero everywhere.

    Parameters
    ----------
    x : Tensor
        Distances of membranes from their thresholds.

    Returns
    -------
    Tensor
        Spikes, shaped as `x`.
    """
    return (x > 0).to(x.dtype) + 0 * x  # + 0 x, because autograd needs a path to x


def spike_grad(name: str, slope: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return snntorch's step function with the gradient of the named surrogate.

    Parameters
    ----------
    name : str
        One of `SURROGATES`.
    slope : float
        The larger, the narrower is the surrogate: snntorch's ``slope``, for atan its ``alpha``.

    Returns
    -------
    callable
        Takes the membrane's distance from the threshold and returns spikes (0 or 1). It has the
        name and the slope as its attributes ``surrogate`` and ``slope``.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    step = named(name).step(slope)
    # snntorch hides both in a closure, and the engine needs them.
    step.surrogate = name
    step.slope = slope
    return step


def smooth(name: str, x: np.ndarray, slope: float) -> np.ndarray:
    """Return the smooth curve whose derivative replaces that of the step.

    With slope k it is x / (1 + k |x|), arctan(pi x k / 2) / pi or 1 / (1 + exp(-k x)).

    Parameters
    ----------
    name : str
        One of `SURROGATES`.
    x : ndarray
        Membrane potential minus threshold.
    slope : float
        As in `spike_grad`.

    Returns
    -------
    ndarray
        Shaped as `x`.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    return named(name).curve(x, slope)


def derivative(name: str, x: np.ndarray, slope: float) -> np.ndarray:
    """Return the derivative of `smooth`, by its formula.

    Parameters
    ----------
    name : str
        One of `SURROGATES`.
    x : ndarray
        Membrane potential minus threshold.
    slope : float
        As in `spike_grad`.

    Returns
    -------
    ndarray
        Shaped as `x`.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    return named(name).derivative(x, slope)


def autograd(name: str, x: np.ndarray, slope: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the step, and the gradient that snntorch's autograd gives it.

    Parameters
    ----------
    name : str
        One of `SURROGATES`.
    x : ndarray
        Membrane potential minus threshold.
    slope : float
        As in `spike_grad`.

    Returns
    -------
    spk : ndarray
        Zeros and ones, shaped as `x`.
    gradient : ndarray
        Shaped as `x`.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    leaf = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    spk = spike_grad(name, slope)(leaf)
    (gradient,) = torch.autograd.grad(spk.sum(), leaf)
    return spk.detach().numpy(), gradient.numpy()
