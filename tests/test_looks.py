"""The count of looks at test utterances: from a history made for the test, and as committed."""

import os
import subprocess

import numpy as np
import pandas as pd
import pytest

from scripts import looks, looks_by_hand, looks_page, table_history
from shd_helpers.study import collect_predictions, read_table
from tests import RESULTS

PAGE = (RESULTS / "README.md").read_text(encoding="utf-8")
LOOKS = looks_page.read_counts(RESULTS / looks.COUNTS_FILE)
BEST = pd.read_csv(RESULTS / looks.BEST_FILE)


@pytest.fixture
def history(tmp_path):
    """A repository in which a table is migrated, grows, shrinks and leaves."""

    def git(*arguments):
        who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run(["git", "-C", tmp_path, *who, *arguments], check=True, capture_output=True)

    def commit(name, rows):
        path = tmp_path / "results" / name
        path.parent.mkdir(exist_ok=True)
        pd.DataFrame(rows).to_csv(path, index=False)
        git("add", ".")
        git("commit", "-m", "x")

    def run(model, speaker, right, name=""):
        return {
            "configuration": f"model={model},held_out={speaker}",
            "hash": f"{name}{model}{speaker}",
            "seed": 0,
            "held_out": speaker,
            "protocol": "leave_one_speaker_out",
            "language": "english",
            "train_accuracy": 0.9,
            "validation_accuracy": 0.8,
            "test_accuracy": right,
            "test_seen_accuracy": 0.7,
            "test_unseen_accuracy": right,
            "integer_test_unseen_accuracy": np.nan,
        }

    git("init")
    commit("one_hd.csv", [run("a", 0, 0.5), run("a", 1, 0.6)])
    commit("one_hd.csv", [run("a", 0, 0.5, "new"), run("b", 0, 0.4)])  # one hash migrated, one left
    commit("two_hd.csv", [run("renamed", 0, 0.5), run("c", 1, np.nan)])  # a row moved, one unscored
    ladder = {"configuration": ["rung=a", "rung=b"], "validation": "speaker"}
    commit("ladder_hd.csv", pd.DataFrame(ladder).assign(validation_speakers=["8,9", "4"]))
    commit("pairs_hd.csv", pd.DataFrame(ladder).assign(validation_speakers="8,9"))
    faults = {"kind": "none", "strength": 0.0, "draw": 0, "accuracy": [0.5, 0.6], "seed": 0}
    faults |= {"circuit": ["circuit_0: x", "small: x"], "speaker": -1}
    commit("circuit_faults.csv", faults)
    commit("circuit_faults.csv", faults | {"accuracy": [0.7, 0.6]})  # of a new network
    ten_ms = {"model": "small", "seed": [0, 0, 1], "test": ["official", "hd", "hd"]}
    ten_ms = pd.DataFrame(ten_ms | {"accuracy": [0.8, 0.9, 0.7]})
    commit("ten_ms.csv", ten_ms[:2])
    commit("ten_ms.csv", ten_ms)
    (tmp_path / "results" / "one_hd.csv").unlink()
    git("add", ".")
    git("commit", "-m", "x")
    return table_history.History(tmp_path)


def test_a_run_counts_once_whatever_became_of_its_table(history):
    runs = looks.scored_runs(history)
    assert runs.sweep.tolist() == ["one", "one", "one"]
    (line,) = looks.count_runs(history, runs)
    assert (line.configurations, line.looks, line.judged_by) == (2, 3, looks_by_hand.LEFT_OUT)
    assert line.first_results and not line.planned
    assert history.is_complete()


def test_a_sweep_counts_that_validated_on_a_speaker_called_unused(history):
    (line,) = looks.count_validated(history, {4, 5})
    assert (line.name, line.configurations, line.looks) == ("ladder", 2, 2)


def test_a_file_that_came_again_under_a_name_counts_from_then_on(history, tmp_path):
    first = history.first("results/one_hd.csv")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    (tmp_path / "results" / "one_hd.csv").write_text("other\n")
    subprocess.run([*git, "add", "."], check=True)
    later = {"GIT_AUTHOR_DATE": "2040-01-02 03:04:00 +0000", "PATH": os.environ["PATH"]}
    subprocess.run([*git, "commit", "-qm", "x"], check=True, env=later)
    assert first < history.first("results/one_hd.csv") == "2040-01-02 03:04"


