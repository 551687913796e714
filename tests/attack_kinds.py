"""Attack the study in many kinds, each with some attempts; see SECURITY.md.

python -m tests.attack_kinds [--kind TEXT] [--attempts 10] [--seed 0] [--table results/attacks.csv]

Each attempt is drawn from the seed, the kind's name and the attempt's number. It prepares something
in a small study in a temporary folder and then acts there, in a process of its own. How it may end:

completed  everything was done, and correctly
refused    it ended in a sentence that names the thing; everything that was there is still there
unclear    it ended in a traceback, in a sentence that names nothing, or with a wrong result
hung       it didn't end within two minutes
lost       a finished run, a row of a table or a file of the user is gone or changed

What is unclear, hung or lost is printed, and the exit status is then 1. Attempts that mount
something need root: without it they aren't counted.
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import gzip
import json
import os
import random
import re
import resource
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import tty
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests import random_attacks
from tests.random_attacks import FORK, Arena, Home, execute, hashes

# after random_attacks, which sets variables that numpy and torch read when they are imported
import h5py  # isort: skip
import numpy as np  # isort: skip
import soundfile  # isort: skip

from shd_circuit.board import Board  # isort: skip
from shd_circuit.folder import check_folder, read_circuit  # isort: skip
from shd_helpers.network import Quantization  # isort: skip
from shd_helpers.paths import ROOT  # isort: skip
from shd_helpers.data import heidelberg  # isort: skip
from shd_corpus import download

from shd_corpus.microphone import read_utterance  # isort: skip
from shd_corpus.sound_file import read_sound  # isort: skip
from shd_corpus.shd_file import read_shd

from shd_corpus.shd_writer import write_shd  # isort: skip
from shd_helpers.study import load_pretrained, notebook_execution, read_table  # isort: skip
from shd_helpers.study.pretrained import write_pretrained  # isort: skip
from shd_helpers.sweeps import reuse  # isort: skip
from shd_helpers.sweeps.spec import read_sweep  # isort: skip
from shd_helpers.sweeps.workers import Shard  # isort: skip
from tests.sweep_home import as_yaml  # isort: skip
from tests.builders.recordings import sound  # isort: skip

TABLE = ROOT / "results" / "attacks.csv"
COLUMNS = ("kind", "seed", "attempts", "refused", "completed", "unclear", "hung", "lost", "ends")
LIMIT_S = 120.0  # of an attempt, on a busy machine
COMMAND_S = 100.0  # of a command that an attempt starts


class NotHere(Exception):
    """This machine can't do what the attempt needs; the attempt doesn't count."""


@dataclass(frozen=True)
class Attempt:
    """What an attempt does after it is prepared, and what its end is judged by."""

    act: Callable[[], object]
    names: tuple[str, ...]  # a refusal names one of them
    may_complete: bool = True  # otherwise completing means that nonsense was accepted
    damaged: frozenset[str] = frozenset()  # files, in the study's folder, that the attempt changed
    check: Callable[[], str] = str  # after it has ended; returns what is wrong


@dataclass(frozen=True)
class Kind:
    """A kind of attack."""

    name: str
    prepare: Callable[[random.Random, Home], Attempt]
    attempts: int
    needs_study: bool  # a trained one; otherwise an empty folder is enough


@dataclass
class Counts:
    """How the attempts of a kind ended."""

    outcomes: Counter = field(default_factory=Counter)
    example: str = ""
    bad: str = ""


KINDS: list[Kind] = []


def kind(name: str, attempts: int = 10, needs_study: bool = False) -> Callable:
    """Add the decorated function to `KINDS`."""

    def add(prepare: Callable[[random.Random, Home], Attempt]) -> Callable:
        KINDS.append(Kind(name, prepare, attempts, needs_study))
        return prepare

    return add


def act_of(home: Home, rng: random.Random, *names: str) -> Callable[[], object]:
    """Return one of the study's own acts, drawn; a sweep has a run to do."""
    name = rng.choice(names)
    if name == "sweep":
        more_to_do(home)
    return getattr(home, name)


def more_to_do(home: Home, slope: float = 4.0) -> None:
    """Give the sweep, which has ended, one more run."""
    text = home.yaml.read_text(encoding="utf-8")
    home.yaml.write_text(text.replace("slope:\n", f"slope:\n  - {slope}\n"), encoding="utf-8")


def run_command(arguments: list[str], **options: object) -> subprocess.CompletedProcess:
    """Run a command in the repository; ValueError with its last line, if it fails in a sentence."""
    environment = os.environ | options.pop("env", {})
    settings: dict = {"stdout": subprocess.PIPE, "timeout": COMMAND_S} | options
    ended = subprocess.run(arguments, cwd=ROOT, env=environment, stderr=subprocess.PIPE, **settings)
    said = ended.stderr.decode(errors="replace")
    if "Traceback" in said or "Exception ignored" in said:
        raise RuntimeError(said[-2000:])
    if ended.returncode:
        raise ValueError((said.strip().splitlines() or [""])[-1])
    return ended


# --- run folders ----------------------------------------------------------------------------------


def in_own_mounts() -> ctypes.CDLL:
    """Give this process mounts of its own, and return the C library; NotHere, if it may not."""
    library = ctypes.CDLL(None, use_errno=True)
    new_mounts = 0x20000
    private = 1 << 18
    recursive = 1 << 14
    if os.geteuid() or library.unshare(new_mounts):
        raise NotHere("mounts need root")
    if library.mount(b"none", b"/", None, private | recursive, None):
        raise NotHere("mounts can't be made private")
    return library


def bind(library: ctypes.CDLL, source: Path, target: Path, read_only: bool = False) -> None:
    """Mount a folder on another one."""
    bound = 1 << 12
    again = 1 << 5
    only_read = 1
    if library.mount(os.fsencode(source), os.fsencode(target), None, bound, None):
        raise NotHere("a folder can't be mounted")
    if read_only and library.mount(
        None, os.fsencode(target), None, bound | again | only_read, None
    ):
        raise NotHere("a folder can't be mounted to be read only")


@kind("a link as run folder", 4, needs_study=True)
def link_as_run_folder(rng: random.Random, home: Home) -> Attempt:
    elsewhere = home.folder / "elsewhere"
    run = home.folder / "runs" / "keep"
    if rng.random() < 0.5:
        run.rename(elsewhere)
    else:
        shutil.rmtree(run)
    run.symlink_to(elsewhere)
    return Attempt(act_of(home, rng, "train", "analyze"), (str(run),))


