"""Sound to spikes: the inner-ear model that made the Spiking Heidelberg Digits, compiled.

The model is the one of Cramer et al. (2020), whose reference implementation is ``lauscher``:

    wave -> normalise -> fade -> basilar membrane -> hair cells -> auditory nerve -> bushy cells

Only the auditory nerve is random, so every other stage can be compared with the reference number
by number. Arrays have time first: (steps, 700), at half the sampling rate of the wave.
"""

from math import ceil, exp

import numpy as np

from shd_helpers.source.basilar_membrane import compiled, membrane_velocity

MIN_DURATION_S, MAX_DURATION_S = 0.01, 5.0  # of a word
# With these, the spikes of the Heidelberg Digits are as like the published ones as two draws are.
RMS, RAMP_MS = 0.32, 30.0
# Nerve fibres and bushy cells (Cramer et al. 2020)
FIBRES = 40
TAU_MEM_S, TAU_SYN_S, TAU_REFRAC_S, WEIGHT = 1e-3, 5e-4, 1e-3, 13e3 / FIBRES


def encode(
    wave: np.ndarray, rate_hz: int, seed: int, ramp_ms: float | None = RAMP_MS, rms: float = RMS
) -> tuple[np.ndarray, np.ndarray]:
    """Turn one sound into the spikes of 700 bushy cells.

    Parameters
    ----------
    wave : (samples,) array
        Mono sound; its level does not matter.
    rate_hz : int
        Sampling rate of the wave. From 24 kHz on: at lower rates the hair cell's step is too long
        and it fires too often (at 8 kHz by 57 %), so resample such a wave to 48 kHz first.
    seed : int
        Seed of the nerve fibres; the result depends on it, not on the number of threads.
    ramp_ms : float or None
        Duration of the fade in and out. SHD has 30 ms; None fades over the whole track, which is
        what ``lauscher`` does unless told otherwise.
    rms : float
        Root mean square that the wave is scaled to before it is faded.

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
    duration_s = len(wave) / rate_hz
    if not MIN_DURATION_S <= duration_s <= MAX_DURATION_S:
        raise ValueError(
            f"{len(wave)} samples, {duration_s:.3g} s; a word takes {MIN_DURATION_S:g} to "
            f"{MAX_DURATION_S:g} s: cut longer sounds into words"
        )
    velocity = membrane_velocity(fade(normalise(wave, rms), rate_hz, ramp_ms), rate_hz)
    step_hz = rate_hz // 2
    return bushy_spikes(nerve_spikes(firing_probability(velocity, step_hz), step_hz, seed), step_hz)


def normalise(wave: np.ndarray, rms: float = RMS) -> np.ndarray:
    """Scale a wave to a root mean square; ValueError if that can't be done."""
    wave = np.asarray(wave, dtype=float)
    power = np.mean(wave**2) if len(wave) else 0.0
    if not np.isfinite(power):
        raise ValueError("the wave holds values that are not finite")
    if power == 0:
        raise ValueError("the wave is silent" if len(wave) else "the wave has 0 samples")
    return wave * (rms / np.sqrt(power))


def fade(wave: np.ndarray, rate_hz: int, ramp_ms: float | None = RAMP_MS) -> np.ndarray:
    """Fade a wave in and out with halves of a Hann window.

    Each takes ``ramp_ms``, or half the track if that is shorter or ``ramp_ms`` is None (the middle
    sample of an odd number stays).
    """
    half = len(wave) // 2
    samples = half if ramp_ms is None else min(round(ramp_ms / 1000 * rate_hz), half)
    ramp = np.hanning(2 * samples)[:samples]
    return wave * np.concatenate([ramp, np.ones(len(wave) - 2 * samples), ramp[::-1]])


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
