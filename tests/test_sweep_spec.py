"""A sweep's YAML file: mistakes are named before anything starts; the study's own files."""

import pytest
import yaml
from shd_helpers.sweeps.evidence import EVIDENCE

from shd_helpers.events import Downsampling, Split, load_parts
from shd_helpers.paths import NOTEBOOKS
from shd_helpers.source import locate
from shd_helpers.study.gate import check_parts
from shd_helpers.study.identity import notebook_parameters, settings
from shd_helpers.sweeps.runner import run_sweep
from shd_helpers.sweeps.spec import SWEEPS as FOLDER
from shd_helpers.sweeps.spec import SweepError, read_sweep
from tests.imports import loaded_by


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": {"lx": [1.0]}}, "grid.lx: parameter 'lx': unknown"),
        ({"fixed": {"wort": "b"}}, "fixed.wort: parameter 'wort': unknown"),
        ({"grid": {"x": [1.0, "one"]}}, "grid.x: parameter 'x': 'one' is of type str"),
        ({"grid": {"x": [True]}}, "grid.x: parameter 'x': True is of type bool"),
        ({"grid": {"x": 1.0}}, "grid.x: 1.0 must be a list"),
        ({"grid": {"x": []}}, "grid.x: .* must be a list"),
        ({"grid": {"x": [1.0, 1.0]}}, "grid.x: .* different"),
        ({"grid": {"word": ["a/b", "a-b"]}}, "grid: two values that give the same name"),
        ({"grid": {"seed": [1]}}, "grid.seed: the sweep itself sets it"),
        ({"fixed": {"run_name": "a"}}, "fixed.run_name: the sweep itself sets it"),
        ({"fixed": {"x": 1.0}}, "grid: x is in fixed, too"),
        ({"grid": {"x": [1.0], "both": {"a": {"x": 2.0}}}}, "grid: x is .*twice in the grid"),
        ({"grid": {"both": {"a": {"lx": 1.0}}}}, "grid.both.a.lx: parameter 'lx': unknown"),
        ({"grid": {"both": {"a": {"x": "fast"}}}}, "grid.both.a.x: .* is of type str"),
        ({"grid": {"both": {"a": 1.0}}}, "grid.both.a: 1.0 is no mapping"),
        ({"grid": {"x": {"a": {"x": 1.0}}}}, "grid.x: .* must be a list"),
        ({"seeds": [0.5]}, "seeds.others: parameter 'seed': 0.5"),
        ({"seeds": [0, 0]}, "seeds.others: .* different"),
        ({"seeds": 3}, "seeds: 3 is no list or dict"),
        ({"seeds": {"x": [0], "others": [1]}}, "seeds.x: must be a place of one axis"),
        ({"seeds": {"1.0": [0]}}, "seeds: without others, the seeds of the places that aren't"),
        ({"seeds": {"1.0": 3, "others": [1]}}, "seeds.1.0: 3 must be a list"),
        ({"plan": ["x"]}, "plan: .* is no dict"),
        ({"without": [{"y": 1.0}]}, "without: .* must be places by their axes"),
        ({"without": [{"x": 7.0}]}, "without: .* must be places by their axes"),
        ({"without": [{}]}, "without: .* must be places by their axes"),
        ({"name": "../up"}, "name: '../up' must be letters"),
        ({"notebook": "04_absent"}, "notebook: there is no .*04_absent.ipynb"),
        ({"notebook": "x" * 5000}, "notebook: 'x+...: must be a path .File name too long"),
        ({"girds": {}}, "the keys must be name, notebook, fixed, grid, seeds, .*; found: .*girds"),
        ({"keep_predictions": "yes"}, "keep_predictions: 'yes' is no bool"),
        ({"grid": {"../q": {"a": {"x": 1.0}}}}, "grid.../q: the axis needs another name"),
        ({"grid": {"test_accuracy": {"a": {"x": 1.0}}}}, "grid.test_accuracy: .* another name"),
    ],
)
def test_a_mistake_is_named_before_anything_starts(home, changes, message):
    home.write(**changes)
    with pytest.raises(SweepError, match=message) as error:
        run_sweep(home.yaml)
    assert str(home.yaml) in str(error.value)
    assert home.log() == [] and not home.runs.exists()


@pytest.mark.parametrize("written", ["1e-3", "2.5e4", "-3E5", "-.5", "7", "0"])
def test_numbers_are_those_that_one_reads(home, written):
    home.yaml.write_text(home.yaml.read_text().replace("- 1.0", f"- {written}"))
    assert read_sweep(home.yaml).runs[0].parameters["x"] == float(written)


