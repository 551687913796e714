"""What the ten folds have selected: the frozen tables follow from class scores and by the rule."""

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from shd_helpers.study import read_table
from shd_helpers.study.tables import plan_of
from tests import RESULTS

PLAN = plan_of("screening")
RULE = PLAN["rule"]
ENSEMBLES = plan_of("selection")["ensembles"]
ENTRIES = pd.read_csv(RESULTS / "selection.csv")
ACCURACIES = 100 * ENTRIES.pivot(index="speaker", columns="entry", values="accuracy")
SIZES = ENTRIES.groupby("entry").parameters.first()
CHOSEN = pd.read_csv(RESULTS / "selected.csv")
SELECTED = CHOSEN[CHOSEN.speaker.isna()].set_index("what").selected
WITHOUT = CHOSEN.dropna(subset="speaker").set_index("speaker").selected


def winner_of(entries, reference, most_parameters, accuracies=ACCURACIES):
    """Return what the rule of evidence/README.md selects."""
    ahead = accuracies[entries].sub(accuracies[reference], axis=0)
    is_able = (ahead.mean() >= RULE["margin"]) & ((ahead > 0).mean() > 0.5)
    able = accuracies[entries].mean()[is_able & (SIZES[entries] <= most_parameters)]
    if able.empty:
        return reference
    tied = able[able.max() - able <= RULE["tie"]]
    return min(tied.index, key=lambda name: (SIZES[name], -tied[name]))


def test_the_rule_selects_what_is_committed():
    all_entries = [*SIZES.index]
    singles = [name for name in all_entries if " seeds of " not in name]
    reference, small = RULE["reference"], PLAN["small"]
    two = [small["reference"], small["name"]]
    for what, entries, other, most in (
        ("winner", all_entries, reference, RULE["most_parameters"]),
        ("best single network", singles, reference, PLAN["most_parameters_single"]),
        ("small network", two, two[0], small["most_parameters"]),
    ):
        assert winner_of(entries, other, most) == SELECTED[what]
    for speaker, selected in WITHOUT.items():
        others = ACCURACIES.drop(index=speaker)
        assert winner_of(all_entries, reference, RULE["most_parameters"], others) == selected


def scored(names, members, **where):
    """Return whether the mean scores of an ensemble are right, and the speaker, by utterance."""
    scores = []
    for candidate, seeds in members.items():
        for name in names:
            runs = read_table(name)
            for column, value in where.items():
                runs = runs[runs[column].astype(str) == str(value)]
            runs = runs[(runs.candidate == candidate) & runs.seed.isin(seeds)]
            with h5py.File(RESULTS / f"{name}_scores.h5") as file:
                for run in runs["hash"]:
                    speakers = file[run]["speaker"][:]
                    # runs have the same order within the utterances of the held-out speaker only
                    kept = np.isin(speakers, where.get("held_out", speakers))
                    scores.append(file[run]["scores"][:][kept].astype(float))
                    labels = file[run]["label"][:][kept]
    assert len(scores) == sum(map(len, members.values()))
    return np.mean(scores, axis=0).argmax(1) == labels, speakers[kept]


@pytest.mark.parametrize("entry", ENSEMBLES)
def test_an_accuracy_of_an_ensemble_is_that_of_its_mean_scores(entry):
    for speaker, accuracy in ACCURACIES[entry].items():
        right, _ = scored(["selection_hd"], ENSEMBLES[entry], validation_speakers=speaker)
        assert accuracy == pytest.approx(100 * right.mean(), abs=0.3)  # scores are rounded


def test_the_official_accuracy_of_the_winner_is_that_of_its_mean_scores():
    right, speakers = scored(["judged_official_hd"], ENSEMBLES[SELECTED["winner"]])
    official = pd.read_csv(RESULTS / "official.csv").query("what == 'winner'")
    told = official[official.language == "both"].set_index("speakers").accuracy
    assert told["all"] == pytest.approx(100 * right.mean(), abs=0.1)
    assert told["4 and 5"] == pytest.approx(100 * right[np.isin(speakers, (4, 5))].mean(), abs=0.1)


@pytest.mark.parametrize(("table", "n"), [("nested", 10), ("judged_winner", 12)])
def test_a_speaker_is_judged_by_networks_that_others_selected(table, n):
    judged = pd.read_csv(RESULTS / f"{table}.csv").set_index("speaker")
    assert len(judged) == n
    for speaker, row in judged.iterrows():
        assert row.selected == (WITHOUT[speaker] if table == "nested" else SELECTED["winner"])
        names = ["judged_nested_hd"] if row.selected != SELECTED["winner"] else []
        names.append("judged_speakers_hd")
        right, _ = scored(names, ENSEMBLES[row.selected], held_out=speaker)
        assert row.test_unseen_accuracy == pytest.approx(right.mean(), abs=0.004)


def test_contrasts_are_paired_by_speaker():
    nested = pd.read_csv(RESULTS / "nested.csv").set_index("speaker").test_unseen_accuracy
    contrasts = pd.read_csv(RESULTS / "nested_contrasts.csv")
    assert contrasts.against.tolist() == PLAN["contrasts"]
    final = read_table("final_hd").query("input == '183 x 333'").assign(model="study")
    runs = pd.concat([final, read_table("reference_hd")])
    runs = runs[runs.seed.isin(PLAN["judged_seeds"])]
    for row in contrasts.itertuples():
        of_other = runs[runs.model == row.against].groupby("held_out").test_unseen_accuracy.mean()
        differences = 100 * (nested - of_other.loc[nested.index])
        assert row.mean == pytest.approx(differences.mean())
        assert row.p == pytest.approx(ttest_1samp(differences, 0).pvalue)
