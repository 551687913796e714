"""The rule of the selection, its nested use, and the steps of scripts/selection.py.

The oracles are loops over made-up tables that share no code with the package.
"""

import io
from fractions import Fraction

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML
from shd_circuit.quantize import integer_network

from scripts import selection as steps
from shd_helpers.network import Quantization, build_network
from shd_helpers.study.class_scores import ClassScores
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.selection import (
    Entry,
    Folds,
    Rule,
    SelectionError,
    accuracy_table,
    entries_of,
    nested_accuracies,
    nested_selection,
    parameters_of,
    select,
    verdicts,
)
from shd_helpers.study.selection_tables import read_folds, read_judged
from shd_helpers.study.tables import TableError
from shd_helpers.sweeps.sweep_file import SWEEPS, read_yaml

RULE = Rule("reference", margin=1.0, tie=0.5, most_parameters=1000)
NAMES = ("a", "reference", "b", "c")
PLAN = read_yaml(SWEEPS / "screening.yaml")["plan"]


def table(**columns):
    """Return accuracies by speaker, given in percent."""
    n = len(next(iter(columns.values())))
    return pd.DataFrame(columns, index=pd.RangeIndex(n, name="speaker")) / 100


def naive(accuracies, parameters, rule):
    """Select by the rule's sentences, in exact arithmetic, one entry after the other."""
    percent = {
        name: [Fraction(round(value * 1000), 10) for value in accuracies[name]]
        for name in accuracies
    }
    mean = {name: sum(values) / len(values) for name, values in percent.items()}
    eligible = []
    for name, values in percent.items():
        pairs = zip(values, percent["reference"], strict=True)
        n_ahead = sum(1 for own, other in pairs if own > other)
        if name == "reference" or parameters[name] > rule.most_parameters:
            continue
        if mean[name] < mean["reference"] + Fraction(rule.margin):
            continue
        if n_ahead > len(values) / 2:
            eligible.append(name)
    if not eligible:
        return "reference"
    best = max(mean[name] for name in eligible)
    winner = None
    for name in eligible:
        if mean[name] < best - Fraction(rule.tie):
            continue
        if winner is None or parameters[name] < parameters[winner]:
            winner = name
        elif parameters[name] == parameters[winner] and mean[name] > mean[winner]:
            winner = name
    return winner


def test_the_rule_selects_what_its_sentences_say():
    """Random tables of few different values, so that ties and limits come up often."""
    rng = np.random.default_rng(0)
    winners = set()
    for _ in range(2000):
        n_speakers = int(rng.integers(2, 7))
        values = rng.integers(0, 9, (n_speakers, len(NAMES))) / 2 + 80
        accuracies = table(**dict(zip(NAMES, values.T, strict=True)))
        parameters = dict(zip(NAMES, rng.choice([10, 20, 2000], len(NAMES)).tolist(), strict=True))
        wanted = naive(accuracies, parameters, RULE)
        assert select(accuracies, parameters, RULE) == wanted, (accuracies, parameters)
        winners.add(wanted)
    assert winners == set(NAMES)


SIZES = {"reference": 100, "large": 900, "small": 50, "huge": 1001}


@pytest.mark.parametrize(
    "accuracies, winner",
    [
        # no lead of one percentage point: the idea is rejected
        ({"reference": [80, 80, 80], "large": [81, 81, 80.9]}, "reference"),
        ({"reference": [80, 80, 80], "large": [81, 81, 81]}, "large"),
        # a lead that one of three speakers makes alone
        ({"reference": [80, 80, 80], "large": [80, 80, 99]}, "reference"),
        ({"reference": [80, 80], "large": [80, 99]}, "reference"),  # half isn't more than half
        # tied: the smaller one wins, although it is a little worse
        ({"reference": [80, 80, 80], "large": [85, 85, 85], "small": [84.5, 84.5, 84.5]}, "small"),
        ({"reference": [80, 80, 80], "large": [85, 85, 85], "small": [84.4, 84.4, 84.4]}, "large"),
        # a tied one that isn't eligible itself
        ({"reference": [80, 80, 80], "large": [81, 81, 81], "small": [80.6, 80.6, 80.6]}, "large"),
        # too many parameters
        ({"reference": [80, 80, 80], "huge": [99, 99, 99], "small": [82, 82, 82]}, "small"),
    ],
)
def test_margin_tie_and_size(accuracies, winner):
    assert select(table(**accuracies), SIZES, RULE) == winner


