"""Read ``plan.yaml``: the cells of each question, and the trainings that each cell needs."""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from evidence.trainings import Cell, Training

PLAN = Path(__file__).with_name("plan.yaml")
SEED_STEP = 10  # from one repeat of a fold to the next


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
    settings |= plan()["networks"][written.pop("network", "original")] | plan()["recipes"][recipe]
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
