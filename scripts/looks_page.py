"""Write the counted looks as tables in ``results/README.md``."""

from pathlib import Path

import pandas as pd

from scripts.looks_by_hand import AGAIN, READ, RUN, VALIDATED

BEGIN = "<!-- scripts/looks.py writes the lines from here -->"
END = "<!-- to here -->"


def render(looks: pd.DataFrame, best: pd.DataFrame) -> str:
    """Write the tables for results/README.md.

    Parameters
    ----------
    looks, best : DataFrame
        From `count`.

    Returns
    -------
    str
        Three tables in Markdown.
    """
    looks = looks.fillna("")
    lines = [f"Counted at commit `{looks.commit.iloc[0]}`.", ""]
    lines += _table_of_runs(looks[looks.kind.isin([RUN, VALIDATED])])
    lines += ["", *_table_of_others(looks[looks.kind.isin([AGAIN, READ])])]
    lines += ["", *_table_of_totals(looks, best)]
    return "\n".join(lines)


def _table_of_runs(looks: pd.DataFrame) -> list[str]:
    """Return the lines of the table of runs."""
    lines = ["Runs of sweeps:", ""]
    lines += _header("sweep", "judged by", "configurations", "runs", "planned", "first results")
    for row in looks.itertuples():
        judge = row.judged_by
        if row.kind == VALIDATED:
            judge += ", as validation"
        lines.append(
            f"| {row.name} | {judge} | {row.configurations} | {row.looks:,} | {row.planned} | "
            f"{row.first_results} |"
        )
    return lines


def _table_of_others(looks: pd.DataFrame) -> list[str]:
    """Return the lines of the table of all other looks."""
    lines = ["Networks scored again after training, and looks that left no table:", ""]
    lines += _header("what", "judged by", "variants", "looks", "first results", "source")
    for row in looks.itertuples():
        lines.append(
            f"| {row.name} | {row.judged_by} | {row.configurations} | {row.looks:,} | "
            f"{row.first_results} | {row.source} |"
        )
    return lines


def _table_of_totals(looks: pd.DataFrame, best: pd.DataFrame) -> list[str]:
    """Return the lines of the table of totals, and of how optimistic the best is."""
    lines = ["Totals, and how optimistic the best of many candidates is:", ""]
    lines += _header(
        "judged by",
        "runs",
        "scored again or read",
        "candidates",
        "the best of them",
        "chosen by the other speakers",
        "optimistic by (percentage points)",
    )
    for row in best.itertuples():
        of_judge = looks[looks.judged_by == row.judged_by]
        n_runs = of_judge.looks[of_judge.kind == RUN].sum()
        n_others = of_judge.looks[of_judge.kind.isin([AGAIN, READ])].sum()
        points = row.best_accuracy - row.nested_accuracy
        lines.append(
            f"| {row.judged_by} | {n_runs:,} | {n_others:,} | {row.candidates} | "
            f"{row.best}, {row.best_accuracy:.1f} % | {row.nested_accuracy:.1f} % | {points:.1f} |"
        )
    return lines


def _header(*names: str) -> list[str]:
    """Return the first two lines of a table in Markdown."""
    return [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]


def read_counts(path: Path) -> pd.DataFrame:
    """Read the counted looks.

    Parameters
    ----------
    path : Path
        The file ``looks.csv``.

    Returns
    -------
    DataFrame
        As `count` returns it. The name of a commit stays a text, also one such as ``4e34533``,
        which pandas would read as a number.
    """
    return pd.read_csv(path, dtype={"commit": str})


def with_tables(page: str, tables: str) -> str:
    """Replace the text between the two marks of a page.

    Parameters
    ----------
    page : str
        The page's text.
    tables : str
        From `render`.

    Returns
    -------
    str
        The page's new text.
    """
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}"
