"""Execute the notebook of one run of a sweep: a job that `run_jobs` does."""

import traceback
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from shd_helpers.study.identity import identify_user_code, references
from shd_helpers.study.jobs import set_environment
from shd_helpers.study.notebooks import NotebookError, execute_run, execution_lock
from shd_helpers.study.tables import USER_CODE_SHA256
from shd_helpers.sweeps.results import RunResult, finished_run
from shd_helpers.sweeps.spec import RunSpec

_NO_RESULT = (
    "The notebook ran to its end, but didn't leave the expected run. Its run.json is missing or "
    "damaged, or describes other parameters, other data or another network. Check that the "
    "notebook passes all its parameters to start_run."
)


@dataclass(frozen=True)
class NotebookJob:
    """A run to execute: its notebook, how long that may take, and the environment of its kernel."""

    run: RunSpec
    ignores_finished_folder: bool  # executes the run even if its folder has a finished one by then
    notebook: Path
    timeout_s: float
    environment: dict[str, str]

    @property
    def lock(self) -> FileLock:
        """Return the lock of the run folder."""
        return execution_lock(self.run.folder)

    def __call__(self) -> RunResult:
        """Execute the run, unless another process has done it meanwhile."""
        run = self.run
        try:
            check_unchanged(run)
            set_environment(self.environment)
            if self.ignores_finished_folder or finished_run(run.folder, run.hash) is None:
                notebooks = {self.notebook: run.parameters}
                execute_run(notebooks, run.folder, timeout_s=self.timeout_s, lessons=False)
            measured = finished_run(run.folder, run.hash)
        except NotebookError as error:
            return RunResult(error=str(error.__cause__))  # has the cell's traceback
        except TimeoutError as error:
            return RunResult(error=f"{error}\ntime-out: more than {self.timeout_s:.4g} s")
        except Exception:  # whatever ends a run, the others go on and the table has the reason
            return RunResult(error=traceback.format_exc())
        if measured is None:
            return RunResult(error=_NO_RESULT)
        return RunResult(measured)


def check_unchanged(run: RunSpec) -> None:
    """Check that the user's files are those that the sweep has identified."""
    if identify_user_code(run.parameters).get(USER_CODE_SHA256) != run.data.get(USER_CODE_SHA256):
        files = ", ".join(references(run.parameters).values())
        raise RuntimeError(f"{files}: changed while the sweep ran. Start the sweep again.")
