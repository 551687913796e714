"""The contest of networks, and the runs that judge them: who chooses, and what is compared."""

import pandas as pd
import pytest
import yaml

from shd_helpers.paths import NOTEBOOKS
from shd_helpers.study.identity import notebook_parameters
from shd_helpers.study.tables import TableError, read_table
from shd_helpers.sweeps import contest
from shd_helpers.sweeps.spec import read_sweep
from shd_helpers.sweeps.spec import SWEEPS

DEFAULTS = notebook_parameters(NOTEBOOKS / "03_model_training.ipynb")


def content(name):
    return yaml.safe_load((SWEEPS / f"{name}.yaml").read_text())


def table_of(best):
    """Return a contest in which each contestant's named recipe has the named accuracy."""
    rows = [
        {"contestant": name, "recipe": f"p{i:02d}", "validation_accuracy": 0.5}
        for name in contest.CONTESTANTS
        for i in range(8)
    ]
    table = pd.DataFrame(rows).set_index(["contestant", "recipe"])
    for place, accuracy in best.items():
        table.loc[place, "validation_accuracy"] = accuracy
    table = table.reset_index()
    costs = {"one hidden layer": 5e6, "two hidden layers": 3e6, "shared weights": 1e6}
    return table.assign(effective_acs=table.contestant.map(costs))


BEST = {
    ("one hidden layer", "p03"): 0.8,
    ("two hidden layers", "p05"): 0.81,
    ("shared weights", "p06"): 0.8,
    ("convolutional", "p01"): 0.95,
}


@pytest.mark.parametrize("step", contest.STEPS)
def test_the_committed_sweep_is_what_the_step_before_it_says(step):
    """Nobody chose by hand: the files follow from whole tables, and aren't there before these."""
    make, _ = contest.STEPS[step]
    try:
        wanted = make()
    except TableError:
        assert not (SWEEPS / f"{step}.yaml").exists()
    else:
        assert content(step) == wanted, f"run python -m shd_helpers.sweeps.contest {step}"


def test_every_contestant_has_the_same_recipes_and_chooses_on_the_same_speakers():
    grid = content("contest")["grid"]
    assert [*grid["contestant"]] == [*contest.CONTESTANTS]
    assert len(grid["contestant"]) == 4
    assert len(grid["recipe"]) == 8
    assert content("contest")["fixed"]["validation_speakers"] == "8,9"
    assert content("contest")["fixed"]["score_test"] is False


def test_the_cheapest_within_a_standard_error_comes_first_and_the_comparison_last():
    found = contest.chosen(table_of(BEST))  # the error is 1.35 points
    assert [*found] == [
        "shared weights",
        "two hidden layers",
        "one hidden layer",
        "convolutional",
    ]
    recipes = content("contest")["grid"]["recipe"]
    for name, recipe in (("two hidden layers", "p05"), ("convolutional", "p01")):
        assert found[name] == contest.CONTESTANTS[name] | recipes[recipe]
    worse = contest.chosen(table_of(BEST | {("shared weights", "p06"): 0.79}))
    assert next(iter(worse)) == "two hidden layers"


def test_the_standard_error_knows_how_many_words_validated():
    right = contest.N_VALIDATED * read_table("contest_hd").validation_accuracy
    assert right.tolist() == pytest.approx(right.round().tolist(), abs=1e-6)
    assert right.round().astype(int).mod(2).nunique() == 2  # not half as many


def test_half_a_contest_chooses_nothing():
    with pytest.raises(TableError, match="make sweep SWEEP=contest"):
        contest.chosen(table_of(BEST)[1:])


def test_each_comparison_is_between_models_that_run_and_an_ingredient_is_all_that_is_missing():
    judged = contest.judged(contest.chosen(table_of(BEST)))
    models, plan = judged["grid"]["model"], judged["plan"]
    assert {name for pair in (plan["primary"], *plan["secondary"]) for name in pair} == {*models}
    whole = models["shared weights"]
    missing = {
        name: {key for key in whole if whole[key] != model[key]}
        for name, model in models.items()
        if name.startswith("no ")
    }
    assert missing == {
        "no augmentation": {"shift_units", "shift_ms", "stretch", "dropout"},
        "no delays": {"n_delays"},
        "no shared weights": {"kernel_size", "n_hidden"},
    }
    assert plan["primary"] == ["shared weights", "convolutional"]
    assert plan["strangers"] == [0, 1, 2, 3, 4, 5, 6, 7, 10, 11]  # all but the tuning speakers
    assert plan["not_chosen_by"] == [4, 5]  # whom nothing chose by, the ladder neither


