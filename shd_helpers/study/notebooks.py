"""Execute notebooks by papermill, each with a kernel of its own, into one run folder.

`execute_run` does so for a run of a sweep. `main` does so for the whole study: it executes the
numbered notebooks, and shows the scores.
"""

import argparse
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import Timeout
from tqdm.contrib import DummyTqdmFile

from shd_helpers.command import from_extra, run
from shd_helpers.data import dataset_name
from shd_helpers.events import concatenate, cut_sentence, load_pair
from shd_helpers.paths import (
    NOTEBOOKS,
    OF_A_RUN,
    TRAIN,
    as_run_name,
    folder_variables,
    need_checkout,
    runs_dir,
)
from shd_helpers.study.parameters import check_parameters, literal, notebook_parameters
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.run_folder import RunError, classes_in_words, lock_beside, read_run

if TYPE_CHECKING:
    from nbformat import NotebookNode

TRAINING = NOTEBOOKS / "03_model_training.ipynb"
KERNEL = "python3"  # Jupyter's name of the kernel of its own environment
EXECUTING = "study"  # the ending of the lock of a run folder whose notebooks are executed
N_STARTS = 3  # of a kernel that dies before it has begun
ParametersByNotebook = Mapping[Path, Mapping[str, object]]  # in the order of execution


def report(
    accuracies: Mapping[str, float | None],
    data: str,
    class_names: Sequence[str],
    language: str,
    seed: int,
) -> str:
    """Return a run's accuracies as text, from `shown_accuracies`, and that of guessing."""
    percent = {name: "-" if value is None else f"{value:.1%}" for name, value in accuracies.items()}
    rows = {"test_seen": "seen speakers: with other utterances in the training set"}
    rows |= {
        name: f"{name.replace('test_unseen', 'unseen speakers')}: with none in the training set"
        for name in percent
        if "unseen" in name
    }
    title = f"Test accuracy on {data}, {classes_in_words(class_names, language)}, seed {seed}:"
    chance = f"{1 / len(class_names):>6.1%}  chance: guessing one of {len(class_names)} classes"
    return "\n".join(
        [
            title,
            *(f"  {percent[name]:>6}  {text}" for name, text in rows.items()),
            f"  {chance}",
            f"Training accuracy {percent['train']}, validation {percent['validation']}",
        ]
    )


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
    for path in (TRAIN, *OF_A_RUN):  # notebook 3 may have other defaults than `train`
        defaults |= notebook_parameters(path)
    parameters = {name: literal(text, defaults.get(name)) for name, text in given}
    check_parameters(parameters, defaults)
    return parameters, Recipe.from_notebook(defaults | parameters)


def _print_data(files: tuple[Path, Path], recipe: Recipe) -> None:
    """Print how many utterances a data set has, how many spikes come too late, and where it is."""
    training, test = load_pair(files, recipe.input, recipe.language)
    classes = classes_in_words(training.class_names, recipe.language)
    print(f"{classes}: {len(training)} training and {len(test)} test utterances.")
    print(f"{cut_sentence(concatenate([training, test]), recipe.input)}.\nFiles:")
    for path in files:
        print(os.path.relpath(path))


def _run_study(parameters: Mapping[str, Any], folder: Path) -> None:
    """Execute the notebooks of a run into its folder, each with those parameters that it has.

    If a setting is given that notebook 3 doesn't have, evidence/train.ipynb takes its place.
    """
    training = notebook_parameters(TRAINING)
    needs_all = bool(parameters.keys() & notebook_parameters(TRAIN).keys() - training.keys())
    notebooks = {}
    for each in OF_A_RUN:
        path = TRAIN if each == TRAINING and needs_all else each
        known = notebook_parameters(path)
        given = {**training, **parameters} if path == TRAIN else parameters
        notebooks[path] = {name: value for name, value in given.items() if name in known}
    try:
        with lock_beside(folder, EXECUTING).acquire(timeout=0):
            execute_run(notebooks, folder, progress=True, lessons=False)
    except Timeout:
        wait = "another process runs the study there. Wait for it, or choose another run_name."
        raise RunError(f"{folder}: {wait}") from None


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the study from the command line (``make study``, ``shd study``)."""
    given = _parsed(arguments)
    try:
        need_checkout("The study executes the notebooks of its repository")
        parameters, recipe = _parameters(given.p)
        print(f"Data set: {recipe.dataset}", flush=True)
        files = recipe.obtain_files()
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
    from shd_helpers.study.training import shown_accuracies  # with torch

    info = run_of_study.info
    accuracies = shown_accuracies(info["scores"], run_of_study.predictions, info["seen_speakers"])
    class_names = run_of_study.class_names
    print(report(accuracies, data, class_names, recipe.language, recipe.seed))
    print(f"""\
