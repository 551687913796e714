"""Judge any `nn.Module` on speakers that it was not trained on, in one call.

`judge` trains the network as often as there are speakers, each time without one of them, and tests
it on that one. The utterances of all other speakers train it. None are set aside for validation,
because the number of epochs is fixed: nothing is selected that would make the accuracy optimistic.
"""

import hashlib
import inspect
import json
import uuid
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import torch
from torch import nn

from shd_corpus.checks import check_choice, check_whole, listed, quoted
from shd_corpus.files import atomic
from shd_helpers.events import Events, load_events
from shd_helpers.events.loading import TRAINING_FILE
from shd_helpers.paths import as_run_name
from shd_helpers.study.jobs import Job, run_jobs
from shd_helpers.study.network_jobs import (
    TESTED,
    FoldJob,
    MakeModel,
    TriedNetwork,
    for_processes,
    name_of,
    try_network,
)
from shd_helpers.study.trained_network import content_hash
from shd_helpers.study.training import TrainConfig, TrainOptions, origin
from shd_helpers.user_code import UnidentifiedError, identity_of
from shd_helpers.versions import NUMERICS
from shd_judge import Comparison, Fold, compare, five_folds, interval, speaker_folds

SCORE = "score_"  # begins the name of the column with a class's scores
N_DIGITS = 12  # of a call's hash in the name of its folder
PROTOCOLS = ("speakers", "five_folds")


@dataclass(frozen=True)
class JudgeOptions:
    """Options of `judge`: the training, the number of processes, and where folds are kept.

    Parameters
    ----------
    train_config : TrainConfig
        Batch size, learning rate and the other settings of the training. Its epochs count if
        `judge` isn't given others.
    train_options : TrainOptions
        Augmentation, quantization and engine.
    n_processes : int
        How many processes train at the same time; 0 for one on each core.
    folder : str or Path
        The folder of finished folds, relative to the working directory.
    """

    train_config: TrainConfig = field(default_factory=TrainConfig)
    train_options: TrainOptions = field(default_factory=TrainOptions)
    n_processes: int = 0
    folder: str | Path = "runs/judge"

    def __post_init__(self) -> None:
        """Check the number of processes."""
        check_whole("n_processes", self.n_processes, 0, 10_000)


