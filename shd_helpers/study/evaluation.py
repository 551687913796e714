"""What a network makes of utterances: answers, accuracies, examples; nothing is updated."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from shd_helpers.events.downsampling import Events
from shd_helpers.network.costs import accumulates, check_counted, late_spikes
from shd_helpers.network.engine import Network, answers, choose_engine
from shd_helpers.network.loop import record
from shd_helpers.network.spiking import SpikingNetwork
from shd_helpers.study.threads import one_thread, threads_for

if TYPE_CHECKING:  # pandas and scipy.stats take a second each: whoever hears a word needs neither
    import pandas as pd


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
    def answers(self) -> np.ndarray:
        """Return the classes that the network answers, shape (utterances,), int64."""
        return answers(self.class_scores)

    @property
    def confidence(self) -> np.ndarray:
        """Return the softmax of each answer's score, shape (utterances,), as training has it."""
        return self.class_scores.softmax(-1).amax(-1).numpy()

    @property
    def accuracy(self) -> float:
        """Return the share of utterances that were classified correctly, 0..1."""
        return float(np.mean(self.answers == self.events.labels))

    def predictions(self, with_accumulates: bool = True) -> "pd.DataFrame":
        """Return a row for each utterance.

        Parameters
        ----------
        with_accumulates : bool
            False leaves out `effective_acs`, which can be counted for the study's own layers only.

        Returns
        -------
        DataFrame
            `utterance` (index), `part` (``train`` or ``test``: its file), `row` (in that file),
            `speaker`, `label` and `predicted` (class names), `confidence`, `input_events`,
            `hidden_spikes` (all hidden neurons and steps), `output_spikes`, `late_spikes` and
            `effective_acs` (see `costs`).

        Raises
        ------
        ValueError
            If `effective_acs` can't be counted for this network; see `costs.check_counted`.
        """
        import pandas as pd

        if with_accumulates:
            check_counted(self.model)
        events, names = self.events, np.array(self.events.class_names)
        columns = {"utterance": np.arange(len(events)), **origin(events)}
        columns |= {"speaker": events.speakers, "label": names[events.labels]}
        columns |= {"predicted": names[self.answers], "confidence": self.confidence.round(4)}
        columns |= {"input_events": np.diff(events.offsets)}
        columns |= {"hidden_spikes": self.n_spikes[:, :-1].sum(1).astype(np.int64)}
        columns |= {"output_spikes": self.n_spikes[:, -1].astype(np.int64)}
        columns |= {"late_spikes": late_spikes(self.model, events)}
        if with_accumulates:
            columns |= {"effective_acs": self._accumulates()}
        return pd.DataFrame(columns)

    def _accumulates(self) -> np.ndarray:
        """Return how often each utterance's events and spikes meet a weight, (utterances,)."""
        model = self.model
        if isinstance(model, SpikingNetwork):
            return accumulates(model.synapses, model.delays, self.events, self.n_spikes)
        return np.zeros(len(self.events))  # a network without spikes has only products


def origin(events: Events) -> dict[str, np.ndarray]:
    """Return each utterance's file (`part`: ``train`` or ``test``) and `row` in it, if known."""
    if events.rows is None or events.file is None:
        return {}
    return {"file": np.array(["train", "test"])[events.file], "row": events.rows}


def batches(
    n: int, batch_size: int, generator: torch.Generator | None = None
) -> Iterator[np.ndarray]:
    """Yield indices (batch,) until each of `n` utterances was in one batch, also the last few.

    A generator shuffles; without it the order is the file's.
    """
    order = torch.arange(n) if generator is None else torch.randperm(n, generator=generator)
    for index in order.split(batch_size):
        yield index.numpy()


def evaluate(
    model: Network, events: Events, engine: str = "fused", batch_size: int = 128
) -> Evaluation:
    """Run all utterances through the network; nothing is updated, and batches change no result."""
    run = choose_engine(engine, model)
    with threads_for(run):
        parts = [run.evaluate_batch(model, events, i) for i in batches(len(events), batch_size)]
    scores, spikes = (torch.cat(tensors).cpu() for tensors in zip(*parts, strict=True))
    return Evaluation(model, events, scores, spikes.numpy())


def seen_and_unseen_accuracy(
    tested: Evaluation | None, seen: Sequence[int]
) -> dict[str, float | None]:
    """Return the test accuracy over all speakers, those `seen` in training, and unseen ones.

    They are called `test`, `test_seen`, `test_unseen`: fractions, None where nothing was measured.
    """
    if tested is None:
        return dict.fromkeys(("test", "test_seen", "test_unseen"))
    correct = tested.answers == tested.events.labels
    known = np.isin(tested.events.speakers, seen)
    parts = {"test": correct, "test_seen": correct[known], "test_unseen": correct[~known]}
    return {name: float(part.mean()) if len(part) else None for name, part in parts.items()}


@torch.no_grad()
def record_examples(model: Network, events: Events) -> dict[str, dict[str, np.ndarray]]:
    """Record one utterance of each class, the first in the file, on its way through the network.

    Returns
    -------
    dict
        Per class name: `utterance` (index), `input` (steps, units), `hidden` (steps, neurons of
        the last hidden layer) and `spk` (steps, classes) as booleans, `mem` (steps, classes),
        `scores` (classes,), the highest of which is the answer. Nothing for a network
        without spikes.
    """
    examples: dict[str, dict[str, np.ndarray]] = {}
    if not isinstance(model, SpikingNetwork):
        return examples
    classes, first = np.unique(events.labels, return_index=True)
    with one_thread():
        recording = record(model, events, first)
    scores = model.scores(recording)
    frames = events.to_frames(first).astype(bool)
    for j, (label, i) in enumerate(zip(classes, first, strict=True)):
        examples[events.class_names[label]] = {
            "utterance": np.array([i]),
            "input": frames[:, j],
            "hidden": recording.hidden_spk[-1][:, j].bool().numpy(),
            "mem": recording.mem[:, j].numpy(),
            "spk": recording.spk[:, j].bool().numpy(),
            "scores": scores[j].numpy(),
        }
    return examples
