"""Read a plan of ``evidence/plans``: its networks, and what they have in common.

A plan is a YAML file that was committed before its first run. `base`, `inputs`, `recipes` and
`networks` name settings. `questions` says which networks are trained, in one of two forms. Either a
question names cells, each with its input and its recipe::

    cost:
      700 x 1000: {input: 700 x 1000, recipe: p01, seeds: 3}

or it crosses inputs with recipes, and perhaps with data sets and numbers of draws::

    panel: {inputs: [700 x 1000, 183 x 333], recipes: [p01, p02], longer: 2, scored_after: [10]}

Each cell has one network for each of five folds and each of its seeds. `contrasts` says what is
compared, and the comments say how.
"""

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import yaml  # type: ignore[import-untyped]

from shd_helpers.events.loading import N_FOLDS
from shd_helpers.paths import results_dir, runs_dir
from shd_helpers.versions import NUMERICS

PLANS = Path(__file__).with_name("plans")
DATASET = "commands"
N_DIGITS = 12  # of a cell's hash
SEED_STEP = 10  # from one repeat of a fold to the next
VALIDATION = "validation"  # the name of the utterances by validation people
SELECTION = "selection"  # in place of a question: recipes are selected by validation people
FINAL = "final"  # likewise: the test people judge
_OF_CELLS = ("train_on", "train_people", "train_utterances", "test_on")
Plan = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """One configuration: what is trained, on whose utterances, and who tests it besides a fold.

    `thinned_to` holds settings of the input whose number of events remains. `train_people` and
    `train_utterances` are how many of the training people and of their utterances train; 0 is all.
    """

    settings: Mapping[str, Any]
    thinned_to: Mapping[str, Any] | None = None
    train_on: str = DATASET
    train_people: int = 0
    train_utterances: int = 0
    test_on: str = ""
    n_seeds: int = 1  # networks for each fold
    scored_after: tuple[int, ...] = ()  # epochs, beside the last one
    also_scored: tuple[str, ...] = ()  # data sets, or validation people, beside the held-out ones
    draws: int = 1  # of each training utterance, which replace each other by epoch

    @property
    def digest(self) -> str:
        """Return a hash of all that changes the networks of this cell."""
        values = asdict(self) | {"numerics": NUMERICS}
        for name in ("n_seeds", "scored_after", "also_scored"):
            values.pop(name)
        if self.draws == 1:
            values.pop("draws")
        text = json.dumps(values, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:N_DIGITS]


class Network(NamedTuple):
    """A network of a plan: its question, what tables call it, its cell, who tests it, its seed."""

    question: str
    names: Mapping[str, Any]  # by column: `cell`, or `input`, `recipe`, `data` and `draws`
    cell: Cell
    tested_by: str  # ``fold_0`` to ``fold_4``, ``validation`` or ``test``
    seed: int

    @property
    def fold(self) -> int | None:
        """Return the fold, if one tests the network."""
        return int(self.tested_by[-1]) if self.tested_by.startswith("fold_") else None

    @property
    def repeat(self) -> int:
        """Return which seed of its fold the network has."""
        return self.seed // SEED_STEP

    @property
    def frozen_name(self) -> str:
        """Return where the frozen file has the network."""
        return f"networks/{self.cell.digest}/{self.tested_by}_{self.seed}"

    @property
    def frozen_utterances(self) -> str:
        """Return where the frozen file has the utterances that test the network."""
        return f"utterances/{self.cell.settings['dataset']}/{self.tested_by}"


@cache
def read_plan(name: str) -> dict[str, Any]:
    """Return a plan as it is written."""
    return yaml.safe_load((PLANS / f"{name}.yaml").read_text(encoding="utf-8"))


def plan_names() -> list[str]:
    """Return the names of all plans."""
    return sorted(path.stem for path in PLANS.glob("*.yaml"))


def runs_of(plan: Plan) -> Path:
    """Return the folder of the files that keep a plan's networks."""
    return runs_dir() / plan["name"]


def frozen_file(plan: Plan) -> Path:
    """Return the file in which a plan's answers are frozen."""
    return results_dir() / f"{plan['name']}_answers.h5"


def selection_table(plan: Plan) -> Path:
    """Return the table with the accuracy of each recipe that the selection compared."""
    return results_dir() / f"{plan['name']}_recipes.csv"