@kind("a mount as run folder", 3, needs_study=True)
def mount_as_run_folder(rng: random.Random, home: Home) -> Attempt:
    run = home.folder / "runs" / "keep"
    elsewhere = home.folder / "elsewhere"
    shutil.copytree(run, elsewhere)
    choice = act_of(home, rng, "train", "analyze")

    def act() -> object:
        bind(in_own_mounts(), elsewhere, run)
        return choice()

    return Attempt(act, (str(run),))


@kind("folders that can only be read", 6, needs_study=True)
def read_only_folders(rng: random.Random, home: Home) -> Attempt:
    name = rng.choice(["runs", "results", "data", "out", "toy"])
    folder = home.folder / name
    method = "encode" if name == "out" else rng.choice(["train", "sweep", "analyze"])
    choice = getattr(home, method)

    def act() -> object:
        bind(in_own_mounts(), folder, folder, read_only=True)
        return choice()

    return Attempt(act, (str(folder), "dataset"))


@kind("a full disk", 10, needs_study=True)
def full_disk(rng: random.Random, home: Home) -> Attempt:
    """A small disk is mounted on a folder, with the folder's content and some kilobytes more."""
    name, method = rng.choice([("runs", "train"), ("results", "sweep"), ("out", "encode")])
    folder = home.folder / name
    copied = home.folder / "content"
    if method == "sweep":
        more_to_do(home)
    more = rng.randrange(0, rng.choice([5_000, 50_000, 200_000]))
    choice = getattr(home, method)

    def act() -> object:
        library = in_own_mounts()
        shutil.copytree(folder, copied, symlinks=True)
        size = sum(-(-p.stat().st_size // 4096) * 4096 + 4096 for p in copied.rglob("*")) + more
        options = f"size={size}".encode()
        if library.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, options):
            raise NotHere("no disk in memory")
        shutil.copytree(copied, folder, symlinks=True, dirs_exist_ok=True)
        try:
            return choice()
        finally:  # what is on the small disk ends with this process
            shutil.rmtree(copied)
            shutil.copytree(folder, copied, symlinks=True)

    def check() -> str:
        if method != "sweep":
            return ""
        n_rows = len(read_table(copied / home.table.name))
        return "" if n_rows >= 2 else f"{n_rows} rows are left of 2"

    return Attempt(act, (str(folder), "disk", "space"), check=check)


@kind("files that can't grow", 10, needs_study=True)
def files_that_cannot_grow(rng: random.Random, home: Home) -> Attempt:
    choice = act_of(home, rng, "train", "encode", "sweep")
    size = rng.choice([0, 1, 100, 4096, 20_000, 60_000])

    def act() -> object:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for number in (1, 2):  # what is printed goes to a file, too
            os.dup2(nowhere, number)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        try:
            return choice()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)

    return Attempt(act, (str(home.folder),))


@kind("names of runs", 10, needs_study=True)
def names_of_runs(rng: random.Random, home: Home) -> Attempt:
    names = [
        "..",
        "/etc/x",
        "a/b",
        "a\nb",
        "x" * 300,
        ".hidden",
        "a\0b",
        "-rf",
        "$(touch PWNED)",
        "con:",
        "ÄÖ",
        "a b",
        "",
        "../keep",
        "sweeps/a/../../keep",
    ]
    name = rng.choice(names)
    outside = home.folder.parent

    def check() -> str:
        return "it wrote elsewhere" if (outside / "keep").exists() else ""

    return Attempt(lambda: execute(home.small | {"run_name": name}), ("run_name",), check=check)


@kind("two processes at once", 5, needs_study=True)
def two_at_once(rng: random.Random, home: Home) -> Attempt:
    choice = act_of(home, rng, "train", "encode", "sweep")

    def act() -> object:
        other = FORK.Process(target=choice)
        other.start()
        time.sleep(rng.random())
        try:
            return choice()
        finally:
            other.join(LIMIT_S)

    return Attempt(act, (str(home.folder),))


@kind("a kill at a random moment", 10, needs_study=True)
def kill(rng: random.Random, home: Home) -> Attempt:
    choice = act_of(home, rng, "train", "encode", "sweep")
    after_s = rng.random() * rng.choice([0.3, 3.0])
    if choice == home.encode:
        shutil.rmtree(home.out)
    if choice == home.sweep:
        home.table.unlink()
        shutil.rmtree(home.folder / "runs" / "sweeps")
    damaged = frozenset(
        str(p.relative_to(home.folder)) for p in [home.table] if choice == home.sweep
    )

    def act() -> object:
        first = FORK.Process(target=choice)
        first.start()
        first.join(after_s)
        first.kill()
        first.join()
        return choice()

    return Attempt(act, (str(home.folder),), damaged=damaged)


@kind("files swapped while they are read", 6, needs_study=True)
def swapped(rng: random.Random, home: Home) -> Attempt:
    folder = home.folder / "runs" / "keep"
    path = rng.choice(
        [folder / "run.json", folder / "weights.h5", folder / "state_dict.pt", home.table]
    )
    choice = home.tables if path == home.table else home.analyze
    good = path.read_bytes()
    bad = good[: rng.randrange(len(good))]

    def swap(stop: threading.Event) -> None:
        while not stop.is_set():
            for content in (bad, good):
                new = path.with_name("swapped")
                new.write_bytes(content)
                new.replace(path)

    def act() -> object:
        stop = threading.Event()
        thread = threading.Thread(target=swap, args=(stop,), daemon=True)
        thread.start()
        try:
            for _ in range(5):
                choice()
        finally:
            stop.set()
            thread.join()
            path.write_bytes(good)

    return Attempt(act, (str(home.folder),))


@kind("links that lead to themselves", 6, needs_study=True)
def loops(rng: random.Random, home: Home) -> Attempt:
    name = rng.choice(["runs/keep", "results", "data", "out", "toy", "recorded"])
    path = home.folder / name
    gone = frozenset(str(p.relative_to(home.folder)) for p in path.rglob("*") if p.is_file())
    shutil.rmtree(path)
    path.symlink_to(path)
    method = {"out": "encode", "recorded": "encode", "results": "sweep"}.get(name, "train")
    return Attempt(getattr(home, method), (str(path), "dataset"), damaged=gone)


