"""Run folders: written while a run goes on, read by the analysis."""

import json
import platform
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import torch

from shd_helpers.events import Parts
from shd_helpers.files import atomic
from shd_helpers.network import Network
from shd_helpers.paths import ROOT
from shd_helpers.study.identity import run_hash
from shd_helpers.study.training import origin

PACKAGES = ("torch", "snntorch", "numpy", "h5py", "numba")


class RunError(ValueError):
    """A run folder that can't be read; the message names the folder and the remedy."""


class RunWriter:
    """Writes one run folder: `run.json` and `weights.h5` after every epoch, the rest at the end.

    `run.json` says ``"complete": false`` until `finish` has written everything else, so that a
    run that was cut short is recognised as such and keeps the epochs it had.

    Parameters
    ----------
    folder : Path
        Made if it is missing; what an earlier run left there is replaced.
    parameters : mapping
        The run's flat parameters; `seed` must be one of them.
    data : mapping
        From `datasets.fingerprint`: the data set's name and the hashes of its files.
    parts : Parts
        The utterances; which are for what goes to `utterances.csv.gz`.
    model : SpikingNetwork or ConvolutionalNetwork
        The network after initialisation: its weights are stored as epoch 0.
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
        self._write_json()
        with atomic(folder / "utterances.csv.gz") as part:
            _utterances(parts).to_csv(part, index=False, compression="gzip")
        self._weights: dict[str, list[np.ndarray]] = {
            name: [] for name, _ in model.named_parameters()
        }
        self._keep_weights(model)

    def epoch(self, model: Network, metrics: dict) -> None:
        """Record the end of an epoch."""
        self.info["epochs"].append(metrics)
        self._keep_weights(model)
        self._write_json()

    def finish(
        self,
        model: Network,
        scores: Mapping[str, float | None],
        predictions: pd.DataFrame,
        examples: Mapping[str, Mapping[str, np.ndarray]],
        costs: Mapping[str, float],
    ) -> None:
        """Write what the trained network did, and last that the run is complete.

        Parameters
        ----------
        model : SpikingNetwork or ConvolutionalNetwork
            Its `state_dict` goes to `state_dict.pt`.
        scores : mapping
            Accuracies as fractions, None where there is no utterance to measure.
        predictions : DataFrame
            From `training.Evaluation.predictions`; goes to `predictions.csv`.
        examples : mapping
            From `record_examples`; goes to `examples.h5`.
        costs : mapping
            From `costs.costs`.
        """
        with atomic(self.folder / "state_dict.pt") as part:
            torch.save(model.state_dict(), part)
        with atomic(self.folder / "predictions.csv") as part:
            predictions.to_csv(part, index=False)
        with atomic(self.folder / "examples.h5") as part, h5py.File(part, "w") as file:
            for word, arrays in examples.items():
                for name, array in arrays.items():
                    file.create_dataset(f"{word}/{name}", data=array, compression="gzip")
        self.info["scores"], self.info["costs"] = dict(scores), dict(costs)
        training_s = sum(metrics["wall_s"] for metrics in self.info["epochs"])
        self.info["wall_s"] = {"training": training_s, "total": time.perf_counter() - self._start}
        self.info["complete"] = True
        self._write_json()

    def _keep_weights(self, model: Network) -> None:
        for name, parameter in model.named_parameters():
            self._weights[name].append(parameter.detach().cpu().numpy().copy())
        with atomic(self.folder / "weights.h5") as part, h5py.File(part, "w") as file:
            for name, epochs in self._weights.items():
                file[name.replace(".", "/")] = np.stack(epochs)

    def _write_json(self) -> None:
        with atomic(self.folder / "run.json") as part:
            part.write_text(json.dumps(self.info, indent=1) + "\n", encoding="utf-8")


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
    remedy = "Run 03_model_training with this run_name first."
    path = folder / "run.json"
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
        complete = info["complete"]
    except FileNotFoundError:
        raise RunError(f"{path}: no such file. {remedy}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: damaged ({error!r}). {remedy}") from error
    if not complete:
        done = len(info["epochs"])
        raise RunError(f"{path}: the run was cut short after {done} epochs. {remedy}")
    weights, examples = {}, {}
    with h5py.File(folder / "weights.h5") as file:
        file.visititems(lambda name, item: weights.update(_values(name, item)))
    with h5py.File(folder / "examples.h5") as file:
        for word, group in file.items():
            examples[word] = {name: values[:] for name, values in group.items()}
    predictions = pd.read_csv(folder / "predictions.csv", keep_default_na=False)
    return Run(folder, info, pd.DataFrame(info["epochs"]), weights, predictions, examples)


def _values(name: str, item: h5py.Dataset | h5py.Group) -> dict[str, np.ndarray]:
    return {name: item[:]} if isinstance(item, h5py.Dataset) else {}
