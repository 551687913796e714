"""Small networks and runs that tests of identity share."""

import pandas as pd
import snntorch as snn
import torch

from shd_helpers.events import Subsets
from shd_helpers.network import SpikingNetwork, build_network
from shd_helpers.network.surrogates import spike_grad
from shd_helpers.study.one_run import RunWriter
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.run_folder import read_run
from tests.builders.events import random_events

DATA = {"name": "hand", "train_sha256": "1", "test_sha256": "2"}


SMALL = {"n_hidden": 12, "pool_steps": 10, "language": "english", "beta": 0.9375}


GRID = Recipe.from_flat(SMALL).input


EVENTS = random_events(9, GRID.n_steps, GRID.n_units, 10, 0.1)


def own(**changes):
    """Return the network of a run's parameters, large enough to spike."""
    recipe = Recipe.from_flat(SMALL | changes)
    grid = recipe.input
    generator = torch.Generator().manual_seed(0)
    model = build_network(recipe.network, grid.n_units, 10, grid.step_ms, generator)
    if isinstance(model, SpikingNetwork):
        with torch.no_grad():
            model.fc1.weight.mul_(4)
    return model


def written(folder, model, parameters=None, data=DATA):
    """Write a run of a model that was never trained."""
    recipe = Recipe.from_flat(parameters or SMALL)
    parts = Subsets(EVENTS.take(range(5)), EVENTS.take(range(5, 9)), None)
    run = RunWriter(folder, recipe.flat(), data, parts, model)
    predictions = pd.DataFrame({"speaker": [0, 1], "label": "one", "predicted": "two"})
    run.finish(model, {"test": 0.5}, predictions, {}, {})
    return read_run(folder)


class Plain(torch.nn.Module):
    """The network of notebook 3, as a user writes it."""

    def __init__(self, sizes, beta=0.95):
        super().__init__()
        self.fc1 = torch.nn.Linear(sizes[0], sizes[1])
        self.lif1 = snn.Leaky(beta=beta, spike_grad=spike_grad("fast_sigmoid", 2.0))
        self.fc2 = torch.nn.Linear(sizes[1], sizes[2])
        self.lif2 = snn.Leaky(beta=beta, spike_grad=spike_grad("fast_sigmoid", 2.0))

    def forward(self, frames):
        mem1 = self.lif1.reset_mem()
        mem2 = self.lif2.reset_mem()
        outputs = []
        for frame in frames:
            spk1, mem1 = self.lif1(self.fc1(frame), mem1)
            outputs.append(self.lif2(self.fc2(spk1), mem2))
            mem2 = outputs[-1][1]
        spikes, membranes = zip(*outputs, strict=True)
        return torch.stack(spikes), torch.stack(membranes)
