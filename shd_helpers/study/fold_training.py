"""Train the folds of `judge`: build the network, train it, test it, and keep the class scores.

A *fold* is one training of the network, with one speaker held out and one seed. Each is kept in a
file of its own, so that an interrupted call loses only what was being trained.
"""

import importlib
import pickle
import random
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import cloudpickle
import joblib
import numpy as np
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError
from torch import nn

import shd_judge
from shd_corpus.files import atomic, reading
from shd_helpers.events import Events
from shd_helpers.network.build import warn_of_other_steps
from shd_helpers.network.engine import Engine, choose_engine, one_thread
from shd_helpers.network.module_engine import device_of
from shd_helpers.study.evaluation import evaluate
from shd_helpers.study.training import TrainConfig, TrainOptions, fit
from shd_helpers.user_code import is_users_module

MakeModel = Callable[[int, int], nn.Module]  # takes the numbers of units and of classes
IDLE_S = 60  # after which a process that has nothing to train ends; until then it is used again
N_TRIED = 8  # utterances of the batch that is tried before any fold is trained
SAME_SCORES = 1e-4  # differences of class scores up to this fraction of the highest are rounding


class FoldError(ValueError):
    """The file of a fold can't be used, so the fold is trained again."""


@dataclass(frozen=True)
class FoldTask:
    """What a process needs to train and test one fold."""

    make_model: MakeModel
    events: Events
    fold: shd_judge.Fold
    seed: int
    config: TrainConfig
    options: TrainOptions
    device: str
    identity: str  # what makes a fold the same as one that was trained before
    folder: Path  # where the class scores are kept

    @property
    def path(self) -> Path:
        """Return the file of the class scores."""
        return self.folder / f"{self.fold.name.replace(' ', '_')}_seed_{self.seed}.npz"


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


@contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """Seed the global generators of torch, numpy and Python while the block runs.

    A network of the user's own draws its weights from these, and its dropout. Afterwards the
    generators go on as if nothing had happened.
    """
    is_on_gpu = torch.device(device).type == "cuda"
    gpus = range(torch.cuda.device_count()) if is_on_gpu else []
    python_state = random.getstate()
    numpy_state = np.random.get_state()  # noqa: NPY002  # users' networks may draw from it
    try:
        with torch.random.fork_rng(devices=gpus):
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            random.seed(seed)
            yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)


def build(make_model: MakeModel, events: Events, device: str) -> nn.Module:
    """Make an untrained network for some utterances."""
    model = make_model(events.n_units, len(events.class_names))
    if not isinstance(model, nn.Module):
        returned = "None" if model is None else f"an object of type {type(model).__name__}"
        raise TypeError(
            f"make_model: {name_of(make_model)} returned {returned}. It must return a "
            "torch.nn.Module."
        )
    return model.to(device)


def try_network(
    make_model: MakeModel, events: Events, options: TrainOptions, device: str
) -> TriedNetwork:
    """Build a network and run one batch forward and backward, to find mistakes before training.

    A network that was made for steps of another length gets a warning.
    """
    name = name_of(make_model)
    _check_device(device)
    index = np.arange(min(N_TRIED, len(events)))
    with one_thread():
        with seeded(0, device):
            model = build(make_model, events, device)
            warn_of_other_steps(model, events.step_ms, f"make_model: {name}")
            engine = choose_engine(options.engine, model)
            _, scores = engine.forward_backward(model, events, index)
            weights = _first_weights(model)  # those of lazy layers are drawn with the first batch
            _check_scores(name, model, events, index, engine)
        with seeded(1, device):
            other = build(make_model, events, device)
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


def _check_device(device: str) -> None:
    """Raise RuntimeError if torch can't compute on a device."""
    try:
        torch.zeros(1, device=device).item()
    except (AssertionError, RuntimeError) as error:
        raise RuntimeError(
            f"device {device!r}: torch can't compute on it ({error}). Leave `device` out to train "
            "on the CPU."
        ) from error


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
    known = {id(parameter) for parameter in model.parameters()}
    if any(id(parameter) in known for parameter in other.parameters()):
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
    scores = []
    for batch in (index, index, others):
        with seeded(0, str(device_of(model))):
            scores.append(engine.evaluate_batch(model, events, batch)[0].detach())
    first, again, among_others = scores
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


