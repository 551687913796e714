"""The adaptive neuron against its equations, computed number by number."""

import numpy as np
import pytest
import torch

from shd_engine.adaptive import AdaptiveLeaky


def run(lif, currents):
    """Return spikes, adaptations and membranes of all steps, (steps, batch, neurons) each."""
    state = lif.reset_mem()
    steps = []
    for cur in currents:
        spk, *state = lif(cur, *state)
        steps.append((spk, *state))
    return [torch.stack(values) for values in zip(*steps, strict=True)]


@torch.no_grad()
def test_the_neuron_computes_its_equations():
    lif = AdaptiveLeaky(6, 0.9, adapt_ms=30.0, generator=torch.Generator().manual_seed(4))
    lif.from_spk[3] = -2.0  # counts as 0
    lif.from_mem[4] = -2.0
    currents = torch.tensor([0.2, 0.5, 0.9, 1.5, 3.0, -1.0]).expand(50, 1, 6)
    spk, adaptation, mem = run(lif, currents)
    for i in range(6):
        left = float(lif.left[i])
        from_mem = max(float(lif.from_mem[i]), 0)
        from_spk = max(float(lif.from_spk[i]), 0)
        u = 0.0
        a = 0.0
        s = 0.0
        for t in range(50):
            u = 0.9 * u + (float(currents[t, 0, i]) - a) - s
            s = float(u > 1)
            a = left * a + (1 - left) * (from_mem * u + from_spk * s)
            assert float(spk[t, 0, i]) == s
            assert float(mem[t, 0, i]) == pytest.approx(u, rel=1e-4, abs=1e-5)
            assert float(adaptation[t, 0, i]) == pytest.approx(a, rel=1e-4, abs=1e-5)
    assert spk.sum() > 20


@pytest.mark.parametrize("step_ms", [3.0, 10.0])
def test_time_constants_lie_between_the_half_and_the_double(step_ms):
    generator = torch.Generator().manual_seed(0)
    lif = AdaptiveLeaky(4000, 0.9, adapt_ms=200.0, step_ms=step_ms, generator=generator)
    tau_ms = -step_ms / torch.log(lif.left)
    assert 100 <= tau_ms.min() < 102
    assert 396 < tau_ms.max() <= 400.1
    assert float((tau_ms < 200).float().mean()) == pytest.approx(0.5, abs=0.03)
    assert not lif.left.requires_grad


def test_the_weights_are_trained_and_those_below_0_get_no_gradient():
    lif = AdaptiveLeaky(3, 0.9, generator=torch.Generator().manual_seed(0))
    lif.from_mem.data[0] = -0.5
    _, _, mem = run(lif, torch.ones(20, 2, 3))
    mem.sum().backward()
    assert lif.from_mem.grad[0] == 0
    assert (lif.from_mem.grad[1:] != 0).all()
    assert (lif.from_spk.grad != 0).all()


@pytest.mark.parametrize("name", ["adapt_ms", "step_ms"])
@pytest.mark.parametrize("value", [0.0, -1.0, np.nan])
def test_a_time_that_is_not_above_0_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} {value}: give a number of milliseconds above 0"):
        AdaptiveLeaky(3, 0.9, **{name: value})
