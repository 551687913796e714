"""Read ``plan.yaml``: the candidates, and the trainings of its stages."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml  # type: ignore[import-untyped]

from evidence.trainings import Cell, Training

PLAN = Path(__file__).with_name("plan.yaml")
STAGES = ("selection", "averaged", "final", "speakers")
N_SPEAKERS = 12  # of `hd`


class Candidate(NamedTuple):
    """A network and a recipe, and the group that they compete in."""

    group: str
    settings: dict[str, Any]

    def cell(self, language: str = "both") -> Cell:
        """Return what is trained, with the digits of one language or of both."""
        return Cell(self.settings | {"language": language}, train_on="everybody")

    def for_validation(self, seeds: Sequence[int] = (0,)) -> list[Training]:
        """Return the trainings that the validation people score, one for each seed."""
        return [Training(self.cell(), None, seed, "validation") for seed in seeds]

    def for_test(self, seeds: Sequence[int]) -> list[Training]:
        """Return the trainings that the test people score, whose networks are shipped."""
        return [Training(self.cell(), None, seed, "test") for seed in seeds]

    def for_speaker(self, speaker: int, seeds: Sequence[int]) -> list[Training]:
        """Return the trainings without a speaker of `hd`, who scores them."""
        return [Training(self.cell("english"), speaker, seed) for seed in seeds]


@cache
def plan() -> dict[str, Any]:
    """Return the plan as it is written."""
    return yaml.safe_load(PLAN.read_text(encoding="utf-8"))


@cache
def candidates() -> dict[str, Candidate]:
    """Return the candidates by their names, in the plan's order."""
    found = {}
    for group, written in plan()["groups"].items():
        for network in written["networks"]:
            for recipe in written["recipes"]:
                settings = plan()["base"] | plan()["networks"][network] | plan()["recipes"][recipe]
                found[f"{network}, {recipe}"] = Candidate(group, settings)
    return found
