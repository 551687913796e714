"""Recorded words to spikes: one sound file, or a folder of them as a data set in SHD layout."""

import hashlib
import os
import shutil
import warnings
from collections.abc import Collection, Sequence
from contextlib import suppress
from math import ceil
from pathlib import Path

import numpy as np
import soundfile

from shd_helpers.checks import check_whole
from shd_helpers.cochlea import MAX_DURATION_S, MIN_DURATION_S, encode, on_all_cores
from shd_helpers.data.download import exclusive
from shd_helpers.data.names import MOST_COPIES, copy_name
from shd_helpers.data.shd_file import LANGUAGES, write_shd
from shd_helpers.data.waveform_augmentation import WaveformAugmentation
from shd_helpers.files import atomic, reading, sha256
from shd_helpers.versions import SPIKES, WAVEFORMS

SUFFIXES = (".wav", ".flac")
RATE_HZ = 48_000  # of the Heidelberg Digits; at 24 kHz the hair cells fire 60 % more than at 192
# Below, half of the speech is missing; far above, resampling would take gigabytes.
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 6_000, 768_000
OFFSET = 0.02  # of the root mean square; in the 10,420 Heidelberg Digits it is 0.0144 at most
LOUDEST = 2.0**31  # times full scale: what a sound of whole numbers, saved as floats, may have
SILENCE = 1e-3  # of full scale (-60 dB): nothing louder is no recording of a word
FULL_SCALE, CLIPPED_SHARE = 0.99, 1e-3  # more samples than that at the limit: clipped
SPEECH_HZ, SPEECH_SHARE = (100, 8000), 0.01  # of the energy; real words have at least 0.5
CLICK_S, CLICK_SHARE = 0.002, 0.5  # more of the energy in so short a time: a click; words 0.13


class RecordingError(ValueError):
    """A recording that can't be used; the message names the file and the remedy."""


def encode_recordings(
    folder: str | Path,
    out: str | Path,
    name: str,
    test_speakers: Collection[str],
    *,
    seed: int = 0,
    augmented_copies: int = 0,
) -> tuple[Path, Path]:
    """Turn a folder of recorded words into ``<name>_train.h5`` and ``<name>_test.h5``.

    Killed half-way and started again, it goes on where it was and ends with the same files: the
    spikes of each recording are kept in ``.<name>_parts`` until both files are complete. They
    depend on the recording, its file name and the seed, not on the other recordings.

    Parameters
    ----------
    folder : str or Path
        Where the recordings are, named ``{label}_{speaker}_{take}.wav``: wav or flac, 6 to 768 kHz;
        of stereo the mean is taken. A label is one of SHD's twenty words, or its index. A clipped
        recording is encoded with a warning.
    out, name : str or Path, str
        Folder and first part of the names of the files to write.
    test_speakers : collection of str
        Speakers that occur only in the test file; all others only in the training file.
    seed : int
        Seed of the nerve fibers.
    augmented_copies : int
        Augmented copies of each recording, for a run's setting of the same name. They go to
        ``<name>_augmented1_train.h5`` and so on, row by row those of the two files.

    Returns
    -------
    tuple of Path
        Training file and test file. Speakers are numbered in alphabetical order.

    Raises
    ------
    RecordingError
        If a recording or its name can't be used, or one of the two files would be empty.
        ValueError, if there are too many copies.
    """
    check_whole("augmented_copies", augmented_copies, 0, MOST_COPIES)
    paths, labels, by = zip(*_find_recordings(Path(folder)), strict=True)
    speakers, chosen = sorted({*by}), set(map(str, test_speakers))
    if not chosen or not chosen < {*speakers}:
        raise RecordingError(
            f"{folder}: test_speakers is {sorted(chosen)}; name at least one of the speakers "
            f"{', '.join(speakers)} and leave at least one for training."
        )
    for path in paths:  # all of them before the first is encoded
        _checked(path)
    out = Path(out)
    parts = out / f".{name}_parts"
    names = [copy_name(name, copy) for copy in range(MOST_COPIES + 1)]
    pairs = [(out / f"{each}_train.h5", out / f"{each}_test.h5") for each in names]
    with exclusive(out, f".{name}.lock"):
        for path in (path for pair in pairs[1:] for path in pair):
            path.unlink(missing_ok=True)  # a copy of other recordings
        for copy in range(augmented_copies + 1):
            spikes = encode_files(paths, parts, seed, f"encoding {names[copy]}", copy)
            train, test = pairs[copy]
            with atomic(train) as new_train, atomic(test) as new_test:
                for new, is_test in ((new_train, False), (new_test, True)):
                    rows = [
                        (*found, label, speakers.index(speaker))
                        for found, label, speaker in zip(spikes, labels, by, strict=True)
                        if (speaker in chosen) == is_test
                    ]
                    write_shd(new, *zip(*rows, strict=True))
                train.unlink(missing_ok=True)  # at no time beside a test file of other rows
        shutil.rmtree(parts)
    return pairs[0]


def _find_recordings(folder: Path) -> list[tuple[Path, int, str]]:
    """Return path, label (index into the class names) and speaker of each."""
    if not folder.is_dir():
        raise RecordingError(f"{folder}: no such folder. Check the path.")
    words, found = LANGUAGES["both"], []
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES):
        fields = path.stem.split("_")
        if len(fields) != 3 or not all(fields):
            raise RecordingError(
                f"{path}: the name is not {{label}}_{{speaker}}_{{take}}{path.suffix}. Rename it."
            )
        label, speaker, _ = fields
        if label not in (*words, *map(str, range(len(words)))):
            raise RecordingError(
                f"{path}: unknown label {label!r}. Use one of {', '.join(words)}, or its index."
            )
        index = words.index(label) if label in words else int(label)
        found.append((path, index, speaker))
    if not found:
        raise RecordingError(f"{folder}: no recordings ({' or '.join(SUFFIXES)}).")
    return found


