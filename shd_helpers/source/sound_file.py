"""Read a recorded word from a sound file; refuse what isn't one."""

import hashlib
import io
import struct
import warnings
from pathlib import Path

import numpy as np
import soundfile

from shd_helpers.source.cochlea import MAX_DURATION_S, MIN_DURATION_S

RATE_HZ = 48_000  # of the Heidelberg Digits; at 24 kHz the hair cells fire 60 % more than at 192
HIGHEST_RATE_HZ = 192_000
OFFSET = 0.02  # of the root mean square; in the 10,420 Heidelberg Digits it is 0.0144 at most
SILENCE = 1e-3  # of full scale (-60 dB): nothing louder is no recording of a word
FULL_SCALE, CLIPPED_SHARE = 0.99, 1e-3  # more samples than that at the limit: clipped
SPEECH_HZ, SPEECH_SHARE = (100, 8000), 0.01  # of the energy; real words have at least 0.5
CLICK_S, CLICK_SHARE = 0.002, 0.5  # more of the energy in so short a time: a click; words 0.13
NO_LENGTH = 0x7FFF_F000  # a wav written to a pipe says so or more, for its length was not known


class RecordingError(ValueError):
    """A recording that can't be used; the message names the file and the remedy."""


def check_header(path: Path) -> None:
    """Raise RecordingError if a file is no audio, holds 0 samples or is no single word."""
    try:
        if not path.is_file():
            raise OSError("no file" if not path.exists() else "not a file")
        info = soundfile.info(path)
    except (OSError, soundfile.SoundFileError) as error:
        raise RecordingError(
            f"{path}: no audio that can be read ({error}). Replace or remove it."
        ) from error
    duration_s = info.frames / info.samplerate
    if not MIN_DURATION_S <= duration_s <= MAX_DURATION_S:
        raise RecordingError(
            f"{path}: {info.frames} samples, {duration_s:.3g} s; a word takes {MIN_DURATION_S:g} "
            f"to {MAX_DURATION_S:g} s. Cut longer recordings into words, remove empty ones."
        )
    if info.samplerate > HIGHEST_RATE_HZ:
        raise RecordingError(
            f"{path}: a rate of {info.samplerate} Hz; up to {HIGHEST_RATE_HZ} Hz can be encoded. "
            "Export it at 48000 Hz."
        )


def read_wave(path: Path, data: bytes | None = None) -> tuple[np.ndarray, int]:
    """Read a sound file (or its content) as mono; see `recordings.encode_file` for the rules.

    Returns
    -------
    wave : (samples,) float array
        Sound.
    rate_hz : int
        Its sampling rate, 48 kHz.
    """
    wave, rate_hz = _checked(path, path.read_bytes() if data is None else data)
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


def sound_hash(path: Path) -> str:
    """Return the hash of a file's rate and samples: the same for wav and flac; checks them, too."""
    wave, rate_hz = _checked(path, path.read_bytes())
    return hashlib.sha256(f"{rate_hz} ".encode() + wave.tobytes()).hexdigest()


def _checked(path: Path, data: bytes) -> tuple[np.ndarray, int]:
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            rate_hz, n_claimed = file.samplerate, file.frames
            wave = file.read(n_claimed, always_2d=True)  # GSM and G.721 must be told how much
    except (OSError, soundfile.SoundFileError) as error:
        raise RecordingError(
            f"{path}: damaged, or of a kind that can't be read ({error}). Record or copy it again, "
            "export it as wav (16 bit), or remove it."
        ) from error
    if len(wave) < n_claimed or _missing_bytes(data) > 0:
        raise RecordingError(
            f"{path}: cut short: it is shorter than its header says. Record or copy it again, or "
            "remove it."
        )
    wave = wave.mean(axis=1)
    if not np.isfinite(wave).all():
        raise RecordingError(f"{path}: holds values that are not finite. Export it again.")
    if np.abs(wave).max() < SILENCE:
        raise RecordingError(
            f"{path}: silent (nothing above {SILENCE:g} of full scale; of stereo the mean counts). "
            "Record it again or remove it."
        )
    _check_speech(path, wave, rate_hz)
    return wave, rate_hz


def _missing_bytes(data: bytes) -> int:
    """Return how much of a wav's samples isn't there; libsndfile takes what it finds as all."""
    if data[:4] not in (b"RIFF", b"RIFX", b"RF64") or data[8:12] != b"WAVE":
        return 0
    order, at, in_64_bits = ">" if data[:4] == b"RIFX" else "<", 12, 0
    while at + 8 <= len(data):
        name, (size,) = data[at : at + 4], struct.unpack(f"{order}I", data[at + 4 : at + 8])
        if name == b"ds64" and at + 24 <= len(data):
            (in_64_bits,) = struct.unpack("<Q", data[at + 16 : at + 24])
        if name == b"data":
            size = in_64_bits or (0 if size >= NO_LENGTH else size)
            return size - (len(data) - at - 8)
        at += 8 + size + size % 2
    return 0


def _check_speech(path: Path, wave: np.ndarray, rate_hz: int) -> None:
    """Refuse a constant, a hum below speech and a click, which a hair cell hears as no word."""
    power = np.abs(np.fft.rfft(wave * np.hanning(len(wave)))) ** 2
    hz = np.fft.rfftfreq(len(wave), 1 / rate_hz)
    heard = power[(hz >= SPEECH_HZ[0]) & (hz <= SPEECH_HZ[1])].sum()
    if heard <= SPEECH_SHARE * power.sum():
        raise RecordingError(
            f"{path}: no sound between {SPEECH_HZ[0]} Hz and {SPEECH_HZ[1]} Hz, where speech is. "
            "Record it again or remove it."
        )
    if is_click(wave, rate_hz):
        raise RecordingError(
            f"{path}: a click: more than {CLICK_SHARE:.0%} of its energy lies within "
            f"{1000 * CLICK_S:g} ms. Record it again or remove it."
        )
