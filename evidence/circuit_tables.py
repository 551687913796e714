"""Measure trained networks as circuits, and write tables into ``results/``.

Each of `TABLES` writes the table ``circuit_<its name>.csv``. Networks are those of run folders, or
pretrained ones, by name. A network that is in the table already is skipped, so a stopped
measurement continues. To measure it again, remove its rows or the table. ``disturbances`` needs
networks that hold out a speaker, such as those of ``make sweep SWEEP=circuit_bits``.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from evidence.networks import run_folders
from shd_circuit import DISTURBANCES, FAULTS, circuit_of, cost, disturb, export
from shd_circuit.confidence import confidence_of
from shd_circuit.folder import ExportError
from shd_corpus.checks import DatasetError
from shd_corpus.files import atomic
from shd_helpers.command import run
from shd_helpers.paths import networks_dir, results_dir, runs_dir
from shd_helpers.study import (
    evaluate,
    load_network,
    load_pretrained,
    load_utterances,
    read_run,
    seen_and_unseen_accuracy,
)
from shd_helpers.study.run_folder import RunError
from shd_helpers.study.tables import locked
from shd_helpers.study.trained_network import TrainedNetwork

STRENGTHS = (0.01, 0.03, 0.1, 0.2, 0.3)  # of random disturbances
SLOWER = (0.1, 0.25, 0.5, 1.0)  # by which share the clock is slower
FAULTY = (0.004, 0.01, 0.03, 0.1)  # share of the neurons; of 256 or 304 the least is one
DRAWS = 3  # of each random disturbance
BITS = ("8-8-16", "6-8-16", "5-8-16", "4-8-16", "3-8-16", "4-6-16", "4-4-16", "4-8-14", "4-8-12")
SMALL_CIRCUITS = tuple(f"{bits} product" for bits in BITS)  # to choose from, by validation speakers
SMALL_CHOSEN = ("5-8-16 product",)  # for held-out speakers, and for results/circuit


def disturbances(trained: TrainedNetwork) -> pd.DataFrame:
    """Score a network under each disturbance."""
    model = trained.network
    events = load_utterances(trained).test
    if events is None:
        raise RunError(
            f"{trained.file}: its run doesn't score test utterances (score_test is False), so "
            "there are none to disturb. Name networks that do, such as those of the sweep "
            "circuit_bits."
        )
    cases = [("none", 0.0, 0)]
    for kind in DISTURBANCES:
        is_slow_clock = "clock" in kind  # the same in each draw
        strengths = SLOWER if is_slow_clock else STRENGTHS
        for draw in range(1 if is_slow_clock else DRAWS):
            cases += [(kind, strength, draw) for strength in strengths]
    rows = []
    for kind, strength, draw in tqdm(cases, desc=trained.name, leave=False):
        disturbed = disturb(model, events, kind, strength, draw) if strength else (model, events)
        evaluation = evaluate(*disturbed)
        scores = seen_and_unseen_accuracy(evaluation, trained.about["seen_speakers"])
        row = {"kind": kind, "strength": strength, "draw": draw}
        rows.append(row | {f"{name}_accuracy": score for name, score in scores.items()})
    return pd.DataFrame(rows)


def faults(trained: TrainedNetwork) -> pd.DataFrame:
    """Score the low-precision circuit of a network with each fault."""
    bits = export.quantization_of(trained, "" if trained.recipe.circuit else SMALL_CHOSEN[0])
    circuit = circuit_of(trained, bits)
    events = load_utterances(trained).predicted
    cases = [("none", 0.0, 0)]
    for kind in FAULTS:
        for draw in range(DRAWS):
            cases += [(kind, strength, draw) for strength in FAULTY]
    rows = []
    for kind, strength, draw in tqdm(cases, desc=trained.name, leave=False):
        faulty = circuit
        disturbed = events
        if strength:
            faulty, disturbed = disturb(circuit, events, kind, strength, draw)
        is_right = np.asarray(faulty.evaluate(disturbed)[0]).argmax(-1) == disturbed.labels
        rows.append({"kind": kind, "strength": strength, "draw": draw, "accuracy": is_right.mean()})
    table = pd.DataFrame(rows)
    table.insert(0, "circuit", f"{trained.name}: {bits.name}")
    return table


def bits_small(trained: TrainedNetwork) -> pd.DataFrame:
    """Compare a network of floats with the circuits that it is rounded to.

    The utterances are those of unseen speakers: the test utterances, or those that validate if no
    test is read. Of the official split they are the whole test file.
    """
    events = load_utterances(trained).predicted
    split = trained.recipe.split
    circuits = SMALL_CHOSEN if split.score_test else SMALL_CIRCUITS
    is_official_test = split.score_test and split.protocol == "official"
    if not is_official_test:
        is_seen = np.isin(events.speakers, trained.about["seen_speakers"])
        events = events.take(np.flatnonzero(~is_seen))
    floats = evaluate(trained.network, events)
    rows = []
    for name in tqdm(circuits, desc=trained.name, leave=False):
        circuit = circuit_of(trained, export.quantization_of(trained, name))
        answered = np.asarray(circuit.evaluate(events)[0]).argmax(-1)
        stored = cost.memory(circuit).bytes
        rows.append(
            {
                "circuit": name,
                "n_utterances": len(events),
                "float_accuracy": floats.accuracy,
                "accuracy": np.mean(answered == events.labels),
                "agreement": np.mean(answered == floats.answers),
                "bytes": stored[stored.index.str.startswith("weights")].sum(),
            }
        )
    return pd.DataFrame(rows)


def people(trained: TrainedNetwork) -> pd.DataFrame:
    """Compare a network of floats with its circuit for each unseen person.

    If the network has a confidence threshold, `accepted` is the share of utterances that the
    circuit accepts, and `accepted_right` the share that it accepts and classifies correctly.
    """
    quantization = export.quantization_of(trained, SMALL_CHOSEN[0])
    circuit = circuit_of(trained, quantization)
    events = load_utterances(trained).predicted
    is_seen = np.isin(events.speakers, trained.about["seen_speakers"])
    events = events.take(np.flatnonzero(~is_seen))
    scores = circuit.evaluate(events)[0]
    found = {
        "float_accuracy": evaluate(trained.network, events).answers,
        "accuracy": np.asarray(scores).argmax(-1),
    }
    right = pd.DataFrame({name: answered == events.labels for name, answered in found.items()})
    right.insert(0, "utterances", 1)
    confidence = confidence_of(trained, quantization, circuit)
    if confidence is not None:
        right["accepted"] = [confidence.accepts(each) for each in scores]
        right["accepted_right"] = right.accepted & right.accuracy
    by_person = right.groupby(pd.Series(events.speakers, name="person"))
    means = by_person.mean().assign(utterances=by_person.utterances.sum())
    return means.reset_index()


TABLES: dict[str, Callable[[TrainedNetwork], pd.DataFrame]] = {
    "disturbances": disturbances,
    "faults": faults,
    "bits_small": bits_small,
    "people": people,
}


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", choices=TABLES)
    parser.add_argument(
        "networks",
        nargs="+",
        help="patterns below runs/: 'sweeps/circuit_bits_hd/*', or names in results/networks/",
    )
    arguments = parser.parse_args()
    path = results_dir() / f"circuit_{arguments.table}.csv"
    names = [name for name in arguments.networks if (networks_dir() / f"{name}.npz").is_file()]
    try:
        folders = run_folders(name for name in arguments.networks if name not in names)
        if not names and not folders:
            parser.error(
                f"networks: no run folder below {runs_dir()} and no pretrained network has one of "
                "these names"
            )
        for source in tqdm([*names, *folders], desc=arguments.table):
            if isinstance(source, str):
                trained = load_pretrained(source)
                trained = trained.speaking(trained.recipe.language)
            else:
                trained = load_network(read_run(source))
            add_to_table(path, trained, TABLES[arguments.table])
    except (RunError, DatasetError, ExportError) as error:
        sys.exit(str(error))
    print(path)


def add_to_table(
    path: Path, trained: TrainedNetwork, measure: Callable[[TrainedNetwork], pd.DataFrame]
) -> None:
    """Measure a network, and add its rows to a table; do nothing if it is there.

    Another process may add rows to the same table meanwhile.
    """
    name = trained.about["hash"]
    if name in set(_rows_of(path).run):
        return
    new = measure(trained)  # takes minutes, so the table isn't locked yet
    parameters = trained.about["parameters"]
    about = {"run": name, "speaker": parameters["held_out"], "seed": parameters["seed"]}
    new = pd.concat([pd.DataFrame(about, index=new.index), new], axis=1)
    with locked(path):
        old = _rows_of(path)
        if name in set(old.run):
            return
        table = pd.concat([old, new]) if len(old) else new
        with atomic(path) as unfinished:
            table.to_csv(unfinished, index=False, float_format="%.5g")


def _rows_of(path: Path) -> pd.DataFrame:
    """Return the rows that a table has so far."""
    return pd.read_csv(path, dtype={"run": str}) if path.exists() else pd.DataFrame({"run": []})


if __name__ == "__main__":
    run(main)
