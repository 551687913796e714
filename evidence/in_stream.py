"""Let the networks that listen hear recordings in a stream of background noise.

``python -m evidence.in_stream FOLDER`` puts each recording by validation people of `commands` into
noise as loud as its quietest 10 ms, a second before it and a second behind it, and gives *listener*
and *small_listener* the stream. ``results/listeners_in_stream.csv`` has a row for each network,
``listeners_in_stream_people.csv`` one for each person. The validation people selected both and set
their thresholds, but in recordings that were cut out.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from evidence.listeners import GROUPS, over_people
from shd_corpus.compiled import on_all_cores
from shd_corpus.levels import background
from shd_corpus.microphone import LONGEST_FILE_S
from shd_corpus.sound_file import read_sound
from shd_corpus.speech_commands import person_of, read_manifest, role_of
from shd_helpers.command import run as run_command
from shd_helpers.hear import Answer, Listener
from shd_helpers.paths import results_dir


def in_background(path: Path, seed: int) -> tuple[np.ndarray, int]:
    """Return a recording with a second of noise on both sides, and its sampling rate."""
    wave, rate_hz = read_sound(path, LONGEST_FILE_S)
    wave = wave - wave.mean()
    noise = background(wave, rate_hz, 2 * rate_hz, seed)
    return np.concatenate([noise[:rate_hz], wave, noise[rate_hz:]]), rate_hz


def row_of(found: list[Answer], digit: str) -> dict[str, float]:
    """Return what became of a recording; its answer is the one with the highest confidence."""
    best = max(found, key=lambda answer: answer.confidence, default=None)
    is_right = best is not None and best.digit == digit
    return {
        "found": bool(found),
        "found_once": len(found) == 1,
        "right": is_right,
        "accepted": bool(best and best.accepted),
        "accepted_right": bool(best and best.accepted and is_right),
        "accepted_others": sum(bool(each.accepted) for each in found if each is not best),
    }


def measure(folder: Path, network: str) -> tuple[dict[str, object], pd.DataFrame]:
    """Return how a network hears the validation people, over all and for each person."""
    listener = Listener(network)
    names = [name for name in read_manifest() if role_of(person_of(name)) == "validation"]

    def hear(numbered: tuple[int, str]) -> dict[str, float]:
        wave, rate_hz = in_background(folder / numbered[1], numbered[0])
        return row_of(list(listener.listen([wave], rate_hz)), numbered[1].partition("/")[0])

    table = pd.DataFrame(on_all_cores(hear, list(enumerate(names)), network))
    people = np.array([person_of(name) for name in names])
    accuracy, half = over_people(table.right.to_numpy(), people)
    row: dict[str, object] = {"network": network, "encoder": "filter_bank"}
    row |= {"people": len(set(people)), "recordings": len(names)}
    row |= {"accuracy": accuracy, "ci95": half, **table.mean()}
    row["right_of_accepted"] = table.accepted_right.sum() / table.accepted.sum()
    by_person = table.assign(network=network, person=people).groupby(["network", "person"])
    counts = by_person.sum().astype(int)
    return row, counts.assign(recordings=by_person.size()).reset_index()


def main() -> None:
    """Write the table, from the command line."""
    parser = argparse.ArgumentParser(prog="python -m evidence.in_stream", description=__doc__)
    parser.add_argument("folder", type=Path, help="with the folders zero to nine")
    given = parser.parse_args()
    rows, people = zip(
        *(measure(given.folder, network) for network in GROUPS.values()), strict=True
    )
    path = results_dir() / "listeners_in_stream.csv"
    pd.DataFrame(rows).to_csv(path, index=False, float_format="%.6g")
    pd.concat(people).to_csv(path.with_stem("listeners_in_stream_people"), index=False)


if __name__ == "__main__":
    run_command(main)
