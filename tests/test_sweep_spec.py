"""A sweep's YAML file: mistakes are named before anything starts; the study's own files."""

import shutil

import pytest
from ruamel.yaml import YAML

from corpus_tests.damage import damages
from shd_helpers.events import Downsampling, load_subsets
from shd_helpers.paths import TRAIN
from shd_helpers.study.parameters import notebook_parameters
from shd_helpers.study.recipe import Recipe
from shd_helpers.sweeps import sweep_file
from shd_helpers.sweeps.runner import run_sweep
from shd_helpers.sweeps.sweep_file import SweepError, read_sweep
from tests import SWEEP_FILES
from tests.toy import write_toy


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": {"lx": [1.0]}}, "grid.lx: parameter 'lx': unknown"),
        ({"grid": {"x": [1.0, "one"]}}, "grid.x: parameter 'x': 'one' must be a number"),
        ({"grid": {"x": [1.0, 1.0]}}, "grid.x: .* different"),
        ({"grid": {"word": ["a/b", "a-b"]}}, "grid: two values have the same name in a run folder"),
        ({"grid": {"seed": [1]}}, ": seed: the sweep itself sets it"),
        ({"fixed": {"x": 1.0}}, "grid: x is set more than once"),
        ({"grid": {"x": [1.0], "both": {"a": {"x": 2.0}}}}, "grid: x is set more than once"),
        ({"grid": [1.0]}, r"grid: \[1.0\] must be a mapping"),
        ({"seeds": 3}, "seeds: 3 must be a list"),
        ({"grid": {"both": {"a": {"lx": 1.0}}}}, "grid.both: a.lx: parameter 'lx': unknown"),
        ({"grid": {"x": [True]}}, "grid.x: parameter 'x': True must be a number"),
        ({"seeds": [0.5]}, "seeds: parameter 'seed': 0.5"),
        ({"notebook": "04_absent"}, "notebook: there is no .*04_absent.ipynb"),
        ({"girds": {}}, "the keys must be name, notebook, fixed, grid, seeds, .* Found: .*girds"),
    ],
)
def test_a_mistake_is_named_before_anything_starts(home, changes, message):
    home.write(**changes)
    with pytest.raises(SweepError, match=message) as error:
        run_sweep(home.yaml)
    assert str(home.yaml) in str(error.value)
    assert home.log() == [] and not home.runs.exists()


@pytest.mark.parametrize("written", ["1e-3", "2.5e4", "-.5", "7", "1:30", "no"])
def test_numbers_are_read_as_yaml_1_2_has_them(home, written):
    """YAML once took the last two for numbers."""
    home.yaml.write_text(home.yaml.read_text().replace("- 1.0", f"- {written}"))
    if written in ("1:30", "no"):
        with pytest.raises(SweepError, match=rf"grid\.x: .*'{written}' must be a number"):
            read_sweep(home.yaml)
    else:
        assert read_sweep(home.yaml).runs[0].parameters["x"] == float(written)


COLUMNS = ["configuration", "hash", "status", "error", "test_accuracy", "train_sha256", "macs"]


@pytest.mark.parametrize("column", COLUMNS)
def test_an_axis_is_not_called_as_a_column_of_the_table(home, column):
    """A run's row would have the table's own value there, and the axis's none."""
    home.write(grid={column: {"low": {"x": 1.0}, "high": {"x": 2.0}}})
    with pytest.raises(SweepError, match=rf"sweep\.yaml: grid\.{column}: .*column of the table"):
        read_sweep(home.yaml)


@damages
def test_a_file_that_is_damaged_is_named(home, damage):
    damage(home.yaml)
    with pytest.raises(SweepError, match=r"a sweep\.yaml: "):
        read_sweep(home.yaml)


def test_parameters_that_go_together_are_one_axis(home):
    home.write(grid={"pair": {"low": {"x": 1, "word": "b"}, "high one": {"x": 2.0}}})
    runs = [run for run in read_sweep(home.yaml).runs if run.parameters["seed"] == 0]
    default = notebook_parameters(home.notebook)["word"]
    found = [
        (r.configuration, r.named_values, r.parameters["x"], r.parameters["word"]) for r in runs
    ]
    assert default != "b" and isinstance(found[0][2], float)
    low = {"pair": "low"}
    high = {"pair": "high one"}
    assert found == [("pair=low", low, 1.0, "b"), ("pair=high-one", high, 2.0, default)]
    with pytest.raises(SweepError, match="--set word: the grid"):
        read_sweep(home.yaml, {"word": "c"})


def test_overrides_are_part_of_the_name(home):
    sweep = read_sweep(home.yaml, {"word": "b"})
    assert sweep.name == "trial_word=b" and sweep.runs[0].parameters["word"] == "b"
    assert sweep.runs[0].folder.parent.name == "trial_word=b"
    assert sweep.runs[0].hash != read_sweep(home.yaml).runs[0].hash
    assert read_sweep(home.yaml, {"word": "a"}).name == "trial"
    assert sweep.runs[0].named_values == {}  # the axis x is a parameter
    with pytest.raises(SweepError, match="--set x: the grid"):
        read_sweep(home.yaml, {"x": 3.0})


