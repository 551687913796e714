"""Sounds that people who train said, heard anew: at another speed, microphone, room, noise, level.

``python -m evidence.changed_sounds COMMANDS HD`` cuts the utterances out of the recordings by
people of `commands` who train and of `hd`, once, and makes draws of all of them and of sounds that
are no digit (`evidence.others`). In a draw each sound is changed by random numbers of its own and
put into a stream of noise. What the filter bank finds there is the utterance. Where it finds none,
all events from the sound's begin are.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq
from scipy.signal import resample_poly
from tqdm import tqdm

from evidence.others import makers_of_training
from shd_corpus.class_names import LANGUAGES
from shd_corpus.filter_bank import EventStream, FilterBank
from shd_corpus.filter_bank.bank import ONE
from shd_corpus.filter_bank.bank import RATE_HZ as BANK_RATE_HZ
from shd_corpus.heidelberg import NAME
from shd_corpus.microphone import LONGEST_FILE_S, find_utterance
from shd_corpus.recording_list import RecordingError
from shd_corpus.sound_file import read_sound
from shd_corpus.speech_commands import person_of, read_manifest, role_of
from shd_helpers.command import run as run_command
from shd_helpers.paths import runs_dir

N_DRAWS = 6
RATE_HZ = 16_000
AROUND_S = (0.15, 0.15)  # of the recording, before and behind an utterance
NOISE_S = (0.45, 0.2)  # of the stream, before and behind a sound
TAIL_S = 0.2  # of a room
Rng = np.random.Generator
Events = tuple[np.ndarray, np.ndarray]  # steps and channels of an utterance


class Sounds(NamedTuple):
    """Utterances at `RATE_HZ`, one behind the other."""

    samples: np.ndarray  # (samples,) int16
    offsets: np.ndarray  # (utterances + 1,)
    labels: np.ndarray  # (utterances,) of the 20 digits
    speakers: np.ndarray  # (utterances,) as texts

    def sound(self, i: int) -> np.ndarray:
        """Return an utterance as (samples,) floats."""
        return self.samples[self.offsets[i] : self.offsets[i + 1]] / ONE


def folder() -> Path:
    """Return where sounds and draws are."""
    return runs_dir() / "changed_sounds"


def cut(path: Path) -> np.ndarray | None:
    """Return an utterance with what surrounds it, as int16 of peak 0.9; None if none is found."""
    wave, rate_hz = read_sound(path, LONGEST_FILE_S)
    if rate_hz != RATE_HZ:
        wave = resample_poly(wave, RATE_HZ, rate_hz)
    wave = wave - wave.mean()
    try:
        first, stop = find_utterance(wave, RATE_HZ)
    except RecordingError:
        return None
    before, behind = (round(seconds * RATE_HZ) for seconds in AROUND_S)
    wave = wave[max(0, first - before) : stop + behind]
    return np.rint(0.9 * ONE * wave / np.abs(wave).max()).astype(np.int16)


def recordings(commands: Path, hd: Path) -> Iterator[tuple[Path, str, str]]:
    """Yield path, digit and speaker of each recording that trains."""
    for name in read_manifest():
        if role_of(person_of(name)) == "training":
            yield commands / name, name.partition("/")[0], person_of(name)
    for path in sorted(hd.glob("lang-*.flac")):
        language, speaker, digit = NAME.match(path.name).groups()  # type: ignore[union-attr]
        yield path, LANGUAGES[language][int(digit)], f"hd {speaker}"


def prepare(commands: Path, hd: Path) -> None:
    """Cut all utterances out, unless that is done."""
    if (folder() / "sounds.npz").exists():
        return
    listed = list(recordings(commands, hd))
    cuts = joblib.Parallel(-1, return_as="generator")(
        joblib.delayed(cut)(path) for path, _, _ in listed
    )
    kept = [
        (sound, LANGUAGES["both"].index(digit), speaker)
        for sound, (_, digit, speaker) in zip(tqdm(cuts, total=len(listed)), listed, strict=True)
        if sound is not None
    ]
    sounds, labels, speakers = zip(*kept, strict=True)
    folder().mkdir(parents=True, exist_ok=True)
    np.save(folder() / "samples.npy", np.concatenate(sounds))
    np.savez(
        folder() / "sounds.npz",
        offsets=np.cumsum([0, *map(len, sounds)]),
        labels=np.array(labels),
        speakers=np.array(speakers),
    )


def load() -> Sounds:
    """Return the utterances of `prepare`."""
    with np.load(folder() / "sounds.npz") as file:
        samples = np.load(folder() / "samples.npy", mmap_mode="r")
        return Sounds(samples, file["offsets"], file["labels"], file["speakers"])


def voices(sounds: Sounds) -> Sounds:
    """Return the sounds of `commands`, which come first: those of `hd` are in no other sound."""
    n = int(np.char.startswith(sounds.speakers, "hd ").argmax())
    return Sounds(sounds.samples, sounds.offsets[: n + 1], sounds.labels[:n], sounds.speakers[:n])


def color(spectrum: np.ndarray, n: int, rng: Rng) -> np.ndarray:
    """Return a spectrum (frequencies,) as another microphone and perhaps a telephone has it."""
    hz = np.maximum(rfftfreq(n, 1 / RATE_HZ), 50)
    octaves = np.linspace(0, np.log2(160), 6)
    gain = 10 ** (np.interp(np.log2(hz / 50), octaves, rng.normal(0, 4, 6)) / 20)
    if rng.random() < 0.15:
        gain /= np.sqrt((1 + (300 / hz) ** 8) * (1 + (hz / 3400) ** 16))
    return spectrum * gain


def room(rng: Rng) -> np.ndarray:
    """Return the impulse response (samples,) of a random room, whose direct sound is the first."""
    n = round(TAIL_S * RATE_HZ)
    reverberation_s = rng.uniform(0.1, 0.6)
    tail = rng.standard_normal(n) * np.exp(-6.9 * np.arange(n) / RATE_HZ / reverberation_s)
    tail *= 10 ** (-rng.uniform(0, 15) / 20) / np.sqrt((tail**2).sum())
    tail[0] = 1
    return tail


def noise(n: int, rng: Rng, sounds: Sounds) -> np.ndarray:
    """Return noise (n,) of a random color, or what some others say, of standard deviation 1."""
    if rng.random() < 0.25:
        wave = np.zeros(n)
        for i in rng.integers(0, len(sounds.labels), rng.integers(3, 7)):
            voice = np.resize(np.roll(sounds.sound(i), rng.integers(0, 8000)), n)
            wave += voice / voice.std()
    else:
        n_fast = next_fast_len(n, real=True)
        spectrum = rfft(rng.standard_normal(n_fast))
        spectrum[1:] *= np.arange(1, len(spectrum)) ** -rng.uniform(0, 1)
        wave = irfft(spectrum, n_fast)[:n]
    return wave / wave.std()


def changed(sound: np.ndarray, rng: Rng, sounds: Sounds, most_faster: float) -> np.ndarray:
    """Return a sound (samples,) int16 for the filter bank, changed and in a stream of noise."""
    n = next_fast_len(len(sound) + round(TAIL_S * RATE_HZ), real=True)
    spectrum = color(rfft(sound, n), n, rng)
    if rng.random() < 0.3:
        spectrum *= rfft(room(rng), n)
    speed = most_faster ** rng.uniform(-1, 1)
    n_changed = next_fast_len(round(n * BANK_RATE_HZ / RATE_HZ / speed), real=True)
    wave = irfft(spectrum, n_changed) * n_changed / n
    frames = wave[: len(wave) // 156 * 156].reshape(-1, 156)  # of 10 ms
    power, quietest = (frames**2).mean(1).max() + 1e-12, (frames**2).mean(1).min()
    before, behind = (round(seconds * BANK_RATE_HZ) for seconds in NOISE_S)
    around = rng.normal(0, np.sqrt(quietest), before + n_changed + behind)
    around[before : before + n_changed] = wave
    below_db = rng.uniform(5, 30) if rng.random() < 0.5 else rng.uniform(35, 50)
    around += np.sqrt(power) * 10 ** (-below_db / 20) * noise(len(around), rng, sounds)
    peak = 10 ** (rng.uniform(-36, -1) / 20)
    return np.rint((ONE - 1) * peak * around / np.abs(around).max()).astype(np.int16)


def utterance(samples: np.ndarray) -> Events:
    """Return the events of the utterance that the filter bank finds in a stream."""
    stream = EventStream(FilterBank())
    found = stream.process(samples) + stream.flush()
    if found:
        longest = max(found, key=lambda each: len(each.steps))
        return longest.steps, longest.channels
    bank = FilterBank()
    first = round((NOISE_S[0] - 0.05) * BANK_RATE_HZ) // bank.settings.step_samples
    steps, channels = np.nonzero(EventStream(bank).advance(samples).events[first:])
    return steps.astype(np.uint16), channels.astype(np.uint16)


def of_digits(draw: int, indices: range) -> list[Events]:
    """Return a draw of some utterances."""
    sounds = load()
    return [
        utterance(changed(sounds.sound(i), np.random.default_rng([draw, i]), voices(sounds), 1.15))
        for i in indices
    ]


def of_others(draw: int, seeds: list[tuple[int, int]]) -> list[Events]:
    """Return a draw of some sounds that are no digit, given by kind and number."""
    sounds = voices(load())
    makers = list(makers_of_training(sounds).values())
    result = []
    for kind, number in seeds:
        rng = np.random.default_rng([draw, kind, number, 1])
        result.append(utterance(changed(makers[kind](rng), rng, sounds, 1.15)))
    return result


def make_draw(draw: int) -> None:
    """Make a draw of all sounds, unless that is done."""
    path = folder() / f"draw_{draw}.npz"
    if path.exists():
        return
    sounds = load()
    seeds = [
        (kind, number)
        for kind, name in enumerate(makers_of_training(sounds))
        for number in range(1500 if name == "word" else 120)
    ]
    n = len(sounds.labels)
    calls = [
        joblib.delayed(of_digits)(draw, range(first, min(n, first + 200)))
        for first in range(0, n, 200)
    ]
    calls += [
        joblib.delayed(of_others)(draw, seeds[first : first + 50])
        for first in range(0, len(seeds), 50)
    ]
    parts = joblib.Parallel(2, return_as="generator")(calls)
    events = [each for part in tqdm(parts, f"draw {draw}", total=len(calls)) for each in part]
    steps, units = zip(*events, strict=True)
    unfinished = path.with_suffix(".unfinished.npz")
    np.savez(
        unfinished,
        steps=np.concatenate(steps),
        units=np.concatenate(units),
        offsets=np.cumsum([0, *map(len, steps)]),
        kinds=np.array([-1] * len(sounds.labels) + [kind for kind, _ in seeds]),
    )
    unfinished.replace(path)


def main() -> None:
    """Make all draws, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commands", type=Path, help="folder of the recordings of `commands`")
    parser.add_argument("hd", type=Path, help="folder of the recordings of `hd`")
    given = parser.parse_args()
    prepare(given.commands, given.hd)
    for draw in range(N_DRAWS):
        make_draw(draw)


if __name__ == "__main__":
    run_command(main)
