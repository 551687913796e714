"""Count what the listener's C program answers to unseen people.

``python applications/circuit/circuit_tests/people.py FOLDER`` lets it hear each recording of Speech
Commands by a test person between noise as loud as its quietest 10 ms, 0.4 to 1 s on each side:

alone      from a fresh start on for each recording
in stream  all recordings of a person one behind the other, in random order, so that the level of
           the noise jumps; with a click in each pause, and with a constant offset

FOLDER has the folders zero to nine. It writes ``results/listener_people.csv``, two rows for each
person. A recording's answers are those to utterances that end in it, or within 0.6 s after it. It
is *missed* if there is none, *cut* if there are several, and *right* if there is one, and that is
its digit. `surest_right`: likewise, but of several answers the surest one counts, and *other* is no
answer. `elsewhere`: answers that belong to no recording.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from listened import answers_of_c, c_program
from tqdm import tqdm

from shd_circuit import say
from shd_corpus.filter_bank import EventStream, FilterBank, to_samples
from shd_corpus.filter_bank.bank import RATE_HZ
from shd_corpus.levels import background
from shd_corpus.sound_file import read_sound
from shd_corpus.speech_commands import person_of, read_manifest, role_of
from shd_helpers.command import run
from shd_helpers.paths import results_dir

LATE = round(0.6 * RATE_HZ)  # samples after a recording in which its answer may come


def stream_of(paths, rng, *, is_rough):
    """Return the samples of a stream, and where each recording begins and ends."""
    parts, bounds, n = [], [], 0
    offset = rng.uniform(-0.05, 0.05) * is_rough
    for path in paths:
        wave, rate_hz = read_sound(path, longest_s=2)
        wave = wave - wave.mean()
        before, behind = (rng.uniform(0.4, 1, 2) * rate_hz).astype(int)
        around = background(wave, rate_hz, before + behind, int(rng.integers(2**31)))
        around[rng.integers(before // 2)] += rng.uniform(-0.5, 0.5) * is_rough  # a click
        whole = np.concatenate([around[:before], wave, around[before:]])
        parts.append(to_samples(np.clip(whole + offset, -1, 1), rate_hz))
        begin = n + round(before * RATE_HZ / rate_hz)
        bounds.append((begin, begin + round(len(wave) * RATE_HZ / rate_hz) + LATE))
        n += len(parts[-1])
    return np.concatenate(parts), np.array(bounds)


def answered(program, samples):
    """Return the answers of C, and in which sample each utterance ends."""
    stream = EventStream(bank := FilterBank())
    found = stream.process(samples) + stream.flush()
    answers = answers_of_c(program, samples)
    if len(answers) != len(found):
        raise RuntimeError("C finds other utterances than Python")
    ends = np.array([each.first_step + each.n_steps for each in found], int)
    return answers, ends * bank.settings.step_samples


def counted(digits, bounds, answers, ends):
    """Return what became of the recordings of a stream."""
    names = ("missed", "cut", "right", "surest_right", "accepted", "accepted_right")
    row = dict.fromkeys(names, 0)
    is_in = (ends >= bounds[:, :1]) & (ends < bounds[:, 1:])
    for digit, is_its in zip(digits, is_in, strict=True):
        its = [answer for answer, each in zip(answers, is_its, strict=True) if each]
        row["missed"] += not its
        row["cut"] += len(its) > 1
        if its:
            answer, *scores, _, is_accepted = max(its, key=lambda answer: answer[-2])
            row["surest_right"] += np.argmax(scores[:10]) == digit
            row["right"] += len(its) == 1 and answer == digit
            row["accepted"] += is_accepted
            row["accepted_right"] += is_accepted and answer == digit
    return {"recordings": len(digits), **row, "elsewhere": (~is_in.any(axis=0)).sum()}


def heard(program, paths, classes, seed):
    """Return what became of a person's recordings, alone and in a stream."""
    rng = np.random.default_rng(seed)
    paths = rng.permutation(paths)
    digits = [classes.index(path.parent.name) for path in paths]
    alone = []
    for path, digit in zip(paths, digits, strict=True):
        samples, bounds = stream_of([path], rng, is_rough=False)
        alone.append(counted([digit], bounds, *answered(program, samples)))
    samples, bounds = stream_of(paths, rng, is_rough=True)
    in_stream = counted(digits, bounds, *answered(program, samples))
    return [{"heard": "alone", **pd.DataFrame(alone).sum()}, {"heard": "in stream", **in_stream}]


def main():
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--role", choices=["training", "validation", "test"], default="test")
    parser.add_argument("--table", type=Path, default=results_dir() / "listener_people.csv")
    given = parser.parse_args()
    trained = say.load(say.NETWORK, "english")
    names = pd.Series([n for n in read_manifest() if role_of(person_of(n)) == given.role])
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        program = c_program(trained, Path(folder))
        for i, (person, its) in enumerate(tqdm(names.groupby(names.map(person_of)))):
            paths = [given.folder / name for name in its]
            person_rows = heard(program, paths, trained.class_names, [0, i])
            rows += [{"person": person, **row} for row in person_rows]
    pd.DataFrame(rows).to_csv(given.table, index=False)


if __name__ == "__main__":
    run(main)
