"""Train small networks on the filter bank with fewer channels and longer steps.

``python -m evidence.how_small FOLDER`` reads the recordings of `commands` from a folder and does
what is left of ``plans/how_small.yaml``. It writes ``how_small.h5`` with the answers for all
validation people, and ``how_small.csv``.
"""

import argparse
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import joblib
import numpy as np
import pandas as pd
import torch
import yaml  # type: ignore[import-untyped]
from scipy.stats import t
from tqdm import tqdm

from evidence.draws import seed_of
from shd_corpus.class_names import ENGLISH
from shd_corpus.files import atomic
from shd_corpus.filter_bank import EventStream, FilterBank, to_samples
from shd_corpus.levels import background
from shd_corpus.microphone import LONGEST_FILE_S, cut_utterance
from shd_corpus.recording_list import RecordingError
from shd_corpus.sound_file import RATE_HZ, read_sound
from shd_corpus.speech_commands import numbered_people, person_of, read_manifest, role_of
from shd_helpers.command import run as run_command
from shd_helpers.events import Events
from shd_helpers.network import build_network, costs
from shd_helpers.network.engine import one_thread
from shd_helpers.paths import results_dir, runs_dir
from shd_helpers.study.evaluation import evaluate
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.training import TrainOptions, fit
from shd_judge import interval

PLAN = yaml.safe_load((Path(__file__).with_suffix(".yaml")).read_text(encoding="utf-8"))
NOISE_S = 0.38  # before an utterance, in which the floors settle
SAMPLES_HZ = 15_625
COSTS = ("parameters", "events", "accumulates", "memory_bytes")
Input = tuple[int, int]  # channels, and a step's length in ms
INPUTS = list(product(PLAN["windows"], PLAN["steps_ms"]))


def folder() -> Path:
    """Return where sounds and networks are."""
    return runs_dir() / "how_small"


def sound_of(path: Path) -> np.ndarray | None:
    """Return the samples of an utterance with noise before it; None if none is found."""
    seed = seed_of(path, 0)
    try:
        sound, _ = cut_utterance(*read_sound(path, LONGEST_FILE_S), seed)
    except RecordingError:
        return None
    before = background(sound, RATE_HZ, round(NOISE_S * RATE_HZ), seed)
    return to_samples(np.concatenate([before, sound]), RATE_HZ)


def events_of(samples: np.ndarray, bank: FilterBank) -> tuple[np.ndarray, np.ndarray]:
    """Return the events of the utterance, (events,) steps and channels, without those of noise."""
    n = bank.settings.step_samples
    n_before = round(NOISE_S * SAMPLES_HZ) // n
    late = round(NOISE_S * SAMPLES_HZ) - n_before * n
    steps, channels = np.nonzero(EventStream(bank).advance(samples[late:]).events[n_before:])
    return steps.astype(np.uint16), channels.astype(np.uint16)


def make_inputs(commands: Path) -> None:
    """Encode all recordings by people who train or validate in all ways, unless that is done."""
    if all(input_file(each).exists() for each in INPUTS):
        return
    manifest = read_manifest()
    names = [name for name in manifest if role_of(person_of(name)) != "test"]
    people = {person: number for number, person in enumerate(numbered_people(manifest))}
    pool = joblib.Parallel(-1, return_as="generator")
    found = pool(joblib.delayed(sound_of)(commands / name) for name in names)
    sounds = dict(zip(names, tqdm(found, "cutting out", total=len(names)), strict=True))
    kept = [name for name in names if sounds[name] is not None]
    labels = [ENGLISH.index(name.partition("/")[0]) for name in kept]
    validates = [role_of(person_of(name)) == "validation" for name in kept]
    folder().mkdir(parents=True, exist_ok=True)
    for each in INPUTS:
        bank = FilterBank(*each)
        steps, units = zip(*(events_of(sounds[name], bank) for name in tqdm(kept)), strict=True)
        with atomic(input_file(each)) as unfinished, unfinished.open("wb") as file:
            np.savez(
                file,
                steps=np.concatenate(steps),
                units=np.concatenate(units),
                offsets=np.cumsum([0, *map(len, steps)]),
                labels=labels,
                speakers=[people[person_of(name)] for name in kept],
                validates=validates,
            )


def input_file(given: Input) -> Path:
    """Return the file of an input."""
    return folder() / f"{given[0]}_channels_{given[1]}_ms.npz"


def load(given: Input) -> tuple[Events, Events]:
    """Return the utterances that train, and those that judge."""
    n_channels, step_ms = given
    n_steps = round(1000 / step_ms)
    with np.load(input_file(given)) as file:
        is_in = file["steps"] < n_steps
        offsets = np.concatenate([[0], np.cumsum(is_in)])[file["offsets"]]
        arrays = (file["steps"][is_in], file["units"][is_in], offsets, file["labels"])
        sizes: dict[str, Any] = {"n_steps": n_steps, "n_units": n_channels, "step_ms": step_ms}
        events = Events(*arrays, file["speakers"], tuple(ENGLISH), **sizes)
        validates = file["validates"]
    return events.take(np.flatnonzero(~validates)), events.take(np.flatnonzero(validates))


def name_of(given: Input, n_hidden: int, seed: int) -> str:
    """Return the name of a network."""
    return f"{given[0]} channels, {given[1]} ms, {n_hidden} neurons, seed {seed}"


def recipe_of(given: Input, n_hidden: int, seed: int) -> Recipe:
    """Return the recipe of a network."""
    n_channels, _ = given
    kernel_size, stride = PLAN["windows"][n_channels]
    settings: dict[str, Any] = PLAN["network"] | {"n_hidden": n_hidden, "seed": seed}
    settings |= {"dataset": "commands", "encoder": "filter_bank", "first_unit": 0, "pool_units": 1}
    settings |= {"pool_threshold": 1, "kernel_size": kernel_size, "stride": stride}
    settings |= {"shift_units": round(PLAN["shift"] * n_channels)}
    return Recipe.from_flat(settings, n_channels)