def test_what_cannot_be_selected_yet_says_so():
    with pytest.raises(SelectionError, match="the reference 'reference' isn't among the entries"):
        select(table(large=[80.0]), SIZES, RULE)
    with pytest.raises(SelectionError, match="an accuracy is missing"):
        select(table(reference=[80.0, 80.0], large=[80.0, np.nan]), SIZES, RULE)


def test_the_judged_speaker_has_no_say_in_the_nested_selection():
    rng = np.random.default_rng(1)
    values = rng.integers(0, 9, (7, len(NAMES))) / 2 + 80
    accuracies = table(**dict(zip(NAMES, values.T, strict=True)))
    parameters = dict.fromkeys(NAMES, 10)
    found = nested_selection(accuracies, parameters, RULE)
    for speaker in accuracies.index:
        others = accuracies[accuracies.index != speaker]
        assert found[speaker] == naive(others, parameters, RULE)
        changed = accuracies.copy()
        changed.loc[speaker] = rng.random(len(NAMES))
        assert nested_selection(changed, parameters, RULE)[speaker] == found[speaker]
    assert found.nunique() > 1  # some speaker's own fold would have mattered


def scored(behind, speaker=0, label=None):
    """Return class scores of two classes; `behind` is how far class 1 is ahead of class 0."""
    scores = np.array([[-max(gap, 0), min(gap, 0)] for gap in behind], np.float16)
    n = len(behind)
    return ClassScores(
        scores,
        np.zeros(n, int) if label is None else np.array(label),
        np.zeros(n, int),
        np.arange(n),
        np.full(n, speaker),
        ("one", "two"),
    )


# Two speakers; "a" has two seeds, which are wrong about different utterances.
FOLDS = Folds(
    {
        ("a", 0, 0): scored([-1, 2, -5, -5]),
        ("a", 0, 1): scored([1, -3, -5, 1]),
        ("b", 0, 0): scored([4, 4, -5, -5]),
        ("a", 1, 0): scored([-1, -1], speaker=1),
        ("a", 1, 1): scored([1, 1], speaker=1),
        ("b", 1, 0): scored([-3, 3], speaker=1),
    },
    {"a": 10, "b": 20},
)
ENTRIES = entries_of(
    {
        "singles": {"a": {"a": [0, 1]}, "b": {"b": [0]}},
        "ensembles": {"two seeds": {"a": [0, 1]}, "kinds": {"a": [0, 1], "b": [0]}},
    }
)


def test_entries_are_scored_by_seeds_or_by_their_members_scores_together():
    found = accuracy_table(FOLDS, ENTRIES)
    assert found.index.tolist() == [0, 1]
    assert found["a"].tolist() == [(3 / 4 + 2 / 4) / 2, (1 + 0) / 2]
    assert found["b"].tolist() == [2 / 4, 1 / 2]
    # sums over both seeds: 0 (a tie, which class 0 wins), -1, -10, -4; then 0, 0
    assert found["two seeds"].tolist() == [1, 1]
    # with b: 4, 3, -15, -9; then -3, 3
    assert found["kinds"].tolist() == [2 / 4, 1 / 2]
    assert parameters_of(FOLDS, ENTRIES) == {"a": 10, "b": 20, "two seeds": 20, "kinds": 40}


def test_a_missing_fold_is_named():
    runs = {key: value for key, value in FOLDS.runs.items() if key != ("a", 1, 1)}
    with pytest.raises(
        SelectionError,
        match=r"the fold of speaker 1 is missing for 'a' with seed 1\. Start the sweep again",
    ):
        accuracy_table(Folds(runs, FOLDS.parameters), ENTRIES)
    with pytest.raises(SelectionError, match="speaker 7 is missing for 'a' with seed 0, 'a' with"):
        accuracy_table(FOLDS, ENTRIES, speakers=[0, 7])


