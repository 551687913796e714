"""SLURM's commands, the options of a sweep's jobs, and what their time leaves for a run."""

import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import yaml

from shd_helpers.sweeps.yaml_file import SWEEPS, SweepError

SITE = SWEEPS / "cluster" / "slurm.yaml"
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
MARGIN_S = 30.0  # of a job's time, for its start and its end
ANSWER_S = 60.0
_OURS = ("array", "chdir", "error", "job-name", "open-mode", "output", "parsable", "wrap")


def read_options(given: Sequence[str] = ()) -> dict[str, str]:
    """Return sbatch's options by their long names: the site's file, and what replaces it.

    Parameters
    ----------
    given : sequence of str
        Of ``name=value`` with commas between; an option without a value ends with its ``=``.

    Returns
    -------
    dict
        Besides sbatch's options, `host` may be there: see `clusters.connect`.

    Raises
    ------
    SweepError
        If an option has no name, is set by the sweep itself, or there is no `time`.
    """
    try:
        text = SITE.read_text(encoding="utf-8") if SITE.exists() else ""
        options = yaml.load(text, yaml.BaseLoader) or {}
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise SweepError(f"{SITE}: not YAML ({error})") from error
    if not isinstance(options, dict) or not all(isinstance(x, str) for x in options.values()):
        raise SweepError(f"{SITE}: must be options of sbatch, one a line: partition: cpu")
    for pairs in given:
        # a comma belongs to the value where no name follows: nodelist=a,b
        for pair in re.split(r",(?=[a-z-]+=)", pairs):
            name, equals, value = pair.partition("=")
            if not equals:
                raise SweepError(f"--sbatch {pair}: must be NAME=VALUE, with sbatch's long names")
            options[name] = value
    for name in options:
        if not re.fullmatch(r"[a-z][a-z-]+", name) or name in _OURS:
            why = "the sweep itself sets it" if name in _OURS else "no long name of an option"
            raise SweepError(f"--sbatch or {SITE}: {name!r}: {why}")
    if "time" not in options:
        raise SweepError(f"--sbatch or {SITE}: without time, how long a job may last")
    seconds(options["time"])
    return options


def seconds(text: str) -> float:
    """Return the length of sbatch's `time`, one of its six notations.

    Raises
    ------
    SweepError
        If it is none.
    """
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if not found:
        raise SweepError(f"--sbatch time={text}: must be minutes, HH:MM:SS or D-HH:MM:SS")
    days, *rest = found.groups()
    numbers = [int(number) for number in rest if number is not None]
    if days is not None:
        hours, minutes, secs = (*numbers, 0, 0)[:3]
    elif len(numbers) == 3:
        hours, minutes, secs = numbers
    else:
        hours, (minutes, secs) = 0, (*numbers, 0)[:2]
    return float(((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + secs)


def run_limit(time_s: float, timeout_s: float | None) -> float:
    """Return how long a run may take in jobs of a length, seconds; without a wish, half a job.

    Raises
    ------
    SweepError
        If a job has no room for it.
    """
    room_s = time_s - MARGIN_S
    if room_s <= 0:
        raise SweepError(f"--sbatch time: {time_s:g} s are too short for a job")
    if timeout_s is not None and timeout_s > room_s:
        raise SweepError(
            f"--timeout {timeout_s:g}: such a run has no room in a job of {time_s:g} s; at most "
            f"{room_s:g}, or more --sbatch time="
        )
    return room_s / 2 if timeout_s is None else timeout_s


@contextmanager
def held() -> Iterator[None]:
    """Hold back what stops a sweep until a block has ended: no job is submitted unseen."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals don't come here
        return
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in STOPPING}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for stop in came:
            signal.raise_signal(stop)


def call(*command: str, script: str | None = None) -> str:
    """Return what one of SLURM's commands prints.

    Raises
    ------
    SweepError
        If it isn't there or fails; the message is its own.
    """
    try:
        ended = subprocess.run(
            command,
            input=script,
            capture_output=True,
            text=True,
            timeout=ANSWER_S,
            start_new_session=True,  # a terminal's Ctrl-C isn't for it
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SweepError(f"{command[0]}: {error}") from error
    if ended.returncode:
        raise SweepError(" ".join((ended.stderr or ended.stdout or command[0]).split()))
    return ended.stdout


def check_commands() -> None:
    """Refuse a machine that can't submit jobs.

    Raises
    ------
    SweepError
        If SLURM's commands aren't there.
    """
    missing = [name for name in ("sbatch", "squeue", "scancel") if shutil.which(name) is None]
    if missing:
        raise SweepError(
            f"--slurm: there is no {', '.join(missing)} here. Start the sweep on a machine from "
            "which jobs are submitted, or use --workers"
        )
