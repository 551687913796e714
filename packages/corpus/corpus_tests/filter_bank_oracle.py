"""The filter bank once more, in Python's own numbers, written from its definition."""

from math import cos, exp, floor, log2, log10, pi, sin

import numpy as np

STATUS = ["idle", "begins", "goes on", "ends", "is dropped"]


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


class Detector:
    """Start and end of utterances."""

    def __init__(self, bank):
        self.numbers = bank.settings
        self.settling = self.numbers.settling_steps
        self.is_loud = []  # each step since an utterance may have begun
        self.floors_before = 0

    def step(self, excess, floors):
        """Return what a step is to an utterance, given the sum of all floors after it."""
        numbers = self.numbers
        before = len(self.is_loud)
        is_found = before >= numbers.start_steps
        if self.settling or not (is_found or excess >= numbers.on):
            self.settling = max(0, self.settling - 1)
            self.is_loud = []
            return "idle"
        self.floors_before = self.floors_before if before else floors
        self.is_loud.append(not is_found or excess >= numbers.off)
        length = before + 1
        if not is_found:
            return "begins" if length == numbers.start_steps else "idle"
        pause = self.is_loud[::-1].index(True)
        is_over = pause == numbers.hold_steps
        if not is_over and length < numbers.longest_steps:
            return "goes on"
        self.is_loud = []
        self.settling = 0 if is_over else numbers.settling_steps
        is_short = length - pause < numbers.shortest_steps
        is_louder = floors - self.floors_before > numbers.most_risen
        return "is dropped" if not is_over or is_short or is_louder else "ends"


def run(samples, bank):
    """Return levels, events and status of each step, as `EventStream.advance` does."""
    numbers, offsets = bank.settings, bank.constants.offsets.tolist()
    totals = zip(*(sums(samples, k, bank) for k in range(bank.n_channels)), strict=True)
    floors, potentials = np.zeros((2, bank.n_channels), int)
    peak = 0
    detector = Detector(bank)
    rows = []
    for of_step in totals:
        levels = np.array([level(*each) for each in zip(of_step, offsets, strict=True)])
        above_floors = levels - floors // 16 - 16
        drive = np.maximum(np.minimum(above_floors, levels - (peak // 16 - 96)), 0)
        up = 16 * levels - floors
        if detector.settling:
            events = np.zeros(len(levels), bool)
            floors += up // 2
            peak = 16 * levels.max()
        else:
            potentials = np.minimum(potentials + drive, 191)
            events = potentials >= 96
            potentials = potentials - 96 * events
            floors += np.where(up > 0, np.minimum(up, numbers.rise), up // 2**numbers.fall_shift)
            peak += np.clip(16 * levels.max() - peak, -numbers.decay, numbers.attack)
        status = detector.step(np.maximum(above_floors, 0).sum(), floors.sum())
        rows.append((levels, events, STATUS.index(status)))
    return [np.array(column) for column in zip(*rows, strict=True)]
