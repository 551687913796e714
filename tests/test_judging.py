"""What was selected is judged: the sweeps that scripts/judging.py writes, and their results."""

import numpy as np
import pandas as pd
import pytest

from scripts import judging, write_tables
from scripts import selection as steps
from shd_helpers.data.class_names import ENGLISH, GERMAN
from shd_helpers.study.class_scores import ClassScores
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.selection import Entry, Folds, SelectionError, entries_of
from shd_helpers.study.selection_tables import read_official
from shd_helpers.sweeps.spec import read_sweep
from shd_helpers.sweeps.sweep_file import SWEEPS, read_yaml
from tests.test_selection import PLAN, made_up, recipes, write
from tests.toy import small_data

TWO = ("adaptive", "shared")
ENTRIES = entries_of(steps.entries_of_two(TWO, PLAN))
ENSEMBLE = "three seeds of adaptive and two of shared"


@pytest.fixture
def sweeps(tmp_path, monkeypatch):
    """A folder with the sweeps of the ten folds; results are written there, too."""
    for name in ("selection_small", "selection_today"):
        text = (SWEEPS / f"{name}.yaml").read_text(encoding="utf-8")
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    screening = read_yaml(SWEEPS / "screening.yaml")
    chosen = {name: screening["grid"]["candidate"][name] for name in TWO}
    content = screening | {"name": "selection", "grid": {"candidate": chosen}}
    steps.write_yaml(tmp_path / "selection.yaml", "# made up\n", content)
    monkeypatch.setattr(judging, "ten_folds", lambda: (PLAN, ENTRIES, None))
    for module in (steps, write_tables):
        monkeypatch.setattr(module, "results_dir", lambda: tmp_path)
    return tmp_path


def select(folder, winner, single, small, without):
    """Write what was selected, by all folds and by those without each speaker."""
    rows = [
        ("", what, name)
        for what, name in zip(judging_names(), (winner, single, small), strict=True)
    ]
    rows += [(speaker, steps.WITHOUT, name) for speaker, name in without.items()]
    columns = ["speaker", "what", "selected"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "selected.csv", index=False)


def judging_names():
    return steps.WINNER, steps.SINGLE, steps.SMALL


def test_what_was_selected_is_judged_with_its_own_recipe(sweeps):
    select(sweeps, ENSEMBLE, "adaptive", "small, one cycle", {0: ENSEMBLE, 1: "adaptive"})
    paths = judging.write_judging(sweeps)
    assert [path.name for path in paths] == ["judged_official.yaml", "judged_speakers.yaml"]
    official, speakers = map(read_yaml, paths)
    # the winner with its own seeds, single networks with all
    assert official["seeds"] == {
        "adaptive": [0, 1, 2, 3, 4],
        "shared": [0, 1],
        "small, one cycle": [0, 1, 2, 3, 4],
        "others": [0, 1, 2, 3, 4],
    }
    assert [*official["grid"]["candidate"]] == ["adaptive", "shared", "small, one cycle"]
    assert [*speakers["grid"]["candidate"]] == ["adaptive", "shared"]
    assert speakers["grid"]["held_out"] == [*range(12)] and speakers["seeds"] == [0, 1, 2]
    planned = {name: settings for _, name, settings in recipes()}
    for content, protocol, held_out in (
        (official, "official", {}),
        (speakers, "leave_one_speaker_out", {"held_out": 3}),
    ):
        for name, settings in content["grid"]["candidate"].items():
            judged = Recipe.from_flat(content["fixed"] | settings | held_out)
            screened = Recipe.from_flat(planned[name] | {"validation_speakers": "7"})
            assert judged.split.protocol == protocol and judged.split.score_test
            for group in ("network", "training", "augmentation", "input", "augmented_copies"):
                assert getattr(judged, group) == getattr(screened, group), group
    assert official["fixed"]["language"] == "both" and "language" not in speakers["fixed"]
    assert len(read_sweep(paths[0], {"dataset": small_data()}).runs) == 12


