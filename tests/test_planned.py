"""Plans that cross inputs with recipes: who trains and tests, estimates, and tables."""

import itertools
import shutil

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence import plan_jobs, tables
from evidence.__main__ import main
from evidence.estimates import (
    chosen_estimate,
    crossed_estimates,
    residual_mean_square,
    seeds_estimate,
)
from evidence.plan import VALIDATION, networks_of, read_plan
from evidence.plan_jobs import (
    AVERAGED,
    HELD_OUT,
    VALIDATION_PEOPLE,
    behind_the_winner,
    freeze,
    job_of,
    left_of,
)
from shd_corpus.class_names import ENGLISH
from shd_helpers.events import Downsampling, Events
from shd_helpers.study import network_jobs
from tests import RESULTS

GRID = Downsampling()
INPUT = {"first_unit": 150, "pool_units": 3, "pool_steps": 3}
RECIPE = {"lr": 0.02, "batch_size": 8, "lr_step": 1, "n_hidden": 16, "readout": "membrane"}
FEW_MINUS_MANY = {"plus": [{"input": "few"}], "minus": [{"input": "many"}]}
TINY = {
    "name": "tiny",
    "base": {"epochs": 1},
    "inputs": {
        "few": INPUT | {"pool_threshold": 2},
        "many": INPUT | {"pool_threshold": 1},
    },
    "recipes": {"fast": RECIPE, "slow": RECIPE | {"lr": 0.01}},
    "questions": {
        "panel": {
            "inputs": ["few", "many"],
            "recipes": ["fast", "slow"],
            "longer": 2,
            "scored_after": [1],
        },
        "again": {"inputs": ["few", "many"], "recipes": ["fast"], "seeds": 2},
    },
    "contrasts": {
        "primary": {"question": "panel", "differences": {"few minus many": FEW_MINUS_MANY}},
        "seeds": {"question": "again", "differences": {"few minus many": FEW_MINUS_MANY}},
    },
}


def differences(rng, n_people=40, n_recipes=3):
    """Return random differences of people, dealt to five folds in turn."""
    index = pd.MultiIndex.from_arrays(
        [np.arange(n_people) % 5, np.arange(n_people)], names=["fold", "person"]
    )
    values = rng.normal(0.1, 0.3, (n_people, n_recipes))
    return pd.DataFrame(values, index, [f"p{number}" for number in range(n_recipes)])


# --- Estimates -------------------------------------------------------------------------------


def test_the_residual_mean_square_is_that_of_loops():
    values = np.random.default_rng(0).normal(size=(5, 3))
    of_folds = [sum(row) / 3 for row in values]
    of_recipes = [sum(column) / 5 for column in values.T]
    everything = sum(of_folds) / 5
    squares = 0.0
    for fold, recipe in itertools.product(range(5), range(3)):
        explained = of_folds[fold] + of_recipes[recipe] - everything
        squares += (values[fold, recipe] - explained) ** 2
    found = residual_mean_square(pd.DataFrame(values))
    assert found == (pytest.approx(squares / 8), 8)


def test_the_error_has_a_part_of_people_and_a_part_of_networks():
    table = differences(np.random.default_rng(1))
    found = crossed_estimates(table)
    residual = residual_mean_square(table.groupby("fold").mean()).value
    over_recipes = table.mean(axis=1)
    assert found["mean"].mean == pytest.approx(table.to_numpy().mean())
    squared = np.var(over_recipes, ddof=1) / 40 + residual / 15
    assert found["mean"].error == pytest.approx(np.sqrt(squared))
    squared = np.var(table.p1, ddof=1) / 40 + residual / 5
    assert found["p1"].error == pytest.approx(np.sqrt(squared))
    of_recipes = np.var(table.groupby("fold").mean().mean(), ddof=1) / 3
    squared = np.var(over_recipes, ddof=1) / 40 + max(of_recipes, residual / 15)
    assert found["mean, recipes at random"].error == pytest.approx(np.sqrt(squared))


# As fractions, from the networks of the plan `people`: how people differ in how they take an input,
# how they differ from network to network, and how networks differ
PEOPLE_SD = 0.096
PEOPLE_BY_NETWORK_SD = 0.239
NETWORK_SD = 0.019


