"""Run folders: everything that a run leaves, written by `RunWriter` and read by `read_run`.

A run folder is complete or it isn't there, whenever a process is killed. Therefore a run ``mine``
is written in these steps:

1. All files go into the hidden folder ``.mine.unfinished`` beside the run folder, ``run.json``
   last. From then on the run is complete, and only waits for its name.
2. Files of the run folder ``mine`` that the new one lacks (executed notebooks, figures) move to
   the new one.
3. ``mine`` is renamed to ``.mine.replaced``, and ``.mine.unfinished`` to ``mine``.
4. ``.mine.replaced`` is removed.

Whoever reads or writes the run after a kill goes on from step 2, if ``.mine.unfinished/run.json``
exists. So a run that is killed during its training loses its epochs, and a complete one nothing. A
lock, ``.mine.lock``, lets only one process write and rename.
"""

import functools
import io
import itertools
import json
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import torch
from filelock import FileLock, Timeout
from llvmlite.binding import get_host_cpu_name

from shd_helpers.data.shd_file import LANGUAGES, N_CHANNELS
from shd_helpers.events import Subsets
from shd_helpers.files import atomic, is_mount, reading, sha256, sync
from shd_helpers.network import Network
from shd_helpers.objects import read_reference
from shd_helpers.paths import IN_CHECKOUT, ROOT
from shd_helpers.study.behavior import check_behavior, idle_cases
from shd_helpers.study.evaluation import origin
from shd_helpers.study.identity import current_names, references, run_hash
from shd_helpers.study.object_samples import samples_of
from shd_helpers.study.other_networks import is_recognizable, other_network
from shd_helpers.study.recipe import Recipe

if TYPE_CHECKING:  # takes a second to import: see `shd_helpers.hear`
    import pandas as pd

REMEDY = "Run 03_model_training with this run_name"
WAIT_S = 10.0  # for the lock: a killed notebook's kernel may live on for a moment
CLASS_SCORES = "class_scores.h5"  # the file of a run's class scores, float32
PACKAGES = ("torch", "snntorch", "numpy", "h5py", "numba")  # whose versions are recorded


class RunError(ValueError):
    """A run folder that can't be read or written; the message names the folder and the remedy."""


def _hidden_path(folder: Path, ending: str) -> Path:
    """Return the path of a hidden file or folder beside a run folder."""
    return folder.with_name(f".{folder.name}.{ending}")


def _path_for_old_run(folder: Path) -> Path:
    """Return the path to which a run that is replaced is moved, after removing what is there.

    NFS keeps a removed file that another process has open, under a name such as `.nfs0001`, so that
    an earlier folder may stay. Then the path is another one.
    """
    for number in itertools.count(1):
        ending = "replaced" if number == 1 else f"replaced{number}"
        old = _hidden_path(folder, ending)
        shutil.rmtree(old, ignore_errors=True)
        if not old.exists():
            return old
    raise AssertionError("unreachable")


def _is_waiting(folder: Path) -> bool:
    """Return whether a complete run has yet to get its name."""
    return (_hidden_path(folder, "unfinished") / "run.json").exists()


def _lock(folder: Path) -> FileLock:
    """Acquire the lock of a run folder, and return it. Only its holder writes and renames.

    All locks of one process for a folder are the same object, so that a notebook's cell can be run
    again. The folder is made if it is missing.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(_hidden_path(folder, "lock"), thread_local=False, is_singleton=True)
        lock.acquire(timeout=WAIT_S)
        try:
            # not before the lock is acquired: another process may be renaming the folder
            folder.mkdir(exist_ok=True)
        except OSError:
            lock.release()
            raise
    except Timeout:
        raise RunError(
            f"{folder}: another process writes this run. Wait for it, or choose another run_name."
        ) from None
    except OSError as error:
        raise RunError(f"{folder}: can't be written ({error}). Choose another run_name.") from error
    return lock


def check_run_folder(folder: Path) -> None:
    """Check that a folder can be renamed, which is how a new run replaces it.

    Parameters
    ----------
    folder : Path
        The run folder, whether it exists or not.

    Raises
    ------
    RunError
        If it is a link or a mount point. The message says what to do.
    """
    if reason := _why_fixed(folder):
        raise RunError(
            f"{folder}: {reason}, which can't be renamed when the run ends. Choose another "
            "run_name, or move it away. To keep all runs on another disk, name a folder there in "
            "SHD_RUNS_DIR."
        )


def _why_fixed(folder: Path) -> str:
    """Return why a folder can't be renamed, as the end of a sentence; "" if nothing is known."""
    if folder.is_symlink():
        return f"is a link to {folder.readlink()}"
    return "is a mount point" if is_mount(folder) else ""


