"""Recorded utterances to spikes: one sound file, or a folder of them as a data set in SHD layout.

`encode_recordings` makes a data set from a folder, `encode_file` encodes one file. Before the first
recording is encoded, all are checked: silent or damaged files and clicks are refused, and so are
incomplete sets (`recording_list`).
"""

import hashlib
import os
import shutil
import warnings
from collections.abc import Collection, Sequence
from contextlib import suppress
from math import ceil
from pathlib import Path
from typing import NoReturn

import numpy as np
import soundfile

from shd_helpers.checks import check_whole, listed
from shd_helpers.cochlea import MAX_DURATION_S, MIN_DURATION_S, encode, on_all_cores
from shd_helpers.data.download import exclusive
from shd_helpers.data.names import MOST_COPIES, copy_name
from shd_helpers.data.recording_list import (
    Recording,
    RecordingError,
    class_names,
    list_recordings,
    normalized,
)
from shd_helpers.data.shd_file import write_shd
from shd_helpers.data.waveform_augmentation import WaveformAugmentation
from shd_helpers.files import atomic, reading, sha256
from shd_helpers.versions import SPIKES, WAVEFORMS

# Every recording is resampled to the rate of the Heidelberg Digits, because the cochlea's spikes
# depend on it: at 24 kHz the hair cells fire 60 % more than at 192 kHz.
RATE_HZ = 48_000
LOWEST_RATE_HZ = 6_000  # below, half of the speech is missing
HIGHEST_RATE_HZ = 768_000  # far above, resampling would take gigabytes
# A mean above this share of the root mean square is an offset, and is subtracted. In the 10,420
# Heidelberg Digits, whose means stay as they are, it is 0.0144 at most.
OFFSET_SHARE = 0.02
LOUDEST = 2.0**31  # times full scale: a sound of 32-bit whole numbers that was saved as floats
SILENCE = 1e-3  # of full scale (-60 dB): a recording without a louder sample is silent
# A recording is clipped if more than this share of its samples reaches full scale, or nearly so.
FULL_SCALE = 0.99
CLIPPED_SHARE = 1e-3
SPEECH_HZ = (100, 8000)  # where most of the energy of speech is
SPEECH_SHARE = 0.01  # of the energy must be there; recorded digits have at least 0.5
# A sound is a click if more than this share of its energy is within this time. Recorded digits have
# at most 0.13.
CLICK_SHARE = 0.5
CLICK_S = 0.002
SYNTHETIC = "spoken"  # the name of a data set that figures and reports call synthetic
TEST_SHARE = 0.2  # of the speakers are for testing if none is named
_Row = tuple[np.ndarray, np.ndarray, int, int]  # times, units, label and speaker


