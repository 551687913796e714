"""Costs against NeuroBench's own count, and by hand."""

import copy

import numpy as np
import pytest
import torch
from neurobench.metrics.static import Footprint
from neurobench.metrics.workload import ActivationSparsity, SynapticOperations
from neurobench.models import SNNTorchModel

from shd_engine.network import weight_and_bias
from shd_helpers.network.operation_counts import costs, late_spikes
from shd_helpers.study import training
from tests.builders.events import make_events, random_events
from tests.networks import spiking_network

EVENTS = random_events(40, 30, 20, 5, 0.1)


OPTIONS = {
    "plain": {},
    "delays": {"delays": (0, 3, 29, 40)},
    "shared weights": {"delays": (0, 4), "kernel_size": 8, "stride": 5},
}
SIZES = [20, 30, 12, 5]


@pytest.fixture(scope="module", params=OPTIONS.values(), ids=OPTIONS.keys())
def trained(request):
    generator = torch.Generator().manual_seed(0)
    model = spiking_network(SIZES, 0.9, "fast_sigmoid", 2.0, generator, **request.param)
    training.overfit(model, EVENTS, 30)
    return model


def spread_out(model):
    """Return the same network with Linear layers only, which are all that NeuroBench knows."""
    weight, bias = weight_and_bias(model.fc1)
    sizes = [SIZES[0], len(bias), *SIZES[2:]]
    generator = torch.Generator()
    plain = spiking_network(sizes, 0.9, "fast_sigmoid", 2.0, generator, delays=model.delays)
    plain.load_state_dict(model.state_dict() | {"fc1.weight": weight, "fc1.bias": bias})
    return plain


class BatchFirst(torch.nn.Module):
    """The network with NeuroBench's order of axes."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model.record(x.transpose(0, 1)).spk


def test_counts_are_neurobench_s(trained):
    predictions = training.evaluate(trained, EVENTS).predictions()
    assert predictions.hidden_spikes.min() > 0
    ours = costs(trained, predictions, EVENTS.n_steps)

    plain = spread_out(trained)
    wrapped = SNNTorchModel(BatchFirst(plain), custom_forward=True)
    wrapped.register_hooks()
    x = torch.from_numpy(EVENTS.to_frames(range(len(EVENTS)))).transpose(0, 1)
    data = (x, torch.from_numpy(EVENTS.labels))
    with torch.no_grad():
        spikes = wrapped(x)
    theirs = SynapticOperations()(wrapped, spikes, data)
    assert theirs["Effective_MACs"] == 0
    assert ours["effective_acs"] == pytest.approx(theirs["Effective_ACs"], rel=1e-9)
    sparsity = ActivationSparsity()(wrapped, spikes, data)
    assert ours["activation_sparsity"] == pytest.approx(sparsity, rel=1e-9)
    # NeuroBench also counts snntorch's hidden-state buffers, whose size is the last batch's
    states = sum(lif.mem.numel() for _, lif in plain.layers)
    shared = sum(p.numel() for p in plain.parameters()) - ours["parameters"]
    assert ours["footprint_bytes"] == Footprint()(wrapped) - 4 * (states + shared)
    wrapped.cleanup_hooks()


def test_late_spikes_synapses_and_updates_are_counted_one_by_one(trained):
    """Words of different lengths, one of them silent, step after step through snntorch's loop."""
    rng = np.random.default_rng(0)
    active = rng.random((6, 30, 20)) < 0.3
    for i, end in enumerate((30, 20, 9, 0, 25, 12)):
        active[i, end:] = False
    events = make_events(active, 5, 0)
    trained = copy.deepcopy(trained)
    with torch.no_grad():
        for fc, _ in trained.layers:
            fc.bias += 0.2  # so that neurons spike without input
    wanted = []
    states = None
    for i in range(len(events)):
        with torch.no_grad():
            states = trained.record(torch.from_numpy(events.to_frames([i])))
        heard = np.flatnonzero(active[i].any(1))
        after = range(max(heard, default=-1) + 1, events.n_steps)
        layers = (*states.hidden_spk, states.spk)
        wanted.append(sum(int(spk[t].sum()) for spk in layers for t in after))
    assert late_spikes(trained, events).tolist() == wanted
    assert max(wanted) > wanted[0] == 0

    predictions = training.evaluate(trained, events).predictions()
    found = costs(trained, predictions, events.n_steps)
    assert found["late_spikes"] == pytest.approx(np.mean(wanted))
    assert found["neuron_updates"] == sum(m.numel() for m in (*states.hidden_mem, states.mem))
    synapses = [p for name, p in spread_out(trained).named_parameters() if "weight" in name]
    assert found["unrolled_synapses"] == sum(int((w != 0).sum()) for w in synapses)