def selected_recipes(plan: Plan) -> dict[str, str]:
    """Return the name of the selected recipe of each input; empty before the selection."""
    if SELECTION not in plan or not selection_table(plan).exists():
        return {}
    table = pd.read_csv(selection_table(plan))
    best = table.loc[table.groupby("input", sort=False).accuracy.idxmax()]
    return dict(zip(best.input, best.recipe, strict=True))


def questions_of(plan: Plan) -> list[str]:
    """Return the names of a plan's questions in the order of their training.

    A selection that has its table is over. Its networks aren't frozen.
    """
    before = [SELECTION] * (SELECTION in plan and not selection_table(plan).exists())
    return [*before, *plan["questions"], *[FINAL] * (FINAL in plan)]


def networks_of(plan: Plan, *questions: str) -> Iterator[Network]:
    """Yield the networks of some questions, or of all that folds judge.

    Within a question those of fold 0 come first.
    """
    for question in questions or plan["questions"]:
        if question == SELECTION:
            for cell in _candidates(plan):
                yield Network(SELECTION, *cell, VALIDATION, 0)
        elif question == FINAL:
            yield from _final_networks(plan)
        else:
            yield from _networks_of_folds(question, list(cells_of(plan, question)))


def _networks_of_folds(
    question: str, cells: Sequence[tuple[dict[str, Any], Cell]]
) -> Iterator[Network]:
    """Yield the networks that folds judge: all cells in fold 0, then in the next fold."""
    most = max(cell.n_seeds for _, cell in cells)
    for fold, repeat in itertools.product(range(N_FOLDS), range(most)):
        for names, cell in cells:
            if repeat < cell.n_seeds:
                seed = repeat * SEED_STEP + fold
                yield Network(question, names, cell, f"fold_{fold}", seed)


def _final_networks(plan: Plan) -> Iterator[Network]:
    """Yield the networks that the test people judge."""
    for question, names in plan[FINAL].items():
        for name in names:
            cell = _cell(plan, dict(plan["questions"][question][name]))
            for repeat in range(cell.n_seeds):
                yield Network(FINAL, {"cell": name}, cell, "test", repeat * SEED_STEP)


def cells_of(plan: Plan, question: str) -> Iterator[tuple[dict[str, Any], Cell]]:
    """Yield the cells of a question, each with what tables call it."""
    written = plan["questions"][question]
    if "inputs" not in written:
        for name, of_cell in written.items():
            yield {"cell": name}, _cell(plan, dict(of_cell))
        return
    factors = itertools.product(
        written["recipes"],
        written.get("data", [DATASET]),
        written.get("draws", [1]),
        written["inputs"],
    )
    for recipe, data, draws, name in factors:
        names = {"input": name, "recipe": recipe, "data": data, "draws": draws}
        others = written.get("also_scored", {}).get(data, ())
        more = {name: written[name] for name in ("seeds", "longer") if name in written}
        yield (
            names,
            _cell(
                plan,
                names | more,
                scored_after=tuple(written.get("scored_after", ())),
                also_scored=(VALIDATION, *others),
            ),
        )


def _candidates(plan: Plan) -> Iterator[tuple[dict[str, Any], Cell]]:
    """Yield what the selection compares: each recipe on each input."""
    for name in plan[SELECTION]["inputs"]:
        for recipe in plan[SELECTION]["recipes"]:
            written = {"input": name, "recipe": recipe}
            yield written, _cell(plan, dict(written))


def _cell(plan: Plan, written: dict[str, Any], **more: Any) -> Cell:
    """Return the cell of what is written for it."""
    settings = {"dataset": written.pop("data", DATASET)} | plan["base"]
    settings |= plan["inputs"][written.pop("input")]
    settings |= plan.get("networks", {}).get(written.pop("network", "original"), {})
    selected = written.pop("selected", None)
    recipe = selected_recipes(plan)[selected] if selected else written.pop("recipe")
    settings |= plan["recipes"][recipe]
    longer = written.pop("longer", 1)
    settings |= {name: longer * settings[name] for name in ("epochs", "lr_step")}
    if "thinned_to" in written:
        more["thinned_to"] = plan["inputs"][written.pop("thinned_to")]
    more["n_seeds"] = written.pop("seeds", 1)
    more["draws"] = written.pop("draws", 1)
    more |= {name: written.pop(name) for name in _OF_CELLS if name in written}
    return Cell(settings | written, **more)