@pytest.mark.parametrize("written", ["0100", "1:30", "1_000", "no", "0x1F"])
def test_what_yaml_once_took_for_numbers_is_text(home, written):
    home.yaml.write_text(home.yaml.read_text().replace("- 1.0", f"- {written}"))
    with pytest.raises(SweepError, match=rf"grid\.x: .*'{written}' is of type str"):
        read_sweep(home.yaml)


def test_places_that_are_written_differently_are_different(home):
    text = home.yaml.read_text().replace("x:", "size:").replace("- 1.0", "  1: {x: 1.0}")
    home.yaml.write_text(text.replace("- 2.0", "  01: {x: 2.0}"))
    assert [run.parameters["x"] for run in read_sweep(home.yaml).runs[::2]] == [1.0, 2.0]
    home.yaml.write_text(text.replace("- 2.0", "  1.0: {x: 2.0}"))
    with pytest.raises(SweepError, match="the key 1 stands twice"):
        read_sweep(home.yaml)


@pytest.mark.parametrize("section", ["grid", "seeds", "- x"])
def test_a_key_that_stands_twice_is_refused(home, section):
    text = "name: t\nnotebook: stand_in.ipynb\nfixed: {}\ngrid:\n  x: [1.0]\nseeds: [0]\n"
    more = {"grid": "grid: {}", "seeds": "seeds: [1]", "- x": "fixed: {word: a, word: b}"}[section]
    text = text.replace("fixed: {}", more) if section == "- x" else text + more
    home.yaml.write_text(text)
    with pytest.raises(SweepError, match=r"the key \w+ stands twice .*line \d"):
        read_sweep(home.yaml)


def test_parameters_that_go_together_are_one_axis(home):
    home.write(grid={"pair": {"low": {"x": 1, "word": "b"}, "high one": {"x": 2.0}}})
    runs = [run for run in read_sweep(home.yaml).runs if run.parameters["seed"] == 0]
    default = notebook_parameters(home.notebook)["word"]
    found = [(r.configuration, r.places, r.parameters["x"], r.parameters["word"]) for r in runs]
    assert default != "b" and isinstance(found[0][2], float)
    low, high = {"pair": "low"}, {"pair": "high one"}
    assert found == [("pair=low", low, 1.0, "b"), ("pair=high-one", high, 2.0, default)]
    with pytest.raises(SweepError, match="--set word: the grid"):
        read_sweep(home.yaml, {"word": "c"})


def test_a_place_may_have_seeds_of_its_own(home):
    pair = {"low": {"x": 1.0}, "high": {"x": 2.0}}
    home.write(grid={"pair": pair, "word": ["a", "b"]}, seeds={"high": [3, 4, 5], "others": [0]})
    found = [
        (r.places["pair"], r.parameters["word"], r.parameters["seed"])
        for r in read_sweep(home.yaml).runs
    ]
    assert found == [
        *(("low", word, 0) for word in "ab"),
        *(("high", word, seed) for word in "ab" for seed in (3, 4, 5)),
    ]


def test_combinations_that_cannot_be_are_left_out(home):
    axes = {"pair": {"low": {"x": 1.0}, "high": {"x": 2.0}}, "word": ["a", "b"]}
    home.write(grid=axes, seeds=[0], without=[{"pair": "high", "word": "b"}])
    found = [run.configuration for run in read_sweep(home.yaml).runs]
    assert found == ["pair=low,word=a", "pair=low,word=b", "pair=high,word=a"]


def test_the_plan_changes_no_run(home):
    before = read_sweep(home.yaml).runs
    home.write(plan={"margin": 3})
    assert [run.hash for run in read_sweep(home.yaml).runs] == [run.hash for run in before]


def test_overrides_are_part_of_the_name(home):
    sweep = read_sweep(home.yaml, {"word": "b"})
    assert sweep.name == "trial_word=b" and sweep.runs[0].parameters["word"] == "b"
    assert sweep.runs[0].folder.parent.name == "trial_word=b"
    assert sweep.runs[0].hash != read_sweep(home.yaml).runs[0].hash
    assert read_sweep(home.yaml, {"word": "a"}).name == "trial"
    assert sweep.runs[0].places == {}  # the axis x is a parameter
    with pytest.raises(SweepError, match="--set x: the grid of"):
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


def test_a_value_out_of_its_range_is_named(home):
    home.write(notebook="03_model_training", grid={"slope": [2.0], "beta": [0.9, 1.5]})
    with pytest.raises(SweepError, match=r"a sweep\.yaml: slope=2\.0,beta=1\.5: beta 1\.5: must"):
        read_sweep(home.yaml)


