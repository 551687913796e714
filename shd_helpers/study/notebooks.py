"""Run the whole study: execute the numbered notebooks into one run folder and show the scores."""

import argparse
import os
import shutil
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from tqdm import tqdm
from tqdm.contrib import DummyTqdmFile

from shd_helpers.command import run
from shd_helpers.data.datasets import dataset_name, locate
from shd_helpers.data.shd_file import LANGUAGES, DatasetError
from shd_helpers.events import Downsampling, load_events
from shd_helpers.paths import OF_A_RUN, ROOT, runs_dir
from shd_helpers.study.parameters import as_run_name, check_parameters, literal, notebook_parameters
from shd_helpers.study.recipe import SETTINGS, Recipe
from shd_helpers.study.run_folder import RunError, check_run_folder, read_run

if TYPE_CHECKING:
    from nbformat import NotebookNode

KERNEL = "python3"
# The other notebooks of a run need nothing of these two, which therefore run beside them.
BESIDE = OF_A_RUN[:2]
_SPOKEN = " (digits by eSpeak NG, made here; people's speech with DATASET=hd)"


class NotebookError(Exception):
    """A cell that failed; the message names it and its error, and where the traceback is."""


class _StoppedError(Exception):
    """A notebook that was stopped between two cells, because one beside it has failed."""


def execution_lock(folder: Path) -> FileLock:
    """Return the lock of who executes a run folder's notebooks."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(folder.with_name(f".{folder.name}.study"))


def execute_run(
    notebooks: Mapping[Path, Mapping[str, object]],
    folder: Path,
    *,
    beside: Mapping[Path, Mapping[str, object]] | None = None,
    timeout_s: float | None = None,
    progress: bool = False,
    lessons: bool = True,
) -> None:
    """Execute notebooks by papermill, and put them into their run folder.

    Each notebook gets a kernel of its own, in its own folder, with this checkout's package, and
    values for its parameters cell. Until all have ended well, they and their figures are in
    ``.<name>.notebooks`` beside the run folder, whose `execution_lock` the caller holds.

    Parameters
    ----------
    notebooks : mapping
        Each notebook's parameters, by its path. They are executed one after the other.
    folder : Path
        The run folder.
    beside : mapping, optional
        Notebooks that need nothing of the others: they are executed at the same time, also one
        after the other.
    timeout_s : float, optional
        Seconds for all notebooks together.
    progress : bool
        Show what `notebooks` print, and a bar; of those `beside` only that they have ended.
    lessons : bool
        Execute the cells for readers, too. Without them, see `without_lessons`, a run is the same.

    Raises
    ------
    NotebookError
        If a cell fails.
    RunError
        If Jupyter's kernel is another Python.
    RuntimeError
        If a kernel dies at each of three starts, or after it has begun.
    TimeoutError
        If all notebooks together take longer than `timeout_s`.
    """
    _check_kernel()
    place = folder.with_name(f".{folder.name}.notebooks")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    # The kernels inherit both. In a copied checkout the package that is installed is another one.
    os.environ["SHD_IMG_DIR"] = str(place / "img")
    paths = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    end = None if timeout_s is None else time.monotonic() + timeout_s
    stopped = Event()  # once it is set, no cell starts any more

    def execute(chain: Mapping[Path, Mapping[str, object]], is_shown: bool) -> None:
        try:
            for path, parameters in chain.items():
                if progress and is_shown:
                    print(f"\n{path.stem}", flush=True)
                start = time.monotonic()
                out = place / path.name
                _execute(path, out, parameters, end, stopped, progress and is_shown, lessons)
                if progress and not is_shown:
                    tqdm.write(f"{path.stem}: executed in {time.monotonic() - start:.0f} s")
        except BaseException:
            stopped.set()
            raise

    with ThreadPoolExecutor(1) as thread:
        others = thread.submit(execute, beside or {}, False)
        try:
            with suppress(_StoppedError):  # those beside have failed: their error is raised below
                execute(notebooks, True)
            others.result()
        except BaseException:  # Ctrl-C, too
            stopped.set()
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


def without_lessons(notebook: "NotebookNode") -> None:
    """Remove what is for readers only, in place, so that a notebook runs without them.

    The cells tagged ``lesson`` go: exercises, their checks, and what trains a reader's network. The
    study's own solution of an exercise takes the name of the reader's function.
    """
    kept = []
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", ())
        if "lesson" in tags:
            continue
        if "solution" in tags:
            cell.source = cell.source.replace("_solution(", "(", 1)
        kept.append(cell)
    notebook.cells = kept


def _execute(
    path: Path,
    out: Path,
    parameters: Mapping[str, object],
    end: float | None,
    stopped: Event,
    is_shown: bool,
    lessons: bool,
) -> None:
    """Execute one notebook and write it to `out`, as `execute_run` describes.

    No cell starts any more once `stopped` is set. `end` is the time.monotonic() to stop at.
    """
    import nbformat
    import papermill  # takes seconds
    from papermill.exceptions import PapermillExecutionError

    notebook = nbformat.read(path, as_version=4)
    if not lessons:
        without_lessons(notebook)
    has_begun = False

    def begin(**_: object) -> None:
        nonlocal has_begun
        has_begun = True

    def stop_if_asked(**_: object) -> None:
        if stopped.is_set():
            raise _StoppedError

    settings = {
        "kernel_name": KERNEL,
        # the kernel's folder; papermill's `cwd` would change this process's own
        "resources": {"metadata": {"path": str(path.parent)}},
        "progress_bar": is_shown,
        "stdout_file": DummyTqdmFile(sys.stdout) if is_shown else None,  # leaves the bar whole
        "extra_arguments": ["--log-level=CRITICAL"],  # a kernel's own words would tear the bar
        "on_notebook_start": begin,
        "on_cell_start": stop_if_asked,
        # papermill's own limit holds for each cell; 0 would mean none
        "timeout_func": lambda cell: None if end is None else max(0.1, end - time.monotonic()),
    }
    for is_last in (False, False, True):
        try:
            papermill.execute_notebook(notebook, out, parameters, **settings)
            return
        except PapermillExecutionError as error:
            raise NotebookError(
                f"{path.stem}, cell {error.exec_count}: {error.ename}: {error.evalue}\n"
                f"The traceback is in {out}"
            ) from error
        except RuntimeError:
            # The kernel died. It gets ports that were free a moment before: where many start
            # at once, another process may be faster. Before the first cell nothing is lost.
            if has_begun or is_last:
                raise


def report(scores: Mapping[str, float | None], data: str, language: str, seed: int) -> str:
    """Return what a newcomer needs of a run's scores: beside chance, and by whose voices.

    Parameters
    ----------
    scores : mapping
        Fractions by name, as run.json has them. None: the test utterances weren't scored.
    data : str
        The data set's name.
    """
    kind = " (synthetic speech)" if data == "spoken" else ""
    n_classes = len(LANGUAGES[language])
    text = {name: "-" if x is None else f"{x:.1%}" for name, x in scores.items()}
    others = f"training {text['train']}, validation {text['validation']}, test {text['test']}"
    return f"""\
