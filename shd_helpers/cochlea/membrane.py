"""Sound to spikes: the inner-ear model that made the Spiking Heidelberg Digits, compiled.

The model is the one of Cramer et al. (2020), whose reference implementation is ``lauscher``:

    wave -> normalize -> fade -> basilar membrane -> hair cells -> auditory nerve -> bushy cells

Only the auditory nerve is random, so every other stage can be compared with the reference number
by number. Arrays have time first: (steps, 700), at half the sampling rate of the wave, for the
membrane's motion is computed from the positive frequencies alone, as in the reference.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from math import ceil, exp
from pathlib import Path
from threading import Lock
from typing import Any

import numba
import numpy as np
import scipy.fft
from scipy.special import hankel1, hankel2
from tqdm import tqdm
from tqdm.contrib.concurrent import thread_map

from shd_helpers.compiled import compiled
from shd_helpers.files import atomic
from shd_helpers.paths import data_dir

# Not numba.get_num_threads(): it starts numba's own threads, which nothing here uses, and makes
# torch share every small product of this process among as many.
N_THREADS: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
MIN_DURATION_S, MAX_DURATION_S = 0.01, 5.0  # of a word
LOWEST_RATE_HZ = 24_000  # below, the hair cell's step is too long: at 8 kHz it fires 57 % too often
# With these, the spikes of the Heidelberg Digits are as like the published ones as two draws are.
RMS, RAMP_MS = 0.32, 30.0
ROWS = 128  # steps that all stages take together, while they are in a processor's cache
# The basilar membrane (Sieroka, Dosch and Rupp 2006), with the parameters of the reference.
CHANNELS = 700
# cgs units; the place x goes from the base, where high tones peak, to the apex
STIFFNESS, STIFFNESS_OFFSET, STIFFNESS_DECAY, MASS = 1e9, 3500.0, 3.0, 0.05
DAMPING = 0.15 * (STIFFNESS * MASS) ** 0.5
FLUID_DENSITY, DUCT_HEIGHT, LENGTH_CM = 1.0, 0.1, 3.5
# The response is tabulated up to 4 x the resonance, where 1e-8 of its peak is left.
TABLE_POINTS, TABLE_TOP = 2500, 4.0
# Channels are computed in blocks. The motion of a block is computed at 1.5 x the points that its
# highest frequency needs; a kernel over 16 of them reads what is between, exact to 1e-11.
BLOCK, OVERSAMPLING, TAPS = 64, 1.5, 16
KERNEL_POINTS = 1024  # of the table, from one grid point to the next
KERNEL_SHAPE = np.pi * TAPS * (1 - 0.5 / OVERSAMPLING)
# Hair cells (Meddis 1986, 1988)
DRIVE, HALF_DRIVE, RELEASE, FIRE = 5.0, 300.0, 2000.0, 50_000.0
REPLENISH, LOSS, REUPTAKE, REPROCESS = 5.05, 2500.0, 6580.0, 66.3
# Nerve fibers and bushy cells (Cramer et al. 2020)
FIBERS = 40
TAU_MEM_S, TAU_SYN_S, TAU_REFRAC_S, WEIGHT = 1e-3, 5e-4, 1e-3, 13e3 / FIBERS


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
        If the wave is no finite mono sound, is silent, is shorter or longer than a word, or its
        sampling rate is too low.

    Source: Cramer et al. (2020), arXiv:1910.07407; reference implementation ``lauscher`` 1.0.1.
    """
    wave = np.asarray(wave, dtype=float)
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
            f"{len(wave)} samples, {duration_s:.3g} s; a word takes {MIN_DURATION_S:g} to "
            f"{MAX_DURATION_S:g} s: cut longer sounds into words"
        )
    wave = fade(normalize(wave), rate_hz)
    step_hz = rate_hz // 2
    settings = 1.0 / step_hz, _nerve(step_hz, seed), _bushy(step_hz)
    steps, found = len(wave) // 2 + 1, []
    for first, grid in membrane_grids(wave, rate_hz):
        spikes = np.zeros((steps, min(BLOCK, CHANNELS - first)), dtype=bool)
        _listen(grid, interpolation_kernel(), settings, first, spikes)
        step, channel = np.divmod(np.flatnonzero(spikes), spikes.shape[1])
        found.append(step * CHANNELS + first + channel)
    step, units = np.divmod(np.sort(np.concatenate(found)), CHANNELS)
    return step / step_hz, units


