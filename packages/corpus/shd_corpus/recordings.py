"""Recorded utterances to spikes: one sound file, or a folder of them as a data set in SHD layout.

`encode_recordings` makes a data set from a folder, `encode_file` encodes one file. Before the first
recording is encoded, all are checked. Silent or damaged files and clicks are refused
(`sound_file`), and so are incomplete sets (`recording_list`).
"""

import csv
import hashlib
import shutil
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from shd_corpus.checks import listed
from shd_corpus.compiled import on_all_cores
from shd_corpus.encoders import CHANNELS, COCHLEA, encode, versions_of
from shd_corpus.files import atomic, exclusive, reading, sha256
from shd_corpus.microphone import LONGEST_FILE_S, cut_utterance
from shd_corpus.recording_list import (
    Recording,
    RecordingError,
    class_names,
    list_recordings,
    normalized,
)
from shd_corpus.shd_file import write_shd
from shd_corpus.sound_file import RATE_HZ, read_sound, read_utterance, read_wave

TEST_SHARE = 0.2  # of the speakers are for testing if none is named
Spikes = tuple[np.ndarray, np.ndarray]  # times and units of an utterance
_Row = tuple[np.ndarray, np.ndarray, int, int, str]  # times, units, label, speaker, recording


class RecordingOptions(NamedTuple):
    """How recordings are read.

    Parameters
    ----------
    cut : bool
        Whether the utterance is found in each recording and cut out, as `hear` does it. Use it for
        recordings with silence around the utterance.
    lenient : bool
        Whether speakers may lack some of the classes, and recordings that can't be used are left
        out.
    encoder : str
        ``"cochlea"``, or ``"filter_bank"``, which has 77 channels and steps of 3 ms.
    """

    cut: bool = False
    lenient: bool = False
    encoder: str = COCHLEA


DEFAULT = RecordingOptions()


class Encoding(NamedTuple):
    """Recordings with their spikes, and those that were refused, each with the reason."""

    source: Path  # the folder of the recordings, or their CSV file
    recordings: list[Recording]
    spikes: list[Spikes]
    refused: list[tuple[Recording, str]]
    encoder: str = COCHLEA


def encode_recordings(
    source: str | Path,
    out: str | Path | None = None,
    name: str | None = None,
    test_speakers: Collection[str] | None = None,
    *,
    seed: int = 0,
    options: RecordingOptions = DEFAULT,
) -> tuple[Path, Path]:
    """Turn recorded utterances into a data set of spikes: a training file and a test file.

    All recordings are checked before the first is encoded. A call that follows an interrupted one
    continues where that stopped, and ends with the same files. For this, the spikes of each
    recording are stored in ``.<name>_parts`` until both files are complete. They depend on the
    recording, its file name and the seed, not on other recordings.

    Parameters
    ----------
    source : str or Path
        One of three, with recordings that are wav or flac, 6 to 768 kHz:

        * a folder with a folder for each class, ``my_wavs/yes/anna_1.wav``. The class is the name
          of the folder, and the speaker what the file's name has before the first underscore.
        * a folder of recordings named ``{label}_{speaker}_{take}.wav``. The labels 0 to 19 stand
          for SHD's class names.
        * a CSV file with the columns `file` (relative to the CSV file), `label` and `speaker`. It
          must list all recordings of the folders in which it lists some.

        The mean of stereo channels is taken.
    out : str or Path, optional
        Folder of the files to write. Default: ``<name>_spikes`` beside the folder or CSV file.
    name : str, optional
        Name of the data set, with which the files' names begin. Default: the name of the folder or
        CSV file.
    test_speakers : collection of str, optional
        Speakers that occur only in the test file; all others only in the training file. Default:
        a fifth of the speakers, at least one, from the end of the alphabet. `judge` holds out each
        speaker of both files in turn, so it makes no difference there.
    seed : int
        Of all that is drawn, such as the spikes of nerve fibers.
    options : RecordingOptions
        Whether utterances are found and cut out of longer recordings, and whether what can't be
        used is left out: ``<name>_refused.csv`` then lists it with the reasons.

    Returns
    -------
    tuple of Path
        Training file and test file: what `load_events` takes. Speakers are numbered in alphabetical
        order. The entry ``extra/file`` has the path of each utterance's recording, relative to the
        source's folder.

    Raises
    ------
    RecordingError
        If a recording or its name can't be used, or the set is incomplete: only one speaker, a
        class with one utterance, a speaker without one of the classes (unless lenient), one sound
        under two labels. Or if the name has a slash or only dots.
    DatasetError
        If a file can't be written, as on a full disk.

    Warns
    -----
    UserWarning
        If a recording is clipped, appears twice, or is a sound file that is neither wav nor flac.
    """
    source = Path(source).expanduser()
    if name is None:
        name = source.stem if source.is_file() else source.resolve().name
    if "/" in name or not name.strip("."):  # it would lead to another folder
        raise RecordingError(
            f"{source}: the name {name!r} has a slash, or nothing but dots. Files begin with it, "
            "so give the data set another one (name)."
        )
    recordings = list_recordings(source, options.lenient)
    chosen = _test_speakers(source, recordings, test_speakers)
    paths = [recording.path for recording in recordings]
    if options == DEFAULT:
        for path in paths:  # all of them before the first is encoded
            read_utterance(path)
    out = source.resolve().parent / f"{name}_spikes" if out is None else Path(out).expanduser()
    finished = out / f".{name}_parts"
    with exclusive(out, f".{name}.lock", remedy="give another folder (out)"):
        encoding = encode_all(source, recordings, finished, f"encoding {name}", seed, options)
        keys = class_names(encoding.recordings)
        write_pair(_pair(out, name), encoding, chosen, _speakers(recordings), keys)
        write_refused(out / f"{name}_refused.csv", encoding.refused)
        shutil.rmtree(finished)
    numbered = [f"{number} {speaker}" for number, speaker in enumerate(_speakers(recordings))]
    print(f"{name}: {len(encoding.recordings)} recordings; speakers {listed(numbered, 20)}")
    return _pair(out, name)


