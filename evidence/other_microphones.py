"""Classify recordings of another corpus; write ``results/other_microphones.csv``.

The recordings are named ``{digit}_{speaker}_{take}.wav``, as those of the Free Spoken Digit
Dataset, which are sampled at 8 kHz and cut close around the digit. Nothing is chosen with them.
"""

import argparse
import re
import sys
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from tqdm import tqdm

from evidence.everybody.selection import EVERYBODY, SMALL
from evidence.write_tables import replace_rows
from shd_corpus.class_names import ENGLISH
from shd_corpus.microphone import encode_utterance_file
from shd_corpus.recording_list import RecordingError
from shd_helpers.command import run
from shd_helpers.paths import networks_dir
from shd_helpers.study import evaluate, input_of, load_pretrained

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


def classify(folder: Path) -> pd.DataFrame:
    """Return each pretrained network's answer to each recording."""
    recordings = recordings_of(folder)
    networks = {}
    for kind in ("study_*", SMALL, EVERYBODY):
        for path in sorted(networks_dir().glob(f"{kind}.npz")):
            networks[path.stem] = load_pretrained(path).speaking("english")
    rows = []
    for recording in tqdm(recordings):
        utterance = encode_utterance_file(recording.path)
        for name, trained in networks.items():
            events = input_of(trained, utterance.times, utterance.units)
            (answer,) = evaluate(trained.network, events).answers
            rows.append(
                {
                    "network": name,
                    "speaker": recording.speaker,
                    "label": recording.label,
                    "predicted": trained.class_names[answer],
                }
            )
    return pd.DataFrame(rows)


def main() -> None:
    """Write a row for each recording and network: the digit that was said, and the answer."""
    parser = argparse.ArgumentParser(
        prog="python -m evidence.other_microphones", description=__doc__
    )
    parser.add_argument("folder", type=Path, help="folder with the wav files")
    try:
        table = classify(parser.parse_args().folder)
    except RecordingError as error:
        sys.exit(str(error))
    replace_rows("other_microphones", table, "network")


if __name__ == "__main__":
    run(main)
