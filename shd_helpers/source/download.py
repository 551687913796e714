"""Fetch files of the SHD site; a download that was cut goes on where it was."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import requests
import urllib3
from filelock import FileLock, Timeout
from tqdm import tqdm

from shd_helpers.source.shd_file import DatasetError

SITES = ("https://zenkelab.org/datasets/", "https://compneuro.net/datasets/")
TIMEOUT_S = 30  # without a byte
TRIES = 5  # at one address, as long as each brings a piece


@contextmanager
def exclusive(folder: Path, lock_name: str = ".lock") -> Iterator[None]:
    """Let one process at a time make the files of a folder; others wait.

    Parameters
    ----------
    folder : Path
        Made if it is missing.
    lock_name : str
        File in it that is the lock.

    Raises
    ------
    DatasetError
        If something can't be written, as on a full disk.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / lock_name)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"{folder}: another process makes these files; waiting for it.", flush=True)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()
    except OSError as error:
        raise DatasetError(
            f"{folder}: a file can't be written or read ({error}). Free some space, or take "
            "another folder (SHD_DATA_DIR), and start again: it goes on where it was."
        ) from error


def sites() -> list[str]:
    """Return the addresses to try, in order: the two official ones, or ``$SHD_BASE_URL``."""
    own = os.environ.get("SHD_BASE_URL")
    return [own.rstrip("/") + "/"] if own else list(SITES)


def download(names: Sequence[str], folder: Path, progress: bool = True) -> Path:
    """Download one of some files.

    A connection that is cut, and the piece of an earlier call, go on from their last byte. The
    caller keeps other processes away (`exclusive`), checks the file, moves or removes it.

    Parameters
    ----------
    names : sequence of str
        Names at the site; the first that an address gives is taken.
    folder : Path
        Where the file goes, under its own name and before it is complete.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    Path
        The whole file, unchecked.

    Raises
    ------
    DatasetError
        If no address gives a file; a piece that has come is kept for the next call.
    OSError
        If the file can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    failures = []
    for path in (folder / name for name in names):
        for site in sites():
            error = _request_all(site + path.name, path, progress)
            if error is None:
                return path
            failures.append(f"{site}{path.name}: {error}")
        if path.exists():
            break  # no other file while a piece of this one is here
    raise DatasetError(
        f"{folder.parent}: the download failed ({'; '.join(failures)}). Try again, it goes on "
        f"where it was; or set SHD_BASE_URL to a mirror; or fetch {names[0]} by hand into that "
        "folder. The data set 'spoken' needs no download."
    )


def _request_all(url: str, path: Path, progress: bool) -> Exception | None:
    """Request a file until all of it is here; return the error that no piece came after."""
    for _ in range(TRIES):
        size = _size(path)
        try:
            _request_rest(url, path, progress)
            return None
        except (requests.RequestException, urllib3.exceptions.HTTPError) as failure:
            error = failure
        if _size(path) == size:
            break
    return error


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _request_rest(url: str, path: Path, progress: bool) -> None:
    start = _size(path)
    headers = {"Accept-Encoding": "identity"}  # the file's own bytes
    if start:
        headers["Range"] = f"bytes={start}-"
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
        if response.status_code == 416:  # nothing follows
            if response.headers.get("Content-Range") == f"bytes */{start}":
                return
            path.unlink()  # longer than the site's file: begin anew
        response.raise_for_status()
        if response.status_code != 206:  # all of it comes
            start = 0
        length = int(response.headers.get("Content-Length", 0))
        total = start + length if length else None
        with (
            path.open("ab" if start else "wb") as file,
            tqdm(
                desc=path.name,
                initial=start,
                total=total,
                unit="B",
                unit_scale=True,
                disable=not progress,
            ) as bar,
        ):
            for piece in response.raw.stream(2**16, decode_content=False):
                file.write(piece)
                bar.update(len(piece))
    if length and _size(path) < start + length:  # older versions of urllib3 say nothing
        raise requests.ConnectionError(f"cut after {_size(path)} of {start + length} bytes")