def _speakers(recordings: Sequence[Recording]) -> list[str]:
    """Return all speakers in the order of their numbers."""
    return sorted({recording.speaker for recording in recordings})


def _test_speakers(
    source: Path, recordings: Sequence[Recording], given: Collection[str] | None
) -> set[str]:
    """Return the speakers that go into the test file, checked."""
    speakers = _speakers(recordings)
    if given is None:
        n_chosen = max(1, round(TEST_SHARE * len(speakers)))
        return set(speakers[-n_chosen:])
    if isinstance(given, str):  # a text is a collection of letters
        raise RecordingError(f"test_speakers {given!r}: must be a list, such as [{given!r}].")
    chosen = {normalized(str(speaker)) for speaker in given}
    if not chosen or not chosen < set(speakers):
        raise RecordingError(
            f"{source}: test_speakers is {sorted(chosen)}. Name at least one of the speakers "
            f"{', '.join(speakers)} and leave at least one for training."
        )
    return chosen


def _pair(out: Path, name: str) -> tuple[Path, Path]:
    """Return the paths of a data set's training file and test file."""
    return out / f"{name}_train.h5", out / f"{name}_test.h5"


def write_pair(
    pair: tuple[Path, Path],
    encoding: Encoding,
    test_speakers: Collection[str],
    speakers: Sequence[str],
    keys: tuple[str, ...],
) -> None:
    """Write the training file and the test file of some recordings, so that they always match.

    `speakers` has all speakers in the order of their numbers, `keys` the names of the classes.
    """
    numbers = {speaker: number for number, speaker in enumerate(speakers)}
    train_rows: list[_Row] = []
    test_rows: list[_Row] = []
    for recording, (times, units) in zip(encoding.recordings, encoding.spikes, strict=True):
        rows = test_rows if recording.speaker in test_speakers else train_rows
        label = keys.index(recording.label)
        speaker = numbers[recording.speaker]
        rows.append((times, units, label, speaker, _relative(recording.path, encoding.source)))
    train, test = pair
    with atomic(train) as new_train, atomic(test) as new_test:
        for path, rows in ((new_train, train_rows), (new_test, test_rows)):
            all_times, all_units, labels, of_speakers, names = zip(*rows, strict=True)
            extra: Any = {"file": names, "n_channels": CHANNELS[encoding.encoder]}
            write_shd(path, all_times, all_units, labels, of_speakers, keys, extra)
        # An old training file must never be beside a test file with other speakers.
        train.unlink(missing_ok=True)


