"""The whole cochlea: from a sound to the spikes of 700 bushy cells.

    sound -> normalize, fade -> membrane -> hair cells -> nerve fibers -> bushy cells -> spikes

The model is the one that made the Spiking Heidelberg Digits. Only the nerve is random, so the tests
compare every other stage with the reference implementation, number by number.

Source: Cramer et al. (2022), IEEE TNNLS 33(7), 2744, arXiv:1910.07407; reference implementation
``lauscher`` 1.0.1.
"""

from collections.abc import Sequence

import numpy as np

from shd_corpus.cochlea.bushy_cell import BushyCells
from shd_corpus.cochlea.hair_cell import HairCells
from shd_corpus.cochlea.membrane import MembraneBlock, membrane_blocks
from shd_corpus.cochlea.nerve import FIBERS, Nerve, NerveFibers
from shd_corpus.cochlea.response import CHANNELS
from shd_corpus.cochlea.sound import fade, normalize

# Durations of a sound. A longer one is hardly one utterance, and would take much memory.
MIN_DURATION_S = 0.01
MAX_DURATION_S = 5.0
# At lower rates the hair cells' step is too long: at 8 kHz they fire 57 % too often.
LOWEST_RATE_HZ = 24_000
# Each stage computes so many steps before the next stage takes them. They are few enough that what
# one stage hands to the next stays in the processor's cache, and many enough that Python's part,
# during which other threads wait, is short.
STEPS_AT_ONCE = 512


def encode(wave: np.ndarray, rate_hz: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Turn one sound into the spikes of 700 bushy cells.

    Parameters
    ----------
    wave : (samples,) array
        Mono sound; its level does not matter.
    rate_hz : int
        Sampling rate of the wave, 24 kHz or more. SHD was made at 48 kHz.
    seed : int
        Seed of the nerve fibers; the result depends on it, not on the number of threads.

    Returns
    -------
    times : (spikes,) float array
        Seconds, ascending.
    units : (spikes,) int array
        0 is the base of the cochlea (highest frequency), 699 the apex.

    Raises
    ------
    ValueError
        If the wave is no finite mono sound, is silent, is shorter than `MIN_DURATION_S` or longer
        than `MAX_DURATION_S`, or if its sampling rate is below `LOWEST_RATE_HZ`.

    References
    ----------
    Cramer et al. (2022), arXiv:1910.07407; reference implementation ``lauscher`` 1.0.1.
    """
    return encode_draws(wave, rate_hz, [Nerve(seed)])[0]


def encode_draws(
    wave: np.ndarray, rate_hz: int, nerves: Sequence[Nerve]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Turn one sound into the spikes of several nerves, whose common stages are computed once.

    It takes and returns what `encode` does, for each nerve.
    """
    wave = np.asarray(wave, dtype=float)
    _check_sound(wave, rate_hz)
    step_hz = rate_hz // 2
    numbers: list[list[np.ndarray]] = [[] for _ in nerves]  # through channels and then steps
    for block in membrane_blocks(fade(normalize(wave), rate_hz), rate_hz):
        for found, spikes in zip(numbers, _spikes_of_block(block, step_hz, nerves), strict=True):
            steps, channels = np.divmod(np.flatnonzero(spikes), block.n_channels)
            found.append(steps * CHANNELS + block.first_channel + channels)
    encoded = [np.divmod(np.sort(np.concatenate(found)), CHANNELS) for found in numbers]
    return [(steps / step_hz, units) for steps, units in encoded]


def _check_sound(wave: np.ndarray, rate_hz: int) -> None:
    """Raise ValueError if a sound isn't mono, or its rate or duration is out of range."""
    if wave.ndim != 1:
        raise ValueError(f"a mono wave has one axis, this one has shape {wave.shape}")
    if rate_hz < LOWEST_RATE_HZ:
        raise ValueError(
            f"a sampling rate of {rate_hz} Hz is too low for the hair cells: resample the wave to "
            f"{LOWEST_RATE_HZ} Hz or more"
        )
    duration_s = len(wave) / rate_hz
    if not MIN_DURATION_S <= duration_s <= MAX_DURATION_S:
        raise ValueError(
            f"the sound takes {duration_s:.3g} s. An utterance takes {MIN_DURATION_S:g} to "
            f"{MAX_DURATION_S:g} s: cut longer sounds into utterances"
        )


def _spikes_of_block(
    block: MembraneBlock, step_hz: float, nerves: Sequence[Nerve]
) -> list[np.ndarray]:
    """Take a block of channels through the later stages: (steps, channels) bool for each nerve."""
    shape = (block.n_steps, block.n_channels)
    hair_cells = HairCells(block.n_channels, step_hz)
    fibers = [NerveFibers(shape, step_hz, each, block.first_channel, CHANNELS) for each in nerves]
    bushy_cells = [BushyCells(shape, step_hz, each.fibers or FIBERS) for each in nerves]
    for first in range(0, block.n_steps, STEPS_AT_ONCE):
        velocity = block.velocity(first, min(first + STEPS_AT_ONCE, block.n_steps))
        probability = hair_cells.respond(velocity)
        for each, cells in zip(fibers, bushy_cells, strict=True):
            cells.collect(each.fire(probability))
    return [cells.spikes for cells in bushy_cells]
