"""The figures of notebook 2: a neuron, surrogates, and what they pass back."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from scipy.integrate import solve_ivp

from shd_engine.surrogates import autograd_derivative
from shd_helpers.figures.style import INK, legend_above, legend_beside, point_at, save
from shd_helpers.network.surrogates import curve, derivative, spike_grad

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


def one_neuron(
    n_events: np.ndarray, spk: np.ndarray, mem: np.ndarray, step_ms: float, source: str
) -> Figure:
    """Draw the input of a neuron, its membrane potential and its spikes.

    Shapes: `n_events` (steps,), `spk` (steps,), `mem` (steps,).
    """
    time_ms = step_ms * np.arange(len(n_events))
    is_spike = spk > 0
    figure, (above, below) = plt.subplots(2, sharex=True, figsize=(8, 4.4), height_ratios=(1, 2))
    above.bar(time_ms, n_events, width=step_ms)
    end_ms = min(time_ms[n_events > 0][-1] + 200, time_ms[-1])
    above.set(ylabel="events", xlim=(0, end_ms))
    below.plot(time_ms, mem, color=INK, linewidth=1, linestyle="-", label="membrane potential")
    below.axhline(1, color="C3", linestyle="--", linewidth=1, label="threshold")
    spikes = {"color": "C1", "linestyle": "none", "label": f"{is_spike.sum()} spikes"}
    below.plot(time_ms[is_spike], mem[is_spike], "v", **spikes)
    below.set(xlabel="time (ms)", ylabel=POTENTIAL)
    legend_above(below)
    if is_spike.any():
        last = int(np.flatnonzero(is_spike)[-1])
        tip = (time_ms[last], mem[last])
        start = (min(time_ms[last] + 60, 0.75 * end_ms), 0.9 * mem.max())
        point_at(below, "the last spike", tip, start)
    title = "The membrane adds up its input, leaks, and loses 1 after each spike"
    return save(figure, "one_neuron", source, title)


def losses(curves: Mapping[str, Sequence[float]], n_classes: int, source: str) -> Figure:
    """Draw how the losses of several networks fall.

    The curves are losses before each update, by the name of the gradient.
    """
    figure, axis = plt.subplots(figsize=(8.5, 3.8))
    for name, values in curves.items():
        axis.plot(range(1, len(values) + 1), values, label=name)
    axis.axhline(np.log(n_classes), color="0.5", linestyle="-", linewidth=1, label="guessing")
    axis.set(xlabel="update", ylabel="cross-entropy (nats)", ylim=(0, None))
    legend_beside(axis)
    title = "Only with a surrogate gradient does the loss fall"
    return save(figure, "learning_by_gradient", source, title)


def surrogate_curves(name: str, slopes: Sequence[float], file: str, title: str) -> Figure:
    """Draw a surrogate's smooth curves beside their derivatives."""
    x = np.linspace(-1, 1, 201)
    dots = x[::5]
    figure, (left, right) = plt.subplots(1, 2)
    left.plot(x, x > 0, "-", color=INK, linewidth=1, label="step")
    for slope in slopes:
        left.plot(x, curve(name, x, slope), label=f"slope {slope:g}")
        right.plot(x, derivative(name, x, slope), label=f"slope {slope:g}")
        of_snntorch = autograd_derivative(spike_grad(name, slope), dots)
        right.plot(dots, of_snntorch, ".", color=INK, markersize=3)
    left.set(ylabel=f"output of {name}", ylim=(-0.6, 1.1))
    right.set(ylabel=f"derivative of {name}", yscale="log", ylim=(1e-3, 20))
    plt.setp((left, right), xlabel=DISTANCE)
    legend_above(left)
    right.set_title("dots: snntorch's backward pass")
    return save(figure, file, "formulas of the study, and snntorch", title)


def reach(distance: np.ndarray, slopes: Sequence[float], source: str) -> Figure:
    """Draw where membranes are, and how much of an error the fast sigmoid passes on there."""
    edges = np.linspace(-3, 1.5, 91)
    figure, (above, below) = plt.subplots(2, sharex=True, figsize=(8, 5.2), height_ratios=(1, 1.5))
    shares = np.histogram(distance, edges)[0] / distance.size
    above.stairs(100 * shares, edges, fill=True, color="C0")
    above.set(ylabel="share of the\nmembranes (%)")
    above.set_title("membranes of the hidden neurons, untrained network")
    median = float(np.median(distance))
    x = np.linspace(edges[0], edges[-1], 901)
    for slope in slopes:
        below.plot(x, derivative("fast_sigmoid", x, slope), label=f"slope {slope:g}")
    below.set(xlabel=DISTANCE, ylabel="derivative", yscale="log", ylim=(3e-5, 2))
    for axis in (above, below):
        axis.axvline(median, color=INK, linestyle=":", linewidth=1)
        axis.axvline(0, color="C3", linestyle="--", linewidth=1)
    legend_above(below, "fast_sigmoid")
    at_median = derivative("fast_sigmoid", np.array([median]), max(slopes))[0]
    text = f"at the median membrane,\nslope {max(slopes):g} passes on {at_median:.4f}"
    point_at(below, text, (median, at_median), (-2.8, 5e-5))
    title = "A narrow surrogate passes next to nothing to most membranes"
    return save(figure, "surrogate_reach", source, title)
