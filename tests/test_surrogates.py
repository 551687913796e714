"""Surrogates: formulas against snntorch's autograd and against differences of the curve."""

import numpy as np
import pytest
import torch

from shd_helpers.network import surrogates
from shd_helpers.network.surrogates import SURROGATES

X = np.linspace(-2, 2, 401)


@pytest.mark.parametrize("slope", [0.5, 2.0, 25.0, 100.0])
@pytest.mark.parametrize("name", SURROGATES)
def test_derivative_is_snntorchs_and_the_curves(name, slope):
    spk, gradient = surrogates.autograd(name, X, slope)
    np.testing.assert_array_equal(spk, X > 0)
    formula = surrogates.derivative(name, X, slope)
    np.testing.assert_allclose(gradient, formula, rtol=1e-6, atol=1e-12)
    h = 1e-6
    away = X[np.abs(X) > 1e-3]  # fast sigmoid has a kink in its derivative at 0
    curve = surrogates.smooth(name, away + h, slope) - surrogates.smooth(name, away - h, slope)
    np.testing.assert_allclose(
        curve / (2 * h), surrogates.derivative(name, away, slope), rtol=1e-4, atol=1e-8
    )


def test_sigmoid_does_not_overflow():
    with np.errstate(over="raise"):
        far = surrogates.derivative("sigmoid", np.array([-1e4, 1e4]), 25.0)
    assert np.all(far < 1e-100)


def test_true_step_has_gradient_zero():
    x = torch.tensor([-1.0, 0.0, 1e-7, 2.0], requires_grad=True)
    spk = surrogates.true_step(x)
    spk.sum().backward()
    assert spk.tolist() == [0, 0, 1, 1]
    assert x.grad.tolist() == [0, 0, 0, 0]


def test_unknown_name():
    with pytest.raises(ValueError, match="surrogate 'triangular': must be one of fast"):
        surrogates.spike_grad("triangular", 1.0)
