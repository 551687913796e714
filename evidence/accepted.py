"""Compare how many accepted answers are right on another corpus and on the Heidelberg Digits.

A network abstains if its confidence is below its threshold, or if a digit of another language has
the highest score (``shd_helpers.hear``). All other answers are *accepted*.

``python -m evidence.accepted FOLDER`` classifies the recordings in a folder, which are named
``{digit}_{speaker}_{take}.wav`` as those of the Free Spoken Digit Dataset. It writes one row for
each network and recording to ``results/accepted.csv``. It prints the accuracy of accepted answers,
and for comparison that on held-out speakers of the ten folds. Nothing is selected
with these recordings.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from tqdm import tqdm

from evidence.networks_in_use import ENTRIES, NETWORKS
from evidence.write_tables import write_csv
from shd_corpus.class_names import ENGLISH
from shd_corpus.microphone import encode_utterance_file
from shd_corpus.recording_list import RecordingError
from shd_helpers.command import run
from shd_helpers.hear import Listener
from shd_helpers.paths import results_dir
from shd_helpers.study.tables import RESTORE, TableError

_NAME = re.compile(r"(?P<digit>[0-9])_(?P<speaker>[^_]+)_[^_]+")


class DigitRecording(NamedTuple):
    """A sound file of one spoken digit, and what its name says about it."""

    path: Path
    label: str  # the digit's English name
    speaker: str


def recordings_of(folder: Path) -> list[DigitRecording]:
    """List the recordings in a folder."""
    recordings = []
    for path in sorted(folder.glob("*.wav")):
        match = _NAME.fullmatch(path.stem)
        if not match:
            raise RecordingError(
                f"{path}: the name must be {{digit}}_{{speaker}}_{{take}}.wav, such as "
                "7_jackson_0.wav. Rename the file or remove it."
            )
        recordings.append(DigitRecording(path, ENGLISH[int(match["digit"])], match["speaker"]))
    if not recordings:
        raise RecordingError(f"{folder}: no wav file. Name the folder that has the recordings.")
    return recordings


class Accepted(NamedTuple):
    """How often a network answers, and how often an accepted answer is right."""

    share_accepted: float  # of all utterances, 0..1
    accuracy: float  # of the accepted answers, 0..1
    accuracy_of_all: float  # if it answers all utterances, 0..1


def classify(
    recordings: Sequence[DigitRecording], networks: tuple[str, ...] = NETWORKS
) -> pd.DataFrame:
    """Return each pretrained network's answer to each recording, with confidence and acceptance."""
    listeners = {name: Listener(name, "english") for name in networks}
    rows = []
    for recording in tqdm(recordings):
        utterance = encode_utterance_file(recording.path)
        for name, listener in listeners.items():
            try:
                answer = listener.answer(utterance)
            except RecordingError as error:
                raise RecordingError(f"{recording.path}: {error}") from error
            rows.append(
                {
                    "network": name,
                    "recording": recording.path.stem,
                    "speaker": recording.speaker,
                    "label": recording.label,
                    "predicted": answer.digit,
                    "confidence": answer.confidence,
                    "accepted": answer.accepted,
                }
            )
    return pd.DataFrame(rows).sort_values("network", kind="stable", ignore_index=True)


def on_other_corpus(answers: pd.DataFrame) -> Accepted:
    """Summarize one network's answers, pooled over all recordings."""
    is_right = answers.label == answers.predicted
    accepted = answers.accepted.astype(bool)
    return Accepted(accepted.mean(), is_right[accepted].mean(), is_right.mean())


def on_held_out_speakers(network: str, utterances: str, sound: str = "as recorded") -> Accepted:
    """Summarize the answers to the utterances of held-out speakers, from the ten folds.

    The threshold for each speaker comes from the other nine.
    """
    path = results_dir() / "fold_thresholds.csv"
    rows = pd.read_csv(path)
    is_own = (rows.network == ENTRIES[network]) & (rows.sound == sound)
    own = rows[is_own & (rows.utterances == utterances)]
    if own.empty:
        raise TableError(f"{path}: has no rows of {network} for {utterances}, {sound}. {RESTORE}")
    return Accepted(*own[["accepted", "correct", "correct_of_all"]].mean())


def main() -> None:
    """Write the table, and print both accuracies."""
    parser = argparse.ArgumentParser(prog="python -m evidence.accepted", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder with the wav files")
    try:
        recordings = recordings_of(parser.parse_args().folder)
        table = classify(recordings)
    except RecordingError as error:
        sys.exit(str(error))
    write_csv("accepted", table)
    for name in NETWORKS:
        elsewhere = on_other_corpus(table[table.network == name])
        print(
            f"{name}: accepts {elsewhere.share_accepted:.0%} of {len(recordings)} recordings, "
            f"{elsewhere.accuracy:.1%} of these answers are right"
        )
        of_hd = on_held_out_speakers(name, "english")
        print(
            f"  Of English digits of hd, such networks accept {of_hd.share_accepted:.0%} of a "
            f"held-out speaker's, and {of_hd.accuracy:.1%} are right (means over speakers)."
        )


if __name__ == "__main__":
    run(main)
