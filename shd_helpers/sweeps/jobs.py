"""A sweep's jobs on SLURM: a worker each, replaced when they end, cancelled when the sweep ends."""

import hashlib
import re
import shlex
import sys
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from shd_helpers.paths import ROOT, runs_dir
from shd_helpers.sweeps import slurm
from shd_helpers.sweeps.spec import Sweep
from shd_helpers.sweeps.yaml_file import SweepError

POLL_S = 5.0
MAX_PAUSE_S = 300.0
MAX_ARRAY = 1000  # SLURM's own default limit
ROUNDS = 3  # of jobs that all die, after others have worked


class Jobs:
    """The jobs of one sweep; each runs one worker of one thread.

    Parameters
    ----------
    sweep : Sweep
        Whose name the jobs have.
    wanted : int
        How many there are to be at once, at most.
    options : mapping
        Of sbatch, by long names.
    address : str
        The scheduler's, as workers reach it.
    """

    def __init__(self, sweep: Sweep, wanted: int, options: Mapping[str, str], address: str) -> None:
        self._wanted, self._options, self._address = wanted, options, address
        self._logs = runs_dir() / "sweeps" / sweep.name / "slurm"
        place = hashlib.sha256(str(sweep.table).encode()).hexdigest()[:6]  # another clone's differ
        self._name = re.sub(r"[^\w.=+-]", "-", sweep.name) + f"-{place}"
        self._arrays: list[str] = []
        self._queue: dict[str, tuple[str, str]] = {}  # those alive: state and reason
        self._worked: set[str] = set()  # those that had a worker
        self._fruitless: list[str] = []  # ended without one, since the last one came
        self._silence = ""  # why squeue doesn't answer
        self._next, self._pause_s = 0.0, POLL_S

    def left_over(self) -> str:
        """Return a line about jobs of an earlier start that are still queued, or nothing."""
        jobs = self._ask()
        if not jobs:
            return ""
        listed = ", ".join(f"{job} ({state})" for job, (state, _) in jobs.items())
        arrays = " ".join(sorted({job.partition("_")[0] for job in jobs}))
        return (
            f"Jobs of an earlier start, or of one elsewhere, are still queued: {listed}. They end "
            f"by themselves when they find no scheduler; at once: scancel {arrays}"
        )

    def tend(self, n_left: int, workers: Collection[str]) -> None:
        """Replace jobs that ended, and cancel those that wait for nothing.

        Parameters
        ----------
        n_left : int
            Runs that have not ended.
        workers : collection of str
            Names of the workers that there are.

        Raises
        ------
        SweepError
            If sbatch refuses the first jobs, or all jobs died before a worker came.
        """
        came = {name.removeprefix("job ") for name in workers} & self._queue.keys() - self._worked
        if came:
            self._worked |= came
            self._fruitless, self._pause_s = [], POLL_S
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + POLL_S
        try:
            queue = self._ask() if self._arrays else {}
            self._silence = ""
        except SweepError as error:  # the jobs go on, whatever SLURM's controller does
            self._silence = f"squeue: {error}"
            return
        gone = self._queue.keys() - queue.keys()
        self._queue = {job: queue[job] for job in self._queue if job in queue}
        fruitless = sorted(gone - self._worked)
        if fruitless:
            self._fruitless += fruitless
            self._pause_s = min(2 * self._pause_s, MAX_PAUSE_S)
            self._next = time.monotonic() + (self._pause_s if self._worked else POLL_S)
        if self._fruitless and not self._queue and not workers:
            enough = self._wanted * ROUNDS if self._worked else 1
            if len(self._fruitless) >= enough:
                raise SweepError(f"all jobs died before a worker came: {self._last_words()}")
        wanted = min(self._wanted, n_left)
        waiting = [job for job, (state, _) in self._queue.items() if state == "PENDING"]
        surplus = waiting[: max(0, len(self._queue) - wanted)]
        if surplus:
            self.cancel(surplus)
        elif not fruitless and (self._worked or not self._fruitless):
            self._submit(wanted - len(self._queue))

    def _ask(self) -> dict[str, tuple[str, str]]:
        """Return state and reason of the sweep's jobs that are alive; once submitted, its own."""
        form = "--format=%i|%T|%r"
        lines = slurm.call("squeue", "--noheader", "--array", f"--name={self._name}", form).split(
            "\n"
        )
        jobs = {job: (state, reason) for job, state, reason in (s.split("|") for s in lines if s)}
        return {
            job: (state, why)
            for job, (state, why) in jobs.items()
            if state != "COMPLETING" and (not self._arrays or job.partition("_")[0] in self._arrays)
        }

    def _submit(self, n: int) -> None:
        """Submit jobs, as arrays."""
        self._logs.mkdir(parents=True, exist_ok=True)
        while n > 0:
            size = min(n, MAX_ARRAY)
            options = {
                **self._options,
                "array": f"0-{size - 1}",
                "chdir": str(ROOT),
                "job-name": self._name,
                "open-mode": "append",
                "output": f"{self._logs}/".replace("%", "%%") + "%A_%a.log",
                "parsable": "",
            }
            given = [f"--{name}={x}" if x else f"--{name}" for name, x in options.items()]
            try:
                with slurm.held():
                    printed = slurm.call("sbatch", *given, script=self._script())
                    array = printed.strip().partition(";")[0]
                    self._arrays.append(array)
                    self._queue |= {f"{array}_{i}": ("PENDING", "") for i in range(size)}
            except SweepError as error:
                if not self._arrays:
                    raise SweepError(f"no job was submitted: {error}") from None
                self._silence = str(error)  # a limit of today's; tried again
                return
            n -= size

    def _script(self) -> str:
        """Return what a job executes; the interpreter may have a space in its path."""
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", self._address]
        # SLURM limits the memory and replaces the job: no nanny is needed beside the worker
        worker += ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--memory-limit", "0"]
        worker += ["--death-timeout", f"{slurm.ANSWER_S:g}"]
        # not the job's number alone: Dask would read 12_0 as 120
        name = '--name "job ${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"'
        return f"#!/bin/sh\nexec {shlex.join(worker)} {name}\n"

    def cancel(self, jobs: Sequence[str] | None = None) -> None:
        """Take jobs out of the queue, or all; what fails is told with the command to repeat."""
        jobs = self._arrays if jobs is None else jobs
        if not jobs:
            return
        with slurm.held():
            try:
                slurm.call("scancel", *jobs)
            except SweepError as error:
                if "Invalid job id" not in str(error):  # one that has ended meanwhile
                    print(f"{error}. By hand: scancel {' '.join(jobs)}", file=sys.stderr)
            for job in jobs:
                self._queue.pop(job, None)

    def why(self) -> str:
        """Return why there is no worker, as far as is known."""
        counts = Counter(self._queue.values())
        told = [
            f"{n} job{'s' * (n > 1)} {state}"
            + (f" ({reason})" if reason not in ("", "None") else "")
            for (state, reason), n in counts.items()
        ]
        if any(state == "RUNNING" for state, _ in counts):
            told.append(f"workers must reach {self._address}")
        if self._fruitless:
            told.append(f"{len(self._fruitless)} died before a worker came: {self._last_words()}")
        return "; ".join([*told, *[self._silence] * bool(self._silence)]) or "no job"

    def _last_words(self) -> str:
        """Return what the log of the last job that died ends with."""
        log = self._logs / f"{self._fruitless[-1]}.log"
        return f"{log}: {_last_line(log)}"


def _last_line(log: Path) -> str:
    """Return the last line that says something."""
    if not log.exists():
        return "no log (cancelled before it began?)"
    lines = [s.strip() for s in log.read_text(errors="replace").splitlines() if s.strip()]
    telling = [s for s in lines if not s.endswith("End worker")]
    return (telling or lines or ["empty"])[-1]
