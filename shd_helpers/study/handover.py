"""Where a run is written, and how it takes the place of the one before it.

A run that ends is written into the hidden folder ``.<name>.unfinished`` beside its run folder
``<name>``. It counts from the moment that `run.json` there says that it is complete. Its files are
then moved into the run folder, `run.json` last, and whoever comes after a kill in between moves the
rest. So what is complete stays until its successor is complete, and what else lies in the run
folder (executed notebooks, figures) stays where it is.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from shd_helpers.files import reading, sync_folder

WAIT_S = 10.0  # a killed notebook's kernel may live on for a moment


class RunError(ValueError):
    """A run folder that can't be read or written; the message names the folder and the remedy."""


def unfinished(folder: Path) -> Path:
    """Return where the run of a run folder is written."""
    return folder.with_name(f".{folder.name}.unfinished")


def locked(folder: Path) -> FileLock:
    """Return the lock of a run's name, acquired; only its holder writes beside or moves.

    Parameters
    ----------
    folder : Path
        The run folder.

    Raises
    ------
    RunError
        If another writer holds it for longer than `WAIT_S`, or the run folder can't be made.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.with_name(f".{folder.name}.lock"), thread_local=False)
        lock.acquire(timeout=WAIT_S)
    except Timeout:
        raise RunError(
            f"{folder}: another process writes this run. Wait for it, or take another run_name."
        ) from None
    except OSError as error:
        raise RunError(f"{folder}: can't be written ({error}). Take another run_name.") from error
    return lock


def begin(folder: Path) -> None:
    """Make the empty folder for a new run, by the lock's holder."""
    _move_if_complete(folder)
    place = unfinished(folder)
    try:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: can't be written ({error}). Take another run_name.") from error


def hand_over(folder: Path) -> None:
    """Move the files of a complete run into the run folder, by the lock's holder."""
    place = unfinished(folder)
    try:
        folder.mkdir(exist_ok=True)
        files = [path for path in place.iterdir() if path.is_file() and path.name != "run.json"]
        for path in files:
            path.replace(folder / path.name)
        sync_folder(folder)
        (place / "run.json").replace(folder / "run.json")
        sync_folder(folder)
        shutil.rmtree(place)
    except OSError as error:
        raise RunError(
            f"{folder}: can't be written ({error}). The complete run waits in {place}: remove what "
            "is in its way, and read it again."
        ) from error


def settle(folder: Path) -> None:
    """Finish a handover that a kill has stopped; where there is none, do nothing."""
    if is_waiting(folder):
        with locked(folder):
            _move_if_complete(folder)


def is_waiting(folder: Path) -> bool:
    """Tell whether a complete run has yet to be moved into its run folder."""
    return info_of(unfinished(folder)).get("complete") is True


def is_replaced(folder: Path, text: str) -> bool:
    """Tell whether another run took the place of the one whose ``run.json`` had this text."""
    return is_waiting(folder) or (folder / "run.json").read_text(encoding="utf-8") != text


def _move_if_complete(folder: Path) -> None:
    if is_waiting(folder):
        hand_over(folder)


def info_of(place: Path) -> dict[str, Any]:
    """Return the content of a folder's `run.json`; empty if there is none that can be read."""
    path = place / "run.json"
    try:
        with reading(path, RunError, ""):
            info = json.loads(path.read_text(encoding="utf-8"))
    except RunError:
        return {}
    return info if isinstance(info, dict) else {}
