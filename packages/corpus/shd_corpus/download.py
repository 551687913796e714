"""Fetch files of the SHD site."""

import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pooch

from shd_corpus.checks import DatasetError

SITES = ("https://zenkelab.org/datasets/", "https://compneuro.net/datasets/")


def without_secrets(text: str, address: str) -> str:
    """Remove an address's user, password and query from a text, because they may be secrets."""
    try:
        fields = urlsplit(address)
    except ValueError:  # it is no address at all
        return text.replace(address, "...")
    user, at, _ = fields.netloc.rpartition("@")
    query = fields.query.rstrip("/")  # `download` has added a slash to the address
    for secret in filter(None, (user + at, query, fields.password)):
        text = text.replace(secret, "...")
    return text


def download(name: str, folder: Path, known_hash: str | None) -> Path:
    """Download a file from the first official address that has it, or from ``$SHD_BASE_URL``.

    pooch downloads it under a progress bar, tries each address twice, and gives one up that sends
    nothing for 30 s. The file is moved into the folder when it is complete and its hash is right,
    such as ``"md5:15..."``; None accepts any content. The caller must keep other processes away
    with `exclusive`. Raise DatasetError if no address has the file or it can't be written.
    """
    own = os.environ.get("SHD_BASE_URL")
    sites = [own.rstrip("/") + "/"] if own else SITES
    pooch.get_logger().setLevel("WARNING")
    downloader = pooch.HTTPDownloader(progressbar=True, chunk_size=2**16)
    failures = []
    unfinished = folder / "download"
    for site in sites:
        shutil.rmtree(unfinished, ignore_errors=True)  # what a killed process has left
        fetcher = pooch.create(unfinished, site, registry={name: known_hash}, retry_if_failed=1)
        try:
            path = Path(fetcher.fetch(name, downloader=downloader))
        except (OSError, ValueError) as error:  # the network's errors are OSErrors, too
            failures.append(without_secrets(f"{site}{name}: {error}", site))
            continue
        path = path.replace(folder / name)
        unfinished.rmdir()
        return path
    raise DatasetError(
        f"{folder}: the download failed ({'; '.join(failures)}). Try again, set SHD_BASE_URL to a "
        f"mirror, or fetch {name} by hand into that folder. The data set 'spoken' needs no "
        "download."
    )