def on_all_cores(function: Callable[[Any], Any], items: Iterable, what: str, **bar: Any) -> list:
    """Return a function's results in the order of its items; `bar` is for tqdm's named `what`."""
    return thread_map(function, items, max_workers=N_THREADS, tqdm_class=tqdm, desc=what, **bar)


def normalize(wave: np.ndarray) -> np.ndarray:
    """Scale a wave to the root mean square `RMS`; ValueError if that can't be done."""
    wave = np.asarray(wave, dtype=float)
    power = np.mean(wave**2) if len(wave) else 0.0
    if not np.isfinite(power):
        raise ValueError("the wave holds values that are not finite")
    if power == 0:
        raise ValueError("the wave is silent" if len(wave) else "the wave has 0 samples")
    return wave * (RMS / np.sqrt(power))


def fade(wave: np.ndarray, rate_hz: int, ramp_ms: float = RAMP_MS) -> np.ndarray:
    """Fade a wave in and out with halves of a Hann window, each of ``ramp_ms``.

    In a shorter wave each takes half of it; the middle sample of an odd number stays.
    """
    samples = min(round(ramp_ms / 1000 * rate_hz), len(wave) // 2)
    ramp = np.hanning(2 * samples)[:samples]
    return wave * np.concatenate([ramp, np.ones(len(wave) - 2 * samples), ramp[::-1]])


def resonance_hz(channels: int = CHANNELS) -> np.ndarray:
    """Return the frequency at which stiffness and mass of each channel cancel, (channels,) Hz."""
    x = np.linspace(0, LENGTH_CM, channels)
    return np.sqrt(STIFFNESS * np.exp(-STIFFNESS_DECAY * x) / MASS) / (2 * np.pi)


def membrane_response(omega: np.ndarray, x: float) -> np.ndarray:
    """Return the complex velocity per unit of sound at angular frequencies (rad/s) and place (cm).

    Source: Sieroka, Dosch and Rupp (2006), J. Acoust. Soc. Am. 120, 297.
    """
    decay = np.exp(-STIFFNESS_DECAY * x / 2)
    stiff = np.sqrt(STIFFNESS_OFFSET + MASS * omega**2)

    def impedance(decay):
        return STIFFNESS * decay**2 - stiff**2 - 1j * omega * DAMPING * decay

    def wave_number(decay):
        return omega * np.sqrt(FLUID_DENSITY / (DUCT_HEIGHT * impedance(decay)))

    def edge(decay):
        return 1j * stiff - omega * DAMPING * decay / (2 * stiff) - np.sqrt(impedance(decay))

    # Phase integral of the wave number from the base to x, with the offset of the reference.
    base = 2 * wave_number(1.0) / STIFFNESS_DECAY
    turn = 2j * omega / (STIFFNESS_DECAY * np.sqrt(DUCT_HEIGHT) * stiff)
    phase = base - turn * np.log(edge(1.0) / edge(decay) * decay)
    pressure = np.sqrt(phase / wave_number(decay)) * hankel1(0, phase)
    pressure_at_base = np.sqrt(2 / STIFFNESS_DECAY) * hankel1(0, base)

    stapes = 2 * omega / STIFFNESS_DECAY * np.sqrt(2 / (DUCT_HEIGHT * STIFFNESS))
    input_impedance = 1j * np.sqrt(2 * STIFFNESS / DUCT_HEIGHT) * hankel2(0, stapes)
    input_impedance /= hankel2(1, stapes)
    return 2 * omega / impedance(decay) * input_impedance * pressure / pressure_at_base


_one_table_at_a_time = Lock()


@lru_cache(maxsize=4)  # rates, of 28 MB each
def _response_table(top_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """Tabulate every channel from 1 Hz to where nothing is left of its response.

    Evaluating the Hankel functions for each bin of each wave would take longer than all the rest;
    the response is smooth on the scale of the resonance, so some points per channel, interpolated
    by cubics, are exact to 2e-7 of its peak, for waves of any length. Channels 2 j and 2 j + 1
    share their frequencies; the table holds their responses a and b as a + i b and a - i b. It
    takes longer than a word, so it is kept in ``data/cache``, for this file as it is now.
    """
    x = np.linspace(0, LENGTH_CM, CHANNELS)
    tops_hz = np.minimum(TABLE_TOP * resonance_hz()[::2], top_hz)
    made_by = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    kept = data_dir() / "cache" / f"cochlea_{top_hz}_{made_by}.npy"
    with suppress(OSError, ValueError, EOFError):  # not there, or half a file
        return np.load(kept), tops_hz
    omega = 2 * np.pi * np.linspace(1, np.repeat(tops_hz, 2), TABLE_POINTS, axis=-1)
    with ThreadPoolExecutor(N_THREADS) as threads:
        response = np.array(list(threads.map(membrane_response, omega, x)))
    even, odd = response[::2], 1j * response[1::2]
    table = np.stack([even + odd, even - odd], axis=-1)
    with suppress(OSError):
        with atomic(kept) as part, part.open("wb") as file:
            np.save(file, table)
        for old in {*kept.parent.glob(f"cochlea_{top_hz}_*.npy")} - {kept}:
            old.unlink(missing_ok=True)
    return table, tops_hz


@compiled
def _cubic(f):
    """Return the weights of the points -1, 0, 1 and 2 in the cubic through them, read at ``f``."""
    a, b = f * (f - 1.0) * (1.0 / 6.0), (f + 1.0) * (f - 2.0) / 2.0
    return (2.0 - f) * a, (f - 1.0) * b, -f * b, (f + 1.0) * a


@compiled
def _respond(spectrum, table, points_per_bin, steps, grid):
    """Fill (points, pairs) with the spectrum of channel 2 j plus i times that of 2 j + 1.

    The velocity is the real part of the response, so its spectrum is the response's and its
    mirrored conjugate; two real channels then share one complex Fourier transform. Seen at
    ``steps`` points, a bin above ``steps / 2`` is one of negative frequency.
    """
    top = min(len(spectrum) - 1, steps // 2)
    grid[top + 1 : len(grid) - top] = 0.0
    pairs, last = len(table), table.shape[1] - 1
    rows, weights = np.empty(pairs, np.int64), np.empty((4, pairs))
    for k in range(len(spectrum)):
        while pairs > 0 and k * points_per_bin[pairs - 1] > last + 1e-6:
            pairs -= 1  # nothing is left here, nor in the channels closer to the apex
        for pair in range(pairs):
            at = k * points_per_bin[pair]
            rows[pair] = min(max(int(at), 1), last - 2) - 1
            a, b, c, d = _cubic(at - (rows[pair] + 1))
            weights[0, pair], weights[1, pair] = a, b
            weights[2, pair], weights[3, pair] = c, d
        place = k if k <= top else k - steps
        here, mirrored = grid[place], grid[-place]
        if k <= top:
            here[:], mirrored[:] = 0.0, 0.0
        for pair in range(pairs):
            near = table[pair, rows[pair] : rows[pair] + 4]
            a, b, c, d = weights[0, pair], weights[1, pair], weights[2, pair], weights[3, pair]
            plus = a * near[0, 0] + b * near[1, 0] + c * near[2, 0] + d * near[3, 0]
            minus = a * near[0, 1] + b * near[1, 1] + c * near[2, 1] + d * near[3, 1]
            here[pair] += spectrum[k] * plus
            mirrored[pair] += np.conj(spectrum[k] * minus)


@lru_cache(maxsize=1)
def interpolation_kernel() -> np.ndarray:
    """Tabulate the Kaiser-Bessel window that reads a grid between its points.

    Row ``i + 1`` of ``KERNEL_POINTS + 3`` holds the weights of the ``TAPS`` grid points around a
    place that lies ``i / KERNEL_POINTS`` of their distance behind the one before the middle.
    """
    window = np.pad(np.kaiser(TAPS * KERNEL_POINTS + 1, KERNEL_SHAPE), KERNEL_POINTS)
    taps = np.arange(1 - TAPS // 2, TAPS // 2 + 1) * KERNEL_POINTS
    rows = np.arange(-1, KERNEL_POINTS + 2)[:, None]
    return np.ascontiguousarray(window[len(window) // 2 + rows - taps])


def _kernel_spectrum(bins: np.ndarray, points: int) -> np.ndarray:
    """Return what reading by the kernel multiplies the bins of a grid by."""
    root = np.sqrt(KERNEL_SHAPE**2 - (np.pi * TAPS * bins / points) ** 2)
    return TAPS * np.sinh(root) / root / np.i0(KERNEL_SHAPE)


@compiled
def read_grid(grid, kernel, steps, first, velocity) -> None:
    """Fill (rows, channels) with the velocity at steps ``first``, ``first + 1``, ... of ``steps``.

    A grid, (points, channels), spans the same time as the steps and is periodic. Source: Fessler
    and Sutton (2003), IEEE Trans. Signal Process. 51, 560.
    """
    points, channels = grid.shape
    weights, out = np.empty(TAPS), np.empty(channels)
    whole, part = points // steps, points % steps  # from one step to the next
    left, rest = first * points // steps - (TAPS // 2 - 1), first * points % steps
    for row in range(len(velocity)):
        at = rest * ((len(kernel) - 3) / steps)
        i = int(at)
        a, b, c, d = _cubic(at - i)
        near = kernel[i : i + 4]
        for tap in range(TAPS):
            weights[tap] = a * near[0, tap] + b * near[1, tap] + c * near[2, tap] + d * near[3, tap]
        if 0 <= left <= points - TAPS:
            around = grid[left : left + TAPS]
            for channel in range(channels):
                total = 0.0
                for tap in range(TAPS):
                    total += weights[tap] * around[tap, channel]
                out[channel] = total
        else:  # beyond an end: goes on at the other
            out[:] = 0.0
            for tap in range(TAPS):
                point = grid[(left + tap) % points]
                for channel in range(channels):
                    out[channel] += weights[tap] * point[channel]
        velocity[row] = out
        left, rest = left + whole, rest + part
        if rest >= steps:
            left, rest = left + 1, rest - steps


def _fast_points(top_bin: int) -> int:
    """Return a number of grid points that is enough, and whose Fourier transform is fast."""
    enough = OVERSAMPLING * (2 * top_bin + 1)
    return 64 * scipy.fft.next_fast_len(ceil(enough / 64), real=True)  # twos are the fastest


def membrane_grids(wave: np.ndarray, rate_hz: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the membrane's velocity block by block, on grids from which `read_grid` reads it.

    A channel moves at no more than four times its resonance, so few points say all about it; and
    their number can be one that has a fast Fourier transform, whatever the length of the wave.
    Yields a block's first channel and its grid, (points, BLOCK), which holds until the next block
    is asked for; it is zero where a channel is beyond the last one.
    """
    top_hz = rate_hz // 2
    spectrum = scipy.fft.rfft(np.asarray(wave, dtype=float))
    steps = len(spectrum)
    with _one_table_at_a_time:
        table, tops_hz = _response_table(top_hz)
    last = TABLE_POINTS - 1
    points_per_bin = (top_hz - 1) / (steps - 1) / (tops_hz - 1) * last
    bins = np.minimum(np.arange(steps), steps - np.arange(steps))  # as frequencies, see `_respond`
    memory, points = np.empty((_fast_points(steps // 2), BLOCK // 2), dtype=complex), 0
    for pair in range(0, len(table), BLOCK // 2):
        pairs = slice(pair, pair + BLOCK // 2)
        used = min(int((last + 1e-6) / points_per_bin[pair]) + 1, steps)
        top = min(used - 1, steps // 2)
        if points != (points := _fast_points(top)):
            scale = 0.5 / steps / _kernel_spectrum(np.arange(top + 1), points)
        grid = memory[:points]
        part = spectrum[:used] * scale[bins[:used]]
        _respond(part, table[pairs], points_per_bin[pairs], steps, grid)
        grid = scipy.fft.ifft(grid, axis=0, norm="forward", overwrite_x=True)
        yield 2 * pair, grid.view(float)


def membrane_velocity(wave: np.ndarray, rate_hz: int) -> np.ndarray:
    """Return the membrane's velocity, (samples // 2 + 1, 700), at half the sampling rate.

    Source: Sieroka, Dosch and Rupp (2006); the frequency axis from 1 Hz is the reference's.
    """
    steps = len(wave) // 2 + 1
    velocity, block = np.empty((steps, CHANNELS)), np.empty((steps, BLOCK))
    for first, grid in membrane_grids(wave, rate_hz):
        read_grid(grid, interpolation_kernel(), steps, 0, block)
        velocity[:, first : first + BLOCK] = block[:, : CHANNELS - first]
    return velocity


# The kernels go through the channels innermost, which become vector instructions. They work on
# copies of the cells' state: only of arrays of its own does the compiler know that none overlap.


@compiled
def _cells_at_rest(channels):
    cleft, free, store = cells = np.empty((3, channels))
    rest = RELEASE * DRIVE / (DRIVE + HALF_DRIVE)
    cleft[:] = REPLENISH * rest / (LOSS * rest + REPLENISH * (LOSS + REUPTAKE))
    free[:] = cleft * (LOSS + REUPTAKE) / rest
    store[:] = cleft * REUPTAKE / REPROCESS
    return cells


@compiled
def _release(velocity, dt, cells, probability):
    cleft, free, store = cells[0].copy(), cells[1].copy(), cells[2].copy()
    for step in range(len(velocity)):
        speed, out = velocity[step], probability[step]
        for c in range(len(cleft)):
            drive = max(speed[c] + DRIVE, 0.0)
            released = RELEASE * dt * drive / (drive + HALF_DRIVE) * free[c]
            made = max(REPLENISH * dt * (1.0 - free[c]), 0.0)
            returned = REPROCESS * dt * store[c]
            store[c] = max(store[c] + REUPTAKE * dt * cleft[c] - returned, 0.0)
            free[c] = max(free[c] + made - released + returned, 0.0)
            cleft[c] = max(cleft[c] + released - (LOSS + REUPTAKE) * dt * cleft[c], 0.0)
            out[c] = FIRE * dt * cleft[c]
    cells[0], cells[1], cells[2] = cleft, free, store


def firing_probability(velocity: np.ndarray, rate_hz: float) -> np.ndarray:
    """Return each step's firing probability of a nerve fiber, shaped as the velocity.

    Transmitter moves between the hair cell's free pool, the cleft and a reprocessing store.
    Source: Meddis (1986), J. Acoust. Soc. Am. 79, 702; Meddis (1988), ibid. 83, 1056.
    """
    probability = np.empty_like(velocity)  # by numpy: numba's own large arrays are slow to fill
    _release(velocity, 1.0 / rate_hz, _cells_at_rest(velocity.shape[1]), probability)
    return probability


@compiled
def _uniform(seed, n):
    """Return number ``n`` of the SplitMix64 sequence (Steele et al. 2014), uniform in [0, 1)."""
    z = seed + (n + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


@compiled
def _binomial(n, p, u):
    """Turn a uniform number into the number of successes of ``n`` trials (inversion)."""
    if p >= 1.0:
        return n
    weight = (1.0 - p) ** n
    k = 0
    while u >= weight and k < n:
        u -= weight
        weight *= (n - k) / (k + 1) * p / (1.0 - p)
        k += 1
    return k


@compiled
def _draw(probability, first, nerve, block, fibers, counts):
    (seed, blocked_steps), (first_channel, of_channels) = nerve, block
    ready = fibers.copy()
    channels = len(ready)
    v, fired = np.empty(channels), np.empty(channels, np.uint8)
    unsure = np.empty(channels, np.bool_)
    for row in range(len(probability)):
        step, p = first + row, probability[row]
        if step > blocked_steps:
            recovered = counts[step - blocked_steps - 1]
            for c in range(channels):
                ready[c] += recovered[c]
        number = np.uint64(step * of_channels + first_channel)
        for c in range(channels):
            v[c] = 1.0 - _uniform(seed, number + np.uint64(c))
        for c in range(channels):
            # P(k >= 1) lies between one - two and one - two + three, P(k >= 2) is two or less
            # (Bonferroni): that settles nearly all.
            one = ready[c] * p[c]
            two = one * p[c] * (ready[c] - 1.0) / 2.0
            three = two * p[c] * (ready[c] - 2.0) * (1.0 / 3.0)
            fired[c] = v[c] < one - two
            unsure[c] = (v[c] <= two) | ((v[c] >= one - two) & (v[c] <= one - two + three))
        for c in range(channels):
            if unsure[c]:
                fired[c] = _binomial(int(ready[c]), p[c], 1.0 - v[c])
        now = counts[step]
        for c in range(channels):
            now[c] = fired[c]
            ready[c] -= fired[c]
    fibers[:] = ready


def nerve_spikes(probability: np.ndarray, rate_hz: float, seed: int) -> np.ndarray:
    """Draw how many of a channel's 40 fibers fire in each step: uint8, shaped as the probability.

    A fiber that fired within the last 1 ms can't fire. The fibers of a channel are alike, so it is
    enough to count those that are ready: the number that fires is binomial, exactly.
    """
    channels = probability.shape[1]
    counts = np.zeros(probability.shape, dtype=np.uint8)
    ready = np.full(channels, float(FIBERS))
    _draw(probability, 0, _nerve(rate_hz, seed), (0, channels), ready, counts)
    return counts


def _nerve(rate_hz: float, seed: int) -> tuple[np.uint64, int]:
    state = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
    return state, ceil(TAU_REFRAC_S * rate_hz) - 1


@compiled
def _integrate(counts, first, stop, bushy, cells, spikes):
    keep_mem, keep_syn, charge, refrac_steps = bushy
    mem, syn, wait = cells[0].copy(), cells[1].copy(), cells[2].copy()
    for step in range(first, stop):
        fired, out = counts[step], spikes[step - 1]
        for c in range(len(mem)):
            spike = mem[c] >= 1.0  # seen one step later, so never in the last step
            out[c] = spike
            wait[c] = refrac_steps if spike else wait[c]
            syn[c] = syn[c] * keep_syn + fired[c]
            mem[c] = 0.0 if wait[c] > 0.0 else mem[c] * keep_mem + syn[c] * charge
            wait[c] -= 1.0
    cells[0], cells[1], cells[2] = mem, syn, wait


def bushy_spikes(counts: np.ndarray, rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the spikes (times in s, units) of one leaky integrate-and-fire cell per channel.

    Its 40 fibers' currents decay with 0.5 ms, its potential with 1 ms; it rests 1 ms after a spike.
    """
    spikes = np.zeros(counts.shape, dtype=bool)
    cells = np.zeros((3, counts.shape[1]))
    _integrate(counts, 0, len(counts), _bushy(rate_hz), cells, spikes)
    steps, units = np.divmod(np.flatnonzero(spikes), counts.shape[1])
    return steps / rate_hz, units


def _bushy(rate_hz: float) -> tuple[float, float, float, float]:
    dt = 1.0 / rate_hz
    return exp(-dt / TAU_MEM_S), exp(-dt / TAU_SYN_S), WEIGHT * dt, TAU_REFRAC_S * rate_hz


@compiled
def _listen(grid, kernel, settings, first_channel, spikes):
    """All stages from the membrane on for a block of channels, some steps at a time."""
    dt, nerve, bushy = settings
    steps, channels = spikes.shape
    velocity, probability = np.empty((ROWS, grid.shape[1])), np.empty((ROWS, channels))
    counts = np.zeros((steps, channels), np.uint8)
    hair_cells, bushy_cells = _cells_at_rest(channels), np.zeros((3, channels))
    fibers = np.full(channels, float(FIBERS))
    for first in range(0, steps, ROWS):
        stop = min(first + ROWS, steps)
        v, p = velocity[: stop - first], probability[: stop - first]
        read_grid(grid, kernel, steps, first, v)
        _release(v, dt, hair_cells, p)
        _draw(p, first, nerve, (first_channel, CHANNELS), fibers, counts)
        _integrate(counts, first, stop, bushy, bushy_cells, spikes)
