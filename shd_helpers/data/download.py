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

SLOWEST_BYTES_PER_S, PATIENCE_S = 1000, 30.0  # a site that sends less for so long is given up
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


def without_secrets(text: str, address: str) -> str:
    """Return a text without an address's user, password and query, which may be secrets."""
    try:
        parts = urlsplit(address)
    except ValueError:  # no address at all
        return text.replace(address, "...")
    user, at, _ = parts.netloc.rpartition("@")
    query = parts.query.rstrip("/")  # to which `download` has added one
    for secret, instead in ((user + at, ""), (query, "...")):
        if secret:
            text = text.replace(secret, instead)
    return text.replace(parts.password, "...") if parts.password else text


def _fetch(address: str, output_file: object, _: object) -> None:
    """Download a file for pooch, to the open file or path `output_file`, under a progress bar.

    OSError, if the site doesn't give it, or sends less than `SLOWEST_BYTES_PER_S` for `PATIENCE_S`.
    A time limit for each answer alone would wait for ever on a site that sends a byte now and then.
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
                for part in _parts(answer.raw):
                    file.write(part)
                    bar.update(len(part))
    except HTTPError as error:  # of urllib3, which isn't an OSError; pooch tries this one again
        raise requests.exceptions.ConnectionError(str(error)) from error
    if n_bytes > answer.raw.tell():
        came = f"{answer.raw.tell()} of {n_bytes} bytes came"
        raise requests.exceptions.ConnectionError(came)


def _parts(content: Any) -> Iterator[bytes]:
    """Yield what has come of an answer's content; OSError, if too little comes."""
    since, so_far = time.monotonic(), 0
    while part := content.read1(2**16, decode_content=True):
        yield part
        so_far += len(part)
        waited_s = time.monotonic() - since
        if waited_s > PATIENCE_S:
            if so_far < SLOWEST_BYTES_PER_S * waited_s:
                slowest = SLOWEST_BYTES_PER_S / 1000
                raise OSError(f"the site is slower than {slowest:g} kB/s")
            since, so_far = time.monotonic(), 0


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
        masked = without_secrets(site, site)
        shutil.rmtree(unfinished, ignore_errors=True)  # what a killed process has left
        fetcher = pooch.create(unfinished, site, registry={name: known_hash}, retry_if_failed=1)
        try:
            path = Path(fetcher.fetch(name, downloader=_fetch))
        except (OSError, ValueError) as error:  # the network's errors are OSErrors, too
            failures.append(f"{masked}{name}: {without_secrets(str(error), site)}")
            continue
        path = path.replace(folder / name)
        unfinished.rmdir()
        return path
    raise DatasetError(
        f"{folder}: the download failed ({'; '.join(failures)}). Try again; or set SHD_BASE_URL to "
        f"a mirror; or fetch {name} by hand into that folder. The data set 'spoken' needs no "
        "download."
    )
