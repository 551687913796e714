"""Train and validate: one epoch, then many; in the end, one look at the test file."""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from shd_helpers.model import SpikingNetwork
from shd_helpers.preprocessing import Events


class Metrics(NamedTuple):
    """Means over utterances."""

    loss: float  # cross-entropy on spike counts, nats
    accuracy: float  # fraction, 0..1


def split_validation(
    events: Events, kind: str, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split the training file's utterances into training and validation.

    Parameters
    ----------
    events : Events
        The training file.
    kind : str
        ``"random"``: the same share of every class of every speaker; ``"speaker"``: whole
        speakers, at least one, so that validation hears strangers as the test file has them.
    fraction : float
        Share of the utterances (random) or of the speakers (speaker) for validation, 0..1.
    seed : int
        Chooses them.

    Returns
    -------
    tuple of ndarray
        Indices of training and of validation utterances, ascending.

    Raises
    ------
    ValueError
        If the kind is unknown or either part would be empty.
    """
    n, rng = len(events), np.random.default_rng(seed)
    if kind == "random":
        # systematic sampling: sort by class and speaker, take every (1 / fraction)-th
        order = rng.permutation(n)
        order = order[np.lexsort((events.speakers[order], events.labels[order]))]
        chosen = np.diff(np.floor(np.arange(n + 1) * fraction + rng.random())) > 0
        validation = np.sort(order[chosen])
    elif kind == "speaker":
        speakers = rng.permutation(np.unique(events.speakers))
        held_out = speakers[: max(1, round(fraction * len(speakers)))]
        validation = np.flatnonzero(np.isin(events.speakers, held_out))
    else:
        raise ValueError(f"validation {kind!r}: unknown; take 'random' or 'speaker'")
    training = np.setdiff1d(np.arange(n), validation)
    if len(training) == 0 or len(validation) == 0:
        raise ValueError(
            f"validation {kind!r} with fraction {fraction} leaves {len(training)} utterances for "
            f"training and {len(validation)} for validation; change the fraction or the kind"
        )
    return training, validation


def batches(
    events: Events, batch_size: int, generator: torch.Generator | None = None
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield input (steps, batch, units) and labels (batch,) of all utterances, also the last few.

    Parameters
    ----------
    events : Events
        Utterances.
    batch_size : int
        Utterances in a batch; the last one may be smaller.
    generator : torch.Generator, optional
        Shuffles; without it the order is the file's.
    """
    n = len(events)
    order = torch.arange(n) if generator is None else torch.randperm(n, generator=generator)
    for index in order.split(batch_size):
        x = torch.from_numpy(events.dense(index.tolist()))
        yield x, torch.from_numpy(events.labels[index.numpy()])


def train_epoch(
    model: SpikingNetwork,
    events: Events,
    optimizer: torch.optim.Optimizer,
    batch_size: int,
    generator: torch.Generator,
) -> Metrics:
    """Update the weights once per batch; return the means met on the way.

    Parameters
    ----------
    model : SpikingNetwork
        Changed in place.
    events : Events
        Training utterances.
    optimizer : torch.optim.Optimizer
        Holds the model's parameters.
    batch_size : int
        Utterances in a batch.
    generator : torch.Generator
        Shuffles.

    Returns
    -------
    Metrics
        Weighted by batch size, measured before each update.
    """
    loss_sum, correct = 0.0, 0
    for x, labels in batches(events, batch_size, generator):
        optimizer.zero_grad()
        counts = model(x).spk.sum(0)
        loss = functional.cross_entropy(counts, labels)
        loss.backward()
        optimizer.step()
        loss_sum += loss.item() * len(labels)
        correct += (counts.argmax(1) == labels).sum().item()
    return Metrics(loss_sum / len(events), correct / len(events))


def overfit(
    model: SpikingNetwork, events: Events, updates: int, seed: int, lr: float = 2e-3
) -> list[float]:
    """Learn a few utterances by heart, all in one batch; return the loss before each update.

    Parameters
    ----------
    model : SpikingNetwork
        Changed in place.
    events : Events
        The utterances.
    updates : int
        Steps of Adam.
    seed : int
        Order of the utterances in the batch.
    lr : float
        Adam's learning rate.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    return [
        train_epoch(model, events, optimizer, len(events), generator).loss for _ in range(updates)
    ]


@torch.no_grad()
def validate_epoch(model: SpikingNetwork, events: Events, batch_size: int = 128) -> Metrics:
    """Return loss and accuracy over all utterances; nothing is updated."""
    loss_sum, correct = 0.0, 0
    for x, labels in batches(events, batch_size):
        counts = model(x).spk.sum(0)
        loss_sum += functional.cross_entropy(counts, labels, reduction="sum").item()
        correct += (counts.argmax(1) == labels).sum().item()
    return Metrics(loss_sum / len(events), correct / len(events))


def fit(
    model: SpikingNetwork,
    training: Events,
    validation: Events,
    epochs: int,
    batch_size: int,
    lr: float,
    lr_step: int,
    lr_gamma: float,
    generator: torch.Generator,
    on_epoch: Callable[[nn.Module, dict], None],
) -> list[dict]:
    """Train with Adam and a stepwise falling learning rate; print one line an epoch.

    Parameters
    ----------
    model : SpikingNetwork
        Changed in place.
    training, validation : Events
        Utterances to learn from, and to watch only.
    epochs : int
        Passes over the training utterances.
    batch_size : int
        Utterances in a batch.
    lr : float
        Adam's learning rate.
    lr_step, lr_gamma : int, float
        `StepLR`: the learning rate is multiplied by `lr_gamma` every `lr_step` epochs.
    generator : torch.Generator
        Shuffles.
    on_epoch : callable
        Takes the model and the epoch's metrics after every epoch.

    Returns
    -------
    list of dict
        The metrics of each epoch.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=lr_step, gamma=lr_gamma)
    history = []
    for epoch in range(1, epochs + 1):
        start = time.perf_counter()
        rate = scheduler.get_last_lr()[0]
        train = train_epoch(model, training, optimizer, batch_size, generator)
        valid = validate_epoch(model, validation)
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
        on_epoch(model, metrics)
        print(
            f"epoch {epoch:3d}/{epochs}  loss {train.loss:.3f}  training {train.accuracy:6.1%}  "
            f"validation {valid.accuracy:6.1%}  {metrics['wall_s']:5.1f} s",
            flush=True,
        )
    return history


