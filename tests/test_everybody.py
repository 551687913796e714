"""A network for everybody: whose utterances train it, the rule that selects it, and its tables."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from evidence import non_digits
from evidence.everybody import others, selection, tables, train
from evidence.everybody.plan import STAGES, candidates, plan
from evidence.everybody.selection import Entry, MissingScoresError, Thresholds
from evidence.trainings import HD_SPEAKERS, Study, freeze, is_left, stored_of, train_left
from shd_corpus.class_names import ENGLISH, LANGUAGES
from shd_corpus.speech_commands import numbered_people, read_manifest, role_of
from shd_helpers.events import Downsampling, Events
from shd_helpers.network import build_network
from shd_helpers.study import load_pretrained
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.trained_network import OTHER

GRID = Downsampling(pool_threshold=1)
ROLES = [role_of(person) for person in numbered_people(read_manifest())]
FEW = ("small, steps", "shared 64 neurons, steps", "128 neurons, steps")


def made(speakers, class_names, file=0) -> Events:
    """Return an utterance with three random events for each speaker, of the classes in turn."""
    n = len(speakers)
    units = np.random.default_rng(0).integers(0, GRID.n_units, 3 * n)
    return Events(
        steps=np.tile([10, 20, 30], n).astype(np.uint16),
        units=units.astype(np.uint16),
        offsets=3 * np.arange(n + 1),
        labels=np.arange(n) % len(class_names),
        speakers=np.asarray(speakers),
        class_names=class_names,
        n_steps=GRID.n_steps,
        n_units=GRID.n_units,
        rows=np.arange(n),
        file=np.full(n, file, np.uint8),
    )


def by_number(*roles):
    """Return some numbers of people of `commands` who have one of these roles."""
    return [number for number, role in enumerate(ROLES) if role in roles][::40]


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Replace the data sets by tiny ones with all kinds of people, and all folders."""

    def load(dataset, _grid, file_number=0, language="english"):
        if dataset == "hd_cut":
            speakers = HD_SPEAKERS + np.repeat(np.arange(12), 20)
            return made(speakers, LANGUAGES["both"]).of_classes(LANGUAGES[language])
        roles = ("test",) if file_number else ("training", "validation")
        return made(np.repeat(by_number(*roles), 3), ENGLISH, file_number)

    sounds = made(np.repeat(np.arange(len(train.KINDS)), 5), (OTHER,))
    monkeypatch.setattr(train, "load", load)
    monkeypatch.setattr(tables, "load", load)
    monkeypatch.setattr(train, "load_sounds", lambda _: sounds)
    monkeypatch.setenv("SHD_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setattr(Study, "frozen", tmp_path / "frozen.h5")


# --- Sounds ----------------------------------------------------------------------------------


def test_what_tests_rejection_never_trains_it():
    groups = {
        "words": (others.TRAINING_WORDS, others.HELD_OUT_WORDS, non_digits.WORDS),
        "voices": (others.TRAINING_VOICES, others.HELD_OUT_VOICES, non_digits.VOICES),
    }
    for parts in groups.values():
        for i, part in enumerate(parts):
            assert part and not {*part} & {name for other in parts[:i] for name in other}
    assert not {*others.WORDS} & {*LANGUAGES["both"]}
    assert not any(voice.startswith("en-us-nyc") for voice in others.VOICES)
    assert {*plan()["held_out_kinds"]} < {*train.KINDS}


# --- Who trains and who tests ----------------------------------------------------------------


def trainings():
    """Return a training of each stage, for a candidate."""
    candidate = candidates()["small, steps"]
    return {
        "selection": candidate.for_validation()[0],
        "final": candidate.for_test([0])[0],
        "speakers": candidate.for_speaker(7, [0])[0],
    }


@pytest.mark.parametrize("stage", trainings())
def test_nobody_who_tests_a_network_trains_it(stage, tiny):
    training_events, tests = train.utterances(trainings()[stage])
    names = training_events.class_names
    trains = {*training_events.speakers[training_events.labels != names.index(OTHER)].tolist()}
    kinds = {*training_events.speakers[training_events.labels == names.index(OTHER)].tolist()}
    hd = {*range(HD_SPEAKERS, HD_SPEAKERS + 12)}
    training_people = {number for number in trains if number < len(ROLES)}
    training_people = {number for number in training_people if ROLES[number] == "training"}
    assert len(training_people) > 30
    tested = {name: {*events.speakers.tolist()} for name, events in tests.items()}
    held_out = {train.KINDS.index(kind) for kind in plan()["held_out_kinds"]}
    everything = {*range(len(train.KINDS))}
    if stage == "selection":
        assert trains == training_people | hd
        assert {ROLES[number] for number in tested["commands"]} == {"validation"}
        assert tested["others"] == held_out and kinds == everything - held_out
    elif stage == "final":
        assert {ROLES[number] for number in trains - hd} == {"training", "validation"}
        assert {ROLES[number] for number in tested["commands"]} == {"test"}
        assert kinds == everything
    else:
        assert trains == training_people | hd - {HD_SPEAKERS + 7}
        assert tested == {"hd_cut": {HD_SPEAKERS + 7}} and kinds == everything


@pytest.mark.parametrize("stage", trainings())
def test_utterances_keep_their_classes(stage, tiny):
    training_events, tests = train.utterances(trainings()[stage])
    language = "english" if stage == "speakers" else "both"
    assert training_events.class_names == (*LANGUAGES[language], OTHER)
    is_of_hd = training_events.speakers >= HD_SPEAKERS
    counts = np.bincount(training_events.labels[is_of_hd], minlength=21)
    n_speakers = 11 if stage == "speakers" else 12
    assert counts[: len(LANGUAGES[language])].tolist() == [n_speakers] * len(LANGUAGES[language])
    assert not counts[len(LANGUAGES[language]) :].any()
    if stage == "selection":
        assert {*tests["others"].labels} == {20}
        names = [tests["commands"].class_names[label] for label in tests["commands"].labels]
        assert names == [ENGLISH[row % 10] for row in tests["commands"].rows]


# --- The plan --------------------------------------------------------------------------------


def test_candidates_have_the_planned_sizes():
    limits = {"small": 12_000, "medium": 100_000, "large": math.inf}
    digests = set()
    for candidate in candidates().values():
        recipe = Recipe.from_flat(candidate.cell().settings)
        network = build_network(recipe.network, GRID.n_units, 21, 3.0, torch.Generator())
        assert recipe.input == GRID
        n_parameters = sum(values.numel() for values in network.parameters())
        assert n_parameters <= limits[candidate.group]
        digests |= {candidate.cell().digest, candidate.cell("english").digest}
    assert len(digests) == 2 * len(candidates()) == 26


# --- The rule --------------------------------------------------------------------------------


def stored(right, rejected):
    """Return scores of two classes and *other*: of three people, and of two kinds of sounds.

    `right` and `rejected` have for each person or kind how many of four answers are right.
    """
    result = {}
    for name, counts, label in (("commands", right, 1), ("others", rejected, 2)):
        answers = [label if i < count else 0 for count in counts for i in range(4)]
        result[f"{name}_scores"] = np.eye(3)[answers]
        result[f"{name}_labels"] = np.full(len(answers), label)
        result[f"{name}_speakers"] = np.repeat(np.arange(len(counts)), 4)
    return result


@pytest.fixture
def scored(monkeypatch):
    """Give networks scores: by candidate and seed, or none."""

    def give(**scores):
        by_training = {}
        for name, each in scores.items():
            candidate, _, seed = name.replace("_", " ").rpartition(" ")
            for training in candidates()[f"{candidate}, steps"].for_validation([int(seed)]):
                by_training[training.frozen_name] = each
        monkeypatch.setattr(
            selection, "stored_of", lambda _, training: by_training.get(training.frozen_name)
        )
        few = {name: candidates()[name] for name in FEW}
        monkeypatch.setattr(selection, "candidates", lambda: few)

    return give


def test_the_score_is_accuracy_minus_what_is_accepted_wrongly(scored):
    """By hand: people 3/4, 1/4 and 2/4; kinds reject 4/4 and 1/4, so 3/8 is accepted."""
    scored(small_0=stored([3, 1, 2], [4, 1]))
    found = selection.entry("small, steps", [0])
    assert found == Entry("small, steps", (0,), 0.5, 0.625)
    assert found.score == 0.5 - 3 / 8


def test_the_rule_selects_what_a_hand_computation_selects(scored):
    singles = {
        "small_0": stored([4, 4, 2], [4, 4]),  # 5/6 + 1 - 1
        "shared_64_neurons_0": stored([4, 4, 4], [3, 2]),  # 1 + 5/8 - 1 = 0.625
        "128_neurons_0": stored([4, 4, 3], [3, 3]),  # 11/12 + 3/4 - 1 = 0.667
    }
    scored(**singles)
    with pytest.raises(MissingScoresError, match="averaged"):
        selection.selected()
    begun = list(selection.known_trainings())
    large = candidates()["128 neurons, steps"]
    assert begun == [
        *(candidates()[name].for_validation()[0] for name in FEW),
        *large.for_validation([0, 1, 2]),
    ]
    # two others that answer as the first: the average has its score, 0.667
    more = {f"128_neurons_{seed}": singles["128_neurons_0"] for seed in (1, 2)}
    scored(**singles, **more)
    chosen = selection.selected()
    assert chosen["small"].candidate == "small, steps"
    assert chosen["everybody"][:2] == ("128 neurons, steps", (0, 1, 2))
    # two others that are always wrong outvote the first, so the network of *medium* wins
    wrong = stored([0, 0, 0], [0, 0])
    scored(**singles, **dict.fromkeys(more, wrong))
    assert selection.selected()["everybody"][:2] == ("shared 64 neurons, steps", (0,))
    stages = {stage: list(selection.trainings_of_stage(stage)) for stage in STAGES}
    assert [len(stages[stage]) for stage in STAGES] == [3, 3, 2, 24]
    assert {each.fold for each in stages["speakers"]} == {*range(12)}


def test_no_stage_begins_before_the_selection_is_complete(scored):
    scored(small_0=stored([4], [4]))
    for stage in STAGES[1:]:
        with pytest.raises(MissingScoresError, match="selection"):
            list(selection.trainings_of_stage(stage))


# --- Answers and thresholds ------------------------------------------------------------------


def test_answers_are_those_of_a_plain_softmax():
    rng = np.random.default_rng(0)
    for n_classes in (11, 21):
        scores = rng.normal(0, 2, (300, n_classes))
        found = selection.answers(scores)
        for row, digit, confidence in zip(scores, *found, strict=True):
            shares = [math.exp(value) for value in [*row[:10], row[-1]]]
            best = max(range(10), key=lambda k: shares[k])
            is_accepted = row[best] == max(row)
            assert digit == best
            expected = shares[best] / sum(shares) if is_accepted else 0
            assert confidence == pytest.approx(expected)
        assert 0.3 < (found.confidences > 0).mean() < 1


def test_the_threshold_of_sounds_is_the_lowest_that_accepts_few():
    """By hand: of the first kind 0.9 and 0.6, of the second 0.8 may be accepted."""
    confidences = np.array([0.9, 0.6, 0.0, 0.0, 0.8, 0.0])
    kinds = np.array([0, 0, 0, 0, 1, 1])
    for accepted, expected in ((0.5, 0), (0.4, 0.8), (0.37, 0.9), (0.1, math.inf)):
        found = selection.threshold_of_sounds(confidences, kinds, accepted)
        assert found == pytest.approx(expected)
        shares = [np.mean(confidences[kinds == kind] >= found) for kind in (0, 1)]
        assert np.mean(shares) <= accepted


def test_what_is_judged_is_counted_by_hand():
    """Two people: of four utterances three are right, of two one; accepted from 0.5 on."""
    digits = [1, 1, 1, 0, 1, 0]
    scores = np.full((6, 11), -50.0)
    scores[range(6), digits] = [5, 5, 0, 5, 5, 5]
    scores[2, 10] = 1  # *other* scores higher, so a right answer isn't accepted
    scores[4, 2] = 4  # a confidence of 1 / (1 + 1 / e), which is 0.73
    parts = [
        {"hd_scores": scores[rows], "hd_labels": np.ones(n), "hd_speakers": np.full(n, person)}
        for person, (rows, n) in enumerate([(slice(4), 4), (slice(4, 6), 2)])
    ]
    row = tables.judged_row(parts, "hd", Thresholds(0.5, 0.9))
    assert (row["people"], row["utterances"]) == (2, 6)
    assert row["accuracy_utterances"] == pytest.approx(4 / 6)
    assert row["accuracy"] == pytest.approx((0.75 + 0.5) / 2)
    assert row["accepted"] == pytest.approx(5 / 6)
    assert row["right_of_accepted"] == pytest.approx(3 / 5)
    assert row["planned_threshold"] == 0.9
    assert row["planned_accepted"] == pytest.approx(4 / 6)
    assert row["planned_right_of_accepted"] == pytest.approx(2 / 4)


# --- The runner ------------------------------------------------------------------------------


@pytest.fixture
def short(tiny, monkeypatch):
    """Let three candidates train for an epoch."""
    few = {}
    for name in FEW:
        candidate = candidates()[name]
        few[name] = candidate._replace(settings=candidate.settings | {"epochs": 1})
    for module in (selection, tables):
        monkeypatch.setattr(module, "candidates", lambda: few)
    return few


def test_training_goes_on_where_it_stopped_and_frozen_scores_suffice(short, monkeypatch):
    first, *rest = selection.trainings_of_stage("selection")
    calls = []
    monkeypatch.setattr(
        Study, "utterances", lambda _, each: calls.append(each) or train.utterances(each)
    )
    study = train.STUDY
    train_left(study, [first], 1, math.inf, "first")
    before = stored_of(study, first)
    train_left(study, [first, *rest], 1, math.inf, "all")
    assert calls == [first, *rest]
    train_left(study, [first, *rest], 1, -math.inf, "nothing")
    assert not any(is_left(study, each) for each in (first, *rest))
    assert first.path(study.folder).with_suffix(".pt").exists()
    freeze(study, [first, *rest])
    table = tables.selection_table()
    for path in study.folder.rglob("*.npz"):
        path.unlink()
    assert not is_left(study, first)
    after = stored_of(study, first)
    assert before.keys() == after.keys()
    for name, values in before.items():
        np.testing.assert_array_equal(values, after[name])
    pd.testing.assert_frame_equal(tables.selection_table(), table)
    assert [*table.candidate] == [*FEW] and not table.isna().any(axis=None)


def test_a_shipped_network_answers_as_the_trained_one(short, monkeypatch, tmp_path):
    names = {"small": "small, steps", "everybody": "shared 64 neurons, steps"}
    chosen = {name: Entry(candidate, (0,), 1.0, 1.0) for name, candidate in names.items()}
    monkeypatch.setattr(tables, "selected", lambda: chosen)
    monkeypatch.setattr(tables, "thresholds_of", lambda _: Thresholds(0.75, 0.9))
    monkeypatch.setattr(tables, "networks_dir", lambda: tmp_path)
    monkeypatch.setattr(tables, "obtain", lambda _: ())
    monkeypatch.setattr(tables, "content_hash", lambda _: "hash")
    monkeypatch.setattr(tables, "fingerprint", lambda _: {"name": "commands"})
    finals = [training for name in names.values() for training in short[name].for_test([0])]
    train_left(train.STUDY, finals, 1, math.inf, "final")
    tables.ship()
    test_utterances = train.utterances(finals[0])[1]["commands"]
    for name, training in zip(names, finals, strict=True):
        shipped = load_pretrained(tmp_path / f"{name}.npz")
        assert shipped.about["confidence_threshold"] == 0.75
        assert {ROLES[number] for number in shipped.about["seen_speakers"] if number < 2000} == {
            "training",
            "validation",
        }
        with torch.no_grad():
            x = torch.from_numpy(test_utterances.to_frames(range(10)))
            scores = shipped.network(x).numpy()
        expected = selection.scores_of([training])["commands_scores"][:10]
        np.testing.assert_allclose(
            scores - scores.max(1, keepdims=True),
            expected - expected.max(1, keepdims=True),
            atol=0.01,
        )
        english = shipped.speaking("english")
        assert english.class_names == (*ENGLISH, OTHER)
        assert shipped.classes_of("german") == list(range(10, 20))
        assert shipped.other_class == [20]
