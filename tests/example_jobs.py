"""Jobs that wait as long as a file tells them: `python -m tests.example_jobs FOLDER PROCESSES`."""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from shd_helpers.study.jobs import run_jobs
from shd_helpers.study.run_folder import lock_beside

NAMES = tuple("abcdef")


@dataclass(frozen=True)
class Example:
    """A job that says in `log` that it has begun, and waits while there is a file `wait NAME`."""

    folder: Path
    name: str

    @property
    def path(self) -> Path:
        return self.folder / f"{self.name} is done"

    @property
    def lock(self) -> FileLock:
        return lock_beside(self.path)

    def __call__(self) -> str:
        if not self.path.exists():
            with (self.folder / "log").open("a") as log:
                log.write(f"{self.name} {os.getpid()} {os.environ.get('OMP_NUM_THREADS')}\n")
            while (self.folder / f"wait {self.name}").exists():
                time.sleep(0.01)
            self.path.touch()
        return self.name


def left(folder: Path) -> list[Example]:
    """Return the jobs that aren't done."""
    return [job for job in (Example(folder, name) for name in NAMES) if not job.path.exists()]


if __name__ == "__main__":
    jobs = left(Path(sys.argv[1]))
    for _ in run_jobs(jobs, int(sys.argv[2]), "examples", len(NAMES) - len(jobs)):
        pass