def test_every_point_is_checked(home):
    home.write(notebook="03_model_training", grid={"slope": [2.0]}, seeds=[0, -1, 1])
    with pytest.raises(SweepError, match=r"a sweep\.yaml: slope=2\.0: seed -1: must be at least 0"):
        read_sweep(home.yaml)
    home.write(notebook="03_model_training", grid={"slope": [2.0, 10**400]})
    with pytest.raises(SweepError, match=r"slope=10{57}.*slope 10+\.\.\.: must be above 0"):
        read_sweep(home.yaml)
    home.write(notebook="03_model_training", grid={"n_delays": [8, 40]})
    with pytest.raises(SweepError, match=r"n_delays=40: n_delays 40: the last copy is 1170 ms"):
        read_sweep(home.yaml)


@pytest.mark.parametrize("number", [1, 4, 5])
def test_a_notebook_that_leaves_no_run_is_refused(home, number):
    (path,) = NOTEBOOKS.glob(f"0{number}_*.ipynb")
    home.write(notebook=path.stem, grid={next(iter(notebook_parameters(path))): ["a"]})
    with pytest.raises(SweepError, match=rf"a sweep\.yaml: notebook: {path.name} leaves no run"):
        read_sweep(home.yaml)


def test_what_the_data_have_no_room_for_is_refused_before_the_first_run(home, data_dir):
    grid = {"pool_steps": [3, 4], "batch_size": [8, 144, 145]}
    home.write(notebook="03_model_training", grid=grid)
    with pytest.raises(SweepError, match=r"batch_size=145: batch_size 145: there are 144 training"):
        run_sweep(home.yaml)
    assert not home.runs.exists()


def test_names_of_runs_are_names(home, tmp_path):
    (tmp_path / "speech").mkdir()
    for part in ("train", "test"):
        (tmp_path / "speech" / f"my words;_{part}.h5").touch()
    grid = {"which one": {"a b/../c": {"slope": 3.0}}}
    home.write(notebook="03_model_training", grid=grid, seeds=[0])
    (run,) = read_sweep(home.yaml, {"dataset": str(tmp_path / "speech")}).runs
    assert run.run_name == "sweeps/trial_my-words-/which-one=a-b-..-c,seed=0"


def test_a_table_is_named_after_its_data_set(home, tmp_path):
    home.write(notebook="03_model_training", grid={"slope": [2.0]}, seeds=[0])
    assert read_sweep(home.yaml).name == "trial_spoken"
    (tmp_path / "speech").mkdir()
    for part in ("train", "test"):
        (tmp_path / "speech" / f"mine_{part}.h5").touch()
    sweep = read_sweep(home.yaml, {"dataset": str(tmp_path / "speech")})
    assert sweep.name == "trial_mine" and sweep.table.name == "trial_mine.csv"


def test_a_sweep_is_read_and_checked_without_papermill_which_takes_seconds_to_import():
    code = "import shd_helpers.study.gate, shd_helpers.sweeps.runner"
    assert loaded_by(code, {"papermill", "torch"}) == {"torch"}


STUDY = [path.stem for path in FOLDER.glob("*.yaml")]
CHOOSE = {
    *("search", "finalists", "surrogates", "learning_rate_epochs", "original"),
    "circuit_bits_validation",
}


@pytest.mark.parametrize("name", STUDY)
def test_the_study_s_sweeps(name, home, data_dir):
    sweep = read_sweep(name)
    data = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())["fixed"]["dataset"]
    assert sweep.name == f"{name}_{data}"
    assert len(set(sweep.runs[0].parameters)) == len(notebook_parameters(sweep.notebook))
    _can_run_in_small(sweep.runs)


def _can_run_in_small(runs):
    """The toy data have the speakers that validate, and enough utterances for every batch."""
    kinds = {}
    for run in runs:
        kinds.setdefault((settings(Split, run.parameters), run.parameters["batch_size"]), run)
    for (split, _), run in kinds.items():
        p = run.parameters
        grid = Downsampling(pool_units=50, pool_steps=100)  # the split doesn't depend on it
        parts = load_parts(locate(p["dataset"]), grid, p["language"], split, p["seed"])
        check_parts(p, parts)


@pytest.mark.parametrize("name", STUDY)
def test_what_chooses_does_not_see_what_tests(name, home):
    """Each run, by the parameter that notebook 3 gets."""
    scored = {run.parameters["score_test"] for run in read_sweep(name).runs}
    assert scored == {name not in CHOOSE}


def test_the_evidence_is_all_sweeps_but_the_default_run_s():
    assert {*EVIDENCE, "chosen"} == {*STUDY}
    assert CHOOSE <= {*EVIDENCE}
