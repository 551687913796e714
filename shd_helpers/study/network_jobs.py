"""Train one of many networks, test it, and keep its class scores and curves in a file.

`judge` and the plans of evidence/ say what a network is made of, who trains it and who tests it.
`jobs` does what is left of these jobs. `judge` tries a user's network before, and trains it in
*folds*: one speaker or a fifth of them is held out, with one seed.
"""

import importlib
import pickle
import random
import sys
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle
import numpy as np
import torch
from filelock import FileLock
from torch import nn

import shd_judge
from shd_corpus.files import atomic, reading
from shd_helpers.events import Events
from shd_helpers.network import costs, uncounted_reason
from shd_helpers.network.engine import Engine, choose_engine, one_thread
from shd_helpers.network.spiking import warn_of_other_steps
from shd_helpers.study.run_folder import lock_beside
from shd_helpers.study.training import TrainConfig, TrainOptions, evaluate, fit, origin
from shd_helpers.user_code import is_users_module

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


MakeModel = Callable[[int, int], nn.Module]  # takes the numbers of units and of classes
N_TRIED = 8  # utterances of the batch that is tried before any fold is trained
SAME_SCORES = 1e-4  # differences of class scores up to this fraction of the highest are rounding
TESTED = "test"  # the name of a fold's held-out utterances


@dataclass(frozen=True, kw_only=True)
class FoldJob(NetworkJob):
    """What a process needs to train and test one fold."""

    make_model: MakeModel
    events: Events
    fold: shd_judge.Fold

    def utterances(self) -> Utterances:
        """Return the utterances of all others, and those of who is held out."""
        return self.events.take(self.fold.training), {TESTED: self.events.take(self.fold.test)}

    def make_network(self, training: Events, generator: torch.Generator) -> nn.Module:
        """Make the network of the user's, whose weights come from torch's global generator."""
        return build(self.make_model, training)


@dataclass(frozen=True)
class TriedNetwork:
    """What is known of a network that has run one batch forward and backward."""

    class_name: str
    n_parameters: int
    has_random_weights: bool  # whether another seed draws other weights
    weights: list[torch.Tensor]  # those of seed 0 before training, which may be from a file


def name_of(make_model: Callable) -> str:
    """Return what messages call a function of the user's."""
    function = getattr(make_model, "func", make_model)  # of a partial
    name = getattr(function, "__name__", type(function).__name__)
    return "lambda" if name == "<lambda>" else name


def build(make_model: MakeModel, events: Events) -> nn.Module:
    """Make an untrained network for some utterances."""
    model = make_model(events.n_units, len(events.class_names))
    if not isinstance(model, nn.Module):
        returned = "None" if model is None else f"an object of type {type(model).__name__}"
        raise TypeError(
            f"make_model: {name_of(make_model)} returned {returned}. It must return a "
            "torch.nn.Module."
        )
    return model


def try_network(make_model: MakeModel, events: Events, options: TrainOptions) -> TriedNetwork:
    """Build a network and run one batch forward and backward, to find mistakes before training.

    A network that was made for steps of another length gets a warning.
    """
    name = name_of(make_model)
    index = np.arange(min(N_TRIED, len(events)))
    with one_thread():
        with seeded(0):
            model = build(make_model, events)
            warn_of_other_steps(model, events.step_ms, f"make_model: {name}")
            engine = choose_engine(options.engine, model)
            _, scores = engine.forward_backward(model, events, index)
            weights = _first_weights(model)  # those of lazy layers are drawn with the first batch
            _check_scores(name, model, events, index, engine)
        with seeded(1):
            other = build(make_model, events)
            _check_shape(name, scores, (len(index), len(events.class_names)))
            if not any(parameter.requires_grad for parameter in model.parameters()):
                raise ValueError(f"make_model: the network of {name} has no parameters to train.")
            _check_is_new(name, other, model)
            engine.evaluate_batch(other, events, index)
            other_weights = _first_weights(other)
    is_equal = all(map(torch.equal, weights, other_weights))
    return TriedNetwork(
        class_name=type(model).__name__,
        n_parameters=sum(parameter.numel() for parameter in model.parameters()),
        has_random_weights=not is_equal,
        weights=weights,
    )


def _first_weights(model: nn.Module) -> list[torch.Tensor]:
    """Return copies of the weights of an untrained network."""
    return [parameter.detach().clone() for parameter in model.parameters()]


