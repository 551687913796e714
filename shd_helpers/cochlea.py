"""Sound to spikes: the inner-ear model that made the Spiking Heidelberg Digits, compiled.

The model is the one of Cramer et al. (2020), whose reference implementation is ``lauscher``:

    wave -> normalise -> fade -> basilar membrane -> hair cells -> auditory nerve -> bushy cells

Only the auditory nerve is random, so every other stage can be compared with the reference number
by number. As there, the membrane is computed from the positive frequencies alone, which halves
the sampling rate: a wave of ``n`` samples becomes ``n // 2 + 1`` steps.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from math import ceil, exp
from threading import Lock

import numba
import numpy as np
import scipy.fft
from scipy.special import hankel1, hankel2

CHANNELS = 700
FIBRES = 40
SAMPLE_RATE_HZ = 24_000  # of the data sets made here; `encode` takes any
MIN_DURATION_S, MAX_DURATION_S = 0.01, 5.0  # of a word: the fade spans the whole track

# Basilar membrane of Sieroka, Dosch and Rupp (2006), cgs units; place x from base to apex.
STIFFNESS, STIFFNESS_OFFSET, STIFFNESS_DECAY, MASS = 1e9, 3500.0, 3.0, 0.05
DAMPING = 0.15 * (STIFFNESS * MASS) ** 0.5
FLUID_DENSITY, DUCT_HEIGHT, LENGTH_CM = 1.0, 0.1, 3.5

# Where the response is tabulated: up to 4 x resonance, 1e-8 of the peak is left.
TABLE_POINTS, TABLE_TOP = 2500, 4.0


# Time constants of the nerve fibres and bushy cells (Cramer et al. 2020).
TAU_MEM_S, TAU_SYN_S, TAU_REFRAC_S, WEIGHT = 1e-3, 5e-4, 1e-3, 13e3 / FIBRES


# Without the lock of Python, so that threads can encode side by side; Python's check for a division
# by zero would keep the loops from using vector instructions.
compiled = numba.njit(nogil=True, cache=True, error_model="numpy")


def encode(wave: np.ndarray, sample_rate_hz: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Turn one sound into the spikes of 700 bushy cells.

    Parameters
    ----------
    wave : (samples,) array
        Mono sound; its level does not matter.
    sample_rate_hz : int
        Sampling rate of the wave.
    seed : int
        Seed of the nerve fibres; the result depends on it, not on the number of threads.

    Returns
    -------
    times : (spikes,) float array
        Seconds, ascending.
    units : (spikes,) int array
        0 is the base of the cochlea (highest frequency), 699 the apex.

    Raises
    ------
    ValueError
        If the wave is no finite mono sound, is silent, or is shorter or longer than a word.

    Source: Cramer et al. (2020), arXiv:1910.07407; reference implementation ``lauscher`` 1.0.1.
    """
    wave = np.asarray(wave, dtype=float)
    if wave.ndim != 1:
        raise ValueError(f"a mono wave has one axis, this one has shape {wave.shape}")
    duration_s = len(wave) / sample_rate_hz
    if not MIN_DURATION_S <= duration_s <= MAX_DURATION_S:
        raise ValueError(
            f"{len(wave)} samples, {duration_s:.3g} s; a word takes {MIN_DURATION_S:g} to "
            f"{MAX_DURATION_S:g} s: cut longer sounds into words"
        )
    velocity = membrane_velocity(fade(normalise(wave)), sample_rate_hz)
    rate_hz = sample_rate_hz // 2
    return bushy_spikes(nerve_spikes(firing_probability(velocity, rate_hz), rate_hz, seed), rate_hz)


def normalise(wave: np.ndarray, rms: float = 0.3) -> np.ndarray:
    """Scale a wave to a root mean square of 0.3; ValueError if that can't be done."""
    wave = np.asarray(wave, dtype=float)
    power = np.mean(wave**2) if len(wave) else 0.0
    if not np.isfinite(power):
        raise ValueError("the wave holds values that are not finite")
    if power == 0:
        raise ValueError("the wave is silent" if len(wave) else "the wave has 0 samples")
    return wave * (rms / np.sqrt(power))


