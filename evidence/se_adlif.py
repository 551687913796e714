"""Train SE-adLIF's published network on the folds of ``se_adlif.yaml``, and write its row.

``python -m evidence.se_adlif train 0 1 2`` trains these folds, one after the other on one core. It
goes on after the last epoch that was finished. ``python -m evidence.se_adlif row`` writes the row
of ``results/published.csv`` when all folds are there.
"""

import argparse
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


def path_of(fold: int, name: str) -> Path:
    """Return a file of a fold: its state after the last epoch, or its answers."""
    return runs_dir() / "se_adlif" / f"{name}_{fold}"


def train(number: int, events: Events) -> None:
    """Train and test the network of a fold, or what is left of it."""
    answers = path_of(number, "answers").with_suffix(".csv")
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
        with atomic(path_of(number, "state")) as part:
            torch.save(state, part)

    options = replace(OPTIONS, optimizer=lambda _: optimizer)
    with one_thread():
        if done < PLAN["epochs"]:
            config = TrainConfig(epochs=PLAN["epochs"] - done, batch_size=PLAN["batch_size"])
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
    path = path_of(number, "state")
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    net.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    generator.set_state(state["order"])
    torch.set_rng_state(state["dropout"])
    return state["epoch"]


def write_row() -> None:
    """Write the row of the network, with the mean accuracy over the held-out speakers."""
    folds = [path_of(number, "answers").with_suffix(".csv") for number in range(PLAN["folds"])]
    answers = pd.concat(map(pd.read_csv, folds))
    is_correct = answers.label == answers.answer
    accuracies = 100 * is_correct.groupby(answers.speaker).mean()
    mean, half = interval(accuracies.to_numpy()[:, None])
    path = results_dir() / "published.csv"
    table = pd.read_csv(path, dtype=str)
    (published,) = table[table.network == PUBLISHED].to_dict("records")
    changes = "; ".join([f"{PLAN['epochs']} epochs", *PLAN["changes"]])
    row = {name: published[name] for name in ("input", "source", "code")} | {
        "network": NAME,
        "accuracy": f"{mean:.1f}",
        "parameters": f"{sum(p.numel() for p in Published(140, 20).parameters())}",
        "selected_on": "held-out speakers",
        "verified": "this study",
        "same_network_as": PUBLISHED,
        "note": f"evidence/se_adlif.yaml: five folds of two speakers, one seed, no selection; "
        f"± {half:.1f} over {len(accuracies)} speakers; changed: {changes}",
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
    for number in given.folds:
        train(number, events)


if __name__ == "__main__":
    run_command(main)
