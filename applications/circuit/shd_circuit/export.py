"""From a trained network to a folder that tools read (``make export``); see `folder`."""

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn

from shd_circuit import cost
from shd_circuit.confidence import confidence_of
from shd_circuit.folder import (
    DEFAULTS,
    ExportError,
    FolderOptions,
    check_folder,
    read_description,
    read_vectors,
    write_folder,
)
from shd_circuit.integer import IntegerNetwork, whole_milliseconds
from shd_circuit.nir_file import unwritable_reasons, write_nir
from shd_circuit.quantize import circuit_of
from shd_circuit.readme import Description
from shd_circuit.sources import Utterance
from shd_corpus.checks import DatasetError
from shd_corpus.class_names import LANGUAGES
from shd_corpus.encoders import COCHLEA
from shd_corpus.shd_file import read_shd
from shd_helpers.command import run
from shd_helpers.data import obtain
from shd_helpers.events import Downsampling, Events
from shd_helpers.network import Quantization
from shd_helpers.paths import networks_dir, resolve, results_dir, runs_dir
from shd_helpers.study import evaluate, load_network, load_pretrained, load_utterances, read_run
from shd_helpers.study.run_folder import RunError, classes_in_words
from shd_helpers.study.trained_network import OTHER_DATA, TrainedNetwork
from shd_judge import interval

FEWEST_SPEAKERS = 5  # of whom a mean and its interval are reported
# The study's circuits: the pretrained network of each, and its bits, or those of its training. Of
# the data set, ``results/`` keeps what a folder needs, so each is exported without it.
STUDY_CIRCUITS = {"circuit": ("small", "5-8-16 product"), "circuit_study": ("circuit_0", "")}


def find(name: str) -> Path:
    """Find the file of a trained network: a run's ``run.json``, or a pretrained network's."""
    path = resolve(name)
    candidates = [runs_dir() / name / "run.json", path / "run.json", networks_dir() / f"{name}.npz"]
    if path.suffix == ".npz":
        candidates.append(path)
    for file in candidates:
        if file.is_file():
            return file
    looked_for = ", ".join(map(str, dict.fromkeys(candidates)))  # each path once
    raise ExportError(
        f"RUN={name}: not found. Looked for {looked_for}. Name a run or a pretrained network, or "
        "train one with make study."
    )


def quantization_of(trained: TrainedNetwork, circuit: str = "") -> Quantization:
    """Choose the bits and the leak of a network's circuit."""
    names = [circuit] if circuit or trained.recipe.circuit else ["8-8-16", "8-8-16 product"]
    reasons: list[str] = []
    for name in names:
        try:
            wanted = Quantization.named(name) if name else trained.recipe.circuit
        except ValueError as error:
            raise ExportError(f"{trained.file}: can't be exported: {error}") from error
        reasons = wanted.refusals(trained.recipe.network, trained.grid)
        if not reasons:
            return wanted
    raise ExportError(f"{trained.file}: can't be exported: {'; '.join(reasons)}")


def choose(labels: np.ndarray, n: int) -> np.ndarray:
    """Choose test vectors: as many utterances of each class as possible, spread over each class."""
    if not 1 <= n <= len(labels):
        raise ExportError(
            f"--utterances {n}: must be between 1 and {len(labels)}, the number of available "
            "utterances"
        )
    by_class = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    n_of_class = np.array([len(index) for index in by_class])
    n_taken = np.zeros(len(by_class), int)
    # one more of each class that has one left, until there are enough
    while n_taken.sum() < n:
        n_missing = n - n_taken.sum()
        has_left = np.flatnonzero(n_of_class > n_taken)
        n_taken[has_left[:n_missing]] += 1
    chosen = []
    for index, k in zip(by_class, n_taken, strict=True):
        evenly = np.arange(k) * len(index) // max(k, 1)
        chosen.append(index[evenly])
    return np.sort(np.concatenate(chosen))


def export(
    trained: TrainedNetwork,
    out: Path,
    circuit: str = "",
    n_utterances: int = 20,
    options: FolderOptions = DEFAULTS,
) -> Description:
    """Write the folder of a trained network's circuit."""
    check_folder(out)
    if options.n_membranes < 0:
        raise ExportError(f"--membranes {options.n_membranes}: must be at least 0")
    if n_utterances < 1:
        raise ExportError(f"--utterances {n_utterances}: must be at least 1")
    quantization, network = _rounded(trained, circuit)
    events = load_utterances(trained).predicted
    chosen = choose(events.labels, n_utterances)
    description = describe(trained, quantization, network, events)
    utterances = read_utterances(trained.about["parameters"], events, chosen)
    _write(out, trained, circuit, utterances, description, options)
    return description


