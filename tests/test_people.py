"""The test on 1,800 people: its data, its statistics, and tables that follow from its answers.

Draws of the nerve: one cut for all of them, and data sets like `commands`.
"""

import shutil

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from corpus_tests.test_speech_commands import spoken
from evidence import draws, estimates, tables
from evidence.estimates import contrast
from evidence.plan import SELECTION, frozen_file, networks_of, read_plan
from evidence.plan_jobs import VALIDATION_PEOPLE, VALIDATION_SPEAKERS, drawn, fold_of, thinned
from evidence.tables import people as plan
from shd_corpus.class_names import ENGLISH
from shd_corpus.recordings import encode_file
from shd_corpus.shd_file import read_shd
from shd_corpus.speech_commands import numbered_people, person_of, read_manifest, role_of
from shd_course.figures import first_look
from shd_helpers.events import Events
from shd_helpers.events.loading import Split, split_utterances
from shd_helpers.paths import results_dir
from shd_judge import speech_commands_folds
from tests import RESULTS


def made(speakers, n_events=0, seed=0) -> Events:
    """Return utterances by some speakers, of two classes, with random events."""
    rng = np.random.default_rng(seed)
    n = len(speakers)
    counts = rng.integers(0, n_events + 1, n)
    steps = [np.sort(rng.choice(50, count, replace=False)) for count in counts]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return Events(
        steps=np.concatenate(steps).astype(np.uint16),
        units=np.zeros(counts.sum(), np.uint16),
        offsets=offsets,
        labels=np.arange(n) % 2,
        speakers=np.asarray(speakers),
        class_names=("a", "b"),
        n_steps=50,
        n_units=1,
        rows=np.arange(n),
        file=np.zeros(n, np.uint8),
    )


def test_folds_are_those_of_the_protocol():
    people = np.concatenate([np.arange(0, 1700, 7), VALIDATION_PEOPLE[:20]])
    events = made(np.repeat(people, 2))
    folds = fold_of(events.speakers)
    for held_out in range(5):
        split = Split(
            "folds",
            held_out,
            validation="speaker",
            validation_speakers=VALIDATION_SPEAKERS,
        )
        subsets = split_utterances(events, None, split, seed=0)
        np.testing.assert_array_equal(subsets.test.rows, np.flatnonzero(folds == held_out))
        np.testing.assert_array_equal(subsets.validation.rows, np.flatnonzero(folds == -1))


def test_folds_are_those_that_the_judge_makes_of_ids():
    """The judge applies the archive's rule by itself."""
    manifest = read_manifest()
    people = [person_of(name) for name in manifest]
    numbers = {person: number for number, person in enumerate(numbered_people(manifest))}
    in_training_file = [row for row, person in enumerate(people) if role_of(person) != "test"]
    folds = np.full(len(people), -1)
    folds[in_training_file] = fold_of(np.array([numbers[people[row]] for row in in_training_file]))
    for held_out, fold in enumerate(speech_commands_folds(np.array(people))):
        np.testing.assert_array_equal(fold.test, np.flatnonzero(folds == held_out))
        others = np.flatnonzero((folds >= 0) & (folds != held_out))
        np.testing.assert_array_equal(fold.training, others)


