"""Run folders of small networks."""

from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from shd_helpers.events import Subsets
from shd_helpers.network import build_network
from shd_helpers.study import TrainOptions, finish_run, fit, obtain_and_identify, read_run, score
from shd_helpers.study.one_run import RunWriter
from tests.builders.events import random_events
from tests.networks import spiking_network

EVENTS = random_events(8, 5, 4, 2, 0.1)


EVENTS = replace(EVENTS, speakers=np.arange(8) % 2)


PARTS = Subsets(EVENTS.take(np.arange(4)), EVENTS.take(np.arange(4, 8)), None)


PREDICTIONS = pd.DataFrame({"utterance": range(4), "speaker": [0, 0, 1, 5], "input_events": 5})


PREDICTIONS["label"] = ["null", "eins", "null", "null"]


PREDICTIONS["predicted"] = ["null", "null", "null", "eins"]


EPOCH = {"epoch": 1, "train_loss": 2.0, "wall_s": 1.5}


def network():
    """Return an untrained network of 4 inputs, 3 hidden neurons and 2 classes."""
    return spiking_network((4, 3, 2), 0.9, "atan", 2.0, torch.Generator().manual_seed(0))


def trained_run(recipe, folder, parts=None, data=None, gain=1):
    """Train a network as notebook 3 does; return it and its run folder, read.

    The weights are multiplied by `gain` first, so that deep networks spike before they are trained.
    """
    parts = parts or recipe.load()
    generator = torch.Generator().manual_seed(recipe.seed)
    size = parts.training.n_units, len(parts.training.class_names), recipe.input.step_ms
    model = build_network(recipe.network, *size, generator)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter *= gain if name.endswith("weight") else 1
    settings = recipe.flat()
    run = RunWriter(folder, settings, data or obtain_and_identify(settings), parts, model)
    options = TrainOptions(recipe.augmentation, recipe.circuit)
    fit(
        model, *parts[:2], recipe.training, generator, options=options, on_epoch=run.epoch
    )  # fmt: skip
    finish_run(run, model, score(model, parts))
    return model, read_run(folder)


def write_run(folder, finish=True, epochs=1):
    """Write a run whose files all depend on the number of its epochs."""
    model = network()
    parameters = {"seed": 7, "language": "german", "lr": 1e-3}
    run = RunWriter(folder, parameters, {"name": "hand"}, PARTS, model)
    for _ in range(epochs):
        with torch.no_grad():
            model.fc1.weight.add_(1)
        run.epoch(model, EPOCH)
    if finish:
        scores = {"test": 0.5, "test_seen": 2 / 3, "test_unseen": 0}
        examples = {"null": {"spk": np.eye(3, dtype=bool), "n": np.array([epochs])}}
        predictions = PREDICTIONS.assign(row=epochs)
        run.finish(model, scores, predictions, examples, {"parameters": 57})
    return model
