"""Compare two networks that were tested on the same speakers, wherever they were trained."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from shd_judge.statistics import SHOWN, UNDECIDED, difference

COLUMNS = ["speaker", "seed", "accuracy"]
N_NETWORKS = "n_networks"  # a column that a table may have: how many networks answer together
ONE_SEED = "undecided (one seed)"  # the verdict, however large the difference is


@dataclass(frozen=True)
class Comparison:
    """How much more accurate one network is than another one, on the same speakers.

    Several comparisons aren't adjusted for their number: `holm` adjusts their `p`.

    Parameters
    ----------
    names : tuple of str
        The names of the two networks.
    mean : float
        The accuracy of the first minus that of the second, in percentage points.
    ci95 : float
        Half the width of the 95 % interval of `mean`, in percentage points.
    p : float
        The two-sided p-value of the hypothesis that there is no difference.
    over : str
        What the interval is over, such as speakers and seeds.
    n_seeds : int
        The number of seeds of each network.
    differs : str
        What differs besides the networks, as a sentence; empty if nothing does.
    """

    names: tuple[str, str]
    mean: float
    ci95: float
    p: float
    over: str
    n_seeds: int
    differs: str = ""

    @property
    def verdict(self) -> str:
        """Return ``"shown"`` if the interval excludes 0, otherwise ``"undecided"``.

        It isn't adjusted for other comparisons. It is also undecided if all pairs differ alike. The
        interval then has no width, because there is no spread to estimate one from, and `p` is NaN.

        With one seed it is ``"undecided (one seed)"``, because nothing shows how much that seed
        matters. An interval over speakers only excludes 0 for many networks that are equally good.
        """
        if self.n_seeds == 1:
            return ONE_SEED
        return SHOWN if self.p < 0.05 else UNDECIDED

    def __str__(self) -> str:
        """Return the difference with interval and verdict, as it is printed."""
        first, second = self.names
        text = (
            f"{first} minus {second}: {self.mean:+.1f} ± {self.ci95:.1f} percentage points, "
            f"{self.verdict}\n(paired difference, 95 % interval {self.over})"
        )
        return f"{text}\n{self.differs}" if self.differs else text


def compare(
    a: pd.DataFrame | str | Path,
    b: pd.DataFrame | str | Path,
    names: tuple[str, str] | None = None,
    differs: str = "",
) -> Comparison:
    """Compare two networks that were tested on the same speakers.

    The difference is paired by speaker. Both networks have the same number of seeds, but the seeds
    need not be the same numbers: they are paired in ascending order.

    Parameters
    ----------
    a, b : DataFrame, str or Path
        A table, or the path of its CSV file, with a row for each speaker and seed: `speaker`,
        `seed`, and `accuracy` as a fraction. Speakers are texts, so 7 and 007 are two of them. For
        ensembles it also has `n_networks`, the number of networks that answer together. The second
        network is subtracted from the first.
    names : tuple of str, optional
        What to call the networks. Default: the names of the files, or their paths if these are
        named alike.
    differs : str
        What differs besides the networks, as a sentence.

    Returns
    -------
    Comparison
        The difference with its 95 % interval and a verdict. ``print`` shows it.

    Raises
    ------
    ValueError
        If a table isn't as described, or the two have other speakers, another number of seeds, or
        fewer than two speakers. The message names the table.
    """
    if names is None:
        names = _name(a, "the first"), _name(b, "the second")
        if names[0] == names[1]:
            names = str(a), str(b)
    first = _with_ranks(read_accuracies(a, names[0]))
    second = _with_ranks(read_accuracies(b, names[1]))
    for what in ("speaker", "seed"):
        here = sorted(first[what].unique())
        there = sorted(second[what].unique())
        if here != there:
            raise ValueError(_not_comparable(names, what, here, there))
    n_speakers = first.speaker.nunique()
    n_seeds = first.seed.nunique()
    if n_speakers < 2:
        raise ValueError("not comparable: there is one speaker, and an interval needs two.")
    numbers = _n_networks(first), _n_networks(second)
    if numbers[0] != numbers[1]:
        differs = (
            f"{differs} {names[0]} has {numbers[0]} networks for each seed and {names[1]} "
            f"{numbers[1]}, so this compares their number, too."
        )
    found = difference(first, second, "accuracy", over="speaker")
    over = (
        "over speakers only; one seed"
        if n_seeds == 1
        else f"over {n_speakers} speakers and {n_seeds} seeds, crossed"
    )
    return Comparison(names, found.mean, found.ci95, found.p, over, n_seeds, differs.strip())


def _name(table: pd.DataFrame | str | Path, otherwise: str) -> str:
    return otherwise if isinstance(table, pd.DataFrame) else Path(table).stem


def _n_networks(table: pd.DataFrame) -> str:
    """Return how many networks answer together, as text: 1 unless the table has another number."""
    return " or ".join(f"{number:g}" for number in sorted({*table.get(N_NETWORKS, [1])}))


def _with_ranks(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose seeds are numbered from 0, in ascending order."""
    return table.assign(seed=table.seed.rank(method="dense").astype(int) - 1)


