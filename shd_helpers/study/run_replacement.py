"""Replace the files of a run at once: the run is complete or absent, whenever a process is killed.

All files are written to the hidden folder ``.unfinished`` in the run folder. When they are
complete, the old ``run.json`` is removed, the new files take the places of the old ones, and the
new ``run.json`` comes last. A folder without ``run.json`` holds no run. Other files in the run
folder, such as executed notebooks and figures, stay.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from shd_corpus.files import sync

INFO = "run.json"  # lists the other files of the run, with their hashes


class RunError(ValueError):
    """A run folder that can't be read or written; the message names the folder and the remedy."""


def run_lock(folder: Path) -> FileLock:
    """Return the lock of a run folder, which whoever replaces its files holds for a moment."""
    return FileLock(folder.with_name(f".{folder.name}.lock"))


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Yield an empty folder; when the block ends, its files replace those of the run.

    If the block raises, the earlier run stays as it was.
    """
    with run_lock(folder):
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
