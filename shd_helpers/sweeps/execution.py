"""Execute one run of a sweep, in this process or in one of its own.

Only one process executes a run. Others wait until it has ended, and reuse its result.
"""

import os
import traceback
from collections.abc import Mapping
from pathlib import Path

from filelock import Timeout

from shd_helpers.paths import folder_variables
from shd_helpers.study.identity import identify_user_code, references
from shd_helpers.study.notebook_execution import NotebookError, execute_run, execution_lock
from shd_helpers.study.tables import USER_CODE_SHA256
from shd_helpers.sweeps.results import RunResult, finished_run
from shd_helpers.sweeps.spec import PendingRun, RunSpec

FOREVER_S = -1.0  # of a lock: it waits as long as it takes
_NO_RESULT = (
    "The notebook ran to its end, but didn't leave the expected run. Its run.json is missing or "
    "damaged, or describes other parameters, other data or another network. Check that the "
    "notebook passes all its parameters to start_run."
)
# Each run has one process with one thread. So the runs share the cores well, and no result depends
# on how many cores a machine has.
_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
}
# By default glibc returns the memory of large arrays to the system at every step, and asks for it
# again. That took half of the time of the inputs' comparison.
_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "1073741824"}


def run_environment() -> dict[str, str]:
    """Return the environment variables with which a sweep's runs are executed."""
    environment = {name: value for name, value in os.environ.items() if name.startswith("SHD_")}
    return environment | folder_variables() | _ONE_THREAD | _KEEP_MEMORY


def execute(
    pending: PendingRun,
    notebook: Path,
    timeout_s: float,
    environment: Mapping[str, str],
    wait_s: float,
) -> RunResult | None:
    """Execute a run in this process, whose environment variables it changes."""
    run = pending.run
    try:
        check_unchanged(run)
        _set_environment(environment)
        with execution_lock(run.folder).acquire(timeout=wait_s):
            if pending.ignore_finished_folder or finished_run(run.folder, run.hash) is None:
                notebooks = {notebook: run.parameters}
                execute_run(notebooks, run.folder, timeout_s=timeout_s, lessons=False)
        measured = finished_run(run.folder, run.hash)
    except Timeout:  # of the lock
        return None
    except NotebookError as error:
        return RunResult.failure(str(error.__cause__))  # has the cell's traceback
    except TimeoutError as error:
        return RunResult.failure(f"{error}\ntime-out: more than {timeout_s:.4g} s")
    except Exception:  # whatever ends a run, the others go on and the table has the reason
        return RunResult.failure(traceback.format_exc())
    if measured is None:
        return RunResult.failure(_NO_RESULT)
    return RunResult(measured)


def _set_environment(environment: Mapping[str, str]) -> None:
    """Set the environment variables of a sweep, which the notebook's kernel inherits."""
    for name in list(os.environ):
        if name.startswith("SHD_"):
            del os.environ[name]  # of an earlier sweep on this worker
    os.environ.update(environment)


def check_unchanged(run: RunSpec) -> None:
    """Check that the user's own Python files are those that the sweep has read."""
    if identify_user_code(run.parameters).get(USER_CODE_SHA256) != run.data.get(USER_CODE_SHA256):
        files = ", ".join(references(run.parameters).values())
        raise RuntimeError(f"{files}: changed while the sweep ran. Start the sweep again.")