def _rounded(trained: TrainedNetwork, circuit: str) -> tuple[Quantization, IntegerNetwork]:
    """Round a network to the bits that are wanted."""
    quantization = quantization_of(trained, circuit)
    try:
        return quantization, circuit_of(trained, quantization)
    except ValueError as error:
        raise ExportError(f"{trained.file}: can't be exported: {error}") from error


def _write(
    out: Path,
    trained: TrainedNetwork,
    circuit: str,
    utterances: Sequence[Utterance],
    description: Description,
    options: FolderOptions = DEFAULTS,
) -> None:
    """Write a network's folder, when all that needs the data set is known."""
    quantization, network = _rounded(trained, circuit)
    write_graph = _graph_writer(trained.network, network.grid)
    confidence = confidence_of(trained, quantization, network)
    write_folder(out, network, utterances, description, options, write_graph, confidence)


def _of_study(name: str) -> tuple[TrainedNetwork, str]:
    """Return the pretrained network of one of the study's circuits, and its bits."""
    network, circuit = STUDY_CIRCUITS[name]
    return load_pretrained(network).speaking("english"), circuit


def study_circuit(name: str) -> IntegerNetwork:
    """Round the network of one of the study's circuits.

    Parameters
    ----------
    name : str
        ``circuit``, which is the network *small*, or ``circuit_study``, the original network.

    Returns
    -------
    IntegerNetwork
        The circuit.
    """
    return _rounded(*_of_study(name))[1]


def write_study_circuit(name: str, out: Path, lanes: int = 1) -> Path:
    """Write the folder of one of the study's circuits, without its data set.

    Parameters
    ----------
    name : str
        ``circuit`` or ``circuit_study``, as for `study_circuit`.
    out : Path
        The folder to write. An earlier export there is replaced.
    lanes : int
        Neurons that the core sums in parallel.

    Returns
    -------
    Path
        The same folder.

    Raises
    ------
    ExportError
        If the folder has something else, or can't be written.
    """
    kept = results_dir() / name
    options = FolderOptions(lanes=lanes)
    _write(out, *_of_study(name), read_vectors(kept), read_description(kept), options)
    return out


def describe(
    trained: TrainedNetwork, bits: Quantization, circuit: IntegerNetwork, events: Events
) -> Description:
    """Describe for its README where a circuit comes from, and how it compares with its network."""
    float_answers = evaluate(trained.network, events).answers
    integer_answers = circuit.evaluate(events)[0].argmax(1)
    before, after = (
        accuracies_of_unseen(trained, events, found) for found in (float_answers, integer_answers)
    )
    n_quantized_epochs = trained.recipe.circuit.quantized_epochs
    network_name = "floats, before rounding"
    if n_quantized_epochs:
        network_name = "low-precision weights, other values in floats"
    return Description(
        name=trained.name,
        origin=_origin(trained, bits),
        class_names=trained.class_names,
        data=f"the data set `{trained.about['data']['name']}`",
        scored=_comparison(trained, events, float_answers, integer_answers)
        + ("" if n_quantized_epochs else rounding_change(before, after)),
        accuracies={
            network_name: (int((float_answers == events.labels).sum()), len(events)),
            "integers, as exported": (int((integer_answers == events.labels).sum()), len(events)),
        },
        operations=cost.operations(circuit, events).to_dict(),
        is_quantization_aware=bool(n_quantized_epochs),
        datasets=datasets_of(trained),
        unseen_accuracy=unseen_accuracy(after),
    )


def datasets_of(trained: TrainedNetwork) -> tuple[str, ...]:
    """Return the names of the data sets that trained a network, that of its test first."""
    data = trained.about["data"]
    return (data["name"], *data.get(OTHER_DATA, ()))


