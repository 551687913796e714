"""The figure of one surrogate: its curve and its derivative, also of a user's own function."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from shd_engine.surrogates import spikes_and_derivative
from shd_helpers.figures.style import INK, legend_above
from shd_helpers.network.surrogates import (
    SpikeGrad,
    surrogate_named,
    surrogate_of_function,
)

N_POINTS = 801
N_DOTS = 41


def plot_surrogate(surrogate: str | SpikeGrad, slope: float = 2.0, reach: float = 2.0) -> Figure:
    """Draw a surrogate: the spike with the curve that replaces it, and the curve's derivative.

    The dots are what snntorch's backward pass uses. For the study's surrogates the lines are
    formulas. For any other function the line on the right is autograd's, too, and the curve on the
    left is its running integral.

    Parameters
    ----------
    surrogate : str or callable
        Any function that snntorch takes as `spike_grad`, a name such as ``"fast_sigmoid"``, or a
        reference such as ``"mine.py:boxcar"``.
    slope : float
        Of a surrogate that is given by its name.
    reach : float
        The axes end at this distance from the threshold.

    Returns
    -------
    Figure
        Two axes. A notebook shows it if it is the last value of a cell.

    Raises
    ------
    ValueError
        If the name is unknown, or the function can't be a surrogate.
    """
    label = _label(surrogate, slope)
    if isinstance(surrogate, str):
        entry = surrogate_named(surrogate)
    else:
        entry = surrogate_of_function(surrogate, label)
    x = np.linspace(-reach, reach, N_POINTS)
    dots = np.linspace(-reach, reach, N_DOTS)
    spk, slopes = spikes_and_derivative(entry.make_spike_grad(slope), dots)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
    left.step(x, x > 0, color=INK, label="spike")
    left.plot(x, entry.curve(x, slope), label="curve that replaces it")
    left.plot(dots, spk, ".", color=INK, markersize=3)
    left.set_ylabel("output")
    legend_above(left, label)
    right.plot(x, entry.derivative(x, slope), color="C1")
    right.plot(dots, slopes, ".", color=INK, markersize=3, label="what the backward pass uses")
    right.set_ylabel("derivative (1 / threshold)")
    legend_above(right, "its derivative")
    for axis in (left, right):
        axis.set_xlabel("membrane potential - threshold")
    plt.close(figure)  # else a notebook shows it twice
    return figure


def _label(surrogate: str | SpikeGrad, slope: float) -> str:
    """Return what the figure calls a surrogate."""
    if isinstance(surrogate, str):
        return surrogate if ".py:" in surrogate else f"{surrogate}, slope {slope:g}"
    owner = getattr(surrogate, "__self__", surrogate)  # of `Boxcar.apply`, Boxcar
    named_thing = owner if isinstance(owner, type) else surrogate
    return getattr(named_thing, "__name__", type(surrogate).__name__)
