"""Run the whole study: execute the numbered notebooks into one run folder and show the scores."""

import argparse
import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from filelock import FileLock, Timeout
from tqdm.contrib import DummyTqdmFile

from shd_helpers.command import run
from shd_helpers.events import Downsampling, load_events
from shd_helpers.paths import OF_A_RUN, ROOT, runs_dir
from shd_helpers.source.datasets import dataset_name, locate
from shd_helpers.source.shd_file import DatasetError
from shd_helpers.study.parameters import as_run_name, check_parameters, literal, notebook_parameters
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.run_folder import RunError, check_run_folder, read_run

KERNEL = "python3"
_SPOKEN = " (digits by eSpeak NG, made here; people's speech with DATASET=hd)"


class NotebookError(Exception):
    """A cell that failed; the message names it and its error, and where the traceback is."""


def execution_lock(folder: Path) -> FileLock:
    """Return the lock of who executes a run folder's notebooks."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(folder.with_name(f".{folder.name}.study"))


def execute_run(
    notebooks: Mapping[Path, Mapping[str, object]],
    folder: Path,
    *,
    timeout_s: float | None = None,
    progress: bool = False,
    lessons: bool = True,
) -> None:
    """Execute notebooks one after the other by papermill, and put them into their run folder.

    Each gets a kernel of its own, in its own folder, with this checkout's package, and values for
    its parameters cell. Until all have ended well they and their figures lie in
    ``.<name>.notebooks`` beside the run folder, whose `execution_lock` the caller holds. With
    `progress` they show what they print, and a bar; without `lessons` cells of that tag, which
    leave a run as it is, are passed over.

    NotebookError, if a cell fails; RunError, if Jupyter's kernel is another Python; RuntimeError,
    if a kernel dies at each of three starts or after it has begun; TimeoutError, if all together
    take longer than `timeout_s` seconds.
    """
    _check_kernel()
    import nbformat
    import papermill  # takes seconds
    from papermill.exceptions import PapermillExecutionError

    end = None if timeout_s is None else time.monotonic() + timeout_s
    place = folder.with_name(f".{folder.name}.notebooks")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    # The kernels inherit both. In a copied checkout the package that is installed is another one.
    os.environ["SHD_IMG_DIR"] = str(place / "img")
    paths = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    for path, parameters in notebooks.items():
        notebook = nbformat.read(path, as_version=4)
        if not lessons:
            cells = notebook.cells
            notebook.cells = [c for c in cells if "lesson" not in c.metadata.get("tags", ())]
        if progress:
            print(f"\n{path.stem}", flush=True)
        has_begun: list[object] = []
        settings = {
            "kernel_name": KERNEL,
            "cwd": path.parent,
            "progress_bar": progress,
            "stdout_file": DummyTqdmFile(sys.stdout) if progress else None,  # leaves the bar whole
            "extra_arguments": ["--log-level=CRITICAL"],  # a kernel's own words would tear the bar
            "on_notebook_start": lambda notebook, begun=has_begun: begun.append(notebook),
            # papermill's own limit holds for each cell; 0 would mean none
            "timeout_func": lambda cell: None if end is None else max(0.1, end - time.monotonic()),
        }
        for is_last in (False, False, True):
            try:
                papermill.execute_notebook(notebook, place / path.name, parameters, **settings)
                break
            except PapermillExecutionError as error:
                raise NotebookError(
                    f"{path.stem}, cell {error.exec_count}: {error.ename}: {error.evalue}\n"
                    f"The traceback is in {place / path.name}"
                ) from error
            except RuntimeError:
                # The kernel died. It gets ports that were free a moment before: where many start
                # at once, another process may be faster. Before the first cell nothing is lost.
                if has_begun or is_last:
                    raise
    shutil.copytree(place, folder, copy_function=os.replace, dirs_exist_ok=True)
    shutil.rmtree(place)


def _check_kernel() -> None:
    """Raise RunError if the kernel that Jupyter calls python3 isn't this Python.

    A kernel in the user's folder, or in one of `JUPYTER_PATH`, goes before that of this
    environment. It would execute the notebooks with other packages.
    """
    from jupyter_client.kernelspec import KernelSpecManager

    kernel = KernelSpecManager().get_kernel_spec(KERNEL)
    program = kernel.argv[0] if kernel.argv else ""
    # Jupyter puts its own Python in the place of these names
    if program in ("python", "python3", f"python{sys.version_info[0]}.{sys.version_info[1]}"):
        return
    own = Path(sys.executable)
    # not by what links lead to: all environments' lead to one Python
    if Path(program).parent.resolve() == own.parent.resolve() and Path(program).exists():
        return
    raise RunError(
        f"{kernel.resource_dir}: Jupyter's kernel {KERNEL} starts {program or 'nothing'}, not "
        f"{own}. Remove that folder, or unset JUPYTER_PATH if it leads there."
    )


def main() -> None:
    """Run the study from the command line (``make study``)."""
    parser = argparse.ArgumentParser(
        prog="python -m shd_helpers.study.notebooks", description=__doc__
    )
    parser.add_argument(
        "-p",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="any parameter of the notebooks, for example: -p epochs 10 -p dataset hd; the run "
        "folder's run_name is that of the data set unless it is given",
    )
    parser.add_argument("--data-only", action="store_true", help="prepare the data, then stop")
    arguments = parser.parse_args()
    cells = {path: notebook_parameters(path) for path in OF_A_RUN}
    known = {name: value for own in cells.values() for name, value in own.items()}
    parameters = {name: literal(text, known.get(name)) for name, text in arguments.p}
    dataset, language = (parameters.get(name, known[name]) for name in ("dataset", "language"))
    try:
        check_parameters(parameters, known)
        recipe = Recipe.from_flat(known | parameters)
        print(f"Data set: {dataset}{_SPOKEN * (dataset == 'spoken')}", flush=True)
        files = locate(dataset, language)
        if arguments.data_only:
            parts = load_events(files, Downsampling(), language)
            print(f"{language}: {len(parts[0])} training and {len(parts[1])} test utterances in")
            print("\n".join(os.path.relpath(path) for path in files))
            return
        recipe.load()
        data = dataset_name(files)
        folder = runs_dir() / parameters.setdefault("run_name", as_run_name(data))
        check_run_folder(folder)
        given = {path: {k: v for k, v in parameters.items() if k in cells[path]} for path in cells}
        try:
            with execution_lock(folder).acquire(timeout=0):
                execute_run(given, folder, progress=True)
        except Timeout:
            wait = "another process runs the study there. Wait for it, or take another name."
            raise RunError(f"{folder}: {wait}") from None
        info = read_run(folder).info
    except (DatasetError, ValueError, NotebookError, OSError) as error:
        sys.exit(f"\nThe study stopped.\n{error}")
    print(f"\nAccuracy on {data}, {language}, seed {info['seed']}:")
    row = {name: "-" if x is None else f"{x:.1%}" for name, x in info["scores"].items()}
    print(pd.DataFrame([row]).to_string(index=False))
    print(f"Executed notebooks: {os.path.relpath(folder)}")


if __name__ == "__main__":
    run(main)
