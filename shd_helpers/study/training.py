"""Train a network: one epoch (`train_epoch`), or all of them with validation (`fit`).

`evaluate` returns its answers to utterances, and their accuracy.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.optim.lr_scheduler import LRScheduler, StepLR

from shd_helpers.events.augmentation import Augmentation
from shd_helpers.events.downsampling import Events
from shd_helpers.network import Quantization
from shd_helpers.network.engine import (
    LossOf,
    can_record,
    choose_engine,
    one_thread,
    runs_in_loop,
    threads_for,
)
from shd_helpers.network.spiking import SpikingNetwork
from shd_helpers.study.recipe import TrainConfig

if TYPE_CHECKING:  # pandas takes a second to import, and `shd_helpers.hear` doesn't need it
    import pandas as pd

FEW_SPEAKERS = 6  # of so few, each is shown, because their mean says little


@dataclass(frozen=True)
class Evaluation:
    """The class scores and spikes of a network for utterances, from `evaluate`.

    Parameters
    ----------
    model : Module
        The network.
    events : Events
        The utterances.
    class_scores : (utterances, classes) Tensor
        The network's score of each class; the highest one is the answer.
    n_spikes : (utterances, layers) array
        The number of spikes in each layer.
    """

    model: nn.Module
    events: Events
    class_scores: torch.Tensor
    n_spikes: np.ndarray

    @property
    def loss(self) -> float:
        """Return the mean cross-entropy of the class scores, nats."""
        labels = torch.from_numpy(self.events.labels)
        return functional.cross_entropy(self.class_scores, labels).item()

    @property
    def answers(self) -> np.ndarray:
        """Return the class with the highest score of each utterance, (utterances,), int64.

        Of several with equally high scores, it is the first one.
        """
        return self.class_scores.numpy().argmax(1)

    @property
    def confidence(self) -> np.ndarray:
        """Return the softmax of each answer's score, (utterances,), 0..1.

        It is the softmax that the cross-entropy of the training has.
        """
        return self.class_scores.softmax(-1).amax(-1).numpy()

    @property
    def accuracy(self) -> float:
        """Return the fraction of utterances that were classified correctly, 0..1."""
        return float(np.mean(self.answers == self.events.labels))

    def predictions(self) -> "pd.DataFrame":
        """Return a row for each utterance.

        Returns
        -------
        DataFrame
            `utterance` (index), `file` (``train`` or ``test``), `row` (in that file),
            `speaker`, `label` and `predicted` (class names), `confidence`, `input_events`,
            `hidden_spikes` (all hidden neurons and steps), `output_spikes`, `late_spikes` and
            `effective_acs` (see `costs`). A module of the user's own has no columns of spikes,
            because it doesn't say which of its numbers are spikes. `effective_acs` is absent where
            it can't be counted: see `operation_counts.uncounted_reason`.
        """
        import pandas as pd

        from shd_helpers.network.operation_counts import (
            late_spikes,
            network_accumulates,
            uncounted_reason,
        )

        class_names = np.array(self.events.class_names)
        columns = {"utterance": np.arange(len(self.events)), **origin(self.events)}
        columns |= {
            "speaker": self.events.speakers,
            "label": class_names[self.events.labels],
            "predicted": class_names[self.answers],
            "confidence": self.confidence.round(4),
            "input_events": np.diff(self.events.offsets),
        }
        # A module that runs by its own `forward` has zeros in place of counts.
        if runs_in_loop(self.model):
            columns |= {
                "hidden_spikes": self.n_spikes[:, :-1].sum(1).astype(np.int64),
                "output_spikes": self.n_spikes[:, -1].astype(np.int64),
                "late_spikes": late_spikes(self.model, self.events),
            }
        model = self.model
        if isinstance(model, SpikingNetwork) and uncounted_reason(model) is None:
            columns["effective_acs"] = network_accumulates(model, self.events, self.n_spikes)
        return pd.DataFrame(columns)


def origin(events: Events) -> dict[str, np.ndarray]:
    """Return where each utterance comes from, as columns of a table."""
    if events.rows is None or events.file is None:
        return {}
    return {"file": np.array(["train", "test"])[events.file], "row": events.rows}


def batches(
    n: int, batch_size: int, generator: torch.Generator | None = None
) -> Iterator[np.ndarray]:
    """Yield the indices of each batch, so that each utterance is in exactly one."""
    order = torch.arange(n) if generator is None else torch.randperm(n, generator=generator)
    for index in order.split(batch_size):
        yield index.numpy()


def evaluate(
    model: nn.Module, events: Events, engine: str = "compiled", batch_size: int = 128
) -> Evaluation:
    """Run utterances through a network without updating it.

    Parameters
    ----------
    model : Module
        The network.
    events : Events
        The utterances.
    engine : str
        See `choose_engine`.
    batch_size : int
        Utterances that are computed at once. It changes no result.

    Returns
    -------
    Evaluation
        Class scores and spikes of all utterances, in their order.

    Raises
    ------
    ValueError
        If a class score is NaN.
    """
    run = choose_engine(engine, model)
    with threads_for(run):
        answers = [
            run.evaluate_batch(model, events, index) for index in batches(len(events), batch_size)
        ]
    scores, n_spikes = zip(*answers, strict=True)
    class_scores = torch.cat(scores).cpu()
    n_wrong = int(class_scores.isnan().any(1).sum())
    if n_wrong:
        raise ValueError(
            f"{type(model).__name__}: class scores of {n_wrong} of {len(events)} utterances are "
            "NaN. Most likely a weight is NaN, because lr was too large, or its file is damaged. "
            "Train the network again with a smaller lr, or load its weights again"
        )
    return Evaluation(model, events, class_scores, torch.cat(n_spikes).cpu().numpy())


def seen_and_unseen_accuracy(
    tested: Evaluation | None, seen: Sequence[int]
) -> dict[str, float | None]:
    """Return the test accuracy for all speakers, for seen ones, and for unseen ones."""
    if tested is None:
        return {"test": None, "test_seen": None, "test_unseen": None}
    is_correct = tested.answers == tested.events.labels
    is_seen = np.isin(tested.events.speakers, seen)
    return {
        "test": _mean(is_correct),
        "test_seen": _mean(is_correct[is_seen]),
        "test_unseen": _mean(is_correct[~is_seen]),
    }


def shown_accuracies(
    accuracies: Mapping[str, float | None], predictions: "pd.DataFrame", seen: Sequence[int]
) -> dict[str, float | None]:
    """Return a run's accuracies as they are shown: of few unseen speakers each, and no mean."""
    unseen = predictions[~predictions.speaker.isin(seen)]
    by_speaker = (unseen.label == unseen.predicted).groupby(unseen.speaker).mean()
    if accuracies["test_unseen"] is None or len(by_speaker) > FEW_SPEAKERS:
        return dict(accuracies)
    # `test` is a mean over seen and unseen speakers
    hidden = ("test", "test_unseen")
    shown = {name: value for name, value in accuracies.items() if not name.endswith(hidden)}
    return shown | {f"unseen speaker {each}": value for each, value in by_speaker.items()}