@dataclass(frozen=True, repr=False)
class Judgement:
    """How accurate a network is for speakers that it wasn't trained on, from `judge`.

    ``print`` shows a summary.

    Parameters
    ----------
    table : DataFrame
        A row for each utterance and seed: `utterance` (its index in the events), `file` and `row`
        where they are known, `fold`, `speaker`, `seed`, `label` and `answer` (class names), and
        the class scores in a column for each class, named after it: `score_yes`.
    class_names : tuple of str
        The names of the classes.
    name : str
        The name of the function that made the network.
    trained : str
        What was trained, and how.
    data_hash : str
        The hash of the events.
    folder : Path
        The folder in which the folds are kept.
    is_reusable : bool
        Whether another call can use the kept folds.
    training : mapping
        The settings of the training by name, to compare them: those of `TrainConfig`, and the
        augmentation and quantization of `TrainOptions`.
    """

    table: pd.DataFrame
    class_names: tuple[str, ...]
    name: str
    trained: str
    data_hash: str
    folder: Path
    is_reusable: bool
    training: Mapping[str, object]

    @property
    def accuracies(self) -> pd.DataFrame:
        """Return the fraction of correct answers, by speaker (rows) and seed (columns)."""
        is_correct = self.table.label == self.table.answer
        return is_correct.groupby([self.table.speaker, self.table.seed]).mean().unstack("seed")

    def to_csv(self, table: str | Path, scores: str | Path | None = None) -> None:
        """Write the accuracies, and the answers behind them, as `shd_judge` reads them.

        ``python -m shd_judge check TABLE SCORES`` checks both against the protocol for SHD.

        Parameters
        ----------
        table : str or Path
            The CSV file to write with a row for each speaker and seed: `speaker`, `seed`,
            `accuracy`.
        scores : str or Path, optional
            The CSV file to write with `table`, a row for each utterance and seed.
        """
        self._runs().to_csv(table, index=False)
        if scores is not None:
            self.table.to_csv(scores, index=False)

    @property
    def mean(self) -> float:
        """Return the mean accuracy over speakers and seeds, in percent."""
        return 100 * float(self.accuracies.to_numpy().mean())

    @property
    def ci95(self) -> float:
        """Return half the 95 % interval of `mean`, in percentage points; NaN for one speaker."""
        values = 100 * self.accuracies.to_numpy()
        return float(interval(values)[1]) if len(values) > 1 else float("nan")

    @property
    def worst_speaker(self) -> int:
        """Return the speaker with the lowest accuracy, which is the mean over seeds."""
        return int(self.accuracies.mean(axis=1).idxmin())

    @property
    def chance(self) -> float:
        """Return the accuracy of the best constant answer, in percent, as a mean over speakers."""
        shares = pd.crosstab(self.table.speaker, self.table.label, normalize="index")
        return 100 * float(shares.mean().max())

    @property
    def over(self) -> str:
        """Return which runs the interval covers, as text for results: speakers, seeds or both."""
        n_speakers, n_seeds = self.accuracies.shape
        if n_seeds == 1:
            return "over speakers only; one seed"
        return f"over {n_speakers} speakers and {n_seeds} seeds, crossed"

    def __str__(self) -> str:
        """Return the summary that is printed."""
        accuracies = self.accuracies
        if len(accuracies) > 1:
            # two or three speakers give an interval that is wider than all accuracies
            half = f"{self.ci95:.1f}" if self.ci95 <= 100 else "more than 100"
            first = f"{self.mean:.1f} ± {half} % of the utterances of unseen speakers"
            over = f"(mean of {len(accuracies)} speakers, 95 % interval {self.over})"
        else:
            first = f"{self.mean:.1f} % of the utterances of an unseen speaker"
            over = "(no interval, because one speaker was held out)"
        worst = self.worst_speaker
        n_utterances = self.table.utterance.nunique()
        kept = "used again by the same call" if self.is_reusable else "not reusable"
        lines = [
            f"{self.name} classifies {first} correctly",
            over,
            f"lowest accuracy: speaker {worst}, {accuracies.loc[worst].mean():.1%}",
            f"chance level: {self.chance:.1f} %",
            f"tested on: {n_utterances} utterances of {len(self.class_names)} classes",
            f"trained: {self.trained}",
            f"folds: {self.folder}, {kept}",
        ]
        return "\n".join(lines)

    __repr__ = __str__

    def compare(self, other: "Judgement") -> Comparison:
        """Compare the network with another one that was judged on the same utterances.

        If the input or the training differ, the difference includes their effect, and
        `Comparison.differs` names them.

        Parameters
        ----------
        other : Judgement
            What is subtracted. It has the same speakers, seeds and utterances.

        Returns
        -------
        Comparison
            The paired difference, this network minus the other, with its interval and a verdict.

        Raises
        ------
        ValueError
            If the two have other speakers, seeds, classes or utterances, or only one speaker.
        TypeError
            If `other` is no `Judgement`.
        """
        if not isinstance(other, Judgement):
            raise TypeError(f"compare: give a Judgement, not an object of {type(other).__name__}")
        names = (self.name, other.name)
        compared = compare(self._runs(), other._runs(), names, self._other_differences(other))
        columns = ["utterance", "file", "row", "speaker", "seed", "label"]
        is_same = self.table.filter(columns).equals(other.table.filter(columns))
        if not is_same or self.class_names != other.class_names:
            raise ValueError(
                f"not comparable: {self.name} and {other.name} were tested on different "
                "utterances, classes or seeds. Judge both with the same events and seeds."
            )
        return compared

    def _other_differences(self, other: "Judgement") -> str:
        """Return sentences about what differs besides the networks; empty if nothing does."""
        sentences = []
        if self.data_hash != other.data_hash:
            sentences.append("The networks had different inputs, so this compares the inputs, too.")
        settings = [
            f"{name} ({quoted(value)} and {quoted(other.training.get(name))})"
            for name, value in self.training.items()
            if value != other.training.get(name)
        ]
        if settings:
            sentences.append(
                f"The training differs in {', '.join(settings)}, so this compares the training, "
                "too."
            )
        return " ".join(sentences)

    def _runs(self) -> pd.DataFrame:
        """Return a row for each speaker and seed, with the accuracy."""
        return self.accuracies.stack().rename("accuracy").reset_index()


