"""Give pretrained networks and the tables of their sweeps the hashes that `run_hash` computes now.

The weights stay the same, bit by bit. Tables change in the columns with hashes only.
"""

import json

import numpy as np
import pandas as pd

from shd_helpers.data.class_names import LANGUAGES
from shd_helpers.data.shd_file import N_CHANNELS
from shd_helpers.paths import networks_dir, results_dir
from shd_helpers.study.identity import run_hash
from shd_helpers.study.pretrained import weights_hash
from shd_helpers.study.recipe import DEFAULTS
from shd_helpers.study.tables import DATA, read_rows

TABLES = ("chosen_spoken", "networks_hd")
NAMING_RUNS = ("circuit_faults",)  # tables whose column `run` has hashes


def rewrite_networks() -> dict[str, str]:
    """Rewrite all pretrained networks, and return their new hashes by the old ones."""
    renamed = {}
    for path in sorted(networks_dir().glob("*.npz")):
        with np.load(path) as file:
            arrays = dict(file)
        about = json.loads(str(arrays.pop("about")))
        before = weights_hash(arrays)
        assert about["weights_sha256"] == before
        for run in about.get("members", [about]):
            run.setdefault("class_names", list(LANGUAGES[run["parameters"]["language"]]))
            run.setdefault("n_channels", N_CHANNELS)
            new = run_hash(run["parameters"], run["data"])
            renamed[run["hash"]] = new
            run["hash"] = new
        with path.open("wb") as file:
            np.savez_compressed(file, **arrays, about=np.array(json.dumps(about)))
        with np.load(path) as file:
            after = dict(file)
        after.pop("about")
        assert weights_hash(after) == before
        assert all(after[name].tobytes() == arrays[name].tobytes() for name in arrays)
    return renamed


def rewrite_table(name: str) -> dict[str, str]:
    """Rewrite the hashes of a sweep's table, and return the new ones by the old ones."""
    path = results_dir() / f"{name}.csv"
    renamed = {}
    for row in read_rows(path).to_dict("records"):
        parameters = {key: row[key] for key in DEFAULTS if key in row and row[key] == row[key]}
        data = {key: row[key] for key in DATA if row.get(key)}
        renamed[row["hash"]] = run_hash(parameters, data)
    texts = pd.read_csv(path, dtype=str, keep_default_na=False)
    texts["hash"] = texts["hash"].map(renamed)
    for key, default in DEFAULTS.items():
        if key in texts and not isinstance(default, str):
            texts[key] = texts[key].replace("", str(default))
    texts.to_csv(path, index=False)
    return renamed


def main() -> None:
    """Rewrite the files in ``results/``."""
    renamed = rewrite_networks()
    for name in TABLES:
        renamed |= rewrite_table(name)
    for name in NAMING_RUNS:
        path = results_dir() / f"{name}.csv"
        texts = pd.read_csv(path, dtype=str, keep_default_na=False)
        texts["run"] = texts["run"].map(lambda run: renamed.get(run, run))
        texts.to_csv(path, index=False)


if __name__ == "__main__":
    main()
