"""Let networks hear a speaker whom they don't know in noise, in a room, over a telephone.

``python -m scripts.conditions 'sweeps/SWEEP/RUNS'`` names runs of English digits that leave out a
speaker each. It writes ``results/conditions.csv``: a row for each condition and word of that
speaker, two of each digit. Two conditions have no right answer, so no label: the speaker's German
digits, and noise without a word. Nothing is chosen by them. The recordings are those of
``data/hd/hd_audio.tar.gz``.
"""

import argparse
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from scripts.networks import run_folders
from shd_helpers.cochlea import encode, on_all_cores
from shd_helpers.command import run
from shd_helpers.data.heidelberg import ARCHIVE, NAME
from shd_helpers.data.recordings import identity, read_wave
from shd_helpers.data.waveform_augmentation import WaveformAugmentation
from shd_helpers.files import atomic
from shd_helpers.paths import data_dir, results_dir
from shd_helpers.study import evaluate
from shd_helpers.study.pretrained import input_of, load_network
from shd_helpers.study.run_folder import RunError, read_run

TAKES = 2  # of each digit and speaker, the first by name
RECORDED, NOISE, GERMAN = "as recorded", "noise alone", "German digits"
CONDITIONS = {
    **{
        f"noise {db} dB below": WaveformAugmentation(noise_db=db, noise_tilt_db=-3)
        for db in (20, 10, 5, 0)
    },
    "a room of 0.3 s": WaveformAugmentation(reverberation_s=0.3, direct_db=3),
    "a room of 0.6 s": WaveformAugmentation(reverberation_s=0.6, direct_db=0),
    "300 to 3400 Hz": WaveformAugmentation(high_pass_hz=300, low_pass_hz=3400),
}


def in_condition(path: Path, condition: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the spikes of a recording in a condition: times in seconds, and units."""
    wave, rate_hz = read_wave(path)
    number = identity(path, 0, 0)
    rng = np.random.default_rng(int(number, 16))
    if condition == NOISE:
        wave = rng.standard_normal(len(wave))
    elif condition in CONDITIONS:
        wave = CONDITIONS[condition].apply(wave, rate_hz, rng)
    return encode(wave, rate_hz, seed=int(number[:16], 16))


def first_takes(names: list[str], speakers: set[int]) -> pd.DataFrame:
    """Return `name`, `language`, `speaker` and `digit` of the recordings that are heard."""
    words = pd.DataFrame(
        [(name, *match.groups()) for name in sorted(names) if (match := NAME.match(name))],
        columns=["name", "language", "speaker", "digit"],
    )
    words = words.astype({"speaker": int, "digit": int}).query("speaker in @speakers")
    return words.groupby(["language", "speaker", "digit"]).head(TAKES)


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(prog="python -m scripts.conditions", description=__doc__)
    parser.add_argument("runs", nargs="+", help="patterns below runs/")
    try:
        runs = [read_run(folder) for folder in run_folders(parser.parse_args().runs)]
    except RunError as error:
        sys.exit(str(error))
    networks = {run.info["parameters"]["held_out"]: load_network(run) for run in runs}
    if not runs or len(networks) < len(runs) or min(networks) < 0:
        parser.error("needs runs that leave out a speaker each, one for each speaker")
    with tempfile.TemporaryDirectory() as folder, tarfile.open(data_dir() / "hd" / ARCHIVE) as tar:
        members = {Path(name).name: name for name in tar.getnames()}
        words = first_takes([*members], {*networks})
        tar.extractall(folder, [tar.getmember(members[name]) for name in words.name], filter="data")
        english = words.query("language == 'english'")
        conditions = [
            english.assign(condition=condition) for condition in (RECORDED, *CONDITIONS, NOISE)
        ]
        german = words.query("language == 'german'").assign(condition=GERMAN)
        table = pd.concat([*conditions, german], ignore_index=True)
        spikes = on_all_cores(
            lambda at: in_condition(Path(folder) / members[at[0]], at[1]),
            table[["name", "condition"]].to_numpy(),
            "encoding",
        )
    found = []
    for row, (times, units) in zip(table.itertuples(), spikes, strict=True):
        trained = networks[row.speaker]
        answer = evaluate(trained.network, input_of(trained, times, units))
        has_label = row.condition not in (NOISE, GERMAN)
        found.append(
            {
                "label": trained.class_names[row.digit] if has_label else "",
                "predicted": trained.class_names[answer.answers[0]],
                "confidence": round(float(answer.confidence[0]), 4),
            }
        )
    table = table[["condition", "speaker"]].join(pd.DataFrame(found))
    with atomic(path := results_dir() / "conditions.csv") as part:
        table.to_csv(part, index=False)
    print(path)


if __name__ == "__main__":
    run(main)
