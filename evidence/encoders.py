"""Encode the training people of `commands` in four ways, for the plan ``encoder``.

``python -m evidence.encoders FOLDER`` reads their recordings from a folder. Each is cut out once,
as for `commands`, and four data sets have its events in 77 channels and steps of 3 ms:

    cochlea_random   the model cochlea as it is, nine of its channels to one
    cochlea_fires    its random nerve replaced by the number of fibers that is expected; the bushy
                     cells, which integrate it, have a larger weight, for as many events
    filters_random   the filter bank, whose channels have an event with the probability
                     drive / `THRESHOLD`
    filters_fire     the filter bank, whose channels integrate the drive and fire

`WEIGHT` and `THRESHOLD` were set so that all four have as many events as `cochlea_random`, within 5
%, in 60 recordings by training people.
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from tqdm import tqdm

from evidence.draws import seed_of, write_dataset
from shd_corpus.cochlea.bushy_cell import BushyCells
from shd_corpus.cochlea.hair_cell import HairCells
from shd_corpus.cochlea.membrane import membrane_blocks
from shd_corpus.cochlea.nerve import FIBERS, Nerve, NerveFibers
from shd_corpus.cochlea.response import CHANNELS
from shd_corpus.cochlea.sound import fade, normalize
from shd_corpus.files import atomic
from shd_corpus.filter_bank import FilterBank, kernels, to_samples
from shd_corpus.microphone import LONGEST_FILE_S, background, cut_utterance
from shd_corpus.recording_list import RecordingError
from shd_corpus.shd_file import read_in_slices
from shd_corpus.sound_file import RATE_HZ, read_sound
from shd_corpus.speech_commands import person_of, read_manifest, role_of
from shd_helpers.command import run as run_command
from shd_helpers.data import obtain
from shd_helpers.events.loading import TRAINING_FILE
from shd_helpers.paths import data_dir

N_CHANNELS = 77
POOLED = 9  # channels of the cochlea to one
STEP_S = 0.003
WEIGHT = 1.58  # of the bushy cells of `cochlea_fires`, relative to those of the cochlea
THRESHOLD = 114  # of the filter bank's neurons, instead of 96, as it is shipped
# The filter bank's floors settle on noise before the utterance, of a whole number of steps.
N_BEFORE = 125
NAMES = ("cochlea_random", "cochlea_fires", "filters_random", "filters_fire")
Events = Sequence[np.ndarray]  # steps and channels


def pooled(times: np.ndarray, units: np.ndarray) -> Events:
    """Return the steps and channels in which nine channels of the cochlea have a spike or more."""
    channels = units // POOLED
    is_in = channels < N_CHANNELS
    active = np.unique(np.floor(times[is_in] / STEP_S) * N_CHANNELS + channels[is_in]).astype(int)
    return np.divmod(active, N_CHANNELS)


def cochlea_fires(sound: np.ndarray, weight: float = WEIGHT) -> Events:
    """Encode a sound by the model cochlea without random numbers."""
    step_hz = RATE_HZ // 2
    times, units = [], []
    for block in membrane_blocks(fade(normalize(sound), RATE_HZ), RATE_HZ):
        shape = (block.n_steps, block.n_channels)
        probability = HairCells(block.n_channels, step_hz).respond(block.velocity(0, block.n_steps))
        nerve = NerveFibers(shape, step_hz, Nerve(0, None), block.first_channel, CHANNELS)
        cells = BushyCells(shape, step_hz, FIBERS / weight)
        cells.collect(nerve.fire(probability))
        steps, channels = np.nonzero(cells.spikes)
        times.append(steps / step_hz)
        units.append(channels + block.first_channel)
    return pooled(np.concatenate(times), np.concatenate(units))


def drives(sound: np.ndarray, seed: int) -> np.ndarray:
    """Return what the filter bank's neurons integrate in each step of a sound: (steps, channels).

    The first `N_BEFORE` are of noise before it. The threshold is out of reach, so a step's drive is
    what the potentials rise by.
    """
    bank = FilterBank(N_CHANNELS)
    settings = bank.settings._replace(threshold=2**20)
    n = settings.step_samples
    before = background(sound, RATE_HZ, round(N_BEFORE * n * RATE_HZ / 15_625), seed)
    samples = to_samples(np.concatenate([before, sound]), RATE_HZ).astype(np.int64)
    n_steps = len(samples) // n
    channels = kernels.Channels(*np.zeros((len(kernels.Channels._fields), N_CHANNELS), np.int32))
    state = np.rec.array(np.zeros(1, kernels.STATE))[0]
    state.settling = settings.settling_steps
    levels = np.zeros((1, N_CHANNELS), np.uint8)
    steps = kernels.Steps(levels, levels.astype(np.bool_), np.zeros(1, np.uint8))
    potentials = np.zeros((n_steps + 1, N_CHANNELS), np.int64)
    for step in range(n_steps):
        block = samples[step * n : (step + 1) * n]
        kernels.advance(block, settings, bank.constants, channels, state, steps)
        potentials[step + 1] = channels.potential
    return np.diff(potentials, axis=0)


def fires(drive: np.ndarray, threshold: int = THRESHOLD) -> Events:
    """Integrate and fire, as the filter bank does."""
    potential = np.zeros(drive.shape[1], np.int64)
    events = np.zeros(drive.shape, np.bool_)
    for step, its in enumerate(drive):
        potential = np.minimum(potential + its, 2 * threshold - 1)
        events[step] = potential >= threshold
        potential -= threshold * events[step]
    return np.nonzero(events[N_BEFORE:])


def at_random(drive: np.ndarray, seed: int, threshold: int = THRESHOLD) -> Events:
    """Draw whether a channel has an event in a step, with the probability drive / threshold."""
    events = threshold * np.random.default_rng(seed).random(drive.shape) < drive
    return np.nonzero(events[N_BEFORE:])


def encode_recording(path: Path, stored: Path) -> None:
    """Encode a recording in the three new ways, unless that is stored or it has no utterance."""
    if stored.exists():
        return
    seed = seed_of(path, 0)
    try:
        sound, _ = cut_utterance(*read_sound(path, LONGEST_FILE_S), seed)
    except RecordingError:
        return
    drive = drives(sound, seed)
    found = (cochlea_fires(sound), at_random(drive, seed), fires(drive))
    arrays: dict[str, Any] = {
        name: np.array(events, np.uint16) for name, events in zip(NAMES[1:], found, strict=True)
    }
    stored.parent.mkdir(parents=True, exist_ok=True)
    with atomic(stored) as unfinished, unfinished.open("wb") as file:
        np.savez(file, **arrays)


def of_commands() -> Iterator[tuple[str, Events]]:
    """Yield the name and the events of each recording of `commands`."""
    for utterances in read_in_slices(obtain("commands")[TRAINING_FILE]):
        for number, name in enumerate(utterances.files):
            yield name, pooled(*utterances.spikes(number))


def write(name: str, recordings: Iterable[tuple[str, Events]]) -> None:
    """Write a data set from the names of recordings and their events."""
    middles = ((each, (steps + 0.5) * STEP_S, channels) for each, (steps, channels) in recordings)
    write_dataset(name, middles, n_channels=N_CHANNELS)


def main() -> None:
    """Encode the recordings of a folder, from the command line."""
    parser = argparse.ArgumentParser(prog="python -m evidence.encoders", description=__doc__)
    parser.add_argument("folder", type=Path, help="with the folders zero to nine")
    parser.add_argument("--workers", type=int, default=joblib.cpu_count(), help="processes")
    given = parser.parse_args()
    names = [name for name in read_manifest() if role_of(person_of(name)) == "training"]
    stored = {name: data_dir() / "encoders" / f"{name}.npz" for name in names}
    pool = joblib.Parallel(given.workers, batch_size=8, return_as="generator_unordered")
    calls = [joblib.delayed(encode_recording)(given.folder / name, stored[name]) for name in names]
    for _ in tqdm(pool(calls), "encoding", total=len(calls)):
        pass
    parts = {name: path for name, path in stored.items() if path.exists()}
    write(NAMES[0], (each for each in of_commands() if each[0] in parts))
    for name in NAMES[1:]:
        write(name, ((recording, np.load(path)[name]) for recording, path in parts.items()))


if __name__ == "__main__":
    run_command(main)
