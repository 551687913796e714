"""Surrogates: formulas against snntorch's autograd and against differences of the curve."""

import numpy as np
import pytest
import torch
from snntorch import surrogate as snntorch_surrogate

from shd_course.figures import surrogate_plot
from shd_engine.surrogates import autograd_derivative, spikes_and_derivative
from shd_helpers.network import surrogates
from shd_helpers.network.config import SURROGATES
from shd_helpers.network.engine import COMPILED, choose_engine
from tests.networks import spiking_network

X = np.linspace(-2, 2, 401)


@pytest.mark.parametrize("slope", [0.5, 2.0, 25.0, 100.0])
@pytest.mark.parametrize("name", SURROGATES)
def test_derivative_is_snntorchs_and_the_curves(name, slope):
    spk, gradient = spikes_and_derivative(surrogates.spike_grad(name, slope), X)
    np.testing.assert_array_equal(spk, X > 0)
    formula = surrogate_plot.derivative(name, X, slope)
    np.testing.assert_allclose(gradient, formula, rtol=1e-6, atol=1e-12)
    h = 1e-6
    away = X[np.abs(X) > 1e-3]  # fast sigmoid has a kink in its derivative at 0
    curve = surrogate_plot.curve(name, away + h, slope) - surrogate_plot.curve(
        name, away - h, slope
    )
    np.testing.assert_allclose(
        curve / (2 * h), surrogate_plot.derivative(name, away, slope), rtol=1e-4, atol=1e-8
    )


def test_sigmoid_does_not_overflow():
    with np.errstate(over="raise"):
        far = surrogate_plot.derivative("sigmoid", np.array([-1e4, 1e4]), 25.0)
    assert np.all(far < 1e-100)


def test_true_step_has_gradient_zero():
    x = torch.tensor([-1.0, 0.0, 1e-7, 2.0], requires_grad=True)
    spk = surrogates.true_step(x)
    spk.sum().backward()
    assert spk.tolist() == [0, 0, 1, 1]
    assert x.grad.tolist() == [0, 0, 0, 0]


def test_a_fourth_surrogate_is_compiled(monkeypatch):
    monkeypatch.setitem(surrogates.TABLE, "triangular", snntorch_surrogate.triangular)
    model = spiking_network((4, 3, 2), 0.9, "sigmoid", 2.0, torch.Generator())
    model.lif1.spike_grad = surrogates.spike_grad("triangular", 3.0)
    assert choose_engine("compiled", model) is COMPILED


class Boxcar(torch.autograd.Function):
    """A surrogate of a user: within half a unit of the threshold its derivative is 1, else 0."""

    @staticmethod
    def forward(ctx, x):
        """Return spikes."""
        ctx.save_for_backward(x)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx, grad):
        """Let the gradient pass near the threshold."""
        (x,) = ctx.saved_tensors
        return grad * (x.abs() < 0.5)


BOXCAR = Boxcar.apply


def test_a_users_function_has_autograds_derivative_and_its_integral():
    np.testing.assert_array_equal(autograd_derivative(BOXCAR, X), np.abs(X) < 0.5)
    integral = surrogate_plot.running_integral(BOXCAR, X)
    np.testing.assert_allclose(integral, X.clip(-0.5, 0.5), atol=1e-3)


@pytest.mark.parametrize("name", SURROGATES)
def test_the_running_integral_is_the_studys_formula(name):
    """The formulas of the study are an oracle for the integral of any function's gradient."""
    formula = surrogate_plot.curve(name, X, 2.0) - surrogate_plot.curve(name, np.zeros(1), 2.0)
    curve = surrogate_plot.running_integral(surrogates.spike_grad(name, 2.0), X)
    np.testing.assert_allclose(curve, formula, atol=1e-5)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (3, "is a value of type int, not a function"),
        (lambda x: (x > 0).float(), "its result has no gradient"),
        ("fast_sigmoid", "'fast_sigmoid' is a string. Give a function here"),
        (lambda x: BOXCAR, "returned a .*. Does it return a surrogate when it is called"),
        (lambda x: x.sum(), r"returned the shape \(\) for \(64,\)"),
        (lambda x: x.sqrt(), "its spikes at x = -3.00 isn't a finite number"),
        (
            lambda x: torch.where(x > 0, x.sqrt(), 0 * x),
            "its gradient at x = .* isn't a finite number",
        ),
        (lambda x, slope: x, "raised TypeError: .*missing 1 required positional argument"),
    ],
)
def test_a_function_that_is_no_surrogate_gets_a_sentence(function, message):
    with pytest.raises(ValueError, match=f"mine.py:boxcar: {message}"):
        surrogates.check_function(function, "mine.py:boxcar")
