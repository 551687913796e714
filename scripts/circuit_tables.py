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
    load_pretrained,
    load_utterances,
    read_run,
    seen_and_unseen_accuracy,
)
from shd_helpers.study.pretrained import TrainedNetwork, networks_dir

STRENGTHS = (0.01, 0.03, 0.1, 0.2, 0.3)
SLOWER = (0.1, 0.25, 0.5, 1.0)
FAULTY = (0.004, 0.01, 0.03, 0.1)  # of 256 or 304 neurons the least is one
DRAWS = 3
BITS = ("8-8-16", "6-8-16", "5-8-16", "4-8-16", "3-8-16", "4-6-16", "4-4-16", "4-8-14", "4-8-12")
SMALL_CIRCUITS = tuple(f"{bits} product" for bits in BITS)  # to choose from, by who validates
SMALL_CHOSEN = ("5-8-16 product",)  # for who was left out


def disturbances(trained: TrainedNetwork) -> pd.DataFrame:
    """Return a row for each disturbance, strength and draw; `kind` ``none`` is undisturbed."""
    model, events = trained.network, load_utterances(trained).test
    places = [("none", 0.0, 0)]
    for kind in DISTURBANCES:
        slow = "clock" in kind  # the same in each draw
        draws, strengths = (1, SLOWER) if slow else (DRAWS, STRENGTHS)
        places += [(kind, strength, draw) for draw in range(draws) for strength in strengths]
    rows = []
    for kind, strength, draw in tqdm(places, desc=trained.name, leave=False):
        disturbed = disturb(model, events, kind, strength, draw) if strength else (model, events)
        found = seen_and_unseen_accuracy(evaluate(*disturbed), trained.about["seen_speakers"])
        scores = {f"{name}_accuracy": score for name, score in found.items()}
        rows.append({"kind": kind, "strength": strength, "draw": draw, **scores})
    return pd.DataFrame(rows)


def faults(trained: TrainedNetwork) -> pd.DataFrame:
    """Return a row for each fault of the few-bit circuit, strength and draw, and of none.

    `accuracy` is over the utterances that the network's predictions are of.
    """
    bits = export.quantization_of(trained, "" if trained.recipe.circuit else SMALL_CHOSEN[0])
    circuit, events = circuit_of(trained, bits), load_utterances(trained).predicted
    places = [("none", 0.0, 0)]
    places += [(k, s, draw) for k in FAULTS for draw in range(DRAWS) for s in FAULTY]
    rows = []
    for kind, strength, draw in tqdm(places, desc=trained.name, leave=False):
        faulty, disturbed = disturb(circuit, events, kind, strength, draw)
        is_right = answers(faulty.evaluate(disturbed)[0]) == disturbed.labels
        rows.append({"kind": kind, "strength": strength, "draw": draw, "accuracy": is_right.mean()})
    table = pd.DataFrame(rows)
    table.insert(0, "circuit", f"{trained.name}: {bits.name}")
    return table


def bits_small(trained: TrainedNetwork) -> pd.DataFrame:
    """Return a row for each circuit that a network of floats is rounded to.

    Columns are `circuit`, `n_utterances`, `float_accuracy` and `accuracy` (fractions), `agreement`
    (the share of utterances for which both have the same answer) and `bytes` of weights. The
    utterances are those of unseen speakers: the test utterances, or those that validate if no test
    is read. Of the official split they are the whole test file.
    """
    words, split = load_utterances(trained).predicted, trained.recipe.split
    circuits = SMALL_CHOSEN if split.score_test else SMALL_CIRCUITS
    if not (split.score_test and split.protocol == "official"):
        words = words.take(np.flatnonzero(~np.isin(words.speakers, trained.about["seen_speakers"])))
    floats, rows = evaluate(trained.network, words), []
    for name in tqdm(circuits, desc=trained.name, leave=False):
        circuit = circuit_of(trained, Quantization.named(name))
        found = answers(circuit.evaluate(words)[0])
        stored = cost.memory(circuit).bytes
        rows.append(
            {
                "circuit": name,
                "n_utterances": len(words),
                "float_accuracy": floats.accuracy,
                "accuracy": np.mean(found == words.labels),
                "agreement": np.mean(found == floats.answers),
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
    for place in tqdm([*kept, *folders], desc=arguments.table):
        is_kept = isinstance(place, str)
        trained = load_pretrained(place) if is_kept else load_network(read_run(place))
        old = pd.read_csv(path, dtype={"run": str}) if path.exists() else pd.DataFrame({"run": []})
        if trained.about["hash"] in set(old.run):
            continue
        new, p = TABLES[arguments.table](trained), trained.about["parameters"]
        about = {"run": trained.about["hash"], "speaker": p["held_out"], "seed": p["seed"]}
        new = pd.concat([pd.DataFrame(about, index=new.index), new], axis=1)
        with atomic(path) as part:
            pd.concat([old, new] if len(old) else [new]).to_csv(
                part, index=False, float_format="%.5g"
            )
    print(path)


if __name__ == "__main__":
    run(main)
