"""Download files, and continue downloads that were interrupted."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pooch
import requests
from tqdm import tqdm

from shd_corpus.checks import DatasetError

SILENT_S = 30  # after which a site is given up that sends nothing
RANGE_FOLLOWS = 206  # the status of a reply that continues a file
RANGE_IS_EMPTY = 416
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


def download(name: str, folder: Path, known_hash: str | None, official: Sequence[str] = ()) -> Path:
    """Download a file from the first official site that has it, or from ``$SHD_BASE_URL``.

    Without `official`, the sites are those of the Spiking Heidelberg Digits (`SITES`). pooch checks
    the hash, such as ``"md5:15..."``; None accepts any content. Each site is tried twice, and
    given up if it sends nothing for 30 s. What an interrupted call has left is continued where the
    site can do that. The file gets its name when it is complete. The caller must keep other
    processes away with `exclusive`. Raise DatasetError if no site has the file or it can't be
    written.
    """
    own = os.environ.get("SHD_BASE_URL")
    sites = [own.rstrip("/") + "/"] if own else official or SITES
    pooch.get_logger().setLevel("WARNING")
    failures = []
    unfinished = folder / "download"
    for site in sites:
        shutil.rmtree(unfinished, ignore_errors=True)  # what a killed process has left
        fetcher = pooch.create(unfinished, site, registry={name: known_hash}, retry_if_failed=1)
        try:
            path = Path(fetcher.fetch(name, downloader=_continue_download))
        except (OSError, ValueError) as error:  # the network's errors are OSErrors, too
            failures.append(without_secrets(f"{site}{name}: {error}", site))
            continue
        path = path.replace(folder / name)
        unfinished.rmdir()
        return path
    raise DatasetError(
        f"{folder}: the download failed ({'; '.join(failures)}). Try again, set SHD_BASE_URL to a "
        f"mirror, or fetch {name} by hand into that folder. The data set 'digits' needs no "
        "download."
    )


def _continue_download(url: str, output_file: str, fetcher: pooch.Pooch) -> None:
    """Download a file for pooch, under a progress bar; continue what an earlier call has begun."""
    begun = Path(fetcher.path).parent / f"{Path(urlsplit(url).path).name}.begun"
    n_there = begun.stat().st_size if begun.is_file() else 0
    headers = {"Range": f"bytes={n_there}-"} if n_there else {}
    with requests.get(url, headers=headers, stream=True, timeout=SILENT_S) as response:
        if response.status_code == RANGE_IS_EMPTY:  # all of it is there
            begun.replace(output_file)
            return
        response.raise_for_status()
        if response.status_code != RANGE_FOLLOWS:
            n_there = 0
        n_bytes = n_there + int(response.headers.get("Content-Length", 0))
        with (
            begun.open("ab" if n_there else "wb") as file,
            tqdm(total=n_bytes, initial=n_there, unit="B", unit_scale=True) as bar,
        ):
            for chunk in response.iter_content(2**16):
                file.write(chunk)
                bar.update(len(chunk))
    begun.replace(output_file)