def judge(
    make_model: MakeModel,
    events: Events | str | Path,
    *,
    protocol: str = "speakers",
    epochs: int | None = None,
    seeds: int | Sequence[int] = (0,),
    speakers: Sequence[int] | None = None,
    options: JudgeOptions | None = None,
) -> Judgement:
    """Train a network with each speaker held out in turn, and test it on that speaker.

    The training is the study's: Adam with a learning rate that falls in steps, on the compiled
    engine where that can compute the network. All other speakers' utterances train. See the notes
    for seeds, interruptions and processes.

    Parameters
    ----------
    make_model : callable
        A function, a lambda function or a class that takes the number of units and the number of
        classes. It returns a new, untrained network, which maps frames (steps, batch, units) to
        class scores (batch, classes). It draws its weights from torch's global generator, which is
        seeded.
    events : Events, str or Path
        The utterances, from `load_events` or made by hand, or the name or folder of a data set,
        which `load_events` reads.
    protocol : str
        ``"speakers"`` holds out one speaker after the other. ``"five_folds"`` holds out a fifth of
        the speakers of the training file at a time, and leaves the test file out. On SHD this is
        the cheap variant of the protocol "SHD speakers, version 1".
    epochs : int, optional
        Passes over the training utterances. Default: 30, or those of the options.
    seeds : int or sequence of int
        How many seeds, or which. The network is trained once for each, with other weights and
        another order of utterances. One seed shows no difference between networks: see
        `Comparison.verdict`.
    speakers : sequence of int, optional
        Who is held out in turn, not with five folds. Default: every speaker. Speakers who aren't
        named train in every fold, so a fold is the same as without this argument.
    options : JudgeOptions, optional
        Batch size, learning rate, augmentation, number of processes, folder.

    Returns
    -------
    Judgement
        Accuracies with intervals, and a table of utterances with class scores.

    Raises
    ------
    TypeError
        If `make_model` isn't callable with two numbers, or returns no module, or its class scores
        have another shape.
    ValueError
        If an argument can't be used, a class would be missing in training, or the training
        diverges. The message says what to do.
    JobError
        If a process that trains was killed.

    Notes
    -----
    **Processes.** The folds are trained on all cores, each in a process with one thread. The number
    of processes changes no result.

    **Seeds.** A seed sets torch's, numpy's and Python's global generators before the network is
    made, and the order of the utterances. The same seed gives the same table on the same computer.

    **Interruptions.** Each finished fold is kept below ``runs/judge`` in the working directory.
    After Ctrl-C or a crash, the same call trains only the rest. A call with more speakers or seeds
    also uses finished folds. Remove the folder to train again.

    **When a fold is used again.** The events, the settings, the speaker and the seed must be the
    same, and so must the name of `make_model` and the content of its file and of the files beside
    it that this imports. So keep networks in a file of their own, because every change of these
    files, even of a comment, trains them anew. The weights before training count, too. Values that
    the file takes from elsewhere, such as the command line, don't, and neither do installed
    packages. Nothing is used again for a function in a notebook, one within another function, a
    lambda function, or one whose file has changed since the program started. The printed lines say
    so. The same holds for a loss, an optimizer and a schedule of your own.

    **What is refused.** One batch is tried before anything is trained, so class scores of the wrong
    shape are reported at once. Also refused are events of one speaker or one class, a class with
    fewer than two utterances or by one speaker only, unknown or repeated speakers and seeds, and a
    function that returns no module, or the same one twice. A speaker without one of the classes is
    judged on the others, with a warning. A network is refused if it keeps something from one batch
    to the next, or if an utterance's class scores depend on the others in its batch.

    **Steps.** `make_model` doesn't learn how long a step of the events is. A `SpikingNetwork` needs
    it, as `step_ms`, and a warning says if it was made for steps of another length.
    """
    options = options or JudgeOptions()
    if epochs is not None:
        options = replace(options, train_config=replace(options.train_config, epochs=epochs))
    check_choice("protocol", protocol, PROTOCOLS)
    if isinstance(events, str | Path):
        events = load_events(events)
    _check_arguments(make_model, events)
    seeds = _whole_numbers("seeds", range(seeds) if isinstance(seeds, int) else seeds)
    if protocol == "five_folds":
        if speakers is not None:
            raise ValueError("speakers: five folds hold out all of them. Leave it away.")
        if events.file is not None:
            events = events.take(np.flatnonzero(events.file == TRAINING_FILE))
    folds = _folds(events, protocol, speakers)
    _check_folds(events, folds)
    network = try_network(make_model, events, options.train_options)
    if len(seeds) > 1 and not network.has_random_weights:
        warnings.warn(
            f"make_model: {name_of(make_model)} draws the same weights for every seed. It must "
            "take them from torch's global generator, without seeding that itself.",
            stacklevel=2,
        )
    data_hash = _hash_of(events)
    identity, reason = _identify(make_model, network, data_hash, options)
    digest = hashlib.sha256(identity.encode()).hexdigest()[:N_DIGITS]
    folder = Path(options.folder).expanduser() / f"{as_run_name(name_of(make_model))}-{digest}"
    jobs = [
        FoldJob(
            path=folder.absolute() / f"{fold.name.replace(' ', '_')}_seed_{seed}.npz",
            identity=identity,
            held_out=fold.name,
            seed=seed,
            config=options.train_config,
            options=options.train_options,
            make_model=make_model,
            events=events,
            fold=fold,
        )
        for fold in folds
        for seed in seeds
    ]
    with atomic(folder / "settings.json") as unfinished:
        unfinished.write_text(f"{identity}\n", encoding="utf-8")
    n_processes = options.n_processes or joblib.cpu_count()
    scores = _train_left(jobs, n_processes, reason)
    return Judgement(
        table=_table(jobs, scores),
        class_names=events.class_names,
        name=name_of(make_model),
        trained=_description(network, events, options),
        data_hash=data_hash,
        folder=folder,
        is_reusable=not reason,
        # the engine changes only how sums are rounded
        training=asdict(options.train_config)
        | {
            name: getattr(options.train_options, name)
            for name in ("augmentation", "quantization", "loss", "optimizer", "schedule")
        },
    )


