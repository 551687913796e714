"""Give old runs the hashes of the augmented recordings that they trained on.

Runs that trained on augmented recordings (`augmented_copies` 1) were once identified by their
settings and by the data set's two files alone. Now the files of augmented recordings are part of a
run's identity, so the rows of such runs, their predictions, the pretrained networks and the circuit
tables that point to them need a new hash. This script computes it from the files and writes it
into the tables and networks below ``results/``.

    python -m scripts.identify_augmented data/hd "equal bytes"

The last argument says how it is known that the runs trained on just these files: see
``augmented_evidence`` in results/README.md. If you start the script again with another text and the
same files, it replaces this text alone.
"""

import argparse
import gzip
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from shd_helpers.command import run
from shd_helpers.data.datasets import PARTS, copy_name
from shd_helpers.data.shd_file import content_hash
from shd_helpers.files import atomic
from shd_helpers.paths import NOTEBOOKS, results_dir
from shd_helpers.study.identity import run_hash
from shd_helpers.study.parameters import notebook_parameters
from shd_helpers.study.pretrained import weights_hash
from shd_helpers.study.tables import DATA, EVIDENCE, RECORDED, read_rows

FILES = DATA[:2]  # the data set's two files; all that counted before
AUGMENTED = DATA[2:]
# Tables that name a run by its hash, in a column of this name, and have no settings of their own.
POINTERS = {"circuit_bits_small": "run", "circuit_faults": "run"}


def main() -> None:
    """Migrate everything below ``results/`` from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.identify_augmented", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("folder", type=Path, help="folder of hd_augmented1_train.h5")
    parser.add_argument("evidence", help="how it is known that the runs trained on these files")
    arguments = parser.parse_args()
    copies = [arguments.folder / f"{copy_name('hd', 1)}_{part}.h5" for part in PARTS]
    if absent := [str(path) for path in copies if not path.is_file()]:
        sys.exit(f"{absent[0]}: no such file. Make it with `augmented_copies` 1 and DATASET=hd.")
    hashes = dict(zip(AUGMENTED, map(content_hash, copies), strict=True))
    renamed: dict[str, str] = {}
    for path in sorted(results_dir().glob("*_hd.csv")):
        renamed |= migrate_table(path, hashes, arguments.evidence)
    for path in sorted(results_dir().glob("*_predictions.csv.gz")):
        migrate_predictions(path, renamed)
    for name, column in POINTERS.items():
        migrate_pointers(results_dir() / f"{name}.csv", column, renamed)
    for path in sorted((results_dir() / "networks").glob("*.npz")):
        migrate_network(path, hashes, arguments.evidence)
    print(f"{len(renamed)} rows have a new hash.")


def new_data(parameters: Mapping, data: Mapping[str, str], hashes: Mapping[str, str]) -> dict:
    """Return a run's data with the hashes of the augmented recordings that it trained on."""
    if parameters["changed"] != 1:
        raise ValueError(f"changed {parameters['changed']}: this script knows one copy alone")
    is_official = parameters["protocol"] == "official"  # it trains on the training file alone
    trained_on = AUGMENTED[:1] if is_official else AUGMENTED
    return {**data, **{name: hashes[name] for name in trained_on}}


def migrate_table(path: Path, hashes: Mapping[str, str], evidence: str) -> dict[str, str]:
    """Give a table's rows their new hashes; return the new hashes by the old ones."""
    defaults = notebook_parameters(NOTEBOOKS / "03_model_training.ipynb")
    typed = read_rows(path)
    if "changed" not in typed or not typed["changed"].any():
        return {}
    texts = pd.read_csv(path, dtype=str, keep_default_na=False)
    for column in (*AUGMENTED, EVIDENCE):
        if column not in texts:
            texts.insert(texts.columns.get_loc("hash"), column, "")
    renamed = {}
    before = texts.copy()
    for row, (_, values) in enumerate(typed.iterrows()):
        known = values.get(AUGMENTED[0], "")
        if values["changed"] == 0 or values.get(EVIDENCE) == RECORDED:
            continue
        if known:
            if known == hashes[AUGMENTED[0]]:
                texts.loc[row, EVIDENCE] = evidence
            continue
        there = {name: default for name, default in defaults.items() if name in values}
        parameters = {name: type(default)(values[name]) for name, default in there.items()}
        data = {name: values[name] for name in FILES}
        if run_hash(parameters, data) != values["hash"]:
            raise ValueError(f"{path}, row {row + 1}: its hash isn't that of its settings and data")
        data = new_data(parameters, data, hashes)
        renamed[values["hash"]] = run_hash(parameters, data)
        for name in AUGMENTED:
            texts.loc[row, name] = data.get(name, "")
        texts.loc[row, EVIDENCE] = evidence
        texts.loc[row, "hash"] = renamed[values["hash"]]
    if not texts.equals(before):
        with atomic(path) as part:
            texts.to_csv(part, index=False)
    return renamed


def migrate_predictions(path: Path, renamed: Mapping[str, str]) -> None:
    """Write the new hashes into a file of predictions; everything else stays to the letter."""
    text = gzip.decompress(path.read_bytes()).decode()
    new = rename_first_column(path, text, "hash", renamed)
    if new != text:
        with atomic(path) as part:
            part.write_bytes(gzip.compress(new.encode(), mtime=0))


def migrate_pointers(path: Path, column: str, renamed: Mapping[str, str]) -> None:
    """Write the new hashes into a table that names other tables' runs by them."""
    text = path.read_bytes().decode()
    new = rename_first_column(path, text, column, renamed)
    if new != text:
        with atomic(path) as part:
            part.write_bytes(new.encode())


def rename_first_column(path: Path, text: str, column: str, renamed: Mapping[str, str]) -> str:
    """Return a table's text with the new hashes in its first column."""
    if not text.startswith(f"{column},"):
        raise ValueError(f"{path}: its first column isn't {column}")
    lines = []
    for line in text.splitlines(keepends=True):
        old, comma, rest = line.partition(",")
        lines.append(renamed.get(old, old) + comma + rest)
    return "".join(lines)


def migrate_network(path: Path, hashes: Mapping[str, str], evidence: str) -> None:
    """Give a pretrained network its new hash, and the hash of its weights."""
    with np.load(path) as file:
        arrays = dict(file)
    about = json.loads(str(arrays.pop("about")))
    old = dict(about)
    parameters, data = about["parameters"], about["data"]
    if data.get(AUGMENTED[0]) == hashes[AUGMENTED[0]]:
        about[EVIDENCE] = evidence
    elif parameters.get("changed", 0) and AUGMENTED[0] not in data:
        if run_hash(parameters, data) != about["hash"]:
            raise ValueError(f"{path}: its hash isn't that of its settings and data")
        about["data"] = new_data(parameters, data, hashes)
        about["hash"] = run_hash(parameters, about["data"])
        about[EVIDENCE] = evidence
    about["weights_sha256"] = weights_hash(arrays)
    if about != old:
        arrays["about"] = np.array(json.dumps(about))
        with atomic(path) as part, part.open("wb") as file:
            np.savez_compressed(file, **arrays)


if __name__ == "__main__":
    run(main)
