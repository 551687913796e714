"""Let networks hear other people's recordings; write ``results/other_microphones.csv``.

The recordings are named ``{digit}_{speaker}_{take}.wav``, as those of the Free Spoken Digit
Dataset: telephone-like, 8 kHz, cut close around the word. Nothing is chosen by them.
"""

import argparse
from pathlib import Path

import pandas as pd
import soundfile
from tqdm import tqdm

from shd_helpers.command import run
from shd_helpers.data.microphone import RecordingError, encode_word
from shd_helpers.files import atomic
from shd_helpers.paths import results_dir
from shd_helpers.study import evaluate, input_of, load_pretrained
from shd_helpers.study.pretrained import networks_dir


def main() -> None:
    """Write a row for each recording and network: what was said, and what the network answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="with the wav files")
    paths = sorted(parser.parse_args().folder.glob("*.wav"))
    if not paths:
        parser.error("no wav file in this folder")
    networks = {
        path.stem: load_pretrained(path).speaking("english")
        for kind in ("study_*", "small", "reference")
        for path in sorted(networks_dir().glob(f"{kind}.npz"))
    }
    rows = []
    for path in tqdm(paths):
        sound, rate_hz = soundfile.read(path)
        try:
            word = encode_word(sound, rate_hz)
        except RecordingError as error:
            parser.error(f"{path}: must be one word, mono. {error}")
        digit, speaker, _ = path.stem.split("_")
        for name, trained in networks.items():
            (answer,) = evaluate(trained.network, input_of(trained, word.times, word.units)).answers
            row = {"network": name, "speaker": speaker, "label": trained.class_names[int(digit)]}
            rows.append(row | {"predicted": trained.class_names[answer]})
    path = results_dir() / "other_microphones.csv"
    with atomic(path) as part:
        pd.DataFrame(rows).to_csv(part, index=False)
    print(path)


if __name__ == "__main__":
    run(main)