def _check_arguments(make_model: object, events: object) -> None:
    """Raise TypeError or ValueError if an argument can't be used at all."""
    if not callable(make_model) or isinstance(make_model, nn.Module):
        raise TypeError(
            f"make_model: {quoted(make_model)} makes no networks. Give a function or a class that "
            "takes the numbers of units and of classes and returns a new network, because every "
            "fold needs an untrained one."
        )
    try:
        inspect.signature(make_model).bind(1, 2)
    except TypeError as error:
        name = name_of(make_model)
        raise TypeError(
            f"make_model: {name} must take two arguments, the numbers of units and of classes "
            f"({error}). If it needs other arguments, wrap it: "
            f"lambda n_units, n_classes: {name}(...)"
        ) from None
    if not isinstance(events, Events):
        raise TypeError(
            f"events: give Events, from load_events, not an object of type {type(events).__name__}"
        )


def _whole_numbers(name: str, values: Sequence[int]) -> list[int]:
    """Return the numbers of an argument as a list; ValueError if there is none, or one twice."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(f"{name} {quoted(values)}: give several, such as (0, 1), or one as (0,)")
    numbers = list(values)
    for number in numbers:
        check_whole(name, number, 0, 2**63 - 1)
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(f"{name} {quoted(numbers)}: give at least one, and name each once.")
    return [int(number) for number in numbers]  # they may be numpy's


def _folds(events: Events, protocol: str, speakers: Sequence[int] | None) -> list[Fold]:
    """Return the folds of a protocol."""
    if protocol == "five_folds":
        return five_folds(events.speakers)
    chosen = None if speakers is None else sorted(_whole_numbers("speakers", speakers))
    return speaker_folds(events.speakers, chosen)


def _check_folds(events: Events, folds: Sequence[Fold]) -> None:
    """Raise ValueError if a fold has a class in the test only; warn if it lacks one there."""
    counts = np.bincount(events.labels, minlength=len(events.class_names))
    if len(counts) < 2:
        raise ValueError(
            f"events: there is only one class, {events.class_names[0]}. Give utterances of at "
            "least two."
        )
    if not counts.all():
        name = events.class_names[int(counts.argmin())]
        raise ValueError(
            f"class {name}: there is no utterance. Add some by at least two speakers, or leave the "
            "class out: events.of_classes([...])."
        )
    incomplete = []
    for fold in folds:
        training = set(events.labels[fold.training].tolist())
        test = set(events.labels[fold.test].tolist())
        for label, name in enumerate(events.class_names):
            if label not in training:
                raise ValueError(
                    f"class {name}: only {fold.name} has utterances of it, so none is left for "
                    "training when this speaker is held out. Add some by another speaker, or leave "
                    "the class out: events.of_classes([...])."
                )
            if label not in test:
                incomplete.append(f"{fold.name} has no utterance of {name}")
    if incomplete:
        warnings.warn(
            f"events: {listed(incomplete)}. Accuracies of these speakers are over "
            "the other classes.",
            stacklevel=3,
        )


def _hash_of(events: Events) -> str:
    """Return a hash of the content of events; where they were read doesn't count."""
    header = {
        name: getattr(events, name) for name in ("class_names", "n_steps", "n_units", "step_ms")
    }
    names = ("steps", "units", "offsets", "labels", "speakers")
    arrays = {name: getattr(events, name).astype(np.int64) for name in names}
    return content_hash(header, arrays)[:N_DIGITS]


