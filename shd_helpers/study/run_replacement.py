"""Replace a run folder as a whole: it is complete or it isn't there, whenever a process is killed.

`RunWriter` writes a run ``mine`` in these steps:

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

import shutil
from pathlib import Path

from filelock import FileLock, Timeout

from shd_helpers.files import is_mount, sync

WAIT_S = 10.0  # for the lock: a killed notebook's kernel may live on for a moment


class RunError(ValueError):
    """A run folder that can't be read or written; the message names the folder and the remedy."""


class _RunLock(FileLock):
    """The lock of a run folder, which also knows who in this process may write the folder.

    All locks of one process for a folder are the same object. So a later `RunWriter` acquires it
    while an earlier one, which a notebook's cell has replaced, still has it. Each begins a turn,
    and only the last turn counts.
    """

    _turn: object = None

    def begin_turn(self) -> object:
        """Return a token of a new turn, which ends the turn before.

        Returns
        -------
        object
            What `is_turn` takes.
        """
        self._turn = object()
        return self._turn

    def is_turn(self, token: object) -> bool:
        """Tell whether the lock is held, and a turn is the last one.

        Parameters
        ----------
        token : object
            From `begin_turn`.

        Returns
        -------
        bool
            Whether whoever has the token may write.
        """
        return self.is_locked and self._turn is token


def hidden_path(folder: Path, ending: str) -> Path:
    """Return the path of a hidden file or folder beside a run folder.

    Parameters
    ----------
    folder : Path
        The run folder.
    ending : str
        The last part of the hidden name, such as ``lock``.

    Returns
    -------
    Path
        For the folder ``mine`` and this ending, ``.mine.lock`` beside it.
    """
    return folder.with_name(f".{folder.name}.{ending}")


def _path_for_old_run(folder: Path) -> Path:
    """Return the path to which a run that is replaced is moved, after removing what is there.

    NFS keeps a removed file that another process has open, under a name such as `.nfs0001`, so that
    an earlier folder may stay. Then the path is another one.
    """
    number = 1
    old = hidden_path(folder, "replaced")
    shutil.rmtree(old, ignore_errors=True)
    while old.exists():
        number += 1
        old = hidden_path(folder, f"replaced{number}")
        shutil.rmtree(old, ignore_errors=True)
    return old


def is_waiting(folder: Path) -> bool:
    """Return whether a complete run has yet to get its name.

    Parameters
    ----------
    folder : Path
        The run folder, whether it exists or not.

    Returns
    -------
    bool
        Whether step 1 of the module's docstring has ended, and step 3 hasn't.
    """
    return (hidden_path(folder, "unfinished") / "run.json").exists()


def lock_run_folder(folder: Path) -> _RunLock:
    """Acquire the lock of a run folder, and return it. Only its holder writes and renames.

    All locks of one process for a folder are the same object, so that a notebook's cell can be run
    again. The folder is made if it is missing.

    Parameters
    ----------
    folder : Path
        The run folder.

    Returns
    -------
    _RunLock
        The acquired lock. Whoever asked for it releases it.

    Raises
    ------
    RunError
        If another process holds the lock for longer than `WAIT_S`, or the folder can't be made.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = _RunLock(hidden_path(folder, "lock"), thread_local=False, is_singleton=True)
        lock.acquire(timeout=WAIT_S)
        try:
            # not before the lock is acquired: another process may be renaming the folder
            folder.mkdir(exist_ok=True)
        except OSError:
            lock.release()
            raise
    except Timeout:
        raise RunError(
            f"{folder}: another process is writing this run. Wait for it, or choose another "
            "run_name."
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


def finish_renaming(folder: Path) -> None:
    """Give a complete run that waits its name (steps 2 to 4 of the module's docstring).

    Only the holder of the lock calls this. If no run waits, nothing happens.

    Parameters
    ----------
    folder : Path
        The run folder.

    Raises
    ------
    RunError
        If the folder isn't an ordinary one, or the disk refuses a step. The complete run still
        waits then.
    """
    if not is_waiting(folder):
        return
    new = hidden_path(folder, "unfinished")
    remedy = (
        f"A finished run is in {new} and couldn't be moved here. Replace {folder} by an ordinary "
        f"folder and start again, or rename {new} to a free run name."
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