def _not_comparable(names: tuple[str, str], what: str, here: list, there: list) -> str:
    if what == "seed":
        return (
            f"not comparable: {names[0]} has {len(here)} seeds, and {names[1]} {len(there)}. Give "
            "both the same number."
        )
    only_here = sorted({*here} - {*there})
    only_there = sorted({*there} - {*here})
    name, absent = (names[1], only_here) if only_here else (names[0], only_there)
    return (
        f"not comparable: {name} has no row of speaker {absent[0]}. Test both networks on the same "
        "speakers."
    )


def read_accuracies(table: pd.DataFrame | str | Path, name: str) -> pd.DataFrame:
    """Read and check a table of accuracies, and sort it by speaker and seed.

    Other columns than those of `compare` are left out. `name` is what messages call the table.
    """
    if isinstance(table, pd.DataFrame):
        found = table
    else:
        try:
            # opened here, because pandas would also fetch what an address names
            with Path(table).open("rb") as file:
                found = pd.read_csv(file, dtype={"speaker": str}, keep_default_na=False)
        except ValueError as error:
            raise ValueError(f"{table}: can't be read as a CSV file ({error}).") from error
    absent = [column for column in COLUMNS if column not in found]
    if absent:
        raise ValueError(
            f"{name}: there is no column {absent[0]!r}, only {', '.join(map(str, found))}. Give "
            f"{', '.join(COLUMNS)}, with commas between them."
        )
    if found.speaker.isna().any():
        raise ValueError(f"{name}: a row has no speaker. Fill it in, or remove the row.")
    found = found.assign(speaker=found.speaker.astype(str))
    numbers = [column for column in ("seed", "accuracy", N_NETWORKS) if column in found]
    found = found[["speaker", *numbers]].sort_values(["speaker", "seed"], ignore_index=True)
    for column in numbers:
        if not pd.api.types.is_numeric_dtype(found[column]) or found[column].isna().any():
            raise ValueError(f"{name}: the column {column!r} must have a number in each row.")
    if not found.accuracy.between(0, 1).all():
        worst = found.accuracy[~found.accuracy.between(0, 1)].iloc[0]
        raise ValueError(
            f"{name}: accuracy {worst:g} isn't between 0 and 1. Divide percent by 100."
        )
    keys = found[["speaker", "seed"]]
    if keys.duplicated().any():
        speaker, seed = keys[keys.duplicated()].iloc[0]
        raise ValueError(f"{name}: speaker {speaker} with seed {seed} appears twice. Keep one row.")
    if len(found) != found.speaker.nunique() * found.seed.nunique():
        raise ValueError(f"{name}: not every speaker has the same seeds. Add the missing rows.")
    return found
