"""Draw 20 utterances at random, and train a network on each of four inputs to classify them.

The slider of notebook 0 and of the site's first page reads `results/four_sizes.js`, which this
program writes once, from the data set `commands`. The people are in no training set: they test fold
0 of the plan `people`, of which the networks are cells. The plan kept answers and no weights, so
the networks are trained anew, in some 20 minutes, and kept below `runs`. A page runs them with
weights of 8 bits.
"""

import argparse
import base64
import io
import json
from typing import Any

import h5py
import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import nn

from evidence.plan import Network, cell_called, frozen_file
from evidence.plan_jobs import HELD_OUT, CellJob, fold_of, job_of
from evidence.tables import people as plan
from shd_corpus.class_names import ENGLISH
from shd_corpus.files import atomic
from shd_corpus.shd_file import N_CHANNELS
from shd_helpers.command import run
from shd_helpers.data import obtain
from shd_helpers.network.engine import one_thread
from shd_helpers.paths import results_dir
from shd_helpers.study.evaluation import evaluate
from shd_helpers.study.network_jobs import seeded
from shd_helpers.study.training import fit

INPUTS = {
    "700 x 1000": "cost",
    "183 x 333, threshold 2": "cost",
    "77 x 333": "size",
    "30 x 30": "size",
}
FOLD = "fold_0"
N_DRAWN = 20
LARGEST = 127  # of a weight's integers


def drawn_utterances() -> np.ndarray:
    """Return the places, in the fold, of the utterances that are shown."""
    with h5py.File(frozen_file(plan())) as file:
        n = len(file[f"utterances/commands/{FOLD}/commands/labels"])
    return np.random.default_rng(0).permutation(n)[:N_DRAWN]


def digits_and_people() -> list[dict[str, Any]]:
    """Return the digit of each utterance that is shown, and the number of its person."""
    drawn = drawn_utterances()
    with h5py.File(frozen_file(plan())) as file:
        utterances = file[f"utterances/commands/{FOLD}/commands"]
        digits = np.array(ENGLISH)[utterances["labels"][:][drawn]].tolist()
        people = utterances["speakers"][:][drawn].tolist()
    pairs = zip(digits, people, strict=True)
    return [{"digit": digit, "person": person} for digit, person in pairs]


def pictures() -> list[str]:
    """Return the spikes of each utterance: a PNG file in base 64, with a row for each channel."""
    training_file, _ = obtain("commands")
    found = []
    with h5py.File(training_file) as file:
        for row in np.flatnonzero(fold_of(file["extra/speaker"][:]) == 0)[drawn_utterances()]:
            milliseconds = (1000 * file["spikes/times"][row].astype(float)).astype(int)
            units = file["spikes/units"][row][milliseconds < 1000]
            raster = np.zeros((N_CHANNELS, 1000), bool)
            raster[units, milliseconds[milliseconds < 1000]] = True
            with io.BytesIO() as content:
                Image.fromarray(raster).save(content, "PNG", optimize=True)
                found.append(base64.b64encode(content.getvalue()).decode())
    return found


def trained(job: CellJob) -> nn.Module:
    """Return the network of a job, which is trained unless its weights are kept."""
    training, _ = job.utterances()
    with one_thread(), seeded(job.seed, job.device):
        generator = torch.Generator().manual_seed(job.seed)
        model = job.make_network(training, generator)
        weights = job.path.with_suffix(".pt")
        if weights.exists():
            model.load_state_dict(torch.load(weights, weights_only=True))
        else:
            fit(model, training, None, job.config, generator, options=job.options)
            with atomic(weights) as unfinished:
                torch.save(model.state_dict(), unfinished)
    return model


def rounded_layers(model: Any) -> list[dict[str, Any]]:
    """Round the weights of both layers to 8 bits, also in the network; return what a page needs.

    A neuron's weights are whole multiples of its scale. The weights of an input are a row of
    `weights`, in base 64, so that a spike adds a row. Biases, which act in each step, stay floats.
    """
    layers = []
    for layer, neuron in ((model.fc1, model.lif1), (model.fc2, model.lif2)):
        weight = layer.weight.detach().double()
        scales = weight.abs().amax(1) / LARGEST
        weights = torch.round(weight / scales[:, None])
        with torch.no_grad():
            layer.weight.copy_(weights * scales[:, None])
        layers.append(
            {
                "weights": base64.b64encode(weights.T.numpy().astype(np.int8).tobytes()).decode(),
                "biases": layer.bias.tolist(),
                "scales": scales.tolist(),
                "beta": float(neuron.beta),
                "threshold": float(neuron.threshold),
            }
        )
    return layers


def accuracy_over_people(job: CellJob, model: nn.Module) -> float:
    """Return a network's accuracy for the held-out people, as a mean over them."""
    events = job.utterances()[1][HELD_OUT]
    with one_thread():
        right = evaluate(model, events).answers == events.labels
    return float(pd.Series(right).groupby(events.speakers).mean().mean())


def main() -> None:
    """Write the file."""
    argparse.ArgumentParser(prog="python -m evidence.four_sizes", description=__doc__).parse_args()
    networks = {}
    accuracies = {}
    for name, question in INPUTS.items():
        cell = cell_called(plan(), question, name)
        job = job_of(plan(), Network(question, {"cell": name}, cell, FOLD, 0))
        model = trained(job)
        before = accuracy_over_people(job, model)
        networks[name] = rounded_layers(model)
        accuracies[name] = round(accuracy_over_people(job, model), 6)
        print(f"{name}: {before:.1%} over people, {accuracies[name]:.1%} with weights of 8 bits")
    utterances = [
        shown | {"spikes": png} for shown, png in zip(digits_and_people(), pictures(), strict=True)
    ]
    stored = {
        "inputs": {name: plan()["inputs"][name] for name in INPUTS},
        "classes": ENGLISH,
        "networks": networks,
        "accuracies": accuracies,
        "utterances": utterances,
    }
    # A page that is opened as a local file can load a program, but no JSON.
    text = f"fourSizes({json.dumps(stored)})\n"
    (results_dir() / "four_sizes.js").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run(main)
