"""Take the steps of the selection that sweeps/screening.yaml plans: each follows from tables.

``python -m scripts.selection candidates`` reads the screening and writes ``sweeps/selection.yaml``.
``python -m scripts.selection winner`` reads the ten folds, prints who wins, and writes
``results/selection.csv`` (the accuracy of each entry for each speaker) and
``results/selected.csv`` (whom all folds select, and whom the nine folds without a speaker select).
``python -m scripts.selection judging`` writes ``sweeps/judged_official.yaml`` and
``sweeps/judged_speakers.yaml``, which judge the winner.
``python -m scripts.selection nested`` reads the tables of these two, and writes
``results/nested.csv`` and ``results/nested_contrasts.csv``.
"""

import argparse
import io
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from shd_helpers.command import run
from shd_helpers.files import atomic
from shd_helpers.paths import results_dir
from shd_helpers.study.predictions import speaker_accuracies
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
    read_folds,
    read_judged,
    select,
    verdicts,
)
from shd_helpers.study.statistics import interval
from shd_helpers.study.tables import TableError
from shd_helpers.sweeps.spec import SWEEPS, SweepError, read_yaml

PLAN = "screening"
OF_TEN_FOLDS = ("selection", "selection_small", "selection_today")
KEPT = {"keep_predictions": True, "keep_scores": True}
WINNER = "winner"
SINGLE = "best single network"
SMALL = "small network"


def candidates_of(folds: Folds, plan: Mapping[str, Any]) -> dict[str, str]:
    """Return the candidate of each kind that the screening sends to all ten folds.

    Parameters
    ----------
    folds : Folds
        From the table of the screening.
    plan : mapping
        The plan of the screening.

    Returns
    -------
    dict of str to str
        Candidates by kind: the highest mean accuracy, and of equal ones the fewest parameters.

    Raises
    ------
    SelectionError
        If a run is missing.
    """
    best = {}
    for kind, names in plan["kinds"].items():
        entries = {name: Entry({name: [0]}) for name in names}
        means = accuracy_table(folds, entries).mean()
        sizes = parameters_of(folds, entries)
        best[kind] = min(names, key=lambda name: (-means[name], sizes[name]))
    return best