def train_folds(tasks: Sequence[FoldTask], n_processes: int) -> Iterator[FoldTask]:
    """Train folds, several at the same time; each has a process and a thread of its own."""
    n_processes = min(n_processes, len(tasks))
    if n_processes <= 1:
        for task in tasks:
            train_fold(task)
            yield task
        return
    packed = _packed(tasks[0].make_model, tasks[0].options)
    run = joblib.Parallel(
        n_processes,
        return_as="generator_unordered",
        batch_size=1,
        pre_dispatch=n_processes,  # what is queued is trained even if this process is killed
        idle_worker_timeout=IDLE_S,
    )
    path = [str(Path(folder).absolute()) for folder in sys.path]
    calls = []
    for number, task in enumerate(tasks):
        # what stands here for the user's code isn't used, because that is packed
        bare = replace(task, make_model=nn.Module, options=TrainOptions())
        calls.append(joblib.delayed(_train_in_process)(packed, path, bare, number))
    try:
        for number in run(calls):
            yield tasks[number]
    except TerminatedWorkerError:
        raise RuntimeError(
            "a process that trained a fold was killed, most likely because there was no memory "
            "left. Finished folds are kept. Call judge again with fewer processes, such as "
            "JudgeOptions(n_processes=1)."
        ) from None


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


def _train_in_process(packed: bytes, path: list[str], task: FoldTask, number: int) -> int:
    """Train a fold in a process of its own; return the fold's number, which is quickly sent.

    It imports from the same folders as the process that sent the fold.
    """
    sys.path[:] = path
    _forget_users_modules(task.identity)
    make_model, options = pickle.loads(packed)
    train_fold(replace(task, make_model=make_model, options=options))
    return number


@lru_cache(maxsize=1)
def _forget_users_modules(identity: str) -> None:
    """Forget the user's modules at the first fold of a call, which has an identity of its own.

    Functions import them while they run. The process may still have those of an earlier call.
    """
    importlib.invalidate_caches()
    for name, module in list(sys.modules.items()):
        if name != "__main__" and is_users_module(module):
            del sys.modules[name]


def train_fold(task: FoldTask) -> None:
    """Train a network without the held-out speaker, test it on that one, and keep the class scores.

    The generator that shuffles the utterances has the same seed as the weights.
    """
    options = replace(task.options, print_epochs=False)
    try:
        with warnings.catch_warnings(), one_thread(), seeded(task.seed, task.device):
            warnings.simplefilter("ignore")  # `try_network` has shown them once
            model = build(task.make_model, task.events, task.device)
            generator = torch.Generator().manual_seed(task.seed)
            training = task.events.take(task.fold.training)
            fit(model, training, None, task.config, generator, options=options)
            tested = evaluate(model, task.events.take(task.fold.test), options.engine)
        if not bool(torch.isfinite(tested.class_scores).all()):
            raise ValueError(
                "a class score of a test utterance is infinite. Most likely lr is too large, or "
                "the network divides by 0"
            )
    except Exception as error:
        error.add_note(f"This happened with {task.fold.name} held out and seed {task.seed}.")
        raise
    with atomic(task.path) as unfinished, unfinished.open("wb") as file:
        np.savez(
            file,
            identity=np.array(task.identity),
            test=task.fold.test,
            scores=tested.class_scores.numpy().astype(np.float32),
        )


def read_fold(task: FoldTask) -> np.ndarray:
    """Read the class scores of a fold that was trained before."""
    with reading(task.path, FoldError, "The fold is trained again."):
        with np.load(task.path) as file:
            identity = str(file["identity"])
            test = file["test"]
            scores = file["scores"]
    wanted_shape = (len(task.fold.test), len(task.events.class_names))
    is_same = identity == task.identity and np.array_equal(test, task.fold.test)
    if not is_same or scores.shape != wanted_shape:
        raise FoldError(f"{task.path}: this is another fold. It is trained again.")
    return scores