def _finish_renaming(folder: Path) -> None:
    """Give a complete run that waits its name (steps 2 to 4 of the module's docstring).

    Only the lock's holder calls this. If no run waits, nothing happens. RunError, if the disk
    refuses a step; a folder that isn't an ordinary one stays as it is.
    """
    if not _is_waiting(folder):
        return
    new = _hidden_path(folder, "unfinished")
    remedy = (
        f"A complete run waits in {new} for this name. Make {folder.name} an ordinary folder that "
        f"can be renamed, or give {new.name} the name of another run."
    )
    if reason := _why_fixed(folder):
        raise RunError(f"{folder}: {reason}. {remedy}")
    try:
        _replace(folder, new, _path_for_old_run(folder))
    except OSError as error:
        raise RunError(f"{folder}: can't be renamed ({error}). {remedy}") from error


def _replace(folder: Path, new: Path, old: Path) -> None:
    """Rename a run folder to `old` and the folder `new` to its name, then remove `old`.

    After a kill at any moment the same steps lead to the same end.
    """
    for path in folder.iterdir():  # executed notebooks and figures stay
        if not (new / path.name).exists():
            path.rename(new / path.name)
    shutil.rmtree(old, ignore_errors=True)
    folder.rename(old)
    new.rename(folder)
    sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _naming_the_folder(write: Callable[..., None]) -> Callable[..., None]:
    """Decorate a method of `RunWriter`: an error of the disk becomes a RunError.

    The system's error, such as "No space left on device", names no file. The RunError names the
    folder and the remedy. It quotes the system's error, because `files.is_disk_full` looks for it.
    """

    @functools.wraps(write)
    def named(self: "RunWriter", *arguments: Any, **options: Any) -> None:
        try:
            write(self, *arguments, **options)
        except OSError as error:
            raise RunError(
                f"{self._folder}: can't be written ({error}). Free some space there, or name a "
                "folder on another disk in SHD_RUNS_DIR, and run it again. An earlier run in this "
                "folder is unchanged."
            ) from error

    return named