def _check_shape(name: str, scores: torch.Tensor, wanted: tuple[int, int]) -> None:
    """Raise TypeError if class scores don't have the shape (utterances, classes)."""
    if tuple(scores.shape) != wanted:
        raise TypeError(
            f"make_model: the network of {name} returned class scores of shape "
            f"{tuple(scores.shape)} for {wanted[0]} utterances of {wanted[1]} classes. Its scores "
            f"must have the shape {wanted}."
        )


def _check_is_new(name: str, other: nn.Module, model: nn.Module) -> None:
    """Raise ValueError if a network has parameters of the one that was made before."""
    if {*map(id, other.parameters())} & {*map(id, model.parameters())}:
        raise ValueError(
            f"make_model: {name} returned the same network at two calls. It must make a new one at "
            "each call, or a fold would go on with what another one has learned."
        )


def _check_scores(
    name: str, model: nn.Module, events: Events, index: np.ndarray, engine: Engine
) -> None:
    """Raise ValueError if class scores of an utterance depend on what else the network reads.

    The batch is scored twice, and then with other utterances between the first and the last. It
    keeps its size, so all sums are rounded alike. The seed stays the same, so networks may be
    random.
    """
    others = np.full_like(index, index[0])
    others[-1] = index[-1]

    def scores_of(batch: np.ndarray) -> torch.Tensor:
        with seeded(0):
            return engine.evaluate_batch(model, events, batch)[0].detach()

    first, again, among_others = map(scores_of, (index, index, others))
    allowed = SAME_SCORES * float(first.abs().max())
    difference = float((first - again).abs().max())
    if difference > allowed:
        raise ValueError(
            f"make_model: the network of {name} gave other class scores when it read the same "
            f"batch again (they differ by {difference:.2g}). It keeps something of the batch "
            "before, such as membranes or the state of a recurrent layer. Reset these at the "
            "beginning of forward."
        )
    difference = float((first - among_others)[[0, -1]].abs().max())
    if difference > allowed:
        raise ValueError(
            f"make_model: the network of {name} gave an utterance other class scores when the "
            f"other utterances of the batch were replaced (they differ by {difference:.2g}). "
            "Frames have the shape (steps, batch, units). So recurrent layers of torch must not "
            "have batch_first=True, and nothing may be computed over the batch when the network "
            "is tested."
        )


def for_processes(jobs: Sequence[FoldJob]) -> list["SentFold"]:
    """Return folds of the same network as other processes can do them."""
    packed = _packed(jobs[0].make_model, jobs[0].options)
    path = [str(Path(folder).absolute()) for folder in sys.path]
    # what stands here for the user's code isn't used, because that is packed
    bare = [replace(job, make_model=nn.Module, options=TrainOptions()) for job in jobs]
    return [SentFold(packed, path, job) for job in bare]


@dataclass(frozen=True)
class SentFold:
    """A fold for a process of its own, which imports from the same folders as this one."""

    packed: bytes  # the user's function and options
    path: list[str]  # of modules
    bare: FoldJob  # the fold without these

    @property
    def lock(self) -> FileLock:
        """Return the fold's lock."""
        return self.bare.lock

    def __call__(self) -> None:
        """Train the fold."""
        sys.path[:] = self.path
        _forget_users_modules(self.bare.identity)
        make_model, options = pickle.loads(self.packed)
        replace(self.bare, make_model=make_model, options=options)()


def _packed(make_model: MakeModel, options: TrainOptions) -> bytes:
    """Return what a user may have defined as bytes that contain the code itself.

    The modules of the user's that this process has imported are sent as they are here. A process
    that imported them on its own would have what was in their files at that time.
    """
    modules = [each for name, each in sys.modules.items() if name != "__main__"]
    registered = []
    try:
        for module in modules:
            if isinstance(module, ModuleType) and is_users_module(module):
                cloudpickle.register_pickle_by_value(module)
                registered.append(module)
        return cloudpickle.dumps((make_model, options))
    except Exception as error:  # whatever an object raises that can't be copied
        raise ValueError(
            f"make_model: {name_of(make_model)} can't be sent to other processes ({error}). "
            "JudgeOptions(n_processes=1) trains in this process."
        ) from None
    finally:
        for module in registered:
            cloudpickle.unregister_pickle_by_value(module)


@lru_cache(maxsize=1)
def _forget_users_modules(identity: str) -> None:
    """Forget the user's modules at the first fold of a call, which has an identity of its own.

    Functions import them while they run. The process may still have those of an earlier call.
    """
    importlib.invalidate_caches()
    for name, module in list(sys.modules.items()):
        if name != "__main__" and is_users_module(module):
            del sys.modules[name]