def test_hidden_dropout_changes_nothing_else_in_the_full_layer():
    trial, full = content("hidden_dropout"), content("judged")["grid"]["model"]["no shared weights"]
    fixed = trial["fixed"] | {"kernel_size": 0}
    assert {name: value for name, value in full.items() if fixed.get(name) != value} == {
        "stride": 8
    }
    pairs = [pair["validation_speakers"] for pair in trial["grid"]["pair"].values()]
    speakers = {int(speaker) for pair in pairs for speaker in pair.split(",")}
    assert speakers <= set(contest.TRAINING_SPEAKERS) and len(speakers) == 2 * len(pairs)


def adaptation_table(**accuracy):
    """Return a sweep `adaptation` in which these networks have these accuracies, for each pair."""
    sweep = content("adaptation")["grid"]
    rows = [
        {"neurons": name, "pair": pair, "validation_accuracy": accuracy.get(name, (0.5,) * 3)[k]}
        for name in sweep["neurons"]
        for k, pair in enumerate(sweep["pair"])
    ]
    return pd.DataFrame(rows)


def test_of_adapting_networks_the_highest_mean_over_the_pairs_goes_on():
    # one has the best pair, the other the best mean
    single, mean = "one layer", "two layers, adapting"
    table = adaptation_table(**{single: (0.9, 0.3, 0.3), mean: (0.6, 0.6, 0.6)})
    network = contest.best_of_pairs("adaptation", table)
    assert [*network] == [mean]
    sweep = content("adaptation")
    assert network[mean].items() >= sweep["grid"]["neurons"][mean].items()
    assert network[mean]["epochs"] == 40 and network[mean]["lr_step"] == 8
    assert not {"dataset", "language", "validation", "validation_speakers"} & network[mean].keys()
    judged = contest.adapting(contest.chosen(table_of(BEST)), network)
    models = judged["grid"]["model"]
    assert models[f"{mean}, threshold 2"] == network[mean] | {"pool_threshold": 2}
    assert models["two layers"] == network[mean] | {"adapt_ms": 0.0}
    plan = judged["plan"]
    assert plan["primary"] == [mean, "convolutional"]
    assert plan["secondary"] == [[mean, "no shared weights"]]
    with pytest.raises(TableError, match="make sweep SWEEP=adaptation"):
        contest.best_of_pairs("adaptation", table[1:])


def test_the_comparison_on_threshold_1_is_the_judged_one_but_for_the_threshold():
    judged, now = content("judged"), content("adapting")
    before = judged["fixed"] | judged["grid"]["model"]["convolutional"]
    other = now["fixed"] | now["grid"]["model"]["convolutional, threshold 1"]
    assert other == before | {"pool_threshold": 1}


def test_of_networks_with_fewer_parameters_too():
    sweep = content("fewer_parameters")["grid"]
    rows = [
        {"kind": kind, "pair": pair, "validation_accuracy": 0.6 if "fast" in kind else 0.5}
        for kind in sweep["kind"]
        for pair in sweep["pair"]
    ]
    ((name, place),) = contest.best_of_pairs("fewer_parameters", pd.DataFrame(rows)).items()
    assert name == "128 neurons, adapting fast" and place["adapt_ms"] == 100
    assert place["n_delays"] == 8 and place["epochs"] == 40
    with pytest.raises(TableError, match="make sweep SWEEP=fewer_parameters"):
        contest.best_of_pairs("fewer_parameters", pd.DataFrame(rows[1:]))


def test_networks_of_the_sweep_adaptation_differ_by_what_their_names_say():
    sweep = content("adaptation")
    words = {"adapting": "adapt_ms", "two layers": "n_layers", "eight delays": "n_delays"}
    words |= {"threshold 1": "pool_threshold"}
    for name, place in sweep["grid"]["neurons"].items():
        assert place.keys() - {"n_hidden"} == {key for word, key in words.items() if word in name}
    judged = content("judged")
    before = DEFAULTS | judged["fixed"] | judged["grid"]["model"]["no shared weights"]
    now = DEFAULTS | sweep["fixed"] | sweep["grid"]["neurons"]["eight delays"]
    differs = {key for key, value in before.items() if now[key] != value}
    assert differs - {"protocol", "language", "validation", "score_test"} == {"lr_step", "epochs"}