def simulated_differences(recipe_sd, rng, n_people=1436, n_recipes=3):
    """Draw the differences of two inputs that are equal on average, (people, recipes)."""
    folds = np.arange(n_people) % 5
    values = rng.normal(0, PEOPLE_SD, (n_people, 1))
    values = values + rng.normal(0, PEOPLE_BY_NETWORK_SD, (n_people, n_recipes))
    values += rng.normal(0, np.sqrt(2) * NETWORK_SD, (5, n_recipes))[folds]
    values += rng.normal(0, recipe_sd, n_recipes)
    index = pd.MultiIndex.from_arrays([folds, np.arange(n_people)], names=["fold", "person"])
    return pd.DataFrame(values, index, [f"recipe {number}" for number in range(n_recipes)])


@pytest.mark.parametrize(
    ("recipe_sd", "name", "half"),
    [
        (0.0, "mean", 1.9),
        (0.0, "recipe 0", 3.2),
        (0.026, "mean, recipes at random", 6.1),
    ],
)
def test_intervals_are_as_the_plan_expects_and_miss_the_truth_in_some_five_percent(
    recipe_sd, name, half
):
    rng = np.random.default_rng(2)
    found = [crossed_estimates(simulated_differences(recipe_sd, rng))[name] for _ in range(300)]
    assert 100 * np.mean([each.half() for each in found]) == pytest.approx(half, abs=0.2)
    assert 0.01 <= np.mean([abs(each.mean) > each.half() for each in found]) <= 0.1


def test_each_cell_has_the_variance_of_its_own_seeds():
    rng = np.random.default_rng(3)
    first = differences(rng)
    second = differences(rng) * 0.1
    found = seeds_estimate([first], [second])
    squared = np.var(first.mean(axis=1) - second.mean(axis=1), ddof=1) / 40
    for table in (first, second):
        variances = [np.var(part.mean(), ddof=1) for _, part in table.groupby("fold")]
        squared += np.mean(variances) / 15
    assert found.error == pytest.approx(np.sqrt(squared))
    assert found.mean == pytest.approx(first.to_numpy().mean() - second.to_numpy().mean())


def test_each_fold_has_the_recipe_that_is_best_for_its_validation_people():
    first = differences(np.random.default_rng(4), n_recipes=2)
    second = differences(np.random.default_rng(5), n_recipes=2)
    best = {"first": [1, 0, 0, 1, 1], "second": [0, 0, 1, 1, 0]}
    validation = {
        name: pd.DataFrame({"p0": [0.6] * 5, "p1": 0.5 + 0.2 * np.array(chosen)})
        for name, chosen in best.items()
    }
    found = chosen_estimate(first, second, validation)
    by_hand = []
    for (fold, person), row in first.iterrows():
        other = second.loc[(fold, person)]
        by_hand.append(row.iloc[best["first"][fold]] - other.iloc[best["second"][fold]])
    assert found.mean == pytest.approx(np.mean(by_hand))


# --- From a plan to its tables -----------------------------------------------------------------


