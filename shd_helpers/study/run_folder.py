"""Run folders: what a run leaves, written by `RunWriter` and read by `read_run`.

A run folder ``<name>`` appears by one rename. What a run has to leave is written into the hidden
folder ``.<name>.unfinished`` beside it, ``run.json`` last: from then on the run counts. Then the
run before is moved aside, the new folder gets its name, and the old one is removed. Whoever comes
after a kill in between goes on from there: a killed run loses its epochs, a finished one nothing.
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
from collections.abc import Callable, Iterator, Mapping
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

from shd_helpers.events import Subsets
from shd_helpers.files import atomic, is_mount, reading, sha256, sync
from shd_helpers.network import Network
from shd_helpers.paths import ROOT
from shd_helpers.study.behavior import check_behavior
from shd_helpers.study.evaluation import origin
from shd_helpers.study.identity import current_names, run_hash
from shd_helpers.study.other_networks import other_network
from shd_helpers.study.recipe import Recipe

if TYPE_CHECKING:  # takes a second to import: see `shd_helpers.hear`
    import pandas as pd

REMEDY = "Run 03_model_training with this run_name"
WAIT_S = 10.0  # a killed notebook's kernel may live on for a moment
PACKAGES = ("torch", "snntorch", "numpy", "h5py", "numba")


class RunError(ValueError):
    """A run folder that can't be read or written; the message names the folder and the remedy."""


def _beside(folder: Path, what: str) -> Path:
    return folder.with_name(f".{folder.name}.{what}")


def _aside(folder: Path) -> Path:
    """Return the path to which a run that is replaced is moved, after removing what is there.

    NFS keeps a removed file that another process has open, under a name such as `.nfs0001`, so that
    an earlier folder may stay. Then the path is another one.
    """
    for number in itertools.count(1):
        old = _beside(folder, "replaced" if number == 1 else f"replaced{number}")
        shutil.rmtree(old, ignore_errors=True)
        if not old.exists():
            return old
    raise AssertionError("unreachable")


def _is_waiting(folder: Path) -> bool:
    """Tell whether a complete run has yet to get its name."""
    return (_beside(folder, "unfinished") / "run.json").exists()


def _lock(folder: Path) -> FileLock:
    """Return the lock of a run folder, acquired: its holder alone writes and renames.

    A process has one lock for a folder, so that a notebook's cell can be run again.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(_beside(folder, "lock"), thread_local=False, is_singleton=True)
        lock.acquire(timeout=WAIT_S)
        try:
            folder.mkdir(exist_ok=True)  # by the holder: another one may be renaming it
        except OSError:
            lock.release()
            raise
    except Timeout:
        raise RunError(
            f"{folder}: another process writes this run. Wait for it, or take another run_name."
        ) from None
    except OSError as error:
        raise RunError(f"{folder}: can't be written ({error}). Take another run_name.") from error
    return lock


def check_run_folder(folder: Path) -> None:
    """Raise RunError if a run can't take a folder's place, which it does by renaming it."""
    if why := _why_fixed(folder):
        raise RunError(
            f"{folder}: {why}, which can't be renamed when the run ends. Take another run_name, or "
            "move it away; to keep all runs on another disk, name a folder there in SHD_RUNS_DIR."
        )


def _why_fixed(folder: Path) -> str:
    """Return why a folder can't be renamed, as the end of a sentence; "" if nothing is known."""
    if folder.is_symlink():
        return f"is a link to {folder.readlink()}"
    return "is a mount point" if is_mount(folder) else ""


def _rename(folder: Path) -> None:
    """Give the complete run that waits its name, by the lock's holder; without one, do nothing.

    After a kill at any moment the same steps lead to the same end. RunError, if the disk refuses
    one of them; a folder that isn't an ordinary one stays as it is.
    """
    if not _is_waiting(folder):
        return
    new = _beside(folder, "unfinished")
    remedy = (
        f"A complete run waits in {new} for this name. Make {folder.name} an ordinary folder that "
        f"can be renamed, or give {new.name} the name of another run."
    )
    if why := _why_fixed(folder):
        raise RunError(f"{folder}: {why}. {remedy}")
    try:
        _replace(folder, new, _aside(folder))
    except OSError as error:
        raise RunError(f"{folder}: can't be renamed ({error}). {remedy}") from error


