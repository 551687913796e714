"""Run folders: written beside when a run has ended, read by the analysis; see `handover`."""

import json
import platform
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from weakref import WeakValueDictionary

import h5py
import numpy as np
import pandas as pd
import torch
from filelock import FileLock

from shd_helpers.events import Parts
from shd_helpers.files import atomic, reading
from shd_helpers.network import Network
from shd_helpers.paths import ROOT
from shd_helpers.study import handover
from shd_helpers.study.evaluation import origin
from shd_helpers.study.handover import RunError
from shd_helpers.study.recipe import run_hash
from shd_helpers.study.run_files import REMEDY, read_arrays, read_predictions

PACKAGES = ("torch", "snntorch", "numpy", "h5py", "numba")
_INSIDE = {"parameters": dict, "data": dict, "scores": dict, "epochs": list, "seen_speakers": list}
_OPEN: WeakValueDictionary[Path, "RunWriter"] = WeakValueDictionary()  # of this process


class RunWriter:
    """Keeps what a run leaves, writes it beside its run folder and moves it there, complete.

    Until `finish` has ended, the run folder keeps the complete run that it may hold. A run that is
    cut short leaves nothing.

    Parameters
    ----------
    folder : Path
        Made if it is missing; `finish` replaces the run in it and leaves all other files.
    parameters : mapping
        The run's flat parameters; `seed` must be one of them.
    data : mapping
        From `datasets.fingerprint`: the data set's name and the hashes of its files.
    parts : Parts
        The utterances; which are for what goes to `utterances.csv.gz`.
    model : SpikingNetwork or ConvolutionalNetwork
        The network after initialisation: its weights are stored as epoch 0.

    Raises
    ------
    RunError
        If another process writes the run, or it can't be written. A second writer in the same
        process takes the first one's place.
    """

    def __init__(
        self,
        folder: Path,
        parameters: Mapping,
        data: Mapping[str, str],
        parts: Parts,
        model: Network,
    ) -> None:
        self.folder = folder
        if earlier := _OPEN.pop(folder.absolute(), None):
            earlier._lock.release()
        self._lock: FileLock = handover.locked(folder)
        _OPEN[folder.absolute()] = self
        handover.begin(folder)
        self._start = time.perf_counter()
        self.info = {
            "complete": False,
            "parameters": dict(parameters),
            "seed": parameters["seed"],
            "data": dict(data),
            "hash": run_hash(parameters, data),
            "seen_speakers": np.unique(parts.training.speakers).tolist(),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {"python": platform.python_version()}
            | {name: version(name) for name in PACKAGES},
            "threads": torch.get_num_threads(),
            "git_commit": _git_commit(),
            "wall_s": {},
            "epochs": [],
            "scores": {},
        }
        self._parts, self._weights = parts, [_weights(model)]
        self._json()

    def epoch(self, model: Network, metrics: dict) -> None:
        """Record the end of an epoch."""
        self._check()
        self.info["epochs"].append(metrics)
        self._weights.append(_weights(model))
        self._json()  # a loss that is no number ends a run now

    def finish(
        self,
        model: Network,
        scores: Mapping[str, float | None],
        predictions: pd.DataFrame,
        examples: Mapping[str, Mapping[str, np.ndarray]],
        costs: Mapping[str, float],
    ) -> None:
        """Write what the trained network did, and move the complete run into the run folder.

        Parameters
        ----------
        model : SpikingNetwork or ConvolutionalNetwork
            Its `state_dict` goes to `state_dict.pt`.
        scores : mapping
            Accuracies as fractions, None where there is no utterance to measure.
        predictions : DataFrame
            From `evaluation.Evaluation.predictions`; goes to `predictions.csv`.
        examples : mapping
            From `record_examples`; goes to `examples.h5`.
        costs : mapping
            From `costs.costs`.
        """
        self._check()
        place = handover.unfinished(self.folder)
        with atomic(place / "utterances.csv.gz") as part:
            _utterances(self._parts).to_csv(part, index=False, compression="gzip")
        with atomic(place / "state_dict.pt") as part:
            torch.save(model.state_dict(), part)
        with atomic(place / "predictions.csv") as part:
            predictions.to_csv(part, index=False)
        with atomic(place / "examples.h5") as part, h5py.File(part, "w") as file:
            for word, arrays in examples.items():
                for name, array in arrays.items():
                    file.create_dataset(f"{word}/{name}", data=array, compression="gzip")
        with atomic(place / "weights.h5") as part, h5py.File(part, "w") as file:
            for name in self._weights[0]:
                file[name] = np.stack([weights[name] for weights in self._weights])
        self.info["scores"], self.info["costs"] = dict(scores), dict(costs)
        training_s = sum(metrics["wall_s"] for metrics in self.info["epochs"])
        self.info["wall_s"] = {"training": training_s, "total": time.perf_counter() - self._start}
        self.info["complete"] = True
        with atomic(place / "run.json") as part:
            part.write_text(self._json(), encoding="utf-8")
        handover.hand_over(self.folder)
        self._lock.release()

    def _check(self) -> None:
        if not self._lock.is_locked:
            raise RunError(f"{self.folder}: this run has ended, or a later one took its place")

    def _json(self) -> str:
        try:
            return json.dumps(self.info, indent=1, allow_nan=False) + "\n"
        except ValueError:
            what = "a parameter, loss, score or cost is no finite number"
            raise RunError(f"{self.folder}: {what}") from None


