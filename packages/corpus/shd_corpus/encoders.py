"""The encoders: what turns the sound of an utterance into events of channels."""

from pathlib import Path

import numpy as np

from shd_corpus.checks import check_choice

COCHLEA = "cochlea"  # the model of the ear that made SHD
FILTER_BANK = "filter_bank"  # whole numbers that fit in a circuit
CHANNELS = {COCHLEA: 700, FILTER_BANK: 77}


def encode(
    sound: np.ndarray, rate_hz: int, seed: int, encoder: str = COCHLEA
) -> tuple[np.ndarray, np.ndarray]:
    """Turn the sound of an utterance into events.

    Parameters
    ----------
    sound : (samples,) array
        Mono.
    rate_hz : int
        Its sampling rate, 24 kHz or more.
    seed : int
        Of all that is drawn: the cochlea's nerve, or the noise before the filter bank's sound.
    encoder : str
        ``"cochlea"`` or ``"filter_bank"``.

    Returns
    -------
    times : (events,) float array
        Seconds, ascending. A step of the filter bank counts as 3 ms, and its events are in the
        middle of it.
    units : (events,) int array
        Channels, of which 0 has the highest frequency.

    Raises
    ------
    ValueError
        If there is no such encoder, or the sound can't be encoded.
    """
    check_choice("encoder", encoder, tuple(CHANNELS))
    # Whoever needs one of them doesn't wait for the other one.
    if encoder == COCHLEA:
        from shd_corpus import cochlea

        return cochlea.encode(sound, rate_hz, seed)
    from shd_corpus import filter_bank

    return filter_bank.encode(sound, rate_hz, seed)


def encoder_folder(folder: Path, encoder: str) -> Path:
    """Return where the files of a data set are: the cochlea's in its folder, others below it."""
    return folder if encoder == COCHLEA else folder / encoder


def versions_of(encoder: str) -> dict[str, object]:
    """Return what identifies an encoder and its version, for the receipt of a data set."""
    from shd_corpus import versions

    if encoder == COCHLEA:
        return {"spikes": versions.SPIKES}
    return {"encoder": encoder, "version": versions.FILTER_BANK}
