"""Attack the study at random, by damaged files; see SECURITY.md.

python -m tests.random_attacks --minutes 60 [--seed 0]

Each attack has a number that it follows from: ``--seed 17 --count 1`` repeats attack 17.

An attack cuts, empties, flips, removes or replaces one or two files, or fills them with noise. In a
table or a file of parameters it changes a token or a line. Then something reads or writes there.
Files in SHD layout are left out, because HDF5 itself hangs in some damaged files.

Each attack must end within four minutes and use at most 700 MB more memory. It must complete, or be
refused in one line that names the file. Every run folder must stay as it was or be replaced by
another complete run, and every finished row must stay in its table. What doesn't is printed, and
the exit status is then 1.
"""

import argparse
import faulthandler
import gc
import hashlib
import json
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from contextlib import redirect_stdout
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):  # a fork has no other threads
    os.environ[variable] = "1"
os.environ["MPLBACKEND"] = "Agg"

import numpy as np  # noqa: E402
import psutil  # noqa: E402
import soundfile  # noqa: E402
from tqdm import tqdm  # noqa: E402

from shd_corpus.dataset_error import DatasetError  # noqa: E402
from shd_corpus.files import atomic  # noqa: E402
from shd_corpus.recordings import encode_recordings  # noqa: E402
from shd_helpers.data import speech  # noqa: E402
from shd_helpers.paths import NOTEBOOKS  # noqa: E402
from shd_helpers.study import (  # noqa: E402
    collect_predictions,
    evaluate,
    load_network,
    load_utterances,
    read_run,
    read_table,
)
from shd_helpers.study.tables import finished_run  # noqa: E402
from shd_helpers.sweeps import results, reuse, spec  # noqa: E402
from tests.builders.recordings import sound  # noqa: E402
from tests.sweep_home import as_yaml  # noqa: E402
from tests.toy import write_toy  # noqa: E402

TRAINING = NOTEBOOKS / "03_model_training.ipynb"
OURS = {"DatasetError", "RunError", "TableError", "SweepError", "RecordingError", "ValueError"}
OURS |= {"BoardError", "ExportError"}
LIMIT_S = 240.0  # of one attack, on a busy machine
FORK = multiprocessing.get_context("fork")
ROOM_BYTES = 700e6
ADDRESSES_BYTES = 4e9  # above what the parent has


class Home:
    """A folder with data, recordings, a run folder, a sweep and its tables: what is attacked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.toy = folder / "toy"
        self.out = folder / "out"
        self.yaml = folder / "trial.yaml"
        self.table = folder / "results" / "trial_toy.csv"
        self.small = {"dataset": str(self.toy), "pool_units": 20, "pool_steps": 20}
        self.small |= {"n_hidden": 12, "epochs": 2}
        for name in ("runs", "data", "results"):
            os.environ[f"SHD_{name.upper()}_DIR"] = str(folder / name)
        os.environ["SHD_IMG_DIR"] = str(folder / "img")

    def make(self) -> None:
        """Do once, as it should go, all that writes."""
        speech.make_spoken = no_spoken
        write_toy(self.toy, seed=0, takes=1)
        (self.folder / "recorded").mkdir()
        for i, name in enumerate(("one_ann_0", "two_ann_0", "one_bob_0", "two_bob_0")):
            path = self.folder / "recorded" / f"{name}.{('wav', 'flac')[i % 2]}"
            soundfile.write(path, sound(i, 24_000, 0.05), 24_000)
        content = {"name": "trial", "notebook": TRAINING.stem, "fixed": self.small, "seeds": [0]}
        content |= {"grid": {"slope": [2.0, 3.0]}, "keep_predictions": True}
        self.yaml.write_text(as_yaml(content))
        self.train()
        self.encode()
        self.sweep()

    def train(self) -> None:
        execute(self.small | {"run_name": "keep"})

    def encode(self) -> None:
        encode_recordings(self.folder / "recorded", self.out, "mine", ["bob"])

    def sweep(self) -> None:
        """Do what `run_sweep` does, without a cluster and kernels."""
        swept = spec.read_sweep(self.yaml)
        found = reuse.find_pending_runs(swept, swept.runs)
        reuse.store_finished_folders(swept, found.only_in_folders)
        done = []
        failures = {}
        for run, _ in found.pending:
            try:
                execute(run.parameters)
            except Exception as error:
                result = failures[run] = results.RunResult.failure(clean(error))
            else:
                done.append(run)
                measured = finished_run(run.folder, run.hash)
                error = "" if measured else "the run folder is gone"
                result = results.RunResult(measured, error)
            results.store(swept, {run: result})
        results.store_predictions(swept, done)
        assert len(results.own_rows(swept, swept.runs, failures)) == len(swept.runs)

    def analyze(self) -> None:
        run = read_run(self.folder / "runs" / "keep")
        trained = load_network(run)
        found = evaluate(trained.network, load_utterances(trained).predicted)
        assert (found.predictions().predicted == run.predictions.predicted).all()

    def tables(self) -> None:
        read_table(self.table)
        collect_predictions(self.table)

    def is_whole(self, folder: str) -> bool:
        """Tell whether a folder holds a complete run whose parts belong together."""
        run = read_run(self.folder / folder)
        epochs = {len(values) for values in run.weights.values()}
        is_right = np.isfinite(run.epochs[["train_loss", "validation_loss"]].to_numpy()).all()
        return epochs == {len(run.epochs) + 1} and len(run.predictions) > 0 and bool(is_right)


def no_spoken(*_, **__) -> None:
    """Stand for what a sweep without its `dataset` would make for minutes."""
    raise DatasetError("dataset 'spoken': isn't made in an attack")


def execute(parameters: dict) -> None:
    """Execute notebook 3's cells in this process, without a kernel."""
    space = {"display": lambda *shown: None}
    for cell in json.loads(TRAINING.read_text(encoding="utf-8"))["cells"]:
        tags = cell["metadata"].get("tags", [])
        if cell["cell_type"] == "code" and "lesson" not in tags:
            exec("".join(cell["source"]), space)
            space |= parameters if "parameters" in tags else {}