def test_an_entry_has_members():
    with pytest.raises(ValueError, match="at least one candidate with a seed"):
        Entry({"a": []})
    with pytest.raises(ValueError, match="members a, b: several are an ensemble only"):
        Entry({"a": [0], "b": [0]})


# --- tables of sweeps --------------------------------------------------------------------------


def write(folder, name, runs, **columns):
    """Write a table with its class scores; `runs` has them by candidate, speaker and seed."""
    rows = []
    with h5py.File(folder / f"{name}_scores.h5", "w") as file:
        for number, ((candidate, speaker, seed), of_run) in enumerate(runs.items()):
            group = file.create_group(f"hash{number}")
            for column in ("scores", "label", "file", "row", "speaker"):
                group[column] = getattr(of_run, column)
            group.attrs["class_names"] = list(of_run.class_names)
            row = {"candidate": candidate, "configuration": f"run {number}", "seed": seed}
            row |= {
                "hash": f"hash{number}",
                "status": "done",
                "error": "",
                "run_name": f"r{number}",
            }
            row |= {"validation": "speaker", "validation_speakers": str(speaker)}
            row |= {"protocol": "official", "held_out": -1, "parameters": 10}
            row |= {"validation_accuracy": float(of_run.is_correct.mean()), **columns}
            rows.append(row)
    path = folder / f"{name}.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_folds_are_read_from_several_tables(tmp_path):
    keys = list(FOLDS.runs)
    first = write(tmp_path, "one", {key: FOLDS.runs[key] for key in keys[:3]})
    second = write(tmp_path, "two", {key: FOLDS.runs[key] for key in keys[3:]})
    found = read_folds([first, second])
    assert set(found.runs) == set(keys) and found.speakers == [0, 1]
    assert accuracy_table(found, ENTRIES).equals(accuracy_table(FOLDS, ENTRIES))
    with pytest.raises(SelectionError, match=r"one\.csv: run 0 appears twice"):
        read_folds([first, first])


@pytest.mark.parametrize("read", [read_folds, read_judged])
def test_one_candidate_has_one_number_of_parameters(tmp_path, read):
    """Two networks of one name would be mixed up, as those of two sweeps may be."""
    columns = {"protocol": "leave_one_speaker_out", "held_out": 0} if read is read_judged else {}
    first = write(tmp_path, "one", {("a", 0, 0): FOLDS.runs["a", 0, 0]}, **columns)
    second = write(
        tmp_path, "two", {("a", 0, 1): FOLDS.runs["a", 0, 1]}, **columns, parameters=2000
    )
    assert read([first]).parameters == {"a": 10}
    with pytest.raises(
        SelectionError,
        match=r"two\.csv: run 0: 'a' has 2,000 parameters, and 10 in another run\. Give different",
    ):
        read([first, second])


@pytest.mark.parametrize(
    "columns, message",
    [
        (
            {"validation": "random", "validation_speakers": ""},
            "no single speaker was held out.*who",
        ),
        ({"validation_speakers": "0,1"}, "no single speaker was held out"),
        ({"validation_speakers": "1"}, "aren't those of speaker 1 in the training file"),
        ({"validation_accuracy": 0.1}, "give another accuracy than its row has"),
    ],
)
def test_a_run_that_is_no_fold_is_refused(tmp_path, columns, message):
    """Also one of a data set without speakers, whose utterances can be drawn at random only."""
    path = write(tmp_path, "one", {("a", 0, 0): scored([-1, 1])}, **columns)
    with pytest.raises(SelectionError, match=rf"one\.csv: run 0: .*{message}"):
        read_folds([path])


