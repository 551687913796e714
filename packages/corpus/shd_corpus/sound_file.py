"""Read and check sound files with recorded utterances."""

import warnings
from fractions import Fraction
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
# The formats that are read, by libsndfile's names. Nobody has tried whether half a file of another
# format is recognized.
FORMATS = ("WAV", "WAVEX", "FLAC", "OGG", "MP3")
MOST_CHANNELS = 64  # a file of 4 kB may declare a thousand
SAMPLES_AT_ONCE = 65_536  # of each channel, so that a short file never takes much memory
UNKNOWN = 2**63 - 1  # what libsndfile says if a flac file doesn't say how many samples it has
LONGEST_PAGE = 65_307  # bytes of an ogg file, with its header of 27 bytes
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

    # Exact for every usual rate. For another one, such as 767,999 Hz, the exact filter has millions
    # of coefficients, and this one changes the pitch by at most a thousandth of a percent.
    ratio = Fraction(RATE_HZ, rate_hz).limit_denominator(1000)
    return resample_poly(wave, ratio.numerator, ratio.denominator)


def check_rate(rate_hz: int) -> None:
    """Raise RecordingError for a sampling rate at which speech can't have been recorded."""
    if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
        raise RecordingError(
            f"{rate_hz} samples a second, where a recording of speech has {LOWEST_RATE_HZ:,} to "
            f"{HIGHEST_RATE_HZ:,}. Export it at {RATE_HZ:,}, or record it again."
        )


def read_sound(path: Path, longest_s: float) -> tuple[np.ndarray, int]:
    """Read a wav, flac, ogg or mp3 file, and check that it is one.

    Returns the mean of its channels (samples,), of full scale 1, and its sampling rate. Raise
    RecordingError if the file can't be read, is damaged, has a rate that `check_rate` refuses or
    more than 64 channels, is shorter than 10 ms or longer than `longest_s`, or holds values that
    are not finite.
    """
    try:
        if not path.exists():
            raise RecordingError("no such file. Check the path.")
        if not path.is_file():
            raise OSError("not a file")
        # By its number, because libsndfile takes a file named .raw or .vox for one without a header
        with path.open("rb") as stream:
            with soundfile.SoundFile(stream.fileno(), closefd=False) as file:
                _check_header(file)
                rate_hz = file.samplerate
                n_samples = file.frames
                n_read = min(n_samples, ceil(longest_s * rate_hz))
                starts = range(0, n_read, SAMPLES_AT_ONCE)
                sizes = [min(SAMPLES_AT_ONCE, n_read - start) for start in starts]
                blocks = [file.read(size, always_2d=True).mean(axis=1) for size in sizes]
                wave = np.concatenate(blocks)
    except RecordingError as error:
        raise RecordingError(f"{path}: {error}") from None
    except (OSError, soundfile.SoundFileError) as error:
        why = getattr(error, "error_string", error)
        raise RecordingError(
            f"{path}: no audio that can be read ({why}). Export it as wav (16 bit), record or "
            "copy it again, or remove it."
        ) from error
    duration_s = n_samples / rate_hz
    if not MIN_DURATION_S <= duration_s <= longest_s:
        _refuse(
            path,
            f"takes {duration_s:.3g} s. An utterance takes {MIN_DURATION_S:g} to {longest_s:g} s. "
            "Cut longer recordings into utterances.",
        )
    if len(wave) < n_samples or _is_cut_off(path):
        raise RecordingError(
            f"{path}: ends earlier than it says at its beginning. Copy it again, or remove it."
        )
    if not np.isfinite(wave).all():
        _refuse(path, "holds values that are not finite.")
    if np.abs(wave).max() > LOUDEST:
        _refuse(path, f"holds values of more than {LOUDEST:g} times full scale.")
    return wave, rate_hz


def _check_header(file: soundfile.SoundFile) -> None:
    """Raise RecordingError for a sound file that isn't read, before room for its samples is made.

    The message doesn't name the file.
    """
    if file.format not in FORMATS:
        raise RecordingError(
            f"is {file.format_info}, but only wav, flac, ogg and mp3 are read. Export it as wav "
            "(16 bit)."
        )
    check_rate(file.samplerate)
    if file.channels > MOST_CHANNELS:
        raise RecordingError(
            f"{file.channels:,} channels, where a recording has at most {MOST_CHANNELS}. Export it "
            "in mono."
        )
    if file.frames in (0, UNKNOWN):
        raise RecordingError(
            "has no samples, or its header doesn't say how many. Export it as wav (16 bit), or "
            "record it again."
        )


def _is_cut_off(path: Path) -> bool:
    """Tell whether a wav or ogg file ends too early, which libsndfile doesn't check.

    A wav file says its size at its beginning. But a program that writes into a pipe doesn't know
    the size and leaves 0 or the largest number. The last page of an ogg file is marked as the last.
    """
    n_bytes = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        file.seek(max(0, n_bytes - LONGEST_PAGE))
        end = file.read()
    if start[:4] == b"OggS":
        page = end[max(0, end.rfind(b"OggS")) :]
        header = page[:27].ljust(27, b"\0")
        n_segments = header[26]
        length = 27 + n_segments + sum(page[27 : 27 + n_segments])
        return not header[5] & 4 or len(page) < length
    size = int.from_bytes(start[4:], "little")
    return start[:4] == b"RIFF" and 0 < size < 0x7FFFFFFF and n_bytes < size + 8


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