def test_thinning_draws_events_of_each_utterance_evenly():
    events = made(np.arange(400), n_events=20)
    counts = np.diff(events.offsets)
    fewer = events.take(np.arange(400))
    halves = np.concatenate([[0], np.cumsum(counts // 2)])
    fewer = Events(
        steps=np.zeros(halves[-1], np.uint16),
        units=np.zeros(halves[-1], np.uint16),
        offsets=halves,
        labels=events.labels,
        speakers=events.speakers,
        class_names=events.class_names,
        n_steps=50,
        n_units=1,
    )
    kept = thinned(events, fewer, seed=1)
    np.testing.assert_array_equal(np.diff(kept.offsets), counts // 2)
    places = []
    for i in range(400):
        its = kept.steps[kept.offsets[i] : kept.offsets[i + 1]].tolist()
        of_all = events.steps[events.offsets[i] : events.offsets[i + 1]].tolist()
        assert its == sorted(its) and set(its) <= set(of_all)
        places += [of_all.index(step) / len(of_all) for step in its]
    assert np.mean(places) == pytest.approx(0.45, abs=0.03)  # of 0 to 0.95
    assert not np.array_equal(kept.steps, thinned(events, fewer, seed=2).steps)


@pytest.mark.parametrize(("n_people", "n_utterances"), [(10, 60), (40, 60), (0, 60)])
def test_drawn_utterances_are_spread_evenly_over_people(n_people, n_utterances):
    rng = np.random.default_rng(0)
    events = made(rng.integers(0, 50, 600))
    chosen = drawn(events, n_people, n_utterances, seed=3)
    _, counts = np.unique(chosen.speakers, return_counts=True)
    assert len(chosen) == n_utterances == len(set(chosen.rows.tolist()))
    assert len(counts) == (n_people or 50)
    people, available = np.unique(events.speakers, return_counts=True)
    has_more = available[np.isin(people, chosen.speakers)] > counts
    assert counts.max() - counts[has_more].min() <= 1


def test_contrast_without_variance_over_seeds_is_the_paired_t_test():
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product([range(5), range(30)], names=["fold", "person"])
    first = pd.DataFrame({0: rng.random(150)}, index=index)
    second = first + rng.normal(0.02, 0.1, (150, 1))
    found = contrast(first, second, 0.0)
    expected = stats.ttest_rel(first[0], second[0])
    assert found.p == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval()
    assert found.mean - found.half() == pytest.approx(low)
    assert found.mean + found.half() == pytest.approx(high)


def networks_of_folds(rng, luck, n_networks):
    """Return the accuracies of 1,000 people in five folds, for networks of which luck differs."""
    index = pd.MultiIndex.from_product([range(5), range(200)], names=["fold", "person"])
    hardness = np.repeat(rng.normal(0, 0.03, 5), 200) + rng.normal(0, 0.2, 1000)
    of_folds = np.repeat(rng.normal(0, luck, (5, n_networks)), 200, axis=0)
    values = hardness[:, None] + of_folds + rng.normal(0, 0.25, (1000, n_networks))
    return pd.DataFrame(values, index)


@pytest.mark.parametrize(("luck", "least", "most"), [(0.02, 0.02, 0.08), (0.08, 0.75, 1)])
def test_the_test_of_folds_rejects_as_often_as_it_should(luck, least, most):
    """Hard folds are hard for all networks, so they aren't taken for luck."""
    rng = np.random.default_rng(0)
    rejected = []
    for _ in range(200):
        networks = networks_of_folds(rng, np.array([luck, *[0.02] * 4]), 5)
        # A variance over seeds is estimated with as many degrees of freedom
        variance = 0.02**2 * rng.chisquare(estimates.SEEDS_FREEDOM) / estimates.SEEDS_FREEDOM
        test = estimates.spread_of_folds(networks[0], networks.drop(columns=0), variance)
        rejected.append(test["p"] < 0.05)
    assert least <= np.mean(rejected) <= most


@pytest.mark.parametrize(
    ("luck", "variance", "least", "most"),
    [
        (0.02, 0.02**2, 0.92, 0.98),
        (0.02, 0.0, 0.5, 0.87),  # without the variance of networks
        (0.08, 0.02**2, 0.4, 0.7),  # of a cell whose networks vary more
        (0.08, None, 0.92, 0.98),  # over folds
    ],
)
def test_how_often_an_interval_contains_the_true_difference(luck, variance, least, most):
    rng = np.random.default_rng(0)
    hits = []
    for _ in range(300):
        networks = networks_of_folds(rng, np.array([luck, 0.02]), 2)
        found = contrast(networks[[0]], networks[[1]], variance)
        hits.append(abs(found.mean) < found.half())
    assert least <= np.mean(hits) <= most


@pytest.mark.parametrize("name", ["people", "recipes", "encoder"])
def test_committed_tables_follow_from_the_frozen_answers(name, tmp_path, monkeypatch):
    plan = read_plan(name)
    monkeypatch.setenv("SHD_RESULTS_DIR", str(tmp_path))
    shutil.copy(RESULTS / frozen_file(plan).name, tmp_path)
    if name == "people":
        shutil.copy(RESULTS / "people_recipes.csv", tmp_path)
    written = tables.write_tables(plan)
    assert len(written) >= 2
    for table in written:
        assert (tmp_path / table).read_text() == (RESULTS / table).read_text(), table


def test_the_mean_of_each_persons_accuracy_is_that_of_the_cell():
    people = pd.read_csv(results_dir() / "people_accuracies.csv")
    cells = pd.read_csv(results_dir() / "people_cells.csv").query("question == 'raise'")
    assert [*people.columns[3:]] == [*cells.cell]
    np.testing.assert_array_equal(fold_of(people.person.to_numpy()), people.fold)
    assert people.person.is_unique
    for cell in cells.itertuples():
        assert len(people) == cell.people and people.utterances.sum() == cell.utterances
        assert people[cell.cell].mean() == pytest.approx(cell.accuracy, abs=1e-5)
        by_utterances = np.average(people[cell.cell], weights=people.utterances)
        assert by_utterances == pytest.approx(cell.accuracy_utterances, abs=1e-5)


@pytest.mark.parametrize("cell", ["183 x 333, threshold 2", "700 x 1000"])
def test_ties_by_plain_loops(cell):
    """The highest of the class scores, as spike counts, are often those of two classes or more."""
    n_tied, fair = [], {}
    with h5py.File(frozen_file(plan())) as file:
        for network in networks_of(plan(), "cost"):
            if network.names["cell"] != cell:
                continue
            utterances = file[f"{network.frozen_utterances}/commands"]
            rows = zip(
                utterances["speakers"][:].tolist(),
                utterances["labels"][:].tolist(),
                file[network.frozen_name]["commands_scores"][:].tolist(),
                strict=True,
            )
            for person, label, scores in rows:
                best = [k for k, score in enumerate(scores) if score == max(scores)]
                n_tied.append(len(best) > 1)
                fair.setdefault(person, []).append((label in best) / len(best))
    table = pd.read_csv(results_dir() / "people_cells.csv").set_index(["question", "cell"])
    found = table.loc[("cost", cell)]
    assert found.tied == pytest.approx(sum(n_tied) / len(n_tied), abs=1e-6)
    means = [sum(each) / len(each) for each in fair.values()]
    assert found.accuracy_fair_ties == pytest.approx(sum(means) / len(means), abs=1e-6)


def test_selection_compares_the_planned_candidates():
    table = pd.read_csv(results_dir() / "people_recipes.csv")
    expected = [(*each.names.values(), each.cell.digest) for each in networks_of(plan(), SELECTION)]
    assert list(zip(table.input, table.recipe, table.digest, strict=True)) == expected


def test_the_slider_shows_people_who_did_not_train():
    """Its utterances were drawn at random of those that test fold 0 of the plan."""
    stored = first_look.stored()
    assert stored["inputs"].items() <= plan()["inputs"].items()
    with h5py.File(frozen_file(plan())) as file:
        tested = file["utterances/commands/fold_0/commands"]
        drawn_ones = np.random.default_rng(0).permutation(len(tested["labels"]))[:20]
        labels, people = (tested[name][:][drawn_ones] for name in ("labels", "speakers"))
        others = [f"utterances/commands/fold_{k}/commands/speakers" for k in range(1, 5)]
        training_people = np.concatenate([file[name][:] for name in others])
    assert [each["digit"] for each in stored["utterances"]] == [ENGLISH[i] for i in labels]
    assert [each["person"] for each in stored["utterances"]] == people.tolist()
    assert not np.isin(people, [*training_people, *VALIDATION_PEOPLE]).any()
    assert first_look.FOUR_SIZES.stat().st_size < 1e6


def test_people_of_the_few_recordings_train_and_are_enough():
    names = list(read_manifest())
    few = draws.few_people(names)
    assert {role_of(person) for person in few} == {"training"}
    counts = [person_of(name) in few for name in names]
    assert draws.N_FEW <= sum(counts) < draws.N_FEW + 100
    assert draws.few_people(names, seed=1) != few


def test_data_sets_have_the_cut_of_commands_and_other_random_numbers(tmp_path, monkeypatch):
    monkeypatch.setenv("SHD_DATA_DIR", str(tmp_path / "data"))
    names = [name for name in read_manifest() if role_of(person_of(name)) == "training"][:3]
    parts = {}
    for number, name in enumerate(names):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(spoken(400 + 300 * number))
        parts[name] = tmp_path / "parts" / f"{number}.npz"
        draws.encode_recording(tmp_path / name, number < 2, parts[name])
    for name in draws.nerves_of(tmp_path / names[0], is_few=True):
        draws.write_dataset(name, parts)

    found = {
        name: read_shd(tmp_path / "data" / name / f"{name}_train.h5")
        for name in ("few_draw_0", "few_draw_1", "commands_draw_1", "commands_same", "few_expected")
    }
    for number, name in enumerate(names[:2]):
        as_commands = encode_file(tmp_path / name, cut=True)
        spikes = {each: utterances.spikes(number) for each, utterances in found.items()}
        for own, wanted in zip(spikes["few_draw_0"], as_commands, strict=True):
            np.testing.assert_array_equal(own, wanted)
        again = [spikes[each][1] for each in ("few_draw_1", "commands_draw_1")]
        np.testing.assert_array_equal(*again)
        assert not np.array_equal(again[0], as_commands[1])
    people = numbered_people(read_manifest())
    assert len(found["few_expected"].labels) == 2
    same = found["commands_same"]
    assert same.speakers.tolist() == [people.index(person_of(name)) for name in names]
    assert [same.keys[label] for label in same.labels] == [name.split("/")[0] for name in names]
