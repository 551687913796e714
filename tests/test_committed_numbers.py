"""Committed accuracies and thresholds, counted again from the committed answers.

The counting is plain Python: it shares no code with the package, which wrote the numbers.
"""

import csv
import gzip
import json
import math
from collections import defaultdict
from fractions import Fraction

import numpy as np
import pytest

from scripts import confidence_thresholds
from shd_helpers import hear
from shd_helpers.study import collect_predictions
from tests import RESULTS

TABLES = sorted(path.name.removesuffix("_predictions.csv.gz") for path in RESULTS.glob("*.csv.gz"))
SHARE_RIGHT = Fraction(99, 100)  # that docs/results.md promises of a sure answer
MODELS = {"reference": "reference", "small": "small"}  # networks in use, and their rows


def answers_by_run(name):
    """Return the committed answers of a table, as dictionaries by the run's hash."""
    found = defaultdict(list)
    with gzip.open(RESULTS / f"{name}_predictions.csv.gz", "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found[row["hash"]].append(row)
    return found


def runs_of(name):
    with (RESULTS / f"{name}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def share_right(rows, column="predicted"):
    """Return which share of the answers is the word that was spoken; NaN without any."""
    right = sum(row[column] == row["label"] for row in rows)
    return right / len(rows) if rows else math.nan


@pytest.mark.parametrize("name", TABLES)
def test_every_accuracy_of_a_table_is_that_of_its_answers(name):
    answers = answers_by_run(name)
    n_compared = 0
    for run in runs_of(name):
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


def unseen(model):
    """Return confidence, whether it is right, and speaker, for utterances of unseen speakers."""
    hashes = {run["hash"] for run in runs_of("reference_hd") if run["model"] == model}
    answers = answers_by_run("reference_hd")
    return [
        (float(row["confidence"]), row["predicted"] == row["label"], int(row["speaker"]))
        for name in sorted(hashes)
        for row in answers[name]
        if row["seen"] == "False"
    ]


def lowest_threshold(words):
    """Return the lowest confidence from which on 99 % of the answers are right.

    From the highest confidence down, answer by answer; equal ones are counted together.
    """
    ordered = sorted(words, reverse=True)
    n_right = 0
    lowest = math.inf
    for n, (confidence, is_right, _) in enumerate(ordered, start=1):
        n_right += is_right
        is_last = n == len(ordered) or ordered[n][0] < confidence
        if is_last and n_right >= SHARE_RIGHT * n:
            lowest = confidence
    return lowest


def test_the_confidences_of_a_sure_answer_are_those_of_the_committed_answers():
    """Each speaker's threshold is found on the other eleven."""
    words = unseen("reference")
    with (RESULTS / "confidence_thresholds.csv").open(encoding="utf-8") as file:
        committed = {int(row.pop("speaker")): row for row in csv.DictReader(file)}
    assert [*committed] == [*range(12)]
    for speaker, row in committed.items():
        own = [(c, right) for c, right, by in words if by == speaker]
        least = lowest_threshold([word for word in words if word[2] != speaker])
        sure_ones = [right for confidence, right in own if confidence >= least]
        counted = {
            "confidence_threshold": least,
            "accepted": len(sure_ones) / len(own),
            "correct": sum(sure_ones) / len(sure_ones),
            "correct_of_all": sum(right for _, right in own) / len(own),
        }
        for name, value in counted.items():
            assert float(row[name]) == pytest.approx(value, abs=5.0001e-5), (speaker, name)
        assert (
            float(row["confidence_threshold"]) == least
        )  # confidences have four digits themselves


def test_the_tool_writes_the_committed_confidences():
    """So a change of the tool, or of the share it wants, is seen."""
    runs = [run["hash"] for run in runs_of("reference_hd") if run["model"] == "reference"]
    predictions = collect_predictions("reference_hd").query("~seen")
    found = confidence_thresholds.nested(predictions[predictions["hash"].isin(runs)]).round(4)
    assert found.to_csv() == (RESULTS / "confidence_thresholds.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted((RESULTS / "networks").glob("*.npz")), ids=lambda p: p.stem)
def test_a_networks_threshold_is_that_of_the_committed_answers(path):
    with np.load(path) as file:
        about = json.loads(str(file["about"]))
    if path.stem not in MODELS:
        message = "name the model whose answers gave this threshold"
        assert "confidence_threshold" not in about, message
        return
    assert about["confidence_threshold"] == lowest_threshold(unseen(MODELS[path.stem]))


def test_the_listener_s_own_network_has_a_threshold_that_is_checked():
    assert hear.NETWORK in MODELS