Open next (make lab):
  {os.path.relpath(folder / OF_A_RUN[-1].name)}: what this network learned, and where it errs
  {os.path.relpath(OF_A_RUN[0])}: the course, in which you write its core yourself""")


class NotebookError(Exception):
    """A notebook's cell failed; the message names the cell, its error and the traceback's file."""


def execute_run(
    notebooks: ParametersByNotebook,
    folder: Path,
    *,
    timeout_s: float | None = None,
    progress: bool = False,
    lessons: bool = True,
) -> None:
    """Execute notebooks by papermill, and move them to their run folder.

    Each notebook gets a kernel of its own, in its own folder, and values for its parameters cell.
    Until all have ended well, they and their figures are in ``.<name>.notebooks`` beside the run
    folder, whose lock (`lock_beside`, `EXECUTING`) the caller holds.
    """
    _check_kernel()
    unfinished = folder.with_name(f".{folder.name}.notebooks")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    os.environ |= {"SHD_IMG_DIR": str(unfinished / "img"), **folder_variables()}  # for kernels
    end_s = None if timeout_s is None else time.monotonic() + timeout_s
    for path, parameters in notebooks.items():
        if progress:
            print(f"\n{path.stem}", flush=True)
        notebook = read_notebook(path, lessons)
        _execute(notebook, path, unfinished / path.name, parameters, end_s, progress)
    shutil.copytree(unfinished, folder, copy_function=os.replace, dirs_exist_ok=True)
    shutil.rmtree(unfinished)


def _check_kernel() -> None:
    """Raise RunError if the kernel that Jupyter calls python3 isn't this Python.

    A kernel in the user's folder, or in one of `JUPYTER_PATH`, goes before that of this
    environment. It would execute the notebooks with other packages.
    """
    with from_extra("study"):
        from jupyter_client.kernelspec import KernelSpecManager

    kernel = KernelSpecManager().get_kernel_spec(KERNEL)
    program = Path(kernel.argv[0] if kernel.argv else "")
    own = Path(sys.executable)
    # not by what links lead to: all environments' lead to one Python
    is_own = program.parent.resolve() == own.parent.resolve() and program.exists()
    # Jupyter replaces these names by its own Python
    if is_own or str(program) in ("python", "python3", f"python3.{sys.version_info[1]}"):
        return
    raise RunError(
        f"{kernel.resource_dir}: Jupyter's kernel {KERNEL} starts {program}, not "
        f"{own}. Remove that folder, or unset JUPYTER_PATH if it leads there."
    )


def read_notebook(path: Path, lessons: bool) -> "NotebookNode":
    """Return a notebook, without `lessons` also without the cells tagged so, for readers only."""
    with from_extra("study"):
        import nbformat

    notebook = nbformat.read(path, as_version=4)
    if not lessons:
        notebook.cells = [
            cell for cell in notebook.cells if "lesson" not in cell.metadata.get("tags", ())
        ]
    return notebook


def _execute(
    notebook: "NotebookNode",
    path: Path,
    out: Path,
    parameters: Mapping[str, object],
    end_s: float | None,
    is_shown: bool,
) -> None:
    """Execute a notebook by papermill, in the folder of its file."""
    with from_extra("study"):
        import papermill  # takes seconds
        from papermill.exceptions import PapermillExecutionError

    begun: list[object] = []

    def seconds_left(cell: object) -> float | None:  # papermill takes 0 for no limit
        return None if end_s is None else max(0.1, end_s - time.monotonic())

    settings = {
        "kernel_name": KERNEL,
        # the kernel's folder; papermill's `cwd` would change this process's own
        "resources": {"metadata": {"path": str(path.parent)}},
        "progress_bar": is_shown,
        # leaves the bar whole
        "stdout_file": DummyTqdmFile(sys.stdout) if is_shown else None,
        # a kernel's own words would tear the bar
        "extra_arguments": ["--log-level=CRITICAL"],
        "on_notebook_start": lambda **_: begun.append(path),
        "timeout_func": seconds_left,
    }
    for attempt in range(1, N_STARTS + 1):
        try:
            papermill.execute_notebook(notebook, out, parameters, **settings)
            return
        except PapermillExecutionError as error:
            raise NotebookError(
                f"{path.stem}, cell {error.exec_count}: {error.ename}: {error.evalue}\n"
                f"The traceback is in {out}"
            ) from error
        except RuntimeError:
            # The kernel died. It gets ports that were free a moment before: where many start at
            # once, another process may be faster. Before the first cell nothing is lost.
            if begun or attempt == N_STARTS:
                raise


if __name__ == "__main__":
    run(main)