def made(people, rng):
    """Return four utterances by each person, of classes in turn, with random events.

    Each class has more events in units of its own, so that networks answer differently.
    """
    n = 4 * len(people)
    is_own = np.arange(GRID.n_units) // 18 == (np.arange(n) % 10)[:, None]
    frames = rng.random((n, 50, GRID.n_units)) < np.where(is_own, 0.3, 0.1)[:, None]
    utterance, steps, units = frames.nonzero()
    return Events(
        steps=steps.astype(np.uint16),
        units=units.astype(np.uint16),
        offsets=np.searchsorted(utterance, np.arange(n + 1)),
        labels=np.arange(n) % 10,
        speakers=np.repeat(people, 4),
        class_names=ENGLISH,
        n_steps=GRID.n_steps,
        n_units=GRID.n_units,
        rows=np.arange(n),
        file=np.zeros(n, np.uint8),
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train all networks of the tiny plan, freeze their answers, and write its tables."""
    folder = tmp_path_factory.mktemp("planned")
    people = np.array([*range(20), *VALIDATION_PEOPLE[:4]])

    def load(_dataset, grid):
        return made(people, np.random.default_rng(grid.pool_threshold))

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHD_RUNS_DIR", str(folder / "runs"))
        patch.setenv("SHD_RESULTS_DIR", str(folder))
        patch.setattr(plan_jobs, "load", load)
        wanted = list(networks_of(TINY))
        assert len(left_of(TINY, wanted)) == len(wanted) == 40
        for part in (wanted[:7], wanted):  # the second part goes on where the first ended
            train(TINY, part)
            assert left_of(TINY, part) == []
        tables.write_tables(TINY)
        yield folder


def train(plan, networks):
    """Train what is left of some networks, and freeze their answers."""
    for job in left_of(plan, networks):
        job()
    freeze(plan, networks)


def test_the_command_trains_nothing_that_is_frozen_and_needs_no_data(tmp_path, monkeypatch, capsys):
    """Its tables are those that are committed. A removed network is left, and is trained again."""
    for path in RESULTS.glob("people_*"):
        shutil.copy(path, tmp_path)
    monkeypatch.setenv("SHD_RESULTS_DIR", str(tmp_path))
    monkeypatch.setenv("SHD_DATA_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("SHD_RUNS_DIR", str(tmp_path / "runs"))
    (tmp_path / "people_cells.csv").unlink()
    main(["people"])
    assert "0 of 234 networks are left" in capsys.readouterr().out
    assert (tmp_path / "people_cells.csv").read_text() == (RESULTS / "people_cells.csv").read_text()
    with pytest.raises(SystemExit, match=r"The plan stopped\.\n--shard 9/2"):
        main(["people", "--shard", "9/2"])
    people = read_plan("people")
    network = next(networks_of(people, "size"))
    with h5py.File(tmp_path / "people_answers.h5", "a") as file:
        del file[network.frozen_name]
    (job,) = left_of(people, networks_of(people))
    assert job.cell == network.cell and job.fold == 0


def test_nobody_who_tests_a_network_trains_it(trained):
    tested_people = []
    for each in networks_of(TINY):
        training, tests = job_of(TINY, each).utterances()
        tested = {*tests[HELD_OUT].speakers.tolist()}
        validating = {*tests[VALIDATION].speakers.tolist()}
        trains = {*training.speakers.tolist()}
        assert validating == {*VALIDATION_PEOPLE[:4]}
        assert trains | tested == {*range(20)} and not trains & tested
        tested_people.append(tested)
    assert set.union(*tested_people) == {*range(20)}


def test_all_networks_are_frozen_and_the_tables_have_them(trained):
    networks = pd.read_csv(trained / "tiny_networks.csv")
    assert len(networks) == 40 and networks.train_loss.notna().all()
    panel = networks[networks.question == "panel"]
    assert panel.accuracy_after_1.notna().all() and panel.validation_accuracy.notna().all()
    curves = pd.read_csv(trained / "tiny_curves.csv")
    assert curves.groupby("question").epoch.max().to_dict() == {"again": 1, "panel": 2}
    contrasts = pd.read_csv(trained / "tiny_contrasts.csv", keep_default_na=False)
    assert {*contrasts[contrasts.family == "primary"].of} == {
        "fast",
        "slow",
        "mean",
        "mean, recipes at random",
        "chosen by validation people",
    }
    means = contrasts[contrasts.of == "mean"]
    assert {*means.verdict} <= {"shown", "undecided"} and not any(
        contrasts[contrasts.of == "fast"].verdict
    )
    by_input = panel.groupby("input").accuracy_after_last.mean()
    found = means[means.family == "primary"].difference.item()
    # all folds have as many people, so the mean over people is that over networks
    assert found == pytest.approx(100 * (by_input["few"] - by_input["many"]), abs=1e-3)


@pytest.mark.parametrize("column, value", [("fold", 4), ("repeat", 1), ("recipe", "slow")])
def test_a_contrast_waits_for_its_networks(trained, column, value):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHD_RESULTS_DIR", str(trained))
        answers = tables.read_crossed(TINY)
        question = "again" if column == "repeat" else "panel"
        is_left = (answers.question == question) & (answers[column] == value)
        table = tables.crossed_contrasts(TINY, answers[~is_left])
    assert {*table.family} == ({"primary"} if question == "again" else {"seeds"})


NOISE = {
    **{key: TINY[key] for key in ("base", "inputs", "recipes")},
    "name": "noise",
    "questions": {
        "interaction": {
            "inputs": ["many"],
            "recipes": ["fast"],
            "data": ["commands", "commands_same"],
            "also_scored": {"commands": ["few_draw_0", "few_draw_1"]},
        },
        "draws": {"inputs": ["many"], "recipes": ["fast"], "draws": [3], "longer": 4},
    },
}


def test_draws_replace_each_other_and_are_averaged(tmp_path, monkeypatch):
    loaded = []

    def load(dataset, grid):
        loaded.append(dataset)
        people = np.arange(3, 8) if dataset.startswith("few") else np.arange(20)
        return made(people, np.random.default_rng(len(dataset) + int(dataset[-1] == "1")))

    monkeypatch.setenv("SHD_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("SHD_RESULTS_DIR", str(tmp_path))
    monkeypatch.setattr(plan_jobs, "load", load)
    trained_on = []
    fit = network_jobs.fit

    def fit_and_look(model, events, *arguments, options, **others):
        if options.augmentation:
            turns = [options.augmentation(events, None) for _ in range(4)]
            trained_on.append([int(turn.steps.sum()) for turn in turns])
        return fit(model, events, *arguments, options=options, **others)

    monkeypatch.setattr(network_jobs, "fit", fit_and_look)
    train(NOISE, [each for each in networks_of(NOISE) if each.fold == 3])
    first, second, third, again = trained_on[-1]
    assert len({first, second, third}) == 3 and again == first
    assert {"commands_draw_1", "commands_draw_2"} < {*loaded}
    answers = tables.read_crossed(NOISE)
    fresh = answers[(answers.question == "interaction") & (answers.data == "commands")]
    assert {*fresh.tested} == {HELD_OUT, "few_draw_0", "few_draw_1", AVERAGED}
    # of fold 3 are the people 3, 8, 13 and 18, of whom the small data sets have the first
    assert {*fresh[fresh.tested == HELD_OUT].person} == {3, 8, 13, 18}
    assert {*fresh[fresh.tested == AVERAGED].person} == {3}


def test_averaged_answers_are_those_of_the_mean_scores(tmp_path):
    columns = {"labels": np.array([0, 1]), "speakers": np.array([3, 3])}
    scores = {"few_draw_0": [[0, -1], [0, -1]], "few_draw_1": [[-3, 0], [-0.5, 0]]}
    kept = {"train_loss": np.ones(2), "train_accuracy": np.ones(2)}
    for name, values in scores.items():
        kept[f"{name}_scores"] = np.array(values, np.float32)
        kept |= {f"{name}_{column}": its for column, its in columns.items()}
    network = next(iter(networks_of(NOISE)))
    with h5py.File(tmp_path / "frozen.h5", "w") as file:
        plan_jobs._write_network(file, network, kept, False)
        group = file[network.frozen_name]
        assert group[AVERAGED][:].tolist() == [1, 0] and group["few_draw_0"][:].tolist() == [0, 0]


# --- The plan `encoder` ------------------------------------------------------------------------


def test_the_gain_is_that_of_the_frozen_answers():
    gains = []
    with h5py.File(RESULTS / "encoder_answers.h5") as file:
        for network in networks_of(read_plan("encoder")):
            utterances = file[f"{network.frozen_utterances}/commands"]
            right = file[network.frozen_name]["commands"][:] == utterances["labels"][:]
            people = utterances["speakers"][:]
            weight = {"filters_fire": 0.5, "cochlea_random": -0.5}.get(network.names["data"], 0)
            gains += [weight * right[people == person].mean() for person in np.unique(people)]
    row = pd.read_csv(RESULTS / "encoder_contrasts.csv").query("family == 'primary' & of == 'mean'")
    assert row.people.item() == 1435
    assert 100 * sum(gains) / 1435 == pytest.approx(row.difference.item(), abs=1e-3)


def test_all_encodings_have_as_many_events():
    networks = pd.read_csv(RESULTS / "encoder_networks.csv")
    of = networks.groupby("data").input_events.mean()
    assert len(of) == 4 and of.max() / of["cochlea_random"] < 1.05 > of["cochlea_random"] / of.min()


# --- Class scores as files keep them ------------------------------------------------------------


def softmax(values):
    powers = np.exp(values - values.max())
    return powers / powers.sum()


@settings(deadline=None)
@given(
    st.lists(
        st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=4, max_size=4),
        min_size=1,
        max_size=9,
    )
)
def test_stored_scores_have_the_same_answer_and_the_same_confidence(values):
    exact = np.array(values, np.float32)
    stored = behind_the_winner(exact)
    assert stored.dtype == np.float16
    assert np.isfinite(stored).all()
    assert stored.max(axis=1).tolist() == [0] * len(exact)
    for before, after in zip(exact, stored, strict=True):
        # all winners, and only these, have 0
        assert (before == before.max()).tolist() == (after == 0).tolist()
        np.testing.assert_allclose(
            softmax(after.astype(np.float64)), softmax(before.astype(np.float64)), atol=5e-3
        )


def test_scores_beyond_the_range_of_float16_are_stored_as_its_lowest_number():
    stored = behind_the_winner(np.array([[0.0, 70_000.0, 65_000.0, -3e38]], np.float32))
    assert stored.tolist() == [[-65504.0, 0.0, -5000.0, -65504.0]]
    nearly = np.array([[1.0, np.nextafter(np.float32(1e-9), np.float32(0)), 1e-9]], np.float32)
    assert behind_the_winner(nearly[:, 1:]).tolist() == [[-(2.0**-24), 0.0]]
