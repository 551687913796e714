"""Classify utterances of unseen speakers in noise, in a room, and over a telephone.

``python -m scripts.conditions NETWORK 'sweeps/SWEEP/RUNS'`` names runs of English digits that hold
out one speaker each. The runs that hold out the same speaker are used as an ensemble. It writes
``results/conditions.csv``, instead of this network's earlier rows: a row for each condition and
utterance of that speaker, two of each digit. Two conditions have no right answer, and so no label:
the speaker's German digits, and noise without a digit. Nothing is chosen with them. The recordings
are those of ``data/hd/hd_audio.tar.gz``.
"""

import argparse
import sys
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from scripts.networks import run_folders
from scripts.write_tables import replace_rows
from shd_helpers.checks import check_choice
from shd_helpers.cochlea import encode, on_all_cores
from shd_helpers.command import run
from shd_helpers.data.class_names import ENGLISH
from shd_helpers.data.heidelberg import ARCHIVE, NAME
from shd_helpers.data.recording_list import RecordingError
from shd_helpers.data.recordings import identity
from shd_helpers.data.sound_file import read_wave
from shd_helpers.data.waveform_augmentation import WaveformAugmentation
from shd_helpers.files import reading
from shd_helpers.paths import data_dir
from shd_helpers.study import evaluate
from shd_helpers.study.pretrained import load_network
from shd_helpers.study.run_folder import Run, read_run
from shd_helpers.study.run_replacement import RunError
from shd_helpers.study.trained_network import TrainedNetwork, ensemble_of, input_of

TAKES = 2  # of each digit, language and speaker: those whose names sort first
RECORDED = "as recorded"
NOISE = "noise alone"  # white noise
GERMAN = "German digits"
# The noise in which somebody speaks falls by 3 dB an octave.
CONDITIONS = {
    "noise 20 dB below": WaveformAugmentation(noise_db=20, noise_tilt_db=-3),
    "noise 10 dB below": WaveformAugmentation(noise_db=10, noise_tilt_db=-3),
    "noise 5 dB below": WaveformAugmentation(noise_db=5, noise_tilt_db=-3),
    "noise 0 dB below": WaveformAugmentation(noise_db=0, noise_tilt_db=-3),
    "a room of 0.3 s": WaveformAugmentation(reverberation_s=0.3, direct_db=3),
    "a room of 0.6 s": WaveformAugmentation(reverberation_s=0.6, direct_db=0),
    "300 to 3400 Hz": WaveformAugmentation(high_pass_hz=300, low_pass_hz=3400),
}


def in_condition(path: Path, condition: str) -> tuple[np.ndarray, np.ndarray]:
    """Encode a recording in a condition.

    Parameters
    ----------
    path : Path
        The sound file.
    condition : str
        One of `CONDITIONS`, or `RECORDED`, `NOISE` or `GERMAN`.

    Returns
    -------
    times, units : (spikes,) array
        Times in seconds, and channels of the cochlea.

    Raises
    ------
    ValueError
        If the condition is unknown.
    """
    check_choice("condition", condition, (RECORDED, NOISE, GERMAN, *CONDITIONS))
    wave, rate_hz = read_wave(path)
    number = identity(path, 0, 0)  # hexadecimal digits that depend on the recording alone
    rng = np.random.default_rng(int(number, 16))
    if condition == NOISE:
        wave = rng.standard_normal(len(wave))
    elif condition in CONDITIONS:
        wave = CONDITIONS[condition].apply(wave, rate_hz, rng)
    return encode(wave, rate_hz, seed=int(number[:16], 16))


def first_takes(names: list[str], speakers: set[int]) -> pd.DataFrame:
    """Choose the recordings that are classified, the first of each digit.

    Parameters
    ----------
    names : list of str
        Names of files, among them those of recordings.
    speakers : set of int
        Whose recordings are chosen.

    Returns
    -------
    DataFrame
        `name`, `language`, `speaker` and `digit` of each.
    """
    rows = []
    for name in sorted(names):
        match = NAME.match(name)
        if match:
            rows.append((name, *match.groups()))
    recordings = pd.DataFrame(rows, columns=["name", "language", "speaker", "digit"])
    recordings = recordings.astype({"speaker": int, "digit": int}).query("speaker in @speakers")
    return recordings.groupby(["language", "speaker", "digit"]).head(TAKES)


