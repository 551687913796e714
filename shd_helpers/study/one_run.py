"""The steps of a run around its training, as notebook 3 takes them: list, start, score, finish.

`finish_run` writes the run folder. A run is complete or absent, whenever a process is killed. All
its files are written to the hidden folder ``.unfinished`` in the run folder. When they are
complete, the old ``run.json`` is removed, the new files take the places of the old ones, and the
new ``run.json`` comes last. A folder without ``run.json`` holds no run. Other files in the run
folder, such as executed notebooks and figures, stay.
"""

import io
import json
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import torch
from llvmlite.binding import get_host_cpu_name
from torch import nn

from shd_corpus.files import sha256, sync
from shd_helpers.data import dataset_name
from shd_helpers.events import Subsets
from shd_helpers.network import costs, uncounted_reason
from shd_helpers.paths import IN_CHECKOUT, ROOT, check_run_name, runs_dir
from shd_helpers.study.parameters import check_injected
from shd_helpers.study.recipe import Recipe, obtain_and_identify, references, run_hash
from shd_helpers.study.run_folder import (
    INFO,
    Run,
    RunError,
    classes_in_words,
    lock_beside,
    read_run,
)
from shd_helpers.study.trained_network import other_network
from shd_helpers.study.training import (
    Evaluation,
    evaluate,
    origin,
    record_examples,
    seen_and_unseen_accuracy,
    shown_accuracies,
)
from shd_helpers.user_code import find_file

if TYPE_CHECKING:  # takes a second to import: see `shd_helpers.hear`
    import pandas as pd
    from pandas.io.formats.style import Styler

PACKAGES = ("torch", "snntorch", "numpy", "h5py", "numba")  # whose versions are recorded


