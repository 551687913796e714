"""Train a network: one epoch (`train_epoch`), or all of them with validation (`fit`)."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler, StepLR

from shd_helpers.events.augmentation import Augmentation
from shd_helpers.events.event_lists import Events
from shd_helpers.network import Quantization
from shd_helpers.network.engine import Engine, choose_engine, one_thread, threads_for
from shd_helpers.study.evaluation import batches, evaluate
from shd_helpers.study.recipe import TrainConfig

LR_GAMMA = 0.5  # the factor by which the learning rate falls
MakeOptimizer = Callable[[nn.Module], torch.optim.Optimizer]
MakeSchedule = Callable[[torch.optim.Optimizer, int], LRScheduler]


@dataclass(frozen=True)
class TrainOptions:
    """Options of `fit`: augmentation, quantization, engine, a training of one's own, and printing.

    Parameters
    ----------
    augmentation : Augmentation, optional
        Changes the training utterances anew in every epoch. Default: they stay as they are.
    quantization : Quantization, optional
        The precision of the weights in the last epochs, as many as its `quantized_epochs` says.
        Default: the weights are floats in all epochs.
    engine : str
        ``"compiled"``, the compiled engine, or ``"snntorch"``: see `choose_engine`.
    print_epochs : bool
        Whether a line is printed for each epoch, if there is no `on_epoch`.
    loss : callable, optional
        Takes class scores, (batch, classes), and labels, (batch,), and returns the loss of the
        training, a number with a gradient. Default: `cross_entropy`.
    optimizer : callable, optional
        Takes the network and returns an optimizer of torch. Default: Adam with the rate `lr`.
    schedule : callable, optional
        Takes the optimizer and the number of epochs, and returns a scheduler of torch, which
        changes the rate after each epoch. Default: it falls to half after every `lr_step` epochs.
    """

    augmentation: Augmentation | None = None
    quantization: Quantization | None = None
    engine: str = "compiled"
    print_epochs: bool = True
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None
    optimizer: MakeOptimizer | None = None
    schedule: MakeSchedule | None = None


class Metrics(NamedTuple):
    """Loss and accuracy, as means over utterances."""

    loss: float  # cross-entropy of the class scores, nats
    accuracy: float  # fraction, 0..1


def train_epoch(
    model: nn.Module,
    events: Events,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    generator: torch.Generator,
    quantization: Quantization | None = None,
    options: TrainOptions | None = None,
) -> Metrics:
    """Train a network for one epoch, with one update for each batch."""
    options = options or TrainOptions()
    run = choose_engine(options.engine, model)
    loss_sum = 0.0
    n_correct = 0
    for index in batches(len(events), config.batch_size, generator):
        with _precision(model, quantization), threads_for(run):
            if options.loss is None:
                loss, class_scores = run.forward_backward(model, events, index)
            else:
                loss, class_scores = _by_own_loss(run, model, events, index, options.loss)
        with one_thread():
            optimizer.step()
        loss_sum += loss * len(index)  # the last batch may be smaller
        n_correct += np.sum(class_scores.numpy().argmax(1) == events.labels[index])
    return Metrics(loss_sum / len(events), float(n_correct) / len(events))


def _by_own_loss(
    run: Engine, model: nn.Module, events: Events, index: np.ndarray, loss_of: Callable
) -> tuple[float, torch.Tensor]:
    """Do what an engine's `forward_backward` does, with a loss that the user gives."""
    model.train()
    model.zero_grad()
    scores = run.class_scores(model, events, index)
    loss = loss_of(scores, torch.from_numpy(events.labels[index]).to(scores.device))
    loss.backward()
    return loss.item(), scores.detach().cpu()


def overfit(model: nn.Module, events: Events, updates: int) -> list[float]:
    """Train a network on a few utterances in one batch, to see whether it can learn at all."""
    generator = torch.Generator().manual_seed(0)
    config = TrainConfig(batch_size=len(events))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    return [train_epoch(model, events, optimizer, config, generator).loss for _ in range(updates)]


