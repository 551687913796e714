"""Compare settings over their seeds: means, 95 % intervals, paired differences, what is best."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import t as student_t

from shd_helpers.events.downsample import Downsampling
from shd_helpers.paths import ROOT

RESULTS = ROOT / "results"
_GRID = (
    "first_unit",
    "bin_ms",
    "duration_s",
    "pool_units",
    "pool_steps",
    "pool_threshold",
    "counts",
)


def read_table(name: str) -> pd.DataFrame:
    """Return the runs of a committed sweep table that have ended, with the input's size.

    Parameters
    ----------
    name : str
        A file in ``results/``, without its ending.

    Returns
    -------
    DataFrame
        As `sweeps.collect` makes it, with `channels` and `steps`.
    """
    table = pd.read_csv(RESULTS / f"{name}.csv")
    table = table[table.status == "done"]
    grids = [Downsampling(*row) for row in table[[*_GRID]].itertuples(index=False)]
    return table.assign(channels=[g.n_units for g in grids], steps=[g.n_steps for g in grids])


def half_width(values: Sequence[float]) -> float:
    """Return half the width of the 95 % interval of a mean, by Student's t."""
    n = len(values)
    return float(student_t.ppf(0.975, n - 1) * np.std(values, ddof=1) / n**0.5)


def over_seeds(table: pd.DataFrame, by: str | Sequence[str] = "configuration") -> pd.DataFrame:
    """Return mean and interval over the seeds of each setting.

    Parameters
    ----------
    table : DataFrame
        From `read_table`.
    by : str or sequence of str
        Columns that make a setting.

    Returns
    -------
    DataFrame
        Indexed by `by`: `seeds` (how many), `channels`, `steps`; for each accuracy its mean in
        percent under its name without ``_accuracy``, and half its 95 % interval under
        ``<name>_ci95``; `effective_acs`, `hidden_spikes`, `parameters` and `training_s` (means).
    """
    groups = table.groupby(by, sort=False)
    columns = {"seeds": groups.size(), "channels": groups.channels.first()}
    columns["steps"] = groups.steps.first()
    for name in ("train", "validation", "test_seen", "test_unseen"):
        percent = 100 * groups[f"{name}_accuracy"].mean()
        half = groups[f"{name}_accuracy"].agg(lambda x: 100 * half_width(x))
        columns |= {name: percent, f"{name}_ci95": half}
    for name in ("effective_acs", "hidden_spikes", "parameters", "training_s"):
        columns[name] = groups[name].mean()
    return pd.DataFrame(columns)


def difference(a: pd.DataFrame, b: pd.DataFrame, column: str) -> tuple[float, float]:
    """Return the mean of a - b and half its 95 % interval, paired by seed.

    Parameters
    ----------
    a, b : DataFrame
        The runs of one setting each, from `read_table`.
    column : str
        An accuracy; differences are in percent points.

    Raises
    ------
    ValueError
        If the seeds are not the same.
    """
    a, b = (runs.set_index("seed")[column].sort_index() for runs in (a, b))
    if not a.index.equals(b.index) or not a.index.is_unique:
        raise ValueError(f"not paired: seeds {[*a.index]} and {[*b.index]}")
    points = 100 * (a - b)
    return float(points.mean()), half_width(points)


def is_on_front(cost: Sequence[float], accuracy: Sequence[float]) -> np.ndarray:
    """Tell for each point whether no other is both cheaper and as accurate (Pareto front).

    Parameters
    ----------
    cost, accuracy : sequence of float
        Of each point; equal points are on the front together.

    Returns
    -------
    ndarray
        Booleans, in the given order.
    """
    cost, accuracy = np.asarray(cost), np.asarray(accuracy)
    no_worse = (cost <= cost[:, None]) & (accuracy >= accuracy[:, None])
    better = (cost < cost[:, None]) | (accuracy > accuracy[:, None])
    return ~(no_worse & better).any(1)
