"""Files in SHD's layout, good ones and packed ones."""

import gzip
import zipfile
from pathlib import Path

import h5py
import numpy as np

from shd_corpus.class_names import ENGLISH, GERMAN

KEYS = ENGLISH + GERMAN


GOOD = {
    "times": [[0.0, 0.25, 0.5], [], [1.25]],
    "units": [[0, 699, 5], [], [7]],
    "labels": [3, 11, 0],
    "speaker": [4, 4, 1],
    "keys": [key.encode() for key in KEYS],
}


def write(path: Path, types=("f2", "u2"), **changes) -> Path:
    """Write HDF5 with h5py alone, so that read_shd is not tested by write_shd."""
    content = GOOD | changes
    with h5py.File(path, "w") as file:
        for name, dtype in zip(("times", "units"), types, strict=True):
            rows = content[name]
            data = file.create_dataset(f"spikes/{name}", (len(rows),), h5py.vlen_dtype(dtype))
            for i, row in enumerate(rows):
                data[i] = row
        for name in ("labels", "extra/speaker", "extra/keys"):
            value = content[name.removeprefix("extra/")]
            if value is not None:
                file[name] = value
    return path


def packed(plain: Path, suffix: str) -> Path:
    """Pack a file as .gz or .zip beside it, or return it as it is without a suffix."""
    path = plain.with_name(plain.name + suffix)
    if suffix == ".gz":
        path.write_bytes(gzip.compress(plain.read_bytes()))
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(plain, plain.name)
            archive.writestr(f"__MACOSX/._{plain.name}", b"remarks")
    return path


def check_good(read):
    """Check that utterances are those of `GOOD`."""
    assert len(read) == 3
    assert read.offsets.tolist() == [0, 3, 3, 4]
    assert read.times.dtype == np.float16
    assert [t.tolist() for t, _ in map(read.spikes, range(3))] == GOOD["times"]
    assert [u.tolist() for _, u in map(read.spikes, range(3))] == GOOD["units"]
    assert read.labels.tolist() == GOOD["labels"]
    assert read.speakers.tolist() == GOOD["speaker"]
    assert read.keys == KEYS


def names(folder):
    """Return the names of the files in a folder, without its lock."""
    return sorted(p.name for p in folder.iterdir() if p.name != ".lock")
