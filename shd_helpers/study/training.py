"""Train and evaluate: one epoch, then many."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from shd_helpers.checks import check_choice, check_number, check_whole
from shd_helpers.events.augmentation import Augmentation
from shd_helpers.events.downsample import Events
from shd_helpers.network.costs import effective_acs, late_spikes
from shd_helpers.network.engines import ENGINES, Network, choose_engine


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained: Adam with a stepwise falling learning rate; the study's defaults.

    Raises
    ------
    ValueError
        If a value is out of its range; the message names it.
    """

    epochs: int = 30  # passes over the training utterances
    batch_size: int = 8
    lr: float = 1e-3  # learning rate of Adam
    lr_step: int = 10  # epochs between two drops of the learning rate
    lr_gamma: float = 0.5  # factor of each drop
    l1_spikes: float = 0.0  # what a hidden spike adds to its utterance's loss (nats)
    engine: str = "fused"  # see `choose_engine`
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Refuse what can't be trained with."""
        check_whole("epochs", self.epochs, 1, 100_000)
        check_whole("batch_size", self.batch_size, 1, 100_000)
        check_number("lr", self.lr, 0, 1, above=True)
        check_whole("lr_step", self.lr_step, 1, 100_000)
        check_number("lr_gamma", self.lr_gamma, 0, 1, above=True)
        check_number("l1_spikes", self.l1_spikes, 0, 1)
        check_choice("engine", self.engine, ENGINES)
        if not isinstance(self.device, str) or not re.fullmatch("cpu|cuda(:[0-9])?", self.device):
            raise ValueError(f"device {self.device!r}: take 'cpu' or 'cuda'")


class Metrics(NamedTuple):
    """Means over utterances."""

    loss: float  # cross-entropy of the class scores, nats
    accuracy: float  # fraction, 0..1


@dataclass(frozen=True)
class Evaluation:
    """What a network made of utterances; nothing is updated."""

    model: Network
    events: Events
    class_scores: torch.Tensor  # (utterances, classes)
    n_spikes: np.ndarray  # (utterances, layers)

    @property
    def loss(self) -> float:
        """Return the mean cross-entropy of the class scores, nats."""
        labels = torch.from_numpy(self.events.labels)
        return functional.cross_entropy(self.class_scores, labels).item()

    @property
    def accuracy(self) -> float:
        """Return the share of utterances that were classified correctly, 0..1."""
        return float(np.mean(self.class_scores.argmax(1).numpy() == self.events.labels))

    def predictions(self) -> pd.DataFrame:
        """Return a row for each utterance.

        Returns
        -------
        DataFrame
            `utterance` (index), `part` (``train`` or ``test``: its file), `row` (in that file),
            `speaker`, `label` and `predicted` (class names), `input_events`, `hidden_spikes` (all
            hidden neurons and steps), `output_spikes`, `late_spikes` and
            `effective_acs` (see `costs`).
        """
        events, names = self.events, np.array(self.events.class_names)
        columns = {"utterance": np.arange(len(events)), **origin(events)}
        columns |= {"speaker": events.speakers, "label": names[events.labels]}
        columns |= {"predicted": names[self.class_scores.argmax(1).numpy()]}
        columns |= {"input_events": np.diff(events.offsets)}
        columns |= {"hidden_spikes": self.n_spikes[:, :-1].sum(1).astype(np.int64)}
        columns |= {"output_spikes": self.n_spikes[:, -1].astype(np.int64)}
        columns |= {"late_spikes": late_spikes(self.model, events)}
        columns |= {"effective_acs": effective_acs(self.model, events, self.n_spikes)}
        return pd.DataFrame(columns)


def origin(events: Events) -> dict[str, np.ndarray]:
    """Return each utterance's file (`part`: ``train`` or ``test``) and `row` in it, if known."""
    if events.rows is None or events.part is None:
        return {}
    return {"part": np.array(["train", "test"])[events.part], "row": events.rows}


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch to one thread for a moment.

    For a few ten thousand weights more are slower, and OpenMP's threads spin for a while after
    their work, on the cores that the compiled engine wants next.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def batches(
    n: int, batch_size: int, generator: torch.Generator | None = None
) -> Iterator[np.ndarray]:
    """Yield indices (batch,) until each of `n` utterances was in one batch, also the last few.

    Parameters
    ----------
    n : int
        Number of utterances.
    batch_size : int
        Utterances in a batch; the last one may be smaller.
    generator : torch.Generator, optional
        Shuffles; without it the order is the file's.
    """
    order = torch.arange(n) if generator is None else torch.randperm(n, generator=generator)
    for index in order.split(batch_size):
        yield index.numpy()