def encode_recordings(
    source: str | Path,
    out: str | Path | None = None,
    name: str | None = None,
    test_speakers: Collection[str] | None = None,
    *,
    seed: int = 0,
    augmented_copies: int = 0,
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
        Seed of the nerve fibers.
    augmented_copies : int
        Augmented copies of each recording, for a run's setting of the same name. They are written
        to ``<name>_augmented1_train.h5`` and so on, with the recordings in the same rows.

    Returns
    -------
    tuple of Path
        Training file and test file: what `load_events` takes. Speakers are numbered in alphabetical
        order.

    Raises
    ------
    RecordingError
        If a recording or its name can't be used, or the set is incomplete: only one speaker, a
        class with one utterance, a speaker without one of the classes, one sound under two labels.
        Or if the name is ``spoken``, which is that of synthetic speech.
    DatasetError
        If a file can't be written, as on a full disk.
    ValueError
        If `augmented_copies` is out of range.

    Warns
    -----
    UserWarning
        If a recording is clipped, appears twice, or is a sound file that is neither wav nor flac.
    """
    check_whole("augmented_copies", augmented_copies, 0, MOST_COPIES)
    source = Path(source).expanduser()
    recordings = list_recordings(source)
    chosen = _test_speakers(source, recordings, test_speakers)
    paths = [recording.path for recording in recordings]
    for path in paths:  # all of them before the first is encoded
        _read_utterance(path)
    name = name or (source.stem if source.is_file() else source.resolve().name)
    if name == SYNTHETIC:
        raise RecordingError(
            f"{source}: the name {name!r} is that of the study's synthetic speech. Give the data "
            "set another one (name)."
        )
    out = source.resolve().parent / f"{name}_spikes" if out is None else Path(out).expanduser()
    finished = out / f".{name}_parts"
    with exclusive(out, f".{name}.lock", remedy="give another folder (out)"):
        _remove_copies(out, name)
        for copy in range(augmented_copies + 1):
            each_name = copy_name(name, copy)
            spikes = encode_files(paths, finished, seed, f"encoding {each_name}", copy)
            _write_pair(_pair(out, each_name), recordings, spikes, chosen)
        shutil.rmtree(finished)
    _print_speakers(name, recordings)
    return _pair(out, name)


def _print_speakers(name: str, recordings: Sequence[Recording]) -> None:
    """Print which number each speaker has in the files."""
    speakers = sorted({recording.speaker for recording in recordings})
    numbered = [f"{number} {speaker}" for number, speaker in enumerate(speakers)]
    print(f"{name}: {len(recordings)} recordings; speakers {listed(numbered, 20)}")


def _test_speakers(
    source: Path, recordings: Sequence[Recording], given: Collection[str] | None
) -> set[str]:
    """Return the speakers that go into the test file, checked."""
    speakers = sorted({recording.speaker for recording in recordings})
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


def _remove_copies(out: Path, name: str) -> None:
    """Remove the augmented copies that an earlier call has made, perhaps of other recordings."""
    for copy in range(1, MOST_COPIES + 1):
        for path in _pair(out, copy_name(name, copy)):
            path.unlink(missing_ok=True)


def _write_pair(
    pair: tuple[Path, Path],
    recordings: Sequence[Recording],
    spikes: Sequence[tuple[np.ndarray, np.ndarray]],
    test_speakers: Collection[str],
) -> None:
    """Write the training file and the test file of some recordings, so that they always match."""
    keys = class_names(recordings)
    speakers = sorted({recording.speaker for recording in recordings})
    train_rows: list[_Row] = []
    test_rows: list[_Row] = []
    for recording, (times, units) in zip(recordings, spikes, strict=True):
        rows = test_rows if recording.speaker in test_speakers else train_rows
        label = keys.index(recording.label)
        rows.append((times, units, label, speakers.index(recording.speaker)))
    train, test = pair
    with atomic(train) as new_train, atomic(test) as new_test:
        _write_rows(new_train, train_rows, keys)
        _write_rows(new_test, test_rows, keys)
        # An old training file must never be beside a test file with other speakers.
        train.unlink(missing_ok=True)


def _write_rows(path: Path, rows: Sequence[_Row], keys: Sequence[str]) -> None:
    """Write one file of a data set."""
    times, units, labels, speakers = zip(*rows, strict=True)
    write_shd(path, times, units, labels, speakers, keys)


def encode_files(
    paths: Sequence[Path], finished: Path, seed: int = 0, what: str = "encoding", copy: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Encode sound files on all cores, as `encode_file` does, under a progress bar.

    If it is killed half-way and called again, it continues where it was.

    Parameters
    ----------
    paths : sequence of Path
        Sound files.
    finished : Path
        A folder that stores the spikes of each file that is done. The caller removes it.
    seed : int
        As for `encode_file`.
    what : str
        Text before the progress bar.
    copy : int
        As for `encode_file`.

    Returns
    -------
    list of tuple
        Times and units of each file, as `encode_file` returns them.

    Raises
    ------
    RecordingError
        If a file can't be used.
    """

    def encode_one(path):
        name = identity(path, seed, copy)
        # In 256 folders, because there may be many files.
        stored = finished / name[:2] / f"{name[2:]}_{SPIKES}.npz"
        with suppress(RecordingError), reading(stored, RecordingError, "It is made again."):
            with np.load(stored) as arrays:
                return arrays["times"], arrays["units"]
        times, units = encode_file(path, seed, copy)
        stored.parent.mkdir(parents=True, exist_ok=True)
        stored.unlink(missing_ok=True)
        np.savez(stored, times=times, units=units)  # half a file is recognized and made again
        return times, units

    return on_all_cores(encode_one, paths, what)


def encode_file(path: str | Path, seed: int = 0, copy: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Turn one sound file into spikes.

    Parameters
    ----------
    path : str or Path
        A wav or flac file that holds one utterance, at 6 to 768 kHz. It is resampled to 48 kHz,
        because the cochlea's spikes depend on the rate. The mean of stereo channels is taken. An
        offset of more than 2 % of the root mean square is subtracted.
    seed : int
        Seed of the nerve fibers. The spikes depend on it, the file's name and its content alone.
    copy : int
        Number of the augmented copy of the sound, each with an augmentation and nerve fibers of its
        own. 0 is the sound as it is.

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
    sound, rate_hz = read_wave(path)
    number = identity(path, seed, copy)
    if copy:
        rng = np.random.default_rng(int(number, 16))
        sound = WaveformAugmentation.drawn(rng).apply(sound, rate_hz, rng)
    times, units = encode(sound, rate_hz, seed=int(number[:16], 16))
    return times.astype(np.float16), units.astype(np.uint16)


def identity(path: Path, seed: int, copy: int) -> str:
    """Return the seed of all that is drawn for a recording.

    It depends on the file's name and content, so recordings of one folder don't affect each other.

    Parameters
    ----------
    path : Path
        The recording.
    seed : int
        As for `encode_file`.
    copy : int
        As for `encode_file`. The seeds of copies depend on the version of the augmentation, too.

    Returns
    -------
    str
        64 hexadecimal digits. The first 16 seed the nerve fibers, all together the augmentation.
    """
    augmentation = f" {copy} {WAVEFORMS}" if copy else ""
    text = f"{path.name} {seed} {sha256(path)}{augmentation}"
    return hashlib.sha256(text.encode()).hexdigest()


def read_wave(path: Path) -> tuple[np.ndarray, int]:
    """Read and check a recording of one utterance, and prepare it for the cochlea.

    Parameters
    ----------
    path : Path
        The recording. See `encode_file`. A clipped one is read with a warning.

    Returns
    -------
    wave : (samples,) float array
        Mono sound without an offset.
    rate_hz : int
        Its rate: 48 kHz.

    Raises
    ------
    RecordingError
        If the file can't be used.
    """
    wave, rate_hz = _read_utterance(path)
    if is_clipped(wave):
        warnings.warn(
            f"{path}: is clipped, and is encoded as it is. Record it more softly.", stacklevel=2
        )
    offset = wave.mean()
    if abs(offset) > OFFSET_SHARE * np.sqrt(np.mean(wave**2)):
        wave = wave - offset
    return at_48_khz(wave, rate_hz), RATE_HZ


def is_clipped(wave: np.ndarray) -> bool:
    """Tell whether too many samples of a sound are at the limit.

    Parameters
    ----------
    wave : (samples,) array
        Sound of full scale 1.

    Returns
    -------
    bool
        Whether it is clipped.
    """
    return bool(np.mean(np.abs(wave) >= FULL_SCALE) > CLIPPED_SHARE)


def is_click(wave: np.ndarray, rate_hz: int) -> bool:
    """Tell whether most of a sound's energy is within 2 ms, too short a time for speech.

    Parameters
    ----------
    wave : (samples,) array
        Sound.
    rate_hz : int
        Its rate.

    Returns
    -------
    bool
        Whether it is a click.
    """
    energy = np.concatenate([[0.0], np.cumsum(wave**2)])
    n = max(1, round(CLICK_S * rate_hz))
    energies_of_windows = energy[n:] - energy[:-n]
    return bool(energies_of_windows.max() > CLICK_SHARE * energy[-1])


def at_48_khz(wave: np.ndarray, rate_hz: int) -> np.ndarray:
    """Resample a sound to the rate of the Heidelberg Digits, on which the cochlea's spikes depend.

    Parameters
    ----------
    wave : (samples,) array
        Sound.
    rate_hz : int
        Its rate.

    Returns
    -------
    (samples,) array
        The sound at 48 kHz.
    """
    if rate_hz == RATE_HZ:
        return wave
    from scipy.signal import resample_poly  # takes 1.4 s to import

    return resample_poly(wave, RATE_HZ, rate_hz)


def check_rate(rate_hz: int) -> None:
    """Refuse a sampling rate at which speech can't have been recorded.

    Parameters
    ----------
    rate_hz : int
        The rate.

    Raises
    ------
    RecordingError
        If it isn't 6 to 768 kHz.
    """
    if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
        raise RecordingError(
            f"{rate_hz} samples a second, where a recording of speech has {LOWEST_RATE_HZ:,} to "
            f"{HIGHEST_RATE_HZ:,}. Export it at {RATE_HZ:,}, or record it again."
        )


def read_sound(path: Path, longest_s: float) -> tuple[np.ndarray, int]:
    """Read any sound file, and check that it is one.

    Parameters
    ----------
    path : Path
        A file that libsndfile can read: wav, flac, ogg, mp3.
    longest_s : float
        The longest duration that is allowed.

    Returns
    -------
    wave : (samples,) float array
        The mean of its channels, of full scale 1.
    rate_hz : int
        Its sampling rate.

    Raises
    ------
    RecordingError
        If the file can't be read, is damaged, has a rate that `check_rate` refuses, is shorter than
        10 ms or longer than `longest_s`, or holds values that are not finite.
    """
    try:
        if not path.exists():
            raise RecordingError("no such file. Check the path.")
        if not path.is_file():
            raise OSError("not a file")
        # As bytes, because soundfile refuses names with characters that the locale doesn't have.
        name = os.fsencode(path) if os.name == "posix" else path
        with soundfile.SoundFile(name) as file:
            rate_hz = file.samplerate
            n_samples = file.frames
            check_rate(rate_hz)
            # Without a number of samples, GSM and G.721 can't be read.
            channels = file.read(min(n_samples, ceil(longest_s * rate_hz)), always_2d=True)
    except RecordingError as error:
        raise RecordingError(f"{path}: {error}") from None
    except (OSError, soundfile.SoundFileError) as error:
        raise RecordingError(
            f"{path}: no audio that can be read ({error}). Export it as wav (16 bit), record or "
            "copy it again, or remove it."
        ) from error
    duration_s = n_samples / rate_hz
    if not MIN_DURATION_S <= duration_s <= longest_s:
        _refuse(
            path,
            f"{n_samples} samples, {duration_s:.3g} s. An utterance takes {MIN_DURATION_S:g} "
            f"to {longest_s:g} s. Cut longer recordings into utterances.",
        )
    if len(channels) < n_samples or _is_cut_off(path):
        raise RecordingError(
            f"{path}: ends earlier than it says at its beginning. Copy it again, or remove it."
        )
    if not np.isfinite(channels).all():
        _refuse(path, "holds values that are not finite.")
    if np.abs(channels).max() > LOUDEST:
        _refuse(path, f"holds values of more than {LOUDEST:g} times full scale.")
    return channels.mean(axis=1), rate_hz


def _is_cut_off(path: Path) -> bool:
    """Tell whether a wav file is shorter than its header says, which libsndfile doesn't check.

    A program that writes into a pipe doesn't know the size and leaves 0 or the largest number.
    """
    with path.open("rb") as file:
        mark = file.read(4)
        size = int.from_bytes(file.read(4), "little")
    is_known = 0 < size < 0x7FFFFFFF
    return mark == b"RIFF" and is_known and path.stat().st_size < size + 8


def _refuse(path: Path, why: str) -> NoReturn:
    """Raise RecordingError for a file that can be read but not used."""
    raise RecordingError(f"{path}: {why} Record it again or remove it.")


def _read_utterance(path: Path) -> tuple[np.ndarray, int]:
    """Read a sound file as `read_sound` does. Raise RecordingError if it can't be an utterance."""
    wave, rate_hz = read_sound(path, MAX_DURATION_S)
    if np.abs(wave).max() < SILENCE:
        _refuse(
            path,
            f"silent (nothing above {SILENCE:g} of full scale, in the mean of stereo channels).",
        )
    power = np.abs(np.fft.rfft(wave * np.hanning(len(wave)))) ** 2
    hz = np.fft.rfftfreq(len(wave), 1 / rate_hz)
    speech = power[(hz >= SPEECH_HZ[0]) & (hz <= SPEECH_HZ[1])].sum()
    if speech <= SPEECH_SHARE * power.sum():
        _refuse(path, f"no sound between {SPEECH_HZ[0]} Hz and {SPEECH_HZ[1]} Hz, where speech is.")
    if is_click(wave, rate_hz):
        _refuse(
            path, f"a click: over {CLICK_SHARE:.0%} of its energy is within {1000 * CLICK_S:g} ms."
        )
    return wave, rate_hz