def test_networks_that_are_compared_train_on_equally_many_utterances(sweeps):
    select(sweeps, ENSEMBLE, "adaptive", "small", {0: "reference"})
    speakers = read_yaml(judging.write_judging(sweeps)[1])["fixed"]
    for name in ("reference", "final"):
        other = read_yaml(SWEEPS / f"{name}.yaml")["fixed"]
        for key in ("protocol", "validation", "validation_fraction"):
            assert speakers.get(key) == other.get(key), (name, key)


def test_a_candidate_that_only_a_fold_selects_is_judged_on_its_speakers(sweeps):
    without = {0: "adaptive", 1: "reference", 6: "shared", 11: "three seeds of shared"}
    select(sweeps, "adaptive", "adaptive", "small", without)
    paths = judging.write_judging(sweeps)
    assert [path.stem for path in paths] == ["judged_official", "judged_speakers", "judged_nested"]
    official, speakers, nested = map(read_yaml, paths)
    assert [*official["grid"]["candidate"]] == [*speakers["grid"]["candidate"]] == ["adaptive"]
    assert [*nested["grid"]["candidate"]] == ["shared"]
    assert nested["grid"]["held_out"] == [6, 11]


def test_a_single_winner_has_all_official_seeds(sweeps):
    select(sweeps, "shared", "adaptive", "small", {0: "shared"})
    official = read_yaml(judging.write_judging(sweeps)[0])
    assert official["seeds"]["shared"] == official["seeds"]["adaptive"] == [0, 1, 2, 3, 4]


def test_before_the_selection_the_command_that_is_missing_is_named(sweeps):
    with pytest.raises(SelectionError, match=r"selected\.csv: no such file.*selection winner"):
        judging.write_judging(sweeps)


def test_today_s_networks_are_not_trained_again(sweeps):
    select(sweeps, "reference", "reference", "small", {0: "reference", 1: "small"})
    assert judging.write_judging(sweeps) == []


def test_a_sweep_of_an_earlier_selection_is_removed(sweeps):
    select(sweeps, "adaptive", "adaptive", "small", {0: "shared"})
    earlier = judging.write_judging(sweeps)
    assert [path.stem for path in earlier][2:] == ["judged_nested"]
    select(sweeps, "adaptive", "adaptive", "small", {0: "adaptive"})
    assert judging.write_judging(sweeps) == earlier[:2]
    assert not earlier[2].exists() and all(path.exists() for path in earlier[:2])


def judged_scores(speaker, n_right, n=20):
    """Return class scores of English and German utterances of a speaker."""
    label = np.arange(n) % 20
    scores = np.full((n, 20), -1, np.float16)
    scores[np.arange(n), np.where(np.arange(n) < n_right, label, (label + 1) % 20)] = 0
    row = np.arange(n, dtype=np.uint32) + 100 * speaker
    ones = np.ones(n, np.uint8)
    return ClassScores(scores, label, ones, row, np.full(n, speaker), (*ENGLISH, *GERMAN))


def both(first, second):
    """Return the class scores of two speakers as those of one run."""
    joined = [
        np.concatenate([getattr(first, name), getattr(second, name)])
        for name in ("scores", "label", "file", "row", "speaker")
    ]
    return ClassScores(*joined, first.class_names)


