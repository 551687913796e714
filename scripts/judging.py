"""Judge what was selected: on the official test file, and with speakers held out.

``python -m scripts.judging sweeps`` reads ``results/selected.csv`` (``scripts.selection``). It
writes ``sweeps/judged_official.yaml`` and ``sweeps/judged_speakers.yaml``, and
``sweeps/judged_nested.yaml`` if, for some speaker, the other nine folds selected a candidate that
isn't part of the winner. Commit and run these sweeps, then:

``python -m scripts.judging official`` writes ``results/official.csv``.
``python -m scripts.judging nested`` writes ``results/nested.csv``, ``results/nested_contrasts.csv``
and ``results/judged_winner.csv``.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from shd_judge import interval

from scripts.benchmark_speakers import UNSEEN
from scripts.selection import (
    KEPT,
    SINGLE,
    WINNER,
    read_selected_without,
    read_winners,
    take_step,
    ten_folds,
    write_yaml,
)
from scripts.write_tables import write_csv
from shd_helpers.command import run
from shd_helpers.data.class_names import LANGUAGES
from shd_helpers.study.class_scores import ClassScores, mean_of_scores
from shd_helpers.study.predictions import collect_predictions, speaker_accuracies
from shd_helpers.study.selection import (
    Entry,
    Folds,
    mean_over_seeds,
    nested_accuracies,
    verdicts,
)
from shd_helpers.study.selection_tables import read_judged, read_official
from shd_helpers.study.tables import read_table
from shd_helpers.sweeps.sweep_file import SWEEPS, read_yaml

JUDGED = "judged_speakers"
JUDGED_NESTED = "judged_nested"
JUDGED_OFFICIAL = "judged_official"
# Networks of the selection that were judged before it, with the same settings, in these tables.
JUDGED_BEFORE = ("reference", "small")
BEFORE_BY_SPEAKER = "reference_hd"
BEFORE_OFFICIAL = "benchmark_hd"
N_SPEAKERS = 12  # of the Heidelberg Digits
_WHAT = {
    JUDGED_OFFICIAL: "20 classes, the official split",
    JUDGED: "ten English digits, every speaker held out",
    JUDGED_NESTED: "ten English digits, speakers for whom nine folds select another entry",
}
_COMMENT = (
    "# What the selection of sweeps/screening.yaml has selected, judged once: {}.\n"
    "# Written by `python -m scripts.judging sweeps`, before its first run.\n"
)


def _recipes(sweeps: Path, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the settings of candidates as a sweep that judges them needs them."""
    of_folds = ("dataset", "language", "validation", "score_test")
    recipes = {}
    for sweep in ("selection", "selection_small"):
        content = read_yaml(sweeps / f"{sweep}.yaml")
        for candidate, changes in content["grid"]["candidate"].items():
            if candidate in names:
                settings = {**content["fixed"], **changes}
                kept = {key: value for key, value in settings.items() if key not in of_folds}
                recipes[candidate] = kept
    return recipes


def _new_members(entries: Mapping[str, Entry], names: Sequence[str]) -> dict[str, set[int]]:
    """Return the candidates of some entries that aren't judged yet, with their seeds."""
    members: dict[str, set[int]] = {}
    for name in names:
        for candidate, seeds in entries[name].members.items():
            if candidate not in JUDGED_BEFORE:
                members.setdefault(candidate, set()).update(seeds)
    return members


def write_judging(sweeps: Path = SWEEPS) -> list[Path]:
    """Write the sweeps that judge what was selected, from ``results/selected.csv``.

    On the official split, these are the members of a winner that is an ensemble, with the seeds
    that it has, and single networks that were selected, with all of `official_seeds`. With every
    speaker held out, they are the members of the winner. A candidate that isn't part of the winner,
    and that the other nine folds select for some speakers, is judged on these speakers alone.
    Networks of `JUDGED_BEFORE` are judged already.

    Parameters
    ----------
    sweeps : Path
        The folder of the sweeps' files.

    Returns
    -------
    list of Path
        The files that are needed. Those of an earlier selection that aren't are removed.

    Raises
    ------
    SelectionError, TableError
        If a fold or ``results/selected.csv`` is missing.
    """
    plan, entries, _ = ten_folds()
    winners = read_winners()
    without = read_selected_without()
    of_winner = _new_members(entries, [winners[WINNER]])
    only_nested = _new_members(entries, [*without])
    for name in of_winner:
        only_nested.pop(name, None)
    speakers = [
        speaker for speaker, name in without.items() if only_nested.keys() & entries[name].members
    ]
    contents = {
        JUDGED_OFFICIAL: _official_sweep(sweeps, plan, entries, winners),
        JUDGED: _speakers_sweep(sweeps, plan, [*of_winner], [*range(N_SPEAKERS)]),
        JUDGED_NESTED: _speakers_sweep(sweeps, plan, [*only_nested], sorted(speakers)),
    }
    paths = []
    for name, content in contents.items():
        path = sweeps / f"{name}.yaml"
        if content["grid"]["candidate"]:
            comment = _COMMENT.format(_WHAT[name])
            whole = {"name": name, "notebook": "03_model_training", **content, **KEPT}
            paths.append(write_yaml(path, comment, whole))
        else:
            path.unlink(missing_ok=True)  # `write_nested` would read its table
    return paths


