"""From a trained network to a folder that tools read (``make export``); see `folder`."""

import argparse
import importlib.util
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from shd_circuit import cost
from shd_circuit.folder import Description, ExportError, check_place, write_folder
from shd_circuit.integer import IntegerNetwork, milliseconds
from shd_circuit.quantize import circuit_of
from shd_circuit.sources import Word
from shd_helpers.command import run
from shd_helpers.data.datasets import locate
from shd_helpers.data.shd_file import LANGUAGES, DatasetError, read_shd
from shd_helpers.events import Downsampling, Events
from shd_helpers.network import Network, Quantization, answers
from shd_helpers.paths import resolve, runs_dir
from shd_helpers.study import evaluate, load_network, load_pretrained, load_utterances, read_run
from shd_helpers.study.pretrained import TrainedNetwork, networks_dir
from shd_helpers.study.run_folder import RunError


def find(name: str) -> Path:
    """Return a run's ``run.json``, or the file of a network that was kept.

    The name is a run's below ``runs/`` or its folder's path, or a file's in ``results/networks/``
    or its path. ExportError, if there is no such network.
    """
    path = resolve(name)
    files = [runs_dir() / name / "run.json", path / "run.json", networks_dir() / f"{name}.npz"]
    files += [path] * (path.suffix == ".npz")
    for file in files:
        if file.is_file():
            return file
    places = " and no ".join(map(str, dict.fromkeys(files)))
    raise ExportError(
        f"RUN {name!r}: no {places}. Name a run or a kept network, or train one with make study."
    )


def quantization_of(trained: TrainedNetwork, circuit: str = "") -> Quantization:
    """Return the bits and the leak of a network's circuit.

    Parameters
    ----------
    trained : TrainedNetwork
        If it was trained as floats it is rounded to 8-8-16, with a leak by product where its beta
        isn't one of a shift.
    circuit : str
        A circuit's name, as in notebook 3, instead of the network's own.

    Raises
    ------
    ExportError
        If there is no such circuit, or none can be made of such a network; the message says why.
    """
    names = [circuit] if circuit or trained.recipe.circuit else ["8-8-16", "8-8-16 product"]
    reasons: list[str] = []
    for name in names:
        try:
            wanted = Quantization.named(name) if name else trained.recipe.circuit
        except ValueError as error:
            raise ExportError(f"{trained.file}: can't be exported: {error}") from error
        if not (reasons := wanted.refusals(trained.recipe.network, trained.grid)):
            return wanted
    raise ExportError(f"{trained.file}: can't be exported: {'; '.join(reasons)}")


