"""Committed tables as plain Python reads them, for tests that count their numbers again."""

import csv
import gzip

from tests import RESULTS


def rows_of(name):
    """Return the rows of a committed table as dictionaries."""
    with (RESULTS / f"{name}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def predictions_of(name):
    """Return the committed answers of a table as dictionaries."""
    with gzip.open(RESULTS / f"{name}_predictions.csv.gz", "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def mean(values):
    return sum(values) / len(values)
