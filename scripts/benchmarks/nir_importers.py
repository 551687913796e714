"""Read trained networks' NIR files with other frameworks; write ``results/nir_importers.csv``.

Each framework gets an environment of its own, made on first use below the system's folder for
temporary files, that borrows torch from this one. The table has the error of a framework that can't
read the file. Rows that exist already are skipped. Remove the table to read all files again.
"""

import argparse
import subprocess
import sys
import sysconfig
import tempfile
import venv
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from shd_circuit.nir_file import read_nir, write_nir
from tqdm import tqdm

from shd_helpers.files import atomic
from shd_helpers.network import answers, compiled_engine
from shd_helpers.paths import results_dir, runs_dir
from shd_helpers.study import load_network, load_utterances, read_run
from shd_helpers.study.recipe import Recipe

PYTHON = Path(sys.executable)
COLUMNS = (
    "run_name",
    "utterances",
    "own_accuracy",
    "own_spikes",
    "reader",
    "version",
    "nir",
    "accuracy",
    "spikes",
    "same_answers",
    "same_counts",
    "problem",
)
SCRIPT = Path(__file__).with_name("nir_readers.py")
ENVIRONMENTS = Path(tempfile.gettempdir()) / "nir_readers"


class Reader(NamedTuple):
    """A framework's way to read a NIR file.

    Parameters
    ----------
    function : str
        Its name in `nir_readers`.
    packages : tuple of str
        Installed one after the other, the framework first.
    """

    function: str
    packages: tuple[str, ...]


READERS = {
    "here": Reader("here", ()),
    "snntorch": Reader("snntorch", ("snntorch", "nir", "nirtorch")),
    "SpikingJelly": Reader("spikingjelly", ("spikingjelly", "nir", "nirtorch")),
    "Norse": Reader("norse", ("norse", "nir", "nirtorch")),
    "Norse, r in the weights": Reader("norse_r_folded", ("norse", "nir", "nirtorch")),
    "sinabs": Reader("sinabs", ("sinabs",)),
    "sinabs by an adapter": Reader("sinabs_adapter", ("sinabs", "nir>=1.0.8")),
    "Rockpool": Reader("rockpool", ("rockpool", "nir", "nirtorch")),
}


def environment(packages: tuple[str, ...]) -> Path:
    """Return the Python of an environment with these packages; make it if it is missing.

    Parameters
    ----------
    packages : tuple of str
        As `Reader`.

    Returns
    -------
    Path
        The interpreter.
    """
    folder = ENVIRONMENTS / "_".join(package.partition(">")[0] for package in packages)
    python = folder / "bin" / "python"
    ready = folder / "ready"  # without it an environment wasn't finished
    if not ready.exists():
        venv.create(folder, with_pip=True, clear=True)
        ask = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
        site = Path(subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip())
        # it borrows torch: the packages of this environment come last on its path
        (site / "zz_borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
        pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        for package in packages:
            subprocess.run([*pip, package], capture_output=True, check=True)
        ready.touch()
    return python


def version(python: Path, package: str) -> str:
    """Return a package's version in an environment.

    Parameters
    ----------
    python : Path
        The environment's interpreter.
    package : str
        Its name.

    Returns
    -------
    str
        "" if it isn't installed.
    """
    ask = f"from importlib.metadata import version; print(version('{package}'))"
    return subprocess.run([python, "-c", ask], capture_output=True, text=True).stdout.strip()


def read(reader: Reader, file: Path, inputs: Path) -> tuple[dict, np.ndarray | None]:
    """Read a file with a framework, and let it run.

    Parameters
    ----------
    reader : Reader
        The function and its packages.
    file : Path
        The NIR file.
    inputs : Path
        The input, as `nir_readers` wants it.

    Returns
    -------
    about : dict
        Versions, or the problem.
    counts : ndarray or None
        Output spikes, shape (utterances, classes). None if there was a problem.
    """
    try:
        python = environment(reader.packages)
    except subprocess.CalledProcessError as error:
        return {"problem": f"not installed: {error.stderr.decode().strip().splitlines()[-1]}"}, None
    about = {"version": version(python, reader.packages[0]), "nir": version(python, "nir")}
    out = inputs.with_name("counts.npz")
    out.unlink(missing_ok=True)
    command = [str(x) for x in (python, SCRIPT, reader.function, file, inputs, out)]
    done = subprocess.run(command, capture_output=True, text=True)
    if not out.exists():
        return about | {"problem": (done.stderr.strip() or "no answer").splitlines()[-1]}, None
    with np.load(out) as counts:
        return about, counts["counts"]


def rows(name: str, done: set[str]) -> Iterator[dict]:
    """Read a run's network with each reader.

    Parameters
    ----------
    name : str
        Of the run folder.
    done : set of str
        Readers that are skipped.

    Yields
    ------
    dict
        A row of the table, by `COLUMNS`.
    """
    run = read_run(runs_dir() / name)
    trained = load_network(run)
    model = trained.network
    events = load_utterances(trained).predicted
    grid = Recipe.from_flat(run.info["parameters"]).input
    everything = np.arange(len(events))
    own_counts = compiled_engine.evaluate_batch(model, events, everything)[0].numpy()
    about = {
        "run_name": name,
        "utterances": len(events),
        "own_accuracy": np.mean(answers(own_counts) == events.labels),
        "own_spikes": own_counts.sum(1).mean(),
    }
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "input.npz"
        file = Path(folder) / "network.nir"
        np.savez(inputs, x=events.to_frames(everything).astype(bool))
        for label, reader in tqdm(READERS.items(), desc=name):
            if label in done:
                continue
            with warnings.catch_warnings(action="ignore"):
                write_nir(model, grid, file)
            counts: np.ndarray | None
            if reader.function == "here":
                versions = {"version": version(PYTHON, "snntorch"), "nir": version(PYTHON, "nir")}
                read_back = read_nir(file)[0]
                counts = compiled_engine.evaluate_batch(read_back, events, everything)[0].numpy()
            else:
                versions, counts = read(reader, file, inputs)
            row = about | {"reader": label} | versions
            if counts is not None:
                row["accuracy"] = np.mean(answers(counts) == events.labels)
                row["spikes"] = counts.sum(1).mean()
                row["same_answers"] = np.mean(answers(counts) == answers(own_counts))
                row["same_counts"] = np.mean((counts == own_counts).all(1))
            yield {k: x if isinstance(x, str | int) else f"{x:.6g}" for k, x in row.items()}


def main() -> None:
    """Write the table row by row, and print it; rows that are there already stay."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", help="names of run folders below runs/")
    path = results_dir() / "nir_importers.csv"
    table = pd.read_csv(path, dtype=str, keep_default_na=False) if path.exists() else None
    for name in parser.parse_args().runs:
        done = set() if table is None else set(table.reader[table.run_name == name])
        for row in rows(name, done):
            table = pd.concat([table, pd.DataFrame([row])]).reindex(columns=list(COLUMNS))
            with atomic(path) as unfinished:
                table.to_csv(unfinished, index=False)
    print(path.read_text())


if __name__ == "__main__":
    main()
