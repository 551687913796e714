"""Draw 20 utterances at random, and list how a network on each of four inputs has answered them.

The people are in no training set: they test fold 0 of the plan `people`. The slider of notebook 0
shows `results/four_sizes.csv`, which this program writes once. It computes nothing new, because the
answers are frozen.
"""

import argparse

import h5py
import numpy as np
import pandas as pd

from evidence.plan import cell_called, frozen_file, read_plan
from shd_corpus.class_names import ENGLISH
from shd_helpers.command import run
from shd_helpers.paths import results_dir

INPUTS = {
    "700 x 1000": "cost",
    "183 x 333, threshold 2": "cost",
    "77 x 333": "size",
    "30 x 30": "size",
}
FOLD = "fold_0"
N_DRAWN = 20


def four_sizes() -> pd.DataFrame:
    """Return a row for each utterance: its digit, the person, and the answer with each input."""
    names = np.array(ENGLISH)
    people = read_plan("people")
    with h5py.File(frozen_file(people)) as file:
        utterances = file[f"utterances/commands/{FOLD}/commands"]
        drawn = np.random.default_rng(0).permutation(len(utterances["labels"]))[:N_DRAWN]
        columns = {"digit": names[utterances["labels"][:][drawn]]}
        columns["person"] = utterances["speakers"][:][drawn]
        for name, question in INPUTS.items():
            digest = cell_called(people, question, name).digest
            columns[name] = names[file[f"networks/{digest}/{FOLD}_0/commands"][:][drawn]]
    return pd.DataFrame(columns)


def main() -> None:
    """Write the table."""
    argparse.ArgumentParser(prog="python -m evidence.four_sizes", description=__doc__).parse_args()
    four_sizes().to_csv(results_dir() / "four_sizes.csv", index=False)


if __name__ == "__main__":
    run(main)