def _origin(trained: TrainedNetwork, bits: Quantization) -> str:
    """Say how a network was trained, and how many bits its circuit has."""
    parameters = trained.about["parameters"]
    classes = classes_in_words(trained.about["class_names"], parameters["language"])
    languages = {"both": "english and german"}.get(classes, classes)
    n_quantized_epochs = trained.recipe.circuit.quantized_epochs
    quantized = ""
    if n_quantized_epochs:
        quantized = f"the last {n_quantized_epochs} of them with low-precision weights, "
    datasets = " and ".join(datasets_of(trained))
    return (
        f"Trained on {datasets}, {languages}, for {parameters['epochs']} "
        f"epochs, {quantized}seed {parameters['seed']}; weights of {bits.fc1_bits} and "
        f"{bits.fc2_bits} bits, membranes of {bits.mem_bits}."
    )


def _comparison(
    trained: TrainedNetwork, events: Events, float_answers: np.ndarray, integer_answers: np.ndarray
) -> str:
    """Say over which utterances a network and its circuit are compared, and how alike they are."""
    is_quantization_aware = bool(trained.recipe.circuit.quantized_epochs)
    is_unseen = ~np.isin(events.speakers, trained.about["seen_speakers"])
    n_unseen = is_unseen.sum()
    subset = "test" if trained.about["parameters"]["score_test"] else "validation"
    text = (
        f"Over all {len(events)} {subset} utterances of one network, {n_unseen} of them by "
        "unseen speakers"
    )
    if 0 < n_unseen < len(events):
        network_name = "with low-precision weights" if is_quantization_aware else "before rounding"
        unseen_labels = events.labels[is_unseen]
        float_accuracy = (float_answers[is_unseen] == unseen_labels).mean()
        integer_accuracy = (integer_answers[is_unseen] == unseen_labels).mean()
        text += f" ({network_name} {float_accuracy:.1%}, integers {integer_accuracy:.1%})"
    share_alike = np.mean(float_answers == integer_answers)
    text += (
        f". The network and its circuit give the same answer to {share_alike:.1%} of these "
        "utterances."
    )
    if trained.other_class:
        text += " An answer *other* counts as wrong."
    if is_quantization_aware:
        text += (
            " Both networks have low-precision weights, so this table doesn't show what low "
            "precision costs."
        )
    return text


def accuracies_of_unseen(trained: TrainedNetwork, events: Events, found: np.ndarray) -> np.ndarray:
    """Return the accuracy for each unseen speaker in percent; shape (speakers,)."""
    is_unseen = ~np.isin(events.speakers, trained.about["seen_speakers"])
    is_right = pd.Series(found[is_unseen] == events.labels[is_unseen])
    return 100 * is_right.groupby(events.speakers[is_unseen]).mean().to_numpy()


def rounding_change(before: np.ndarray, after: np.ndarray) -> str:
    """Say how rounding changes the accuracy for unseen speakers."""
    if len(after) < FEWEST_SPEAKERS:
        return ""
    mean, half = interval((after - before)[:, None])
    return (
        f" Rounding changes accuracy by {mean:+.2f} ± {half:.2f} percentage points for unseen "
        f"speakers (mean and 95 % interval over {len(after)} speakers)"
        f"{', *undecided*' if abs(mean) < half else ''}."
    )


def unseen_accuracy(accuracies: np.ndarray) -> str:
    """Return the mean accuracy for unseen speakers as text; "" if there are too few of them."""
    if len(accuracies) < FEWEST_SPEAKERS:
        return ""
    mean, half = interval(accuracies[:, None])
    return f"{mean:.1f} ± {half:.1f} % (mean and 95 % interval over {len(accuracies)} speakers)"


def _graph_writer(model: nn.Module, grid: Downsampling) -> Callable[[Path], None] | None:
    """Return a function that writes the NIR graph; None, and print why, if there can't be one."""
    if reasons := unwritable_reasons(model):
        print(f"Without network.nir: {'; '.join(reasons)}.")
        return None

    def write(path: Path) -> None:
        with warnings.catch_warnings(action="ignore"):  # the file says the same
            write_nir(model, grid, path)

    return write


def read_utterances(parameters: dict, events: Events, index: np.ndarray) -> list[Utterance]:
    """Read the spikes of utterances, before they were downsampled, from the data set's files."""
    assert events.file is not None
    assert events.rows is not None
    paths = obtain(parameters["dataset"], parameters.get("encoder", COCHLEA))
    files = {file: read_shd(paths[file]) for file in set(events.file[index].tolist())}
    utterances = []
    for i in index:
        file = files[int(events.file[i])]
        milliseconds, units = whole_milliseconds(file, int(events.rows[i]))
        utterances.append(Utterance(milliseconds, units, int(events.labels[i])))
    return utterances


