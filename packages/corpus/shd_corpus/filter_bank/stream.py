"""Listen to a stream of samples: find utterances, and encode them as events.

`EventStream` computes what the docstring of `bank` defines. filter_bank.c does the same in C99.
"""

from typing import NamedTuple

import numpy as np

from shd_corpus.compiled import compiled
from shd_corpus.filter_bank.bank import FilterBank

# What a step is to an utterance
IDLE, BEGINS, GOES_ON, ENDS, IS_DROPPED = range(5)
_NUMBERS = (
    "previous n_samples peak settling in_utterance n_loud length n_quiet floors floors_before"
)
_STATE = np.dtype([(name, np.int64) for name in _NUMBERS.split()])


class _Channels(NamedTuple):
    """The state of each channel, (channels,) int32 arrays."""

    u1: np.ndarray
    v1: np.ndarray
    u2: np.ndarray
    v2: np.ndarray
    sum: np.ndarray
    floor: np.ndarray
    potential: np.ndarray


class Steps(NamedTuple):
    """What a stream did in the steps that a block completed.

    Parameters
    ----------
    levels : (steps, channels) uint8 array
        In units of 1/16 octave, 0.38 dB.
    events : (steps, channels) bool array
        Which channels have an event.
    status : (steps,) uint8 array
        IDLE, BEGINS, GOES_ON, ENDS or IS_DROPPED.
    """

    levels: np.ndarray
    events: np.ndarray
    status: np.ndarray


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
        self._channels = _Channels(*np.zeros((len(_Channels._fields), n), np.int32))
        self._state = np.rec.array(np.zeros(1, _STATE))[0]
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
        _advance(samples, bank.settings, bank.constants, self._channels, self._state, steps)
        return steps

    def process(self, block: np.ndarray) -> list[StreamUtterance]:
        """Take samples (samples,) int16, and return the utterances that end in them."""
        found = []
        steps = self.advance(block)
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
        is_found = bool(self._state.in_utterance) and _is_long(self.bank.settings, self._state)
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


@compiled
def _truncated(product):
    """Divide by 2^15 and round towards zero."""
    return (product + ((product >> 63) & 0x7FFF)) >> 15


@compiled
def _filter(difference, constants, channels):
    """Let all resonators take the difference of two samples."""
    for k in range(len(constants.cosines)):
        c = np.int64(constants.cosines[k])
        s = np.int64(constants.sines[k])
        u = np.int64(channels.u1[k])
        v = np.int64(channels.v1[k])
        u1 = _truncated(c * u - s * v + constants.first_gains[k] * difference)
        channels.u1[k] = u1
        channels.v1[k] = _truncated(s * u + c * v)
        u = np.int64(channels.u2[k])
        v = np.int64(channels.v2[k])
        u2 = _truncated(c * u - s * v + constants.second_gains[k] * u1)
        v2 = _truncated(s * u + c * v)
        channels.u2[k] = u2
        channels.v2[k] = v2
        channels.sum[k] += max(abs(u2), abs(v2)) + (min(abs(u2), abs(v2)) >> 1)


@compiled
def _logarithm(value):
    """Return 16 times the logarithm to base 2: the leading one's place, and the next four bits."""
    if value == 0:
        return 0
    place = 0
    while value >> place > 1:
        place += 1
    return 16 * place + (((value << 4) >> place) & 15)


@compiled
def _encode(settings, constants, channels, state, levels, events):
    """End a step: find levels and events, and let floors and peak follow. Return the excess."""
    loudest = 0
    excess = 0
    state.floors = 0
    for k in range(len(levels)):
        level = _logarithm(np.int64(channels.sum[k])) - constants.offsets[k]
        level = min(max(level, 0), 255)
        levels[k] = level
        channels.sum[k] = 0
        loudest = max(loudest, level)
        floor = np.int64(channels.floor[k])
        distance = 16 * level - floor
        if state.settling > 0:
            floor += distance >> 1
        else:
            above_floor = level - (floor >> 4) - settings.margin
            above_peak = level - (state.peak >> 4) + settings.span
            excess += max(above_floor, 0)
            potential = channels.potential[k] + max(min(above_floor, above_peak), 0)
            potential = min(potential, 2 * settings.threshold - 1)
            events[k] = potential >= settings.threshold
            channels.potential[k] = potential - settings.threshold * events[k]
            is_above = distance >= 0
            floor += min(distance, settings.rise) if is_above else distance >> settings.fall_shift
        channels.floor[k] = floor
        state.floors += floor
    distance = 16 * loudest - state.peak
    if state.settling == 0:
        distance = min(max(distance, -settings.decay), settings.attack)
    state.peak += distance
    return excess


@compiled
def _is_long(settings, state):
    """Return whether the utterance is long enough without the pause behind it."""
    return state.length - state.n_quiet >= settings.shortest_steps


@compiled
def _detect(settings, state, excess):
    """Return what a step with this excess is to an utterance."""
    if state.settling > 0:
        state.settling -= 1
        return IDLE
    if not state.in_utterance:
        state.n_loud = state.n_loud + 1 if excess >= settings.on else 0
        if state.n_loud <= 1:
            state.floors_before = state.floors
        if state.n_loud < settings.start_steps:
            return IDLE
        state.in_utterance = 1
        state.length = settings.start_steps
        state.n_loud = 0
        state.n_quiet = 0
        return BEGINS
    state.length += 1
    state.n_quiet = 0 if excess >= settings.off else state.n_quiet + 1
    is_over = state.n_quiet == settings.hold_steps
    if not is_over and state.length < settings.longest_steps:
        return GOES_ON
    state.in_utterance = 0
    if not is_over:
        state.settling = settings.settling_steps
    is_gone = state.floors - state.floors_before <= settings.most_risen
    return ENDS if is_over and is_gone and _is_long(settings, state) else IS_DROPPED


@compiled
def _advance(samples, settings, constants, channels, state, steps):
    """Take samples, and write the steps that they complete."""
    step = 0
    for sample in samples:
        _filter((sample - state.previous) << 6, constants, channels)
        state.previous = sample
        state.n_samples += 1
        if state.n_samples == settings.step_samples:
            state.n_samples = 0
            levels = steps.levels[step]
            excess = _encode(settings, constants, channels, state, levels, steps.events[step])
            steps.status[step] = _detect(settings, state, excess)
            step += 1
