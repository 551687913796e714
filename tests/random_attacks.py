"""Attack the study at random: parameters, damaged files, kills; see docs/attacks.md.

python -m tests.random_attacks --minutes 60 [--seed 0]

Each attack has a number that it follows from: ``--seed 17 --count 1`` repeats attack 17.
"""

import argparse
import faulthandler
import gc
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from contextlib import redirect_stdout, suppress
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):  # a fork has no other threads
    os.environ[variable] = "1"
os.environ["MPLBACKEND"] = "Agg"

import psutil  # noqa: E402
from tqdm import tqdm  # noqa: E402

from tests.attack_home import Home, clean, hashes  # noqa: E402
from tests.attack_kinds import Attack, of_damage, of_kills, of_parameters  # noqa: E402

LIMIT_S = 240.0  # of one attack, on a busy machine
ROOM_BYTES, ADDRESSES_BYTES = 700e6, 4e9  # above what the parent has
KINDS = {"parameters": of_parameters, "damage": of_damage, "kills": of_kills}


class Arena:
    """A folder with the home that is attacked, a good copy of it, and what an attack said."""

    def __init__(self, folder: Path) -> None:
        self.home, self.good = Home(folder / "home"), folder / "good"
        self.said, self.outcome = folder / "said", folder / "outcome"
        (folder / "home").mkdir(parents=True)
        # in this process, so that its forks find all compiled; it starts no thread that stays
        with (folder / "made").open("w") as out, redirect_stdout(out):
            self.home.make()
            spans = self.home.make(again=True)
        gc.collect()  # the locks of what was cut short
        shutil.copytree(folder / "home", self.good, symlinks=True)
        self.results = self.ask(self.home.results)
        self.results |= {f"half_{part}": self.results[f"mine_{part}"] for part in ("train", "test")}
        self.spans = spans | {"half": spans["encode"], "cut": spans["keep"]}
        self.spans["study"] = 2 * spans["keep"]

    def restore(self) -> None:
        shutil.rmtree(self.home.folder, ignore_errors=True)
        shutil.copytree(self.good, self.home.folder, symlinks=True)

    def ask(self, question):
        """Return what a function returns in a fork of its own."""
        outcome, answer, _ = self.fork(question)
        assert outcome == "completed", answer
        return answer

    def fork(self, act, kill: tuple[int, float] | None = None) -> tuple[str, object, float]:
        """Do something in a fork; return how it ended, what it said, its memory above ours."""
        self.outcome.unlink(missing_ok=True)
        before = psutil.Process().memory_info()
        pid = os.fork()
        if not pid:
            self._child(act, before.vms)
        start, waiting = time.monotonic(), [kill] if kill else []
        while True:
            ended, status, usage = os.wait4(pid, os.WNOHANG)
            spent = time.monotonic() - start
            if ended:
                break
            if waiting and spent >= waiting[0][1]:
                os.kill(pid, waiting.pop()[0])
            if spent > LIMIT_S + 10:
                os.kill(pid, signal.SIGKILL)
            elif spent > LIMIT_S:
                os.kill(pid, signal.SIGABRT)  # its traceback goes to `said`
            time.sleep(0.01)
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)  # its kernels
        room = max(0, usage.ru_maxrss * 1024 - before.rss)
        if self.outcome.exists():
            return (*json.loads(self.outcome.read_text()), room)
        code = os.waitstatus_to_exitcode(status)
        if kill and code == -kill[0]:
            return "killed", "", room
        word = "hang" if spent > LIMIT_S else f"exit status {code}"
        return "finding", f"{word}\n{self.said.read_text(errors='replace')[:3000]}", room

    def _child(self, act, vms: int) -> None:
        os.setsid()
        said = os.open(self.said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for number in (1, 2):
            os.dup2(said, number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        # its own is a semaphore that all forks share: one killed with it would stop the others
        tqdm.set_lock(threading.RLock())
        faulthandler.enable()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_AS, (vms + int(ADDRESSES_BYTES),) * 2)
        try:
            outcome = ("completed", act())
            json.dumps(outcome)
        except BaseException as error:
            try:
                outcome = ("refused", clean(error))
            except BaseException:
                outcome = ("finding", "".join(traceback.format_exception(error))[-4000:])
        part = self.outcome.with_suffix(".part")
        part.write_text(json.dumps(outcome))
        part.replace(self.outcome)
        os._exit(0)

    def attack(self, number: int, kinds: list[str]) -> tuple[str, str, str, str]:
        """Restore the home, attack it; return kind, what was done, how it ended, what was said."""
        self.restore()
        rng = random.Random(number)
        kind = rng.choices(kinds, [{"kills": 1}.get(kind, 2) for kind in kinds])[0]
        spans = (self.spans,) * (kind == "kills")
        attack: Attack = KINDS[kind](rng, self.home, *spans)
        attack.prepare()
        before = hashes(self.home.folder)
        for kill in attack.kills:
            outcome, text, _ = self.fork(attack.act, kill)
            if outcome == "finding":
                return kind, attack.what, outcome, text
            if problem := self.problem(attack, before):
                return kind, attack.what, "finding", f"after {outcome}: {problem}"
        outcome, text, room = self.fork(attack.act)
        if outcome == "refused":
            if not attack.names:
                outcome, text = "finding", f"refused: {text}"
            elif text != "usage" and not any(str(name) in text for name in attack.names):
                outcome, text = "finding", f"names nothing: {text}"
        if outcome != "finding":
            if room > ROOM_BYTES:
                outcome, text = "finding", f"{room / 1e6:.0f} MB of memory; {text}"
            elif problem := self.problem(attack, before):
                outcome, text = "finding", f"{problem}; {text}"
        if attack.kills and outcome == "completed":
            found = self.ask(self.home.results)
            wrong = [k for k in found if found[k] not in (None, self.results[k])]
            left = [path.name for path in self.home.folder.rglob("*.part")]
            if wrong or left:
                outcome, text = "finding", f"other results: {wrong}; left: {left}"
        return kind, attack.what, outcome, str(text)

    def problem(self, attack: Attack, before: dict[str, str]) -> str:
        """Return what was lost, if anything."""
        after = hashes(self.home.folder)
        touched, lost = attack.damaged, []
        for name, content in before.items():
            folder = name.rpartition("/")[0]
            is_complete = f"{folder}/run.json" in before and "unfinished" not in folder
            if is_complete and after.get(name) != content and name not in touched:
                lost.append(name)
        rewritten = {name.rpartition("/")[0] for name in lost}
        for folder in rewritten:  # then all of it is new
            answer = self.fork(lambda folder=folder: self.home.is_whole(folder))
            waits = "The complete run waits in" in str(answer[1])  # for a folder in its way
            if answer[:2] != ("completed", True) and not waits:
                return f"{folder}: changed, and no complete run: {answer[1]}"
        for path in self.home.folder.rglob("*.json"):
            name = str(path.relative_to(self.home.folder))
            if name not in touched and path.is_file():
                try:
                    json.loads(path.read_text(), parse_constant=lambda word: 1 / 0)
                except (ValueError, ZeroDivisionError):
                    return f"{name}: no JSON"
        lines = self.home.rows(self.good) - self.home.rows(self.home.folder)
        table = "results/trial_toy.csv"
        if lines and table in before and table not in touched:
            return f"rows are lost: {lines}"
        return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--count", type=int, default=10**9, help="attacks, at most")
    parser.add_argument("--seed", type=int, default=0, help="number of the first attack")
    parser.add_argument("--kinds", nargs="+", default=[*KINDS], choices=[*KINDS])
    arguments = parser.parse_args()
    end = time.monotonic() + 60 * arguments.minutes
    with tempfile.TemporaryDirectory(prefix="attacks") as folder:
        sys.exit(run(Arena(Path(folder)), arguments, end))


def run(arena: Arena, arguments: argparse.Namespace, end: float) -> int:
    """Attack until the time is over; print each finding, and a table at the end."""
    counts: Counter = Counter()
    number = arguments.seed
    while number < arguments.seed + arguments.count and time.monotonic() < end:
        start = time.monotonic()
        kind, what, outcome, text = arena.attack(number, arguments.kinds)
        print(f"{number} {time.monotonic() - start:.1f} s {what} {outcome}", file=sys.stderr)
        counts[kind, outcome] += 1
        if outcome == "finding" or arguments.count == 1:
            print(f"\nattack {number}: {kind}: {what}\n{outcome}: {text}", flush=True)
        number += 1
    outcomes = ("refused", "completed", "finding")
    print(f"\nattacks {arguments.seed} to {number - 1}\n{'':12}", *(f"{o:>10}" for o in outcomes))
    for kind in arguments.kinds:
        print(f"{kind:12}", *(f"{counts[kind, o]:10}" for o in outcomes))
    return sum(counts[kind, "finding"] for kind in KINDS) > 0


if __name__ == "__main__":
    main()
