"""Surrogates: the functions that snntorch takes as `spike_grad`.

A spike is a step of the membrane's distance from the threshold, whose derivative is zero almost
everywhere, so that no gradient would get through. A surrogate leaves the spike as it is. Only the
backward pass replaces the step's derivative by that of a smooth curve: Neftci, Mostafa, Zenke
(2019), "Surrogate Gradient Learning in Spiking Neural Networks", IEEE Signal Processing Magazine
36(6).

Any function that snntorch takes as `spike_grad` is a surrogate. The study's three are snntorch's
own, in `TABLE`. `shd_engine.surrogates` has the formulas of their derivatives.
"""

from functools import partial

import numpy as np
import torch
from snntorch import surrogate

from shd_corpus.checks import check_choice
from shd_engine.surrogates import SpikeGrad
from shd_helpers.user_code import UserCodeError, is_reference, load_object

# At these distances from the threshold a user's function is tried.
SAMPLED = np.linspace(-3, 3, 64)

# Each takes a slope. Another surrogate needs an entry here, and its name in `config.SURROGATES`.
TABLE = {
    "fast_sigmoid": surrogate.fast_sigmoid,
    "atan": surrogate.atan,
    "sigmoid": surrogate.sigmoid,
}


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
            asked = " Does it return a surrogate when it is called, as surrogate.atan() does?"
            hint = asked if callable(spk) else ""
            raise UserCodeError(f"{name}: returned a {type(spk).__name__}.{hint} {form}")
        if spk.shape != x.shape:
            raise UserCodeError(f"{name}: returned the shape {tuple(spk.shape)} for (64,). {form}")
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
    """Return the function that snntorch takes as `spike_grad`.

    It is the surrogate of a name or of a reference to the user's own, which needs no slope.
    """
    if is_reference(name):
        own = load_object(name)
        check_function(own, name)
        function = partial(own)  # it can have attributes, as no method can
    else:
        check_choice("surrogate", name, tuple(TABLE))
        function = TABLE[name](slope)
    # snntorch hides both in a closure, and the description of a network names them.
    function.surrogate = name  # type: ignore[attr-defined]
    function.slope = slope  # type: ignore[attr-defined]
    return function
