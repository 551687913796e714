"""Score the networks of folds on augmented recordings of the speakers whom they hold out.

A confidence threshold that was found on clean recordings is too low for other recordings. So this
program scores augmented recordings (in rooms, with noise, in frequency bands, and at other speeds:
``shd_helpers.data.waveform_augmentation``), with which ``scripts.fold_thresholds`` finds one.

``python -m scripts.augmented_folds SWEEP`` reads the run folders of a sweep on the ten folds of
docs/folds.md, such as ``selection_today``, and the augmented copies of its data set's training
file. It writes the class scores beside the sweep's table, to ``results/*_augmented_scores.h5``.
A run that is in this file already isn't scored again, so a command that was interrupted resumes.
Nothing is trained, and no test utterance is read.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from shd_helpers.command import run
from shd_helpers.data.dataset_error import DatasetError
from shd_helpers.data.datasets import locate_augmented
from shd_helpers.events import Events
from shd_helpers.events.loading import load_file
from shd_helpers.study import Recipe, evaluate
from shd_helpers.study.class_scores import SCORES, ClassScores, behind_the_winner
from shd_helpers.study.pretrained import load_network
from shd_helpers.study.run_folder import Run, read_run
from shd_helpers.study.run_replacement import RunError
from shd_helpers.study.tables import TableError
from shd_helpers.sweeps.spec import RunSpec, read_sweep
from shd_helpers.sweeps.sweep_file import SweepError


def augmented_path(table: Path) -> Path:
    """Return the file for the class scores of augmented recordings.

    Parameters
    ----------
    table : Path
        The sweep's table.

    Returns
    -------
    Path
        A file beside it.
    """
    return SCORES.path(table.with_name(f"{table.stem}_augmented.csv"))


def held_out_speaker(recipe: Recipe, name: str) -> int:
    """Return the speaker whom a run holds out of the training file.

    Parameters
    ----------
    recipe : Recipe
        The run's settings.
    name : str
        The run's name, for the message.

    Returns
    -------
    int
        The speaker.

    Raises
    ------
    RunError
        If the run isn't one of the ten folds.
    """
    split = recipe.split
    if split.validation != "speaker" or not split.validation_speakers.isdecimal():
        raise RunError(
            f"{name}: no single speaker is held out. Name a sweep with `validation: speaker` and "
            "one number in `validation_speakers`."
        )
    return int(split.validation_speakers)


def score_augmented(fold: Run) -> ClassScores:
    """Score a fold's network on the augmented recordings of the speaker whom it holds out.

    Parameters
    ----------
    fold : Run
        A run of a fold, with its network.

    Returns
    -------
    ClassScores
        The scores of all recordings of this speaker, rounded as they are stored.

    Raises
    ------
    RunError
        If the run isn't one of the ten folds.
    DatasetError
        If the augmented copies are missing.
    """
    recipe = Recipe.from_flat(fold.info["parameters"])
    speaker = held_out_speaker(recipe, fold.folder.name)
    (copy,) = locate_augmented(recipe.dataset, recipe.find_files(), 0, 1)
    everybody = load_file(copy, 0, recipe.input, recipe.language)
    own: Events = everybody.take(np.flatnonzero(everybody.speakers == speaker))
    assert own.rows is not None
    assert own.file is not None
    scored = evaluate(load_network(fold).network, own)
    return ClassScores(
        behind_the_winner(scored.class_scores.numpy()),
        own.labels.astype(np.uint16),
        own.file.astype(np.uint8),
        own.rows.astype(np.uint32),
        own.speakers,
        own.class_names,
    )


def read_fold(fold: RunSpec) -> Run:
    """Read the run folder of a sweep's run.

    Parameters
    ----------
    fold : RunSpec
        The sweep's run.

    Returns
    -------
    Run
        Its content.

    Raises
    ------
    RunError
        If the folder is missing, or is of a run with other settings or data.
    """
    found = read_run(fold.folder)
    if found.info["hash"] != fold.hash:
        raise RunError(
            f"{fold.folder}: its settings or data aren't those of the sweep now. Run the sweep "
            "again: it runs only what differs."
        )
    return found


def main() -> None:
    """Write the class scores of a sweep's folds."""
    parser = argparse.ArgumentParser(prog="python -m scripts.augmented_folds", description=__doc__)
    parser.add_argument("sweep", help="name of the sweep, such as selection_today")
    parser.add_argument("--dataset", help="the data set, if it isn't that of the sweep's file")
    parser.add_argument("--only", default="", help="only runs whose names contain this text")
    given = parser.parse_args()
    try:
        settings = {"dataset": given.dataset} if given.dataset else {}
        sweep = read_sweep(given.sweep, settings)
        path = augmented_path(sweep.table)
        there = SCORES.read(path)
        wanted = [each for each in sweep.runs if given.only in each.run_name]
        for fold in tqdm([each for each in wanted if each.hash not in there]):
            SCORES.add(path, {fold.hash: score_augmented(read_fold(fold))})
    except (DatasetError, RunError, SweepError, TableError) as error:
        sys.exit(str(error))
    print(path)


if __name__ == "__main__":
    run(main)
