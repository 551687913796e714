"""Find one utterance in what a microphone recorded, and encode it as the data sets are encoded.

The level of the recording is measured in frames of 10 ms. Frames that are loud enough, without a
long pause between them, are the utterance. It is cut out with some of the sound around it, because
the networks were trained on recordings that have it.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from shd_corpus.encoders import COCHLEA, encode
from shd_corpus.levels import FRAME_S, background, frame_levels
from shd_corpus.recording_list import RecordingError
from shd_corpus.sound_file import (
    RATE_HZ,
    SILENCE,
    at_48_khz,
    check_rate,
    is_click,
    is_clipped,
    read_sound,
)

# A frame belongs to the utterance if it is at most QUIETEST_DB quieter than the loudest frame ("f"
# and "s" are quiet), and at least ABOVE_NOISE_DB louder than the noise.
QUIETEST_DB = 35.0
ABOVE_NOISE_DB = 8.0
# If the loudest frame is less than this above the noise, nobody has spoken. Recorded digits are at
# least 15 dB above it.
STANDS_OUT_DB = 12.0
GAP_S = 0.25  # a longer pause ends the utterance
LONGEST_S = 1.5
LONGEST_FILE_S = 60.0
# The sound after a pause of PAUSE_S is a second utterance if it is longer than CLICK_S and has more
# than SECOND_SHARE of the first one's energy. None of the 10,420 Heidelberg Digits has one.
PAUSE_S = 0.18
CLICK_S = 0.15
SECOND_SHARE = 0.1
# The time before and after an utterance in the Heidelberg Digits (medians), with which the networks
# were trained.
BEFORE_S = 0.04
AFTER_S = 0.11
SAY_ONE = "Say one digit, with silence before and after it."


class RecordedUtterance(NamedTuple):
    """One utterance that was found in a recording, and its spikes.

    Parameters
    ----------
    wave : (samples,) float array
        Its mono sound, with some of the sound around it.
    rate_hz : int
        Sampling rate of `wave`.
    times : (spikes,) float array
        Seconds, ascending.
    units : (spikes,) int array
        Channels of the encoder; 0 has the highest frequency.
    warning : str
        A sentence about the recording; empty for none.
    """

    wave: np.ndarray
    rate_hz: int
    times: np.ndarray
    units: np.ndarray
    warning: str


def encode_utterance_file(path: Path, seed: int = 0, encoder: str = COCHLEA) -> RecordedUtterance:
    """Find the utterance in a sound file of up to a minute, and encode it: see `encode_utterance`.

    Raise RecordingError if the file can't be read or doesn't hold one utterance.
    """
    wave, rate_hz = read_sound(path, LONGEST_FILE_S)
    try:
        return encode_utterance(wave, rate_hz, seed, encoder)
    except RecordingError as error:
        raise RecordingError(f"{path}: {error}") from error


def encode_utterance(
    wave: np.ndarray, rate_hz: int, seed: int = 0, encoder: str = COCHLEA
) -> RecordedUtterance:
    """Find the utterance in a recording, and encode it at 48 kHz.

    The networks were trained on utterances with `BEFORE_S` and `AFTER_S` of sound around them,
    which the cochlea fades. If a recording has less of it, noise is added that is as loud as its
    quietest 10 ms. A sound that is as long and as loud as an utterance is taken for one: a chord,
    a cough, two words without a pause.

    Parameters
    ----------
    wave : (samples,) array
        Mono sound of full scale 1.
    rate_hz : int
        Its rate, 6 to 768 kHz.
    seed : int
        Draws the noise and the nerve fibers.
    encoder : str
        ``"cochlea"`` or ``"filter_bank"``.

    Returns
    -------
    RecordedUtterance
        The utterance and its spikes.

    Raises
    ------
    RecordingError
        If the recording has no utterance or more than one, or another rate. The message says what
        to do.
    """
    sound, warning = cut_utterance(wave, rate_hz, seed)
    times, units = encode(sound, RATE_HZ, seed, encoder)
    return RecordedUtterance(sound, RATE_HZ, times, units, warning)


def cut_utterance(wave: np.ndarray, rate_hz: int, seed: int = 0) -> tuple[np.ndarray, str]:
    """Cut the utterance out of a recording, with some of the sound around it.

    Returns its (samples,) sound at 48 kHz, and a sentence about the recording, empty for none. See
    `encode_utterance`.
    """
    check_rate(rate_hz)
    wave = np.asarray(wave, float)
    if wave.ndim == 2:
        raise RecordingError(
            f"The sound has the shape {wave.shape}, but must be mono. Give wave.mean(axis=1), if "
            "the second axis has the channels."
        )
    if wave.ndim != 1 or len(wave) < 2 * FRAME_S * rate_hz:
        raise RecordingError(f"Nothing was recorded. {SAY_ONE}")
    is_number = np.isfinite(wave)
    if not is_number.all():
        sample = int(np.argmin(is_number))
        raise RecordingError(f"Sample {sample} isn't a finite number. Record it again.")
    sound = wave - wave.mean()
    if np.abs(sound).max() < SILENCE:
        raise RecordingError("Silence: is the microphone muted, or another one chosen?")
    first, stop = find_utterance(sound, rate_hz)
    if is_click(sound[first:stop], rate_hz):
        raise RecordingError(f"The sound is only a click. {SAY_ONE}")
    warning = ""
    if is_clipped(wave[first:stop]):
        warning = "It is clipped, so the answer may be wrong: say it softer, or from further away."
    return at_48_khz(_with_surroundings(sound, first, stop, rate_hz, seed), rate_hz), warning


def _with_surroundings(
    wave: np.ndarray, first: int, stop: int, rate_hz: int, seed: int
) -> np.ndarray:
    """Cut an utterance out with the sound around it, and add noise where the recording ends."""
    start = first - round(BEFORE_S * rate_hz)
    end = stop + round(AFTER_S * rate_hz)
    result = background(wave, rate_hz, end - start, seed)
    recorded = wave[max(0, start) : end]
    offset = max(0, -start)
    result[offset : offset + len(recorded)] = recorded
    return result


def find_utterance(wave: np.ndarray, rate_hz: int) -> tuple[int, int]:
    """Return the first sample of the utterance in a recording, and the one after its last.

    It is the sound between pauses that has the most energy between 100 Hz and 8 kHz. `wave`
    (samples,) is mono and has no offset. Raise RecordingError if nothing is louder than the noise,
    the sound is longer than a digit, or there are two utterances.
    """
    levels_db = frame_levels(wave, rate_hz)
    loud = _loud_frames(levels_db)
    utterance = max(_pieces(loud, GAP_S), key=lambda piece: _energy(levels_db, piece))
    first_frame = int(utterance[0])
    stop_frame = int(utterance[-1]) + 1
    length_s = (stop_frame - first_frame) * FRAME_S
    if length_s > LONGEST_S:
        raise RecordingError(f"The sound is {length_s:.1f} s long, too long for a digit. {SAY_ONE}")

    pieces = _pieces(loud, PAUSE_S)
    energies = [_energy(levels_db, piece) for piece in pieces]
    n_utterances = sum(
        energy > SECOND_SHARE * max(energies) and len(piece) * FRAME_S > CLICK_S
        for piece, energy in zip(pieces, energies, strict=True)
    )
    if n_utterances > 1:
        raise RecordingError(f"There are {n_utterances} utterances. {SAY_ONE}")
    samples = round(FRAME_S * rate_hz)
    return first_frame * samples, stop_frame * samples


def _loud_frames(levels_db: np.ndarray) -> np.ndarray:
    """Return the numbers of the frames that are loud enough to belong to an utterance."""
    # The mean power of 50 ms, to which a click adds little
    mean_power = np.convolve(10 ** (levels_db / 10), np.full(5, 0.2))
    loudest_db = 10 * np.log10(mean_power.max())
    noise_db = np.percentile(levels_db, 10)
    duration_s = len(levels_db) * FRAME_S
    # A shorter recording may be filled by the utterance, without any noise around it.
    if duration_s > LONGEST_S and loudest_db - noise_db < STANDS_OUT_DB:
        raise RecordingError(f"No utterance is louder than the noise, or it doesn't end. {SAY_ONE}")
    limit_db = max(loudest_db - QUIETEST_DB, noise_db + ABOVE_NOISE_DB)
    loud = np.flatnonzero(levels_db >= limit_db)
    if not len(loud):  # the utterance fills the recording and is equally loud throughout
        return np.arange(len(levels_db))
    return loud


def _pieces(loud: np.ndarray, pause_s: float) -> list[np.ndarray]:
    """Split the numbers of loud frames where a longer pause is between them."""
    return np.split(loud, np.flatnonzero(np.diff(loud) > pause_s / FRAME_S) + 1)


def _energy(levels_db: np.ndarray, piece: np.ndarray) -> float:
    """Return the energy of a piece, given by the numbers of its frames."""
    return (10 ** (levels_db[piece] / 10)).sum()