def entries_of_two(two: Sequence[str], plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return the singles and ensembles that compete, for a plan: see `selection.entries_of`.

    Parameters
    ----------
    two : sequence of str
        The two candidates with several seeds.
    plan : mapping
        The plan of the screening.

    Returns
    -------
    dict
        `singles` and `ensembles`.
    """
    seeds = [*plan["seeds"]]
    rule = plan["rule"]
    small = plan["small"]
    singles = {name: {name: [0]} for name in (rule["reference"], small["reference"], small["name"])}
    singles |= {name: {name: seeds} for name in two}
    ensembles = {f"five seeds of {name}": {name: seeds} for name in two}
    for first, second in (two, [*reversed(two)]):
        name = f"three seeds of {first} and two of {second}"
        ensembles[name] = {first: seeds[:3], second: seeds[:2]}
    return {"singles": singles, "ensembles": ensembles}


def write_selection(sweeps: Path = SWEEPS) -> Path:
    """Write the sweep of all ten folds, from the table of the screening.

    Parameters
    ----------
    sweeps : Path
        The folder of the sweeps' files.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    SelectionError
        If a run of the screening is missing.
    """
    screening = read_yaml(sweeps / f"{PLAN}.yaml")
    plan = screening["plan"]
    two = [*candidates_of(read_folds([f"{PLAN}_hd"]), plan).values()]
    recipes = screening["grid"]["candidate"]
    content = {
        "name": "selection",
        "notebook": screening["notebook"],
        "fixed": screening["fixed"],
        "grid": {
            "candidate": {name: recipes[name] for name in two},
            "validation_speakers": [str(speaker) for speaker in plan["speakers"]],
        },
        "seeds": plan["seeds"],
        **KEPT,
        "plan": entries_of_two(two, plan),
    }
    comment = (
        "# The two candidates that the screening sent to all ten folds, with five seeds. Written\n"
        "# by `python -m scripts.selection candidates`. `plan` lists the entries that compete.\n"
    )
    return _write_yaml(sweeps / "selection.yaml", comment, content)


def find_winners(folds: Folds, plan: Mapping[str, Any], entries: Mapping[str, Entry]) -> pd.Series:
    """Return who wins: of all entries, of single networks, and of small networks.

    Parameters
    ----------
    folds : Folds
        The ten folds.
    plan : mapping
        The plan of the screening.
    entries : mapping
        The entries by name.

    Returns
    -------
    Series
        Names of entries by what they win.

    Raises
    ------
    SelectionError
        If a fold is missing.
    """
    accuracies = accuracy_table(folds, entries, plan["speakers"])
    sizes = parameters_of(folds, entries)
    rule = Rule(**plan["rule"])
    single_rule = Rule(**plan["rule"] | {"most_parameters": plan["most_parameters_single"]})
    small = plan["small"]
    small_rule = Rule(small["reference"], rule.margin, rule.tie, small["most_parameters"])
    singles = [name for name, entry in entries.items() if not entry.is_ensemble]
    return pd.Series(
        {
            WINNER: select(accuracies, sizes, rule),
            SINGLE: select(accuracies[singles], sizes, single_rule),
            SMALL: select(accuracies[[small["reference"], small["name"]]], sizes, small_rule),
        },
        name="selected",
    )


def write_winner() -> None:
    """Select the winner on the ten folds, print it, and write both tables."""
    plan, entries, folds = _ten_folds()
    accuracies = accuracy_table(folds, entries, plan["speakers"])
    sizes = parameters_of(folds, entries)
    winners = find_winners(folds, plan, entries)
    nested = nested_selection(accuracies, sizes, Rule(**plan["rule"]))
    rows = []
    for name in accuracies:
        for speaker, accuracy in accuracies[name].items():
            rows.append((name, sizes[name], speaker, accuracy))
    columns = ["entry", "parameters", "speaker", "accuracy"]
    _write_csv("selection", pd.DataFrame(rows, columns=columns))
    selected = [("", what, name) for what, name in winners.items()]
    selected += [(speaker, "without this speaker", name) for speaker, name in nested.items()]
    _write_csv("selected", pd.DataFrame(selected, columns=["speaker", "what", "selected"]))
    means = 100 * accuracies.mean().sort_values(ascending=False)
    print(means.round(1).to_string())
    for what, name in winners.items():
        print(f"{what}: {name} ({sizes[name]:,} parameters)")


def write_judging(sweeps: Path = SWEEPS) -> list[Path]:
    """Write the two sweeps that judge the winner, from ``results/selected.csv``.

    Parameters
    ----------
    sweeps : Path
        The folder of the sweeps' files.

    Returns
    -------
    list of Path
        The files.
    """
    plan, entries, _ = _ten_folds()
    selected = pd.read_csv(results_dir() / "selected.csv", dtype=str)["selected"]
    recipes: dict[str, dict] = {}
    for name in ("selection", "selection_small", "selection_today"):
        content = read_yaml(sweeps / f"{name}.yaml")
        for candidate, changes in content["grid"]["candidate"].items():
            recipes[candidate] = {**content["fixed"], **changes}
    names = [*dict.fromkeys(name for each in selected for name in entries[each].members)]
    own = {}
    for name in names:
        left_out = ("dataset", "language", "validation", "score_test")
        own[name] = {key: value for key, value in recipes[name].items() if key not in left_out}
    official = {
        "name": "judged_official",
        "notebook": "03_model_training",
        "fixed": {
            "dataset": "hd",
            "protocol": "official",
            "language": "both",
            "validation_fraction": 0.01,
        },
        "grid": {"candidate": own},
        "seeds": plan["seeds"],
        **KEPT,
    }
    speakers = {
        "name": "judged_speakers",
        "notebook": "03_model_training",
        "fixed": {
            "dataset": "hd",
            "protocol": "leave_one_speaker_out",
            "validation_fraction": 0.01,
        },
        "grid": {"candidate": own, "held_out": [*range(12)]},
        "seeds": plan["judged_seeds"],
        **KEPT,
    }
    comment = (
        "# What the selection of sweeps/screening.yaml has selected, judged once: {}.\n"
        "# Written by `python -m scripts.selection judging`, before its first run.\n"
    )
    first = comment.format("20 classes, the official split")
    second = comment.format("ten English digits, every speaker held out once")
    return [
        _write_yaml(sweeps / "judged_official.yaml", first, official),
        _write_yaml(sweeps / "judged_speakers.yaml", second, speakers),
    ]


def write_nested() -> None:
    """Judge each speaker by what the other nine folds selected, print it, and write both tables."""
    plan, entries, _ = _ten_folds()
    selected = pd.read_csv(results_dir() / "selected.csv", dtype={"speaker": str})
    of_speakers = selected[selected.what == "without this speaker"]
    by_speaker = of_speakers.set_index(of_speakers.speaker.astype(int)).selected
    judged = read_judged(["judged_speakers_hd"])
    found = nested_accuracies(by_speaker, entries, judged, plan["judged_seeds"])
    study = speaker_accuracies("final_hd")
    study = study[study.input == "183 x 333"].assign(input="study")
    others = pd.concat([speaker_accuracies("reference_hd", "model"), study])
    others = others[others.seed.isin(plan["judged_seeds"])]
    _write_csv("nested", found)
    compared = verdicts(found, others, plan["contrasts"], plan["contrasts_margin"])
    _write_csv("nested_contrasts", compared.reset_index())
    print(summary(found))
    print(compared.round(1).to_string())


def summary(found: pd.DataFrame) -> str:
    """Return mean, interval and worst speaker of nested accuracies, as a sentence.

    Parameters
    ----------
    found : DataFrame
        From `nested_accuracies`.

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
        f"nested, {len(by_seed)} speakers: {mean:.1f} ± {half:.1f} % (95 % interval over {over}), "
        f"worst {worst.min():.1f} % (speaker {worst.idxmin()})"
    )


