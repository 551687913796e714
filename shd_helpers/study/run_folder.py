"""Run folders: written beside while a run goes on, read by the analysis; see `handover`."""

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
from shd_helpers.study.identity import run_hash
from shd_helpers.study.run_files import REMEDY, read_arrays, read_epoch, read_predictions

PACKAGES = ("torch", "snntorch", "numpy", "h5py", "numba")
_INSIDE = {"parameters": dict, "data": dict, "scores": dict, "epochs": list, "seen_speakers": list}
_OPEN: WeakValueDictionary[Path, "RunWriter"] = WeakValueDictionary()  # of this process


class RunWriter:
    """Writes one run beside its run folder, and moves it into place when it is complete.

    Until `finish` has ended, the run folder keeps the complete run that it may hold. After each
    epoch its weights and then `run.json` (``"complete": false``) are on the disk, so that a run
    that was cut short keeps the epochs it had: see `read_unfinished`.

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
        with atomic(self._place / "utterances.csv.gz") as part:
            _utterances(parts).to_csv(part, index=False, compression="gzip")
        self._keep_weights(model)
        self._write_json()

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
        with atomic(self._place / "state_dict.pt") as part:
            torch.save(model.state_dict(), part)
        with atomic(self._place / "predictions.csv") as part:
            predictions.to_csv(part, index=False)
        with atomic(self._place / "examples.h5") as part, h5py.File(part, "w") as file:
            for word, arrays in examples.items():
                for name, array in arrays.items():
                    file.create_dataset(f"{word}/{name}", data=array, compression="gzip")
        with atomic(self._place / "weights.h5") as part, h5py.File(part, "w") as file:
            epochs = _epoch_files(self._place, len(self.info["epochs"]))
            for i, weights in enumerate(map(read_epoch, epochs)):
                for name, values in weights.items():
                    shape = (len(epochs), *values.shape)
                    file.require_dataset(name, shape, values.dtype)[i] = values
        self.info["scores"], self.info["costs"] = dict(scores), dict(costs)
        training_s = sum(metrics["wall_s"] for metrics in self.info["epochs"])
        self.info["wall_s"] = {"training": training_s, "total": time.perf_counter() - self._start}
        self.info["complete"] = True
        self._write_json()
        handover.hand_over(self.folder)
        self._lock.release()

    @property
    def _place(self) -> Path:
        if not self._lock.is_locked:
            raise RunError(f"{self.folder}: this run has ended, or a later one took its place")
        return handover.unfinished(self.folder)

    def _keep_weights(self, model: Network) -> None:
        weights = {name.replace(".", "/"): p.detach().cpu() for name, p in model.named_parameters()}
        path = _epoch_files(self._place, len(self.info["epochs"]))[-1]
        with atomic(path) as part, part.open("wb") as file:
            np.savez(file, **weights)  # type: ignore[arg-type]

    def _write_json(self) -> None:
        try:
            text = json.dumps(self.info, indent=1, allow_nan=False)
        except ValueError:
            what = "a parameter, loss, score or cost is no finite number"
            raise RunError(f"{self.folder}: {what}") from None
        with atomic(self._place / "run.json") as part:
            part.write_text(text + "\n", encoding="utf-8")


def _epoch_files(place: Path, n_epochs: int) -> list[Path]:
    """Return the files of the weights: the initial ones, and those after each epoch."""
    return [place / "epochs" / f"{epoch:06d}.npz" for epoch in range(n_epochs + 1)]


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
            raise RunError(f"{path}: no such file{_cut_short(folder)}. {REMEDY} first.")
        text = path.read_text(encoding="utf-8")
        info = json.loads(text)
        if not isinstance(info, dict):
            raise ValueError("no run")
        if info["complete"] is not True:
            raise RunError(f"{path}: the run is not complete{_cut_short(folder)}. {REMEDY} first.")
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


def read_unfinished(place: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """Read what a run that was cut short has left.

    Parameters
    ----------
    place : Path
        The folder that `read_run` names: ``.<name>.unfinished``, or ``.<name>.interrupted`` once
        another run of that name has begun.

    Returns
    -------
    info : dict
        Content of its `run.json`.
    weights : dict
        As in `Run`, of the epochs that `info` has.

    Raises
    ------
    RunError
        If there is no such run.
    """
    info = handover.info_of(place)
    if "epochs" not in info:
        raise RunError(f"{place}: no run that was cut short")
    epochs = [read_epoch(path) for path in _epoch_files(place, len(info["epochs"]))]
    try:
        return info, {name: np.stack([weights[name] for weights in epochs]) for name in epochs[0]}
    except (ValueError, KeyError) as error:
        raise RunError(f"{place}: epochs don't go together ({error}). {REMEDY} again.") from error


def _cut_short(folder: Path) -> str:
    """Tell about a run that is not complete; nothing if there is none."""
    place = handover.unfinished(folder)
    done = len(handover.info_of(place).get("epochs", []))
    if not place.is_dir():
        return ""
    if handover.is_written(folder):
        return f"; a run goes on and has ended {done} epochs"
    return f"; the run was cut short after {done} epochs, which are kept in {place}"