def _weights(model: Network) -> dict[str, np.ndarray]:
    """Return a network's weights as they are now, by their names in ``weights.h5``."""
    named = model.named_parameters()
    return {name.replace(".", "/"): p.detach().cpu().numpy().copy() for name, p in named}


def _utterances(parts: Parts) -> pd.DataFrame:
    """Return a row for each utterance: its file and row there, speaker, word, and what it's for."""
    tables = []
    for role, events in parts._asdict().items():
        if events is not None:
            words = np.array(events.class_names)[events.labels]
            columns = {**origin(events), "speaker": events.speakers, "label": words}
            tables.append(pd.DataFrame(columns).assign(role=role))
    return pd.concat(tables)


def _git_commit() -> str | None:
    """Return the code's commit, with "-dirty" if it was changed since; None without git."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--match="]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


@dataclass(frozen=True)
class Run:
    """What a complete run folder holds."""

    folder: Path
    info: dict  # run.json
    epochs: pd.DataFrame  # one row an epoch
    weights: dict[str, np.ndarray]  # "fc1/weight": (epochs + 1, out, in), "fc1/bias", ...
    predictions: pd.DataFrame  # one row a test utterance
    examples: dict[str, dict[str, np.ndarray]]  # by class name

    @property
    def source(self) -> str:
        """Return the line that names the data under a figure."""
        p = self.info["parameters"]
        return f"data: {self.info['data']['name']}, {p['language']}; seed {p['seed']}"


def read_run(folder: Path) -> Run:
    """Read a run folder.

    Parameters
    ----------
    folder : Path
        Written by `RunWriter`.

    Returns
    -------
    Run
        Its content.

    Raises
    ------
    RunError
        If the folder is no run folder or the run in it did not end.
    """
    handover.settle(folder)
    path = folder / "run.json"
    with reading(path, RunError, f"{REMEDY} again."):
        if not path.exists():
            raise RunError(f"{path}: no such file. {REMEDY} first.")
        text = path.read_text(encoding="utf-8")
        info = json.loads(text)
        if not isinstance(info, dict):
            raise ValueError("no run")
        if info["complete"] is not True:
            raise RunError(f"{path}: the run is not complete. {REMEDY} first.")
        if {key: type(info[key]) for key in _INSIDE} != _INSIDE:
            raise RunError(f"{path}: damaged. {REMEDY} again.")
        epochs = pd.DataFrame(info["epochs"])
    examples: dict[str, dict[str, np.ndarray]] = {}
    try:
        weights = read_arrays(folder / "weights.h5")
        for name, values in read_arrays(folder / "examples.h5").items():
            word, _, name = name.partition("/")
            examples.setdefault(word, {})[name] = values
        predictions = read_predictions(folder / "predictions.csv", info["scores"].get("test"))
    except RunError:
        if not handover.is_replaced(folder, text):
            raise
        return read_run(folder)
    if handover.is_replaced(folder, text):
        return read_run(folder)
    return Run(folder, info, epochs, weights, predictions, examples)