def test_official_accuracies_by_language_and_speakers(tmp_path):
    runs = {
        ("a", 4, seed): both(judged_scores(4, n_right), judged_scores(7, 20))
        for seed, n_right in ((0, 10), (1, 14))
    }
    path = write(tmp_path, "official", runs)
    found = read_official(path)
    utterances = judging.official_utterances(Entry({"a": [0, 1]}), found)
    table = judging.official_accuracies(utterances).set_index(["language", "speakers"])
    assert table.accuracy["both", "all"] == pytest.approx(100 * (30 + 34) / 80)
    assert table.accuracy["both", "4 and 5"] == pytest.approx(100 * (10 + 14) / 40)
    assert table.accuracy["both", "others"] == 100
    assert table.accuracy["english", "4 and 5"] == 100
    assert table.accuracy["german", "4 and 5"] == pytest.approx(100 * 4 / 20)
    # Student's t with one degree of freedom: 12.706 x the standard error
    spread = 12.706 * np.std([50, 70], ddof=1) / np.sqrt(2)
    assert table.ci95["both", "4 and 5"] == pytest.approx(spread, rel=1e-4)
    assert table.accuracy["both", "mean of twelve"] == pytest.approx((60 + 100) / 2)
    ensemble = judging.official_utterances(Entry({"a": [0, 1]}, is_ensemble=True), found)
    assert ensemble.seed.unique().tolist() == [0] and len(ensemble) == 40
    of_ensemble = judging.official_accuracies(ensemble)
    assert of_ensemble.seeds.unique().tolist() == [1]
    is_mean = of_ensemble.speakers == "mean of twelve"
    assert of_ensemble[~is_mean].ci95.isna().all()
    by_speaker = ensemble.groupby("speaker").right.mean()
    spread = 12.706 * np.std(100 * by_speaker, ddof=1) / np.sqrt(2)
    of_both = of_ensemble[is_mean & (of_ensemble.language == "both")].iloc[0]
    assert of_both.ci95 == pytest.approx(spread, rel=1e-4)
    path = write(tmp_path, "folds", runs, protocol="leave_one_speaker_out")
    with pytest.raises(SelectionError, match="aren't those of the official test utterances"):
        read_official(path)


def test_an_official_run_that_appears_twice_is_refused(tmp_path):
    """Two rows of one candidate and seed, of which a dict would keep the last one."""
    runs = {("a", number, 0): judged_scores(4, n_right) for number, n_right in ((0, 10), (1, 14))}
    path = write(tmp_path, "official", runs)
    with pytest.raises(SelectionError, match=r"official\.csv: run 1 appears twice\. Leave one out"):
        read_official(path)


def test_today_s_networks_have_their_committed_accuracies_in_the_nested_table(monkeypatch):
    seeds = PLAN["judged_seeds"]
    runs = made_up({"adaptive": seeds}, (0, 1), lambda _, speaker, seed: 0.9 - seed / 10)
    known = pd.DataFrame(
        [("reference", 1, seed, 0.5 + seed / 10) for seed in range(5)],
        columns=["input", "speaker", "seed", "test_unseen_accuracy"],
    )
    monkeypatch.setattr(judging, "speaker_accuracies", lambda *_: known)
    selected = pd.Series({0: "adaptive", 1: "reference"})
    found = judging.judged_accuracies(selected, ENTRIES, Folds(runs, {}), PLAN)
    assert found.speaker.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.test_unseen_accuracy.tolist() == pytest.approx([0.9, 0.8, 0.7, 0.5, 0.6, 0.7])
    # beside an ensemble, which has one value for each speaker, the seeds are averaged
    selected = pd.Series({0: "three seeds of adaptive", 1: "reference"})
    found = judging.judged_accuracies(selected, ENTRIES, Folds(runs, {}), PLAN)
    assert found.test_unseen_accuracy.tolist() == pytest.approx([0.8, 0.6])
    assert set(found.input) == {"nested"}
    only_today = judging.judged_accuracies(selected[1:], ENTRIES, Folds({}, {}), PLAN)
    assert only_today.test_unseen_accuracy.tolist() == pytest.approx([0.5, 0.6, 0.7])


def test_the_summary_has_mean_interval_and_worst_speaker():
    found = pd.DataFrame({"speaker": [0, 1, 2], "seed": 0, "test_unseen_accuracy": [0.9, 0.8, 1.0]})
    # Student's t with two degrees of freedom: 4.303 x 10 / sqrt(3)
    assert judging.summary(found) == (
        "3 speakers: 90.0 ± 24.8 % (95 % interval over speakers only), worst 80.0 % (speaker 1)"
    )
