"""The filter bank once more, in Python's own numbers, written from its definition."""

from math import cos, exp, floor, log2, log10, pi, sin

import numpy as np


def center_hz(k, n_channels):
    """Return a channel's center: at equal distances on the ERB scale, from 7 kHz to 100 Hz."""
    high, low = (21.4 * log10(1 + 0.00437 * hz) for hz in (7000, 100))
    distance = (high - low) / (n_channels - 1)
    return (10 ** ((high - k * distance) / 21.4) - 1) / 0.00437, distance


def radius(k, n_channels):
    """Return by how much a channel's resonators shrink in a sample."""
    hz, distance = center_hz(k, n_channels)
    bandwidth = 24.7 * (1 + 0.00437 * hz) * max(1, distance)
    return exp(-pi * bandwidth / 0.644 / 15_625)


def coefficients(k, n_channels, n_samples):
    """Return c, s, g1, g2 and the offset of a channel's level."""
    angle = 2 * pi * center_hz(k, n_channels)[0] / 15_625
    r = radius(k, n_channels)
    e = floor(-log2(2 * sin(angle / 2)))  # |1 - exp(i angle)| = 2 sin(angle / 2)
    floats = (r * cos(angle), r * sin(angle), 2**e * 2 * (1 - r), 2 * (1 - r))
    return *(round(2**15 * each) for each in floats), 16 * (e + 5 + floor(log2(n_samples)))


def towards_zero(product):
    """Divide by 2^15, without the fraction."""
    return abs(product) // 2**15 * (1 if product > 0 else -1)


def sums(samples, k, bank):
    """Return a channel's sum of magnitudes in each step."""
    n = bank.settings.step_samples
    c, s, g1, g2, _ = coefficients(k, bank.n_channels, n)
    u1 = v1 = u2 = v2 = before = 0
    magnitudes = []
    for sample in samples.tolist():
        d = 64 * (sample - before)
        before = sample
        u1, v1 = towards_zero(c * u1 - s * v1 + g1 * d), towards_zero(s * u1 + c * v1)
        u2, v2 = towards_zero(c * u2 - s * v2 + g2 * u1), towards_zero(s * u2 + c * v2)
        smaller, larger = sorted((abs(u2), abs(v2)))
        magnitudes.append(larger + smaller // 2)
    return [sum(magnitudes[i : i + n]) for i in range(0, len(samples) - n + 1, n)]


def level(total, offset):
    """Return a step's level: the logarithm by its leading one, above the quietest level."""
    place = max(total.bit_length() - 1, 0)
    logarithm = 16 * place + (16 * total // 2**place - 16 if total else 0)
    return max(0, min(255, logarithm - offset))


class Encoder:
    """Floors, peak and potentials."""

    def __init__(self, bank):
        self.numbers = bank.settings
        self.floors = [0] * bank.n_channels
        self.potentials = [0] * bank.n_channels
        self.peak = 0

    def events(self, levels):
        """Return which channels have an event, and the excess."""
        found = []
        for k, of_channel in enumerate(levels):
            base = max(self.floors[k] // 16 + 16, self.peak // 16 - 96)
            potential = min(191, self.potentials[k] + max(0, of_channel - base))
            found.append(potential >= 96)
            self.potentials[k] = potential - 96 * found[-1]
        pairs = zip(levels, self.floors, strict=True)
        return found, sum(max(0, of_channel - floor // 16 - 16) for of_channel, floor in pairs)

    def follow(self, levels, is_settling):
        """Let floors and peak follow the levels of a step that ends."""
        for k, of_channel in enumerate(levels):
            up = 16 * of_channel - self.floors[k]
            if is_settling:
                self.floors[k] += up // 2
            elif up > 0:
                self.floors[k] += min(up, self.numbers.rise)
            else:
                self.floors[k] += up // 2**self.numbers.fall_shift
        up = 16 * max(levels) - self.peak
        self.peak += up if is_settling else max(-self.numbers.decay, min(self.numbers.attack, up))


class Detector:
    """Start and end of utterances."""

    def __init__(self, bank):
        self.numbers = bank.settings
        self.settling = self.numbers.settling_steps
        self.excesses = []  # since it may have begun
        self.is_found = False

    def step(self, excess, floors):
        """Return what a step is to an utterance, given the sum of all floors after it."""
        if self.settling:
            self.settling -= 1
            return "idle"
        if not (self.is_found or excess >= self.numbers.on):
            self.excesses = []
            return "idle"
        self.excesses.append(excess)
        if len(self.excesses) == 1:
            self.floors_before = floors
        if not self.is_found:
            self.is_found = len(self.excesses) == self.numbers.start_steps
            return "begins" if self.is_found else "idle"
        is_loud = [each >= self.numbers.off for each in self.excesses]
        is_loud[: self.numbers.start_steps] = [True] * self.numbers.start_steps
        pause = is_loud[::-1].index(True)
        is_over = pause == self.numbers.hold_steps
        if not is_over and len(is_loud) < self.numbers.longest_steps:
            return "goes on"
        self.excesses = []
        self.is_found = False
        if not is_over:
            self.settling = self.numbers.settling_steps
        is_short = len(is_loud) - pause < self.numbers.shortest_steps
        is_louder = floors - self.floors_before > self.numbers.most_risen
        return "is dropped" if not is_over or is_short or is_louder else "ends"


def run(samples, bank):
    """Return levels, events and status of each step, as `EventStream.advance` does."""
    offsets = bank.constants.offsets.tolist()
    totals = zip(*(sums(samples, k, bank) for k in range(bank.n_channels)), strict=True)
    encoder, detector = Encoder(bank), Detector(bank)
    all_levels, all_events, status = [], [], []
    for of_step in totals:
        levels = [level(total, offset) for total, offset in zip(of_step, offsets, strict=True)]
        is_settling = detector.settling > 0
        events, excess = ([False] * len(levels), 0) if is_settling else encoder.events(levels)
        encoder.follow(levels, is_settling)
        all_levels.append(levels)
        all_events.append(events)
        status.append(detector.step(excess, sum(encoder.floors)))
    names = ["idle", "begins", "goes on", "ends", "is dropped"]
    return np.array(all_levels), np.array(all_events), np.array([*map(names.index, status)])
