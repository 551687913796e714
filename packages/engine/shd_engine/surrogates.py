"""How the kernels compute the derivative of a surrogate.

snntorch hides the slope of a surrogate in a closure. So the derivative of its function is sampled,
and compared with the formulas of the three surrogates that the kernels have. For any other one,
autograd computes the derivative at all membranes, and the kernels read it (`kernels.GIVEN`).
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from snntorch import surrogate

from shd_engine import kernels

SpikeGrad = Callable[[torch.Tensor], torch.Tensor]
# At these distances from the threshold a surrogate is sampled.
SAMPLED = np.concatenate([np.linspace(-3, 3, 61), [1e-30, -1e-30, 1e-6, -1e-6]])
_THRESHOLD = 30  # index of the distance 0


class Compiled(NamedTuple):
    """The derivative of a surrogate as the kernels read it: see `kernels.Layer`."""

    kind: int
    slope: float = 0.0
    half_slope: float = 0.0


def fast_sigmoid_derivative(x: np.ndarray, slope: float) -> np.ndarray:
    """Return the derivative of x / (1 + slope |x|)."""
    return 1 / (1 + slope * np.abs(x)) ** 2


def atan_derivative(x: np.ndarray, slope: float) -> np.ndarray:
    """Return the derivative of arctan(pi x slope / 2) / pi; snntorch calls the slope alpha."""
    return (slope / 2) / (1 + (np.pi * x * slope / 2) ** 2)


def sigmoid_derivative(x: np.ndarray, slope: float) -> np.ndarray:
    """Return the derivative of 1 / (1 + exp(-slope x)), without overflow."""
    decay = np.exp(-slope * np.abs(x))
    return slope * decay / (1 + decay) ** 2


def spikes_and_derivative(function: SpikeGrad, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the spikes of a surrogate, and the derivative that its backward pass uses."""
    leaf = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():  # a caller may have switched gradients off
        spk = function(leaf)
        (slopes,) = torch.autograd.grad(spk.sum(), leaf)
    return spk.detach().numpy(), slopes.numpy()


def autograd_derivative(function: SpikeGrad, x: np.ndarray) -> np.ndarray:
    """Return the derivative that a surrogate's backward pass uses."""
    _, slopes = spikes_and_derivative(function, x)
    return slopes


def derivative_at(function: SpikeGrad, distance: torch.Tensor) -> torch.Tensor:
    """Return the derivative of a surrogate at distances from the threshold, in float32."""
    with torch.enable_grad():
        leaf = distance.detach().requires_grad_()
        spk = function(leaf)
        (derivative,) = torch.autograd.grad(spk, leaf, torch.ones_like(spk))
    return derivative


@lru_cache(maxsize=256)
def compiled_surrogate(function: SpikeGrad) -> Compiled:
    """Return how the kernels compute the derivative of a surrogate.

    Only functions of snntorch's own module are sampled once. Another function may read a slope that
    changes while a network is trained.
    """
    if getattr(function, "__module__", "") != surrogate.__name__:
        return Compiled(kernels.GIVEN)
    _, found = spikes_and_derivative(function, SAMPLED)
    at_1 = found[np.flatnonzero(SAMPLED == 1)[0]]
    at_0 = found[_THRESHOLD]
    if not at_0 > 0 or not at_1 > 0:
        return Compiled(kernels.GIVEN)
    slope = 1 / np.sqrt(at_1) - 1
    if _is(found, fast_sigmoid_derivative, slope):
        return Compiled(kernels.FAST_SIGMOID, slope)
    if _is(found, atan_derivative, 2 * at_0):
        return Compiled(kernels.ATAN, np.pi * at_0, at_0)
    if _is(found, sigmoid_derivative, 4 * at_0):
        return Compiled(kernels.SIGMOID, 4 * at_0)
    return Compiled(kernels.GIVEN)


def _is(found: np.ndarray, formula: Callable[..., np.ndarray], slope: float) -> bool:
    """Tell whether a sampled derivative is that of a formula."""
    is_known = np.isfinite(found)  # snntorch's sigmoid overflows far from the threshold
    return np.allclose(found[is_known], formula(SAMPLED, slope)[is_known], rtol=1e-6, atol=1e-12)


@lru_cache(maxsize=256)
def not_a_step(function: SpikeGrad) -> str | None:
    """Say why a surrogate's spikes, or its gradient, can't be those of a step."""
    leaf = torch.tensor(SAMPLED, requires_grad=True)
    with torch.enable_grad():
        if not function(leaf).requires_grad:
            return "has no gradient"
    spk, once = spikes_and_derivative(function, SAMPLED)
    if not np.array_equal(spk, SAMPLED > 0):
        return "doesn't return 1 above the threshold and 0 elsewhere"
    with torch.enable_grad():
        (minus_twice,) = torch.autograd.grad(-2 * function(leaf).sum(), leaf)
    if not np.allclose(minus_twice.numpy(), -2 * once, rtol=1e-5, equal_nan=True):
        return "doesn't multiply a gradient by one derivative"
    return None
