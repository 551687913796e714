"""What the random attacks are: parameters, damaged files, kills; see `random_attacks`."""

import gzip
import os
import random
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.attack_home import DEFAULTS, SMALL, Home


@dataclass
class Attack:
    """What is done to a home, and what may come of it."""

    kind: str
    what: str  # in words
    act: Callable[[], object]
    names: tuple[str, ...] = ()  # one of them stands in what is refused; none: it must complete
    damaged: set[str] = field(default_factory=set)  # files, below the home
    prepare: Callable[[], object] = lambda: None
    kills: tuple[tuple[int, float], ...] = ()  # signals, and seconds from the start


TEXTS = ["", " ", *"x ../x a/b nan inf -inf 0 -1 1 2 3.5 1e308 5e-324 1e-300 None True".split()]
TEXTS += ["9" * 30, *"[1] é -0.0 1,2 keep 1e-3 {}".split()]
VALUES: list = [None, True, False, 0, -1, 1, 2, 3, 10**30, 10**400, 2**63, [], {}, [1], (0,), b"x"]
VALUES += [*map(float, "0.5 nan inf -inf 1e308 -0.0 5e-324".split())]
VALUES += ["", "x" * 5000, *"~nobody x ../x nan keep 1,2".split()]
WORDS = {
    "language": ("german", "both"),
    "surrogate": ("atan", "sigmoid"),
    "readout": ("membrane",),
    "network": ("convolutional",),
    "protocol": ("leave_one_out", "everybody"),
    "validation": ("speaker",),
    "dataset": ("shd_helpers", "no/where", "spoken\0"),
    "held_out": (0, 3, 99),
}
# accepted, a larger value only takes longer
DEAR = {"epochs": (4, 1e5), "updates": (4, 1e5), "n_hidden": (65, 1e5), "n_delays": (5, 1e3)}
DEAR |= {"batch_size": (513, 1e5)}


def draw_value(rng: random.Random, name: str) -> object:
    """Return a value: valid, at an edge, nonsense or of a wrong type."""
    default = (DEFAULTS | {"updates": 2})[name]
    while True:
        value = rng.choice([*VALUES, *(WORDS.get(name, ()) * 8)])
        if rng.random() < 0.4 and not isinstance(default, str | bool):
            factor = rng.choice([0.01, 0.1, 0.5, 0.9, 1.1, 2, 5, 30])
            value = type(default)((SMALL.get(name, default) or 1) * factor)
        low, high = DEAR.get(name, (2, 1))
        if not (isinstance(value, int | float) and low <= value <= high):
            return value


def of_parameters(rng: random.Random, home: Home) -> Attack:
    names = rng.sample(sorted(DEFAULTS), rng.choice([1, 1, 1, 2, 3]))
    drawn = {name: draw_value(rng, name) for name in names}
    way = rng.choice(["study", "papermill", "papermill", "sweep", "encode"])
    if way == "papermill":
        act = lambda: home.train(**{"run_name": "keep", **drawn})  # noqa: E731
    elif way == "study":
        if rng.random() < 0.5:
            drawn[names[0]] = rng.choice(TEXTS) if names[0] not in DEAR else "0"
        given = [text for name, value in drawn.items() for text in ("-p", name, str(value))]
        whole = rng.random() < 0.03
        act = lambda: home.study("--name", "keep", *given, whole=whole)  # noqa: E731
    elif way == "sweep":
        grid, fixed = {names[0]: [drawn[names[0]]]}, {k: drawn[k] for k in names[1:]}
        content = {"name": "trial", "notebook": "03_model_training", "seeds": [rng.choice(VALUES)]}
        content |= {"fixed": {k: v for k, v in home.small.items() if k not in grid} | fixed}
        content |= {"grid": grid}
        names += ["seeds", str(home.yaml), "trial"]
        key = rng.choice([*content, *content, "without", "keep_predictions", "plan", "x"])
        if rng.random() < 0.3:
            content[key] = rng.choice([*VALUES, {"x": 3}, [[]], {None: {}}])
        text = yaml.dump(content, sort_keys=False)
        act = lambda: (home.yaml.write_text(text), home.sweep())  # noqa: E731
    else:
        names = ["test_speakers", "name", "seed", "recorded", "folder", "out"]
        given = {rng.choice(names[:-1]): rng.choice([*VALUES, ["ann"], "ann", ["bob", "x"]])}
        names += [*given, *map(str, given.values())]
        drawn = given = {"folder" if k == "recorded" else k: v for k, v in given.items()}
        act = lambda: home.encode(**given)  # noqa: E731
    if "dataset" in drawn:  # where it is a folder, a message names that
        names.append(str(drawn["dataset"]) or "dataset")
    return Attack("parameters", f"{way} {drawn!r}", act, tuple(names))


