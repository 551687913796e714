"""NIR: what is written means what NIR says, but for the reset, or is refused."""

from dataclasses import fields

import nir
import numpy as np
import pytest
import torch

from shd_circuit import nir_file
from shd_helpers.events.downsampling import Downsampling
from shd_helpers.network import NetworkConfig, build_network
from shd_helpers.network.engine import COMPILED
from tests.builders.events import random_events
from tests.networks import spiking_network

GRID = Downsampling(first_unit=670, duration_s=0.12)  # 10 units x 40 steps
EVENTS = random_events(12, GRID.n_steps, GRID.n_units, 4, 0.2)


def network(delays=(0,), seed=0, **options):
    """Many spikes in both layers; a beta and a threshold for every neuron where they're learned."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [GRID.n_units, 16, 4]
    model = spiking_network(sizes, 0.9375, "atan", 2.0, generator, delays, **options)
    for fc, lif in model.layers:
        fc.weight.data *= 2
        fc.bias.data = 0.2 * torch.rand(fc.out_features, generator=generator) - 0.05
        if lif.beta.dim():
            lif.beta.data = 0.5 + 0.49 * torch.rand(fc.out_features, generator=generator)
        if lif.threshold.dim():
            lif.threshold.data = 0.5 + torch.rand(fc.out_features, generator=generator)
    return model


def write(model, path):
    with pytest.warns(UserWarning, match="NIR's LIF resets to v_reset"):
        nir_file.write_nir(model, GRID, path)
    return nir.read(path)


def by_nir_equations(graph, x, subtract=False):
    """Take NIR's definitions one by one in float64; return spike counts.

    The reset is NIR's own, or the subtraction that the file's warning names.
    """
    dt = float(graph.metadata["time_step_s"])
    delay = graph.nodes["delays"].delay if "delays" in graph.nodes else np.zeros(x.shape[2])
    if "copies" in graph.nodes:
        x = x @ graph.nodes["copies"].weight.T
    mems = [np.zeros((x.shape[1], len(graph.nodes[f"lif{i}"].tau))) for i in (1, 2)]
    counts = 0
    for t in range(len(x)):
        source = t - np.rint(delay / dt).astype(int)
        z = np.where(source >= 0, x[np.maximum(source, 0), :, np.arange(len(source))].T, 0.0)
        for i, v in enumerate(mems, start=1):
            fc = graph.nodes[f"fc{i}"]
            lif = graph.nodes[f"lif{i}"]
            current = z @ np.float64(fc.weight).T + fc.bias
            v += dt / lif.tau * ((lif.v_leak - v) + lif.r * current)
            z = (v > lif.v_threshold).astype(float)
            if subtract:
                v -= z * lif.v_threshold / (1 - dt / np.float64(lif.tau))
            else:
                v[z == 1] = np.broadcast_to(lif.v_reset, v.shape)[z == 1]
        counts = counts + z
    return counts


@pytest.mark.parametrize("delays", [(0,), (0, 3, 7)])
@pytest.mark.parametrize("learn", [False, True])
def test_all_but_the_reset_is_what_nir_defines_and_the_file_says_so(tmp_path, delays, learn):
    """All numbers are the network's, to the last bit."""
    model = network(delays, learn_beta=learn, learn_threshold=learn)
    graph = write(model, tmp_path / "a.nir")
    for i, (fc, lif) in enumerate(model.layers, start=1):
        stored, of_neurons = graph.nodes[f"fc{i}"], graph.nodes[f"lif{i}"]
        betas = (1 - nir_file.STEP_S / of_neurons.tau.astype(float)).astype(np.float32)
        for found, wanted in (
            (stored.weight, fc.weight), (stored.bias, fc.bias),
            (of_neurons.v_threshold, lif.threshold), (betas, lif.beta),
        ):  # fmt: skip
            assert (found == wanted.detach().numpy()).all()
    own = COMPILED.evaluate_batch(model, EVENTS, range(len(EVENTS)))[0].numpy()
    x = EVENTS.to_frames(range(len(EVENTS))).astype(float)
    found = by_nir_equations(graph, x, subtract=True)
    assert (found == own).mean() > 0.95  # but for sums that round across a threshold
    assert (by_nir_equations(graph, x) == own).mean() < 0.8
    assert graph.metadata["reset"] == graph.nodes["lif1"].metadata["reset"] == "subtract"
    assert "threshold / beta" in graph.metadata["warning"]


def without_its_reset(model):
    model.lif2.state_function = model.lif2._base_zero


CHANGES = {
    "a beta of 1": lambda model: setattr(model.lif1.beta, "data", torch.tensor(1.0)),
    # close to 0 a beta has more digits than a time constant of about one step
    "no float32 time constant": lambda m: setattr(m.lif2.beta, "data", torch.tensor(0.0123456789)),
    "not finite": lambda model: setattr(model.lif2.threshold, "data", torch.tensor(torch.inf)),
    "subtract its threshold": without_its_reset,
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_the_file_cannot_hold_is_refused_with_the_reason(tmp_path, what):
    model = network()
    CHANGES[what](model)
    with pytest.raises(ValueError, match=f"NIR can't hold this network: .*{what}"):
        nir_file.write_nir(model, GRID, tmp_path / "a.nir")
    assert not list(tmp_path.iterdir())


OTHERS = {"network": "tests/tried/own_module/gru.py:SmallGRU", "n_hidden": 7, "beta": 0.8}
OTHERS |= {"surrogate": "sigmoid", "slope": 5.0, "readout": "membrane", "learn_beta": True}
OTHERS |= {"learn_threshold": True, "n_delays": 3, "kernel_size": 4, "stride": 2}
OTHERS |= {"neuron": "adaptive", "hidden": "9,7", "hidden_delays": "2"}
REFUSED = {
    "network": "it is a .*SmallGRU",
    "readout": "readout 'membrane'",
    "kernel_size": "kernel_size 4",
    "neuron": "lif1 is a shd_engine.adaptive.AdaptiveLeaky",
    "hidden": "the file holds one hidden layer",
    "hidden_delays": "layer 2 gets copies",
}
# `adapt_ms` counts with a neuron that is refused itself
CONFIGURED = [f.name for f in fields(NetworkConfig) if f.name != "adapt_ms"]


@pytest.mark.filterwarnings("ignore:.*NIR's LIF resets")
@pytest.mark.parametrize("name", CONFIGURED)
def test_every_option_is_kept_or_refused(tmp_path, name):
    config = NetworkConfig(**{name: OTHERS[name]})
    model = build_network(config, GRID.n_units, 4, 3.0, torch.Generator().manual_seed(0))
    if name in REFUSED:
        with pytest.raises(ValueError, match=f"this network: {REFUSED[name]}"):
            nir_file.write_nir(model, GRID, tmp_path / "a.nir")
        return
    for fc, _ in model.layers:
        fc.weight.data *= 3
        fc.bias.data += 0.1
    nir_file.write_nir(model, GRID, tmp_path / "a.nir")
    counts, n_spikes = COMPILED.evaluate_batch(model, EVENTS, range(12))
    x = EVENTS.to_frames(range(12)).astype(float)
    found = by_nir_equations(nir.read(tmp_path / "a.nir"), x, subtract=True)
    assert n_spikes.min() > 0 and (found == counts.numpy()).mean() > 0.9