def test_an_interrupted_sweep_says_what_is_missing(tmp_path):
    path = write(tmp_path, "one", FOLDS.runs)
    with h5py.File(tmp_path / "one_scores.h5", "r+") as file:
        del file["hash2"]
    with pytest.raises(TableError, match=r"1 runs are missing\. Run the sweep again: only these"):
        read_folds([path])
    with pytest.raises(TableError, match=r"no such table\. Run its sweep"):
        read_folds([tmp_path / "absent.csv"])


# --- what was selected, judged -----------------------------------------------------------------


def test_only_the_held_out_speaker_is_judged(tmp_path):
    both = scored([-1, 1, -1])
    both.speaker[:] = [4, 4, 5]
    held_out = {"protocol": "leave_one_speaker_out", "held_out": 4}
    path = write(tmp_path, "judged", {("a", 4, 0): both}, **held_out)
    judged = read_judged([path])
    assert judged.accuracy(Entry({"a": [0]}), 4) == 1 / 2
    path = write(tmp_path, "official", {("a", 4, 0): both})
    with pytest.raises(SelectionError, match=r"run 0: its protocol is official, not leave_one"):
        read_judged([path])
    path = write(tmp_path, "again", {("a", 4, 0): both}, **held_out)
    with pytest.raises(SelectionError, match=r"again\.csv: run 0 appears twice"):
        read_judged([path, path])


def judged_runs(n_speakers=3, seeds=(0, 1, 2)):
    rng = np.random.default_rng(2)
    return Folds(
        {
            (name, speaker, seed): scored(rng.normal(-0.5, 2, 30), speaker)
            for name in ("a", "b")
            for speaker in range(n_speakers)
            for seed in seeds
        },
        {"a": 10, "b": 20},
    )


def test_each_speaker_is_judged_by_what_the_others_selected():
    judged = judged_runs()
    selected = pd.Series({0: "a", 1: "b", 2: "a"}, name="selected")
    found = nested_accuracies(selected, ENTRIES, judged, [0, 1, 2])
    assert len(found) == 9
    for row in found.itertuples():
        scores = judged.runs[selected[row.speaker], row.speaker, row.seed]
        right = [utterance[0] >= utterance[1] for utterance in scores.scores]
        assert row.test_unseen_accuracy == sum(right) / len(right)
        assert row.selected == selected[row.speaker]


def test_an_ensemble_is_judged_once_with_the_seeds_that_are_there():
    judged = judged_runs()
    five = {"five": Entry({"a": [0, 1, 2, 3, 4]}, is_ensemble=True), "b": Entry({"b": [0]})}
    selected = pd.Series({0: "five", 1: "b"}, name="selected")
    found = nested_accuracies(selected, five, judged, [0, 1, 2]).set_index("speaker")
    assert found.seed.tolist() == [0, 0]
    total = sum(judged.runs["a", 0, seed].scores.astype(float) for seed in range(3))
    assert found.test_unseen_accuracy[0] == (total[:, 0] >= total[:, 1]).mean()
    of_seeds = [judged.runs["b", 1, seed].is_correct.mean() for seed in range(3)]
    assert found.test_unseen_accuracy[1] == pytest.approx(np.mean(of_seeds))


