"""The figures of notebook 2: a circuit, surrogates, and how networks learn with them."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from scipy.integrate import cumulative_trapezoid, solve_ivp

from shd_course.figures.style import INK, legend_above, legend_beside, point_at, save
from shd_engine.surrogates import (
    SpikeGrad,
    atan_derivative,
    autograd_derivative,
    fast_sigmoid_derivative,
    sigmoid_derivative,
    spikes_and_derivative,
)
from shd_helpers.network.surrogates import check_function, spike_grad

N_POINTS = 801
FINE = 1e-3  # distance of the points of a running integral


def _fast_sigmoid(x: np.ndarray, slope: float) -> np.ndarray:
    return x / (1 + slope * np.abs(x))


def _atan(x: np.ndarray, slope: float) -> np.ndarray:
    return np.arctan(np.pi * x * slope / 2) / np.pi


def _sigmoid(x: np.ndarray, slope: float) -> np.ndarray:
    return 0.5 * (1 + np.tanh(slope * x / 2))  # the logistic function, without overflow


CURVES = {"fast_sigmoid": _fast_sigmoid, "atan": _atan, "sigmoid": _sigmoid}
DERIVATIVES = {
    "fast_sigmoid": fast_sigmoid_derivative,
    "atan": atan_derivative,
    "sigmoid": sigmoid_derivative,
}


def curve(name: str, x: np.ndarray, slope: float) -> np.ndarray:
    """Return the smooth curve whose derivative replaces that of the step, by its formula.

    With slope k it is x / (1 + k |x|), arctan(pi x k / 2) / pi or 1 / (1 + exp(-k x)).
    """
    return CURVES[name](x, slope)


def derivative(name: str, x: np.ndarray, slope: float) -> np.ndarray:
    """Return the derivative of `curve`, by its formula."""
    return DERIVATIVES[name](x, slope)


def running_integral(function: SpikeGrad, x: np.ndarray) -> np.ndarray:
    """Return the curve whose derivative a surrogate has: the running integral, 0 at the threshold.

    It is added up by the trapezoidal rule in steps of 0.001, from the threshold to each side.
    """
    farthest = max(float(np.abs(x).max(initial=0)), FINE)
    n_points = int(np.ceil(farthest / FINE)) + 1
    away = np.linspace(0, farthest, n_points)
    above = cumulative_trapezoid(autograd_derivative(function, away), away, initial=0)
    below = cumulative_trapezoid(autograd_derivative(function, -away), away, initial=0)
    return np.where(x >= 0, np.interp(x, away, above), -np.interp(-x, away, below))


def plot_surrogate(surrogate: str | SpikeGrad, slope: float = 2.0, reach: float = 2.0) -> Figure:
    """Draw a surrogate: the spike with the curve that replaces it, and the curve's derivative.

    The derivative is the one that snntorch's backward pass uses, and the curve is its running
    integral, which is 0 at the threshold.

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
        function = spike_grad(surrogate, slope)
    else:
        check_function(surrogate, label)
        function = surrogate
    x = np.linspace(-reach, reach, N_POINTS)
    spk, slopes = spikes_and_derivative(function, x)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
    left.step(x, spk, color=INK, label="spike")
    left.plot(x, running_integral(function, x), label="curve that replaces it")
    left.set_ylabel("output")
    legend_above(left, label)
    right.plot(x, slopes, color="C1")
    right.set_ylabel("derivative (1 / threshold)")
    right.set_title("its derivative, which the backward pass uses", loc="left")
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


DISTANCE = "membrane potential minus threshold"
POTENTIAL = "membrane potential\n(in thresholds)"


def rc_circuit(currents: np.ndarray, stepwise: np.ndarray, beta: float, step_ms: float) -> Figure:
    """Draw the solution of the RC circuit's differential equation, and the step equation's.

    Shapes: `currents` (steps,), `stepwise` (steps,).
    """
    end_ms = step_ms * len(currents)
    exact = _circuit_solution(currents, beta, step_ms)
    fine_ms = np.linspace(0, end_ms, 1500)
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(8, 4.2), height_ratios=(1, 2.5), sharex=True
    )
    above.stairs(currents, step_ms * np.arange(len(currents) + 1), color=INK)
    above.set(ylabel="current I[t]\n(thresholds\nper step)", xlim=(0, end_ms))
    below.plot(fine_ms, exact(fine_ms), "-", linewidth=4, alpha=0.5, label="differential equation")
    after_ms = step_ms * np.arange(1, len(stepwise) + 1)
    dots = {"color": INK, "markersize": 4, "label": "U[t] = beta U[t-1] + I[t]"}
    below.plot(after_ms, stepwise, ".", **dots)
    below.set(xlabel="time (ms)", ylabel=POTENTIAL)
    legend_above(below)
    pulse_end_ms = after_ms[np.flatnonzero(currents)[-1]]
    tau_ms = -step_ms / np.log(beta)
    later_ms = pulse_end_ms + tau_ms
    if later_ms < end_ms:
        share = exact(later_ms) / exact(pulse_end_ms)
        text = f"{tau_ms:.0f} ms after the pulse:\n{100 * share:.0f} % is left"
        start = (0.8 * end_ms, 0.75 * stepwise.max())
        point_at(below, text, (later_ms, float(exact(later_ms))), start)
    title = "The step equation agrees with the circuit after every step"
    return save(figure, "rc_circuit", "two pulses of current", title)


def _circuit_solution(
    currents: np.ndarray, beta: float, step_ms: float
) -> Callable[[float | np.ndarray], np.ndarray]:
    """Return the membrane potential at any times, ms, from the RC circuit's equation."""
    tau_ms = -step_ms / np.log(beta)

    def change(time_ms: float, voltage: np.ndarray) -> np.ndarray:
        step = min(int(time_ms / step_ms), len(currents) - 1)
        return (-voltage + currents[step] / (1 - beta)) / tau_ms

    # the current jumps, so that a solver with long steps would miss where
    accuracy = {"max_step": step_ms / 6, "rtol": 1e-6, "atol": 1e-9}
    span_ms = (0, step_ms * len(currents))
    solution = solve_ivp(change, span_ms, [0.0], dense_output=True, **accuracy).sol
    return lambda time_ms: solution(time_ms)[0]


def losses(curves: Mapping[str, Sequence[float]], n_classes: int, source: str) -> Figure:
    """Draw how the losses of several networks fall.

    The curves are losses before each update, by the name of the gradient.
    """
    figure, axis = plt.subplots(figsize=(8.5, 3.8))
    for name, values in curves.items():
        axis.plot(range(1, len(values) + 1), values, label=name)
    axis.axhline(np.log(n_classes), color="0.5", linestyle="-", linewidth=1, label="guessing")
    axis.set(xlabel="update", ylabel="cross-entropy (nats)", yscale="log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_locator(NullLocator())
    legend_beside(axis)
    title = "Only with a surrogate gradient does the loss fall"
    return save(figure, "learning_by_gradient", source, title)