def _cases(recordings: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each condition and recording."""
    english = recordings.query("language == 'english'")
    german = recordings.query("language == 'german'").assign(condition=GERMAN)
    cases = []
    for condition in (RECORDED, *CONDITIONS, NOISE):
        cases.append(english.assign(condition=condition))
    return pd.concat([*cases, german], ignore_index=True)


def encode_cases(archive: Path, speakers: set[int]) -> tuple[pd.DataFrame, list]:
    """Encode the speakers' recordings in each condition.

    Parameters
    ----------
    archive : Path
        The recordings.
    speakers : set of int
        Whose recordings are encoded.

    Returns
    -------
    cases : DataFrame
        A row for each condition and recording.
    spikes : list of (times, units)
        From `in_condition`, for each row.
    """
    with tempfile.TemporaryDirectory() as folder, tarfile.open(archive) as tar:
        path_of = {Path(path).name: path for path in tar.getnames()}
        cases = _cases(first_takes([*path_of], speakers))
        wanted = [tar.getmember(path_of[name]) for name in cases.name.unique()]
        tar.extractall(folder, wanted, filter="data")

        def encode_case(case: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            name, condition = case
            return in_condition(Path(folder) / path_of[name], condition)

        names_and_conditions = cases[["name", "condition"]].to_numpy()
        spikes = list(on_all_cores(encode_case, names_and_conditions, "encoding"))
    return cases, spikes


def networks_by_speaker(runs: Sequence[Run]) -> dict[int, TrainedNetwork]:
    """Return the network that is tried on each held-out speaker.

    Parameters
    ----------
    runs : sequence of Run
        Runs that hold out one speaker each.

    Returns
    -------
    dict
        By speaker, the run's network, or an ensemble if several runs hold out this speaker.

    Raises
    ------
    RunError
        If there is no run, one holds out nobody or has other classes than the English digits, or
        the speakers don't have equally many.
    """
    of_speaker = defaultdict(list)
    for one in runs:
        speaker = one.info["parameters"]["held_out"]
        if speaker < 0:
            raise RunError(f"{one.folder}: it holds out no speaker. Name runs that hold out one.")
        of_speaker[speaker].append(one)
    counts = {speaker: len(own) for speaker, own in of_speaker.items()}
    if len(set(counts.values())) != 1:
        raise RunError(
            f"The patterns find these numbers of runs by held-out speaker: {counts}. Name equally "
            "many for each speaker, and at least one."
        )
    networks = {}
    for speaker, own in of_speaker.items():
        members = [load_network(one) for one in own]
        is_ensemble = len(members) > 1
        networks[speaker] = ensemble_of(members, own[0].folder) if is_ensemble else members[0]
        if networks[speaker].class_names != ENGLISH:
            raise RunError(
                f"{own[0].folder}: its classes aren't the ten English digits. Name runs of English "
                "digits."
            )
    return networks


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(prog="python -m scripts.conditions", description=__doc__)
    parser.add_argument("network", help="what the table calls the network, such as adaptive")
    parser.add_argument("runs", nargs="+", help="patterns of run folders below runs/")
    given = parser.parse_args()
    try:
        networks = networks_by_speaker([read_run(folder) for folder in run_folders(given.runs)])
        archive = data_dir() / "hd" / ARCHIVE
        with reading(archive, RecordingError, "Download it again: make data DATASET=hd"):
            cases, spikes = encode_cases(archive, set(networks))
    except (RunError, RecordingError) as error:
        sys.exit(str(error))
    rows = []
    for case, (times, units) in zip(cases.itertuples(), spikes, strict=True):
        trained = networks[case.speaker]
        evaluation = evaluate(trained.network, input_of(trained, times, units))
        has_label = case.condition not in (NOISE, GERMAN)
        rows.append(
            {
                "network": given.network,
                "condition": case.condition,
                "speaker": case.speaker,
                "label": trained.class_names[case.digit] if has_label else "",
                "predicted": trained.class_names[evaluation.answers[0]],
                "confidence": round(float(evaluation.confidence[0]), 4),
            }
        )
    replace_rows("conditions", pd.DataFrame(rows), "network")


if __name__ == "__main__":
    run(main)