def test_texts_are_read_as_on_a_command_line(home):
    """What the notebook has as text stays text, also where it looks like a number."""
    home.write(grid={"place": {"a": {"x": 1.0}}})
    for word in ("8,9", "2024"):
        assert read_sweep(home.yaml, {"word": word}).runs[0].parameters["word"] == word
    home.write(grid={"word": ["a", "b"]})
    assert read_sweep(home.yaml, {"x": "3"}).runs[0].parameters["x"] == 3.0
    with pytest.raises(SweepError, match="--set x"):
        read_sweep(home.yaml, {"x": "three"})


def test_the_settings_of_every_run_are_checked(home):
    home.write(notebook="03_model_training", grid={"slope": [2.0]}, seeds=[0, -1, 1])
    with pytest.raises(SweepError, match=r"a sweep\.yaml: slope=2\.0: seed -1: must be at least 0"):
        read_sweep(home.yaml)
    home.write(notebook="03_model_training", grid={"slope": [2.0, 10**400]})
    with pytest.raises(SweepError, match=r"slope=10{57}.*slope 10+\.\.\.: must be at least 1e-06"):
        read_sweep(home.yaml)


@pytest.mark.parametrize(
    ("notebook", "fixed"),
    [
        ("03_model_training", {"lr": 5}),
        ("train", {"circuit": "nonsense"}),
    ],
)
def test_settings_are_checked_before_data_are_made(
    home, notebook, fixed, monkeypatch, small_data_sets
):
    """Those that a notebook of the user's own has are checked, too."""
    shutil.copy(TRAIN, home.folder / "own.ipynb")
    if notebook != "own.ipynb":  # whose settings are all known
        monkeypatch.setattr(
            sweep_file, "obtain_and_identify", lambda _: pytest.fail("data were made")
        )
    home.write(notebook=notebook, fixed=fixed, grid={"slope": [2.0]})
    (name,) = fixed
    with pytest.raises(SweepError, match=rf"a sweep\.yaml: slope=2\.0: {name} .*: must be"):
        read_sweep(home.yaml)


def test_a_relative_data_set_counts_from_the_sweeps_file_first(home, monkeypatch):
    write_toy(home.folder / "moves", seed=0)
    home.write(notebook="03_model_training", fixed={"dataset": "moves"}, grid={"slope": [2.0]})
    sweep = read_sweep(home.yaml)
    assert sweep.name == "trial_toy"
    assert sweep.runs[0].parameters["dataset"] == str(home.folder / "moves")


def test_a_sweep_with_a_frozen_table_says_so_before_anything_is_downloaded():
    with pytest.raises(SweepError, match=r"^final: its table is frozen .*results/README"):
        read_sweep("final")


def test_runs_and_table_are_named_after_the_data_set(home, tmp_path):
    write_toy(tmp_path / "speech", seed=0, name="my words;")
    grid = {"which one": {"a b/../c": {"slope": 3.0}}}
    home.write(notebook="03_model_training", grid=grid, seeds=[0])
    sweep = read_sweep(home.yaml, {"dataset": str(tmp_path / "speech")})
    assert sweep.table.name == "trial_my-words-.csv"
    (run,) = sweep.runs
    assert run.run_name == "sweeps/trial_my-words-/which-one=a-b-..-c,seed=0"


@pytest.mark.parametrize("name", SWEEP_FILES)
def test_the_studys_sweeps_can_be_read_and_split(name, home, data_dir, small_data_sets):
    """The toy data have the speakers that validate."""
    sweep = read_sweep(SWEEP_FILES[name])
    kinds = {}
    data = YAML(typ="safe").load(SWEEP_FILES[name])["fixed"]["dataset"]
    assert sweep.name == f"{name}_{data}"
    for run in sweep.runs:
        recipe = Recipe.from_flat(run.parameters)
        kinds.setdefault(recipe.split, recipe)
    for recipe in kinds.values():
        grid = Downsampling(pool_units=50, pool_steps=100)  # no split depends on it
        assert load_subsets(
            recipe.obtain_files(), grid, recipe.language, recipe.split, recipe.seed
        ).training


@pytest.mark.parametrize("name", SWEEP_FILES)
def test_a_sweep_that_chooses_reads_no_test_utterances(name, home, small_data_sets):
    """Each run, by the parameter that its notebook gets; where everybody trains, nobody tests."""
    runs = [run.parameters for run in read_sweep(SWEEP_FILES[name]).runs]
    scored = {p["score_test"] for p in runs if p.get("protocol") != "everybody"}
    assert scored == {name not in ("surrogates", "learning_rate_epochs")}
