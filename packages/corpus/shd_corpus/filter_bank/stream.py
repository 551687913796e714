"""Listen to a stream of samples: find utterances, and encode them as events.

`EventStream` computes what the docstring of `bank` defines. filter_bank.c does the same in C99.
"""

from fractions import Fraction
from typing import NamedTuple

import numpy as np

from shd_corpus.filter_bank import kernels
from shd_corpus.filter_bank.bank import RATE_HZ, FilterBank, to_samples
from shd_corpus.filter_bank.kernels import BEGINS, ENDS, IDLE, Steps
from shd_corpus.levels import background

N_BEFORE = 125  # steps of noise before a sound, on which the floors settle


class StreamUtterance(NamedTuple):
    """An utterance that was found in a stream.

    Parameters
    ----------
    first_step : int
        Its first step, counted from the start of the stream. It is below 0 if the utterance begins
        within the first steps, because the steps before them are replayed as well.
    n_steps : int
        How many it has, with those of the pause that ends it.
    steps : (events,) uint16 array
        Of each event, from 0 to `n_steps` - 1, ascending.
    channels : (events,) uint16 array
        Ascending within a step; 0 has the highest frequency.
    """

    first_step: int
    n_steps: int
    steps: np.ndarray
    channels: np.ndarray


class EventStream:
    """Listen to a stream, in blocks of any size, and report each utterance when it has ended.

    Parameters
    ----------
    bank : FilterBank
        What is computed.

    Examples
    --------
    >>> stream = EventStream(FilterBank(n_channels=30))
    >>> len(stream.process(np.zeros(15_625, np.int16)) + stream.flush())  # a second of silence
    0
    """

    def __init__(self, bank: FilterBank) -> None:
        self.bank = bank
        n = bank.n_channels
        self._channels = kernels.Channels(*np.zeros((len(kernels.Channels._fields), n), np.int32))
        self._state = np.rec.array(np.zeros(1, kernels.STATE))[0]
        self._state.settling = bank.settings.settling_steps
        self._n_steps = 0
        self._n_replayed = bank.settings.replay_steps + bank.settings.start_steps
        # of the last steps, or of the utterance so far
        self._events = [np.zeros(n, np.bool_)] * self._n_replayed

    def advance(self, block: np.ndarray) -> Steps:
        """Take samples (samples,) int16, and return the steps that they complete."""
        if block.dtype != np.int16:
            raise TypeError(f"{block.dtype} samples: convert the sound to int16 with `to_samples`")
        bank = self.bank
        n = (int(self._state.n_samples) + len(block)) // bank.settings.step_samples
        shape = (n, bank.n_channels)
        steps = Steps(np.zeros(shape, np.uint8), np.zeros(shape, np.bool_), np.zeros(n, np.uint8))
        samples = block.astype(np.int64)
        kernels.advance(samples, bank.settings, bank.constants, self._channels, self._state, steps)
        return steps

    def process(self, block: np.ndarray) -> list[StreamUtterance]:
        """Take samples (samples,) int16, and return the utterances that end in them."""
        return self.utterances(self.advance(block))

    def utterances(self, steps: Steps) -> list[StreamUtterance]:
        """Return the utterances that end in the next steps, which `advance` returned."""
        found = []
        for events, status in zip(steps.events, steps.status, strict=True):
            self._n_steps += 1
            self._events.append(events)
            if status in (IDLE, BEGINS):
                del self._events[: -self._n_replayed]
            elif status == ENDS:
                found.append(self._utterance())
        return found

    def flush(self) -> list[StreamUtterance]:
        """End the stream, and return the utterance in which it ends, if there is one."""
        is_found = bool(self._state.in_utterance) and kernels.is_long(
            self.bank.settings, self._state
        )
        self._state.in_utterance = 0
        return [self._utterance()] if is_found else []

    def _utterance(self) -> StreamUtterance:
        """Return the utterance of the steps that were stored."""
        steps, channels = np.nonzero(self._events)
        n_steps = len(self._events)
        first_step = self._n_steps - n_steps
        return StreamUtterance(
            first_step, n_steps, steps.astype(np.uint16), channels.astype(np.uint16)
        )


def encode(
    sound: np.ndarray, rate_hz: int, seed: int, bank: FilterBank | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Encode the sound of an utterance that has already been found.

    Noise comes before it that is as loud as its quietest 10 ms, so that the floors settle as in a
    stream. It takes and returns what `shd_corpus.encoders.encode` does.
    """
    bank = bank or FilterBank()
    n_samples = round(N_BEFORE * bank.settings.step_samples * rate_hz / RATE_HZ)
    sound = np.concatenate([background(sound, rate_hz, n_samples, seed), sound])
    events = EventStream(bank).advance(to_samples(sound, rate_hz)).events
    steps, channels = np.nonzero(events[N_BEFORE:])
    return (steps + 0.5) * bank.step_ms / 1000, channels


class Resampler:
    """Turn blocks of any size into samples for the filter bank, as `to_samples` does with a whole.

    Each piece is resampled together with its neighbors, of which only the weights of the filter
    need some samples. So all samples come late, by less than two pieces (about 16 ms at 48 kHz).

    Parameters
    ----------
    rate_hz : int
        Sampling rate of the blocks.
    """

    def __init__(self, rate_hz: int) -> None:
        ratio = Fraction(RATE_HZ, rate_hz)
        # Whole numbers of samples before and after. The filter reaches ten of the slower rate.
        times = -(-rate_hz // 125 // ratio.denominator)
        self._taken = times * ratio.denominator
        self._given = times * ratio.numerator
        self._rate_hz = rate_hz
        self._waiting = np.zeros(self._taken)  # the piece before the first one is silent

    def process(self, block: np.ndarray) -> np.ndarray:
        """Take samples (samples,) of full scale 1, and return int16 samples at 15,625 Hz."""
        self._waiting = np.concatenate([self._waiting, block])
        n_pieces = len(self._waiting) // self._taken - 2
        if n_pieces < 1:
            return np.zeros(0, np.int16)
        pieces = self._waiting[: (n_pieces + 2) * self._taken]
        self._waiting = self._waiting[n_pieces * self._taken :]
        samples = to_samples(pieces, self._rate_hz)
        return samples[self._given : (n_pieces + 1) * self._given]
