"""Train one of many networks, test it, and keep its class scores and curves in a file.

`judge` and the plans of evidence/ say what a network is made of, who trains it and who tests it.
`jobs` does what is left of these jobs.
"""

import random
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import nn

from shd_corpus.files import atomic, reading
from shd_helpers.events import Events
from shd_helpers.network import costs, uncounted_reason
from shd_helpers.network.engine import one_thread
from shd_helpers.study.evaluation import evaluate, origin
from shd_helpers.study.jobs import lock_beside
from shd_helpers.study.training import TrainConfig, TrainOptions, fit

CURVES = ("train_loss", "train_accuracy")  # of each epoch
Kept = Mapping[str, np.ndarray]  # what a file keeps of a network
Utterances = tuple[Events, dict[str, Events]]  # that train, and that test, by a name


class KeptError(ValueError):
    """The file of a network can't be used, so the network is trained again."""


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of torch, numpy and Python while the block runs.

    A network of the user's own draws its weights from these, and its dropout. Afterwards the
    generators go on as if nothing had happened.
    """
    python_state = random.getstate()
    numpy_state = np.random.get_state()  # noqa: NPY002  # users' networks may draw from it
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            random.seed(seed)
            yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)


@dataclass(frozen=True)
class NetworkJob(ABC):
    """What a process needs to train one network and to test it."""

    path: Path  # of the file that keeps the class scores
    identity: str  # of all that changes them: a file with another identity isn't used
    held_out: str  # whose utterances test it, for messages
    seed: int
    config: TrainConfig
    options: TrainOptions
    scored_after: tuple[int, ...] = ()  # epochs, beside the last one

    @abstractmethod
    def utterances(self) -> Utterances:
        """Return the utterances that train the network, and those that test it by a name."""

    @abstractmethod
    def make_network(self, training: Events, generator: torch.Generator) -> nn.Module:
        """Make the untrained network, from the generator that shuffles the utterances, too."""

    def options_for(self, training: Events) -> TrainOptions:
        """Return the options of the training."""
        return self.options

    @property
    def lock(self) -> FileLock:
        """Return a lock that lets one process train the network."""
        return lock_beside(self.path)

    def __call__(self) -> None:
        """Train the network, test it and keep the class scores, unless that is done."""
        if self.is_kept:
            return
        try:
            kept = self._train()
        except Exception as error:
            error.add_note(f"This happened with {self.held_out} held out and seed {self.seed}.")
            raise
        with atomic(self.path) as unfinished, unfinished.open("wb") as file:
            np.savez_compressed(file, identity=np.array(self.identity), **kept)

    @property
    def is_kept(self) -> bool:
        """Tell whether the file is there, undamaged and of this network."""
        try:
            return bool(self.kept())
        except KeptError:
            return False

    def kept(self) -> Kept:
        """Return what the file keeps; KeptError, if it is absent, damaged or of another network."""
        with reading(self.path, KeptError, "The network is trained again."):
            with np.load(self.path) as file:
                kept = dict(file)
            if str(kept["identity"]) != self.identity:
                raise KeptError(f"{self.path}: this is another network. It is trained again.")
        return kept

    def _train(self) -> dict[str, Any]:
        """Train and test the network; return what is kept."""
        start_s = time.perf_counter()
        training, tests = self.utterances()
        options = self.options_for(training)
        kept: dict[str, Any] = {"n_training": len(training)}

        def score_epoch(model: nn.Module, metrics: Mapping[str, float]) -> None:
            if metrics["epoch"] in self.scored_after:
                for name, events in tests.items():
                    answers = evaluate(model, events, options.engine).answers
                    kept[f"{name}_answers_{metrics['epoch']}"] = answers

        with warnings.catch_warnings(), one_thread(), seeded(self.seed):
            warnings.simplefilter("ignore")  # `judge` has shown them once
            generator = torch.Generator().manual_seed(self.seed)
            model = self.make_network(training, generator)
            history = fit(
                model, training, None, self.config, generator, options=options, on_epoch=score_epoch
            )
            for name in CURVES:
                kept[name] = np.array([metrics[name] for metrics in history])
            for name, events in tests.items():
                tested = evaluate(model, events, options.engine)
                if not bool(torch.isfinite(tested.class_scores).all()):
                    raise ValueError(
                        "a class score of a test utterance is infinite. Most likely lr is too "
                        "large, or the network divides by 0"
                    )
                kept[f"{name}_scores"] = tested.class_scores.numpy().astype(np.float32)
                columns = {"labels": events.labels, "speakers": events.speakers, **origin(events)}
                kept |= {f"{name}_{column}": values for column, values in columns.items()}
                if "parameters" not in kept and uncounted_reason(model) is None:
                    kept |= costs(model, tested.predictions(), training.n_steps)
        kept["training_s"] = time.perf_counter() - start_s
        return kept