def memory_bytes(recipe: Recipe, given: Input, n_parameters: float) -> float:
    """Return the memory that the plan defines."""
    n_channels, step_ms = given
    network = recipe.network
    n_windows = (n_channels - network.kernel_size) // network.stride + 1
    n_neurons = network.n_hidden * n_windows + len(ENGLISH)
    return n_parameters + 2 * n_neurons + n_channels * max(network.delays(float(step_ms))) / 8


def train(given: Input, n_hidden: int, seed: int) -> None:
    """Train a network and store its answers and costs, unless that is done."""
    path = folder() / f"{name_of(given, n_hidden, seed)}.npz"
    if path.exists():
        return
    recipe = recipe_of(given, n_hidden, seed)
    with one_thread():
        training, judging = load(given)
        generator = torch.Generator().manual_seed(seed)
        sizes = (training.n_units, len(ENGLISH), training.step_ms)
        model = build_network(recipe.network, *sizes, generator)
        options = TrainOptions(recipe.augmentation, print_epochs=False)
        fit(model, training, None, recipe.training, generator, options=options)
        tested = evaluate(model, judging)
        counted = costs(model, tested.predictions(), judging.n_steps)
    of_circuit = [counted[name] for name in ("parameters", "input_events", "effective_acs")]
    of_circuit.append(memory_bytes(recipe, given, counted["parameters"]))
    answers = tested.class_scores.numpy().argmax(1).astype(np.uint8)
    with atomic(path) as unfinished, unfinished.open("wb") as file:
        np.savez(file, answers=answers, costs=of_circuit)


def freeze() -> None:
    """Store the answers of all networks, the labels and the people."""
    _, judging = load(INPUTS[0])
    with h5py.File(results_dir() / "how_small.h5", "w") as file:
        file["labels"] = judging.labels.astype(np.uint8)
        file["speakers"] = judging.speakers.astype(np.uint16)
        for given, n_hidden, seed in product(INPUTS, PLAN["neurons"], PLAN["seeds"]):
            name = name_of(given, n_hidden, seed)
            with np.load(folder() / f"{name}.npz") as stored:
                dataset = file.create_dataset(name, data=stored["answers"], compression="gzip")
                dataset.attrs["costs"] = stored["costs"]


def by_person(file: h5py.File, given: Input, n_hidden: int) -> np.ndarray:
    """Return the accuracy of each person with each seed, (people, seeds)."""
    names = [name_of(given, n_hidden, seed) for seed in PLAN["seeds"]]
    right = pd.DataFrame({name: file[name][:] == file["labels"][:] for name in names})
    return right.groupby(file["speakers"][:]).mean().to_numpy()


def table() -> pd.DataFrame:
    """Return a row for each input and number of neurons.

    The planned intervals are over people, of the mean of both seeds. `lost_ci95_with_seeds` was
    added after the results: it also has the variance between the seeds, pooled over all cells.
    """
    rows = []
    with h5py.File(results_dir() / "how_small.h5") as file:
        cells = list(product(INPUTS, PLAN["neurons"]))
        of_cells = {cell: by_person(file, *cell) for cell in cells}
        of_seeds = np.array([its.mean(0) for its in of_cells.values()])
        alpha = 0.05 / (len(INPUTS) - 1)
        between = t.ppf(1 - alpha / 2, len(cells)) * np.sqrt(of_seeds.var(axis=1, ddof=1).mean())
        for (given, n_hidden), its in of_cells.items():
            names = [name_of(given, n_hidden, seed) for seed in PLAN["seeds"]]
            costs_ = np.mean([file[name].attrs["costs"] for name in names], axis=0)
            row = {"encoder": "filter_bank", "channels": given[0], "step_ms": given[1]}
            row |= {"neurons": n_hidden, "people": len(its), "networks": len(names)}
            row |= dict(zip(COSTS, costs_, strict=True))
            row |= dict(zip(("accuracy", "ci95"), over_people(its), strict=True))
            lost, half = over_people(of_cells[INPUTS[0], n_hidden] - its, alpha)
            row |= {"lost": lost, "lost_ci95_adjusted": half}
            row["lost_ci95_with_seeds"] = np.hypot(half, between) if half else 0.0
            rows.append(row)
    return pd.DataFrame(rows)


def over_people(values: np.ndarray, alpha: float = 0.05) -> tuple[float, float]:
    """Return the mean of values (people, seeds) and half its interval over people."""
    mean, half = interval(values.mean(axis=1, keepdims=True), alpha)
    return float(mean), float(half)


def main() -> None:
    """Do what is left, from the command line."""
    parser = argparse.ArgumentParser(prog="python -m evidence.how_small", description=__doc__)
    parser.add_argument("folder", type=Path, help="with the folders zero to nine")
    parser.add_argument("--workers", type=int, default=joblib.cpu_count(), help="processes")
    given = parser.parse_args()
    make_inputs(given.folder)
    jobs = list(product(INPUTS, PLAN["neurons"], PLAN["seeds"]))
    calls = [joblib.delayed(train)(*job) for job in jobs]
    pool = joblib.Parallel(given.workers, batch_size=1, return_as="generator_unordered")
    for _ in tqdm(pool(calls), "training", total=len(calls)):
        pass
    freeze()
    table().to_csv(results_dir() / "how_small.csv", index=False, float_format="%.6g")


if __name__ == "__main__":
    run_command(main)
