"""Train SE-adLIF's published network on the folds of ``se_adlif.yaml``, and write its row.

``python -m evidence.se_adlif train 0 1 2`` trains these folds on one core, first all to the plan's
first number of epochs. It goes on after the last epoch that was finished. ``python -m
evidence.se_adlif row`` writes how many utterances of each held-out speaker are right
(``results/se_adlif.csv``), and from these the row of ``results/published.csv``.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml  # type: ignore[import-untyped]
from torch import nn

from engine_examples.se_adlif import OPTIONS, Published, adam, utterances
from shd_corpus.files import atomic
from shd_helpers.command import run as run_command
from shd_helpers.events import Events
from shd_helpers.network.engine import one_thread
from shd_helpers.paths import results_dir, runs_dir
from shd_helpers.study.evaluation import evaluate
from shd_helpers.study.recipe import TrainConfig
from shd_helpers.study.training import fit
from shd_judge import five_folds, interval

PLAN = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
PUBLISHED = "adaptive LIF (Baronig et al. 2025)"
NAME = f"{PUBLISHED}, trained here on five folds of speakers"


def state_of(fold: int) -> Path:
    """Return the file with the state of a fold's network after its last epoch."""
    return runs_dir() / "se_adlif" / f"state_{fold}"


def answers_of(fold: int, epochs: int) -> Path:
    """Return the file with the answers of a fold's network after these epochs."""
    return runs_dir() / "se_adlif" / f"answers_{fold}_after_{epochs}.csv"


def train(number: int, epochs: int, events: Events) -> None:
    """Train the network of a fold, or what is left of these epochs, and test it."""
    answers = answers_of(number, epochs)
    if answers.exists():
        return
    fold = five_folds(events.speakers)[number]
    torch.manual_seed(PLAN["seed"])
    net = Published(events.n_units, len(events.class_names))
    generator = torch.Generator().manual_seed(PLAN["seed"])
    optimizer = adam(net)
    done = _resume(number, net, optimizer, generator)

    def keep(net: nn.Module, metrics: Mapping[str, Any]) -> None:
        epoch = done + metrics["epoch"]
        print(f"fold {number}, epoch {epoch}, loss {metrics['train_loss']:.3f}", flush=True)
        state = {"epoch": epoch, "network": net.state_dict(), "optimizer": optimizer.state_dict()}
        state |= {"order": generator.get_state(), "dropout": torch.get_rng_state()}
        with atomic(state_of(number)) as part:
            torch.save(state, part)

    options = replace(OPTIONS, optimizer=lambda _: optimizer)
    with one_thread():
        if done < epochs:
            config = TrainConfig(epochs=epochs - done, batch_size=PLAN["batch_size"])
            fit(
                net,
                events.take(fold.training),
                None,
                config,
                generator,
                options=options,
                on_epoch=keep,
            )
        found = evaluate(net, events.take(fold.test), OPTIONS.engine)
    columns = {"speaker": events.speakers[fold.test], "label": events.labels[fold.test]}
    with atomic(answers) as part:
        pd.DataFrame(columns | {"answer": found.answers}).to_csv(part, index=False)


def _resume(
    number: int, net: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator
) -> int:
    """Go on where a fold was interrupted; return how many epochs are done."""
    path = state_of(number)
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    net.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    generator.set_state(state["order"])
    torch.set_rng_state(state["dropout"])
    return state["epoch"]


def _judged(epochs: int) -> pd.DataFrame | None:
    """Count the right answers for each held-out speaker; None unless all folds are there."""
    paths = [answers_of(number, epochs) for number in range(PLAN["folds"])]
    if not all(path.exists() for path in paths):
        return None
    answers = pd.concat([pd.read_csv(path).assign(fold=i) for i, path in enumerate(paths)])
    answers["right"] = answers.label == answers.answer
    counted = answers.groupby(["fold", "speaker"]).right.agg(["size", "sum"])
    counted.columns = pd.Index(["utterances", "right"])
    counted.insert(0, "epochs", epochs)
    return counted.reset_index()


def write_row() -> None:
    """Write the counts, and the row with the mean accuracy over the held-out speakers."""
    counts = [table for epochs in PLAN["epochs"] if (table := _judged(epochs)) is not None]
    if not counts:
        sys.exit(f"{runs_dir() / 'se_adlif'}: some folds have no answers. Train all folds first.")
    with atomic(results_dir() / "se_adlif.csv") as part:
        pd.concat(counts).to_csv(part, index=False)
    last = counts[-1]
    accuracies = (100 * last.right / last.utterances).to_numpy()
    mean, half = interval(accuracies[:, None])
    path = results_dir() / "published.csv"
    table = pd.read_csv(path, dtype=str)
    (published,) = table[table.network == PUBLISHED].to_dict("records")
    changes = "; ".join([f"{last.epochs[0]} of 300 epochs", *PLAN["changes"]])
    row = {name: published[name] for name in ("input", "source", "code")} | {
        "network": NAME,
        "accuracy": f"{mean:.1f}",
        "spread": f"{half:.1f}",
        "spread_is": "interval",
        "parameters": f"{sum(p.numel() for p in Published(140, 20).parameters())}",
        "selected_on": "nothing",
        "verified": "this study",
        "same_network_as": PUBLISHED,
        "note": f"evidence/se_adlif.yaml: five folds of two speakers, one seed, nothing selected; "
        f"spread over {len(accuracies)} speakers (results/se_adlif.csv); changed: {changes}",
    }
    table = pd.concat([table[table.network != NAME], pd.DataFrame([row])])
    with atomic(path) as part:
        table.to_csv(part, index=False)


def main() -> None:
    """Train folds or write the row, from the command line."""
    parser = argparse.ArgumentParser(prog="python -m evidence.se_adlif", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train", help="train folds that are unfinished")
    training.add_argument("folds", nargs="+", type=int, choices=range(PLAN["folds"]))
    training.add_argument("--dataset", default=PLAN["dataset"], help="or a folder that holds it")
    commands.add_parser("row", help="write the row of results/published.csv")
    given = parser.parse_args()
    if given.command == "row":
        write_row()
        return
    events = utterances(given.dataset)
    for epochs in PLAN["epochs"]:
        for number in given.folds:
            train(number, epochs, events)


if __name__ == "__main__":
    run_command(main)