@kind("links in the place of tables", 4, needs_study=True)
def linked_tables(rng: random.Random, home: Home) -> Attempt:
    table = home.table
    elsewhere = home.folder / "elsewhere.csv"
    table.rename(elsewhere)
    table.symlink_to(elsewhere)
    more_to_do(home, rng.choice([4.0, 5.0]))

    def check() -> str:
        if not table.is_symlink():
            return "the link became a file"
        return "" if len(read_table(elsewhere)) == 3 else "a row is missing"

    return Attempt(home.sweep, (str(table),), check=check)


@kind("damaged files", 10, needs_study=True)
def damaged_files(rng: random.Random, home: Home) -> Attempt:
    ways, method = random_attacks.damage_some(rng, home)
    names = (str(home.folder), "dataset", *(Path(name).name for name in ways))
    return Attempt(getattr(home, method), names, damaged=frozenset(ways))


@kind("a single bit in a run folder", 10, needs_study=True)
def one_bit(rng: random.Random, home: Home) -> Attempt:
    files = sorted(p for p in (home.folder / "runs" / "keep").iterdir() if p.is_file())
    path = rng.choice([p for p in files if p.suffix not in (".ipynb", ".json", ".gz")])
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    damaged = frozenset([str(path.relative_to(home.folder))])
    read = path.name in ("weights.h5", "state_dict.pt", "examples.h5", "predictions.csv")
    return Attempt(home.analyze, (path.name,), may_complete=not read, damaged=damaged)


# --- surroundings ---------------------------------------------------------------------------------


@kind("variables of the study", 8, needs_study=True)
def own_variables(rng: random.Random, home: Home) -> Attempt:
    name = rng.choice(["SHD_RUNS_DIR", "SHD_DATA_DIR", "SHD_RESULTS_DIR", "SHD_IMG_DIR"])
    a_file = home.folder / "a_file"
    a_file.write_text("of the user")
    value = rng.choice(
        [str(a_file), "/proc/x", "/dev/null", "x" * 5000, "~nobody_here/x", "/dev/full"]
    )
    method = {"SHD_RESULTS_DIR": "sweep"}.get(name, "train")

    def act() -> object:
        os.environ[name] = value
        return getattr(home, method)()

    return Attempt(act, (name, value, value[:50], Path(value).name[:50]))


@kind("clocks that go backwards", 5, needs_study=True)
def clocks(rng: random.Random, home: Home) -> Attempt:
    for path in home.folder.rglob("*"):
        when = rng.choice([0, 1, 2**31, 4e9, time.time()])
        if path.is_file():
            os.utime(path, (when, when))
    method = rng.choice(["train", "sweep", "encode", "analyze"])
    real = time.time
    start = rng.choice([0.0, 1e9, 4e9])

    def act() -> object:
        steps = iter(range(10**9))
        time.time = lambda: start - 60.0 * next(steps)
        try:
            return getattr(home, method)()
        finally:
            time.time = real

    return Attempt(act, (str(home.folder),))


@kind("time zones", 5, needs_study=True)
def zones(rng: random.Random, home: Home) -> Attempt:
    zone = rng.choice(["Pacific/Kiritimati", "nonsense", "UTC+99", "", ":/dev/zero", "<-25>25"])
    choice = act_of(home, rng, "train", "sweep", "analyze")

    def act() -> object:
        os.environ["TZ"] = zone
        time.tzset()
        return choice()

    return Attempt(act, (str(home.folder),))


def moved_data(home: Home, folder: Path) -> Attempt:
    """Return an attempt that trains on a copy of the data in a folder with such a path."""
    try:
        shutil.copytree(home.toy, folder)
    except OSError as error:
        raise NotHere(str(error)) from error
    parameters = home.small | {"dataset": str(folder), "run_name": "moved"}
    return Attempt(lambda: execute(parameters), ("dataset", folder.name))


@kind("names in Unicode", 6, needs_study=True)
def unicode_names(rng: random.Random, home: Home) -> Attempt:
    names = ["größe", "データ", "a\u202eb", "é\u0301", "a\nb", "🦜", " ", "%s{x}$HOME", "'\"`;"]
    form = rng.choice(["NFC", "NFD"])
    return moved_data(home, home.folder / unicodedata.normalize(form, rng.choice(names)))


@kind("names that aren't UTF-8", 3, needs_study=True)
def names_in_bytes(rng: random.Random, home: Home) -> Attempt:
    return moved_data(home, home.folder / os.fsdecode(b"x" + bytes([rng.randrange(128, 255)])))


@kind("deep paths", 4, needs_study=True)
def deep_paths(rng: random.Random, home: Home) -> Attempt:
    depth = rng.choice([10, 15, 40, 200])
    folder = home.folder.joinpath(*["d" * rng.choice([50, 255])] * depth)

    def act() -> object:
        os.environ["SHD_RUNS_DIR"] = str(folder)
        return home.train()

    return Attempt(act, ("d" * 50,))


READS = """
import sys
from pathlib import Path
from shd_helpers.command import run
from shd_corpus.recording_list import RecordingError
from shd_corpus.sound_file import read_sound

def main():
    try:
        print(sys.argv[1], len(read_sound(Path(sys.argv[1]), 60.0)[0]))
    except RecordingError as error:
        sys.exit(str(error))

run(main)
"""


