"""The filter bank's loops over samples and channels, compiled: see the definition in `bank`.

The types are here as well, because numba notices changes of this file alone.
"""

from typing import NamedTuple

import numpy as np

from shd_corpus.compiled import compiled

# What a step is to an utterance
IDLE, BEGINS, GOES_ON, ENDS, IS_DROPPED = range(5)
_NUMBERS = (
    "previous n_samples peak settling in_utterance n_loud length n_quiet floors floors_before"
)
STATE = np.dtype([(name, np.int64) for name in _NUMBERS.split()])


class Channels(NamedTuple):
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


class Settings(NamedTuple):
    """The numbers that all channels share. Those of levels are units of 1/16 octave."""

    step_samples: int
    margin: int
    span: int
    threshold: int
    fall_shift: int
    rise: int  # 1/16 units, and so `attack` and `decay`
    attack: int
    decay: int
    on: int
    off: int
    most_risen: int  # 1/16 units, over all channels
    start_steps: int
    replay_steps: int
    hold_steps: int
    shortest_steps: int
    longest_steps: int
    settling_steps: int


class Constants(NamedTuple):
    """The numbers of each channel, (channels,) int32 arrays."""

    cosines: np.ndarray
    sines: np.ndarray
    first_gains: np.ndarray
    second_gains: np.ndarray
    offsets: np.ndarray


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
def encode(settings, constants, channels, state, levels, events):
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
def is_long(settings, state):
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
    return ENDS if is_over and is_gone and is_long(settings, state) else IS_DROPPED


@compiled
def advance(samples, settings, constants, channels, state, steps):
    """Take samples, and write the steps that they complete."""
    step = 0
    for sample in samples:
        _filter((sample - state.previous) << 6, constants, channels)
        state.previous = sample
        state.n_samples += 1
        if state.n_samples == settings.step_samples:
            state.n_samples = 0
            levels = steps.levels[step]
            excess = encode(settings, constants, channels, state, levels, steps.events[step])
            steps.status[step] = _detect(settings, state, excess)
            step += 1
