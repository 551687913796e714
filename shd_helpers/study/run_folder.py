"""Run folders: written while a run goes on, read by the analysis."""

import json
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import papermill
import torch
from scipy.stats import binomtest

from shd_helpers.events.downsample import Downsampling, Events
from shd_helpers.files import atomic
from shd_helpers.network.engines.loop import record
from shd_helpers.network.spiking import SpikingNetwork, delay_steps
from shd_helpers.paths import NOTEBOOKS, ROOT
from shd_helpers.source.shd_file import LANGUAGES
from shd_helpers.study.identity import code_version, run_hash

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
    seen_speakers : ndarray
        Speakers of the utterances that the network is trained on.
    model : SpikingNetwork
        The network after initialisation: its weights are stored as epoch 0.
    notebook : str
        Whose run it is; its code is part of the run's `hash`.
    """

    def __init__(
        self,
        folder: Path,
        parameters: Mapping,
        data: Mapping[str, str],
        seen_speakers: np.ndarray,
        model: SpikingNetwork,
        notebook: str = "03_model_training",
    ) -> None:
        self.folder = folder
        self._start = time.perf_counter()
        code = code_version(NOTEBOOKS / f"{notebook}.ipynb")
        self.info = {
            "complete": False,
            "parameters": dict(parameters),
            "seed": parameters["seed"],
            "data": dict(data),
            "code": code,
            "hash": run_hash(parameters, data, code),
            "seen_speakers": [int(speaker) for speaker in seen_speakers],
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
        self._weights = {name: [] for name, _ in model.named_parameters()}
        self._keep_weights(model)

    def epoch(self, model: SpikingNetwork, metrics: dict) -> None:
        """Record the end of an epoch."""
        self.info["epochs"].append(metrics)
        self._keep_weights(model)
        self._write_json()

    def finish(
        self,
        model: SpikingNetwork,
        scores: Mapping[str, float | None],
        predictions: pd.DataFrame,
        examples: Mapping[str, Mapping[str, np.ndarray]],
        costs: Mapping[str, float],
    ) -> None:
        """Write what the trained network did, and last that the run is complete.

        Parameters
        ----------
        model : SpikingNetwork
            Its `state_dict` goes to `state_dict.pt`.
        scores : mapping
            Accuracies as fractions, None where there is no utterance to measure.
        predictions : DataFrame
            From `training.predict` on the test file; goes to `predictions.csv`.
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

    def _keep_weights(self, model: SpikingNetwork) -> None:
        for name, parameter in model.named_parameters():
            self._weights[name].append(parameter.detach().cpu().numpy().copy())
        with atomic(self.folder / "weights.h5") as part, h5py.File(part, "w") as file:
            for name, epochs in self._weights.items():
                file[name.replace(".", "/")] = np.stack(epochs)

    def _write_json(self) -> None:
        with atomic(self.folder / "run.json") as part:
            part.write_text(json.dumps(self.info, indent=1) + "\n", encoding="utf-8")


def _git_commit() -> str | None:
    """Return the code's commit, with "-dirty" if it was changed since; None without git."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--match="]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def parameters_of(notebook: str, namespace: Mapping[str, object]) -> dict[str, object]:
    """Return the values that the names in a notebook's parameters cell have now.

    Parameters
    ----------
    notebook : str
        Name of the notebook, without folder and ending.
    namespace : mapping
        The notebook's variables: ``globals()``.
    """
    names = papermill.inspect_notebook(NOTEBOOKS / f"{notebook}.ipynb")
    return {name: namespace[name] for name in names}


def accuracy_per_speaker(predictions: pd.DataFrame, heard: Sequence[int]) -> pd.DataFrame:
    """Return each speaker's accuracy with its Wilson 95 % interval.

    Parameters
    ----------
    predictions : DataFrame
        From `training.predict`.
    heard : sequence of int
        Speakers of the utterances that the network was trained on.

    Returns
    -------
    DataFrame
        Columns `speaker`, `heard`, `utterances`, `accuracy`, `low`, `high` (percent).
    """
    rows = []
    for speaker, group in predictions.groupby("speaker"):
        correct = int((group.label == group.predicted).sum())
        interval = binomtest(correct, len(group)).proportion_ci(method="wilson")
        percent = [100 * x for x in (correct / len(group), interval.low, interval.high)]
        rows.append((speaker, speaker in heard, len(group), *percent))
    columns = ["speaker", "heard", "utterances", "accuracy", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


@torch.no_grad()
def record_examples(model: SpikingNetwork, events: Events) -> dict[str, dict[str, np.ndarray]]:
    """Record one utterance of each class, the first in the file, on its way through the network.

    Parameters
    ----------
    model : SpikingNetwork
        Trained network.
    events : Events
        Test utterances.

    Returns
    -------
    dict
        Per class name: `utterance` (index), `input` (steps, units), `hidden` (steps, neurons of
        the last hidden layer) and `spk` (steps, classes) as booleans, `mem` (steps, classes).
    """
    examples = {}
    classes, first = np.unique(events.labels, return_index=True)
    for label, i in zip(classes, first, strict=True):
        recording = record(model, events, [i])
        examples[events.class_names[label]] = {
            "utterance": np.array([i]),
            "input": events.to_frames([i])[:, 0].astype(bool),
            "hidden": recording.hidden_spk[-1][:, 0].bool().numpy(),
            "mem": recording.mem[:, 0].numpy(),
            "spk": recording.spk[:, 0].bool().numpy(),
        }
    return examples


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
        for layer, group in file.items():
            weights |= {f"{layer}/{name}": values[:] for name, values in group.items()}
    with h5py.File(folder / "examples.h5") as file:
        for word, group in file.items():
            examples[word] = {name: values[:] for name, values in group.items()}
    predictions = pd.read_csv(folder / "predictions.csv", keep_default_na=False)
    return Run(folder, info, pd.DataFrame(info["epochs"]), weights, predictions, examples)


def downsampling_of(run: Run) -> Downsampling:
    """Return the grid that a run's input was downsized with."""
    p = run.info["parameters"]
    return Downsampling(**{field.name: p[field.name] for field in fields(Downsampling)})


def load_network(run: Run) -> SpikingNetwork:
    """Return the trained network of a run folder."""
    p, grid = run.info["parameters"], downsampling_of(run)
    sizes = [grid.n_units, p["n_hidden"], len(LANGUAGES[p["language"]])]
    delays = delay_steps(p["n_delays"], p["delay_ms"], grid.step_ms)
    network = SpikingNetwork(
        sizes, p["beta"], p["surrogate"], p["slope"], torch.Generator(), p["readout"],
        p["learn_neurons"], delays, p["kernel_size"], p["stride"],
    )  # fmt: skip
    # betas and thresholds come with it
    network.load_state_dict(torch.load(run.folder / "state_dict.pt", weights_only=True))
    return network