def _replace(folder: Path, new: Path, old: Path) -> None:
    """Move a run folder aside, to `old`, put `new` in its place, and remove the old one."""
    for path in folder.iterdir():  # executed notebooks and figures stay
        if not (new / path.name).exists():
            path.rename(new / path.name)
    shutil.rmtree(old, ignore_errors=True)
    folder.rename(old)
    new.rename(folder)
    sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _naming_the_folder(write: Callable[..., None]) -> Callable[..., None]:
    """Let a method of `RunWriter` raise RunError, with folder and remedy, where the disk refuses.

    The system's error, such as "No space left on device", names no file. It stays in the message,
    by which `files.is_disk_full` recognizes a full disk.
    """

    @functools.wraps(write)
    def named(self: "RunWriter", *arguments: Any, **options: Any) -> None:
        try:
            write(self, *arguments, **options)
        except OSError as error:
            raise RunError(
                f"{self._folder}: can't be written ({error}). Free some space there, or take "
                "another disk (SHD_RUNS_DIR), and run it again; the run before is as it was."
            ) from error

    return named


class RunWriter:
    """Keeps what a run leaves, and makes a run folder of it when the run has ended.

    Until then the run folder keeps the run that it may hold; `finish` leaves all other files.

    Parameters
    ----------
    parameters, data : mapping
        The run's flat parameters, `seed` among them, and what `identity.identify_data` returns.
    parts : Subsets
        The utterances; which are for what goes to `utterances.csv.gz`.
    model : SpikingNetwork or ConvolutionalNetwork
        The network after initialization: its weights are stored as epoch 0. If it isn't the network
        that the parameters build, what it is made of is stored as `other_network` and counts in
        the run's hash.

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
        check_run_folder(folder)  # before the network is trained
        check_behavior(("NUMERICS",))  # the data count by their content
        other = other_network(model, Recipe.from_flat(parameters))
        self._folder, self._parts, self._lock = folder, parts, _lock(folder)
        self._start, self._weights = time.perf_counter(), [_weights(model)]
        self.info = {
            "parameters": dict(parameters),
            "seed": parameters["seed"],
            "data": dict(data),
            **({"other_network": other} if other else {}),
            "hash": run_hash(parameters, data, other),
            "seen_speakers": np.unique(parts.training.speakers).tolist(),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
            "processor": _processor(),
            "threads": torch.get_num_threads(),
            "git_commit": _git_commit(),
            "epochs": [],
        }

    def epoch(self, model: Network, metrics: dict) -> None:
        """Record the end of an epoch."""
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
    ) -> None:
        """Make the run folder of a network that is trained.

        Scores are accuracies as fractions, None where there is no utterance to measure; the rest
        comes from `Evaluation.predictions`, `record_examples` and `costs.costs`. RunError or
        ValueError, if the disk is full, or a loss or a score is no finite number; the run before
        stays.
        """
        if not self._lock.is_locked:
            raise RunError(f"{self._folder}: this run has ended, or a later one took its place")
        self.info |= {"scores": dict(scores), "costs": dict(costs)}
        training_s = sum(metrics["wall_s"] for metrics in self.info["epochs"])
        self.info["wall_s"] = {"training": training_s, "total": time.perf_counter() - self._start}
        json.dumps(self.info, allow_nan=False)  # refuses what is no number before anything is moved
        place = _beside(self._folder, "unfinished")
        _rename(self._folder)  # a run that waits since a kill
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        _utterances(self._parts).to_csv(place / "utterances.csv.gz", index=False)
        predictions.to_csv(place / "predictions.csv", index=False)
        (place / "state_dict.pt").write_bytes(_torch_file(model.state_dict()))
        arrays = {
            f"{word}/{name}": array
            for word, arrays in examples.items()
            for name, array in arrays.items()
        }
        (place / "examples.h5").write_bytes(_hdf5_file(arrays, compression="gzip"))
        epochs = {
            name: np.stack([each[name] for each in self._weights]) for name in self._weights[0]
        }
        (place / "weights.h5").write_bytes(_hdf5_file(epochs))
        self.info["files"] = {path.name: sha256(path) for path in sorted(place.iterdir())}
        for name in self.info["files"]:
            sync(place / name)
        with atomic(place / "run.json") as part:
            part.write_text(json.dumps(self.info, indent=1) + "\n", encoding="utf-8")
        try:
            _rename(self._folder)
        finally:  # the run is complete: whoever reads or writes it next may rename it
            self._lock.release(force=True)


def _weights(model: Network) -> dict[str, np.ndarray]:
    """Return a network's weights as they are now, by their names in ``weights.h5``."""
    named = model.named_parameters()
    return {name.replace(".", "/"): p.detach().numpy().copy() for name, p in named}


def _torch_file(state: Mapping[str, torch.Tensor]) -> memoryview:
    """Return the content of a file that `torch.load` reads.

    It is made in memory: PyTorch, as HDF5, doesn't say that a disk is full where it writes itself.
    """
    memory = io.BytesIO()
    torch.save(state, memory)
    return memory.getbuffer()


