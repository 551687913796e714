"""Augmented recordings of held-out speakers, and the confidence threshold that they give."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import softmax

from scripts import augmented_folds, confidence_thresholds, fold_thresholds, write_tables
from scripts.fold_thresholds import Answers, answers_in_language, judge_speakers, threshold_of
from shd_helpers.data.class_names import ENGLISH, GERMAN
from shd_helpers.data.dataset_error import DatasetError
from shd_helpers.data.names import copy_name
from shd_helpers.data.shd_file import read_shd
from shd_helpers.events import downsample
from shd_helpers.network import build_network
from shd_helpers.study import Recipe, evaluate, tables
from shd_helpers.study.class_scores import SCORES, ClassScores, behind_the_winner
from shd_helpers.study.one_run import finish_run, score, start_run
from shd_helpers.study.pretrained import load_network
from shd_helpers.study.run_folder import read_run
from shd_helpers.study.run_replacement import RunError
from shd_helpers.study.selection import Entry, Folds
from shd_helpers.study.training import TrainOptions, fit
from tests.toy import write_toy

CLASSES = (*ENGLISH, *GERMAN)


def scores_of(values, label, speaker=0):
    """Return class scores of utterances of a speaker, as they are stored."""
    n = len(label)
    zeros = np.zeros(n, dtype=np.uint32)
    stored = behind_the_winner(np.asarray(values))
    return ClassScores(stored, np.asarray(label), zeros, zeros, np.full(n, speaker), CLASSES)


@pytest.mark.parametrize("labels", [range(20), range(10), range(10, 20)])
def test_each_utterance_is_classified_in_its_own_language(labels):
    rng = np.random.default_rng(0)
    label = rng.choice([*labels], 300)
    values = 3 * rng.standard_normal((300, 20))
    values[np.arange(300), label] += 4
    found = answers_in_language(scores_of(values, label))
    assert found.language.tolist() == ["english" if k < 10 else "german" for k in label]
    n_rejected = 0
    for i in range(300):
        classes = range(10) if label[i] < 10 else range(10, 20)
        best = max(classes, key=lambda k: values[i, k])
        assert found.is_right[i] == (best == label[i])
        if best != values[i].argmax():
            assert found.confidence[i] == -1
            n_rejected += 1
        else:
            share = softmax(values[i, [*classes]])[best % 10]
            assert found.confidence[i] == pytest.approx(share, abs=2e-3)
        share = softmax(values[i, :10]).max() if values[i].argmax() < 10 else -1
        assert found.confidence_in_english[i] == pytest.approx(share, abs=2e-3)
    assert 0 < n_rejected < 300


def answers(confidence, is_right, language="english", in_english=None):
    """Return answers made by hand; all utterances are English ones unless said."""
    confidence = np.array(confidence, dtype=float)
    language = np.broadcast_to(np.array(language, dtype=object), len(confidence))
    in_english = confidence if in_english is None else np.array(in_english, dtype=float)
    return Answers(confidence, np.array(is_right), language, in_english)


def test_the_threshold_is_the_lowest_at_which_enough_accepted_answers_are_right():
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0, 1, 200).round(2)
    confidence[rng.random(200) < 0.2] = -1
    is_right = rng.random(200) < confidence
    halves = [answers(confidence[:90], is_right[:90]), answers(confidence[90:], is_right[90:])]
    enough = [c for c in confidence if c >= 0 and is_right[confidence >= c].mean() >= 0.9]
    assert threshold_of(halves, 0.9) == min(enough)


def test_a_speaker_is_judged_with_the_threshold_that_the_others_give():
    clean = {
        1: answers([0.9, 0.5, -1.0], [True, True, True]),
        2: answers([0.7, 0.3], [True, False]),
    }
    augmented = {
        1: answers([0.8, 0.4], [True, False]),
        2: answers([0.95, 0.6], [True, False]),
    }
    found = judge_speakers(clean, augmented, 1.0)
    found = found[found.utterances == "both languages"].set_index(["speaker", "sound"])
    assert found.confidence_threshold[1].tolist() == [0.95, 0.95]
    assert found.confidence_threshold[2].tolist() == [0.8, 0.8]
    assert found.accepted[1, "as recorded"] == 0 and np.isnan(found.correct[1, "as recorded"])
    assert found.correct_of_all[1, "as recorded"] == 1
    assert found.accepted[2, "augmented"] == 0.5 and found.correct[2, "augmented"] == 1


def test_languages_are_judged_separately_and_german_classified_as_english_is_never_right():
    confidence = [0.9, 0.3, 0.9, 0.9, 0.2]
    is_right = [True, True, False, True, True]
    language = ["english", "english", "german", "german", "german"]
    own = answers(confidence, is_right, language, [0.9, 0.3, -1, 0.8, 0.9])
    other = answers([0.5], [True])
    found = judge_speakers({1: own, 2: other}, {1: own, 2: other}, 1.0)
    found = found[(found.speaker == 1) & (found.sound == "as recorded")].set_index("utterances")
    assert found.confidence_threshold.tolist() == [0.5] * 4
    accepted = {"both languages": 3 / 5, "english": 1 / 2, "german": 2 / 3}
    assert found.accepted.to_dict() == accepted | {"german, classified as english": 2 / 3}
    right = {"both languages": 2 / 3, "english": 1, "german": 1 / 2}
    assert found.correct.to_dict() == right | {"german, classified as english": 0}
    right = {"both languages": 4 / 5, "english": 1, "german": 2 / 3}
    assert found.correct_of_all.to_dict() == right | {"german, classified as english": 0}


def fold_recipe(folder, **changes):
    """Return the recipe of a fold of a toy data set that holds out speaker 2."""
    settings = {"dataset": str(folder), "language": "both", "validation": "speaker"}
    settings |= {"validation_speakers": "2", "score_test": False, "n_hidden": 16, "epochs": 1}
    return Recipe.from_flat(settings | {"run_name": "fold"} | changes)


@pytest.fixture
def fold(tmp_path, monkeypatch):
    """Return the run folder of a fold, whose data set has augmented copies."""
    monkeypatch.setenv("SHD_RUNS_DIR", str(tmp_path / "runs"))
    folder = tmp_path / "data"
    folder.mkdir()
    write_toy(folder, seed=0, takes=1)
    write_toy(folder, seed=5, takes=1, name=copy_name("toy", 1))
    recipe = fold_recipe(folder)
    parts = recipe.load()
    generator = torch.Generator().manual_seed(0)
    size = recipe.input.n_units, 20, recipe.input.step_ms
    model = build_network(recipe.network, *size, generator)
    run = start_run(recipe, parts, model)
    options = TrainOptions(print_epochs=False)
    fit(
        model,
        parts.training,
        None,
        recipe.training,
        generator,
        options=options,
        on_epoch=run.epoch,
    )
    finish_run(run, model, score(model, parts))
    return run.folder


def test_a_network_is_scored_on_the_augmented_recordings_of_its_held_out_speaker(fold):
    run = read_run(fold)
    found = augmented_folds.score_augmented(run)
    (copy,) = (fold.parent.parent / "data").glob(f"{copy_name('toy', 1)}_train.h5")
    utterances = read_shd(copy)
    own = np.flatnonzero(utterances.speakers == 2)
    assert found.row.tolist() == own.tolist() and set(found.speaker) == {2}
    events = downsample(utterances, fold_recipe(copy.parent).input, "both")
    wanted = evaluate(load_network(run).network, events.take(own)).class_scores.numpy()
    np.testing.assert_array_equal(found.scores, behind_the_winner(wanted))
    assert found.label.tolist() == events.labels[own].tolist()
    copy.unlink()
    with pytest.raises(DatasetError, match=r"toy_augmented1_train\.h5: no such file"):
        augmented_folds.score_augmented(run)


@pytest.mark.parametrize(
    "changes", [{"validation": "random", "validation_speakers": ""}, {"validation_speakers": "1,2"}]
)
def test_only_a_fold_with_one_held_out_speaker_is_scored(tmp_path, changes):
    with pytest.raises(RunError, match="fold: no single speaker is held out"):
        augmented_folds.held_out_speaker(fold_recipe(tmp_path, **changes), "fold")


def test_the_table_and_the_threshold_are_written(tmp_path, monkeypatch, capsys):
    """Two folds of two seeds of one candidate, and their ensemble, with class scores by hand."""
    for module in (write_tables, tables):
        monkeypatch.setattr(module, "results_dir", lambda: tmp_path)
    monkeypatch.setattr(confidence_thresholds, "networks_dir", lambda: tmp_path)
    monkeypatch.setattr(fold_thresholds, "OF_TEN_FOLDS", ["folds"])
    np.savez_compressed(tmp_path / "small.npz", about=np.array("{}"))
    keys = [("small", speaker, seed) for speaker in (1, 2) for seed in (0, 1)]
    rows = pd.DataFrame(keys, columns=["candidate", "validation_speakers", "seed"])
    rows = rows.assign(hash=["h0", "h1", "h2", "h3"], status="done", error="")
    rows["run_name"] = rows["configuration"] = rows["hash"]
    rows.to_csv(tmp_path / "folds_hd.csv", index=False)
    right = np.where(np.arange(20) == 3, 4.0, 0.0)
    wrong = np.where(np.arange(20) == 5, 1.0, 0.0)
    values = {0: [right, wrong], 1: [right, 3 * right]}  # by seed
    scores = [scores_of(values[seed], [3, 3], speaker) for _, speaker, seed in keys]
    clean = Folds(dict(zip(keys, scores, strict=True)), {})
    entries = {"small": Entry({"small": [0]}), "both": Entry({"small": [0, 1]}, is_ensemble=True)}
    monkeypatch.setattr(
        fold_thresholds, "ten_folds", lambda: ({"speakers": [1, 2]}, entries, clean)
    )
    monkeypatch.setattr("sys.argv", ["fold_thresholds", "small", "small"])
    with pytest.raises(
        SystemExit, match=r"^Of augmented .*of speaker 1 is missing.*scripts\.augmented_folds SWEEP"
    ):
        fold_thresholds.main()
    hashes = dict(zip(rows["hash"], scores, strict=True))
    SCORES.add(tmp_path / "folds_hd_augmented_scores.h5", hashes)
    for networks, wanted, message in (
        (["smal"], 0.97, r"smal\.npz: no such network"),
        (["small"], 1.1, "At no confidence are 110% of the answers correct.*for small"),
    ):
        with monkeypatch.context() as changed:
            changed.setattr("sys.argv", ["fold_thresholds", "small", *networks])
            changed.setattr(fold_thresholds, "WANTED", wanted)
            with pytest.raises(SystemExit, match=message):
                fold_thresholds.main()
            assert not (tmp_path / "fold_thresholds.csv").exists()
    for _ in range(2):  # once more replaces the rows
        fold_thresholds.main()
    written = pd.read_csv(tmp_path / "fold_thresholds.csv")
    assert written.utterances.tolist() == ["both languages", "english"] * 4
    written = written[written.utterances == "both languages"]
    assert written.network.tolist() == ["small"] * 4
    threshold = softmax(right[:10])[3]
    assert written.confidence_threshold.tolist() == pytest.approx([threshold] * 4, abs=1e-3)
    assert written.accepted.tolist() == [0.5] * 4 and written.correct.tolist() == [1] * 4
    about = json.loads(str(np.load(tmp_path / "small.npz")["about"]))
    assert about["confidence_threshold"] == pytest.approx(threshold, abs=1e-3)
    assert "means over 2 speakers" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["fold_thresholds", "both", "small"])
    with pytest.raises(SystemExit, match="2"):
        fold_thresholds.main()
    assert "small belongs to the entry 'small'" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["fold_thresholds", "both"])
    fold_thresholds.main()
    written = pd.read_csv(tmp_path / "fold_thresholds.csv").query(
        "network == 'both' and utterances == 'english'"
    )
    mean_of_second = softmax((wrong[:10] + 3 * right[:10]) / 2)[3]
    wanted = [min(threshold, mean_of_second)] * 4
    assert written.confidence_threshold.tolist() == pytest.approx(wanted, abs=1e-3)
    assert written.accepted.tolist() == written.correct.tolist() == [1] * 4


def test_the_threshold_is_infinite_if_no_answer_is_right():
    never = [answers([0.9, 0.8], [False, False])]
    assert threshold_of(never, 0.97) == np.inf