def fit(
    model: nn.Module,
    training: Events,
    validation: Events | None,
    config: TrainConfig,
    generator: torch.Generator,
    *,
    options: TrainOptions | None = None,
    on_epoch: Callable[[nn.Module, dict], None] | None = None,
) -> list[dict]:
    """Train a network in place, and print a line for each epoch.

    Parameters
    ----------
    model : Module
        The network. It is trained on its own device, such as after ``model.to("cuda")``. We had no
        GPU to try this on.
    training : Events
        Utterances to learn from.
    validation : Events or None
        Utterances to measure each epoch with. They don't change the network. None measures none.
    config : TrainConfig
        The settings.
    generator : torch.Generator
        Shuffles the utterances, and seeds the augmentation.
    options : TrainOptions, optional
        Augmentation, quantization and engine; default: neither of the first two.
    on_epoch : callable, optional
        Takes the model as it was validated, and the epoch's metrics, after every epoch.

    Returns
    -------
    list of dict
        The metrics of each epoch: `epoch` (from 1), `lr`, `train_loss`,
        `train_accuracy`, `validation_loss` and `validation_accuracy` unless there is no validation,
        and `wall_s`.
        Losses are in nats, accuracies fractions.

    Raises
    ------
    ValueError
        If a loss or a weight becomes infinite or NaN; the message names epoch and cause.
    """
    options = options or TrainOptions()
    optimizer: torch.optim.Optimizer = (
        options.optimizer(model)
        if options.optimizer
        else torch.optim.Adam(model.parameters(), lr=config.lr)
    )
    schedule: LRScheduler = (
        options.schedule(optimizer, config.epochs)
        if options.schedule
        else StepLR(optimizer, config.lr_step, LR_GAMMA)  # halves the rate
    )
    quantization = None
    history = []
    for epoch in range(1, config.epochs + 1):
        start_s = time.perf_counter()
        learning_rate = float(schedule.get_last_lr()[0])
        quantization = _quantization_in(epoch, config.epochs, options)
        events = options.augmentation(training, generator) if options.augmentation else training
        trained = train_epoch(model, events, optimizer, config, generator, quantization, options)
        metrics = {
            "epoch": epoch,
            "lr": learning_rate,
            "train_loss": trained.loss,
            "train_accuracy": trained.accuracy,
        }
        _check_finite(model, metrics)
        if validation is not None:
            with _precision(model, quantization):
                validated = evaluate(model, validation, options.engine)
            metrics["validation_loss"] = validated.loss
            metrics["validation_accuracy"] = validated.accuracy
        schedule.step()
        metrics["wall_s"] = time.perf_counter() - start_s
        history.append(metrics)
        if on_epoch:
            with _precision(model, quantization):
                on_epoch(model, metrics)
        elif options.print_epochs:
            _print_epoch(metrics, config.epochs)
    if quantization:  # that of the last epoch
        from shd_helpers.network.quantization import round_weights

        round_weights(quantization, model)
    return history


def _quantization_in(epoch: int, n_epochs: int, options: TrainOptions) -> Quantization | None:
    """Return the quantization of an epoch, which counts from 1; None if it has none."""
    quantization = options.quantization
    is_late = quantization and epoch > n_epochs - quantization.quantized_epochs
    return quantization if is_late else None


def _precision(model: nn.Module, quantization: Quantization | None) -> AbstractContextManager[None]:
    """Return a context with low-precision weights, or without an effect if nothing is quantized."""
    if quantization:
        from shd_helpers.network.quantization import low_precision_weights

        return low_precision_weights(quantization, model)
    return nullcontext()


def _check_finite(model: nn.Module, metrics: Mapping[str, float]) -> None:
    """Raise ValueError if the loss of an epoch, or a weight after it, is infinite or NaN."""
    for values in (torch.tensor(metrics["train_loss"]), *model.parameters()):
        if not bool(torch.isfinite(values).all()):
            raise ValueError(
                f"epoch {metrics['epoch']}: a loss or a weight has become infinite or NaN. Most "
                f"likely the learning rate, lr {metrics['lr']:g}, is too large. A sigmoid "
                "surrogate overflows if its slope is too large. Halve lr, and with a sigmoid "
                "surrogate also slope"
            )


def _print_epoch(metrics: Mapping[str, float], n_epochs: int) -> None:
    text = (
        f"epoch {metrics['epoch']:3d}/{n_epochs}  loss {metrics['train_loss']:.3f}  "
        f"training {metrics['train_accuracy']:6.1%}  "
    )
    if "validation_accuracy" in metrics:
        text += f"validation {metrics['validation_accuracy']:6.1%}  "
    print(f"{text}{metrics['wall_s']:5.1f} s", flush=True)
