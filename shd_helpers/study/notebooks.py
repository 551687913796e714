"""Run the whole study: execute the numbered notebooks into one run folder and show the scores."""

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from filelock import Timeout

from shd_helpers.command import run
from shd_helpers.data import dataset_name, n_channels_of, obtain
from shd_helpers.events import concatenate, cut_sentence, load_pair
from shd_helpers.paths import OF_A_RUN, need_checkout, runs_dir
from shd_helpers.study.identity import obtain_copies
from shd_helpers.study.notebook_execution import NotebookError, execute_run, execution_lock
from shd_helpers.study.parameters import as_run_name, check_parameters, literal, notebook_parameters
from shd_helpers.study.recipe import SETTINGS, Recipe
from shd_helpers.study.run_folder import RunError, classes_in_words, read_run

# Notebooks of a run that the others need nothing of. They are executed at the same time.
INDEPENDENT = ("01_data_preprocessing", "02_surrogate_visualization")


def report(
    scores: Mapping[str, float | None],
    data: str,
    class_names: Sequence[str],
    language: str,
    seed: int,
    *,
    is_synthetic: bool = False,
) -> str:
    """Return a run's scores as text: accuracy for seen and for unseen speakers, and chance."""
    kind = " (synthetic speech)" if is_synthetic else ""
    n_classes = len(class_names)
    classes = classes_in_words(class_names, language)
    percent = {name: "-" if score is None else f"{score:.1%}" for name, score in scores.items()}
    return f"""\
Test accuracy on {data}{kind}, {classes}, seed {seed}:
  {percent["test_seen"]:>6}  seen speakers: with other utterances in the training set
  {percent["test_unseen"]:>6}  unseen speakers: with none in the training set
  {1 / n_classes:>6.1%}  chance: guessing one of {n_classes} classes
Accuracy by subset: training {percent["train"]}, validation {percent["validation"]}, \
test {percent["test"]}"""


def next_steps(folder: Path) -> str:
    """Return which files to open after the study."""
    results = Path(os.path.relpath(folder)) / OF_A_RUN[-1].name
    course = Path(os.path.relpath(OF_A_RUN[0]))
    return f"""\
Open next (make lab):
  {results}: what this network learned, and where it errs
  {course}: the course, in which you write its core yourself"""


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments of the command line, or those given, parsed."""
    parser = argparse.ArgumentParser(prog="shd study", description=__doc__)
    parser.add_argument(
        "-p",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="set a parameter of the notebooks, for example: -p epochs 10 -p dataset hd. Without "
        "-p run_name, the run folder has the name of the data set",
    )
    parser.add_argument("--data-only", action="store_true", help="prepare the data, then stop")
    return parser.parse_args(arguments)


def _parameters(given: Sequence[tuple[str, str]]) -> tuple[dict[str, Any], Recipe]:
    """Return the parameters of the command line, and the recipe that they give, checked."""
    defaults: dict[str, Any] = {}
    for path in OF_A_RUN:
        defaults |= notebook_parameters(path)
    parameters = {name: literal(text, defaults.get(name)) for name, text in given}
    check_parameters(parameters, defaults)
    all_parameters = defaults | parameters
    settings = {name: all_parameters[name] for name in SETTINGS if name in all_parameters}
    return parameters, Recipe.from_flat(settings, n_channels_of(settings["dataset"]))


def _print_data(files: tuple[Path, Path], recipe: Recipe) -> None:
    """Print how many utterances a data set has, how many spikes come too late, and where it is.

    Before, make the augmented recordings that the settings ask for.
    """
    copies = obtain_copies(recipe.dataset, files, recipe.flat())
    training, test = load_pair(files, recipe.input, recipe.language)
    classes = classes_in_words(training.class_names, recipe.language)
    print(f"{classes}: {len(training)} training and {len(test)} test utterances.")
    print(f"{cut_sentence(concatenate([training, test]), recipe.input)}.\nFiles:")
    for path in chain(files, *copies.values()):
        print(os.path.relpath(path))


def _run_study(parameters: Mapping[str, Any], folder: Path) -> None:
    """Execute the notebooks of a run into its folder, each with those parameters that it has."""
    notebooks = {}
    beside = {}
    for path in OF_A_RUN:
        known = notebook_parameters(path)
        own = {name: value for name, value in parameters.items() if name in known}
        if path.stem in INDEPENDENT:
            beside[path] = own
        else:
            notebooks[path] = own
    try:
        with execution_lock(folder).acquire(timeout=0):
            execute_run(notebooks, folder, beside=beside, progress=True, lessons=False)
    except Timeout:
        wait = "another process runs the study there. Wait for it, or choose another run_name."
        raise RunError(f"{folder}: {wait}") from None


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the study from the command line (``make study``, ``shd study``)."""
    given = _parsed(arguments)
    try:
        need_checkout("The study executes the notebooks of its repository")
        parameters, recipe = _parameters(given.p)
        hint = ""
        if recipe.dataset == "spoken":
            hint = " (digits by eSpeak NG, made here; people's speech with DATASET=hd)"
        print(f"Data set: {recipe.dataset}{hint}", flush=True)
        files = obtain(recipe.dataset, recipe.language)
        if given.data_only:
            _print_data(files, recipe)
            return
        recipe.load()  # what is wrong with the data is said now, not minutes later by a notebook
        data = dataset_name(files)
        folder = runs_dir() / parameters.setdefault("run_name", as_run_name(data))
        start_s = time.monotonic()
        _run_study(parameters, folder)
        run_of_study = read_run(folder)
    except (ValueError, NotebookError, OSError, RuntimeError) as error:  # the last: a dead kernel
        sys.exit(f"\nThe study stopped.\n{error}")
    minutes, seconds = divmod(round(time.monotonic() - start_s), 60)
    print(f"\n{len(OF_A_RUN)} notebooks were executed in {minutes}:{seconds:02} minutes.\n")
    scores = run_of_study.info["scores"]
    is_synthetic = recipe.dataset == "spoken"
    class_names = run_of_study.class_names
    print(
        report(scores, data, class_names, recipe.language, recipe.seed, is_synthetic=is_synthetic)
    )
    print(next_steps(folder))


if __name__ == "__main__":
    run(main)