def test_networks_with_fewer_parameters_differ_by_what_their_names_say():
    sweep, before = content("fewer_parameters"), content("adaptation")
    fixed = sweep["fixed"] | {"stretch": 0.27}
    assert fixed == before["fixed"] | {"n_delays": 8, "pool_threshold": 1}
    assert sweep["grid"]["pair"] == before["grid"]["pair"]
    words = {"128 neurons": {"n_hidden": 128}, "adapting": {"adapt_ms": 300.0}}
    words |= {"blended words": {"blend": 0.5}, "stretched far": {"stretch": 0.5}}
    words |= {"adapting fast": {"adapt_ms": 100.0}}
    words |= {"shared weights": {"n_hidden": 16, "kernel_size": 32, "stride": 8}}
    for name, place in sweep["grid"]["kind"].items():
        parts = [{"stretch": 0.27}, *(words[word] for word in name.split(", "))]
        assert place == {key: value for part in parts for key, value in part.items()}


def test_for_other_microphones_networks_train_with_other_words_alone():
    best = content("best")["fixed"] | content("best")["grid"]["model"]["shared weights"]
    adapting = content("adapting")["fixed"]
    adapting |= content("adapting")["grid"]["model"]["eight delays, adapting, threshold 1"]
    for name, place in (trial := content("microphones"))["grid"]["trained_for"].items():
        model, before = trial["fixed"] | place, adapting if name.endswith("adapting") else best
        whole = DEFAULTS | model
        differs = {key for key, value in before.items() if whole[key] != value}
        layer = {"n_hidden", "kernel_size"} if name.endswith("full layer") else set()
        assert differs - {"protocol"} <= {"dropout", "stretch"} | layer
        assert model.keys() - before.keys() <= {"first_unit", "spurious", "kernel_size", "stride"}
        if name.endswith("adapting"):  # a full layer, as it was judged
            assert (model["kernel_size"], model["n_hidden"]) == (0, 256)


def test_other_windows_have_the_recipe_that_the_contest_found():
    windows, found = content("windows"), contest.chosen(read_table("contest_hd"))
    for window in windows["grid"]["window"].values():
        model = windows["fixed"] | window
        differs = {name for name, value in found["shared weights"].items() if model[name] != value}
        differs |= {"n_layers"}
        assert differs <= {"n_hidden", "kernel_size", "stride", "n_layers", "n_delays"}
    validated = {"validation", "validation_speakers", "score_test", "epochs"}
    fixed = content("contest")["fixed"]
    assert {name: windows["fixed"][name] for name in validated} == {
        name: fixed[name] for name in validated
    }


def test_words_move_as_far_on_700_channels_as_on_183():
    found = contest.inputs()["grid"]["input"]
    units = {name: p["shift_units"] * p.get("pool_units", 3) for name, p in found.items()}
    assert [*units.values()] == [24, 24, 24]  # of the 700


ADAPTS = {"delays, adapting": {"adapt_ms": 300.0, "epochs": 40}}
FEWER = {"128 neurons, stretched": {"adapt_ms": 300.0, "n_hidden": 128, "epochs": 40}}


@pytest.mark.parametrize("name", ["judged", "adapting", "benchmark", "best"])
def test_what_is_written_once_the_tables_are_whole_can_run(name, home, data_dir):
    networks = contest.chosen(table_of(BEST))
    given = {"adapting": (ADAPTS,), "benchmark": (ADAPTS, FEWER)}.get(name, ())
    content = getattr(contest, name)(networks, *given)
    path = home.folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    n_runs = {"judged": 72, "adapting": 48, "benchmark": 40, "best": 5}
    assert len(read_sweep(path).runs) == n_runs[content["name"]]


def test_the_benchmark_has_five_seeds_of_each_network_and_no_speaker_held_out():
    content = contest.benchmark(contest.chosen(table_of(BEST)), ADAPTS, FEWER)
    five = [name for name, seeds in content["seeds"].items() if seeds == [0, 1, 2, 3, 4]]
    wanted = {"study", "shared weights", "no shared weights", "two hidden layers"}
    wanted |= {"delays, adapting", "delays, adapting, 128 neurons", *FEWER}
    assert {*five} == wanted
    epochs = {name: model["epochs"] for name, model in content["grid"]["model"].items()}
    assert epochs.pop("study") == 30
    forty = ["delays, adapting", "delays, adapting, 128 neurons", *FEWER]
    assert [epochs.pop(name) for name in forty] == [40, 40, 40]
    assert {*epochs.values()} == {60}
    assert content["fixed"]["protocol"] == "official"
    assert content["fixed"]["language"] == "both"
    assert "held_out" not in content["grid"]


def test_the_augmented_circuit_is_the_tuned_one_with_the_ladder_s_words():
    before, now = content("circuit_bits"), content("circuit_augmented")
    ladder = content("ladder")["grid"]["rung"]["augmentation"]
    tuned = before["fixed"] | before["grid"]["circuit"]["3/8/12, tuned"]
    assert now["fixed"] == tuned | ladder
    assert now["grid"]["held_out"] == before["grid"]["held_out"]
