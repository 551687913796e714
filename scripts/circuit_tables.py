"""Measure trained networks as circuits, from their run folders; write tables into ``results/``.

Each of `TABLES` writes the table ``circuit_<its name>.csv``. Networks are those of run folders, or
kept ones, by name. One that is in the table already is passed over, so that a stopped measurement
goes on; remove its rows, or the table, to measure again. For ``disturbances`` networks were trained
with leave_one_speaker_out, for example by ``make sweep SWEEP=circuit_bits``.
"""

import argparse
from collections.abc import Callable

import numpy as np
import pandas as pd
from shd_circuit import DISTURBANCES, FAULTS, circuit_of, cost, disturb, export
from tqdm import tqdm

from scripts.networks import run_folders
from shd_helpers.command import run
from shd_helpers.files import atomic
from shd_helpers.network import Quantization, answers
from shd_helpers.paths import results_dir, runs_dir
from shd_helpers.study import (
    evaluate,
    load_network,
    load_utterances,
    read_network,
    read_run,
    seen_and_unseen_accuracy,
)
from shd_helpers.study.networks import TrainedNetwork, networks_dir

STRENGTHS = (0.01, 0.03, 0.1, 0.2, 0.3)
SLOWER = (0.1, 0.25, 0.5, 1.0)
FAULTY = (0.004, 0.01, 0.03, 0.1)  # of 256 or 304 neurons the least is one
DRAWS = 3
BITS = ("8-8-16", "6-8-16", "5-8-16", "4-8-16", "3-8-16", "4-6-16", "4-4-16", "4-8-14", "4-8-12")
SMALL_CIRCUITS = tuple(f"{bits} product" for bits in BITS)  # to choose from in validation
SMALL_CHOSEN = ("5-8-16 product",)  # for held-out speakers


def disturbances(trained: TrainedNetwork) -> pd.DataFrame:
    """Measure a network of floats as circuits with one disturbance have it.

    Parameters
    ----------
    trained : TrainedNetwork
        With test utterances.

    Returns
    -------
    DataFrame
        A row for each disturbance (`kind`), `strength` and `draw`, with the accuracies on the test
        utterances; `kind` ``none`` is undisturbed.
    """
    model = trained.network
    events = load_utterances(trained).test
    points = [("none", 0.0, 0)]
    for kind in DISTURBANCES:
        is_drawn = "clock" not in kind  # a slower clock is the same in each draw
        strengths = STRENGTHS if is_drawn else SLOWER
        for draw in range(DRAWS if is_drawn else 1):
            points += [(kind, strength, draw) for strength in strengths]
    rows = []
    for kind, strength, draw in tqdm(points, desc=trained.name, leave=False):
        disturbed = disturb(model, events, kind, strength, draw) if strength else (model, events)
        accuracies = seen_and_unseen_accuracy(evaluate(*disturbed), trained.about["seen_speakers"])
        row = {"kind": kind, "strength": strength, "draw": draw}
        row |= {f"{name}_accuracy": accuracy for name, accuracy in accuracies.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def faults(trained: TrainedNetwork) -> pd.DataFrame:
    """Measure the low-precision circuit of a network with faults.

    Parameters
    ----------
    trained : TrainedNetwork
        With its own circuit, or rounded to `SMALL_CHOSEN`.

    Returns
    -------
    DataFrame
        A row for each fault (`kind`), `strength` and `draw`, and for none, with the circuit's name
        and its `accuracy` on the utterances that the network's predictions are of.
    """
    bits = export.quantization_of(trained, "" if trained.recipe.circuit else SMALL_CHOSEN[0])
    circuit = circuit_of(trained, bits)
    events = load_utterances(trained).predicted
    points = [("none", 0.0, 0)]
    for kind in FAULTS:
        for draw in range(DRAWS):
            points += [(kind, strength, draw) for strength in FAULTY]
    rows = []
    for kind, strength, draw in tqdm(points, desc=trained.name, leave=False):
        faulty, disturbed = disturb(circuit, events, kind, strength, draw)
        is_right = answers(faulty.evaluate(disturbed)[0]) == disturbed.labels
        rows.append({"kind": kind, "strength": strength, "draw": draw, "accuracy": is_right.mean()})
    table = pd.DataFrame(rows)
    table.insert(0, "circuit", f"{trained.name}: {bits.name}")
    return table


def bits_small(trained: TrainedNetwork) -> pd.DataFrame:
    """Measure the circuits that a network of floats is rounded to.

    The utterances are those of unseen speakers: of the test utterances, or of those that validate
    if the test isn't scored. Of the official split they are the whole test file.

    Parameters
    ----------
    trained : TrainedNetwork
        A network of floats.

    Returns
    -------
    DataFrame
        A row for each circuit, with `circuit`, `n_utterances`, `float_accuracy` and `accuracy`
        (fractions), `agreement` (the share of utterances for which both have the same answer) and
        `bytes` of weights.
    """
    events = load_utterances(trained).predicted
    split = trained.recipe.split
    circuits = SMALL_CHOSEN if split.score_test else SMALL_CIRCUITS
    if not (split.score_test and split.protocol == "official"):
        is_unseen = ~np.isin(events.speakers, trained.about["seen_speakers"])
        events = events.take(np.flatnonzero(is_unseen))
    floats = evaluate(trained.network, events)
    rows = []
    for name in tqdm(circuits, desc=trained.name, leave=False):
        circuit = circuit_of(trained, Quantization.named(name))
        circuit_answers = answers(circuit.evaluate(events)[0])
        stored = cost.memory(circuit).bytes
        rows.append(
            {
                "circuit": name,
                "n_utterances": len(events),
                "float_accuracy": floats.accuracy,
                "accuracy": np.mean(circuit_answers == events.labels),
                "agreement": np.mean(circuit_answers == floats.answers),
                "bytes": stored[stored.index.str.startswith("weights")].sum(),
            }
        )
    return pd.DataFrame(rows)


TABLES: dict[str, Callable[[TrainedNetwork], pd.DataFrame]] = {
    "disturbances": disturbances,
    "faults": faults,
    "bits_small": bits_small,
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
    kept = [name for name in arguments.networks if (networks_dir() / f"{name}.npz").is_file()]
    folders = run_folders(name for name in arguments.networks if name not in kept)
    if not kept + folders:
        parser.error(f"no run folder below {runs_dir()}, and no kept network, is named so")
    path = results_dir() / f"circuit_{arguments.table}.csv"
    for network in tqdm([*kept, *folders], desc=arguments.table):
        is_name = isinstance(network, str)
        trained = read_network(network) if is_name else load_network(read_run(network))
        old = pd.read_csv(path, dtype={"run": str}) if path.exists() else pd.DataFrame({"run": []})
        if trained.about["hash"] in set(old.run):
            continue
        new = TABLES[arguments.table](trained)
        parameters = trained.about["parameters"]
        about = {
            "run": trained.about["hash"],
            "speaker": parameters["held_out"],
            "seed": parameters["seed"],
        }
        new = pd.concat([pd.DataFrame(about, index=new.index), new], axis=1)
        table = pd.concat([old, new]) if len(old) else new
        with atomic(path) as unfinished:
            table.to_csv(unfinished, index=False, float_format="%.5g")
    print(path)


if __name__ == "__main__":
    run(main)
