"""Execute notebooks by papermill, each with a kernel of its own, into one run folder."""

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

from filelock import FileLock
from tqdm import tqdm
from tqdm.contrib import DummyTqdmFile

from shd_helpers.extras import from_extra
from shd_helpers.paths import ROOT, folder_variables
from shd_helpers.study.run_folder import RunError

if TYPE_CHECKING:
    from nbformat import NotebookNode

KERNEL = "python3"  # Jupyter's name of the kernel of its own environment
N_STARTS = 3  # of a kernel that dies before it has begun
ParametersByNotebook = Mapping[Path, Mapping[str, object]]  # in the order of execution


class NotebookError(Exception):
    """A notebook's cell failed; the message names the cell, its error and the traceback's file."""


class _StoppedError(Exception):
    """A notebook was stopped between two cells, because another one has failed."""


def execution_lock(folder: Path) -> FileLock:
    """Return a lock that lets one process execute a run folder's notebooks."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(folder.with_name(f".{folder.name}.study"))


def execute_run(
    notebooks: ParametersByNotebook,
    folder: Path,
    *,
    beside: ParametersByNotebook | None = None,
    timeout_s: float | None = None,
    progress: bool = False,
    lessons: bool = True,
) -> None:
    """Execute notebooks by papermill, and move them to their run folder.

    Each notebook gets a kernel of its own, in its own folder, with this checkout's package, and
    values for its parameters cell. Until all have ended well, they and their figures are in
    ``.<name>.notebooks`` beside the run folder, whose `execution_lock` the caller holds.
    """
    _check_kernel()
    unfinished = folder.with_name(f".{folder.name}.notebooks")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    _set_kernel_environment(unfinished)
    end_s = None if timeout_s is None else time.monotonic() + timeout_s
    stopped = Event()  # once it is set, no cell starts any more

    def execute_in_order(chain: ParametersByNotebook, is_shown: bool) -> None:
        """Execute notebooks one after the other; stop all others if one fails."""
        try:
            for path, parameters in chain.items():
                if is_shown:
                    print(f"\n{path.stem}", flush=True)
                start_s = time.monotonic()
                notebook = _Notebook(path, unfinished / path.name, end_s, stopped, is_shown)
                notebook.execute_with(parameters, lessons)
                if progress and not is_shown:
                    tqdm.write(f"{path.stem}: executed in {time.monotonic() - start_s:.0f} s")
        except BaseException:
            stopped.set()
            raise

    with ThreadPoolExecutor(1) as thread:
        others = thread.submit(execute_in_order, beside or {}, is_shown=False)
        try:
            with suppress(_StoppedError):  # those beside have failed: their error is raised below
                execute_in_order(notebooks, is_shown=progress)
            others.result()
        except BaseException:  # Ctrl-C, too
            stopped.set()
            raise
    shutil.copytree(unfinished, folder, copy_function=os.replace, dirs_exist_ok=True)
    shutil.rmtree(unfinished)


def _set_kernel_environment(unfinished: Path) -> None:
    """Set the variables that kernels inherit: where files go, and which packages are imported.

    In a copied checkout the packages that are installed are another checkout's.
    """
    os.environ["SHD_IMG_DIR"] = str(unfinished / "img")
    paths = [str(ROOT), *map(str, sorted((ROOT / "packages").glob("*")))]
    for path in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        if path and path not in paths:
            paths.append(path)
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    os.environ.update(folder_variables())


def _check_kernel() -> None:
    """Raise RunError if the kernel that Jupyter calls python3 isn't this Python.

    A kernel in the user's folder, or in one of `JUPYTER_PATH`, goes before that of this
    environment. It would execute the notebooks with other packages.
    """
    with from_extra("study"):
        from jupyter_client.kernelspec import KernelSpecManager

    kernel = KernelSpecManager().get_kernel_spec(KERNEL)
    program = kernel.argv[0] if kernel.argv else ""
    # Jupyter replaces these names by its own Python
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
    """Remove what is for readers only, so that a notebook runs without them.

    The cells tagged ``lesson`` go: exercises, their checks, and what trains a reader's network. The
    study's own solution of an exercise takes the name of the reader's function.
    """
    remaining = []
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", ())
        if "lesson" in tags:
            continue
        if "solution" in tags:
            cell.source = cell.source.replace("_solution(", "(", 1)
        remaining.append(cell)
    notebook.cells = remaining


class _Notebook:
    """One notebook, to be executed by papermill."""

    def __init__(
        self, path: Path, out: Path, end_s: float | None, stopped: Event, is_shown: bool
    ) -> None:
        self._path = path
        self._out = out
        self._end_s = end_s
        self._stopped = stopped
        self._has_begun = False
        self._settings = {
            "kernel_name": KERNEL,
            # the kernel's folder; papermill's `cwd` would change this process's own
            "resources": {"metadata": {"path": str(path.parent)}},
            "progress_bar": is_shown,
            # leaves the bar whole
            "stdout_file": DummyTqdmFile(sys.stdout) if is_shown else None,
            # a kernel's own words would tear the bar
            "extra_arguments": ["--log-level=CRITICAL"],
            "on_notebook_start": self._begin,
            "on_cell_start": self._stop_if_asked,
            "timeout_func": self._seconds_left,
        }

    def _begin(self, **_: object) -> None:
        self._has_begun = True

    def _stop_if_asked(self, **_: object) -> None:
        if self._stopped.is_set():
            raise _StoppedError

    def _seconds_left(self, cell: object) -> float | None:
        """Return the time limit of a cell: what is left for all (papermill takes 0 for none)."""
        if self._end_s is None:
            return None
        return max(0.1, self._end_s - time.monotonic())

    def execute_with(self, parameters: Mapping[str, object], lessons: bool) -> None:
        """Execute the notebook with these parameters, with or without the cells for readers."""
        with from_extra("study"):
            import nbformat
            import papermill  # takes seconds
            from papermill.exceptions import PapermillExecutionError

        notebook = nbformat.read(self._path, as_version=4)
        if not lessons:
            without_lessons(notebook)
        for attempt in range(1, N_STARTS + 1):
            try:
                papermill.execute_notebook(notebook, self._out, parameters, **self._settings)
                return
            except PapermillExecutionError as error:
                raise NotebookError(
                    f"{self._path.stem}, cell {error.exec_count}: {error.ename}: {error.evalue}\n"
                    f"The traceback is in {self._out}"
                ) from error
            except RuntimeError:
                # The kernel died. It gets ports that were free a moment before: where many start
                # at once, another process may be faster. Before the first cell nothing is lost.
                if self._has_begun or attempt == N_STARTS:
                    raise