class RunWriter:
    """Collects what a run leaves, and writes the run folder when the run has ended.

    Until then the run folder keeps the run that it may hold. Files that aren't a run's own, such as
    notebooks and figures, stay. If two processes write the same run, the last one wins.
    """

    def __init__(
        self, folder: Path, parameters: Mapping, data: Mapping, parts: Subsets, model: nn.Module
    ) -> None:
        # What can go wrong goes wrong here, and not after the network is trained.
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"{folder}: can't be made ({error}). Choose another run_name."
            ) from error
        training = parts.training
        recipe = Recipe.from_flat(parameters, training.n_channels)
        description = other_network(model, recipe, len(training.class_names))
        self.folder = folder
        self._parts = parts
        self._references = references(parameters)
        self._start_s = time.perf_counter()
        self._weights = [_weights(model)]  # of each epoch, from 0
        self.info: dict[str, Any] = {
            "parameters": dict(parameters),
            "seed": parameters["seed"],
            "data": dict(data),
            "class_names": list(training.class_names),
            "n_channels": training.n_channels,
            **({"other_network": description} if description else {}),
            "hash": run_hash(parameters, data, description),
            "seen_speakers": np.unique(training.speakers).tolist(),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {
                "python": platform.python_version(),
                **{name: version(name) for name in PACKAGES},
            },
            "processor": _processor(),
            "threads": torch.get_num_threads(),
            "git_commit": _git_commit(),
            "epochs": [],
        }

    def epoch(self, model: nn.Module, metrics: dict) -> None:
        """Record the end of an epoch."""
        self.info["epochs"].append(metrics)
        self._weights.append(_weights(model))

    def finish(
        self,
        model: nn.Module,
        scores: Mapping[str, float | None],
        predictions: "pd.DataFrame",
        examples: Mapping[str, Mapping[str, np.ndarray]],
        costs: Mapping[str, float],
        class_scores: torch.Tensor | None = None,
    ) -> None:
        """Write the run folder of a network that is trained."""
        wall_s = {
            "training": sum(metrics["wall_s"] for metrics in self.info["epochs"]),
            "total": time.perf_counter() - self._start_s,
        }
        self.info |= {"scores": dict(scores), "costs": dict(costs), "wall_s": wall_s}
        json.dumps(self.info, allow_nan=False)  # ValueError, before anything is moved
        if class_scores is not None and not bool(torch.isfinite(class_scores).all()):
            raise ValueError(f"{self.folder}: a class score isn't finite")
        try:
            with replacing(self.folder) as unfinished:
                _utterances(self._parts).to_csv(unfinished / "utterances.csv.gz", index=False)
                predictions.to_csv(unfinished / "predictions.csv", index=False)
                _write_network(unfinished, model, self._weights)
                arrays = {
                    f"{class_name}/{name}": array
                    for class_name, of_class in examples.items()
                    for name, array in of_class.items()
                }
                _write_hdf5(unfinished / "examples.h5", arrays, compression="gzip")
                if class_scores is not None:
                    scores_of_all = {"scores": class_scores.numpy()}
                    _write_hdf5(unfinished / "class_scores.h5", scores_of_all, compression="gzip")
                for setting, text in self._references.items():
                    file = find_file(text)
                    (unfinished / f"{setting}_{file.name}").write_bytes(file.read_bytes())
                self.info["files"] = {
                    path.name: sha256(path) for path in sorted(unfinished.iterdir())
                }
                text = json.dumps(self.info, indent=1) + "\n"
                (unfinished / INFO).write_text(text, encoding="utf-8")
                for path in unfinished.iterdir():
                    sync(path)
        except OSError as error:  # it names no file
            raise RunError(
                f"{self.folder}: can't be written ({error}). Free some space there, or name a "
                "folder on another disk in SHD_RUNS_DIR, and run it again. An earlier run in this "
                "folder is unchanged."
            ) from error


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Yield an empty folder; when the block ends, its files replace those of the run.

    If the block raises, the earlier run stays as it was.
    """
    with lock_beside(folder):
        unfinished = folder / ".unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)  # of a process that was killed
        unfinished.mkdir()
        try:
            yield unfinished
            names = sorted(path.name for path in unfinished.iterdir() if path.name != INFO)
            (folder / INFO).unlink(missing_ok=True)
            for name in names:
                (unfinished / name).replace(folder / name)
            sync(folder)
            (unfinished / INFO).replace(folder / INFO)
            sync(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def _write_network(
    folder: Path, model: nn.Module, epoch_weights: list[dict[str, np.ndarray]]
) -> None:
    """Write the trained network, and the weights that it had after each epoch."""
    state = model.state_dict()
    for name, values in state.items():
        state[name] = values.cpu()  # so that a machine without this device can read it
    # In memory, because neither PyTorch nor HDF5 says that the disk is full when it writes a file.
    memory = io.BytesIO()
    torch.save(state, memory)
    (folder / "state_dict.pt").write_bytes(memory.getvalue())
    epochs = {name: np.stack([each[name] for each in epoch_weights]) for name in epoch_weights[0]}
    _write_hdf5(folder / "weights.h5", epochs)


def _weights(model: nn.Module) -> dict[str, np.ndarray]:
    """Return a copy of a network's weights by their names in ``weights.h5``."""
    return {
        name.replace(".", "/"): parameter.detach().cpu().numpy().copy()
        for name, parameter in model.named_parameters()
    }


def _write_hdf5(
    path: Path, arrays: Mapping[str, np.ndarray], compression: str | None = None
) -> None:
    """Write an HDF5 file of arrays by their names; in memory first, as `_write_network` does."""
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, compression=compression)
    path.write_bytes(memory.getvalue())


def _utterances(parts: Subsets) -> "pd.DataFrame":
    """Return a row for each utterance: its file and row there, speaker, label and role."""
    import pandas as pd

    tables = [
        pd.DataFrame(
            {
                **origin(events),
                "speaker": events.speakers,
                "label": np.array(events.class_names)[events.labels],
                "role": role,
            }
        )
        for role, events in parts._asdict().items()
        if events is not None
    ]
    return pd.concat(tables)


def _processor() -> str:
    """Return the processor's model and, in parentheses, the compiler's name for its kind."""
    path = Path("/proc/cpuinfo")  # only Linux has this file
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    model = match[1].strip() if match else platform.processor() or platform.machine()
    return f"{model} ({get_host_cpu_name()})"