def _mean(is_correct: np.ndarray) -> float | None:
    """Return the fraction of correct answers, None without any answer."""
    return float(is_correct.mean()) if len(is_correct) else None


@torch.no_grad()
def record_examples(model: nn.Module, events: Events) -> dict[str, dict[str, np.ndarray]]:
    """Record how the first utterance of each class passes through the network."""
    examples: dict[str, dict[str, np.ndarray]] = {}
    if not can_record(model):
        return examples
    classes, first = np.unique(events.labels, return_index=True)
    engine = choose_engine("snntorch", model)
    with one_thread():
        recording = engine.record(model, events, first)
        scores, _ = engine.evaluate_batch(model, events, first)
    recording = recording.cpu()
    frames = events.to_frames(first).astype(bool)
    for column, (label, utterance) in enumerate(zip(classes, first, strict=True)):
        examples[events.class_names[label]] = {
            "utterance": np.array([utterance]),
            "input": frames[:, column],
            "mem": recording.mem[:, column].numpy(),
            "spk": recording.spk[:, column].bool().numpy(),
            "scores": scores[column].numpy(),
        }
        if recording.hidden_spk:  # a module of the user's own need not record it
            hidden_spk = recording.hidden_spk[-1]
            examples[events.class_names[label]]["hidden"] = hidden_spk[:, column].bool().numpy()
    return examples


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
    loss: LossOf | None = None
    optimizer: MakeOptimizer | None = None
    schedule: MakeSchedule | None = None


def train_epoch(
    model: nn.Module,
    events: Events,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    generator: torch.Generator,
    quantization: Quantization | None = None,
    options: TrainOptions | None = None,
) -> tuple[float, float]:
    """Train a network for one epoch, with one update for each batch; return loss and accuracy.

    Both are means over utterances: the loss in nats, and the accuracy as a fraction.
    """
    options = options or TrainOptions()
    run = choose_engine(options.engine, model)
    loss_sum = 0.0
    n_correct = 0
    for index in batches(len(events), config.batch_size, generator):
        with _precision(model, quantization), threads_for(run):
            loss, class_scores = run.forward_backward(model, events, index, options.loss)
        with one_thread():
            optimizer.step()
        loss_sum += loss * len(index)  # the last batch may be smaller
        n_correct += np.sum(class_scores.numpy().argmax(1) == events.labels[index])
    return loss_sum / len(events), float(n_correct) / len(events)


def overfit(model: nn.Module, events: Events, updates: int) -> list[float]:
    """Train a network on a few utterances in one batch, to see whether it can learn at all."""
    generator = torch.Generator().manual_seed(0)
    config = TrainConfig(batch_size=len(events))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    return [train_epoch(model, events, optimizer, config, generator)[0] for _ in range(updates)]


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
        if options.quantization and epoch > config.epochs - options.quantization.quantized_epochs:
            quantization = options.quantization
        events = options.augmentation(training, generator) if options.augmentation else training
        loss, accuracy = train_epoch(
            model, events, optimizer, config, generator, quantization, options
        )
        metrics = {
            "epoch": epoch,
            "lr": learning_rate,
            "train_loss": loss,
            "train_accuracy": accuracy,
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