class RunWriter:
    """Collects what a run leaves, and writes the run folder when the run has ended.

    Until then the run folder keeps the run that it may hold. Files that aren't a run's own, such as
    notebooks and figures, stay.

    Parameters
    ----------
    folder : Path
        The run folder to write.
    parameters : mapping
        The run's flat parameters, `seed` among them.
    data : mapping
        From `identity.identify_data`.
    parts : Subsets
        The utterances that train, validate and test; `utterances.csv.gz` lists them.
    model : Module
        The network after initialization: its weights are stored as epoch 0. If it isn't the network
        that the parameters build, its description is stored as `other_network` and counts in the
        run's hash.

    Raises
    ------
    RunError
        If another process writes the run, or it can't be written, or its folder can't be renamed
        because it is a link or a mount point.
    BehaviorError
        If this code computes something else than its version numbers say.
    """

    def __init__(
        self, folder: Path, parameters: Mapping, data: Mapping, parts: Subsets, model: Network
    ) -> None:
        # What can go wrong goes wrong here, and not after the network is trained.
        check_run_folder(folder)
        training = parts.training
        recipe = Recipe.from_flat(parameters, training.n_channels)
        # Of the version numbers, data files need no check: they count by their content.
        check_behavior(("NUMERICS",), idle_cases(recipe))
        description = other_network(model, recipe, len(training.class_names))
        self._folder = folder
        self._parts = parts
        self._lock = _lock(folder)
        self._start_s = time.perf_counter()
        self._weights = [_weights(model)]  # of each epoch, from 0
        packages = {name: version(name) for name in PACKAGES}
        self.info: dict[str, Any] = {
            "parameters": dict(parameters),
            "seed": parameters["seed"],
            "data": dict(data),
            "class_names": list(training.class_names),
            "n_channels": training.n_channels,
        }
        if description:
            self.info["other_network"] = description
            self.info["reusable"] = is_recognizable(description)
        self._objects = references(parameters)
        if self._objects:
            self.info["object_samples"] = samples_of(parameters, recipe.input.n_units)
        self.info |= {
            "hash": run_hash(parameters, data, description),
            "seen_speakers": np.unique(training.speakers).tolist(),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {"python": platform.python_version(), **packages},
            "processor": _processor(),
            "threads": torch.get_num_threads(),
            "git_commit": _git_commit(),
            "epochs": [],
        }

    @property
    def folder(self) -> Path:
        """Return the run folder, which `finish` writes."""
        return self._folder

    def epoch(self, model: Network, metrics: dict) -> None:
        """Record the end of an epoch.

        Parameters
        ----------
        model : Module
            The network as it was validated.
        metrics : dict
            The epoch's metrics, from `training.fit`.
        """
        self.info["epochs"].append(metrics)
        self._weights.append(_weights(model))

    @_naming_the_folder
    def finish(
        self,
        model: Network,
        scores: Mapping[str, float | None],
        predictions: "pd.DataFrame",
        examples: Mapping[str, Mapping[str, np.ndarray]],
        costs: Mapping[str, float],
        class_scores: torch.Tensor | None = None,
    ) -> None:
        """Write the run folder of a network that is trained.

        Parameters
        ----------
        model : Module
            The trained network.
        scores : mapping
            Accuracies as fractions, None where there is no utterance to measure.
        predictions : DataFrame
            From `Evaluation.predictions`.
        examples : mapping
            From `evaluation.record_examples`.
        costs : mapping
            From `network.costs`.
        class_scores : Tensor, optional
            The scores of every class for the utterances of `predictions`, (utterances, classes).
            Default: the folder has no file of them.

        Raises
        ------
        RunError
            If the disk is full; the earlier run stays.
        ValueError
            If a loss or a score is no finite number; the earlier run stays.
        """
        self._check_is_writing()
        self._complete_info(scores, costs)
        if class_scores is not None and not bool(torch.isfinite(class_scores).all()):
            raise ValueError(f"{self._folder}: a class score is no finite number")
        unfinished = self._make_unfinished()
        _utterances(self._parts).to_csv(unfinished / "utterances.csv.gz", index=False)
        predictions.to_csv(unfinished / "predictions.csv", index=False)
        _write_network(unfinished, model, self._weights)
        (unfinished / "examples.h5").write_bytes(_examples_file(examples))
        if class_scores is not None:
            scores_file = _hdf5_file({"scores": class_scores.numpy()}, compression="gzip")
            (unfinished / CLASS_SCORES).write_bytes(scores_file)
        self._copy_objects(unfinished)
        self._write_info(unfinished)
        try:
            _finish_renaming(self._folder)
        finally:  # the run is complete: whoever reads or writes it next may rename it
            self._lock.release(force=True)

    def _check_is_writing(self) -> None:
        """Raise RunError if the run has ended, so that another process may be writing."""
        if not self._lock.is_locked:
            raise RunError(
                f"{self._folder}: this run has ended, or a later one has replaced it. Begin a new "
                "one with another RunWriter"
            )

    def _complete_info(
        self, scores: Mapping[str, float | None], costs: Mapping[str, float]
    ) -> None:
        """Add what is known at the end of the run; ValueError if a number isn't finite."""
        self.info |= {"scores": dict(scores), "costs": dict(costs)}
        self.info["wall_s"] = {
            "training": sum(metrics["wall_s"] for metrics in self.info["epochs"]),
            "total": time.perf_counter() - self._start_s,
        }
        json.dumps(self.info, allow_nan=False)  # ValueError, before anything is moved

    def _make_unfinished(self) -> Path:
        """Make the empty hidden folder into which the run is written, and return it."""
        unfinished = _hidden_path(self._folder, "unfinished")
        _finish_renaming(self._folder)  # of a run that was killed when it was complete
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        return unfinished

    def _copy_objects(self, unfinished: Path) -> None:
        """Copy the files of the user's own objects, such as a surrogate, into the run."""
        for setting, text in self._objects.items():
            file = read_reference(text).file
            (unfinished / f"{setting}_{file.name}").write_bytes(file.read_bytes())

    def _write_info(self, unfinished: Path) -> None:
        """Write ``run.json`` last, with the hashes of all other files: then the run is complete."""
        self.info["files"] = {path.name: sha256(path) for path in sorted(unfinished.iterdir())}
        for name in self.info["files"]:
            sync(unfinished / name)
        with atomic(unfinished / "run.json") as incomplete:
            incomplete.write_text(json.dumps(self.info, indent=1) + "\n", encoding="utf-8")


def _write_network(
    folder: Path, model: Network, epoch_weights: list[dict[str, np.ndarray]]
) -> None:
    """Write the trained network, and the weights that it had after each epoch."""
    state = model.state_dict()
    for name, values in state.items():
        state[name] = values.cpu()  # so that a machine without this device can read it
    (folder / "state_dict.pt").write_bytes(_torch_file(state))
    (folder / "weights.h5").write_bytes(_epochs_file(epoch_weights))