Test accuracy on {data}{kind}, {language}, seed {seed}:
  {text["test_seen"]:>6}  seen speakers: other utterances of theirs trained the network
  {text["test_unseen"]:>6}  unseen speakers: none of their utterances did
  {1 / n_classes:>6.1%}  chance: guessing one of {n_classes} classes
Accuracy on all utterances: {others}"""


def next_steps(folder: Path) -> str:
    """Return which files to open after a study whose run folder this is."""
    results = Path(os.path.relpath(folder)) / OF_A_RUN[-1].name
    course = Path(os.path.relpath(OF_A_RUN[0]))
    return f"""\
Open next (make lab):
  {results}: what this network learned, and where it errs
  {course}: the course, in which you write its core yourself"""


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
        given = known | parameters
        recipe = Recipe.from_flat({name: given[name] for name in SETTINGS if name in given})
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
        of_notebook = {
            path: {name: value for name, value in parameters.items() if name in defaults}
            for path, defaults in cells.items()
        }
        beside = {path: of_notebook.pop(path) for path in BESIDE}
        start = time.monotonic()
        try:
            with execution_lock(folder).acquire(timeout=0):
                execute_run(of_notebook, folder, beside=beside, progress=True, lessons=False)
        except Timeout:
            wait = "another process runs the study there. Wait for it, or take another name."
            raise RunError(f"{folder}: {wait}") from None
        info = read_run(folder).info
    except (DatasetError, ValueError, NotebookError, OSError) as error:
        sys.exit(f"\nThe study stopped.\n{error}")
    minutes, seconds = divmod(round(time.monotonic() - start), 60)
    print(f"\nFour notebooks were executed in {minutes}:{seconds:02} minutes.\n")
    print(report(info["scores"], data, language, info["seed"]))
    print(next_steps(folder))


if __name__ == "__main__":
    run(main)
