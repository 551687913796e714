"""One word out of what a microphone heard, turned into spikes as the data sets were."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.signal import butter, sosfilt

from shd_helpers.cochlea import encode
from shd_helpers.data.recordings import (
    RATE_HZ,
    SILENCE,
    SPEECH_HZ,
    RecordingError,
    at_48_khz,
    check_rate,
    is_click,
    is_clipped,
    read_sound,
)

FRAME_S = 0.01
QUIETEST_DB = 35.0  # below its loudest frame, a word may be so quiet: an "f" or an "s"
ABOVE_NOISE_DB = 8.0
STANDS_OUT_DB = 12.0  # by less the loudest frame is no word: recorded words have 15 or more
GAP_S = 0.25  # a longer pause ends a word
LONGEST_S = 1.5
LONGEST_FILE_S = 60.0
# behind a pause, longer, and with more of the word's energy: a second word, as in 0 of 10,420 of hd
PAUSE_S, CLICK_S, SECOND_SHARE = 0.18, 0.15, 0.1
# what the Heidelberg Digits have around a word, medians: the network was trained with it
BEFORE_S, AFTER_S = 0.04, 0.11
SAY_ONE = "Say one digit, with silence before and after it."


class Word(NamedTuple):
    """A word that was found in a recording."""

    wave: np.ndarray  # (samples,) float, mono
    rate_hz: int
    times: np.ndarray  # (spikes,) float, seconds, ascending
    units: np.ndarray  # (spikes,) int, 0 is the highest frequency
    warning: str  # empty for none


def read_word(path: Path) -> Word:
    """Find the word in a sound file of up to a minute; see `encode_word`.

    RecordingError names the file that can't be read, or doesn't hold one word.
    """
    wave, rate_hz = read_sound(path, LONGEST_FILE_S)
    try:
        return encode_word(wave, rate_hz)
    except RecordingError as error:
        raise RecordingError(f"{path}: {error}") from error


def encode_word(wave: np.ndarray, rate_hz: int, seed: int = 0) -> Word:
    """Find the word in a recording, (samples,) of full scale 1, and encode it at 48 kHz.

    The network knows words with `BEFORE_S` and `AFTER_S` of sound around them, which the cochlea
    fades. What a recording lacks of it is added as noise, as loud as its quietest 10 ms. The
    seed draws noise and nerve fibers. What is no word but as long and as loud passes for one: a
    chord, a cough, two words in one breath.

    Raises
    ------
    RecordingError
        If there is no word in it, or more than one, or the rate isn't 6 to 768 kHz; the message
        says what to do.
    """
    check_rate(rate_hz)
    wave = np.asarray(wave, float)
    if wave.ndim != 1 or len(wave) < 2 * FRAME_S * rate_hz:
        raise RecordingError(f"Nothing was recorded. {SAY_ONE}")
    sound = wave - wave.mean() if np.isfinite(wave).all() else np.zeros(1)
    if np.abs(sound).max() < SILENCE:
        raise RecordingError("Silence: is the microphone muted, or another one chosen?")
    first, stop = find_word(sound, rate_hz)
    if is_click(sound[first:stop], rate_hz):
        raise RecordingError(f"That was a click. {SAY_ONE}")
    warning = "It is clipped, which the network doesn't know: say it softer, or from further away."
    warning = warning if is_clipped(wave[first:stop]) else ""
    sound = at_48_khz(_with_silence(sound, first, stop, rate_hz, seed), rate_hz)
    times, units = encode(sound, RATE_HZ, seed)
    return Word(sound, RATE_HZ, times, units, warning)


def _with_silence(wave: np.ndarray, first: int, stop: int, rate_hz: int, seed: int) -> np.ndarray:
    """Cut a word out with the sound around it, and add noise where there is too little of that."""
    start, end = first - round(BEFORE_S * rate_hz), stop + round(AFTER_S * rate_hz)
    low_hz, high_hz = _band(rate_hz)
    # the quietest frame: in a word cut close, of `hd`, it is 14 dB above the floor, a tenth 26 dB
    power = 10 ** (_levels(wave, rate_hz).min() / 10) * rate_hz / 2 / (high_hz - low_hz)
    noise = np.random.default_rng(seed).normal(0, np.sqrt(power), end - start)
    there = wave[max(0, start) : end]
    noise[max(0, -start) :][: len(there)] = there
    return noise


def find_word(wave: np.ndarray, rate_hz: int) -> tuple[int, int]:
    """Return the first sample of the word in a recording, and the one behind its last.

    It is what has most energy between 100 Hz and 8 kHz of all that pauses part. RecordingError, if
    nothing stands out of the noise, or what does is longer than a digit, or two words.
    """
    levels = _levels(wave, rate_hz)
    # over 50 ms, in which a click is little
    loudest = 10 * np.log10(np.convolve(10 ** (levels / 10), np.full(5, 0.2)).max())
    noise = np.percentile(levels, 10)
    duration_s = len(levels) * FRAME_S
    if duration_s > LONGEST_S and loudest - noise < STANDS_OUT_DB:  # a short one may be all word
        raise RecordingError(f"No word stands out of the noise, or it has no end. {SAY_ONE}")
    loud = np.flatnonzero(levels >= max(loudest - QUIETEST_DB, noise + ABOVE_NOISE_DB))
    if not len(loud):  # a word from end to end, and always as loud
        loud = np.arange(len(levels))
    parts, energies = _parts(levels, loud, GAP_S)
    word = parts[int(np.argmax(energies))]
    length_s = (word[-1] + 1 - word[0]) * FRAME_S
    if length_s > LONGEST_S:
        raise RecordingError(f"That went on for {length_s:.1f} s. {SAY_ONE}")
    parts, energies = _parts(levels, loud, PAUSE_S)
    n_words = sum(
        energy > SECOND_SHARE * max(energies) and len(part) * FRAME_S > CLICK_S
        for part, energy in zip(parts, energies, strict=True)
    )
    if n_words > 1:
        raise RecordingError(f"{n_words} words were heard. {SAY_ONE}")
    samples = round(FRAME_S * rate_hz)
    return int(word[0]) * samples, int(word[-1] + 1) * samples


def _parts(
    levels: np.ndarray, loud: np.ndarray, pause_s: float
) -> tuple[list[np.ndarray], list[float]]:
    """Return the frames between pauses, and each part's energy."""
    parts = np.split(loud, np.flatnonzero(np.diff(loud) > pause_s / FRAME_S) + 1)
    return parts, [(10 ** (levels[part] / 10)).sum() for part in parts]


def _band(rate_hz: int) -> tuple[float, float]:
    return SPEECH_HZ[0], min(SPEECH_HZ[1], 0.45 * rate_hz)


def _levels(wave: np.ndarray, rate_hz: int) -> np.ndarray:
    """Return the power of each frame where speech is, decibels of full scale."""
    speech = sosfilt(butter(4, _band(rate_hz), "band", fs=rate_hz, output="sos"), wave)
    samples = round(FRAME_S * rate_hz)
    frames = speech[: len(speech) // samples * samples].reshape(-1, samples)
    return 10 * np.log10(np.mean(frames**2, axis=1) + 1e-12)