def encode_files(
    paths: Sequence[Path], parts: Path, seed: int = 0, what: str = "encoding", copy: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Encode sound files on all cores, as `encode_file` does, under a progress bar named `what`.

    Killed half-way and called again, it goes on where it was: the folder `parts` keeps the spikes
    of each file that is done, and the caller removes it.
    """

    def encode_one(path):
        name = identity(path, seed, copy)
        part = parts / name[:2] / f"{name[2:]}_{SPIKES}.npz"  # in 256 folders: there may be many
        with suppress(RecordingError), reading(part, RecordingError, "It is made again."):
            with np.load(part) as kept:
                return kept["times"], kept["units"]
        times, units = encode_file(path, seed, copy)
        part.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        np.savez(part, times=times, units=units)  # half a file is as good as none
        return times, units

    return on_all_cores(encode_one, paths, what)


def encode_file(path: str | Path, seed: int = 0, copy: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Turn one sound file into spikes.

    Parameters
    ----------
    path : str or Path
        A wav or flac file that holds one word. Any other rate (6 to 768 kHz) is resampled to
        48 kHz, because the cochlea's spikes depend on it. Of stereo the mean is taken; the sound's
        mean is taken away where it is more than 2 % of the root mean square.
    seed : int
        Seed of the nerve fibers. The spikes depend on it, the file's name and its content alone.
    copy : int
        Which changed copy of the sound, each with a change and fibers of its own; 0 for none.

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
    """Return what all that is drawn for a recording follows from, as 64 hexadecimal digits.

    Its first 16 seed the nerve fibers, all of them a copy's change; see `encode_file`.
    """
    change = f" {copy} {WAVEFORMS}" if copy else ""
    return hashlib.sha256(f"{path.name} {seed} {sha256(path)}{change}".encode()).hexdigest()


def read_wave(path: Path) -> tuple[np.ndarray, int]:
    """Return a sound file as mono, (samples,), and its rate, 48 kHz; see `encode_file`."""
    wave, rate_hz = _checked(path)
    if is_clipped(wave):
        warnings.warn(f"{path}: clipped; encoded as it is. Record it softer.", stacklevel=2)
    offset = wave.mean()
    if abs(offset) > OFFSET * np.sqrt(np.mean(wave**2)):
        wave = wave - offset
    return at_48_khz(wave, rate_hz), RATE_HZ


def is_clipped(wave: np.ndarray) -> bool:
    """Tell whether too many samples of a wave (full scale 1) are at the limit."""
    return bool(np.mean(np.abs(wave) >= FULL_SCALE) > CLIPPED_SHARE)


def is_click(wave: np.ndarray, rate_hz: int) -> bool:
    """Tell whether most of a wave's energy lies within `CLICK_S`."""
    energy = np.concatenate([[0.0], np.cumsum(wave**2)])
    n = max(1, round(CLICK_S * rate_hz))
    return bool((energy[n:] - energy[:-n]).max() > CLICK_SHARE * energy[-1])


def at_48_khz(wave: np.ndarray, rate_hz: int) -> np.ndarray:
    """Return a wave as the cochlea is to hear it: at the rate of the Heidelberg Digits."""
    if rate_hz == RATE_HZ:
        return wave
    from scipy.signal import resample_poly  # takes 1.4 s to import

    return resample_poly(wave, RATE_HZ, rate_hz)


def check_rate(rate_hz: int) -> None:
    """Raise RecordingError if speech isn't recorded at such a sampling rate."""
    if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
        raise RecordingError(
            f"{rate_hz} samples a second, where a recording of speech has {LOWEST_RATE_HZ:,} to "
            f"{HIGHEST_RATE_HZ:,}. Export it at {RATE_HZ:,}, or record it again."
        )


def read_sound(path: Path, longest_s: float) -> tuple[np.ndarray, int]:
    """Return a file's samples as they are, (samples,), the mean of its channels; and the rate, Hz.

    It may be whatever libsndfile reads: wav, flac, ogg, mp3. RecordingError, if it can't be read,
    has another rate than `check_rate` allows, is too short or longer than `longest_s` seconds, or
    not of finite values.
    """
    try:
        if not path.is_file():
            raise OSError("no file")
        # as bytes: soundfile knows no name that the locale's encoding doesn't have
        name = os.fsencode(path) if os.name == "posix" else path
        with soundfile.SoundFile(name) as file:
            rate_hz, n_samples = file.samplerate, file.frames
            check_rate(rate_hz)
            # GSM and G.721 must be told how much
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
            f"{n_samples} samples, {duration_s:.3g} s; a word takes {MIN_DURATION_S:g} to "
            f"{longest_s:g} s. Cut longer recordings into words.",
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
    """Tell whether a wav file is shorter than its header says; libsndfile reads what is there.

    A program that writes into a pipe doesn't know the size: it leaves 0 or the largest number.
    """
    with path.open("rb") as file:
        mark, size = file.read(4), int.from_bytes(file.read(4), "little")
    is_known = 0 < size < 0x7FFFFFFF
    return mark == b"RIFF" and is_known and path.stat().st_size < size + 8


def _refuse(path: Path, why: str) -> None:
    raise RecordingError(f"{path}: {why} Record it again or remove it.")


def _checked(path: Path) -> tuple[np.ndarray, int]:
    """Return a sound file's samples, mono, and their rate; RecordingError if it is no word."""
    wave, rate_hz = read_sound(path, MAX_DURATION_S)
    if np.abs(wave).max() < SILENCE:
        _refuse(
            path, f"silent (nothing above {SILENCE:g} of full scale; of stereo the mean counts)."
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
