"""Count what the listener accepts in an hour of each of `KINDS`, sounds without a digit.

``python applications/circuit/circuit_tests/false_accepts.py`` gives them to the C program, and
writes ``results/listener_false_accepts.csv``.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from listened import answers_of_c, c_program
from scipy.stats import chi2

from shd_circuit import say
from shd_corpus.filter_bank.bank import RATE_HZ, to_samples
from shd_corpus.speech import SPEECH_RATE_HZ, synthesize
from shd_helpers.command import run
from shd_helpers.paths import results_dir

# Neither these words nor these voices trained a network. The first are the words of Speech Commands
# that are no digits (Warden 2018), the second ones sound like digits.
WORDS = (
    *("bed", "bird", "cat", "dog", "down", "go", "happy", "house", "left", "marvin"),
    *("no", "off", "on", "right", "sheila", "stop", "tree", "up", "wow", "yes"),
)
NEAR_WORDS = (
    *("free", "thread", "heaven", "sever", "fine", "dine", "nigh", "hero", "zorro", "tooth"),
    *("toot", "won't", "wonder", "sieve", "sick", "sits", "fife", "fives", "fort", "ford", "ape"),
    "aid",
)
VOICES = (
    *("en-us+m3", "en-us+f2", "en+m2", "en-us-nyc+Annie", "en-gb-x-rp+m7", "en-gb-scotland+linda"),
    *("en-gb-scotland+m4", "en-gb-x-gbclan+f4", "en-029+m5", "en-gb-x-rp+f5", "en-us-nyc+m8"),
    "en-gb-x-gbcwmd+steph",
)


def noise(rng, n, slope=0.0):
    """Return noise whose amplitude falls with a power of the frequency, from 20 Hz on."""
    hz = np.maximum(np.fft.rfftfreq(n, 1 / RATE_HZ), 20)
    wave = np.fft.irfft(np.fft.rfft(rng.standard_normal(n)) * hz**-slope, n)
    return 0.02 * wave / wave.std()


def hum_and_clicks(rng, n):
    """Return hum of the mains, and two clicks of one sample in a second, of any height."""
    angle = 2 * np.pi * 50 * np.arange(n) / RATE_HZ
    clicks = rng.uniform(-1, 1, n) * (rng.random(n) < 2 / RATE_HZ)
    return sum(0.02 / k * np.sin(k * angle) for k in range(1, 9)) + clicks


def steps_of_level(rng, n):
    """Return pink noise whose level jumps within 30 dB, 0.05 to 3 s apart."""
    lengths = rng.integers(RATE_HZ // 20, 3 * RATE_HZ, 20 + 2 * n // RATE_HZ)
    return noise(rng, n, 0.5) * np.repeat(10 ** rng.uniform(-1, 0.5, len(lengths)), lengths)[:n]


def speech(rng, n, words):
    """Return words at any level within 20 dB, with pauses of 0.3 to 1.5 s."""
    parts = []
    while sum(map(len, parts)) < n:
        rate_and_pitch = rng.integers([130, 30], [220, 70]).tolist()
        wave = synthesize(rng.choice(words), rng.choice(VOICES), *rate_and_pitch)
        parts.append(np.zeros(round(rng.uniform(0.3, 1.5) * RATE_HZ)))
        parts.append(10 ** rng.uniform(-1.3, -0.3) * to_samples(wave, SPEECH_RATE_HZ) / 2**15)
    return np.concatenate(parts)[:n]


KINDS = {
    "white noise": noise,
    "pink noise": lambda rng, n: noise(rng, n, 0.5),
    "brown noise": lambda rng, n: noise(rng, n, 1),
    "hum and clicks": hum_and_clicks,
    "noise with steps of level": steps_of_level,
    "words": lambda rng, n: speech(rng, n, WORDS),
    "words like digits": lambda rng, n: speech(rng, n, NEAR_WORDS),
    "babble of four voices": lambda rng, n: sum(speech(rng, n, WORDS) for _ in range(4)) / 2,
}


def sound(kind, seconds, seed):
    """Return samples of a sound, with a microphone's noise."""
    rng = np.random.default_rng([seed, [*KINDS].index(kind)])
    wave = KINDS[kind](rng, seconds * RATE_HZ)
    return to_samples(wave + 1e-3 * rng.standard_normal(len(wave)), RATE_HZ)


def counted(program, samples):
    """Return how many utterances the program reports, and how many it accepts."""
    answers = answers_of_c(program, samples)
    return len(answers), sum(answer[-1] for answer in answers)


def main():
    """Write the table. `low` and `high` bound the rate of a Poisson process (95 %)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    with tempfile.TemporaryDirectory() as folder:
        program = c_program(say.load(say.NETWORK, "english"), Path(folder))
        rows = [[kind, 60, *counted(program, sound(kind, 3600, seed))] for kind in KINDS]
    table = pd.DataFrame(rows, columns=["kind", "minutes", "utterances", "accepted"])
    table = table.assign(
        accepted_per_hour=table.accepted * 60 / table.minutes,
        low=chi2.ppf(0.025, 2 * table.accepted) / 2 * 60 / table.minutes,
        high=chi2.ppf(0.975, 2 * table.accepted + 2) / 2 * 60 / table.minutes,
    )
    table.fillna(0).round(2).to_csv(results_dir() / "listener_false_accepts.csv", index=False)


if __name__ == "__main__":
    run(main)