def _official_sweep(
    sweeps: Path, plan: Mapping[str, Any], entries: Mapping[str, Entry], winners: pd.Series
) -> dict[str, Any]:
    """Return the settings, candidates and seeds for the official split."""
    seeds = {}
    for name, of_member in _new_members(entries, [winners[WINNER]]).items():
        seeds[name] = sorted(of_member)
    singles = [name for name in winners if not entries[name].is_ensemble]
    for name in _new_members(entries, singles):
        seeds[name] = [*plan["official_seeds"]]
    fixed = {"dataset": "hd", "protocol": "official", "language": "both"}
    return {
        # as the sweep benchmark, so that all networks train on equally many utterances
        "fixed": {**fixed, "validation_fraction": 0.01},
        "grid": {"candidate": _recipes(sweeps, [*seeds])},
        "seeds": {**seeds, "others": [*plan["official_seeds"]]},
    }


def _speakers_sweep(
    sweeps: Path, plan: Mapping[str, Any], names: Sequence[str], speakers: Sequence[int]
) -> dict[str, Any]:
    """Return the settings, candidates and seeds for held-out speakers."""
    return {
        "fixed": {"dataset": "hd", "protocol": "leave_one_speaker_out"},
        "grid": {"candidate": _recipes(sweeps, names), "held_out": [*speakers]},
        "seeds": plan["judged_seeds"],
    }


def official_utterances(entry: Entry, runs: Mapping[tuple[str, int], ClassScores]) -> pd.DataFrame:
    """Return which official test utterances an entry classifies correctly.

    Parameters
    ----------
    entry : Entry
        A single candidate, or an ensemble, whose class scores are averaged.
    runs : mapping
        Class scores by candidate and seed, from `read_official`.

    Returns
    -------
    DataFrame
        `seed` (0 for an ensemble), `label` (the class name), `speaker` and `right`.
    """
    members = [(seed, runs[name, seed]) for name, seed in entry.runs]
    if entry.is_ensemble:
        members = [(0, mean_of_scores([scores for _, scores in members]))]
    parts = []
    for seed, scores in members:
        columns = {
            "label": [scores.class_names[k] for k in scores.label],
            "speaker": scores.speaker,
        }
        parts.append(pd.DataFrame({**columns, "right": scores.is_correct, "seed": seed}))
    return pd.concat(parts, ignore_index=True)


def official_accuracies(utterances: pd.DataFrame) -> pd.DataFrame:
    """Return accuracies on the official test file by language and group of speakers.

    Parameters
    ----------
    utterances : DataFrame
        From `official_utterances`.

    Returns
    -------
    DataFrame
        `language` (english, german or both), `speakers` (all, 4 and 5, others, or mean of twelve,
        in which each speaker counts alike), `accuracy` in percent, the mean over seeds, `ci95` and
        `seeds`. The interval is over seeds, and missing with one. That of a mean of twelve is over
        speakers and seeds, or with one seed over speakers only.
    """
    is_unseen = utterances.speaker.isin(UNSEEN)
    groups = {
        "all": utterances,
        "4 and 5": utterances[is_unseen],
        "others": utterances[~is_unseen],
    }
    rows = []
    for language, names in LANGUAGES.items():
        for group, of_group in groups.items():
            own = of_group[of_group.label.isin(names)]
            by_seed = 100 * own.groupby("seed").right.mean()
            half = interval(by_seed.to_frame().to_numpy())[1] if len(by_seed) > 1 else None
            rows.append((language, group, by_seed.mean(), half, len(by_seed)))
        own = utterances[utterances.label.isin(names)]
        by_speaker = 100 * own.groupby(["speaker", "seed"]).right.mean().unstack()
        mean, half = interval(by_speaker.to_numpy())
        rows.append((language, "mean of twelve", mean, half, by_speaker.shape[1]))
    return pd.DataFrame(rows, columns=["language", "speakers", "accuracy", "ci95", "seeds"])


def write_official() -> None:
    """Score the selected networks on the official test file, and write and print the accuracies.

    An ensemble is judged exactly as it was selected. The best single network and the small one are
    judged with all official seeds, and the first of them also as an ensemble of these.

    Raises
    ------
    SelectionError, TableError
        If a table or its class scores are missing.
    """
    plan, entries, _ = ten_folds()
    winners = read_winners()
    runs = read_official(f"{JUDGED_OFFICIAL}_hd") if set(winners) - set(JUDGED_BEFORE) else {}
    judged = {}
    for what, name in winners.items():
        if name in JUDGED_BEFORE:
            judged[what, name] = _official_today(name)
            continue
        entry = entries[name]
        if not entry.is_ensemble:
            entry = Entry({name: plan["official_seeds"]})
        judged[what, name] = official_utterances(entry, runs)
    single = winners[SINGLE]
    if single not in JUDGED_BEFORE:
        of_seeds = Entry({single: plan["official_seeds"]}, is_ensemble=True)
        judged["its seeds as an ensemble", single] = official_utterances(of_seeds, runs)
    tables = []
    for (what, name), utterances in judged.items():
        tables.append(official_accuracies(utterances).assign(what=what, entry=name))
    table = pd.concat(tables, ignore_index=True)
    write_csv("official", table[["what", "entry", *table.columns[:-2]]])
    of_all = table.query("language == 'both' and speakers == 'all'")
    print(of_all.round(1).to_string(index=False))