def _identify(
    make_model: MakeModel,
    network: TriedNetwork,
    data_hash: str,
    options: JudgeOptions,
) -> tuple[str, str]:
    """Return what makes a call the same as an earlier one, as JSON, and why none can be the same.

    The latter is empty if `identity_of` recognizes all functions of the user's.
    """
    fitted = options.train_options
    code = {}
    reason = ""
    functions: dict[str, Callable | None] = {"make_model": make_model}
    functions |= {name: getattr(fitted, name) for name in ("loss", "optimizer", "schedule")}
    for name, function in functions.items():
        if function is not None:
            try:
                code[name] = identity_of(function)
            except UnidentifiedError as error:
                code[name] = uuid.uuid4().hex
                reason = f"{name_of(function)} can't be recognized: {error}"
    identity = {
        "code": code,
        "weights": _hash_of_weights(network.weights),
        "events": data_hash,
        "training": asdict(options.train_config),
        "augmentation": repr(fitted.augmentation),
        "quantization": repr(fitted.quantization),
        "engine": fitted.engine,
        "numerics": NUMERICS,
    }
    return json.dumps(identity, indent=2), reason


def _hash_of_weights(weights: Sequence[torch.Tensor]) -> str:
    """Return a hash of the weights before training, which may come from anywhere."""
    types = {f"type {number}": str(each.dtype) for number, each in enumerate(weights)}
    values = {
        str(number): each.cpu().contiguous().view(torch.uint8).numpy()  # numpy has no bfloat16
        for number, each in enumerate(weights)
    }
    return content_hash(types, values)[:N_DIGITS]


def _train_left(jobs: Sequence[FoldJob], n_processes: int, reason: str) -> list[np.ndarray]:
    """Train the folds whose class scores aren't kept; return those of all folds, in their order.

    The reason says why none can be kept for another call, if that is so.
    """
    left = [job for job in jobs if not job.is_kept]
    folder = jobs[0].path.parent
    n_kept = len(jobs) - len(left)
    print(f"{len(jobs)} folds, {n_kept} of them finished before, kept in {folder}")
    if reason:
        name = name_of(jobs[0].make_model)
        print(f"Each call trains all folds of {name}. {reason}.")
    to_do: Sequence[Job] = for_processes(left) if min(n_processes, len(left)) > 1 else left
    try:
        for _ in run_jobs(to_do, n_processes, "folds", n_kept):
            n_kept += 1
    except KeyboardInterrupt:
        print(
            f"Interrupted. {n_kept} of {len(jobs)} folds are finished and kept. The same call "
            "trains only the others."
        )
        raise
    return [job.kept()[f"{TESTED}_scores"] for job in jobs]


def _table(jobs: Sequence[FoldJob], scores: Sequence[np.ndarray]) -> pd.DataFrame:
    """Return a row for each utterance and seed."""
    events = jobs[0].events
    class_names = np.array(events.class_names)
    places = origin(events)
    tables = []
    for job, of_fold in zip(jobs, scores, strict=True):
        test = job.fold.test
        columns: dict[str, Any] = {
            "utterance": test,
            **{name: values[test] for name, values in places.items()},
            "fold": job.held_out,
            "speaker": events.speakers[test],
            "seed": job.seed,
            "label": class_names[events.labels[test]],
            "answer": class_names[of_fold.argmax(1)],
            **{f"{SCORE}{name}": of_fold[:, label] for label, name in enumerate(class_names)},
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def _description(network: TriedNetwork, events: Events, options: JudgeOptions) -> str:
    """Say what was trained, and how."""
    config = options.train_config
    epochs = "1 epoch" if config.epochs == 1 else f"{config.epochs} epochs"
    text = (
        f"{network.class_name} with {network.n_parameters:,} parameters, {epochs}, "
        f"batches of {config.batch_size}, lr {config.lr:g}, inputs of {events.n_units} units x "
        f"{events.n_steps} steps"
    )
    return f"{text}, augmented" if options.train_options.augmentation else text
