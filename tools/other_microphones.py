"""Let networks hear other people's recordings; write ``results/other_microphones.csv``.

The recordings are named ``{digit}_{speaker}_{take}.wav``, as those of the Free Spoken Digit
Dataset: telephone-like, 8 kHz, cut close around the word. Nothing is chosen by them. Each network
answers twice: to the word as it was said, and with its spikes' times stretched until it is as long
as words of the Heidelberg Digits are (``slowed_predicted``): the median of the speakers in
``results/voices_hd.csv``.
"""

import argparse
from pathlib import Path

import pandas as pd
import soundfile
from tqdm import tqdm

from shd_helpers.files import atomic
from shd_helpers.paths import results_dir
from shd_helpers.source.microphone import RecordingError, encode_word
from shd_helpers.study import evaluate, input_of, read_network
from shd_helpers.study.networks import networks_dir
from tools.voices import as_long, duration_s


def main() -> None:
    """Write a row for each recording and network: what was said, and what the network answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="with the wav files")
    paths = sorted(parser.parse_args().folder.glob("*.wav"))
    if not paths:
        parser.error("no wav file in this folder")
    networks = {
        path.stem: read_network(path).speaking("english")
        for kind in ("study_*", "small", "reference")
        for path in sorted(networks_dir().glob(f"{kind}.npz"))
    }
    usual_s = pd.read_csv(results_dir() / "voices_hd.csv").duration_s.median()
    rows = []
    for path in tqdm(paths):
        sound, rate_hz = soundfile.read(path)
        try:
            word = encode_word(sound, rate_hz)
        except RecordingError as error:
            parser.error(f"{path}: must be one word, mono. {error}")
        slowed = as_long(word.times, usual_s)
        digit, speaker, _ = path.stem.split("_")
        for name, kept in networks.items():
            row = {"network": name, "speaker": speaker, "label": kept.class_names[int(digit)]}
            for column, times in (("predicted", word.times), ("slowed_predicted", slowed)):
                found = evaluate(kept.network, input_of(kept, times, word.units))
                row[column] = kept.class_names[found.answers[0]]
            rows.append(row | {"duration_s": round(duration_s(word.times), 4)})
    path = results_dir() / "other_microphones.csv"
    with atomic(path) as part:
        pd.DataFrame(rows).to_csv(part, index=False)
    print(path)


if __name__ == "__main__":
    main()
