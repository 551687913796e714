"""The network against closed forms and a loop over scalars.

Surrogates: formulas against snntorch's autograd and against differences of the curve.
"""

import math

import numpy as np
import pytest
import snntorch as snn
import torch
from snntorch import surrogate as snntorch_surrogate

from shd_course.figures import surrogate_visualization as plots
from shd_engine.network import unfamiliar_component
from shd_engine.surrogates import autograd_derivative, spikes_and_derivative
from shd_helpers.network import NetworkConfig, surrogates
from shd_helpers.network.config import SURROGATES
from shd_helpers.network.engine import COMPILED, choose_engine
from shd_helpers.network.spiking import SpikingNetwork
from tests.networks import spiking_network


def network(sizes=(5, 7, 3), seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return spiking_network(sizes, 0.95, "fast_sigmoid", 2.0, generator, **options)


def scalar_network(weights, biases, beta, x):
    """Loop over steps, layers and neurons in Python floats; return the output spikes."""
    mem = [[0.0] * len(b) for b in biases]
    out = []
    for row in x:
        spk = list(row)
        for layer, (w, b) in enumerate(zip(weights, biases, strict=True)):
            fired = []
            for i in range(len(b)):
                reset = 1.0 if mem[layer][i] > 1 else 0.0
                cur = b[i] + sum(w[i][j] * spk[j] for j in range(len(spk)))
                mem[layer][i] = beta * mem[layer][i] + cur - reset
                fired.append(1.0 if mem[layer][i] > 1 else 0.0)
            spk = fired
        out.append(spk)
    return np.array(out)


@torch.no_grad()
@pytest.mark.parametrize("sizes", [(5, 7, 3), (4, 6, 5, 2)])
def test_whole_network_equals_loop_over_scalars(sizes):
    net = network(sizes=sizes, seed=3)
    generator = torch.Generator().manual_seed(4)
    for fc, _ in net.layers:
        fc.weight.mul_(2)
        fc.bias.uniform_(0, 0.1, generator=generator)
    x = (torch.rand(40, 2, sizes[0], generator=generator) < 0.3).float()
    weights = [fc.weight.tolist() for fc, _ in net.layers]
    biases = [fc.bias.tolist() for fc, _ in net.layers]
    spk = net.record(x).spk
    assert 0 < spk.mean() < 1
    for column in range(2):
        expected = scalar_network(weights, biases, 0.95, x[:, column].tolist())
        np.testing.assert_array_equal(spk[:, column].numpy(), expected)


def test_initial_weights():
    net = network(sizes=(183, 256, 10))
    for fc, lif in net.layers:
        n_out, n_in = fc.weight.shape
        limit = math.sqrt(6 / (n_in + n_out))
        weights = fc.weight.detach()
        assert 0.95 * limit < weights.abs().max() <= limit
        assert weights.std() == pytest.approx(limit / math.sqrt(3), rel=0.05)
        assert not fc.bias.any()
        assert isinstance(lif, snn.Leaky) and lif.reset_mechanism == "subtract"
        assert float(lif.beta) == pytest.approx(0.95) and float(lif.threshold) == 1
    assert torch.equal(net.fc1.weight, network(sizes=(183, 256, 10)).fc1.weight)
    assert not torch.equal(net.fc1.weight, network(sizes=(183, 256, 10), seed=1).fc1.weight)


def test_delayed_copies_equal_nested_loops():
    net = network((3, 4, 2), delays=(0, 2, 9))
    x = torch.rand(6, 2, 3)
    late = net.delayed_copies(x)
    for t in range(6):
        for k, delay in enumerate((0, 2, 9)):
            for unit in range(3):
                want = x[t - delay, :, unit] if t >= delay else torch.zeros(2)
                assert torch.equal(late[t, :, 3 * k + unit], want)
    assert net.fc1.in_features == 9
    assert NetworkConfig(n_delays=4).delays(3.0) == (0, 10, 20, 30)
    assert NetworkConfig(n_delays=4).delays(12.0) == (0, 2, 5, 8)
    with pytest.raises(ValueError, match="n_delays 3: delays are 30 ms apart, but a step"):
        NetworkConfig(n_delays=3).delays(100.0)


@pytest.mark.parametrize(
    "units, kernel_size, stride", [(20, 7, 3), (20, 20, 1), (20, 1, 1), (20, 5, 6)]
)
def test_shared_weights_are_a_convolution_s(units, kernel_size, stride):
    net = network((units, 4, 2), delays=(0, 2), kernel_size=kernel_size, stride=stride)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        net.fc1.bias.copy_(torch.rand(4, generator=generator))
    x = torch.rand(3, 2, units, generator=generator)
    kernel = net.fc1.weight.view(4, 2, kernel_size)
    bias = net.fc1.bias
    want = torch.nn.functional.conv1d(x, kernel, bias, stride).transpose(1, 2).flatten(1)
    cur = net.fc1(x.flatten(1))
    torch.testing.assert_close(cur, want)
    assert net.fc2.in_features == net.fc1.out_features == cur.shape[1]


@torch.no_grad()
def test_readout_membrane_adds_up_without_spikes():
    """With a constant current the mean of U[t] = I (1 - beta^t) / (1 - beta) over the steps."""
    net = network((1, 2), readout="membrane")
    net.fc1.weight.copy_(torch.tensor([[3.0], [-1.0]]))
    recording = net.record(torch.ones(20, 1, 1))
    assert recording.spk.sum() == 0
    mean = np.mean([(1 - 0.95**t) / 0.05 for t in range(1, 21)])
    np.testing.assert_allclose(net.scores(recording)[0], [3 * mean, -mean], rtol=1e-5)


def test_every_neuron_learns_for_itself_where_asked():
    net = network(readout="membrane", learn_beta=True, learn_threshold=True)
    shapes = {name: tuple(p.shape) for name, p in net.named_parameters() if "lif" in name}
    assert shapes == {"lif1.beta": (7,), "lif1.threshold": (7,), "lif2.beta": (3,)}


@pytest.mark.parametrize("delays", [(2, 1), ()])
def test_impossible_delays(delays):
    with pytest.raises(ValueError, match="delays"):
        network(delays=delays)


def test_beta_keeps_its_time_constant_whatever_the_step():
    config = NetworkConfig(beta=0.95)
    assert config.step_beta(3.0) == 0.95
    for step_ms in (1.0, 3.0, 10.0):  # exp(-step / tau) with the tau of 0.95 in 3 ms
        tau_ms = -3.0 / np.log(0.95)
        assert config.step_beta(step_ms) == pytest.approx(np.exp(-step_ms / tau_ms))
    net = SpikingNetwork((5, 4, 3), config, torch.Generator(), 10.0)
    assert net.lif1.beta.item() == pytest.approx(0.95 ** (10 / 3))


def test_a_subclass_that_only_builds_a_network_is_familiar():
    class Small(SpikingNetwork):
        def __init__(self):
            super().__init__((4, 3, 2))

    assert unfamiliar_component(Small()) is None


X = np.linspace(-2, 2, 401)


@pytest.mark.parametrize("slope", [0.5, 2.0, 25.0, 100.0])
@pytest.mark.parametrize("name", SURROGATES)
def test_derivative_is_snntorchs_and_the_curves(name, slope):
    spk, gradient = spikes_and_derivative(surrogates.spike_grad(name, slope), X)
    np.testing.assert_array_equal(spk, X > 0)
    formula = plots.derivative(name, X, slope)
    np.testing.assert_allclose(gradient, formula, rtol=1e-6, atol=1e-12)
    h = 1e-6
    away = X[np.abs(X) > 1e-3]  # fast sigmoid has a kink in its derivative at 0
    curve = plots.curve(name, away + h, slope) - plots.curve(name, away - h, slope)
    np.testing.assert_allclose(
        curve / (2 * h), plots.derivative(name, away, slope), rtol=1e-4, atol=1e-8
    )


def test_sigmoid_does_not_overflow():
    with np.errstate(over="raise"):
        far = plots.derivative("sigmoid", np.array([-1e4, 1e4]), 25.0)
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
    integral = plots.running_integral(BOXCAR, X)
    np.testing.assert_allclose(integral, X.clip(-0.5, 0.5), atol=1e-3)


@pytest.mark.parametrize("name", SURROGATES)
def test_the_running_integral_is_the_studys_formula(name):
    """The formulas of the study are an oracle for the integral of any function's gradient."""
    formula = plots.curve(name, X, 2.0) - plots.curve(name, np.zeros(1), 2.0)
    curve = plots.running_integral(surrogates.spike_grad(name, 2.0), X)
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