def write_refused(path: Path, refused: Sequence[tuple[Recording, str]]) -> None:
    """List refused recordings in a CSV file, each with the reason; without any, remove the file."""
    path.unlink(missing_ok=True)
    if not refused:
        return
    with atomic(path) as unfinished, unfinished.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "label", "speaker", "reason"])
        for recording, reason in refused:
            table.writerow([recording.path.name, recording.label, recording.speaker, reason])
    print(f"{len(refused)} recordings can't be used: {path} lists them.")


def _relative(path: Path, source: Path) -> str:
    """Return a recording's path relative to its folder, or to that of the CSV file."""
    folder = source.parent if source.is_file() else source
    # A CSV file may have absolute paths, which stay as they are.
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def encode_all(
    source: Path,
    recordings: Sequence[Recording],
    finished: Path,
    what: str,
    seed: int = 0,
    options: RecordingOptions = DEFAULT,
) -> Encoding:
    """Encode recordings as `encode_files` does, and sort out those that were refused."""
    paths = [recording.path for recording in recordings]
    found = encode_files(paths, finished, seed, what, options)
    used = []
    spikes = []
    refused = []
    for recording, its_spikes in zip(recordings, found, strict=True):
        if isinstance(its_spikes, RecordingError):
            reason = str(its_spikes).removeprefix(f"{recording.path}: ")
            refused.append((recording, reason))
        else:
            used.append(recording)
            spikes.append(its_spikes)
    return Encoding(source, used, spikes, refused, options.encoder)


def encode_files(
    paths: Sequence[Path],
    finished: Path,
    seed: int = 0,
    what: str = "encoding",
    options: RecordingOptions = DEFAULT,
) -> list:
    """Encode sound files on all cores, as `encode_file` does, under a progress bar.

    The folder `finished` stores the spikes of each file that is done. So a call that follows one
    that was killed continues where that stopped. The caller removes the folder. If lenient, the
    result has the RecordingError of a file that can't be used.
    """

    def encode_one(path):
        try:
            name = recording_seed(path, seed)
            # In 256 folders, because there may be many files.
            version = "_".join(map(str, versions_of(options.encoder).values()))
            cut = "_cut" if options.cut else ""
            stored = finished / name[:2] / f"{name[2:]}_{version}{cut}.npz"
            with suppress(RecordingError), reading(stored, RecordingError, "It is made again."):
                with np.load(stored) as arrays:
                    return arrays["times"], arrays["units"]
            times, units = encode_file(path, seed, cut=options.cut, encoder=options.encoder)
        except RecordingError as error:
            if not options.lenient:
                raise
            return error
        stored.parent.mkdir(parents=True, exist_ok=True)
        stored.unlink(missing_ok=True)
        np.savez(stored, times=times, units=units)  # half a file is recognized and made again
        return times, units

    return on_all_cores(encode_one, paths, what)


def encode_file(
    path: str | Path, seed: int = 0, *, cut: bool = False, encoder: str = COCHLEA
) -> Spikes:
    """Turn one sound file into spikes.

    Parameters
    ----------
    path : str or Path
        A wav or flac file that holds one utterance, at 6 to 768 kHz. It is resampled to 48 kHz,
        because the cochlea's spikes depend on the rate. The mean of stereo channels is taken. An
        offset of more than 2 % of the root mean square is subtracted.
    seed : int
        Of all that is drawn. The spikes depend on it, the file's name and its content alone.
    cut : bool
        Whether the utterance is found in the recording and cut out first.
    encoder : str
        ``"cochlea"`` or ``"filter_bank"``.

    Returns
    -------
    times : (spikes,) float16 array
        Seconds, ascending.
    units : (spikes,) uint16 array
        0 is the base of the cochlea (highest frequency), 699 the apex.

    Raises
    ------
    RecordingError
        If the file can't be used.
    """
    path = Path(path)
    if cut:
        recording = read_sound(path, LONGEST_FILE_S)
        number = int(recording_seed(path, seed)[:16], 16)
        sound, _ = cut_utterance(*recording, number)
        rate_hz = RATE_HZ
    else:
        sound, rate_hz = read_wave(path)
        number = int(recording_seed(path, seed)[:16], 16)
    times, units = encode(sound, rate_hz, number, encoder)
    return times.astype(np.float16), units.astype(np.uint16)


def recording_seed(path: Path, seed: int) -> str:
    """Return the seed of all that is drawn for a recording.

    It depends on the file's name and content, so recordings of one folder don't affect each other.
    """
    return hashlib.sha256(f"{path.name} {seed} {sha256(path)}".encode()).hexdigest()
