"""The networks of the examples, against loops over the steps."""

import pytest
import torch
from torch.nn import functional

import shd_engine as engine
from engine_tests.test_scan import loop

pytest.importorskip("shd_helpers")  # its data

from engine_examples import recurrent_digits, se_adlif


def test_the_recurrent_network_is_compiled():
    engine.compile(recurrent_digits.Recurrent(12, 5, n_hidden=8))


def test_the_published_network_learns_as_its_loop_does(monkeypatch):
    x = torch.poisson(torch.full((30, 6, 14), 4.0), torch.Generator().manual_seed(0))
    labels = torch.arange(6) % 5
    found = []
    for run in (engine.scan, loop):
        monkeypatch.setattr(engine, "scan", run)
        torch.manual_seed(0)
        net = se_adlif.Published(14, 5, n_hidden=16)
        with torch.no_grad():
            net.lif1.threshold /= 5
            net.lif2.threshold /= 5
        optimizer = se_adlif.adam(net)
        for _ in range(3):
            optimizer.zero_grad()
            functional.cross_entropy(net(x), labels).backward()
            optimizer.step()
        assert net.lif2.b.max() <= 2
        found.append([net.eval()(x), *net.parameters()])
    for own, of_loop in zip(*found, strict=True):
        torch.testing.assert_close(own, of_loop, rtol=1e-4, atol=1e-5)
    assert loop(net.fc1(x), net.lif1)[0].mean() > 0.01
