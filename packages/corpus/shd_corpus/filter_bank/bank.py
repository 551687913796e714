r"""The filter bank: the definition of an encoder in whole numbers, from samples to events.

It is causal: a step's events depend on the samples up to the end of this step alone. All registers
are whole numbers. >> shifts right and rounds down, tr(v) = v / 2^15 rounds towards zero.

**Samples** are 16-bit, at 15,625 Hz. A circuit with a clock of 12 MHz has 768 cycles for each, and
a microphone's I2S interface, with 64 bits for each, gets a clock of exactly 1 MHz. 16 kHz would
need 750 cycles, which isn't a multiple of 64. `to_samples` resamples recordings. A step has N = 47
samples (3.008 ms) or N = 156 (9.984 ms).

**Filters.** The first difference d[t] = 64 (x[t] - x[t-1]) removes an offset entirely, and
emphasizes high frequencies as speech needs it. Channel k has two resonators in a row. Each has a
state (u, v), which every sample turns by an angle and shrinks:

    u1 <- tr(c u1 - s v1 + g1 d)    v1 <- tr(s u1 + c v1)    with u1 and v1 of the sample before
    u2 <- tr(c u2 - s v2 + g2 u1)   v2 <- tr(s u2 + c v2)    with the new u1, the old u2 and v2

With f the channel's center frequency, b its bandwidth and r = exp(-pi b / (0.644 * 15625)), all in
double precision, once, and rounded to whole numbers:

    c = 2^15 r cos(2 pi f / 15625)    g1 = 2^15 2^e 2 (1 - r)
    s = 2^15 r sin(2 pi f / 15625)    g2 = 2^15 2 (1 - r)

The centers are at equal distances on the scale of equivalent rectangular bandwidths (ERB), from 7
kHz, channel 0, down to 100 Hz. The bandwidth is that of the ear, 24.7 (1 + 0.00437 f), or where
there are fewer channels that times the distance of two centers on the scale, so that no gaps are
between them. 0.644 is the bandwidth of two equal resonators in a row, relative to that of one. e is
the largest whole number with 2^e |1 - exp(2 pi i f / 15625)| <= 1. So low channels, of which the
difference leaves little, have a state as large as that of high ones.

**Levels.** A step's sum S adds up N magnitudes max(|u2|, |v2|) + (min(|u2|, |v2|) >> 1). With p the
place of its leading one, log(S) = 16 p + the four bits behind it; log(0) = 0. The level is log(S) -
16 (e + 5 + floor(log2 N)), at least 0 and at most 255. A unit is 1/16 of an octave, 0.38 dB.

**Floor and peak** follow the levels, in 1/16 units: F of each channel, and P of all. With the level
L, or the highest one M, a step ends with

    F <- F + min(16 L - F, rise) if 16 L >= F, else F + ((16 L - F) >> fall_shift)
    P <- P + min(max(16 M - P, -decay), attack)

**Events.** From F and P of the step before, base = max((F >> 4) + 16, (P >> 4) - 96). A channel's
potential becomes V <- min(V + max(L - base, 0), 191). If it is 96 or more, the channel has an
event, and V is reduced by 96. P rises by at most `attack`, so a click doesn't silence what follows.

**Start and end.** The excess E is the sum over channels of max(L - (F >> 4) - 16, 0), with F of the
step before. An utterance begins when E >= on in all steps of 12 ms, and the 51 ms before them
belong to it. It ends when E < off in all steps of 150 ms. It is dropped if less than 90 ms come
before this pause, or if the sum of all F has risen by more than `most_risen` since its first step:
then the background has become louder, and nothing was said. It is dropped, too, when it takes 1.2
s. Then the floors settle anew. An utterance in which the stream ends is reported if it is long
enough.

**Settling.** In the first 48 ms, and after an utterance that took too long, a step ends with F <- F
+ ((16 L - F) >> 1) and P <- 16 M. V stays as it is, no channel has an event, and no utterance
begins.

`Settings` has the numbers that are named here, and the times in steps. At 3 ms, a floor falls by a
quarter of its distance (fall_shift is 2), and rises by 4/16 units in a step, which is 31 dB in a
second. The peak rises by 96/16 and falls by 2/16. on is 12 units for each channel, off 8, and
most_risen 28. They were chosen on people of Speech
Commands who train or validate.

**Word lengths**, for all numbers of channels and both lengths of a step. The bound of a state is
the sum of the magnitudes of its impulse response, from x, times 2^15, plus what rounding adds: each
tr changes (u, v) by less than sqrt(2), and the resonator shrinks that as it does its input, so it
adds less than sqrt(2) / (1 - r) in all. In the second resonator, that of u1 is added, times g2 / (1
- r). A test computes the bounds from the constants and drives states to more than 97 % of them.

    x          16, signed    S          31    N times the largest magnitude
    d          23, signed    log(S)      9    16 * 30 + 15 at most
    c, s       16, signed    L           8    by definition
    g1, g2     15            F, P       12    16 * 255 at most, because they never pass 16 L
    products   41, signed    V           8    191 at most, by definition
    u1, v1     24, signed    E          15    (255 - 16) n_channels at most
    u2, v2     24, signed    sum of F   19    16 * 255 n_channels at most

**Silence.** Without input, (u, v) turns and shrinks, because c^2 + s^2 < 2^30, and tr makes no
magnitude larger. So u^2 + v^2, a whole number, becomes smaller with every sample until it is 0.
There are no limit cycles, and an offset of the microphone leaves nothing.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from shd_corpus.filter_bank.kernels import Constants, Settings

RATE_HZ = 15_625
LOWEST_HZ = 100.0
HIGHEST_HZ = 7000.0
CASCADE = 0.644  # the bandwidth of two equal resonators in a row, relative to that of one
ONE = 2**15  # of a coefficient, and full scale of a sample


@dataclass(frozen=True)
class FilterBank:
    """A filter bank with its coefficients; the module's docstring defines what it computes.

    Parameters
    ----------
    n_channels : int
        16 to 128. The study has 77, 48, 30 and 16.
    step_ms : int
        About how long a step takes, 2 to 12 ms. The study has 3 and 10.

    Raises
    ------
    ValueError
        If the bounds of the word lengths don't hold for these numbers.
    """

    n_channels: int = 77
    step_ms: int = 3

    def __post_init__(self) -> None:
        """Refuse what the bounds don't hold for."""
        if not (16 <= self.n_channels <= 128 and 2 <= self.step_ms <= 12):
            raise ValueError(
                f"{self.n_channels} channels and steps of {self.step_ms} ms: a filter bank has 16 "
                "to 128 channels and steps of 2 to 12 ms"
            )

    @cached_property
    def settings(self) -> Settings:
        """Return the numbers that all channels share."""
        n = round(self.step_ms * RATE_HZ / 1000)

        def steps(ms: float) -> int:
            return max(1, round(ms * RATE_HZ / 1000 / n))

        return Settings(
            step_samples=n,
            margin=16,
            span=96,
            threshold=96,
            fall_shift=2 if self.step_ms < 6 else 1,
            rise=round(4 * n / 47),
            attack=round(96 * n / 47),
            decay=round(2 * n / 47),
            on=12 * self.n_channels,
            off=8 * self.n_channels,
            most_risen=448 * self.n_channels,
            start_steps=steps(12),
            replay_steps=steps(51),
            hold_steps=steps(150),
            shortest_steps=steps(90),
            longest_steps=steps(1200),
            settling_steps=steps(48),
        )

    @cached_property
    def centers_hz(self) -> np.ndarray:
        """Return the center frequency of each channel, (channels,), descending."""
        highest, lowest = 21.4 * np.log10(1 + 0.00437 * np.array([HIGHEST_HZ, LOWEST_HZ]))
        return (10 ** (np.linspace(highest, lowest, self.n_channels) / 21.4) - 1) / 0.00437

    @cached_property
    def constants(self) -> Constants:
        """Return the numbers of each channel."""
        numbers = 21.4 * np.log10(1 + 0.00437 * self.centers_hz)
        distance = max(1.0, numbers[0] - numbers[1])
        bandwidth = 24.7 * (1 + 0.00437 * self.centers_hz) * distance / CASCADE
        pole = np.exp(np.pi / RATE_HZ * (2j * self.centers_hz - bandwidth))
        scale = np.floor(-np.log2(np.abs(1 - np.exp(2j * np.pi * self.centers_hz / RATE_HZ))))
        gain = 2 * (1 - np.abs(pole))
        quietest = 5 + self.settings.step_samples.bit_length() - 1
        coefficients = ONE * np.array([pole.real, pole.imag, gain * 2**scale, gain])
        rows = np.rint([*coefficients, 16 * (scale + quietest)]).astype(np.int32)
        return Constants(*rows)

    def c_header(self) -> str:
        """Return filter_bank_tables.h, the constants that filter_bank.c is compiled with."""
        numbers = {"n_channels": self.n_channels} | self.settings._asdict()
        lines = [f"#define {name.upper()} {value}" for name, value in numbers.items()]
        for name, values in self.constants._asdict().items():
            listed = ", ".join(map(str, values))
            lines.append(f"static const int16_t {name}[N_CHANNELS] = {{{listed}}};")
        return "\n".join(lines) + "\n"


def to_samples(wave: np.ndarray, rate_hz: int) -> np.ndarray:
    """Turn a sound into samples for the filter bank.

    Parameters
    ----------
    wave : (samples,) float array
        Mono, of full scale 1.
    rate_hz : int
        Its sampling rate. From 16 kHz, the sound is interpolated by 125 / 128.

    Returns
    -------
    (samples,) int16 array
        At 15,625 Hz. What exceeds full scale is clipped.
    """
    from scipy.signal import resample_poly  # takes 1.4 s to import

    ratio = Fraction(RATE_HZ, rate_hz)
    resampled = resample_poly(np.asarray(wave, float), ratio.numerator, ratio.denominator)
    return np.clip(np.rint(ONE * resampled), -ONE, ONE - 1).astype(np.int16)
