"""What the fuzzer calls, in a child process: the study's readers, each with one drawn case.

A case is plain data. A function of this module makes a file or arrays of it and gives them to the
study. If the study refuses them with a documented error, the case has passed, too.
"""

import io
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from gzip import compress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import soundfile

from corpus_tests.made_files import write
from shd_corpus.checks import DatasetError
from shd_corpus.microphone import cut_utterance
from shd_corpus.recording_list import RecordingError, list_recordings
from shd_corpus.shd_file import LONGEST_S, read_in_slices, read_shd
from shd_corpus.sound_file import read_sound, read_wave
from shd_helpers.events import Events
from shd_judge import compare

MOST_BYTES = 2 * 2**30  # more than the child has when it begins
MOST_CPU_S = 20  # for one case; most take milliseconds
PAGE = resource.getpagesize()
NOT_IN_THE_FILE = ("virtual", "external", "soft link", "external link")


# --- files in SHD layout --------------------------------------------------------------------------


def read_hdf5(folder: Path, case: dict[str, Any]) -> None:
    """Read a file some of whose entries are replaced."""
    os.chdir(folder)  # files name others by relative paths
    path = write(folder / "x_train.h5")
    with h5py.File(folder / "other.h5", "w") as file:
        file["labels"] = np.zeros(3, int)
    (folder / "other.bin").write_bytes(bytes(1000))
    os.mkfifo(folder / "pipe")
    stored = set()
    with h5py.File(path, "a") as file:
        for name, (kind, *settings) in case["entries"].items():
            with suppress(Exception):  # what h5py can't store stays absent
                if name in file:
                    del file[name]
                KINDS[kind](file, name, *settings)
                stored.add(kind)
    path = _packed(path, case["suffix"])
    size = path.stat().st_size
    os.truncate(path, size if case["cut"] is None else int(case["cut"] * size))
    read = read_shd(path)
    assert not stored & {*NOT_IN_THE_FILE}
    assert len(read) == len(read.labels) == len(read.speakers) == len(read.offsets) - 1
    assert ((read.times >= 0) & (read.times <= LONGEST_S)).all()
    assert (read.units < read.n_channels).all()
    assert all(0 <= label < len(read.keys) for label in read.labels)
    assert sum(map(len, read_in_slices(path))) == len(read)


def _array(file: h5py.File, name: str, dtype: str, shape: tuple[int, ...], value: float) -> None:
    with np.errstate(all="ignore"):
        file[name] = np.full(shape, value).astype(dtype)


def _lists(file: h5py.File, name: str, dtype: str, rows: list[list[float]]) -> None:
    column = file.create_dataset(name, (len(rows),), h5py.vlen_dtype(dtype))
    for number, row in enumerate(rows):
        column[number] = np.asarray(row).astype(dtype)


def _filtered(file: h5py.File, name: str, number: int) -> None:
    """Store numbers as if a filter had packed them."""
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_chunk((3,))
    made.set_filter(number, h5py.h5z.FLAG_OPTIONAL, (3,))
    space = h5py.h5s.create_simple((3,))
    column = h5py.h5d.create(file.id, name.encode(), h5py.h5t.NATIVE_INT64, space, made)
    column.write_direct_chunk((0,), bytes(24))


def _virtual(file: h5py.File, name: str, source: str, n: int) -> None:
    layout = h5py.VirtualLayout((n,), "i8")
    layout[:] = h5py.VirtualSource(source, "labels", shape=(n,))
    file.create_virtual_dataset(name, layout)


def _external(file: h5py.File, name: str, source: str, n: int) -> None:
    file.create_dataset(name, (n,), "i8", external=[(source, 0, 8 * n)])


def _declared(file: h5py.File, name: str, dtype: str, shape: tuple, options: dict) -> None:
    file.create_dataset(name, shape, dtype, chunks=True, **options)


KINDS: dict[str, Callable[..., Any]] = {
    "absent": lambda file, name: None,
    "group": h5py.File.create_group,
    "type": lambda file, name, dtype: file.__setitem__(name, np.dtype(dtype)),
    "empty": lambda file, name, dtype: file.__setitem__(name, h5py.Empty(dtype)),
    "array": _array,
    "texts": lambda file, name, texts: file.__setitem__(name, texts),
    "lists": _lists,
    "declared": _declared,
    "filter": _filtered,
    "virtual": _virtual,
    "external": _external,
    "soft link": lambda file, name, target: file.__setitem__(name, h5py.SoftLink(target)),
    "external link": lambda file, name, *target: file.__setitem__(name, h5py.ExternalLink(*target)),
}


def _packed(path: Path, suffix: str) -> Path:
    """Pack a file, if there is a suffix, and return its new path."""
    packed = path.with_name(path.name + suffix)
    if suffix == ".gz":
        packed.write_bytes(compress(path.read_bytes()))
    if suffix == ".zip":
        with zipfile.ZipFile(packed, "w") as archive:
            archive.write(path, path.name)
    return packed


# --- sounds ---------------------------------------------------------------------------------------


