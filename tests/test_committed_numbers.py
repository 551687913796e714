"""Committed accuracies, counted again from the committed answers.

The counting is plain Python: it shares no code with the package, which wrote the numbers.
"""

import math
from collections import defaultdict

import pytest

from tests import RESULTS
from tests.builders.committed import predictions_of, rows_of

TABLES = sorted(path.name.removesuffix("_predictions.csv.gz") for path in RESULTS.glob("*.csv.gz"))


def answers_by_run(name):
    """Return the committed answers of a table, as dictionaries by the run's hash."""
    found = defaultdict(list)
    for row in predictions_of(name):
        found[row["hash"]].append(row)
    return found


def share_right(rows, column="predicted"):
    """Return which share of the answers is the word that was spoken; NaN without any."""
    right = sum(row[column] == row["label"] for row in rows)
    return right / len(rows) if rows else math.nan


@pytest.mark.parametrize("name", TABLES)
def test_every_accuracy_of_a_table_is_that_of_its_answers(name):
    answers = answers_by_run(name)
    n_compared = 0
    for run in rows_of(name):
        rows = answers[run["hash"]]
        assert rows, run["run_name"]
        seen = [row for row in rows if row["seen"] == "True"]
        new = [row for row in rows if row["seen"] == "False"]
        assert len(seen) + len(new) == len(rows)
        parts = {"test": rows, "test_seen": seen, "test_unseen": new}
        if run.get("score_test") == "False":  # its answers are those of the validation
            parts = {"validation": rows}
        kinds = {"": "predicted"}
        if any(row.get("integer_predicted") for row in rows):
            kinds["integer_"] = "integer_predicted"
        for kind, column in kinds.items():
            for part, of in parts.items():
                told = float(run[f"{kind}{part}_accuracy"] or "nan")
                counted = share_right(of, column)
                assert told == pytest.approx(counted, abs=1e-12, nan_ok=True), run["run_name"]
                n_compared += not math.isnan(told)
    assert n_compared >= 10