def test_verdicts_follow_from_the_adjusted_interval():
    """One opponent is 5 points behind, one level, one ahead, and one differs at random."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        [(speaker, seed) for speaker in range(8) for seed in range(3)], columns=["speaker", "seed"]
    )
    own = 0.9 + rng.normal(0, 0.01, len(frame))
    noise = rng.normal(0, 0.001, (3, len(frame)))
    others = {
        "worse": own - 0.05 + noise[0],
        "equal": own + noise[1],
        "better": own + 0.05 + noise[2],
        "random": own + rng.normal(0, 0.2, len(frame)),
    }
    nested = frame.assign(input="nested", test_unseen_accuracy=own)
    table = pd.concat(
        [frame.assign(input=name, test_unseen_accuracy=each) for name, each in others.items()]
    )
    found = verdicts(nested, table, [*others], margin=2.0)
    assert found.verdict.tolist() == ["shown", "level", "shown", "undecided"]
    assert found["mean"].iloc[0] == pytest.approx(5, abs=0.2)
    # with one value for each speaker, the others' seeds are averaged
    once = nested.groupby(["input", "speaker"]).test_unseen_accuracy.mean().reset_index()
    again = verdicts(once.assign(seed=0), table, [*others], margin=2.0)
    np.testing.assert_allclose(again["mean"], found["mean"])
    assert found["mean"].iloc[2] == pytest.approx(-5, abs=0.2)
    with pytest.raises(SelectionError, match="'worse' has not been judged on speaker 7"):
        verdicts(nested, table[table.speaker < 7], ["worse"], margin=2.0)


# --- the plan and its steps --------------------------------------------------------------------


def recipes():
    """Return the flat settings of all candidates, by sweep and name."""
    for name in ("screening", "selection_small", "selection_today"):
        content = read_yaml(SWEEPS / f"{name}.yaml")
        for candidate, changes in content["grid"]["candidate"].items():
            yield name, candidate, content["fixed"] | changes


def test_candidates_are_the_planned_ones_and_no_run_reads_the_test_file():
    content = read_yaml(SWEEPS / "screening.yaml")
    listed = [name for names in PLAN["kinds"].values() for name in names]
    assert listed == [*content["grid"]["candidate"]]
    assert len(listed) + 1 <= 10  # and the small one
    for name, _, settings in recipes():
        assert settings["score_test"] is False and settings["validation"] == "speaker", name
        assert settings["language"] == "both"
    for name in ("selection_small", "selection_today"):
        speakers = read_yaml(SWEEPS / f"{name}.yaml")["grid"]["validation_speakers"]
        assert [int(speaker) for speaker in speakers] == PLAN["speakers"]


def test_today_s_networks_are_those_of_the_benchmark():
    benchmark = read_yaml(SWEEPS / "benchmark.yaml")
    assert "selection_today" in [name for name, _, _ in recipes()]
    for name, candidate, settings in recipes():
        if name == "selection_today":
            wanted = benchmark["grid"]["model"][candidate]
            usual = Recipe().flat()
            left_out = {"validation", "score_test"}
            of_both = (settings.keys() | wanted.keys()) - left_out - benchmark["fixed"].keys()
            for key in of_both:
                assert settings.get(key, usual[key]) == wanted.get(key, usual[key]), key


def network_of(settings):
    recipe = Recipe.from_flat(settings | {"validation_speakers": "7"})
    generator = torch.Generator().manual_seed(0)
    grid = recipe.input
    return recipe, build_network(recipe.network, grid.n_units, 20, grid.step_ms, generator)


def test_candidates_have_the_parameters_that_the_plan_allows():
    sizes = {}
    for _, candidate, settings in recipes():
        # the readout has no parameters, and one of those in the plan was removed
        model = network_of(settings | {"readout": "membrane"})[1]
        sizes[candidate] = sum(parameter.numel() for parameter in model.parameters())
    assert max(sizes.values()) <= PLAN["most_parameters_single"]
    assert 5 * max(sizes.values()) <= PLAN["rule"]["most_parameters"]
    assert sizes[PLAN["small"]["name"]] <= PLAN["small"]["most_parameters"]
    assert sizes[PLAN["small"]["reference"]] <= PLAN["small"]["most_parameters"]


def test_the_circuit_can_run_the_small_candidate():
    bits = Quantization.named("5-8-16 product")
    settings = {name: settings for _, name, settings in recipes()}[PLAN["small"]["name"]]
    recipe, model = network_of(settings)
    assert bits.refusals(recipe.network, recipe.input) == []
    circuit = integer_network(model, recipe.network, recipe.input, bits)
    assert circuit.is_membrane


def made_up(candidates, speakers, accuracy_of):
    """Return folds whose accuracies are given by a function of candidate, speaker and seed."""
    runs = {}
    for name, seeds in candidates.items():
        for speaker in speakers:
            for seed in seeds:
                n_right = round(100 * accuracy_of(name, speaker, seed))
                runs[name, speaker, seed] = scored([-1] * n_right + [1] * (100 - n_right), speaker)
    return runs


def test_the_best_of_each_kind_goes_on(tmp_path, monkeypatch):
    accuracy = {name: 0.7 for names in PLAN["kinds"].values() for name in names}
    accuracy["adaptive, softmax"] = 0.8
    accuracy["shared"] = 0.75
    accuracy["shared, adaptive"] = 0.75  # as good, and smaller
    seeds = {name: [0] for name in accuracy}
    runs = made_up(seeds, (7, 10), lambda name, *_: accuracy[name])
    sizes = {name: 100 - len(name) for name in accuracy}
    sizes["shared, adaptive"] = 1
    wanted = {"full": "adaptive, softmax", "shared": "shared, adaptive"}
    assert steps.candidates_of(Folds(runs, sizes), PLAN) == wanted
    # and from the table on disk to the next sweep's file
    monkeypatch.setattr(steps, "read_folds", lambda _: Folds(runs, sizes))
    sweeps = tmp_path / "sweeps"
    sweeps.mkdir()
    screening = (SWEEPS / "screening.yaml").read_text(encoding="utf-8")
    (sweeps / "screening.yaml").write_text(screening, encoding="utf-8")
    written = read_yaml(steps.write_selection(sweeps))
    of_screening = YAML(typ="safe", pure=True).load(io.StringIO(screening))
    for name in wanted.values():
        assert written["grid"]["candidate"][name] == of_screening["grid"]["candidate"][name]
    assert written["fixed"] == of_screening["fixed"]
    assert written["grid"]["validation_speakers"] == [*map(str, PLAN["speakers"])]
    assert written["seeds"] == [0, 1, 2]
    assert written["keep_scores"] and written["keep_predictions"]
    entries = entries_of(written["plan"])
    assert len(entries) == 9
    assert all(len(entry.runs) <= 5 for entry in entries.values())
    del runs["shared", 10, 0]
    with pytest.raises(SelectionError, match="fold of speaker 10 is missing for 'shared' with"):
        steps.candidates_of(Folds(runs, sizes), PLAN)


def test_winners_of_all_of_single_and_of_small_networks():
    two = ("adaptive", "shared")
    plan = PLAN | {"speakers": [0, 1, 2]}
    entries = entries_of(steps.entries_of_two(two, plan))
    seeds = {"reference": [0], "small": [0], "small, one cycle": [0]}
    seeds |= {name: [0, 1, 2] for name in two}
    accuracy = {"reference": 0.8, "small": 0.7, "small, one cycle": 0.75}
    accuracy |= {"adaptive": 0.85, "shared": 0.82}
    runs = made_up(seeds, (0, 1, 2), lambda name, *_: accuracy[name])
    sizes = {"reference": 86420, "small": 10840, "small, one cycle": 10840}
    sizes |= {"adaptive": 190632, "shared": 21640}
    found = steps.find_winners(Folds(runs, sizes), plan, entries)
    assert found[steps.WINNER] == "adaptive"  # its ensembles of equal seeds are no better
    assert found[steps.SINGLE] == "adaptive"
    assert found[steps.SMALL] == "small, one cycle"
    # seeds that err apart: each is wrong about other utterances
    for (name, speaker, seed), of_run in runs.items():
        if name == "adaptive":
            gaps = np.full(100, -1.0)
            gaps[10 * seed : 10 * seed + 15] = 1
            runs[name, speaker, seed] = scored(gaps, speaker)
            assert runs[name, speaker, seed].is_correct.mean() == of_run.is_correct.mean()
    found = steps.find_winners(Folds(runs, sizes), plan, entries)
    # three seeds of it are as accurate, and have more parameters
    assert found[steps.WINNER] == "three seeds of adaptive and two of shared"
    assert found[steps.SINGLE] == "adaptive"
    accuracy["reference"] = 1.0
    runs |= made_up({"reference": [0]}, (0, 1, 2), lambda name, *_: accuracy[name])
    assert steps.find_winners(Folds(runs, sizes), plan, entries)[steps.WINNER] == "reference"
