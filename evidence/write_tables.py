"""Write tables to ``results/``."""

import pandas as pd

from shd_corpus.files import atomic
from shd_helpers.paths import results_dir


def write_csv(name: str, table: pd.DataFrame) -> None:
    """Write a table to results/, and print its path."""
    path = results_dir() / f"{name}.csv"
    with atomic(path) as unfinished:
        table.to_csv(unfinished, index=False)
    print(f"written: {path}")


def replace_rows(name: str, rows: pd.DataFrame, column: str) -> None:
    """Write rows to a table in results/, instead of its earlier ones with the same values."""
    path = results_dir() / f"{name}.csv"
    if path.exists():
        earlier = pd.read_csv(path)
        if column in earlier:
            rows = pd.concat([earlier[~earlier[column].isin(rows[column])], rows])
    write_csv(name, rows)