def train_epoch(
    model: Network,
    events: Events,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    generator: torch.Generator,
) -> Metrics:
    """Update the weights once per batch; return the means met on the way.

    Parameters
    ----------
    model : SpikingNetwork or ConvolutionalNetwork
        Changed in place.
    events : Events
        Training utterances.
    optimizer : torch.optim.Optimizer
        Holds the model's parameters.
    config : TrainConfig
        Its batch size, engine and cost of spikes count.
    generator : torch.Generator
        Shuffles.

    Returns
    -------
    Metrics
        Weighted by batch size, measured before each update; the loss with the cost of spikes.
    """
    run = choose_engine(config.engine, model)
    loss_sum, correct = 0.0, 0
    for index in batches(len(events), config.batch_size, generator):
        loss, class_scores = run.forward_backward(model, events, index, config.l1_spikes)
        with one_thread():
            optimizer.step()
        loss_sum += loss * len(index)
        correct += np.sum(class_scores.argmax(1).cpu().numpy() == events.labels[index])
    return Metrics(loss_sum / len(events), float(correct) / len(events))


def overfit(
    model: Network, events: Events, updates: int, engine: str = "fused", lr: float = 2e-3
) -> list[float]:
    """Learn a few utterances by heart, all in one batch; return the loss before each update.

    Parameters
    ----------
    model : SpikingNetwork or ConvolutionalNetwork
        Changed in place.
    events : Events
        The utterances.
    updates : int
        Steps of Adam.
    engine : str
        See `choose_engine`.
    lr : float
        Adam's learning rate.
    """
    generator = torch.Generator().manual_seed(0)
    config = TrainConfig(batch_size=len(events), engine=engine)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    return [train_epoch(model, events, optimizer, config, generator).loss for _ in range(updates)]


def evaluate(
    model: Network, events: Events, engine: str = "fused", batch_size: int = 128
) -> Evaluation:
    """Run all utterances through the network; nothing is updated.

    Parameters
    ----------
    model : SpikingNetwork or ConvolutionalNetwork
        Any network.
    events : Events
        Utterances.
    engine : str
        See `choose_engine`.
    batch_size : int
        Utterances in a batch; changes no result.
    """
    run = choose_engine(engine, model)
    parts = [run.evaluate_batch(model, events, i) for i in batches(len(events), batch_size)]
    scores, spikes = (torch.cat(tensors).cpu() for tensors in zip(*parts, strict=True))
    return Evaluation(model, events, scores, spikes.numpy())


def fit(
    model: Network,
    training: Events,
    validation: Events,
    config: TrainConfig,
    generator: torch.Generator,
    *,
    augmentation: Augmentation | None = None,
    on_epoch: Callable[[Network, dict], None] | None = None,
) -> list[dict]:
    """Train a network; print one line an epoch.

    Parameters
    ----------
    model : SpikingNetwork or ConvolutionalNetwork
        Changed in place.
    training, validation : Events
        Utterances to learn from, and to watch only.
    config : TrainConfig
        Epochs, batch size, learning rate, engine.
    generator : torch.Generator
        Shuffles, and seeds the augmentation.
    augmentation : Augmentation, optional
        Changes the training utterances anew for every epoch.
    on_epoch : callable, optional
        Takes the model and the epoch's metrics after every epoch.

    Returns
    -------
    list of dict
        The metrics of each epoch.

    Raises
    ------
    ValueError
        If a loss or a weight is no finite number any more; the message names epoch and cause.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, config.lr_step, config.lr_gamma)
    history = []
    for epoch in range(1, config.epochs + 1):
        start = time.perf_counter()
        rate = scheduler.get_last_lr()[0]
        shown = augmentation(training, generator) if augmentation else training
        train = train_epoch(model, shown, optimizer, config, generator)
        valid = evaluate(model, validation, config.engine)
        numbers = [torch.tensor([train.loss, valid.loss]), *model.parameters()]
        if not all(bool(torch.isfinite(values).all()) for values in numbers):
            raise ValueError(
                f"epoch {epoch}: a loss or weight is no finite number any more. Most likely lr "
                f"{rate:g} is too large, or slope: snntorch's sigmoid overflows where it's steep"
            )
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
            on_epoch(model, metrics)
        print(
            f"epoch {epoch:3d}/{config.epochs}  loss {train.loss:.3f}  "
            f"training {train.accuracy:6.1%}  validation {valid.accuracy:6.1%}  "
            f"{metrics['wall_s']:5.1f} s",
            flush=True,
        )
    return history
