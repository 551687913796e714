"""Train and validate: one epoch, then many; in the end, one look at the test file."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from shd_helpers.events.augmentation import Augmentation
from shd_helpers.events.downsample import Events
from shd_helpers.network.costs import effective_acs
from shd_helpers.network.engines import choose_engine
from shd_helpers.network.spiking import SpikingNetwork


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
        speakers, at least one, so that validation hears strangers as the test file has them;
        ``"speaker 3"``: the third in the training file, whatever its number there.
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
    elif kind.startswith("speaker ") and kind[8:].isdecimal():
        held_out = np.unique(events.speakers)[int(kind[8:]) - 1 : int(kind[8:])]
        validation = np.flatnonzero(np.isin(events.speakers, held_out))
    else:
        raise ValueError(f"validation {kind!r}: unknown; take 'random', 'speaker' or 'speaker 3'")
    training = np.setdiff1d(np.arange(n), validation)
    if len(training) == 0 or len(validation) == 0:
        raise ValueError(
            f"validation {kind!r} with fraction {fraction} leaves {len(training)} utterances for "
            f"training and {len(validation)} for validation; change the fraction or the kind"
        )
    return training, validation


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
    model: SpikingNetwork,
    events: Events,
    optimizer: torch.optim.Optimizer,
    batch_size: int,
    generator: torch.Generator,
    engine: str = "fused",
    l1_spikes: float = 0.0,
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
    engine : str
        See `choose_engine`.
    l1_spikes : float
        What a hidden spike adds to the loss (nats).

    Returns
    -------
    Metrics
        Weighted by batch size, measured before each update.
    """
    run = choose_engine(engine, model)
    loss_sum, correct = 0.0, 0
    for index in batches(len(events), batch_size, generator):
        loss, class_scores = run.forward_backward(model, events, index, l1_spikes)
        with one_thread():
            optimizer.step()
        loss_sum += loss * len(index)
        correct += np.sum(class_scores.argmax(1).cpu().numpy() == events.labels[index])
    return Metrics(loss_sum / len(events), float(correct) / len(events))


def overfit(
    model: SpikingNetwork, events: Events, updates: int, engine: str = "fused", lr: float = 2e-3
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
    engine : str
        See `choose_engine`.
    lr : float
        Adam's learning rate.
    """
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    epochs = [
        train_epoch(model, events, optimizer, len(events), generator, engine)
        for _ in range(updates)
    ]
    return [metrics.loss for metrics in epochs]


def validate_epoch(
    model: SpikingNetwork, events: Events, batch_size: int = 128, engine: str = "fused"
) -> Metrics:
    """Return loss and accuracy over all utterances; nothing is updated."""
    run = choose_engine(engine, model)
    indices = batches(len(events), batch_size)
    parts = [run.evaluate_batch(model, events, index)[0] for index in indices]
    class_scores = torch.cat(parts).cpu()
    labels = torch.from_numpy(events.labels)
    loss = functional.cross_entropy(class_scores, labels).item()
    return Metrics(loss, (class_scores.argmax(1) == labels).double().mean().item())


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
    engine: str,
    on_epoch: Callable[[SpikingNetwork, dict], None],
    l1_spikes: float = 0.0,
    augmentation: Augmentation | None = None,
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
    engine : str
        See `choose_engine`.
    on_epoch : callable
        Takes the model and the epoch's metrics after every epoch.
    l1_spikes : float
        What a hidden spike adds to the loss (nats).
    augmentation : Augmentation, optional
        Changes the training utterances anew for every epoch.

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
        heard = augmentation(training, generator) if augmentation else training
        train = train_epoch(model, heard, optimizer, batch_size, generator, engine, l1_spikes)
        valid = validate_epoch(model, validation, engine=engine)
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


def predict(
    model: SpikingNetwork, events: Events, batch_size: int = 128, engine: str = "fused"
) -> pd.DataFrame:
    """Return what the network answers to each utterance.

    Parameters
    ----------
    model : SpikingNetwork
        Trained network.
    events : Events
        Utterances.
    batch_size : int
        Utterances in a batch.
    engine : str
        See `choose_engine`.

    Returns
    -------
    DataFrame
        A row per utterance: `utterance` (index), `speaker`, `label` and `predicted` (class
        names), `input_events`, `hidden_spikes` (all hidden neurons, all steps), `output_spikes`,
        `effective_acs` (see `costs.effective_acs`).
    """
    run = choose_engine(engine, model)
    indices = batches(len(events), batch_size)
    parts = [run.evaluate_batch(model, events, index) for index in indices]
    class_scores, spikes = (
        torch.cat(tensors).cpu().numpy() for tensors in zip(*parts, strict=True)
    )
    names = np.array(events.class_names)
    return pd.DataFrame(
        {
            "utterance": np.arange(len(events)),
            "speaker": events.speakers,
            "label": names[events.labels],
            "predicted": names[class_scores.argmax(1)],
            "input_events": np.diff(events.offsets),
            "hidden_spikes": spikes[:, :-1].sum(1).astype(np.int64),
            "output_spikes": spikes[:, -1].astype(np.int64),
            "effective_acs": effective_acs(model, events, spikes),
        }
    )


def seen_and_unseen_accuracy(
    predictions: pd.DataFrame, heard: Sequence[int]
) -> dict[str, float | None]:
    """Return the test accuracy, over all speakers and split by who was heard in training.

    Parameters
    ----------
    predictions : DataFrame
        From `predict` on the test file.
    heard : sequence of int
        Speakers of the utterances that the network was trained on.

    Returns
    -------
    dict
        `test`, `test_seen`, `test_unseen` as fractions, None where no such speaker exists.
    """
    correct = predictions.label == predictions.predicted
    known = predictions.speaker.isin(heard)
    parts = {"test": correct, "test_seen": correct[known], "test_unseen": correct[~known]}
    return {name: float(part.mean()) if len(part) else None for name, part in parts.items()}