@kind("locales", 4)
def locales(rng: random.Random, home: Home) -> Attempt:
    """A file is read, or isn't there, whose name the terminal's encoding doesn't have."""
    name = rng.choice(["föhn.wav", "データ.wav", os.fsdecode(b"f\xf6hn.wav")])
    if rng.random() < 0.5:
        soundfile.write(home.folder / "ascii.wav", sound(0, 24_000, 0.4), 24_000)
        (home.folder / "ascii.wav").rename(home.folder / name)
    env = {"LC_ALL": rng.choice(["C", "POSIX", "xx_YY"])}
    env |= {"PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    command = [sys.executable, "-c", READS, str(home.folder / name)]
    return Attempt(lambda: run_command(command, env=env) and None, (".wav",))


@kind("numbers of threads", 4)
def threads(rng: random.Random, home: Home) -> Attempt:
    name = rng.choice(["NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"])
    env = {name: rng.choice(["0", "-1", "many", "1e9"])}
    code = "import shd_helpers, numba.np.ufunc.parallel"
    return Attempt(lambda: run_command([sys.executable, "-c", code], env=env) and None, (name,))


@kind("output that can't be written", 3)
def full_output(rng: random.Random, home: Home) -> Attempt:
    path = home.folder / "word.wav"
    soundfile.write(path, sound(0, 24_000, 0.4), 24_000)
    env = {"PYTHONUNBUFFERED": rng.choice(["", "1"])}

    def act() -> None:
        with open("/dev/full", "wb") as full:  # noqa: PTH123
            code = "import sys; from shd_helpers.command import run; run(lambda: print('x'))"
            run_command([sys.executable, "-c", code], stdout=full, env=env)

    return Attempt(act, ("output",), may_complete=False)


@kind("orders of sets and dictionaries", 4, needs_study=True)
def hash_seeds(rng: random.Random, home: Home) -> Attempt:
    code = (
        "import sys; from pathlib import Path; from shd_helpers.sweeps.spec import read_sweep;"
        "print(*(run.hash for run in read_sweep(Path(sys.argv[1])).runs))"
    )
    wanted = [run.hash for run in read_sweep(home.yaml).runs]

    def act() -> None:
        env = {"PYTHONHASHSEED": str(rng.randrange(2**32))}
        ended = run_command([sys.executable, "-c", code, str(home.yaml)], env=env)
        assert ended.stdout.decode().split() == wanted

    return Attempt(act, ())


@kind("a foreign kernel", 6)
def foreign_kernel(rng: random.Random, home: Home) -> Attempt:
    folder = home.folder / "kernels" / "python3"
    folder.mkdir(parents=True)
    program = rng.choice(["/usr/bin/python3", "/bin/false", "/nowhere/python", "bash"])
    content: object = {
        "argv": [program, "-f", "{connection_file}"],
        "display_name": "x",
        "language": "x",
    }
    if rng.random() < 0.2:
        content = {"argv": [], "display_name": "x", "language": "x"}
    (folder / "kernel.json").write_text(json.dumps(content))

    def act() -> None:
        os.environ["JUPYTER_PATH"] = str(home.folder)
        notebook_execution.execute_run({}, home.folder / "runs" / "x")

    return Attempt(act, (str(folder),), may_complete=False)


# --- make -----------------------------------------------------------------------------------------

SHELL = [
    "$(touch PWNED)",
    "`touch PWNED`",
    '"; touch PWNED; "',
    "'; touch PWNED; '",
    "$$(touch PWNED)",
    "x & touch PWNED",
    "$(shell touch PWNED)",
    "a b",
    "-p",
    "\\",
    "$HOME",
    "x\ntouch PWNED",
]
TARGETS = {
    "hear": "FILE",
    "study": "NAME",
    "data": "DATASET",
    "sweep": "SWEEP",
    "export": "RUN",
    "say": "OUT",
}


def make(home: Home, target: str, assignments: list[str], env: dict[str, str]) -> list[str]:
    """Run a target with a program in Python's place; return the arguments that it got."""
    installed = home.folder / "installed"
    program = home.folder / "python"
    for suffix in ("", "-circuit", "-say"):
        installed.with_name(f"installed{suffix}").touch()
    program.write_text(
        f'#!/bin/sh\nfor word; do printf "%s\\0" "$word"; done > {home.folder}/got\n'
    )
    program.chmod(0o755)
    command = ["make", "-f", str(ROOT / "Makefile"), f"INSTALLED={installed}", f"PY={program}"]
    if os.environ.get("MAKEFLAGS"):
        env = env | {"MAKEFLAGS": ""}
    run_command([*command, target, *assignments], env=env)
    got = home.folder / "got"
    return got.read_bytes().decode(errors="replace").split("\0") if got.exists() else []


@kind("shell code in names", 10)
def shell_code(rng: random.Random, home: Home) -> Attempt:
    target = rng.choice([*TARGETS])
    code = rng.choice(SHELL)
    planted = [ROOT / "PWNED", home.folder / "PWNED"]

    def act() -> None:
        got = make(home, target, [f"{TARGETS[target]}={code}"], {"OUT": "", "RUN": ""})
        assert any(code in argument for argument in got), f"{code!r} became {got}"

    def check() -> str:
        found = [path for path in planted if path.exists()]
        for path in found:
            path.unlink()
        return "the code ran" if found else ""

    return Attempt(act, (TARGETS[target], "make", "***"), check=check)


@kind("variables that make takes", 6)
def make_variables(rng: random.Random, home: Home) -> Attempt:
    target, name = rng.choice([*TARGETS.items()])
    given = [] if target not in ("sweep", "export") else [f"{name}=mine"]
    name = rng.choice(["NAME", "RUN", "OUT", "FILE"])

    def act() -> None:
        got = make(home, target, given, {name: "from_elsewhere"})
        assert "from_elsewhere" not in got, f"{name} was taken from the environment"

    return Attempt(act, (name,))


# --- tables, networks -----------------------------------------------------------------------------


def copied_table(home: Home) -> tuple[Path, list[dict[str, str]]]:
    """Copy a committed table into the study; return its new path and rows."""
    path = home.folder / "copied.csv"
    with (ROOT / "results" / "chosen_spoken.csv").open(encoding="utf-8", newline="") as file:
        return path, list(csv.DictReader(file))


def write_rows(path: Path, rows: list[dict[str, str]], header: list[str] | None = None) -> None:
    """Write a table."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header or [*rows[0]])
        writer.writerows([*row.values()] for row in rows)


@kind("impossible values in tables")
def impossible_values(rng: random.Random, home: Home) -> Attempt:
    path, rows = copied_table(home)
    column = rng.choice(["test_accuracy", "train_accuracy", "parameters", "training_s"])
    wrong = ["-1", "inf", "-inf", "many", "1e999"] + ["5", "1.0001"] * column.endswith("accuracy")
    rng.choice(rows)[column] = rng.choice(wrong)
    write_rows(path, rows)
    return Attempt(lambda: read_table(path) is None, (str(path),), may_complete=False)


@kind("doubled columns and rows in tables", 6)
def doubled(rng: random.Random, home: Home) -> Attempt:
    path, rows = copied_table(home)
    header = [*rows[0]]
    if rng.random() < 0.5:
        header[rng.randrange(len(header))] = rng.choice(["test_accuracy", "hash", "status"])
        if len({*header}) == len(header):
            header[0] = header[1]
    else:
        rows.append(dict(rng.choice(rows)))
    write_rows(path, rows, header)
    return Attempt(lambda: read_table(path) is None, (str(path),), may_complete=False)


@kind("text in the place of tables", 6)
def no_tables(rng: random.Random, home: Home) -> Attempt:
    path = home.folder / "copied.csv"
    contents = [
        b"",
        b"\0" * 100,
        b"\xff\xfe",
        b"<<<<<<< HEAD\n",
        b"a,b\n1\n",
        b'"' * 1000,
        b"," * 10**6,
    ]
    path.write_bytes(rng.choice(contents))
    return Attempt(lambda: read_table(path) is None, (str(path),), may_complete=False)


def changed_network(home: Home, change: Callable[[dict], None]) -> Path:
    """Write a pretrained network with some arrays changed; return its path."""
    path = home.folder / "changed.npz"
    with np.load(ROOT / "results" / "networks" / "small.npz") as file:
        arrays = dict(file)
    about = json.loads(str(arrays.pop("about")))
    change(arrays)
    write_pretrained(path, about, arrays)
    return path


@kind("weights that aren't finite")
def infinite_weights(rng: random.Random, home: Home) -> Attempt:
    def change(arrays: dict) -> None:
        floats = [n for n, a in arrays.items() if a.dtype.kind == "f" and "threshold" not in n]
        array = arrays[rng.choice(floats)]
        array.flat[rng.randrange(array.size)] = rng.choice([np.nan, np.inf, -np.inf])

    path = changed_network(home, change)
    return Attempt(lambda: load_pretrained(path) is None, (str(path),), may_complete=False)


@kind("thresholds that no neuron can have", 6)
def thresholds(rng: random.Random, home: Home) -> Attempt:
    value = rng.choice([-np.inf, np.nan])
    name = rng.choice(["lif1.threshold", "lif2.threshold"])
    path = changed_network(home, lambda a: a.update({name: np.full_like(a[name], value)}))
    return Attempt(lambda: load_pretrained(path) is None, (str(path),), may_complete=False)


@kind("arrays of another shape or kind", 8)
def other_arrays(rng: random.Random, home: Home) -> Attempt:
    def change(arrays: dict) -> None:
        name = rng.choice([n for n in arrays if n != "about"])
        array = arrays[name]
        ways = [
            lambda: np.zeros((*array.shape, 2)),
            lambda: array.astype(complex),
            lambda: array.astype("U9"),
            lambda: np.zeros(0),
            lambda: np.array([{}], object),
            lambda: array.astype("datetime64[s]"),
        ]
        arrays[name] = rng.choice(ways)() if array.dtype.kind == "f" else np.zeros((3, 3))
        if rng.random() < 0.3:
            del arrays[name]

    path = changed_network(home, change)
    return Attempt(lambda: load_pretrained(path) is None, (str(path),), may_complete=False)


@kind("bits of a pretrained network")
def network_bits(rng: random.Random, home: Home) -> Attempt:
    """A flipped bit is refused; where it is one that says nothing, the network is the same."""
    original = ROOT / "results" / "networks" / "small.npz"
    path = home.folder / "flipped.npz"
    content = bytearray(original.read_bytes())
    for _ in range(rng.choice([1, 1, 10])):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)

    def act() -> None:
        found, wanted = (load_pretrained(p).network.state_dict() for p in (path, original))
        assert all((found[name] == wanted[name]).all() for name in wanted)

    return Attempt(act, (str(path),))


@kind("names of circuits", 8)
def circuits(rng: random.Random, home: Home) -> Attempt:
    name = rng.choice(
        [
            "0-0-0",
            "1-8-16",
            "8-8-99",
            "8-8",
            "-8-8",
            "8-8-16 QAT product",
            "8-8-16\n",
            "9" * 5000 + "-8-16",
            "8-0-16",
            " ",
        ]
    )
    return Attempt(lambda: Quantization.named(name) and None, ("circuit",), may_complete=False)


# --- sweeps ---------------------------------------------------------------------------------------


def sweep_file(home: Home, text: str) -> Attempt:
    """Return an attempt that reads a sweep's file, which must be refused."""
    path = home.folder / "hostile.yaml"
    path.write_text(text)

    def act() -> None:
        swept = read_sweep(path)
        reuse.find_pending_runs(swept, swept.runs)

    return Attempt(act, (str(path),), may_complete=False)


def sweep_text(**changes: object) -> str:
    """Return the text of a sweep's file."""
    content: dict = {"name": "hostile", "notebook": "03_model_training", "fixed": {}, "grid": {}}
    return as_yaml(content | {"seeds": [0]} | changes)


@kind("aliases that multiply", 4)
def yaml_bombs(rng: random.Random, home: Home) -> Attempt:
    width = rng.choice([8, 10])
    depth = rng.choice([8, 9])
    lines = [f"a0: &a0 [{', '.join(['x'] * width)}]"]
    for i in range(1, depth):
        lines.append(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]")
    place = rng.choice(["fixed", "grid", "seeds", "notebook"])
    bomb = "{" + ", ".join(lines) + "}"
    return sweep_file(home, sweep_text().replace(f"{place}:", f"{place}: {bomb}\nx{place}:"))


@kind("grids of millions of runs", 4)
def huge_grids(rng: random.Random, home: Home) -> Attempt:
    n = rng.choice([60, 100])
    names = rng.sample(["slope", "lr", "dropout", "shift_ms", "beta"], 4)
    grid = {name: [round(0.001 + 0.001 * i, 4) for i in range(n)] for name in names}
    return sweep_file(home, sweep_text(fixed={"dataset": str(home.toy)}, grid=grid))


@kind("hostile names of axes", 8)
def hostile_axes(rng: random.Random, home: Home) -> Attempt:
    name = rng.choice(
        [
            "status",
            "error",
            "hash",
            "test_accuracy",
            "configuration",
            "run_name",
            "seed",
            "training_s",
            "train_sha256",
        ]
    )
    places = {"one": {"slope": 2.0}, "two": {"slope": 3.0}}
    fixed = {"dataset": str(home.toy)}
    return sweep_file(home, sweep_text(fixed=fixed, grid={name: places}))


@kind("nonsense in sweep files")
def sweep_nonsense(rng: random.Random, home: Home) -> Attempt:
    values = [None, [], {}, -1, "x", "\0", 1e999, True, [[]], {"a": {"a": 1}}, "../../etc", 10**400]
    key = rng.choice(["name", "notebook", "fixed", "grid", "seeds"])
    wrong = rng.choice(values)
    fixed = {"dataset": str(home.toy)}
    changes = {"fixed": fixed} | {key: wrong}
    if (key in ("fixed", "grid") and wrong == {}) or (key, wrong) == ("name", "x"):
        changes["seeds"] = "x"
    return sweep_file(home, sweep_text(**changes))


@kind("shares of a sweep", 8)
def shares(rng: random.Random, home: Home) -> Attempt:
    number = rng.choice(["0", "9", "-1", "1e3", "\u0663", "1\n", "", "9" * 5000])
    text = rng.choice([f"{number}/8", f"1/{number}/8", f"8/{number}/", f" {number}/8"])
    return Attempt(lambda: Shard.read(text) and None, ("--shard",), may_complete=False)


@kind("parameters of nonsense", 10, needs_study=True)
def nonsense_parameters(rng: random.Random, home: Home) -> Attempt:
    values = [-1, 0, 1e308, -1e308, float("nan"), float("inf"), 10**30, "x", "", True, "\0"]
    name = rng.choice(
        [
            "epochs",
            "batch_size",
            "lr",
            "slope",
            "beta",
            "n_hidden",
            "dropout",
            "surrogate",
            "pool_units",
            "first_unit",
            "n_delays",
            "members",
            "neuron",
            "adapt_ms",
            "hidden",
            "hidden_delays",
            "language",
            "circuit",
        ]
    )
    parameters = home.small | {name: rng.choice(values), "run_name": "nonsense"}
    return Attempt(lambda: execute(parameters), (name, "dataset", "run"))


# --- recordings -----------------------------------------------------------------------------------


def heard(path: Path, may_complete: bool = False) -> Attempt:
    """Return an attempt that reads the word in a sound file."""
    return Attempt(lambda: read_utterance(path) is None, (str(path),), may_complete=may_complete)


@kind("sampling rates", 8)
def rates(rng: random.Random, home: Home) -> Attempt:
    path = home.folder / "rate.wav"
    rate_hz = rng.choice([1, 50, 222, 223, 2000, 5999, 1_000_003, 4_000_037])
    n = min(4_000_000, max(1000, rate_hz // 2))
    soundfile.write(path, sound(0, 24_000, n / 24_000)[:n], rate_hz)
    return heard(path)


@kind("sounds of impossible values", 8)
def impossible_sounds(rng: random.Random, home: Home) -> Attempt:
    path = home.folder / "values.wav"
    wave = sound(0, 24_000, 0.5)
    value = rng.choice([1e300, -1e300, np.nan, np.inf, 1e30])
    wave[rng.randrange(len(wave))] = value
    soundfile.write(path, wave, 24_000, subtype="DOUBLE")
    return heard(path)


@kind("recordings that are cut off")
def cut_recordings(rng: random.Random, home: Home) -> Attempt:
    path = home.folder / f"cut.{rng.choice(['wav', 'flac'])}"
    soundfile.write(path, sound(0, 24_000, 1.0), 24_000)
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(int(0.95 * len(content)))])
    return Attempt(lambda: read_sound(path, 60.0) is None, (str(path),), may_complete=False)


@kind("nonsense in the place of recordings", 6)
def no_recordings(rng: random.Random, home: Home) -> Attempt:
    path = home.folder / "nonsense.wav"
    head = rng.choice([b"", b"RIFF", b"fLaC", b"OggS", b"ID3", b"RIFF\xff\xff\xff\xffWAVEfmt "])
    path.write_bytes(head + rng.randbytes(rng.choice([0, 10, 100_000])))
    if rng.random() < 0.3:
        path.unlink()
        path.mkdir()
    return heard(path)


# --- data sets ------------------------------------------------------------------------------------


def data_file(home: Home, change: Callable[[h5py.File], None]) -> Attempt:
    """Return an attempt that reads a file of a data set in which something is changed."""
    path = home.folder / "changed_train.h5"
    times = [np.array([0.1, 0.2]), np.array([0.3]), np.array([])]
    write_shd(path, times, [np.array([1, 2]), np.array([3]), np.array([])], [0, 1, 2], [0, 0, 1])
    with h5py.File(path, "r+") as file:
        change(file)
    return Attempt(lambda: read_shd(path) is None, (str(path),), may_complete=False)


def replace(file: h5py.File, name: str, values: object, dtype: object = None) -> None:
    """Replace an array by another one."""
    del file[name]
    file.create_dataset(name, data=values, dtype=dtype)


@kind("shapes of data sets", 8)
def shapes(rng: random.Random, home: Home) -> Attempt:
    name = rng.choice(["labels", "extra/speaker", "spikes/times", "spikes/units"])
    shape = rng.choice([(10**12,), (3, 2), (), (0,), (2**40, 2)])

    def change(file: h5py.File) -> None:
        dtype = file[name].dtype
        del file[name]
        chunks = True if shape else None
        file.create_dataset(name, shape, dtype, chunks=chunks)
        if shape == (10**12,):
            for other in ("labels", "extra/speaker", "spikes/times", "spikes/units"):
                kept = file[other].dtype
                del file[other]
                file.create_dataset(other, shape, kept, chunks=True)

    return data_file(home, change)


@kind("labels and speakers out of range", 8)
def out_of_range(rng: random.Random, home: Home) -> Attempt:
    name = rng.choice(["labels", "extra/speaker"])
    value = rng.choice([-1, 2**40, 0.5, np.nan, np.inf, -np.inf])
    return data_file(home, lambda file: replace(file, name, np.array([0, value, 1])))


@kind("times and units out of range", 8)
def spikes_out_of_range(rng: random.Random, home: Home) -> Attempt:
    name = rng.choice(["spikes/times", "spikes/units"])
    wrong = {
        "spikes/times": [-0.1, np.nan, np.inf, 11.0, 60_000.0],
        "spikes/units": [700, -1, 0.5, 65_535],
    }

    def change(file: h5py.File) -> None:
        del file[name]
        rows = file.create_dataset(name, (3,), h5py.vlen_dtype(np.float64))
        for i, row in enumerate(([0.0, rng.choice(wrong[name])], [0.0], [])):
            rows[i] = np.array(row)

    return data_file(home, change)


@kind("columns of another kind", 8)
def other_kinds(rng: random.Random, home: Home) -> Attempt:
    name = rng.choice(["labels", "extra/speaker", "spikes/times", "spikes/units"])
    values = rng.choice(
        [
            np.array([b"one"] * 3),
            np.zeros(3, complex),
            np.zeros(3, [("a", "i4")]),
            np.zeros((3, 2), "S3"),
        ]
    )
    if name in ("labels", "extra/speaker") or values.ndim == 1:
        return data_file(home, lambda file: replace(file, name, values))
    return data_file(home, lambda file: replace(file, name, np.zeros(3)))


@kind("compressed bombs", 4)
def bombs(rng: random.Random, home: Home) -> Attempt:
    """Twenty kilobytes of zeros, packed a thousandfold, again and again: gzip allows that."""
    path = home.folder / "bomb_train.h5.gz"
    path.write_bytes(gzip.compress(bytes(2 * 10**7)) * rng.choice([500, 1000, 5000]))
    if rng.random() < 0.5:
        path = home.folder / "bomb_train.h5.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("bomb_train.h5", bytes(10**8))
    return Attempt(lambda: read_shd(path) is None, (str(path),), may_complete=False)


@kind("archives that are too large or lead outside", 4)
def archives(rng: random.Random, home: Home) -> Attempt:
    packed = home.folder / "hd" / heidelberg.ARCHIVE
    packed.parent.mkdir()
    name = rng.choice(["a.flac", "../../outside", "/tmp/outside", "a/../../../outside"])
    size = rng.choice([3 * 10**9, 10**15]) if name == "a.flac" else 10
    info = tarfile.TarInfo(name)
    info.size = size
    with gzip.open(packed, "wb") as file:
        file.write(info.tobuf() + bytes(10_240))
    act = lambda: heidelberg.make_heidelberg(packed.parent) and None  # noqa: E731

    def check() -> str:
        return "it wrote outside" if (home.folder.parent / "outside").exists() else ""

    return Attempt(act, (str(packed),), may_complete=False, check=check)


# --- sites ----------------------------------------------------------------------------------------


class HostileSite(ThreadingHTTPServer):
    """A site on this machine that answers in one of several ways, and ends with the attempt."""

    daemon_threads = True

    def __init__(self, way: str) -> None:
        super().__init__(("127.0.0.1", 0), HostileHandler)
        self.way = way


class HostileHandler(BaseHTTPRequestHandler):
    """Answers as its site says."""

    def do_GET(self) -> None:
        way = self.server.way  # type: ignore[attr-defined]
        if way in ("404", "500", "403"):
            return self.send_error(int(way))
        if way == "redirects":
            self.send_response(302)
            self.send_header("Location", self.path)
            return self.end_headers()
        if way == "garbage":
            self.wfile.write(os.urandom(1000))
            return None
        self.send_response(200)
        self.send_header("Content-Length", "1000" if way == "short" else "10")
        self.end_headers()
        if way == "short":
            self.wfile.write(bytes(10))
        return None

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def downloaded(home: Home, way: str, secret: str = "", suffix: str = "") -> Attempt:
    """Return an attempt that downloads from a hostile site."""
    folder = home.folder / "downloads"

    def act() -> None:
        download.SITES = ()
        site = HostileSite(way)
        threading.Thread(target=site.serve_forever, daemon=True).start()
        address = f"http://{secret}127.0.0.1:{site.server_address[1]}/x{suffix}"
        os.environ["SHD_BASE_URL"] = address
        try:
            download.download("a.bin", folder, "md5:" + "0" * 32)
        except ValueError as error:
            assert not secret or "s3cret" not in str(error), "the secret was printed"
            raise
        finally:
            site.shutdown()

    def check() -> str:
        return "a wrong file was kept" if (folder / "a.bin").exists() else ""

    return Attempt(act, (str(folder),), may_complete=False, check=check)


@kind("sites that answer wrongly", 8)
def wrong_sites(rng: random.Random, home: Home) -> Attempt:
    return downloaded(
        home, rng.choice(["404", "500", "403", "redirects", "garbage", "short", "wrong"])
    )


@kind("secrets in addresses", 5)
def secrets(rng: random.Random, home: Home) -> Attempt:
    if rng.random() < 0.5:
        return downloaded(home, rng.choice(["404", "short", "redirects"]), "anna:s3cret@")
    return downloaded(home, rng.choice(["404", "wrong"]), "anna:s3cret@", "?token=s3cret")


# --- boards and exports ---------------------------------------------------------------------------


def board_answering(answer: bytes, then: str) -> Attempt:
    """Return an attempt that opens a board which gives one answer and then does something else."""

    def act() -> None:
        board, computer = os.openpty()
        tty.setraw(computer)
        port = os.ttyname(computer)
        os.close(computer)
        keep = os.open(port, os.O_RDWR | os.O_NOCTTY)

        def play() -> None:
            os.read(board, 1)
            os.write(board, answer)
            if then == "unplugged":
                time.sleep(0.1)
                os.close(keep)
                os.close(board)

        threading.Thread(target=play, daemon=True).start()
        opened = Board(port, wait_s=2.0)
        opened.load(ROOT / "results" / "circuit")
        opened.classify([(1, 3), (2, 4)])

    return Attempt(act, ("/dev/", "circuit"), may_complete=False)


def identity(lanes: int = 1, word_bytes: int = 8) -> bytes:
    """Return what a board says of itself, with the sizes of the committed circuit."""
    sizes = read_circuit(ROOT / "results" / "circuit").sizes
    return struct.pack("<cBBHHB", b"i", lanes, word_bytes, *sizes)


@kind("a board that is unplugged", 4)
def unplugged(rng: random.Random, home: Home) -> Attempt:
    whole = identity()
    return board_answering(whole[: rng.randrange(len(whole) + 1)], "unplugged")


@kind("a board that takes nothing", 2)
def deaf_board(rng: random.Random, home: Home) -> Attempt:
    return board_answering(identity(), "silent")


@kind("a board that answers nonsense", 6)
def nonsense_board(rng: random.Random, home: Home) -> Attempt:
    answers = [rng.randbytes(20), identity(lanes=0), identity(lanes=3), identity(word_bytes=0), b""]
    return board_answering(rng.choice(answers), "silent")


@kind("other numbers in an exported folder", 8)
def exported_numbers(rng: random.Random, home: Home) -> Attempt:
    folder = home.folder / "circuit"
    shutil.copytree(ROOT / "results" / "circuit", folder)
    path = folder / "network.vh"
    text = path.read_text()
    name = rng.choice(
        ["MEM_BITS", "N_HIDDEN", "N_CLASSES", "POOL_UNITS", "WEIGHT1_BITS", "N_STEPS"]
    )
    value = rng.choice(["0", "99999", "-1", "x"])
    path.write_text(re.sub(rf"(parameter {name} =) \d+", rf"\1 {value}", text))
    return Attempt(lambda: read_circuit(folder) is None, (str(folder),), may_complete=False)


@kind("notes and files of the user in an exported folder", 6)
def notes(rng: random.Random, home: Home) -> Attempt:
    folder = home.folder / "circuit"
    shutil.copytree(ROOT / "results" / "circuit", folder)
    if rng.random() < 0.5:
        path = folder / "README.md"
        lines = path.read_text(encoding="utf-8").splitlines()
        lines.insert(rng.randrange(1, len(lines) + 1), "Soldered on Monday.")
        path.write_text("\n".join(lines), encoding="utf-8")
    else:
        path = folder / rng.choice(["notes.md", "core_mine.v", ".git"])
        path.write_text("of the user")
    return Attempt(lambda: check_folder(folder), (str(path),), may_complete=False)


# --- the attempts ---------------------------------------------------------------------------------


class Ground(Arena):
    """Where attempts are made: with a trained study, or in an empty folder with its data."""

    def __init__(self, folder: Path, is_trained: bool) -> None:
        if is_trained:
            super().__init__(folder)
        else:
            self.home = Home(folder / "home")
            self.good = folder / "good"
            self.said = folder / "said"
            self.outcome = folder / "outcome"
            self.home.folder.mkdir()
            random_attacks.write_toy(self.home.toy, seed=0, takes=1)
            shutil.copytree(self.home.folder, self.good)
        self.is_trained = is_trained
        self.limit_s = LIMIT_S

    def attempt(self, attack: Kind, seed: int, number: int) -> tuple[str, str]:
        """Make one attempt; return how it ended, and what was said."""
        shutil.rmtree(self.home.folder)
        shutil.copytree(self.good, self.home.folder, symlinks=True)
        rng = random.Random(f"{seed} {attack.name} {number}")
        try:
            prepared = attack.prepare(rng, self.home)
        except NotHere as why:
            return "not possible here", str(why)
        before = hashes(self.home.folder)
        outcome, said = self.fork(lambda: sentence_of(prepared.act))
        outcome, text = self._judged(prepared, outcome, str(said))
        if outcome not in ("hung", "not possible here"):
            lost = self._lost(prepared, before)
            if lost or (wrong := prepared.check()):
                return ("lost", f"{lost}; {text}") if lost else ("unclear", f"{wrong}; {text}")
        return outcome, text

    def _judged(self, prepared: Attempt, outcome: str, said: str) -> tuple[str, str]:
        if "NotHere" in said:
            return "not possible here", said.strip().splitlines()[-1]
        if outcome == "finding":
            return ("hung" if said.startswith("hang") else "unclear"), said
        if outcome == "completed":
            return (
                ("completed", "") if prepared.may_complete else ("unclear", "nonsense was accepted")
            )
        if not any(name in said for name in prepared.names):
            return "unclear", f"refused, and names nothing: {said}"
        return "refused", said

    def _lost(self, prepared: Attempt, before: dict[str, str]) -> str:
        if self.is_trained:
            return self.problem({*prepared.damaged}, before)
        after = hashes(self.home.folder)
        gone = [n for n, x in before.items() if after.get(n) != x and n not in prepared.damaged]
        return f"{', '.join(gone)} changed or gone" if gone else ""


def sentence_of(act: Callable[[], object]) -> None:
    """Act; turn the message with which a command ends into a ValueError.

    The study's commands print the system's own errors as such a sentence, too.
    """
    try:
        act()
    except SystemExit as end:
        if end.code:
            raise ValueError(str(end.code).strip().splitlines()[-1]) from end
    except OSError as error:
        if error.errno is None:
            raise
        raise ValueError(f"{type(error).__name__}: {error}") from error


def attack(kinds: list[Kind], seed: int, most: int) -> dict[str, Counts]:
    """Attack in some kinds; return how each ended."""
    found = {each.name: Counts() for each in kinds}
    for is_trained in (False, True):
        chosen = [each for each in kinds if each.needs_study == is_trained]
        if not chosen:
            continue
        with tempfile.TemporaryDirectory(prefix="attacks") as folder:
            ground = Ground(Path(folder), is_trained)
            for each in chosen:
                start = time.monotonic()
                for number in range(min(each.attempts, most)):
                    outcome, text = ground.attempt(each, seed, number)
                    note(
                        found[each.name],
                        outcome,
                        text.replace(folder, "...").replace(str(ROOT), "."),
                    )
                took_s = time.monotonic() - start
                counted = dict(found[each.name].outcomes)
                print(f"{each.name}: {counted}, {took_s:.1f} s", file=sys.stderr, flush=True)
    return found


def note(counts: Counts, outcome: str, text: str) -> None:
    """Count an attempt's end, and keep a sentence of each sort."""
    counts.outcomes[outcome] += 1
    if outcome == "refused":
        counts.example = counts.example or " ".join(text.split())
    elif outcome != "completed":
        counts.bad += f"{outcome}: {text}\n"


def write_table(path: Path, found: dict[str, Counts], seed: int) -> None:
    """Write a row for each kind."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for name, counts in found.items():
            made = counts.outcomes.total() - counts.outcomes["not possible here"]
            ends = [counts.outcomes[end] for end in COLUMNS[3:-1]]
            writer.writerow([name, seed, made, *ends, counts.example[:200]])


def main() -> None:
    """Attack; print each attempt that didn't end clearly, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", default="", help="only kinds with this text in their name")
    parser.add_argument("--attempts", type=int, default=10, help="of each kind, at most (10)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--table", type=Path, help=f"the table; of all kinds, {TABLE.name}")
    given = parser.parse_args()
    chosen = [each for each in KINDS if given.kind in each.name]
    found = attack(chosen, given.seed, given.attempts)
    for name, counts in found.items():
        if counts.bad:
            print(f"\n{name}:\n{counts.bad}")
    if given.table or not given.kind:
        write_table(given.table or TABLE, found, given.seed)
    total = sum((counts.outcomes for counts in found.values()), Counter())
    print(f"{len(found)} kinds of attack: {dict(total)}")
    sys.exit(any(total[end] for end in ("unclear", "hung", "lost")))


if __name__ == "__main__":
    main()