def _ten_folds() -> tuple[dict[str, Any], dict[str, Entry], Folds]:
    """Return the plan, the entries and the ten folds."""
    plan = read_yaml(SWEEPS / f"{PLAN}.yaml")["plan"]
    entries = entries_of(read_yaml(SWEEPS / "selection.yaml")["plan"])
    return plan, entries, read_folds([f"{name}_hd" for name in OF_TEN_FOLDS])


def _write_yaml(path: Path, comment: str, content: Mapping[str, Any]) -> Path:
    """Write a sweep's file, and return its path."""
    yaml = YAML(typ="safe", pure=True)
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.default_flow_style = None
    yaml.width = 120
    text = io.StringIO()
    yaml.dump(dict(content), text)
    with atomic(path) as unfinished:
        unfinished.write_text(comment + text.getvalue(), encoding="utf-8")
    print(f"written: {path}")
    return path


def _write_csv(name: str, table: pd.DataFrame) -> None:
    """Write a table to results/."""
    path = results_dir() / f"{name}.csv"
    with atomic(path) as unfinished:
        table.to_csv(unfinished, index=False)
    print(f"written: {path}")


STAGES: dict[str, Callable[[], Any]] = {
    "candidates": write_selection,
    "winner": write_winner,
    "judging": write_judging,
    "nested": write_nested,
}


def main() -> None:
    """Take one step of the selection."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=STAGES)
    stage = STAGES[parser.parse_args().stage]
    try:
        stage()
    except (SelectionError, TableError, SweepError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    run(main)
