"""Run the whole study: execute the numbered notebooks into one run folder and show the scores."""

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import papermill
from papermill.exceptions import PapermillExecutionError
from tqdm import tqdm

from shd_helpers.events import Augmentation, Downsampling, Split, load_events
from shd_helpers.network.config import NetworkConfig
from shd_helpers.paths import NOTEBOOKS, runs_dir
from shd_helpers.source.datasets import dataset_name, locate
from shd_helpers.source.shd_file import DatasetError
from shd_helpers.study.identity import check_parameters, literal, notebook_parameters, settings
from shd_helpers.study.run_folder import read_run
from shd_helpers.study.training import TrainConfig

_DESCRIPTIONS = {
    "spoken": "spoken (digits by eSpeak NG, made here; people's speech with DATASET=hd)",
    "hd": "hd (the Heidelberg Digits, turned into spikes here)",
    "shd": "shd (the official Spiking Heidelberg Digits)",
}
OF_A_RUN = tuple(
    NOTEBOOKS / f"{name}.ipynb"
    for name in (
        "01_data_preprocessing",
        "02_surrogate_visualization",
        "03_model_training",
        "04_results_analysis",
    )
)
SCORES = ("train", "validation", "test", "test_seen", "test_unseen")


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
    check_settings(known | dict(parameters))


def check_settings(parameters: Mapping[str, object]) -> None:
    """Raise ValueError if a value among all parameters of a run is out of its range."""
    for kind in (Downsampling, Split, NetworkConfig, TrainConfig, Augmentation):
        settings(kind, parameters)


def run_notebooks(parameters: Mapping[str, object], folder: Path) -> None:
    """Execute the notebooks of a run, giving each those of the parameters that it has.

    Parameters
    ----------
    parameters : mapping
        Values by name, for the notebooks' parameters cells.
    folder : Path
        Where the executed notebooks go, and their figures (``img/`` in it).

    Raises
    ------
    ValueError
        If no notebook has such a parameter, or a value is out of range, before anything runs.
    PapermillExecutionError
        If a cell fails; the notebook up to there is in the folder.
    """
    check_run(parameters)
    defaults = {path: notebook_parameters(path) for path in OF_A_RUN}
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["SHD_IMG_DIR"] = str(folder / "img")  # the kernels inherit it
    for path, cell in defaults.items():
        print(f"\n{path.stem}", flush=True)
        papermill.execute_notebook(
            path,
            folder / path.name,
            {name: value for name, value in parameters.items() if name in cell},
            cwd=path.parent,
            kernel_name="python3",
            stdout_file=_Console(),
            # the kernel's own log (a note on its transport, the end of its life) is no news here
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
        )


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
        data = dataset_name(files)
        name = arguments.name or data
        folder = runs_dir() / name
        run_notebooks(parameters | {"run_name": name}, folder)
    except (DatasetError, ValueError, PapermillExecutionError) as error:
        sys.exit(f"\nThe study stopped.\n{error}")
    info = read_run(folder).info
    print(f"\nAccuracy on {data}, {language}, seed {info['seed']}:\n{score_table(info)}")
    print(f"Executed notebooks: {os.path.relpath(folder)}")


if __name__ == "__main__":
    main()
