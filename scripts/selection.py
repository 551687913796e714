"""Take the steps of the selection that sweeps/screening.yaml plans: each follows from tables.

``python -m scripts.selection candidates`` reads the screening and writes ``sweeps/selection.yaml``.
``python -m scripts.selection winner`` reads the ten folds, prints who wins, and writes
``results/selection.csv`` (the accuracy of each entry for each speaker) and
``results/selected.csv`` (whom all folds select, and whom the nine folds without a speaker select).
``scripts.judging`` takes the steps after that.
"""

import argparse
import io
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from scripts.write_tables import write_csv
from shd_helpers.command import run
from shd_helpers.files import atomic
from shd_helpers.paths import results_dir
from shd_helpers.study.selection import (
    Entry,
    Folds,
    Rule,
    SelectionError,
    accuracy_table,
    entries_of,
    nested_selection,
    parameters_of,
    select,
)
from shd_helpers.study.selection_tables import read_folds
from shd_helpers.study.tables import TableError
from shd_helpers.sweeps.sweep_file import SWEEPS, SweepError, read_yaml

PLAN = "screening"
OF_TEN_FOLDS = ("selection", "selection_small", "selection_today")
KEPT = {"keep_predictions": True, "keep_scores": True}
WITHOUT = "without this speaker"
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
    ensembles = {f"three seeds of {name}": {name: seeds} for name in two}
    for first, second in (two, [*reversed(two)]):
        name = f"three seeds of {first} and two of {second}"
        ensembles[name] = {first: seeds, second: seeds[:2]}
    return {"singles": singles, "ensembles": ensembles}


def write_selection(sweeps: Path = SWEEPS) -> Path:
    """Write the sweep of the two candidates on all ten folds, from the table of the screening.

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
        "# The two candidates that the screening sent to all ten folds, with three seeds. Written\n"
        "# by `python -m scripts.selection candidates`. `plan` lists the entries that compete.\n"
    )
    return write_yaml(sweeps / "selection.yaml", comment, content)


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
    plan, entries, folds = ten_folds()
    accuracies = accuracy_table(folds, entries, plan["speakers"])
    sizes = parameters_of(folds, entries)
    winners = find_winners(folds, plan, entries)
    nested = nested_selection(accuracies, sizes, Rule(**plan["rule"]))
    rows = []
    for name in accuracies:
        for speaker, accuracy in accuracies[name].items():
            of_languages = [
                folds.accuracy(entries[name], int(speaker), language)
                for language in ("english", "german")
            ]
            rows.append((name, sizes[name], speaker, accuracy, *of_languages))
    columns = ["entry", "parameters", "speaker", "accuracy", "english", "german"]
    write_csv("selection", pd.DataFrame(rows, columns=columns))
    selected = [("", what, name) for what, name in winners.items()]
    selected += [(speaker, WITHOUT, name) for speaker, name in nested.items()]
    write_csv("selected", pd.DataFrame(selected, columns=["speaker", "what", "selected"]))
    means = 100 * accuracies.mean().sort_values(ascending=False)
    print(means.round(1).to_string())
    for what, name in winners.items():
        print(f"{what}: {name} ({sizes[name]:,} parameters)")


def _read_selected() -> pd.DataFrame:
    """Return ``results/selected.csv``; SelectionError if it isn't there."""
    path = results_dir() / "selected.csv"
    if not path.exists():
        raise SelectionError(
            f"{path}: no such file. Write it with `python -m scripts.selection winner`."
        )
    return pd.read_csv(path, dtype={"speaker": str})


def read_winners() -> pd.Series:
    """Return the entries that all ten folds have selected.

    Returns
    -------
    Series
        Names of entries by what they win: `WINNER`, `SINGLE` and `SMALL`.

    Raises
    ------
    SelectionError
        If nothing is selected yet.
    """
    selected = _read_selected()
    return selected[selected.what != WITHOUT].set_index("what").selected


def read_selected_without() -> pd.Series:
    """Return for each speaker the entry that the other nine folds have selected.

    Returns
    -------
    Series
        Names of entries by speaker.

    Raises
    ------
    SelectionError
        If nothing is selected yet.
    """
    selected = _read_selected()
    rows = selected[selected.what == WITHOUT]
    return rows.set_index(rows.speaker.astype(int)).selected


def ten_folds() -> tuple[dict[str, Any], dict[str, Entry], Folds]:
    """Return the plan, the entries and the ten folds."""
    plan = read_yaml(SWEEPS / f"{PLAN}.yaml")["plan"]
    entries = entries_of(read_yaml(SWEEPS / "selection.yaml")["plan"])
    return plan, entries, read_folds([f"{name}_hd" for name in OF_TEN_FOLDS])


def write_yaml(path: Path, comment: str, content: Mapping[str, Any]) -> Path:
    """Write a sweep's file, and return its path."""
    yaml = YAML(typ="safe", pure=True)
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.default_flow_style = None
    yaml.width = 120
    yaml.representer.ignore_aliases = lambda _: True  # the same list twice is written twice
    text = io.StringIO()
    yaml.dump(dict(content), text)
    with atomic(path) as unfinished:
        lines = [line.rstrip() for line in text.getvalue().splitlines()]
        unfinished.write_text(comment + "\n".join(lines) + "\n", encoding="utf-8")
    print(f"written: {path}")
    return path


STAGES: dict[str, Callable[[], Any]] = {
    "candidates": write_selection,
    "winner": write_winner,
}


def take_step(parser: argparse.ArgumentParser, stages: Mapping[str, Callable[[], Any]]) -> None:
    """Read a step's name from the command line and take the step, or end with what is missing.

    Parameters
    ----------
    parser : ArgumentParser
        The command's parser, without arguments.
    stages : mapping
        The function of each step by its name.
    """
    parser.add_argument("stage", choices=stages)
    stage = stages[parser.parse_args().stage]
    try:
        stage()
    except (SelectionError, TableError, SweepError) as error:
        sys.exit(str(error))


def main() -> None:
    """Take one step of the selection."""
    parser = argparse.ArgumentParser(prog="python -m scripts.selection", description=__doc__)
    take_step(parser, STAGES)


if __name__ == "__main__":
    run(main)
