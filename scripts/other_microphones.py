"""Classify recordings of another corpus; write ``results/other_microphones.csv``.

The recordings are named ``{digit}_{speaker}_{take}.wav``, as those of the Free Spoken Digit
Dataset, which are sampled at 8 kHz and cut close around the digit. Nothing is chosen with them.
"""

import argparse
from pathlib import Path

import pandas as pd
import soundfile
from tqdm import tqdm

from shd_helpers.command import run
from shd_helpers.data.microphone import RecordingError, encode_utterance
from shd_helpers.files import atomic
from shd_helpers.paths import networks_dir, results_dir
from shd_helpers.study import evaluate, input_of, load_pretrained


def main() -> None:
    """Write a row for each recording and network: the digit that was said, and the answer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder with the wav files")
    paths = sorted(parser.parse_args().folder.glob("*.wav"))
    if not paths:
        parser.error("folder: has no wav file. Name the folder that has the recordings.")
    networks = {}
    for kind in ("study_*", "small", "reference"):
        for path in sorted(networks_dir().glob(f"{kind}.npz")):
            networks[path.stem] = load_pretrained(path).speaking("english")
    rows = []
    for path in tqdm(paths):
        sound, rate_hz = soundfile.read(path)
        try:
            word = encode_utterance(sound, rate_hz)
        except RecordingError as error:
            parser.error(f"{path}: must be a mono recording of one utterance. {error}")
        digit, speaker, _ = path.stem.split("_")
        for name, trained in networks.items():
            events = input_of(trained, word.times, word.units)
            (answer,) = evaluate(trained.network, events).answers
            rows.append(
                {
                    "network": name,
                    "speaker": speaker,
                    "label": trained.class_names[int(digit)],
                    "predicted": trained.class_names[answer],
                }
            )
    path = results_dir() / "other_microphones.csv"
    with atomic(path) as unfinished:
        pd.DataFrame(rows).to_csv(unfinished, index=False)
    print(path)


if __name__ == "__main__":
    run(main)
