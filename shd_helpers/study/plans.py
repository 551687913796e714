"""What the sweeps of frozen tables planned to compare, before their first runs."""

import json
from typing import Any

from shd_helpers.paths import ROOT
from shd_helpers.study.tables import TableError

PLANS = ROOT / "results" / "plans.json"


def read_plans() -> dict[str, dict[str, Any]]:
    """Return what the sweeps of frozen tables planned to compare."""
    return json.loads(PLANS.read_text(encoding="utf-8"))


def plan_of(sweep: str) -> dict[str, Any]:
    """Return what a sweep planned to compare, before its first run.

    Parameters
    ----------
    sweep : str
        A sweep whose table is frozen, such as ``final``.

    Returns
    -------
    dict
        The `plan` in the sweep's file, empty if it has none.

    Raises
    ------
    TableError
        If there is no such sweep.
    """
    plans = read_plans()
    if sweep not in plans:
        there = ", ".join(name for name, plan in plans.items() if plan)
        raise TableError(f"{sweep}: {PLANS} has no such sweep. These have a plan: {there}.")
    return plans[sweep]
