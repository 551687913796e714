"""Read ``plan.yaml``: the cells of each question, and the trainings that each cell needs."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml  # type: ignore[import-untyped]

from shd_helpers.versions import NUMERICS

PLAN = Path(__file__).with_name("plan.yaml")
N_DIGITS = 12  # of a cell's hash
SEED_STEP = 10  # from one repeat of a fold to the next


@dataclass(frozen=True)
class Cell:
    """One configuration: what is trained, on whose utterances, and who tests it besides a fold.

    `thinned_to` holds settings of the input whose number of events remains. `train_people` and
    `train_utterances` are how many of the training people and of their utterances train; 0 is all.
    """

    settings: Mapping[str, Any]
    thinned_to: Mapping[str, Any] | None = None
    train_on: str = "commands"
    train_people: int = 0
    train_utterances: int = 0
    test_on: str = ""
    n_seeds: int = 1  # networks for each fold

    @property
    def digest(self) -> str:
        """Return a hash of all that changes the networks of this cell."""
        values = asdict(self) | {"numerics": NUMERICS}
        values.pop("n_seeds")
        text = json.dumps(values, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:N_DIGITS]


class Training(NamedTuple):
    """One network: a cell, whose people are held out, and a seed.

    Without a fold, all training people train and `role` says who tests it.
    """

    cell: Cell
    fold: int | None
    seed: int
    role: str = "training"

    def path(self, folder: Path) -> Path:
        """Return the file of the network's scores."""
        return folder / self.cell.digest / f"{self.tested_by}_seed_{self.seed}.npz"

    @property
    def tested_by(self) -> str:
        """Return whose utterances test the network."""
        return self.role if self.fold is None else f"fold_{self.fold}"

    @property
    def frozen_name(self) -> str:
        """Return where the frozen file has the network."""
        return f"networks/{self.cell.digest}/{self.tested_by}_{self.seed}"


@cache
def plan() -> dict[str, Any]:
    """Return the plan as it is written."""
    return yaml.safe_load(PLAN.read_text(encoding="utf-8"))


def cell_of(question: str, name: str, selected: Mapping[str, str]) -> Cell:
    """Return a cell of a question; `selected` has the name of the recipe of each input."""
    written = dict(plan()["questions"][question][name])
    recipe = written.pop("recipe", None) or selected[written.pop("selected")]
    return _cell(written, recipe)


def final_trainings(selected: Mapping[str, str]) -> list[Training]:
    """Return the trainings that the test people judge: all training people train."""
    trainings = []
    for question, names in plan()["final"].items():
        for name in names:
            cell = cell_of(question, name, selected)
            for repeat in range(cell.n_seeds):
                trainings.append(Training(cell, None, repeat * SEED_STEP, "test"))
    return trainings


def candidates() -> Iterator[tuple[str, str, Cell]]:
    """Yield the input, the recipe and the cell of each candidate of the selection."""
    for name in plan()["selection"]["inputs"]:
        for recipe in plan()["selection"]["recipes"]:
            yield name, recipe, _cell({"input": name}, recipe)


def _cell(written: dict[str, Any], recipe: str) -> Cell:
    """Return the cell of what is written for it, without its recipe."""
    inputs = plan()["inputs"]
    settings = plan()["base"] | inputs[written.pop("input")]
    settings |= plan()["networks"][written.pop("network", "owner")] | plan()["recipes"][recipe]
    longer = written.pop("longer", 1)
    settings |= {name: longer * settings[name] for name in ("epochs", "lr_step")}
    other: dict[str, Any] = {}
    thinned_to = written.pop("thinned_to", None)
    if thinned_to:
        other["thinned_to"] = inputs[thinned_to]
    other["n_seeds"] = written.pop("seeds", 1)
    for name in ("train_on", "train_people", "train_utterances", "test_on"):
        if name in written:
            other[name] = written.pop(name)
    return Cell(settings | written, **other)


def trainings_of(question: str, name: str, selected: Mapping[str, str]) -> list[Training]:
    """Return the trainings of a cell: each fold with its first seed, then with the next."""
    cell = cell_of(question, name, selected)
    return [
        Training(cell, fold, repeat * SEED_STEP + fold)
        for repeat in range(cell.n_seeds)
        for fold in range(plan()["folds"])
    ]