def clean(error: BaseException) -> str:
    """Return the one line that an error is for the user; what has none is raised again."""
    if type(error).__name__ not in OURS or not str(error) or len(str(error).splitlines()) > 4:
        raise error
    return str(error)


def hashes(folder: Path) -> dict[str, str]:
    """Return the hash of every file of a folder that matters to its reader."""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != ".lock")
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def done_rows(table: Path) -> set[str]:
    """Return the names of the finished runs that a table has."""
    text = table.read_text(errors="replace") if table.is_file() else ""
    lines = [line.split('"') for line in text.splitlines() if ",done," in line]
    return {parts[1] for parts in lines if len(parts) > 1}  # a damaged line may have no name


# --- what is done to it ---------------------------------------------------------------------------


READERS = {
    "data": ("train", "analyze", "sweep"),
    "recorded": ("encode",),
    "out": ("encode",),
    "results": ("tables", "sweep"),
    "runs": ("analyze", "train", "sweep", "tables"),
    "trial.yaml": ("sweep",),
}
WAYS = "bits cut empty noise other folder gone nowhere itself pipe device"
TOKENS = (b"NaN", b"-1", b"1e999", b"null", b'"x"', b"", b"true", b"[]", b"97", b"9" * 40, b"\xff")


def damage(rng: random.Random, path: Path, others: list[Path]) -> str:
    """Damage a file in one of many ways; return the way."""
    content = bytearray(path.read_bytes())
    ways = WAYS.split()
    if path.suffix in (".json", ".csv", ".yaml"):
        ways += ["token", "line"] * 5
    way = rng.choice(ways)
    content = damaged(rng, content, way, others)
    path.unlink()
    if way == "folder":
        path.mkdir()
    elif way == "pipe":
        os.mkfifo(path)
    elif way in ("nowhere", "itself", "device"):
        path.symlink_to({"nowhere": "gone", "itself": path}.get(way, "/dev/zero"))
    elif way != "gone":
        path.write_bytes(content)
    return way


def damaged(rng: random.Random, content: bytearray, way: str, others: list[Path]) -> bytearray:
    """Return a file's content, damaged if the way is one that damages content."""
    at = rng.randrange(len(content) + 1)
    if way == "bits" and content:
        for _ in range(rng.choice([1, 3, 20])):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif way in ("cut", "empty"):
        del content[at if way == "cut" else 0 :]
    elif way == "noise":
        end = min(len(content), at + rng.choice([8, 100, 10**6]))
        content[at:end] = rng.randbytes(end - at)
    elif way == "other":
        content = bytearray(rng.choice(others).read_bytes())
    elif way == "token" and (found := [*re.finditer(rb"[\w.]+|\"[^\"]*\"", content)]):
        start, end = rng.choice(found).span()
        content[start:end] = rng.choice(TOKENS)
    elif way == "line" and content:
        lines = content.splitlines(keepends=True)
        k = rng.randrange(len(lines))
        lines[k : k + 1] = [] if rng.random() < 0.5 else [lines[k]] * 2
        content = bytearray(b"".join(lines))
    return content


def damage_some(rng: random.Random, home: Home) -> tuple[dict[str, str], str]:
    """Damage a file or two; return the way of each, and the method that is to come there."""
    files = sorted(path for path in home.folder.rglob("*") if path.is_file())
    place = rng.choice([*READERS, "runs", "results"])
    inside = [p for p in files if p.relative_to(home.folder).parts[0] == place]
    ways = {}
    for path in rng.sample(inside, min(len(inside), rng.choice([1, 1, 2]))):
        others = [p for p in files if p.is_file()]
        ways[str(path.relative_to(home.folder))] = damage(rng, path, others)
    return ways, rng.choice(READERS[place])


