"""Train and evaluate: one epoch, then many."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from shd_helpers.checks import check_settings, setting
from shd_helpers.events.augmentation import Augmentation
from shd_helpers.events.downsampling import Events
from shd_helpers.network import Quantization, SpikingNetwork, answers
from shd_helpers.network.engine import Network, choose_engine
from shd_helpers.network.ensemble import combine_members
from shd_helpers.study.evaluation import batches, evaluate
from shd_helpers.study.threads import one_thread, threads_for

LR_GAMMA = 0.5  # by which the learning rate falls


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained: Adam with a stepwise falling learning rate; the study's defaults.

    ValueError names a value out of its range.
    """

    epochs: int = setting(30, (1, 100_000))  # passes over the training utterances
    batch_size: int = setting(8, (1, 100_000))
    lr: float = setting(1e-3, (1e-9, 1))  # learning rate of Adam
    lr_step: int = setting(10, (1, 100_000))  # epochs after which the learning rate falls to half

    def __post_init__(self) -> None:
        """Refuse what can't be trained with."""
        check_settings(self)


class Metrics(NamedTuple):
    """Means over utterances."""

    loss: float  # cross-entropy of the class scores, nats
    accuracy: float  # fraction, 0..1


def train_epoch(
    model: Network,
    events: Events,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    generator: torch.Generator,
    quantization: Quantization | None = None,
    engine: str = "fused",
) -> Metrics:
    """Update the model's weights once per batch; return the means met on the way.

    They are weighted by batch size and measured before each update. With a quantization every batch
    runs with low-precision weights; the gradients go to the model's own.
    """
    run = choose_engine(engine, model)
    loss_sum, correct = 0.0, 0
    for index in batches(len(events), config.batch_size, generator):
        as_built = quantization.low_precision_weights(model) if quantization else nullcontext()
        with as_built, threads_for(run):
            loss, class_scores = run.forward_backward(model, events, index)
        with one_thread():
            optimizer.step()
        loss_sum += loss * len(index)
        correct += np.sum(answers(class_scores) == events.labels[index])
    return Metrics(loss_sum / len(events), float(correct) / len(events))


def overfit(model: Network, events: Events, updates: int, engine: str = "fused") -> list[float]:
    """Learn a few utterances by heart, in one batch; return the loss before each step of Adam."""
    generator = torch.Generator().manual_seed(0)
    config = TrainConfig(batch_size=len(events))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    return [
        train_epoch(model, events, optimizer, config, generator, engine=engine).loss
        for _ in range(updates)
    ]


def fit(
    model: Network,
    training: Events,
    validation: Events,
    config: TrainConfig,
    generator: torch.Generator,
    *,
    augmentation: Augmentation | None = None,
    quantization: Quantization | None = None,
    engine: str = "fused",
    on_epoch: Callable[[Network, dict], None] | None = None,
) -> list[dict]:
    """Train a network, or each member of an ensemble, in place; print a line for each epoch.

    Parameters
    ----------
    training, validation : Events
        Utterances to learn from, and to watch only.
    generator : torch.Generator
        Shuffles, seeds the augmentation.
    augmentation : Augmentation, optional
        Changes the training utterances anew for every epoch.
    quantization : Quantization, optional
        The last `quantized_epochs` train, and end, with low-precision weights.
    engine : str
        See `choose_engine`.
    on_epoch : callable, optional
        Takes the model as it was validated, and the epoch's metrics, after every epoch.

    Raises
    ------
    ValueError
        If a loss or a weight is no finite number any more; the message names epoch and cause.
    """
    ensemble = model if isinstance(model, SpikingNetwork) and model.ensemble_members else None
    trained: tuple[Network, ...] = ensemble.ensemble_members if ensemble else (model,)
    optimizers = [torch.optim.Adam(network.parameters(), lr=config.lr) for network in trained]
    schedulers = [
        torch.optim.lr_scheduler.StepLR(each, config.lr_step, LR_GAMMA) for each in optimizers
    ]
    history = []
    for epoch in range(1, config.epochs + 1):
        start = time.perf_counter()
        rate = schedulers[0].get_last_lr()[0]
        left = config.epochs - epoch
        tuned = quantization if quantization and left < quantization.quantized_epochs else None
        met = []
        for network, optimizer in zip(trained, optimizers, strict=True):
            utterances = augmentation(training, generator) if augmentation else training
            met.append(
                train_epoch(network, utterances, optimizer, config, generator, tuned, engine)
            )
        train = Metrics(*np.mean(met, axis=0).tolist())
        if ensemble:
            combine_members(ensemble)
        as_built = tuned.low_precision_weights if tuned else nullcontext
        with as_built(model):
            valid = evaluate(model, validation, engine)
        numbers = [torch.tensor([train.loss, valid.loss]), *model.parameters()]
        if not all(bool(torch.isfinite(values).all()) for values in numbers):
            raise ValueError(
                f"epoch {epoch}: a loss or weight is no finite number any more. Most likely lr "
                f"{rate:g} is too large, or slope: snntorch's narrow sigmoid overflows"
            )
        for scheduler in schedulers:
            scheduler.step()
        metrics = {
            "epoch": epoch,
            "lr": rate,
            "train_loss": train.loss,
            "train_accuracy": train.accuracy,
            "validation_loss": valid.loss,
            "validation_accuracy": valid.accuracy,
            "wall_s": time.perf_counter() - start,
        }
        history.append(metrics)
        if on_epoch:
            with as_built(model):
                on_epoch(model, metrics)
        print(
            f"epoch {epoch:3d}/{config.epochs}  loss {train.loss:.3f}  "
            f"training {train.accuracy:6.1%}  validation {valid.accuracy:6.1%}  "
            f"{metrics['wall_s']:5.1f} s",
            flush=True,
        )
    if tuned:
        tuned.round_weights(model)
    return history
