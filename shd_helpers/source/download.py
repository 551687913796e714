"""Fetch files of the SHD site, and let one process at a time make the files of a folder."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pooch
from filelock import FileLock, Timeout

from shd_helpers.source.shd_file import DatasetError

SITES = ("https://zenkelab.org/datasets/", "https://compneuro.net/datasets/")


@contextmanager
def exclusive(folder: Path, lock_name: str = ".lock") -> Iterator[None]:
    """Let one process at a time make the files of a folder; others wait.

    DatasetError, if something can't be written, as on a full disk.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / lock_name)
        try:
            held = lock.acquire(timeout=0)
        except Timeout:
            print(f"{folder}: another process makes these files; waiting for it.", flush=True)
            held = lock.acquire()
        with held:
            yield
    except OSError as error:
        raise DatasetError(
            f"{folder}: a file can't be written or read ({error}). Free some space, or take "
            "another folder (SHD_DATA_DIR), and start again: it goes on where it was."
        ) from error


def download(name: str, folder: Path, known_hash: str | None) -> Path:
    """Download a file from the two official addresses, or from ``$SHD_BASE_URL``; return its path.

    It gets into the folder as soon as it is complete. The caller keeps other processes away
    (`exclusive`). A known hash is such as ``"md5:15..."``. DatasetError, if no address gives the
    file, or it can't be written.
    """
    own = os.environ.get("SHD_BASE_URL")
    pooch.get_logger().setLevel("WARNING")
    failures, unfinished = [], folder / "download"
    for site in [own.rstrip("/") + "/"] if own else SITES:
        shutil.rmtree(unfinished, ignore_errors=True)  # what a killed process has left
        fetcher = pooch.create(unfinished, site, registry={name: known_hash}, retry_if_failed=1)
        try:
            path = Path(fetcher.fetch(name, progressbar=True))
        except (OSError, ValueError) as error:  # the network's errors are OSErrors, too
            failures.append(f"{site}{name}: {error}")
            continue
        path = path.replace(folder / name)
        unfinished.rmdir()
        return path
    raise DatasetError(
        f"{folder}: the download failed ({'; '.join(failures)}). Try again; or set SHD_BASE_URL to "
        f"a mirror; or fetch {name} by hand into that folder. The data set 'spoken' needs no "
        "download."
    )
