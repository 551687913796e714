"""Get a data set by name: download it, make it, or find it in a folder."""

import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from shd_helpers.data.download import download, exclusive
from shd_helpers.data.names import MOST_COPIES, PARTS, SUFFIXES, copy_name, older_path
from shd_helpers.data.shd_file import DatasetError, content_hash
from shd_helpers.paths import data_dir, resolve

SHD_MD5 = {  # of the HDF5 files, and of the zip files that hold them; from public loaders
    "shd_train.h5": "8e9877c85f29a28dd353ea6a54402667",
    "shd_train.h5.zip": "f3252aeb598ac776c1b526422d90eecb",
    "shd_test.h5": "207ad1295a0ab611e22d1734989c254e",
    "shd_test.h5.zip": "1503a5064faa34311c398fb0a1ed0a6f",
}
NAMED = ("spoken", "hd", "shd")


def locate(dataset: str, language: str = "english") -> tuple[Path, Path]:
    """Find, make or download the two files of a data set.

    Parameters
    ----------
    dataset : str
        ``"spoken"`` for digits spoken by eSpeak NG, made once into ``data/spoken``; ``"hd"`` for
        the Heidelberg Digits, downloaded as sound and turned into spikes once into ``data/hd``;
        ``"shd"`` for the official spikes of the same sound, downloaded once into ``data/shd``;
        or a folder with ``<name>_train.h5`` and ``<name>_test.h5``, each also as ``.h5.gz`` or
        ``.h5.zip``, relative to the repository root. ``$SHD_BASE_URL`` replaces the addresses
        of downloads.
    language : str
        What ``"spoken"`` is to speak; the other data sets are what they are.

    Returns
    -------
    tuple of Path
        Training file and test file.

    Raises
    ------
    DatasetError
        If a download fails or isn't what it should be, or the folder holds no such pair, or more
        than one.
    """
    if dataset == "spoken":
        # numba and scipy take 1 s to import
        from shd_helpers.data.speech import make_spoken

        return make_spoken(data_dir() / "spoken" / language, language=language)
    if dataset == "hd":
        from shd_helpers.data.heidelberg import make_heidelberg

        train, test = make_heidelberg(data_dir() / "hd")
        return train, test
    if dataset == "shd":
        return _official("shd_train"), _official("shd_test")
    folder = resolve(dataset)
    if not folder.is_dir():
        raise DatasetError(
            f"{folder}: no such folder. Set `dataset` to 'spoken', 'hd', 'shd' or a folder that "
            "holds <name>_train.h5 and <name>_test.h5; a relative path counts from the repository "
            "root."
        )
    names = {path.name.rpartition("_train.h5")[0] for path in folder.glob("*_train.h5*")}
    copies = [Path(copy_name(name, 1 + k)) for name in names for k in range(MOST_COPIES)]
    names -= {path.name for copy in copies for path in (copy, older_path(copy))}
    found = [
        [_packed_or_not(folder / f"{name}_{part}") for part in PARTS] for name in sorted(names)
    ]
    pairs = [(train, test) for train, test in found if train and test]
    if len(pairs) != 1:
        raise DatasetError(
            f"{folder}: {len(pairs)} pairs of files <name>_train.h5 and <name>_test.h5 (or .h5.gz, "
            f".h5.zip) found{': ' * bool(pairs) + ', '.join(map(dataset_name, pairs))}; keep one "
            "pair in a folder."
        )
    return pairs[0]


def locate_augmented(dataset: str, files: tuple[Path, Path], part: int, copies: int) -> list[Path]:
    """Find or make the augmented copies of a data set's training file (part 0) or test file (1).

    Row by row they have the same recordings, augmented as `WaveformAugmentation` draws it. The
    files are from `locate`; of ``"hd"`` the copies that are missing are made. DatasetError, if one
    is missing and can't be made.
    """
    if dataset == "hd":
        from shd_helpers.data.heidelberg import make_heidelberg

        return [make_heidelberg(data_dir() / "hd", 1 + k, [part])[0] for k in range(copies)]
    names = [f"{copy_name(dataset_name(files), 1 + k)}_{PARTS[part]}" for k in range(copies)]
    found = {name: _packed_or_not(files[part].with_name(name)) for name in names}
    for name, path in found.items():
        if path is None:
            _refuse_absent(files[part].with_name(name), copies)
    return [path for path in found.values() if path]


def _refuse_absent(path: Path, n_copies: int) -> NoReturn:
    """Raise the DatasetError of a file of augmented copies that isn't there."""
    older = _packed_or_not(older_path(path))
    if older:
        renamed = older.name.replace(older_path(path).name, path.name)
        raise DatasetError(
            f"{older}: augmented copies have another name now. Rename this file to {renamed}."
        )
    raise DatasetError(
        f"{path}.h5: no such file. Make it of the recordings by "
        f"encode_recordings(..., augmented_copies={n_copies}), or set `augmented_copies` to 0, as "
        "it must be with 'spoken' and 'shd'."
    )


def dataset_name(files: tuple[Path, Path]) -> str:
    """Return the name to put on figures and tables: what stands before ``_train`` in the file."""
    return files[0].name.rpartition("_train")[0]


def speaker_name(dataset: str, speaker: int) -> str:
    """Return what to call a speaker: a letter for a voice of ``spoken``, a number for a person."""
    return string.ascii_uppercase[speaker] if dataset == "spoken" else str(speaker)


def fingerprint(
    files: tuple[Path, Path], augmented: Mapping[int, Sequence[Path]] | None = None
) -> dict[str, str]:
    """Return a data set's name and the SHA-256 of all its files, to be kept with results.

    The bytes of the HDF5 files count: packing them as ``.gz`` or ``.zip`` changes nothing.

    Parameters
    ----------
    files : tuple of Path
        Training file and test file, from `locate`.
    augmented : mapping, optional
        The files of augmented recordings that a run trains on too, from `locate_augmented`: by 0
        those of the training file, by 1 those of the test file.

    Returns
    -------
    dict of str to str
        `name`, `train_sha256` and `test_sha256`; with augmented recordings also
        `augmented_train_sha256` and `augmented_test_sha256`, each with one hash for every file, in
        their order, with spaces between them.

    Raises
    ------
    DatasetError
        If a file can't be read.
    """
    train, test = map(content_hash, files)
    found = {"name": dataset_name(files), "train_sha256": train, "test_sha256": test}
    for part, copies in (augmented or {}).items():
        found[f"augmented_{PARTS[part]}_sha256"] = " ".join(map(content_hash, copies))
    return found


def _packed_or_not(path: Path) -> Path | None:
    paths = [path.with_name(path.name + suffix) for suffix in SUFFIXES]
    return next((p for p in paths if p.is_file()), None)


def _official(name: str) -> Path:
    """Return an official file, packed or not; download it where it is missing; check it always."""
    folder = data_dir() / "shd"
    path = _packed_or_not(folder / name)
    if path is None:
        with exclusive(folder):
            zipped = f"{name}.h5.zip"
            path = _packed_or_not(folder / name)
            return path or download(zipped, folder, f"md5:{SHD_MD5[zipped]}")
    found, expected = content_hash(path, "md5"), SHD_MD5[f"{name}.h5"]
    if found != expected:
        raise DatasetError(
            f"{path}: has the MD5 {found}, the official file {expected}. Remove it to "
            "download it again; or, if you trust it, name its folder as the data set: "
            f"DATASET={str(folder)!r}."
        )
    return path
