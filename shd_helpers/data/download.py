"""Fetch files of the SHD site, and let one process at a time make the files of a folder."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pooch
from filelock import FileLock, Timeout

from shd_helpers.data.shd_file import DatasetError

# A download ends with an error if fewer bytes per second arrive for this many seconds.
SLOWEST_BYTES_PER_S = 1000
PATIENCE_S = 30.0
SITES = ("https://zenkelab.org/datasets/", "https://compneuro.net/datasets/")


@contextmanager
def exclusive(
    folder: Path, lock_name: str = ".lock", remedy: str = "take another folder (SHD_DATA_DIR)"
) -> Iterator[None]:
    """Let one process at a time make the files of a folder, while other processes wait.

    Parameters
    ----------
    folder : Path
        The folder, which is made if it is missing.
    lock_name : str
        Name of the lock's file in that folder.
    remedy : str
        How the files can be written to another folder, for the message.

    Yields
    ------
    None
        While this process holds the lock.

    Raises
    ------
    DatasetError
        If something can't be written or read, as on a full disk.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / lock_name)
        try:
            held = lock.acquire(timeout=0)
        except Timeout:
            print(f"{folder}: another process makes these files. Waiting for it.", flush=True)
            held = lock.acquire()
        with held:
            yield
    except OSError as error:
        raise DatasetError(
            f"{folder}: a file can't be written or read ({error}). Free some space, or {remedy}, "
            "and start again: it continues where it stopped."
        ) from error


def without_secrets(text: str, address: str) -> str:
    """Remove an address's user, password and query from a text, because they may be secrets.

    Parameters
    ----------
    text : str
        A message that may quote the address.
    address : str
        The address.

    Returns
    -------
    str
        The text without them.
    """
    try:
        fields = urlsplit(address)
    except ValueError:  # it is no address at all
        return text.replace(address, "...")
    user, at, _ = fields.netloc.rpartition("@")
    if user:
        text = text.replace(user + at, "")
    query = fields.query.rstrip("/")  # `download` has added a slash to the address
    if query:
        text = text.replace(query, "...")
    if fields.password:
        text = text.replace(fields.password, "...")
    return text


def _fetch(address: str, output_file: object, _: object) -> None:
    """Download a file for pooch, to the path `output_file`, under a progress bar.

    Raises OSError if the site doesn't have the file or sends less than `SLOWEST_BYTES_PER_S` for
    `PATIENCE_S`. A limit on the time between two bytes alone would never end with a site that sends
    a byte now and then.
    """
    import requests
    from tqdm import tqdm
    from urllib3.exceptions import HTTPError

    try:
        with requests.get(address, stream=True, timeout=PATIENCE_S) as answer:
            answer.raise_for_status()
            n_bytes = int(answer.headers.get("content-length", 0))
            with (
                Path(str(output_file)).open("wb") as file,
                tqdm(total=n_bytes or None, unit="B", unit_scale=True, ncols=79) as bar,
            ):
                for piece in _pieces(answer.raw):
                    file.write(piece)
                    bar.update(len(piece))
    except HTTPError as error:  # of urllib3, no OSError; pooch tries again after this one
        raise requests.exceptions.ConnectionError(str(error)) from error
    if n_bytes > answer.raw.tell():
        raise requests.exceptions.ConnectionError(f"{answer.raw.tell()} of {n_bytes} bytes came")


def _pieces(content: Any) -> Iterator[bytes]:
    """Yield an answer's content as it arrives. Raise OSError if too little arrives."""
    start_s = time.monotonic()
    n_bytes = 0  # since then
    while piece := content.read1(2**16, decode_content=True):
        yield piece
        n_bytes += len(piece)
        waited_s = time.monotonic() - start_s
        if waited_s > PATIENCE_S:
            if n_bytes < SLOWEST_BYTES_PER_S * waited_s:
                slowest = SLOWEST_BYTES_PER_S / 1000
                raise OSError(f"the site is slower than {slowest:g} kB/s")
            start_s = time.monotonic()
            n_bytes = 0


def download(name: str, folder: Path, known_hash: str | None) -> Path:
    """Download a file from the first official address that has it, or from ``$SHD_BASE_URL``.

    The file is moved into the folder when it is complete. The caller must keep other processes away
    with `exclusive`.

    Parameters
    ----------
    name : str
        Name of the file at the site and in the folder.
    folder : Path
        Where it is written.
    known_hash : str or None
        Algorithm and hash of the file, such as ``"md5:15..."``. None if its content is checked
        later.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    DatasetError
        If no address has the file or it can't be written.
    """
    own = os.environ.get("SHD_BASE_URL")
    sites = [own.rstrip("/") + "/"] if own else SITES
    pooch.get_logger().setLevel("WARNING")
    failures = []
    unfinished = folder / "download"
    for site in sites:
        shutil.rmtree(unfinished, ignore_errors=True)  # what a killed process has left
        fetcher = pooch.create(unfinished, site, registry={name: known_hash}, retry_if_failed=1)
        try:
            path = Path(fetcher.fetch(name, downloader=_fetch))
        except (OSError, ValueError) as error:  # the network's errors are OSErrors, too
            shown = without_secrets(site, site)
            failures.append(f"{shown}{name}: {without_secrets(str(error), site)}")
            continue
        path = path.replace(folder / name)
        unfinished.rmdir()
        return path
    raise DatasetError(
        f"{folder}: the download failed ({'; '.join(failures)}). Try again, set SHD_BASE_URL to a "
        f"mirror, or fetch {name} by hand into that folder. The data set 'spoken' needs no "
        "download."
    )
