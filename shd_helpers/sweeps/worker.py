"""What a worker does: execute one run of a sweep."""

import os
import time
import traceback
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock

from shd_helpers.study.tables import finished_run
from shd_helpers.sweeps.spec import RunSpec

STARTS = 3  # of a kernel that dies before it runs anything


def execute(
    notebook: Path, run: RunSpec, timeout_s: float, environment: Mapping, again: bool
) -> str:
    """Execute a run, on a worker; return the traceback of what failed, else nothing.

    Only one process executes a run; others wait and reuse its result.

    Parameters
    ----------
    notebook : Path
        What is executed.
    run : RunSpec
        Its parameters, and where it goes.
    timeout_s : float
        Seconds that it may take.
    environment : mapping
        The sweep's environment variables.
    again : bool
        Whether it is executed although a run folder has it already.
    """
    from distributed import get_worker
    from papermill.exceptions import PapermillExecutionError

    try:
        if get_worker().state.nthreads != 1:
            raise RuntimeError("a worker needs exactly one thread: dask worker --nthreads 1")
        for name in [name for name in os.environ if name.startswith("SHD_")]:
            del os.environ[name]  # of an earlier sweep on this worker
        os.environ.update(environment)  # the kernel inherits it
        run.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(run.folder / ".lock"):
            if again or finished_run(run.folder, run.hash) is None:
                _execute_notebook(notebook, run, time.monotonic() + timeout_s)
        if finished_run(run.folder, run.hash) is None:
            raise RuntimeError("run.json is not complete, or of other parameters or data")
    except PapermillExecutionError as error:
        return str(error)  # holds the cell's traceback
    except TimeoutError as error:
        return f"time-out: more than {timeout_s:g} s\n{error}"
    except Exception:  # whatever a run dies of, the others go on and the table tells
        return traceback.format_exc()
    return ""


def _execute_notebook(notebook: Path, run: RunSpec, end: float) -> None:
    """Execute a notebook in a kernel of its own, until a time of the monotonic clock.

    A kernel gets ports that were free a moment before it takes them. Where many start at once,
    another process may be faster, and the kernel dies. Before its first cell nothing is lost.
    """
    import papermill

    for starts_left in reversed(range(STARTS)):
        has_begun: list[bool] = []
        try:
            papermill.execute_notebook(
                notebook,
                run.folder / notebook.name,
                run.parameters,
                kernel_name="python3",
                cwd=notebook.parent,
                progress_bar=False,
                extra_arguments=["--log-level=ERROR"],
                # a fixed limit would hold for each cell; 0 would mean none
                timeout_func=lambda cell: max(0.1, end - time.monotonic()),
                on_notebook_start=lambda notebook, begun=has_begun: begun.append(True),
            )
            return
        except RuntimeError:  # "Kernel died before replying to kernel_info", and others
            if has_begun or not starts_left:
                raise
