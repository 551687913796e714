"""Train networks without spikes on the levels of the filter bank.

``python -m evidence.spikes_cost FOLDER`` reads the recordings of `commands` from a folder and does
what is left of ``plans/spikes_cost.yaml``, after `evidence.how_small`. It writes ``spikes_cost.h5``
with the answers for all validation people, and ``spikes_cost.csv``.
"""

import argparse
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import joblib
import numpy as np
import pandas as pd
import torch
import yaml  # type: ignore[import-untyped]
from torch import nn
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from evidence import how_small
from evidence.how_small import NOISE_S, SAMPLES_HZ, by_person, folder, sound_of
from shd_corpus.class_names import ENGLISH
from shd_corpus.files import atomic
from shd_corpus.filter_bank import EventStream, FilterBank
from shd_corpus.speech_commands import person_of, read_manifest, role_of
from shd_helpers.command import run as run_command
from shd_helpers.network.engine import one_thread
from shd_helpers.paths import results_dir

PLAN = yaml.safe_load((Path(__file__).with_suffix(".yaml")).read_text(encoding="utf-8"))
SPIKING = ((77, 3), 16)  # the network of how_small to which others are compared
N_STEPS, N_CHANNELS, STEP_MS = 100, 77, 10


class Gru(nn.Module):
    """A GRU whose last state is read by a linear layer."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.gru = nn.GRU(N_CHANNELS, hidden, batch_first=True)
        self.read = nn.Linear(hidden, len(ENGLISH))

    def forward(self, levels: torch.Tensor) -> torch.Tensor:
        """Return class scores (batch, classes) of levels (batch, steps, channels)."""
        return self.read(self.gru(levels)[1][0])

    def multiply_accumulates(self) -> int:
        """Return their number for `N_STEPS`."""
        hidden = self.gru.hidden_size
        return N_STEPS * 3 * hidden * (N_CHANNELS + hidden) + hidden * len(ENGLISH)


class Convolutional(nn.Module):
    """A separable convolutional network over steps and channels."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(1, channels, (10, 8), 4, bias=False)]
        layers += [nn.BatchNorm2d(channels), nn.ReLU()]
        for _ in range(blocks):
            layers += [nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)]
            layers += [nn.BatchNorm2d(channels), nn.ReLU()]
            layers += [nn.Conv2d(channels, channels, 1, bias=False)]
            layers += [nn.BatchNorm2d(channels), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.read = nn.Linear(channels, len(ENGLISH))

    def forward(self, levels: torch.Tensor) -> torch.Tensor:
        """Return class scores (batch, classes) of levels (batch, steps, channels)."""
        return self.read(self.layers(levels[:, None]).mean((2, 3)))

    def multiply_accumulates(self) -> int:
        """Return their number for `N_STEPS`."""
        places = ((N_STEPS - 10) // 4 + 1) * ((N_CHANNELS - 8) // 4 + 1)
        weights = [each.weight.numel() for each in self.layers if isinstance(each, nn.Conv2d)]
        return places * sum(weights) + self.read.weight.numel()


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "gru": lambda: Gru(**PLAN["gru"]),
    "convolutional": lambda: Convolutional(**PLAN["convolutional"]),
}


def levels_of(path: Path) -> np.ndarray | None:
    """Return the levels (steps, channels) of an utterance, as how_small cuts it out."""
    samples = sound_of(path)
    if samples is None:
        return None
    bank = FilterBank(N_CHANNELS, STEP_MS)
    n = bank.settings.step_samples
    n_before = round(NOISE_S * SAMPLES_HZ) // n
    late = round(NOISE_S * SAMPLES_HZ) - n_before * n
    found = EventStream(bank).advance(samples[late:]).levels[n_before:][:N_STEPS]
    return np.pad(found, ((0, N_STEPS - len(found)), (0, 0)), mode="edge")


def make_levels(commands: Path) -> None:
    """Store the levels of all utterances in the order of how_small, unless that is done."""
    if (folder() / "levels.npy").exists():
        return
    names = [name for name in read_manifest() if role_of(person_of(name)) != "test"]
    found = joblib.Parallel(-1, return_as="generator")(
        joblib.delayed(levels_of)(commands / name) for name in names
    )
    levels = [each for each in tqdm(found, "levels", total=len(names)) if each is not None]
    np.save(folder() / "levels.npy", np.stack(levels))


def changed(levels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return levels (batch, steps, channels) shifted and stretched as the events are."""
    settings = how_small.PLAN["network"]
    n = len(levels)
    most_steps = settings["shift_ms"] / STEP_MS
    most_units = how_small.PLAN["shift"] * N_CHANNELS
    factor = rng.uniform(1 - settings["stretch"], 1 + settings["stretch"], (n, 1))
    steps = (np.arange(N_STEPS) - rng.uniform(-most_steps, most_steps, (n, 1))) / factor
    units = np.arange(N_CHANNELS) - np.rint(rng.uniform(-most_units, most_units, (n, 1)))
    steps = np.clip(np.rint(steps), 0, N_STEPS - 1).astype(int)
    units = np.clip(units, 0, N_CHANNELS - 1).astype(int)
    moved = levels[np.arange(n)[:, None, None], steps[:, :, None], units[:, None, :]]
    return moved * (rng.random(moved.shape) >= settings["dropout"])


def as_input(levels: np.ndarray) -> torch.Tensor:
    """Return levels as the networks take them."""
    scaled = torch.from_numpy(levels.astype(np.float32) / 64)
    return scaled - scaled.mean((1, 2), keepdim=True)


def train(name: str, seed: int) -> None:
    """Train a network and store its answers and costs, unless that is done."""
    path = folder() / f"{name}, seed {seed}.npz"
    if path.exists():
        return
    settings = how_small.PLAN["network"]
    levels = np.load(folder() / "levels.npy", mmap_mode="r")
    with np.load(how_small.input_file((77, 3))) as file:
        labels, validates = file["labels"], file["validates"]
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    with one_thread():
        network: Any = NETWORKS[name]()
        optimizer = torch.optim.Adam(network.parameters(), lr=settings["lr"])
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, settings["lr_step"], 0.5)
        for _ in range(settings["epochs"]):
            order = rng.permutation(np.flatnonzero(~validates))
            for batch in np.split(order, range(32, len(order), 32)):
                optimizer.zero_grad()
                scores = network(as_input(changed(levels[batch], rng)))
                cross_entropy(scores, torch.from_numpy(labels[batch])).backward()
                optimizer.step()
            schedule.step()
        network.eval()
        with torch.no_grad():
            answers = network(as_input(levels[validates])).numpy().argmax(1)
    costs = [sum(p.numel() for p in network.parameters()), network.multiply_accumulates()]
    with atomic(path) as unfinished, unfinished.open("wb") as stored:
        np.savez(stored, answers=answers.astype(np.uint8), costs=costs)


def freeze() -> None:
    """Store the answers of all networks beside the labels and people of how_small."""
    with h5py.File(results_dir() / "spikes_cost.h5", "w") as file:
        for name, seed in product(NETWORKS, PLAN["seeds"]):
            with np.load(folder() / f"{name}, seed {seed}.npz") as stored:
                dataset = file.create_dataset(f"{name}, seed {seed}", data=stored["answers"])
                dataset.attrs["costs"] = stored["costs"]


def table() -> pd.DataFrame:
    """Return a row for each network, that with spikes first."""
    with h5py.File(results_dir() / "how_small.h5") as file:
        people, labels = file["speakers"][:], file["labels"][:]
        spiking = by_person(file, *SPIKING)
        costs = file[how_small.name_of(*SPIKING, 0)].attrs["costs"]
    rows = [row_of("spiking", (costs[0], costs[2]), spiking, spiking)]
    with h5py.File(results_dir() / "spikes_cost.h5") as file:
        for name in NETWORKS:
            stored = [file[f"{name}, seed {seed}"] for seed in PLAN["seeds"]]
            right = pd.DataFrame([each[:] == labels for each in stored]).T
            its = right.groupby(people).mean().to_numpy()
            rows.append(row_of(name, stored[0].attrs["costs"], its, spiking))
    return pd.DataFrame(rows)


def row_of(name: str, costs: Any, its: np.ndarray, spiking: np.ndarray) -> dict[str, Any]:
    """Return a row of the table."""
    mean, half = how_small.over_people(its)
    row = {"encoder": "filter_bank", "network": name, "people": len(its), "networks": its.shape[1]}
    row |= {"parameters": costs[0], "operations": costs[1], "accuracy": mean, "ci95": half}
    if name == "spiking":
        return row
    mean, half = how_small.over_people(its - spiking)
    return row | {"more": mean, "more_ci95": half}


def main() -> None:
    """Do what is left, from the command line."""
    parser = argparse.ArgumentParser(prog="python -m evidence.spikes_cost", description=__doc__)
    parser.add_argument("folder", type=Path, help="with the folders zero to nine")
    given = parser.parse_args()
    make_levels(given.folder)
    calls = [joblib.delayed(train)(*job) for job in product(NETWORKS, PLAN["seeds"])]
    joblib.Parallel(-1, batch_size=1)(calls)
    freeze()
    table().to_csv(results_dir() / "spikes_cost.csv", index=False, float_format="%.6g")


if __name__ == "__main__":
    run_command(main)