@torch.no_grad()
def predict(model: SpikingNetwork, events: Events, batch_size: int = 128) -> pd.DataFrame:
    """Return what the network answers to each utterance.

    Parameters
    ----------
    model : SpikingNetwork
        Trained network.
    events : Events
        Utterances.
    batch_size : int
        Utterances in a batch.

    Returns
    -------
    DataFrame
        A row per utterance: `utterance` (index), `speaker`, `label` and `predicted` (class
        names), `input_events`, `hidden_spikes` (all hidden neurons, all steps), `output_spikes`.
    """
    counts, hidden = [], []
    for x, _ in batches(events, batch_size):
        record = model(x, record_hidden=True)
        counts.append(record.spk.sum(0))
        hidden.append(sum(spk.sum((0, 2)) for spk in record.hidden_spk))
    counts, hidden = torch.cat(counts), torch.cat(hidden)
    names = np.array(events.class_names)
    return pd.DataFrame(
        {
            "utterance": np.arange(len(events)),
            "speaker": events.speakers,
            "label": names[events.labels],
            "predicted": names[counts.argmax(1).numpy()],
            "input_events": np.diff(events.offsets),
            "hidden_spikes": hidden.numpy().astype(np.int64),
            "output_spikes": counts.sum(1).numpy().astype(np.int64),
        }
    )
