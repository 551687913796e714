"""The three surrogates by name: snntorch's own, and beside them the analytic curves.

A surrogate leaves the spike what it is, a step of the membrane's distance from the threshold,
and lends the backward pass the derivative of a smooth curve: Neftci, Mostafa, Zenke (2019),
"Surrogate Gradient Learning in Spiking Neural Networks", IEEE Signal Processing Magazine 36(6).
"""

from collections.abc import Callable

import numpy as np
import torch
from snntorch import surrogate

from shd_helpers.checks import check_choice

# another surrogate also needs: `smooth`, `derivative`, `engine.KINDS`, `kernels.step_back`
_SNNTORCH = {
    "fast_sigmoid": surrogate.fast_sigmoid,
    "atan": surrogate.atan,
    "sigmoid": surrogate.sigmoid,
}
SURROGATES = tuple(_SNNTORCH)


def true_step(x: torch.Tensor) -> torch.Tensor:
    """Return 1 where x > 0, else 0, with the step's true gradient, which is zero everywhere."""
    return (x > 0).to(x.dtype) + 0 * x


def spike_grad(name: str, slope: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return snntorch's step function with the gradient of the named surrogate.

    It takes the membrane's distance from the threshold and returns spikes (0 or 1). The larger the
    slope (snntorch's ``slope``, for atan its ``alpha``), the narrower. ValueError, if the name is
    unknown.
    """
    check_choice("surrogate", name, SURROGATES)
    step = _SNNTORCH[name](slope)
    step.surrogate, step.slope = name, slope  # snntorch hides them in a closure; engines need them
    return step


def smooth(name: str, x: np.ndarray, slope: float) -> np.ndarray:
    """Return the smooth curve whose derivative the surrogate lends to the step, shaped as `x`.

    With x, membrane potential minus threshold, and slope k it is x / (1 + k |x|),
    arctan(pi x k / 2) / pi or 1 / (1 + exp(-k x)).
    """
    check_choice("surrogate", name, SURROGATES)
    if name == "fast_sigmoid":
        return x / (1 + slope * np.abs(x))
    if name == "atan":
        return np.arctan(np.pi * x * slope / 2) / np.pi
    return 0.5 * (1 + np.tanh(slope * x / 2))  # the logistic function, without overflow


def derivative(name: str, x: np.ndarray, slope: float) -> np.ndarray:
    """Return the derivative of `smooth`, by its formula, shaped as `x`."""
    check_choice("surrogate", name, SURROGATES)
    if name == "fast_sigmoid":
        return 1 / (1 + slope * np.abs(x)) ** 2
    if name == "atan":
        return (slope / 2) / (1 + (np.pi * x * slope / 2) ** 2)
    decay = np.exp(-slope * np.abs(x))  # the derivative is even: this side can't overflow
    return slope * decay / (1 + decay) ** 2


def autograd(name: str, x: np.ndarray, slope: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the step and the gradient that snntorch's autograd gives it, both shaped as `x`."""
    leaf = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    spk = spike_grad(name, slope)(leaf)
    (gradient,) = torch.autograd.grad(spk.sum(), leaf)
    return spk.detach().numpy(), gradient.numpy()
