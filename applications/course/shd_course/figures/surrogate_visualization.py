"""The figures of notebook 2: a circuit, surrogates, and how networks learn with them."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from scipy.integrate import solve_ivp

from shd_course.figures.style import INK, legend_above, legend_beside, point_at, save

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