def _hdf5_file(arrays: Mapping[str, np.ndarray], compression: str | None = None) -> memoryview:
    """Return the content of an HDF5 file of arrays by their names; see `_torch_file`."""
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, compression=compression)
    return memory.getbuffer()


def _utterances(parts: Subsets) -> "pd.DataFrame":
    """Return a row for each utterance: its file and row there, speaker, word, and what it's for."""
    import pandas as pd

    tables = []
    for role, events in parts._asdict().items():
        if events is not None:
            words = np.array(events.class_names)[events.labels]
            columns = {**origin(events), "speaker": events.speakers, "label": words}
            tables.append(pd.DataFrame(columns).assign(role=role))
    return pd.concat(tables).drop_duplicates()  # of changed copies


def _processor() -> str:
    """Return the processor's model, and in parentheses what the compiler takes it for."""
    model = platform.processor()
    with suppress(OSError):  # only Linux has this file
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        if found := re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE):
            model = found[1].strip()
    return f"{model or platform.machine()} ({get_host_cpu_name()})"


def _git_commit() -> str | None:
    """Return the code's commit, with "-dirty" if it was changed since; None without git."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--match="]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


@dataclass(frozen=True)
class Run:
    """What a run folder holds."""

    folder: Path
    info: dict  # run.json
    epochs: "pd.DataFrame"  # one row an epoch
    weights: dict[str, np.ndarray]  # "fc1/weight": (epochs + 1, out, in), "fc1/bias", ...
    state: dict[str, torch.Tensor]  # of the trained network: "fc1.weight", its betas, ...
    predictions: "pd.DataFrame"  # one row a test utterance
    examples: dict[str, dict[str, np.ndarray]]  # by class name

    @property
    def source(self) -> str:
        """Return the line that names the data under a figure."""
        p = self.info["parameters"]
        return f"data: {self.info['data']['name']}, {p['language']}; seed {p['seed']}"


def read_run(folder: Path) -> Run:
    """Read a run folder; RunError if there is no run in it, or one of its files is damaged."""
    import pandas as pd

    info = read_info(folder)
    try:
        with reading(folder / "run.json", RunError, f"{REMEDY} again."):
            epochs = pd.DataFrame(info["epochs"])
        with _as_written(folder / "state_dict.pt", info) as path:
            state = torch.load(path, weights_only=True)
        weights, predictions = _arrays(folder / "weights.h5", info), read_predictions(folder, info)
        examples: dict[str, dict[str, np.ndarray]] = {}
        for place, values in _arrays(folder / "examples.h5", info).items():
            word, _, name = place.partition("/")
            examples.setdefault(word, {})[name] = values
    except RunError:
        if read_info(folder) == info:
            raise
        return read_run(folder)
    if read_info(folder) != info:  # another run took its place meanwhile
        return read_run(folder)
    return Run(folder, info, epochs, weights, state, predictions, examples)


def read_info(folder: Path) -> dict[str, Any]:
    """Return what the `run.json` of a run folder says; raise as `read_run`."""
    if _is_waiting(folder):
        lock = _lock(folder)
        try:
            _rename(folder)
        finally:
            lock.release()
    path = folder / "run.json"
    with reading(path, RunError, f"{REMEDY} again."):
        try:
            info = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            if _is_waiting(folder) or path.exists():  # it was renamed just now
                return read_info(folder)
            raise RunError(f"{path}: no such file. {REMEDY} first.") from None
        if not isinstance(info, dict) or not isinstance(info.get("parameters"), dict):
            raise ValueError("its content is no run")
        info["parameters"] = current_names(info["parameters"])
    return info


@contextmanager
def _as_written(path: Path, info: Mapping[str, Any]) -> Iterator[Path]:
    """Read a file of a run: RunError, if it is damaged, or not the one that the run wrote."""
    with reading(path, RunError, f"{REMEDY} again."):
        wanted = info.get("files", {}).get(path.name)  # older runs have none
        if wanted and wanted != sha256(path):
            raise ValueError("its content isn't what the run wrote")
        yield path


def _arrays(path: Path, info: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return an HDF5 file's arrays by their names."""
    found: dict[str, np.ndarray] = {}

    def keep(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[:]

    with _as_written(path, info), h5py.File(path) as file:
        file.visititems(keep)
    return found


def read_predictions(folder: Path, info: Mapping[str, Any]) -> "pd.DataFrame":
    """Return what a run predicted, a row an utterance; RunError, if the file is damaged."""
    import pandas as pd

    texts = ("label", "predicted", "integer_predicted")
    with _as_written(folder / "predictions.csv", info) as path:
        # "null" is a word
        table = pd.read_csv(path, dtype=dict.fromkeys(texts, str), keep_default_na=False)
        table = table.rename(columns={"part": "file"})  # older runs have the first name
        return table.astype({"speaker": np.int64})