def read_sounds(folder: Path, case: dict[str, Any]) -> None:
    """Read a sound file that is of any format, cut or changed."""
    path = folder / f"x{case['suffix']}"
    n, channels, rate_hz = case["n"], case["channels"], case["rate"]
    if case["format"] not in ("WAV", "FLAC"):  # libsndfile crashes when it writes extreme ones
        n, channels, rate_hz = max(n, 1), min(channels, 2), 48_000
    wave = np.zeros((n, channels)) + case["offset"]
    wave[:, 0] += case["level"] * np.sin(np.arange(n) / 10)
    if case["subtype"] not in ("FLOAT", "DOUBLE"):
        wave = np.nan_to_num(wave).clip(-1, 1)
    with io.BytesIO() as file:
        # not every format has every rate, number of channels and length
        with suppress(soundfile.SoundFileError, ValueError, AssertionError):
            soundfile.write(file, wave, rate_hz, case["subtype"], format=case["format"])
        content = bytearray(file.getvalue())
    for place, value in case["changes"]:
        at = int(place * len(content))
        content[at : at + 1] = bytes([value])
    for mark, distance, bytes_there in case["header"]:
        at = content.find(mark) + distance
        content[at : at + len(bytes_there)] = bytes_there
    if case["cut"] is not None:
        del content[int(case["cut"] * len(content)) :]
    path.write_bytes(content)
    sound, rate_hz = read_sound(path, 60.0)
    assert case["cut"] is None or case["changes"] or case["header"], "half a file is read"
    assert np.isfinite(sound).all() and len(sound) <= 60 * rate_hz
    with suppress(RecordingError):
        cut_utterance(sound, rate_hz)
    read_wave(path)


# --- tables ---------------------------------------------------------------------------------------


def compare_speakers(folder: Path, speakers: list[str]) -> None:
    """Compare a table with itself, all of whose speakers have other names."""
    rows = [f"{speaker},{seed},0.5\n" for speaker in speakers for seed in (0, 1)]
    path = folder / "a.csv"
    path.write_text("".join(["speaker,seed,accuracy\n", *rows]), encoding="utf-8")
    assert f"over {len(speakers)} speakers" in compare(path, path).over


def compare_tables(folder: Path, content: bytes) -> None:
    """Compare a table of any content with itself."""
    path = folder / "a.csv"
    path.write_bytes(content)
    assert compare(path, path).mean == 0


def list_tables(folder: Path, content: bytes) -> None:
    """List the recordings of a table."""
    for name in ("a.wav", "b.wav"):
        (folder / name).write_bytes(name.encode())
    path = folder / "list.csv"
    path.write_bytes(content)
    assert {recording.path.name for recording in list_recordings(path)} == {"a.wav", "b.wav"}


# --- lists of events ------------------------------------------------------------------------------


GOOD_EVENTS = {
    "steps": ([0, 1, 2, 4], "<u2"),
    "units": ([0, 1, 2, 3], "<u2"),
    "offsets": ([0, 1, 1, 4], "i8"),
    "sizes": {"n_steps": 5, "n_units": 4},
    "changes": [],
    "index": [0, 2],
}


def compute_events(folder: Path, case: dict[str, Any]) -> None:
    """Give lists of events to the engine and to the study, the arrays changed before or later."""
    from shd_helpers.network import SpikingNetwork, choose_engine  # with torch

    arrays = {}
    for name in ("steps", "units", "offsets"):
        values, dtype = case[name]
        arrays[name] = np.array(values, np.int64).astype(dtype)
    n = max(0, len(arrays["offsets"]) - 1) if arrays["offsets"].ndim else 0
    labels = np.zeros(n, np.int64)
    events = Events(**arrays, labels=labels, speakers=labels, class_names=("a",), **case["sizes"])
    for name, place, value in case["changes"]:
        array = getattr(events, name)
        if len(array):
            with suppress(OverflowError):  # of a value that the array can't hold
                array[place % len(array)] = value
    model = SpikingNetwork((4, 3, 2))
    scores, _ = choose_engine("compiled", model).evaluate_batch(model, events, case["index"])
    assert scores.shape == (len(case["index"]), 2)
    frames = events.to_frames(case["index"])
    assert frames.sum() == sum(len(events.take([i]).steps) for i in case["index"])


# --- the child ------------------------------------------------------------------------------------


# Each function of this module with the errors that the study documents for it
TARGETS = {
    "hdf5": (read_hdf5, (DatasetError,)),
    "sound": (read_sounds, (RecordingError,)),
    "speakers": (compare_speakers, ()),
    "table": (compare_tables, (ValueError,)),
    "list": (list_tables, (RecordingError,)),
    "events": (compute_events, (ValueError, IndexError)),
}


def serve(connection: Connection, has_engine: bool) -> None:
    """Answer with what is wrong after each case, a text that is empty if nothing is.

    What libraries print goes nowhere. For the engine, no limit holds while it is compiled.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    warnings.simplefilter("ignore")
    if has_engine:
        compute_events(Path(), GOOD_EVENTS)
    pages, *_ = Path("/proc/self/statm").read_text().split()
    limit = int(pages) * PAGE + MOST_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    connection.send("ready")
    while True:
        name, case = connection.recv()
        folder = Path(tempfile.mkdtemp())
        limit_s = int(time.process_time()) + MOST_CPU_S
        resource.setrlimit(resource.RLIMIT_CPU, (limit_s, resource.RLIM_INFINITY))
        try:
            connection.send(_answer(*TARGETS[name], folder, case))
        finally:
            shutil.rmtree(folder)


def _answer(
    call: Callable[[Path, Any], None],
    documented: tuple[type[Exception], ...],
    folder: Path,
    case: Any,
) -> str:
    """Return what is wrong with how a call ends."""
    try:
        call(folder, case)
    except Exception as error:
        text = "".join(traceback.format_exception(error))
        is_of_a_file = isinstance(error, DatasetError | RecordingError)
        is_unnamed = is_of_a_file and str(folder) not in str(error)
        lacks_memory = "MemoryError" in text or "allocat" in text
        if not isinstance(error, documented) or is_unnamed or lacks_memory:
            return text
    return ""