def _git_commit() -> str | None:
    """Return the code's commit, with "-dirty" if it was changed since; None without git.

    A package that is installed without a checkout may lie in a repository of something else.
    """
    if not IN_CHECKOUT:
        return None
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--match="]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


@dataclass
class Scored:
    """What a trained network did with the utterances of a run."""

    # The validation utterances.
    validated: Evaluation
    # The test utterances; None if the run doesn't score them.
    tested: Evaluation | None
    # Speakers in the training set.
    seen_speakers: list[int]
    # Fractions by name, None where nothing was measured.
    accuracies: dict[str, float | None]
    # One row for each test utterance, or for each validation utterance without a test.
    predictions: "pd.DataFrame"

    @property
    def last(self) -> Evaluation:
        """Return the evaluation that `predictions` lists."""
        return self.tested or self.validated

    def table(self) -> "Styler":
        """Return the accuracies in percent, as a table of one row."""
        return accuracy_table(self.accuracies, self.predictions, self.seen_speakers)


def accuracy_table(
    accuracies: Mapping[str, float | None], predictions: "pd.DataFrame", seen: Sequence[int]
) -> "Styler":
    """Return a run's accuracies in percent, as a table of one row; see `shown_accuracies`."""
    import pandas as pd

    shown = shown_accuracies(accuracies, predictions, seen)
    table = pd.DataFrame([shown], index=["accuracy"])
    return table.style.format("{:.1%}", na_rep="-")


def list_utterances(recipe: Recipe, parts: Subsets) -> "Styler":
    """List which utterances of which speakers train, validate and test."""
    import pandas as pd

    data = dataset_name(recipe.obtain_files())
    rows = {
        name: {
            "utterances": len(events),
            "late spikes cut off": f"{100 * events.cut_share:.1f} %",
            "speakers": ", ".join(map(str, np.unique(events.speakers))),
        }
        for name, events in parts._asdict().items()
        if events is not None
    }
    classes = classes_in_words(parts.training.class_names, recipe.language)
    caption = f"data: {data}, {classes}; seed {recipe.seed}"
    return pd.DataFrame.from_dict(rows, orient="index").style.set_caption(caption)


def start_run(recipe: Recipe, parts: Subsets, model: nn.Module) -> RunWriter:
    """Start the record of a run, before its network is trained."""
    settings = recipe.flat()
    folder = runs_dir() / recipe.run_name
    return RunWriter(folder, settings, obtain_and_identify(settings), parts, model)


def score(model: nn.Module, parts: Subsets) -> Scored:
    """Let a trained network classify the utterances of a run."""
    validated = evaluate(model, parts.validation)
    tested = None if parts.test is None else evaluate(model, parts.test)
    seen_speakers = np.unique(parts.training.speakers).tolist()
    accuracies: dict[str, float | None] = {
        "train": evaluate(model, parts.training).accuracy,
        "validation": validated.accuracy,
        **seen_and_unseen_accuracy(tested, seen_speakers),
    }
    predictions = (tested or validated).predictions()
    return Scored(validated, tested, seen_speakers, accuracies, predictions)


def finish_run(run: RunWriter, model: nn.Module, scored: Scored) -> None:
    """Write the folder of a run whose network is trained and scored."""
    events = scored.last.events
    is_counted = uncounted_reason(model) is None
    cost = costs(model, scored.predictions, events.n_steps) if is_counted else {}
    examples = record_examples(model, events)
    class_scores = scored.last.class_scores
    run.finish(model, scored.accuracies, scored.predictions, examples, cost, class_scores)


def read_spiking_run(run_name: str) -> Run:
    """Read a run of a spiking network, for notebook 4."""
    check_injected()
    check_run_name(run_name)
    run = read_run(runs_dir() / run_name)
    if not run.examples:
        raise RunError(f"{run.folder}: no spikes were recorded; train with network = 'spiking'.")
    return run
