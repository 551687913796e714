"""Evaluate a network: its answers to utterances, accuracies, and recorded examples."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from shd_helpers.events.event_lists import Events
from shd_helpers.network.engine import (
    can_record,
    choose_engine,
    one_thread,
    runs_in_loop,
    threads_for,
)
from shd_helpers.network.spiking import SpikingNetwork

if TYPE_CHECKING:  # pandas takes a second to import, and `shd_helpers.hear` doesn't need it
    import pandas as pd

FEW_SPEAKERS = 6  # so many have no useful mean, so each is shown


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
