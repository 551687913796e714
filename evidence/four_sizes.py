"""Draw 20 utterances at random, with the answers of the networks of four inputs.

The people are in no training set: they test fold 0 of the plan `people`. The slider of notebook 0
and of the site's first page reads `results/four_sizes.js`, which this program writes once, from the
data set `commands`. The answers are frozen, so no network runs.
"""

import argparse
import base64
import io
import json
from typing import Any

import h5py
import numpy as np
from PIL import Image

from evidence.plan import cell_called, frozen_file
from evidence.plan_jobs import fold_of
from evidence.tables import people as plan
from shd_corpus.class_names import ENGLISH
from shd_corpus.shd_file import N_CHANNELS
from shd_helpers.command import run
from shd_helpers.data import obtain
from shd_helpers.paths import results_dir

INPUTS = {
    "700 x 1000": "cost",
    "183 x 333, threshold 2": "cost",
    "77 x 333": "size",
    "30 x 30": "size",
}
FOLD = "fold_0"
N_DRAWN = 20


def drawn_utterances() -> np.ndarray:
    """Return the places, in the fold, of the utterances that are shown."""
    with h5py.File(frozen_file(plan())) as file:
        n = len(file[f"utterances/commands/{FOLD}/commands/labels"])
    return np.random.default_rng(0).permutation(n)[:N_DRAWN]


def frozen_answers() -> list[dict[str, Any]]:
    """Return each utterance's digit, its person, and the answers by input."""
    names = np.array(ENGLISH)
    drawn = drawn_utterances()
    with h5py.File(frozen_file(plan())) as file:
        utterances = file[f"utterances/commands/{FOLD}/commands"]
        digits = names[utterances["labels"][:][drawn]].tolist()
        people = utterances["speakers"][:][drawn].tolist()
        answers = {}
        for name, question in INPUTS.items():
            digest = cell_called(plan(), question, name).digest
            frozen = file[f"networks/{digest}/{FOLD}_0/commands"][:]
            answers[name] = names[frozen[drawn]].tolist()
    return [
        {"digit": digit, "person": person, "answers": dict(zip(INPUTS, each, strict=True))}
        for digit, person, *each in zip(digits, people, *answers.values(), strict=True)
    ]


def pictures() -> list[str]:
    """Return the spikes of each utterance: a PNG file in base 64, with a row for each channel."""
    training_file, _ = obtain("commands")
    found = []
    with h5py.File(training_file) as file:
        for row in np.flatnonzero(fold_of(file["extra/speaker"][:]) == 0)[drawn_utterances()]:
            milliseconds = (1000 * file["spikes/times"][row].astype(float)).astype(int)
            units = file["spikes/units"][row][milliseconds < 1000]
            raster = np.zeros((N_CHANNELS, 1000), bool)
            raster[units, milliseconds[milliseconds < 1000]] = True
            with io.BytesIO() as content:
                Image.fromarray(raster).save(content, "PNG", optimize=True)
                found.append(base64.b64encode(content.getvalue()).decode())
    return found


def main() -> None:
    """Write the file."""
    argparse.ArgumentParser(prog="python -m evidence.four_sizes", description=__doc__).parse_args()
    utterances = [
        answers | {"spikes": png} for answers, png in zip(frozen_answers(), pictures(), strict=True)
    ]
    inputs = {name: plan()["inputs"][name] for name in INPUTS}
    # A page that is opened as a local file can load a program, but no JSON.
    text = json.dumps({"inputs": inputs, "utterances": utterances})
    (results_dir() / "four_sizes.js").write_text(f"fourSizes({text})\n", encoding="utf-8")


if __name__ == "__main__":
    run(main)