def add_arguments(parser: argparse.ArgumentParser, takes_folder: bool = False) -> None:
    """Add the arguments that say what to export, and where to."""
    or_folder = ", or an exported folder" if takes_folder else ""
    parser.add_argument(
        "run",
        help="a run's name below runs/, or its folder, or a network of results/networks/, or a "
        "circuit of the study: circuit or circuit_study" + or_folder,
    )
    parser.add_argument(
        "--out",
        help="folder to write (default: circuit/ in the run's folder, build/circuit for the "
        "circuit of the study; required for a pretrained network)",
    )
    parser.add_argument(
        "--dataset",
        help="data set to read, if it was moved since the training: a name or a folder",
    )
    parser.add_argument(
        "--utterances",
        type=int,
        default=20,
        help="number of utterances that are exported as test vectors (default: 20)",
    )
    parser.add_argument(
        "--membranes",
        type=int,
        default=1,
        help="number of test vectors for which the trace lists the membrane potentials (default: "
        "1)",
    )
    parser.add_argument(
        "--lanes",
        type=int,
        default=1,
        help="number of neurons that the core sums in parallel (default: 1)",
    )
    parser.add_argument(
        "--circuit",
        default="",
        help="bit widths and leak, such as 4-8-12 or '4-8-12 product' (default: those of the run, "
        "else 8-8-16)",
    )
    parser.add_argument(
        "--language",
        choices=LANGUAGES,
        help="language of the digits that the circuit can answer, if the network has both "
        "languages (default: all its classes)",
    )


def out_folder(arguments: argparse.Namespace) -> Path:
    """Return the folder that the arguments name: an export, there already or not."""
    if arguments.out:
        return resolve(arguments.out)
    if arguments.run in STUDY_CIRCUITS:
        return resolve("build") / arguments.run
    if (resolve(arguments.run) / "core.v").is_file():
        return resolve(arguments.run)
    file = find(arguments.run)
    if file.name != "run.json":
        raise ExportError(
            f"{file}: a pretrained network has no run folder to write to. Name a folder: "
            "OUT=my_circuit."
        )
    return file.parent / "circuit"


def changes_export(arguments: argparse.Namespace) -> bool:
    """Check whether the arguments say how to export, and not only what and where to.

    An export that is already there may have been made with other arguments.
    """
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    defaults = vars(parser.parse_args([arguments.run]))
    given = vars(arguments)
    return any(given[name] != defaults[name] for name in defaults if name not in ("run", "out"))


def export_from(arguments: argparse.Namespace) -> None:
    """Export as the arguments say, and print the accuracies."""
    out = out_folder(arguments)
    if arguments.run in STUDY_CIRCUITS:
        if changes_export(argparse.Namespace(**vars(arguments) | {"lanes": 1})):
            network, _ = STUDY_CIRCUITS[arguments.run]
            raise ExportError(f"{arguments.run}: is exported as it is. For another: RUN={network}")
        write_study_circuit(arguments.run, out, arguments.lanes)
        print(f"Exported: {os.path.relpath(out)}; begin with README.md there")
        return
    file = find(arguments.run)
    is_run = file.name == "run.json"
    trained = load_network(read_run(file.parent)) if is_run else load_pretrained(file)
    if arguments.dataset:
        trained.about["parameters"]["dataset"] = arguments.dataset
    if arguments.language:
        try:
            trained = trained.speaking(arguments.language)
        except ValueError as error:
            raise ExportError(str(error)) from error
    description = export(
        trained,
        out,
        arguments.circuit,
        arguments.utterances,
        FolderOptions(arguments.membranes, arguments.lanes),
    )
    for name, (n_correct, n) in description.accuracies.items():
        print(f"{name}: {n_correct / n:.1%} of {n} utterances")
    print(f"Exported: {os.path.relpath(out)}; begin with README.md there")


def main() -> None:
    """Export from the command line (``make export``)."""
    parser = argparse.ArgumentParser(prog="python -m shd_circuit.export", description=__doc__)
    add_arguments(parser)
    try:
        export_from(parser.parse_args())
    except (ExportError, RunError, DatasetError) as error:
        sys.exit(f"\nNothing was exported.\n{error}")


if __name__ == "__main__":
    run(main)
