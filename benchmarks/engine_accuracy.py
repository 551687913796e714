"""Train with both engines from the same seeds and compare the accuracies they end with.

Runs of one seed start from the same weights and see the same batches. They part company as soon
as one spike falls differently, so it is the distributions that have to agree: the table in
``results/engine_accuracy.csv`` has every run, and the last lines printed are paired differences.
With the default 5 seeds and 30 epochs snntorch's runs take about a quarter of an hour.
"""

import argparse

import numpy as np
import pandas as pd
import torch
from scipy.stats import ttest_rel

from shd_helpers.events import Downsampling, Split, load_parts
from shd_helpers.files import atomic
from shd_helpers.network import NetworkConfig, build_network
from shd_helpers.network.engines import ENGINES
from shd_helpers.paths import results_dir
from shd_helpers.source.datasets import locate
from shd_helpers.study import TrainConfig, evaluate, fit


def run(engine: str, seed: int, dataset: str, epochs: int, batch_size: int, lr: float) -> dict:
    """Train once; return the accuracies of the last epoch, and the loss of the first."""
    files, grid, split = locate(dataset), Downsampling(), Split()
    train, valid, test = load_parts(files, grid, "english", split, seed)
    generator = torch.Generator().manual_seed(seed)
    size = train.n_units, len(train.class_names), train.step_ms
    model = build_network(NetworkConfig(), *size, generator)
    config = TrainConfig(epochs=epochs, batch_size=batch_size, lr=lr)
    history = fit(model, train, valid, config, generator, engine=engine)
    return {
        "engine": engine,
        "seed": seed,
        "train": history[-1]["train_accuracy"],
        "validation": history[-1]["validation_accuracy"],
        "test": evaluate(model, test, engine).accuracy,
        "loss_after_epoch_1": history[0]["train_loss"],
    }


def main() -> None:
    """Run all seeds with both engines, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="../shared/data/fsdd_spikes")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=2e-3)
    args = parser.parse_args()
    table = pd.DataFrame(
        run(engine, seed, args.dataset, args.epochs, args.batch_size, args.lr)
        for seed in range(args.seeds)
        for engine in ENGINES
    )
    with atomic(results_dir() / "engine_accuracy.csv") as file:
        table.to_csv(file, index=False, float_format="%.4g")
    print(table.to_string(index=False))
    for part in ("train", "validation", "test"):
        a, b = (100 * table[table.engine == engine][part].to_numpy() for engine in ENGINES)
        test = ttest_rel(a, b)
        low, high = test.confidence_interval(0.95)
        interval = f"{np.mean(a - b):+.1f} points, 95 % interval {low:+.1f} to {high:+.1f}"
        print(f"{part}: {' - '.join(ENGINES)} = {interval}, p = {test.pvalue:.2f}")


if __name__ == "__main__":
    main()