READERS = {
    "toy": ("keep", "study", "analyse", "sweep"),
    "data": ("keep", "analyse", "sweep"),
    "recorded": ("encode",),
    "out": ("encode", "half", "read_data"),
    "results": ("read_tables", "sweep"),
    "runs": ("analyse", "keep", "sweep", "read_tables", "cut", "study"),
    "trial.yaml": ("sweep",),
}
TOKENS = (b"NaN", b"-1", b"1e999", b"null", b'"x"', b"", b"true", b"[]", b"97", b"9" * 40, b"\xff")


def damage(rng: random.Random, path: Path, others: list[Path]) -> str:
    """Damage a file in one of many ways; return the way."""
    content = bytearray(path.read_bytes())
    ways = ["bits", "head", "cut", "empty", "noise", "zeros", "huge", "more", "other", "folder"]
    ways += ["gone", "nowhere", "itself", "pipe", "device"]
    ways += ["token", "line"] * 5 * (path.suffix in (".json", ".csv", ".yaml"))
    way = rng.choice(ways)
    at = rng.randrange(len(content) + 1)
    if way in ("bits", "head") and content:
        for _ in range(rng.choice([1, 3, 20])):
            content[rng.randrange(min(len(content), 2**9 if way == "head" else 2**40))] ^= (
                1 << rng.randrange(8)
            )
    elif way in ("cut", "empty"):
        del content[at if way == "cut" else 0 :]
    elif way in ("noise", "zeros"):
        end = min(len(content), at + rng.choice([8, 100, 10**6]))
        content[at:end] = rng.randbytes(end - at) if way == "noise" else bytes(end - at)
    elif way == "huge":
        size = rng.choice([4, 8])
        at -= at % size
        content[at : at + size] = rng.choice([2**31 - 1, 2**30, 2**24]).to_bytes(size, "little")
    elif way == "more":
        content += rng.randbytes(rng.choice([1, 1000]))
    elif way == "other":
        content = bytearray(rng.choice([p for p in others if p.is_file()]).read_bytes())
    elif way == "token" and (found := [*re.finditer(rb"[\w.]+|\"[^\"]*\"", content)]):
        start, end = rng.choice(found).span()
        content[start:end] = rng.choice(TOKENS)
    elif way == "line" and content:
        lines = content.splitlines(keepends=True)
        k = rng.randrange(len(lines))
        lines[k : k + 1] = [] if rng.random() < 0.5 else [lines[k]] * 2
        content = b"".join(lines)
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


def of_damage(rng: random.Random, home: Home) -> Attack:
    files = [path for path in home.folder.rglob("*") if path.is_file()]
    place = rng.choice([*READERS, "runs", "toy"])
    inside = sorted(p for p in files if p.relative_to(home.folder).parts[0] == place)
    chosen = rng.sample(inside, min(len(inside), rng.choice([1, 1, 2])))
    reader, seed = rng.choice(READERS[place]), rng.random()
    packed = place == "toy" and rng.random() < 0.3

    def prepare():
        again = random.Random(seed)
        for i, path in enumerate(chosen):
            if packed and path.suffix == ".h5":
                whole = path.read_bytes()
                path.unlink()
                chosen[i] = path.with_name(path.name + ".gz")
                chosen[i].write_bytes(gzip.compress(whole, 1))
            attack.what += f" {damage(again, chosen[i], files)}"

    names = [path.relative_to(home.folder) for path in chosen]
    what = f"{reader} after {', '.join(map(str, names))}:"
    words = (str(home.folder), "dataset", *(path.name for path in names))
    damaged = {str(path) for path in names}
    act = home.acts().get(reader) or getattr(home, reader)
    attack = Attack("damage", what, act, words, damaged, prepare)
    return attack


def of_kills(rng: random.Random, home: Home, spans: dict[str, float]) -> Attack:
    doing = rng.choice([*spans])
    kills = [
        (rng.choice([signal.SIGKILL, signal.SIGTERM]), rng.uniform(0, 1.2 * spans[doing]))
        for _ in range(rng.choice([1, 1, 2, 3]))
    ]
    prepare = home.forget if doing == "sweep" or rng.random() < 0.3 else (lambda: None)
    what = f"{doing}, {', '.join(f'{signal.Signals(s).name} at {t:.2f} s' for s, t in kills)}"
    return Attack("kills", what, home.acts()[doing], (), set(), prepare, tuple(kills))