def _weights(model: Network) -> dict[str, np.ndarray]:
    """Return a copy of a network's weights by their names in ``weights.h5``."""
    weights = {}
    for name, parameter in model.named_parameters():
        weights[name.replace(".", "/")] = parameter.detach().cpu().numpy().copy()
    return weights


def _torch_file(state: Mapping[str, torch.Tensor]) -> memoryview:
    """Return the content of a file that `torch.load` reads.

    It is made in memory, because neither PyTorch nor HDF5 says that the disk is full when it
    writes the file itself.
    """
    memory = io.BytesIO()
    torch.save(state, memory)
    return memory.getbuffer()


def _examples_file(examples: Mapping[str, Mapping[str, np.ndarray]]) -> memoryview:
    """Return the content of ``examples.h5``: a group for each class, with an array of each kind."""
    arrays = {}
    for class_name, class_arrays in examples.items():
        for name, array in class_arrays.items():
            arrays[f"{class_name}/{name}"] = array
    return _hdf5_file(arrays, compression="gzip")


def _epochs_file(weights: list[dict[str, np.ndarray]]) -> memoryview:
    """Return the content of ``weights.h5``: each tensor with the epochs as its first axis."""
    arrays = {}
    for name in weights[0]:
        arrays[name] = np.stack([epoch_weights[name] for epoch_weights in weights])
    return _hdf5_file(arrays)


def _hdf5_file(arrays: Mapping[str, np.ndarray], compression: str | None = None) -> memoryview:
    """Return the content of an HDF5 file of arrays by their names; see `_torch_file`."""
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, compression=compression)
    return memory.getbuffer()


def _utterances(parts: Subsets) -> "pd.DataFrame":
    """Return a row for each utterance: its file and row there, speaker, label and role."""
    import pandas as pd

    tables = []
    for role, events in parts._asdict().items():
        if events is not None:
            labels = np.array(events.class_names)[events.labels]
            columns = {**origin(events), "speaker": events.speakers, "label": labels}
            tables.append(pd.DataFrame(columns).assign(role=role))
    return pd.concat(tables).drop_duplicates()  # augmented copies have the same rows


def _processor() -> str:
    """Return the processor's model and, in parentheses, the compiler's name for its kind."""
    model = platform.processor()
    with suppress(OSError):  # only Linux has this file
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
        if match:
            model = match[1].strip()
    return f"{model or platform.machine()} ({get_host_cpu_name()})"


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


@dataclass(frozen=True)
class Run:
    """The content of a run folder."""

    folder: Path
    info: dict  # run.json
    epochs: "pd.DataFrame"  # a row for each epoch
    weights: dict[str, np.ndarray]  # "fc1/weight": (epochs + 1, out, in), "fc1/bias", ...
    state: dict[str, torch.Tensor]  # of the trained network: "fc1.weight", its betas, ...
    predictions: "pd.DataFrame"  # a row for each test utterance
    examples: dict[str, dict[str, np.ndarray]]  # by class name: see evaluation.record_examples

    @property
    def source(self) -> str:
        """Return the line that names the data under a figure."""
        parameters = self.info["parameters"]
        data = self.info["data"]["name"]
        classes = classes_in_words(self.class_names, parameters["language"])
        return f"data: {data}, {classes}; seed {parameters['seed']}"

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return the names of the classes, in the order of the network's outputs."""
        return class_names_of(self.info)