def fade(wave: np.ndarray) -> np.ndarray:
    """Apply a Hanning window over the whole track (the middle sample of an odd number stays)."""
    half = len(wave) // 2
    ramp = np.hanning(2 * half)[:half]
    return wave * np.concatenate([ramp, np.ones(len(wave) % 2), ramp[::-1]])


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


@lru_cache(maxsize=2)
def _response_table(top_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """Tabulate every channel from 1 Hz to where nothing is left of its response.

    Evaluating the Hankel functions for each bin of each wave would take longer than all the rest;
    the response is smooth on the scale of the resonance, so some points per channel, interpolated
    by cubics, are exact to 2e-7 of its peak, for waves of any length. Channels 2 j and 2 j + 1
    share their frequencies.
    """
    x = np.linspace(0, LENGTH_CM, CHANNELS)
    tops_hz = np.minimum(TABLE_TOP * resonance_hz()[::2], top_hz)
    omega = 2 * np.pi * np.linspace(1, np.repeat(tops_hz, 2), TABLE_POINTS, axis=-1)
    with ThreadPoolExecutor() as threads:
        table = np.array(list(threads.map(membrane_response, omega, x)))
    return table, tops_hz


@compiled
def _response(row, at):
    """Read a row of the table between its points: the cubic through the four around ``at``."""
    i = min(max(int(at), 1), len(row) - 3)
    f = at - i
    a, b = f * (f - 1) / 6, (f + 1) * (f - 2) / 2
    outer = (f + 1) * a * row[i + 2] - (f - 2) * a * row[i - 1]
    return outer + (f - 1) * b * row[i] - f * b * row[i + 1]


@compiled
def _respond(spectrum, table, points_per_bin, out):
    """Fill (steps, channels // 2) with the spectrum of channel 2 j plus i times that of 2 j + 1.

    The velocity is the real part of the response, so its spectrum is the mean of the response's
    and its mirrored conjugate; two real channels then share one complex Fourier transform.
    """
    for k in range(len(spectrum)):
        here, mirrored = out[k], out[-k]
        for pair in range(len(here)):
            at = k * points_per_bin[pair]
            if at > table.shape[1] - 1 + 1e-6:
                break  # nothing is left here, nor in the channels closer to the apex
            even = spectrum[k] / 2 * _response(table[2 * pair], at)
            odd = spectrum[k] / 2 * _response(table[2 * pair + 1], at)
            here[pair] += complex(even.real - odd.imag, even.imag + odd.real)
            mirrored[pair] += complex(even.real + odd.imag, odd.real - even.imag)


def membrane_velocity(wave: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Return the membrane's velocity, (samples // 2 + 1, 700), at half the sampling rate.

    Source: Sieroka, Dosch and Rupp (2006); the frequency axis from 1 Hz is the reference's.
    """
    top_hz = sample_rate_hz // 2
    spectrum = scipy.fft.rfft(np.asarray(wave, dtype=float))
    with _one_table_at_a_time:
        table, tops_hz = _response_table(top_hz)
    points_per_bin = (top_hz - 1) / (len(spectrum) - 1) / (tops_hz - 1) * (TABLE_POINTS - 1)
    pairs = np.zeros((len(spectrum), CHANNELS // 2), dtype=complex)
    _respond(spectrum, table, points_per_bin, pairs)
    pairs = scipy.fft.ifft(pairs, axis=0, overwrite_x=True)
    return np.ascontiguousarray(pairs).view(float)


@compiled
def _release(velocity, dt, probability):
    a, b, release = 5.0, 300.0, 2000.0
    replenish, loss, reuptake, reprocess, fire = 5.05, 2500.0, 6580.0, 66.3, 50_000.0
    rest = release * a / (a + b)
    cleft_at_rest = replenish * rest / (loss * rest + replenish * (loss + reuptake))
    cleft = np.full(velocity.shape[1], cleft_at_rest)
    free = cleft * (loss + reuptake) / rest
    store = cleft * reuptake / reprocess
    for step in range(len(velocity)):
        speed, out = velocity[step], probability[step]
        for c in range(len(cleft)):
            drive = max(speed[c] + a, 0.0)
            released = release * dt * drive / (drive + b) * free[c]
            made = max(replenish * dt * (1.0 - free[c]), 0.0)
            returned = reprocess * dt * store[c]
            store[c] = max(store[c] + reuptake * dt * cleft[c] - returned, 0.0)
            free[c] = max(free[c] + made - released + returned, 0.0)
            cleft[c] = max(cleft[c] + released - (loss + reuptake) * dt * cleft[c], 0.0)
            out[c] = fire * dt * cleft[c]


def firing_probability(velocity: np.ndarray, rate_hz: float) -> np.ndarray:
    """Return each step's firing probability of a nerve fibre, shaped as the velocity.

    Transmitter moves between the hair cell's free pool, the cleft and a reprocessing store.
    Source: Meddis (1986), J. Acoust. Soc. Am. 79, 702; Meddis (1988), ibid. 83, 1056.
    """
    probability = np.empty_like(velocity)  # by numpy: numba's own large arrays are slow to fill
    _release(velocity, 1.0 / rate_hz, probability)
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
def _draw(probability, blocked_steps, seed, counts):
    steps, channels = probability.shape
    ready = np.full(channels, FIBRES)
    u = np.empty(channels)
    for step in range(steps):
        if step > blocked_steps:
            for c in range(channels):
                ready[c] += counts[step - blocked_steps - 1, c]
        for c in range(channels):
            u[c] = _uniform(seed, np.uint64(step * channels + c))
        for c in range(channels):
            if u[c] >= 1.0 - ready[c] * probability[step, c]:  # at most (1 - p)^n: else none fires
                counts[step, c] = _binomial(ready[c], probability[step, c], u[c])
                ready[c] -= counts[step, c]


def nerve_spikes(probability: np.ndarray, rate_hz: float, seed: int) -> np.ndarray:
    """Draw how many of a channel's 40 fibres fire in each step: uint8, shaped as the probability.

    A fibre that fired within the last 1 ms can't fire. The fibres of a channel are alike, so it is
    enough to count those that are ready: the number that fires is binomial, exactly.
    """
    blocked_steps = ceil(TAU_REFRAC_S * rate_hz) - 1
    counts = np.zeros(probability.shape, dtype=np.uint8)
    _draw(
        probability,
        blocked_steps,
        np.random.SeedSequence(seed).generate_state(1, np.uint64)[0],
        counts,
    )
    return counts


@compiled
def _integrate(counts, keep_mem, keep_syn, charge, refrac_steps, spikes):
    mem, syn, wait = np.zeros((3, counts.shape[1]))
    for step in range(len(counts)):
        fired, out = counts[step], spikes[step - 1]
        for c in range(len(mem)):
            spike = mem[c] >= 1.0  # seen one step later, so never in the last step
            out[c] = spike
            wait[c] = refrac_steps if spike else wait[c]
            syn[c] = syn[c] * keep_syn + fired[c]
            mem[c] = 0.0 if wait[c] > 0.0 else mem[c] * keep_mem + syn[c] * charge
            wait[c] -= 1.0


def bushy_spikes(counts: np.ndarray, rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the spikes (times in s, units) of one leaky integrate-and-fire cell per channel.

    Its 40 fibres' currents decay with 0.5 ms, its potential with 1 ms; it rests 1 ms after a spike.
    """
    dt = 1.0 / rate_hz
    keep_mem, keep_syn = exp(-dt / TAU_MEM_S), exp(-dt / TAU_SYN_S)
    spikes = np.zeros(counts.shape, dtype=bool)
    _integrate(counts, keep_mem, keep_syn, WEIGHT * dt, TAU_REFRAC_S * rate_hz, spikes)
    steps, units = np.divmod(np.flatnonzero(spikes), counts.shape[1])
    return steps / rate_hz, units