def test_a_network_scored_again_counts_with_each_of_its_scores(history):
    faults, ten_ms = looks.count_scored_again(history)
    assert (faults.name, faults.looks) == ("circuit_faults", 2)
    # one network on two files, and another seed of it on one of them, which appears twice
    assert (ten_ms.name, ten_ms.looks) == ("ten_ms", 3)
    assert faults.judged_by == ten_ms.judged_by == looks_by_hand.OFFICIAL
    assert ten_ms.configurations == 2


def test_how_much_the_best_is_flattered_by_hand():
    right = pd.DataFrame({"a": [90.0, 50, 70], "b": [60.0, 80, 40]}, index=[1, 2, 3])
    name, best, nested = looks.flattered(right, pd.Series(1, right.index))
    # Speakers 2 and 3 tie at 60: the first wins. 1 and 3 choose a, and so do 1 and 2.
    assert (name, best, nested) == ("a", 70, pytest.approx((90 + 50 + 70) / 3))
    name, best, _ = looks.flattered(right, pd.Series([1, 8, 1], right.index))
    assert (name, best) == ("b", pytest.approx(74))


def test_the_page_quotes_the_committed_counts():
    quoted = PAGE.split(looks_page.BEGIN)[1].split(looks_page.END)[0].strip()
    assert quoted == looks_page.render(LOOKS, BEST)
    assert looks_page.with_tables(PAGE, quoted) == PAGE


def test_a_commit_whose_name_looks_like_a_number_stays_a_name(tmp_path):
    LOOKS.assign(commit="4e34533").to_csv(tmp_path / "looks.csv", index=False)
    again = looks_page.read_counts(tmp_path / "looks.csv")
    assert "Counted at commit `4e34533`." in looks_page.render(again, BEST)


@pytest.mark.parametrize("commit", ["nowhere", "--all", ""])
def test_an_unknown_commit_is_named(tmp_path, monkeypatch, commit):
    with pytest.raises(table_history.HistoryError, match=f"git finds no commit '{commit}'"):
        table_history.History(commit=commit)
    with pytest.raises(
        table_history.HistoryError, match=f"^{tmp_path}: git finds no commit 'HEAD'"
    ):
        table_history.History(tmp_path)
    monkeypatch.setattr("sys.argv", ["looks", "--", commit])
    with pytest.raises(SystemExit, match="git finds no commit"):
        looks.main()


def test_the_page_says_how_much_of_the_test_file_two_speakers_say():
    predictions = collect_predictions("benchmark_hd")
    one = predictions[predictions["hash"] == predictions["hash"].iloc[0]]
    share = 100 * one.speaker.isin([4, 5]).mean()
    assert f"Speakers 4 and 5 speak {share:.0f} % of the official test file" in PAGE


def test_the_counts_hold_every_run_of_the_present_tables():
    runs = LOOKS[LOOKS.kind == looks_by_hand.RUN].set_index("name").looks
    for name in ("final", "original_leave_one_speaker_out", "reference", "benchmark", "networks"):
        scored = read_table(f"{name}_hd").test_accuracy.notna().sum()
        assert runs[name] >= scored > 0
    assert runs["reference"] == 144 and runs["benchmark"] == 50
    validated = LOOKS[LOOKS.kind == looks_by_hand.VALIDATED]
    of_removed, *of_present = validated[["name", "configurations", "looks"]].to_numpy().tolist()
    assert of_removed == ["ladder", 9, 90] and of_present
    for name, n_candidates, n_runs in of_present:  # these sweeps hold out one of ten speakers
        table = read_table(f"{name}_hd")
        assert (n_candidates, n_runs) == (table.candidate.nunique(), len(table))
    again = LOOKS[LOOKS.kind == looks_by_hand.AGAIN].groupby("name").looks.sum()
    bits = pd.read_csv(RESULTS / "circuit_bits_small.csv")
    assert again["circuit_bits_small"] == ((bits.speaker >= 0) | (bits.n_utterances > 2000)).sum()
    assert again["circuit_disturbances"] >= len(pd.read_csv(RESULTS / "circuit_disturbances.csv"))
    assert {"circuit_faults", "conditions"} <= {*again.index}
    by_hand = LOOKS[LOOKS.kind == looks_by_hand.READ]
    assert by_hand.source.notna().all() and len(by_hand) == len(looks_by_hand.NO_TABLE)