def class_names_of(info: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of a run's classes, in the order of the network's outputs.

    Parameters
    ----------
    info : mapping
        The run's `run.json`, or what is said about a pretrained network.

    Returns
    -------
    tuple of str
        What the run says. Older runs don't: all of them had a language's digits.
    """
    if "class_names" in info:
        return tuple(info["class_names"])
    return LANGUAGES[info["parameters"]["language"]]


def recipe_of(info: Mapping[str, Any]) -> Recipe:
    """Return the settings of a run, for the channels that its data set has.

    Parameters
    ----------
    info : mapping
        As for `class_names_of`.

    Returns
    -------
    Recipe
        The settings.
    """
    return Recipe.from_flat(info["parameters"], info.get("n_channels", N_CHANNELS))


def classes_in_words(class_names: Sequence[str], language: str) -> str:
    """Return which classes a run has, for the line under a figure.

    Parameters
    ----------
    class_names : sequence of str
        The names of the classes.
    language : str
        The run's setting of this name.

    Returns
    -------
    str
        The language, if the classes are its digits; otherwise how many there are.
    """
    if tuple(class_names) == LANGUAGES[language]:
        return language
    return f"{len(class_names)} classes"


def read_run(folder: Path) -> Run:
    """Read a run folder.

    Parameters
    ----------
    folder : Path
        The run folder.

    Returns
    -------
    Run
        Its content. If another run replaces it meanwhile, all of it is the other run's.

    Raises
    ------
    RunError
        If there is no run in it, or one of its files is damaged.
    """
    info = read_info(folder)
    try:
        run = _read_files(folder, info)
    except RunError:
        if read_info(folder) == info:
            raise
        return read_run(folder)
    if read_info(folder) != info:  # another run has replaced it meanwhile
        return read_run(folder)
    return run


def _read_files(folder: Path, info: dict[str, Any]) -> Run:
    """Return the content of a run folder whose `run.json` is read."""
    import pandas as pd

    with reading(folder / "run.json", RunError, f"{REMEDY} again."):
        epochs = pd.DataFrame(info["epochs"])
    with _as_written(folder / "state_dict.pt", info) as path:
        state = torch.load(path, weights_only=True)
    examples: dict[str, dict[str, np.ndarray]] = {}
    weights = _arrays(folder / "weights.h5", info)
    predictions = read_predictions(folder, info)
    for path_in_file, array in _arrays(folder / "examples.h5", info).items():
        class_name, _, name = path_in_file.partition("/")
        examples.setdefault(class_name, {})[name] = array
    return Run(folder, info, epochs, weights, state, predictions, examples)


def read_info(folder: Path) -> dict[str, Any]:
    """Read the `run.json` of a run folder.

    If a process was killed when its run was complete, but hadn't replaced the folder yet, the
    replacement is finished first.

    Parameters
    ----------
    folder : Path
        The run folder.

    Returns
    -------
    dict
        Parameters, hash, scores and more, see docs/run_folders.md; parameters under today's names.

    Raises
    ------
    RunError
        If there is no run in the folder, or the file is damaged.
    """
    if _is_waiting(folder):
        lock = _lock(folder)
        try:
            _finish_renaming(folder)
        finally:
            lock.release()
    path = folder / "run.json"
    with reading(path, RunError, f"{REMEDY} again."):
        try:
            info = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            if _is_waiting(folder) or path.exists():  # another process renames it just now
                return read_info(folder)
            raise RunError(f"{path}: no such file. {REMEDY} first.") from None
        if not isinstance(info, dict) or not isinstance(info.get("parameters"), dict):
            raise ValueError("its content is no run")
        info["parameters"] = current_names(info["parameters"])
    return info


@contextmanager
def _as_written(path: Path, info: Mapping[str, Any]) -> Iterator[Path]:
    """Check that a file is the one that the run wrote, and let the block read it.

    RunError, if it isn't, or if the block finds it damaged.
    """
    with reading(path, RunError, f"{REMEDY} again."):
        written = info.get("files", {}).get(path.name)  # its hash; older runs have none
        if written and written != sha256(path):
            raise ValueError("its content isn't what the run wrote")
        yield path


def _arrays(path: Path, info: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the arrays of an HDF5 file by their names, such as ``fc1/weight``."""
    arrays: dict[str, np.ndarray] = {}

    def visit(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = item[:]

    with _as_written(path, info), h5py.File(path) as file:
        file.visititems(visit)
    return arrays


def read_predictions(folder: Path, info: Mapping[str, Any]) -> "pd.DataFrame":
    """Read what a run predicted.

    Parameters
    ----------
    folder : Path
        The run folder.
    info : mapping
        From `read_info`.

    Returns
    -------
    DataFrame
        A row for each utterance: see `Evaluation.predictions`.

    Raises
    ------
    RunError
        If the file is damaged.
    """
    import pandas as pd

    texts = ("label", "predicted", "integer_predicted")
    with _as_written(folder / "predictions.csv", info) as path:
        # The German digit "null" is a word, not a missing value.
        table = pd.read_csv(path, dtype=dict.fromkeys(texts, str), keep_default_na=False)
        table = table.rename(columns={"part": "file"})  # older runs have the first name
        return table.astype({"speaker": np.int64})


def read_class_scores(folder: Path, info: Mapping[str, Any]) -> np.ndarray:
    """Read the class scores of the utterances that a run predicted.

    Parameters
    ----------
    folder : Path
        The run folder.
    info : mapping
        From `read_info`.

    Returns
    -------
    ndarray
        Scores, float32 (utterances, classes), in the order of `read_predictions` and of
        `class_names_of`.

    Raises
    ------
    RunError
        If the file is missing or damaged. Runs that are older than it lack it.
    """
    return _arrays(folder / CLASS_SCORES, info)["scores"]