def _official_today(name: str) -> pd.DataFrame:
    """Return the same as `official_utterances` for a network that is judged already."""
    rows = read_table(BEFORE_OFFICIAL).query("model == @name")[["hash"]]
    predictions = collect_predictions(BEFORE_OFFICIAL).merge(rows)
    right = predictions.label == predictions.predicted
    return predictions[["seed", "label", "speaker"]].assign(right=right)


def judged_accuracies(
    selected: pd.Series, entries: Mapping[str, Entry], judged: Folds, plan: Mapping[str, Any]
) -> pd.DataFrame:
    """Return the accuracy of the selected entry for each speaker.

    Parameters
    ----------
    selected : Series
        Names of entries by speaker.
    entries : mapping
        The entries by name.
    judged : Folds
        From `read_judged`.
    plan : mapping
        The plan of the screening.

    Returns
    -------
    DataFrame
        As `nested_accuracies` returns it.
    """
    seeds = plan["judged_seeds"]
    is_known = selected.isin(JUDGED_BEFORE)
    found = nested_accuracies(selected[~is_known], entries, judged, seeds)
    if not is_known.any():
        return found
    known = speaker_accuracies(BEFORE_BY_SPEAKER, "model")
    chosen = pd.DataFrame({"input": selected[is_known], "speaker": selected.index[is_known]})
    of_today = known[known.seed.isin(seeds)].merge(chosen).assign(selected=lambda t: t.input)
    of_today = of_today.assign(input="nested")[[*found.columns]]
    if len(found) and found.seed.nunique() == 1:
        of_today = mean_over_seeds(of_today, seeds[0])
    parts = [part for part in (found, of_today) if len(part)]
    return pd.concat(parts).sort_values(["speaker", "seed"], ignore_index=True)


def write_nested(sweeps: Path = SWEEPS) -> None:
    """Judge each speaker by what the other nine folds selected, and the winner on all speakers.

    Parameters
    ----------
    sweeps : Path
        The folder of the sweeps' files.

    Raises
    ------
    SelectionError, TableError
        If a table or its class scores are missing.
    """
    plan, entries, _ = ten_folds()
    tables = [
        f"{name}_hd" for name in (JUDGED, JUDGED_NESTED) if (sweeps / f"{name}.yaml").exists()
    ]
    judged = read_judged(tables)
    found = judged_accuracies(read_selected_without(), entries, judged, plan)
    study = speaker_accuracies("final_hd")
    study = study[study.input == "183 x 333"].assign(input="study")
    others = pd.concat([speaker_accuracies(BEFORE_BY_SPEAKER, "model"), study])
    others = others[others.seed.isin(plan["judged_seeds"])]
    write_csv("nested", found)
    compared = verdicts(found, others, plan["contrasts"], plan["contrasts_margin"])
    write_csv("nested_contrasts", compared.reset_index())
    print(f"nested, {summary(found)}")
    print(compared.round(1).to_string())
    winner = pd.Series(read_winners()[WINNER], index=range(N_SPEAKERS))
    of_winner = judged_accuracies(winner, entries, judged, plan).assign(input="winner")
    write_csv("judged_winner", of_winner)
    print(f"the winner, selected on ten of these speakers: {summary(of_winner)}")
    apart = of_winner[of_winner.speaker.isin(UNSEEN)].groupby("speaker").test_unseen_accuracy.mean()
    percent = (100 * apart).round(1).to_dict()
    print(f"its accuracy for each of the other speakers, in percent: {percent}")


def summary(found: pd.DataFrame) -> str:
    """Return mean, interval and worst speaker of some accuracies, as a sentence.

    Parameters
    ----------
    found : DataFrame
        From `judged_accuracies`.

    Returns
    -------
    str
        In percent.
    """
    by_seed = 100 * found.pivot(index="speaker", columns="seed", values="test_unseen_accuracy")
    mean, half = interval(by_seed.to_numpy())
    worst = by_seed.mean(axis=1)
    over = "speakers and seeds" if by_seed.shape[1] > 1 else "speakers only"
    return (
        f"{len(by_seed)} speakers: {mean:.1f} ± {half:.1f} % (95 % interval over {over}), "
        f"worst {worst.min():.1f} % (speaker {worst.idxmin()})"
    )


STAGES: dict[str, Callable[[], Any]] = {
    "sweeps": write_judging,
    "official": write_official,
    "nested": write_nested,
}


def main() -> None:
    """Take one step of judging."""
    parser = argparse.ArgumentParser(prog="python -m scripts.judging", description=__doc__)
    take_step(parser, STAGES)


if __name__ == "__main__":
    run(main)
