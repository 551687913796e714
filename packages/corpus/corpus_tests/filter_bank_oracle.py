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


def sums(samples, n_channels, n_samples):
    """Return the sum of magnitudes of each step and channel, a list of lists."""
    by_channel = []
    for k in range(n_channels):
        c, s, g1, g2, _ = coefficients(k, n_channels, n_samples)
        u1 = v1 = u2 = v2 = before = total = 0
        of_steps = []
        for i, sample in enumerate(int(x) for x in samples):
            d = 64 * (sample - before)
            before = sample
            u1, v1 = towards_zero(c * u1 - s * v1 + g1 * d), towards_zero(s * u1 + c * v1)
            u2, v2 = towards_zero(c * u2 - s * v2 + g2 * u1), towards_zero(s * u2 + c * v2)
            smaller, larger = sorted((abs(u2), abs(v2)))
            total += larger + smaller // 2
            if (i + 1) % n_samples == 0:
                of_steps.append(total)
                total = 0
        by_channel.append(of_steps)
    return [list(step) for step in zip(*by_channel, strict=True)]


def level(total, offset):
    """Return a step's level: the logarithm by its leading one, above the quietest level."""
    place = max(total.bit_length() - 1, 0)
    logarithm = 16 * place + (16 * total // 2**place - 16 if total else 0)
    return max(0, min(255, logarithm - offset))


class Background:
    """Floors and peak, in 1/16 units."""

    def __init__(self, bank):
        self.floors = [0] * bank.n_channels
        self.peak = 0
        self.bank = bank

    def follow(self, levels, is_settling):
        """End a step with these levels."""
        numbers = self.bank.settings
        for k, of_channel in enumerate(levels):
            up = 16 * of_channel - self.floors[k]
            if is_settling:
                self.floors[k] += up // 2
            else:
                self.floors[k] += min(up, numbers.rise) if up > 0 else up // 2**numbers.fall_shift
        up = 16 * max(levels) - self.peak
        self.peak += up if is_settling else max(-numbers.decay, min(numbers.attack, up))


def run(samples, bank):
    """Return levels, events and status of each step, as `EventStream.advance` does."""
    numbers = bank.settings
    offsets = [
        coefficients(k, bank.n_channels, numbers.step_samples)[-1] for k in range(bank.n_channels)
    ]
    background = Background(bank)
    potentials = [0] * bank.n_channels
    settling = numbers.settling_steps
    excesses = []  # of the steps in which an utterance may begin
    found = None  # the number of floors before an utterance, and the excesses since it began
    all_levels, all_events, status = [], [], []
    for totals in sums(samples, bank.n_channels, numbers.step_samples):
        levels = [level(total, offset) for total, offset in zip(totals, offsets, strict=True)]
        events = [False] * bank.n_channels
        excess = 0
        for k in range(bank.n_channels):
            if not settling:
                above = levels[k] - background.floors[k] // 16 - 16
                base = max(background.floors[k] // 16 + 16, background.peak // 16 - 96)
                excess += max(0, above)
                potentials[k] = min(191, potentials[k] + max(0, levels[k] - base))
                events[k] = potentials[k] >= 96
                potentials[k] -= 96 * events[k]
        background.follow(levels, settling > 0)
        all_levels.append(levels)
        all_events.append(events)
        risen = sum(background.floors)
        if settling:
            settling -= 1
            status.append("idle")
        elif found is None:
            excesses = [*excesses, excess] if excess >= numbers.on else []
            if len(excesses) == 1:
                floors_before = risen
            is_start = len(excesses) == numbers.start_steps
            found = (floors_before, excesses) if is_start else None
            status.append("begins" if is_start else "idle")
            excesses = [] if is_start else excesses
        else:
            found[1].append(excess)
            pause = 0
            for each in found[1][numbers.start_steps:]:
                pause = 0 if each >= numbers.off else pause + 1
            if pause == numbers.hold_steps:
                is_short = len(found[1]) - pause < numbers.shortest_steps
                is_louder = risen - found[0] > numbers.most_risen
                status.append("is dropped" if is_short or is_louder else "ends")
                found = None
            elif len(found[1]) == numbers.longest_steps:
                status.append("is dropped")
                settling = numbers.settling_steps
                found = None
            else:
                status.append("goes on")
    names = ["idle", "begins", "goes on", "ends", "is dropped"]
    return np.array(all_levels), np.array(all_events), np.array([*map(names.index, status)])