def choose(labels: np.ndarray, n: int) -> np.ndarray:
    """Return `n` utterances (index), as many of each class as possible, spread over each class.

    ExportError, if there are not so many.
    """
    if not 1 <= n <= len(labels):
        raise ExportError(f"utterances {n}: there are 1..{len(labels)}")
    by_class = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    taken = np.zeros(len(by_class), int)
    while taken.sum() < n:
        left = np.array([len(part) for part in by_class]) > taken
        taken[np.flatnonzero(left)[: n - taken.sum()]] += 1
    parts = zip(by_class, taken, strict=True)
    spread = [part[np.arange(k) * len(part) // max(k, 1)] for part, k in parts]
    return np.sort(np.concatenate(spread))


def export(
    trained: TrainedNetwork, out: Path, circuit: str = "", n_words: int = 20, n_membranes: int = 1
) -> Description:
    """Write the folder of a trained network's circuit.

    Parameters
    ----------
    trained : TrainedNetwork
        From `study.load_network` or `study.load_pretrained`; its data set is still there.
    out : Path
        The folder.
    circuit : str
        As for `quantization_of`.
    n_words : int
        Test vectors, of the utterances that the run's predictions are of.
    n_membranes : int
        Words whose membranes are kept too.

    Raises
    ------
    ExportError, RunError, DatasetError
        If the network can't be exported, or a file can't be read or written.
    """
    check_place(out)
    if n_membranes < 0:
        raise ExportError(f"membranes {n_membranes}: must be at least 0")
    quantization = quantization_of(trained, circuit)
    try:
        network = circuit_of(trained, quantization)
    except ValueError as error:
        raise ExportError(f"{trained.file}: can't be exported: {error}") from error
    events = load_utterances(trained).predicted
    described = describe(trained, quantization, network, events)
    words = read_words(trained.about["parameters"], events, choose(events.labels, n_words))
    write_graph = _graph_writer(trained.network, network.grid)
    write_folder(out, network, words, described, n_membranes, write_graph)
    return described


def describe(
    trained: TrainedNetwork, bits: Quantization, circuit: IntegerNetwork, events: Events
) -> Description:
    """Say where the circuit comes from, and how it answers utterances beside its network."""
    about, p, labels = trained.about, trained.about["parameters"], events.labels
    n_tuned = trained.recipe.circuit.quantized_epochs
    before, floats = "floats, before rounding", "before rounding"
    if n_tuned:
        before, floats = "few-bit weights, all else floats", "with floats but for the weights"
    found = {floats: evaluate(trained.network, events).answers}
    found |= {"integers": answers(circuit.evaluate(events)[0])}
    is_right = {name: answered == labels for name, answered in found.items()}
    new = ~np.isin(events.speakers, about["seen_speakers"])
    kind = "test" if p["score_test"] else "validation"
    scored = f"Over all {len(events)} {kind} utterances of one network, {new.sum()} of them by new "
    scored += "speakers"
    if 0 < new.sum() < len(events):
        parts = [f"{name} {right[new].mean():.1%}" for name, right in is_right.items()]
        scored += f" ({', '.join(parts)})"
    scored += f". Both give the same answer to {np.mean(found[floats] == found['integers']):.1%}."
    if n_tuned:
        scored += " Both have weights of few bits; what these cost against floats isn't shown here."
    scored += other_seeds(trained, bits)
    languages = {"both": "english and german"}.get(p["language"], p["language"])
    tuned = f"the last {n_tuned} of them with few-bit weights, " * bool(n_tuned)
    return Description(
        name=trained.name,
        origin=f"Trained on {about['data']['name']}, {languages}, for {p['epochs']} epochs, "
        f"{tuned}seed {p['seed']}; weights of {bits.fc1_bits} and {bits.fc2_bits} bits, membranes "
        f"of {bits.mem_bits}.",
        class_names=events.class_names,
        data=f"the data set `{about['data']['name']}`",
        scored=scored,
        accuracies={
            name: (int(right.sum()), len(events))
            for name, right in zip(
                (before, "integers, as exported"), is_right.values(), strict=True
            )
        },
        operations=cost.operations(circuit, events),
        is_tuned=bool(n_tuned),
    )


def other_seeds(trained: TrainedNetwork, bits: Quantization) -> str:
    """Say what circuits of the recipe answer on the official split, if such networks were kept."""
    file, right, is_new = trained.file, {}, np.zeros(0, bool)
    same = f"{file.stem.rstrip('0123456789').rstrip('_')}_[0-9].npz"
    for kept in sorted(file.parent.glob(same)) if file.suffix == ".npz" else []:
        (language,) = (name for name, words in LANGUAGES.items() if words == trained.class_names)
        other = load_pretrained(kept).speaking(language)
        if other.recipe.split.protocol == "official" and other.recipe.split.score_test:
            other.about["parameters"]["dataset"] = trained.about["parameters"]["dataset"]
            events, circuit = load_utterances(other).predicted, circuit_of(other, bits)
            right[other.recipe.seed] = np.mean(
                answers(circuit.evaluate(events)[0]) == events.labels
            )
            is_new = ~np.isin(events.speakers, other.about["seen_speakers"])
    if not right:
        return ""
    seeds, rates = ", ".join(map(str, right)), ", ".join(f"{rate:.1%}" for rate in right.values())
    said = f" Circuits of this recipe with seeds {seeds}, trained on the official split, answer "
    said += f"{rates} of its test words correctly, {np.mean([*right.values()]):.1%} on average; "
    return f"{said}{is_new.mean():.0%} of these words are by new speakers."


def _graph_writer(model: Network, grid: Downsampling) -> Callable[[Path], None] | None:
    """Return what writes the NIR graph; None, and print why, where there can't be one."""
    if importlib.util.find_spec("nir") is None:
        print("Without network.nir: it needs the package nir (pip install nir).")
        return None
    from shd_circuit.nir_file import unwritable_reasons, write_nir

    if reasons := unwritable_reasons(model):
        print(f"Without network.nir: {'; '.join(reasons)}.")
        return None

    def write(path: Path) -> None:
        with warnings.catch_warnings(action="ignore"):  # the file says the same
            write_nir(model, grid, path)

    return write


def read_words(parameters: dict, events: Events, index: np.ndarray) -> list[Word]:
    """Return the raw events of the utterances `index` (of `events`), from the data set's files."""
    assert events.file is not None and events.rows is not None
    paths = locate(parameters["dataset"], parameters["language"])
    raw = {part: read_shd(paths[part]) for part in set(events.file[index].tolist())}
    return [
        Word(*milliseconds(raw[int(events.file[i])], int(events.rows[i])), int(events.labels[i]))
        for i in index
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say what to export, and where to."""
    parser.add_argument(
        "run",
        help="a run's name below runs/, or its folder, or a network of results/networks/, or an "
        "exported folder",
    )
    parser.add_argument("--out", help="the folder to write; default: circuit/ in the run's folder")
    parser.add_argument("--dataset", help="where the data is now, if not where it was")
    parser.add_argument("--utterances", type=int, default=20, help="test vectors (20)")
    parser.add_argument("--membranes", type=int, default=1, help="of them with membranes (1)")
    parser.add_argument(
        "--circuit", default="", help="bits and leak, if not the run's: 4-8-12, or '4-8-12 product'"
    )
    parser.add_argument(
        "--language", choices=LANGUAGES, help="of whose digits alone a network of both is to answer"
    )


def out_folder(given: argparse.Namespace) -> Path:
    """Return the folder that the arguments name: an export, there already or not."""
    if given.out:
        return resolve(given.out)
    if (resolve(given.run) / "core.v").is_file():
        return resolve(given.run)
    file = find(given.run)
    if file.name != "run.json":
        raise ExportError(f"{file}: is no run folder. Name the folder to write: OUT=my_circuit.")
    return file.parent / "circuit"


def export_from(given: argparse.Namespace) -> None:
    """Export as the arguments say, and print the accuracies."""
    out, file = out_folder(given), find(given.run)
    is_run = file.name == "run.json"
    trained = load_network(read_run(file.parent)) if is_run else load_pretrained(file)
    if given.dataset:
        trained.about["parameters"]["dataset"] = given.dataset
    if given.language:
        try:
            trained = trained.speaking(given.language)
        except ValueError as error:
            raise ExportError(str(error)) from error
    described = export(trained, out, given.circuit, given.utterances, given.membranes)
    for name, (correct, n) in described.accuracies.items():
        print(f"{name}: {correct / n:.1%} of {n} utterances")
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
