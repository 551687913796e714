"""Get a data set by name: download it, make it, or find it in a folder."""

import os
from pathlib import Path

import pooch

from shd_helpers.files import sha256
from shd_helpers.paths import data_dir, resolve
from shd_helpers.source.espeak_digits import make_spoken
from shd_helpers.source.shd_file import DatasetError

SHD_URL = "https://zenkelab.org/datasets/"
SHD_FILES = {
    "shd_train.h5.zip": "md5:f3252aeb598ac776c1b526422d90eecb",
    "shd_test.h5.zip": "md5:1503a5064faa34311c398fb0a1ed0a6f",
}
NAMED = ("spoken", "shd")
SUFFIXES = (".h5", ".h5.gz", ".h5.zip")


def locate(dataset: str, language: str = "english") -> tuple[Path, Path]:
    """Find, make or download the two files of a data set.

    Parameters
    ----------
    dataset : str
        ``"spoken"`` for digits spoken by eSpeak NG, made once into ``data/spoken``; ``"shd"`` for
        the official files, downloaded once into ``data/shd`` (base address: ``$SHD_BASE_URL``);
        or a folder with ``<name>_train.h5`` and ``<name>_test.h5``, each also as ``.h5.gz`` or
        ``.h5.zip``, relative to the repository root.
    language : str
        What ``"spoken"`` is to speak; the other data sets are what they are.

    Returns
    -------
    tuple of Path
        Training file and test file.

    Raises
    ------
    DatasetError
        If the download fails or the folder holds no such pair, or more than one.
    """
    if dataset == "spoken":
        return make_spoken(data_dir() / "spoken" / language, language=language)
    if dataset == "shd":
        return tuple(_download(name) for name in SHD_FILES)
    folder = resolve(dataset)
    if not folder.is_dir():
        raise DatasetError(
            f"{folder}: no such folder. Set `dataset` to 'spoken', 'shd' or a folder that holds "
            "<name>_train.h5 and <name>_test.h5; a relative path counts from the repository root."
        )
    pairs = {}
    for train in sorted(folder.glob("*_train.h5*")):
        name, _, suffix = train.name.rpartition("_train")
        tests = [folder / f"{name}_test{s}" for s in SUFFIXES]
        test = next((path for path in tests if path.is_file()), None)
        if suffix in SUFFIXES and test is not None:
            pairs.setdefault(name, (train, test))
    if len(pairs) != 1:
        raise DatasetError(
            f"{folder}: {len(pairs)} pairs of <name>_train.h5 and <name>_test.h5 (or .h5.gz, "
            f".h5.zip) found{': ' + ', '.join(pairs) if pairs else ''}; keep one pair in a folder."
        )
    return pairs.popitem()[1]


def dataset_name(files: tuple[Path, Path]) -> str:
    """Return the name to put on figures and tables: what stands before ``_train`` in the file."""
    return files[0].name.rpartition("_train")[0]


def fingerprint(files: tuple[Path, Path]) -> dict[str, str]:
    """Return a data set's name and the SHA-256 of its two files, to be kept with results."""
    train, test = files
    name = dataset_name(files)
    return {"name": name, "train_sha256": sha256(train), "test_sha256": sha256(test)}


def _download(name: str) -> Path:
    base = os.environ.get("SHD_BASE_URL") or SHD_URL
    folder = data_dir() / "shd"
    files = pooch.create(folder, base_url=base.rstrip("/") + "/", registry=SHD_FILES)
    try:
        return Path(files.fetch(name, progressbar=True))
    # pooch raises ValueError for a wrong hash; every failure of requests is an OSError
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{folder / name}: the download from {base} failed ({error}). Try again; or set "
            "SHD_BASE_URL to a mirror; or fetch both zip files by hand into that folder."
        ) from error
