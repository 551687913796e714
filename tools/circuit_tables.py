"""Measure trained networks as circuits, from their run folders; write tables into ``results/``.

``disturbances`` writes ``circuit_disturbances.csv``, ``stopping`` writes ``circuit_stopping.csv``,
``budget`` writes ``circuit_budget.csv`` and needs yosys and g++ (``make rtl`` installs yosys).
A run that is in the table already is passed over, so that a stopped measurement goes on; remove
its rows, or the table, to measure again. For the first two, networks were trained with
leave_one_out, for example by ``make sweep SWEEP=circuit_bits``.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

import hardware
from hardware import (
    DISTURBANCES,
    Rule,
    accuracy_over_strength,
    circuit_of,
    export,
    follow,
    rtl,
)
from hardware.budget import compare
from shd_helpers.files import atomic
from shd_helpers.network import Quantisation
from shd_helpers.paths import results_dir, run_folders, runs_dir
from shd_helpers.study import load_network, load_utterances, of_run, read_run
from shd_helpers.study.identity import settings
from shd_helpers.study.run_folder import Run, RunError

STRENGTHS = (0.01, 0.03, 0.1, 0.2, 0.3)
SLOWER = (0.1, 0.25, 0.5, 1.0)
DRAWS = 3
MARGINS = (0, 4, 8, 12, 16, 24)
SILENCES = (0, 10, 20, 30, 40, 50, 60, 80, 100)


def disturbances(run: Run) -> pd.DataFrame:
    """Return a row for each disturbance, strength and draw; `kind` ``none`` is undisturbed."""
    model, seen = load_network(run), run.info["seen_speakers"]
    events = load_utterances(run).test
    parts = [accuracy_over_strength(model, events, seen, "lost events", [0], 1).assign(kind="none")]
    for kind in tqdm(DISTURBANCES, desc=run.folder.name, leave=False):
        strengths = SLOWER if "clock" in kind else STRENGTHS
        parts.append(accuracy_over_strength(model, events, seen, kind, strengths, DRAWS))
    return pd.concat(parts)


def stopping(run: Run) -> pd.DataFrame:
    """Return a row for each rule, of the circuit in integers where the run has one, and of floats.

    Columns are ``<part>_<quantity>``: accuracy (fraction), steps, accumulates and neuron updates,
    means over the utterances of `validation`, `test_seen` and `test_unseen`.
    """
    utterances, rows = load_utterances(run), []
    is_seen = pd.Series(utterances.test.speakers).isin(run.info["seen_speakers"]).to_numpy()
    networks, own = {"floats": load_network(run)}, settings(Quantisation, run.info["parameters"])
    if own:
        networks["integers"] = circuit_of(of_run(run))
    for name, network in networks.items():
        validated, tested = (follow(network, part) for part in utterances[1:])
        parts = {"validation": (validated, utterances.validation.labels)}
        for part, chosen in (("test_seen", is_seen), ("test_unseen", ~is_seen)):
            parts[part] = tested.take(chosen), utterances.test.labels[chosen]
        for rule in (Rule(margin, silence) for margin in MARGINS for silence in SILENCES):
            row = {
                "circuit": own.name,
                "network": name,
                "margin": rule.margin,
                "silence": rule.silence,
            }
            for part, (progress, labels) in parts.items():
                found = progress.measure(rule, labels)
                row |= {f"{part}_{quantity}": value for quantity, value in found.items()}
            rows.append(row)
    return pd.DataFrame(rows)


def budget(run: Run) -> pd.DataFrame:
    """Return a row for each quantity of the circuit, as ``make export`` and ``make rtl`` tell it.

    Columns are `circuit`, `quantity` and `value`: bytes of each kind of number, operations of a
    word (means over the test words), clock cycles of a word (over 20 words), of their busiest step
    and of the worst that can be, both with the intake of events, events of their fullest step and
    of two in a row, and cells
    of an ECP5.
    """
    trained = of_run(run)
    wanted = export.quantisation_of(trained)
    network, test = circuit_of(trained, wanted), load_utterances(run).test
    found = compare([("value", network, test)]).value
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "circuit"
        export.export(trained, folder)
        done = rtl.simulate(folder)
        assert done.output == (folder / "expected.txt").read_text(), "the core differs"
        found["clock cycles"] = done.cycles / done.words
        words = hardware.read_vectors(folder)
        steps = np.array([sum(hardware.step_cycles(network, word)) for word in words])
        found["cycles, busiest step"] = steps.max()
        found["cycles, worst step"] = hardware.worst_cycles(network)
        step_ms, n_steps = int(network.grid.step_ms), network.grid.n_steps
        each = np.array([np.bincount(w.milliseconds // step_ms, minlength=n_steps) for w in words])
        found["events, fullest step"] = each.max()
        found["events, two steps"] = (each[:, 1:] + each[:, :-1]).max()
        found = pd.concat([found, pd.Series(rtl.resources(folder)).rename(lambda x: f"cells: {x}")])
    table = found.rename("value").rename_axis("quantity").reset_index()
    table.insert(0, "circuit", wanted.name)
    return table


TABLES: dict[str, Callable[[Run], pd.DataFrame]] = {
    "disturbances": disturbances,
    "stopping": stopping,
    "budget": budget,
}


def about(run: Run) -> dict[str, object]:
    """Return what stands in a run's rows besides what was measured; `run` is the run's hash."""
    p = run.info["parameters"]
    return {"run": run.info["hash"], "speaker": p["held_out"], "seed": p["seed"]}


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("runs", nargs="+", help="patterns below runs/: 'sweeps/circuit_bits_hd/*'")
    arguments = parser.parse_args()
    folders = run_folders(arguments.runs)
    if not folders:
        parser.error(f"no run folder below {runs_dir()} is named so")
    path = results_dir() / f"circuit_{arguments.table}.csv"
    for folder in tqdm(folders, desc=arguments.table):
        measure(folder, TABLES[arguments.table], path)
    print(path)


def measure(folder: Path, table_of: Callable[[Run], pd.DataFrame], path: Path) -> None:
    """Add a run's rows to a table's file, if they are missing; a folder without a run has none."""
    try:
        run = read_run(folder)
    except RunError as error:
        tqdm.write(str(error))
        return
    old = pd.read_csv(path, dtype={"run": str}) if path.exists() else pd.DataFrame({"run": []})
    columns = about(run)
    if columns["run"] in set(old.run):
        return
    new = table_of(run)
    for place, (name, value) in enumerate(columns.items()):
        new.insert(place, name, value)
    with atomic(path) as part:
        pd.concat([old, new] if len(old) else [new]).to_csv(part, index=False, float_format="%.5g")


if __name__ == "__main__":
    main()