class Arena:
    """A folder with the home that is attacked, a good copy of it, and what an attack said."""

    limit_s = LIMIT_S  # of one attack

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder / "home")
        self.good = folder / "good"
        self.said = folder / "said"
        self.outcome = folder / "outcome"
        # in this process, so that its forks find all compiled; it starts no thread that stays
        with (folder / "made").open("w") as out, redirect_stdout(out):
            for _ in range(2):  # the second time nothing is compiled
                shutil.rmtree(self.home.folder, ignore_errors=True)
                self.home.folder.mkdir()
                self.home.make()
        gc.collect()
        shutil.copytree(self.home.folder, self.good, symlinks=True)

    def fork(self, act) -> tuple[str, object]:
        """Do something in a fork; return how it ended, and what it said."""
        self.outcome.unlink(missing_ok=True)
        process = FORK.Process(target=self._child, args=(act,))
        process.start()
        process.join(self.limit_s)
        word = "hang" if process.is_alive() else f"exit status {process.exitcode}"
        if process.is_alive():
            os.kill(process.pid, signal.SIGABRT)  # its traceback goes to `said`
            process.join(10)
            process.kill()
        if self.outcome.exists():
            return tuple(json.loads(self.outcome.read_text()))
        return "finding", f"{word}\n{self.said.read_text(errors='replace')[:3000]}"

    def _child(self, act) -> None:
        said = os.open(self.said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for number in (1, 2):
            os.dup2(said, number)
        # its own is a semaphore that all forks share: one killed with it would stop the others
        tqdm.set_lock(threading.RLock())
        faulthandler.enable()
        before = psutil.Process().memory_info()
        resource.setrlimit(resource.RLIMIT_AS, (before.vms + int(ADDRESSES_BYTES),) * 2)
        try:
            outcome = "completed"
            text = act()
        except BaseException as error:
            try:
                outcome = "refused"
                text = clean(error)
            except BaseException:
                outcome = "finding"
                text = "".join(traceback.format_exception(error))[-4000:]
        room = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before.rss
        if outcome != "finding" and room > ROOM_BYTES:
            outcome = "finding"
            text = f"{room / 1e6:.0f} MB of memory; {text}"
        with atomic(self.outcome) as part:
            part.write_text(json.dumps((outcome, text)))

    def attack(self, number: int) -> tuple[str, str, object]:
        """Restore the home, attack it; return what was done, how it ended, what was said."""
        shutil.rmtree(self.home.folder)
        shutil.copytree(self.good, self.home.folder, symlinks=True)
        ways, act = damage_some(random.Random(number), self.home)
        before = hashes(self.home.folder)
        outcome, text = self.fork(getattr(self.home, act))
        names = (str(self.home.folder), "dataset", *(Path(name).name for name in ways))
        if outcome == "refused" and not any(name in str(text) for name in names):
            outcome = "finding"
            text = f"refused, and names nothing: {text}"
        if outcome != "finding" and (problem := self.problem({*ways}, before)):
            outcome = "finding"
            text = f"{problem}; {text}"
        return f"{act} after {ways}", outcome, text

    def problem(self, damaged: set[str], before: dict[str, str]) -> str:
        """Return what was lost of what isn't damaged, if anything."""
        after = hashes(self.home.folder)
        rewritten = set()
        for name, content in before.items():
            folder = name.rpartition("/")[0]
            is_complete = f"{folder}/run.json" in before and "unfinished" not in folder
            if is_complete and after.get(name) != content and name not in damaged:
                rewritten.add(folder)
        for folder in rewritten:  # then all of it is new
            answer = self.fork(lambda folder=folder: self.home.is_whole(folder))
            if answer != ("completed", True):
                return f"{folder}: changed, and no complete run: {answer[1]}"
        table = self.home.table.relative_to(self.home.folder)
        lost = done_rows(self.good / table) - done_rows(self.home.table)
        if lost and str(table) not in damaged:
            return f"rows are lost: {lost}"
        return ""


def main() -> None:
    """Attack until the time is over; print each finding, and count them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--count", type=int, default=10**9, help="attacks, at most")
    parser.add_argument("--seed", type=int, default=0, help="number of the first attack")
    arguments = parser.parse_args()
    end = time.monotonic() + 60 * arguments.minutes
    counts = Counter()
    number = arguments.seed
    with tempfile.TemporaryDirectory(prefix="attacks") as folder:
        arena = Arena(Path(folder))
        while number < arguments.seed + arguments.count and time.monotonic() < end:
            what, outcome, text = arena.attack(number)
            print(f"{number} {what} {outcome}", file=sys.stderr)
            counts[outcome] += 1
            if outcome == "finding" or arguments.count == 1:
                print(f"\nattack {number}: {what}\n{outcome}: {text}", flush=True)
            number += 1
    print(f"attacks {arguments.seed} to {number - 1}: {dict(counts)}")
    sys.exit(counts["finding"] > 0)


if __name__ == "__main__":
    main()
