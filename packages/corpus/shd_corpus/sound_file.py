"""Read and check sound files with recorded utterances."""

import os
import warnings
from math import ceil
from pathlib import Path
from typing import NoReturn

import numpy as np
import soundfile

from shd_corpus.cochlea import MAX_DURATION_S, MIN_DURATION_S
from shd_corpus.recording_list import RecordingError

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


def read_wave(path: Path) -> tuple[np.ndarray, int]:
    """Read and check a recording of one utterance, and prepare it for the cochlea.

    Returns its (samples,) mono sound without an offset, and its rate: 48 kHz. A clipped recording
    is read with a warning. Raise RecordingError if the file can't be used.
    """
    wave, rate_hz = read_utterance(path)
    if is_clipped(wave):
        warnings.warn(
            f"{path}: is clipped, and is encoded as it is. Record it more softly.", stacklevel=2
        )
    offset = wave.mean()
    if abs(offset) > OFFSET_SHARE * np.sqrt(np.mean(wave**2)):
        wave = wave - offset
    return at_48_khz(wave, rate_hz), RATE_HZ


def is_clipped(wave: np.ndarray) -> bool:
    """Tell whether too many samples of a sound (samples,) are at the limit, which is 1."""
    return bool(np.mean(np.abs(wave) >= FULL_SCALE) > CLIPPED_SHARE)


def is_click(wave: np.ndarray, rate_hz: int) -> bool:
    """Tell whether most of a sound's energy is within 2 ms, too short a time for speech."""
    energy = np.concatenate([[0.0], np.cumsum(wave**2)])
    n = max(1, round(CLICK_S * rate_hz))
    energies_of_windows = energy[n:] - energy[:-n]
    return bool(energies_of_windows.max() > CLICK_SHARE * energy[-1])


def at_48_khz(wave: np.ndarray, rate_hz: int) -> np.ndarray:
    """Resample a sound (samples,) to the rate of the Heidelberg Digits: spikes depend on it."""
    if rate_hz == RATE_HZ:
        return wave
    from scipy.signal import resample_poly  # takes 1.4 s to import

    return resample_poly(wave, RATE_HZ, rate_hz)


def check_rate(rate_hz: int) -> None:
    """Raise RecordingError for a sampling rate at which speech can't have been recorded."""
    if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
        raise RecordingError(
            f"{rate_hz} samples a second, where a recording of speech has {LOWEST_RATE_HZ:,} to "
            f"{HIGHEST_RATE_HZ:,}. Export it at {RATE_HZ:,}, or record it again."
        )


def read_sound(path: Path, longest_s: float) -> tuple[np.ndarray, int]:
    """Read any sound file that libsndfile can read (wav, flac, ogg, mp3), and check that it is one.

    Returns the mean of its channels (samples,), of full scale 1, and its sampling rate. Raise
    RecordingError if the file can't be read, is damaged, has a rate that `check_rate` refuses, is
    shorter than 10 ms or longer than `longest_s`, or holds values that are not finite.
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
            f"takes {duration_s:.3g} s. An utterance takes {MIN_DURATION_S:g} to {longest_s:g} s. "
            "Cut longer recordings into utterances.",
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
    return mark == b"RIFF" and 0 < size < 0x7FFFFFFF and path.stat().st_size < size + 8


def _refuse(path: Path, why: str) -> NoReturn:
    """Raise RecordingError for a file that can be read but not used."""
    raise RecordingError(f"{path}: {why} Record it again or remove it.")


def read_utterance(path: Path) -> tuple[np.ndarray, int]:
    """Read a sound file as `read_sound` does, and check that it can be an utterance.

    Raise RecordingError if it is silent, a click, or no speech, too.
    """
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
