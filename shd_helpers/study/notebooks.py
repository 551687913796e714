"""Run the whole study: execute the numbered notebooks into one run folder and show the scores."""

import argparse
import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout
from papermill.exceptions import PapermillExecutionError
from tqdm import tqdm

from shd_helpers.events import Downsampling, load_events, smoke_sized
from shd_helpers.paths import OF_A_RUN, runs_dir
from shd_helpers.source.datasets import dataset_name, locate
from shd_helpers.source.shd_file import DatasetError
from shd_helpers.study.kernels import Kernel
from shd_helpers.study.parameters import (
    as_run_name,
    check_parameters,
    literal,
    notebook_parameters,
)
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.run_folder import RunError, read_run

_DESCRIPTIONS = {
    "spoken": "spoken (digits by eSpeak NG, made here; people's speech with DATASET=hd)",
    "hd": "hd (the Heidelberg Digits, turned into spikes here)",
    "shd": "shd (the official Spiking Heidelberg Digits)",
}
SCORES = ("train", "validation", "test", "test_seen", "test_unseen")


class NotebookError(Exception):
    """A cell that failed; the message names it and its error, and where the traceback is."""


class _Console:
    """Prints what a notebook prints without tearing papermill's progress bar."""

    def write(self, text: str) -> None:
        tqdm.write(text, file=sys.stdout, end="")

    def flush(self) -> None:
        sys.stdout.flush()


def known_parameters() -> dict[str, Any]:
    """Return names and defaults of all parameters that a run's notebooks have."""
    return {k: v for path in OF_A_RUN for k, v in notebook_parameters(path).items()}


def check_run(parameters: Mapping[str, object]) -> None:
    """Raise ValueError if a run has no such parameter, or a value is out of its range."""
    known = known_parameters()
    check_parameters(parameters, known)
    Recipe.from_flat(known | dict(parameters)).check_memory()


def run_notebooks(parameters: Mapping[str, object], folder: Path) -> None:
    """Execute the notebooks of a run, giving each those of the parameters that it has.

    Parameters
    ----------
    parameters : mapping
        Values by name, for the notebooks' parameters cells.
    folder : Path
        Where the executed notebooks go, and their figures (``img/`` in it), once all have ended.

    Raises
    ------
    ValueError
        If no notebook has such a parameter, or a value is out of range, before anything runs; if
        another process is at this folder.
    NotebookError
        If a cell fails; the notebooks up to there are kept in ``.<name>.notebooks`` beside.
    """
    check_run(parameters)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(
            folder.with_name(f".{folder.name}.study"), timeout=0
        ):  # a sweep's worker takes it, too
            place = folder.with_name(f".{folder.name}.notebooks")
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            try:
                _execute(parameters, place)
            except PapermillExecutionError as error:
                failed = max(place.glob("*.ipynb"))
                raise NotebookError(
                    f"{failed.stem}, cell {error.exec_count}: {error.ename}: {error.evalue}\n"
                    f"The traceback is in {failed}"
                ) from error
            for path in [path for path in place.rglob("*") if path.is_file()]:
                target = folder / path.relative_to(place)
                target.parent.mkdir(exist_ok=True)
                path.replace(target)
            shutil.rmtree(place)
    except Timeout:
        raise RunError(
            f"{folder}: another process runs the study there. Wait for it, or take another name."
        ) from None


def _execute(parameters: Mapping[str, object], place: Path) -> None:
    defaults = {path: notebook_parameters(path) for path in OF_A_RUN}
    os.environ["SHD_IMG_DIR"] = str(place / "img")  # the kernels inherit it
    for path, cell in defaults.items():
        print(f"\n{path.stem}", flush=True)
        given = {name: value for name, value in parameters.items() if name in cell}
        with closing(Kernel()) as kernel:  # each its own: it holds for who opens it alone
            kernel.execute(path, place / path.name, given, stdout_file=_Console())


def score_table(run_info: Mapping) -> str:
    """Return the accuracies of a run, in percent, as a table of text."""
    scores = run_info["scores"]
    row = {name: "-" if scores[name] is None else f"{scores[name]:.1%}" for name in SCORES}
    return pd.DataFrame([row]).to_string(index=False)


def main() -> None:
    """Run the study from the command line (``make study``)."""
    parser = argparse.ArgumentParser(
        prog="python -m shd_helpers.study.notebooks", description=__doc__
    )
    parser.add_argument(
        "--dataset",
        help="spoken, hd, shd, or a folder with <name>_train.h5 and <name>_test.h5, relative to "
        "the repository root; default: what the notebooks say",
    )
    parser.add_argument("--name", help="run folder below runs/; default: the data set's name")
    parser.add_argument(
        "-p",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="any parameter of the notebooks, for example: -p epochs 10 -p slope 5.0",
    )
    parser.add_argument("--data-only", action="store_true", help="prepare the data, then stop")
    arguments = parser.parse_args()
    known = known_parameters()
    parameters = {name: literal(text, known.get(name)) for name, text in arguments.p}
    if arguments.dataset:
        parameters["dataset"] = arguments.dataset
    if arguments.name is not None:
        parameters["run_name"] = arguments.name
    dataset, language = (parameters.get(name, known[name]) for name in ("dataset", "language"))
    try:
        check_run(parameters)
        print(f"Data set: {_DESCRIPTIONS.get(dataset, dataset)}", flush=True)
        files = locate(dataset, language)
        if arguments.data_only:
            parts = load_events(files, Downsampling(), language)
            print(f"{language}: {len(parts[0])} training and {len(parts[1])} test utterances in")
            print("\n".join(os.path.relpath(path) for path in files))
            return
        Recipe.from_flat({**known, **parameters, "dataset": smoke_sized(dataset, 1)[0]}).load()
        data = dataset_name(files)
        folder = runs_dir() / parameters.setdefault("run_name", as_run_name(data))
        run_notebooks(parameters, folder)
        info = read_run(folder).info
    except (DatasetError, ValueError, NotebookError, OSError) as error:
        sys.exit(f"\nThe study stopped.\n{error}")
    print(f"\nAccuracy on {data}, {language}, seed {info['seed']}:\n{score_table(info)}")
    print(f"Executed notebooks: {os.path.relpath(folder)}")


if __name__ == "__main__":
    main()
