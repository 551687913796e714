"""Encode `commands` again with other random numbers of the nerve, for the plan ``encoder_noise``.

``python -m evidence.draws FOLDER`` reads the recordings by training and validation people from a
folder, and writes data sets such as ``data/commands_same``. Each recording is cut out once, with
the noise around it that `commands` has, and its nerves differ alone:

    commands_draw_1 to 3    fresh random numbers for each recording, as `commands` has
    commands_same           the same random numbers for all recordings

and of some 4,500 recordings, those of people who are drawn at random:

    few_draw_0 to 9         fresh random numbers; number 0 is that of `commands`
    few_same, few_same_1    the same for all, and others that are the same for all
    few_160, few_640        fresh random numbers, and more than 40 fibers for each hair cell
    few_expected            no random numbers: in each step fires the number that is expected
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from tqdm import tqdm

from shd_corpus.class_names import LANGUAGES
from shd_corpus.cochlea.encoding import encode_draws
from shd_corpus.cochlea.nerve import Nerve
from shd_corpus.files import atomic
from shd_corpus.microphone import LONGEST_FILE_S, cut_utterance
from shd_corpus.recording_list import RecordingError
from shd_corpus.recordings import recording_seed
from shd_corpus.shd_file import write_shd
from shd_corpus.sound_file import RATE_HZ, read_sound
from shd_corpus.speech_commands import numbered_people, person_of, read_manifest, role_of
from shd_helpers.command import run as run_command
from shd_helpers.paths import data_dir

N_FEW = 4500  # recordings
N_DRAWS = 10  # of each of them


def few_people(names: Sequence[str], seed: int = 0) -> set[str]:
    """Draw training people until they have 4,500 recordings."""
    people = [person_of(name) for name in names]
    training = sorted({person for person in people if role_of(person) == "training"})
    chosen: set[str] = set()
    for person in np.random.default_rng(seed).permutation(training):
        if sum(each in chosen for each in people) >= N_FEW:
            break
        chosen.add(str(person))
    return chosen


def seed_of(path: Path, draw: int) -> int:
    """Return the seed of a draw of a recording; draw 0 is that of `commands`."""
    return int(recording_seed(path, draw)[:16], 16)


def nerves_of(path: Path, is_few: bool) -> dict[str, Nerve]:
    """Return the nerves of a recording by the data sets that they are for."""
    nerves = {f"commands_draw_{draw}": Nerve(seed_of(path, draw)) for draw in (1, 2, 3)}
    nerves["commands_same"] = Nerve(0)
    if is_few:
        nerves |= {f"few_draw_{draw}": Nerve(seed_of(path, draw)) for draw in range(N_DRAWS)}
        nerves |= {"few_same": Nerve(0), "few_same_1": Nerve(1)}
        nerves |= {f"few_{fibers}": Nerve(seed_of(path, 0), fibers) for fibers in (160, 640)}
        nerves["few_expected"] = Nerve(0, None)
    return nerves


def encode_recording(path: Path, is_few: bool, stored: Path) -> None:
    """Encode a recording with all its nerves, unless that is stored or it has no utterance."""
    if stored.exists():
        return
    try:
        sound, _ = cut_utterance(*read_sound(path, LONGEST_FILE_S), seed_of(path, 0))
    except RecordingError:
        return
    nerves = nerves_of(path, is_few)
    different = list(dict.fromkeys(nerves.values()))
    encoded = dict(zip(different, encode_draws(sound, RATE_HZ, different), strict=True))
    arrays: dict[str, Any] = {}
    for name, nerve in nerves.items():
        times, units = encoded[nerve]
        arrays[f"{name}/times"] = times.astype(np.float16)
        arrays[f"{name}/units"] = units.astype(np.uint16)
    stored.parent.mkdir(parents=True, exist_ok=True)
    with atomic(stored) as unfinished, unfinished.open("wb") as file:
        np.savez(file, **arrays)


def write_dataset(name: str, parts: Mapping[str, Path]) -> None:
    """Write the training file of a data set from the stored spikes of recordings, by their names.

    Labels, the numbers of people and the order of the recordings are those of `commands`.
    """
    people = {person: number for number, person in enumerate(numbered_people(read_manifest()))}
    times, units, labels, speakers, files = [], [], [], [], []
    for recording, stored in parts.items():
        with np.load(stored) as arrays:
            if f"{name}/times" not in arrays:
                continue
            times.append(arrays[f"{name}/times"])
            units.append(arrays[f"{name}/units"])
        labels.append(LANGUAGES["both"].index(recording.partition("/")[0]))
        speakers.append(people[person_of(recording)])
        files.append(recording)
    out = data_dir() / name / f"{name}_train.h5"
    out.parent.mkdir(parents=True, exist_ok=True)
    write_shd(out, times, units, labels, speakers, extra={"file": files})


def main() -> None:
    """Encode the recordings of a folder, from the command line."""
    parser = argparse.ArgumentParser(prog="python -m evidence.draws", description=__doc__)
    parser.add_argument("folder", type=Path, help="with the folders zero to nine")
    parser.add_argument("--workers", type=int, default=joblib.cpu_count(), help="processes")
    given = parser.parse_args()
    names = [name for name in read_manifest() if role_of(person_of(name)) != "test"]
    few = few_people(names)
    stored = {name: data_dir() / "draws" / f"{name}.npz" for name in names}
    pool = joblib.Parallel(given.workers, batch_size=8, return_as="generator_unordered")
    calls = [
        joblib.delayed(encode_recording)(given.folder / name, person_of(name) in few, stored[name])
        for name in names
    ]
    for _ in tqdm(pool(calls), "encoding draws", total=len(calls)):
        pass
    parts = {name: path for name, path in stored.items() if path.exists()}
    for name in nerves_of(given.folder / names[0], is_few=True):
        write_dataset(name, parts)


if __name__ == "__main__":
    run_command(main)
