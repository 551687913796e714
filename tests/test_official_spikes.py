"""One command trains and judges a recipe on the official files, of which a stand-in is made here.

The real files couldn't be had. The stand-in has their layout, their names, their numbers of
utterances, about their number of spikes, their 20 classes, and their speakers: 4 and 5 speak in the
test file alone.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from shd_corpus.class_names import ENGLISH, GERMAN
from shd_corpus.shd_file import write_shd
from shd_helpers.paths import ROOT

SIZES = {"train": 8156, "test": 2264}
SPIKES = 8000  # of an utterance; hd has about as many
TRAINING_SPEAKERS = (0, 1, 2, 3, 6, 7, 8, 9, 10, 11)


def write_stand_in(folder, share):
    """Write files of a share of the official size; a class is a ridge over channels and time."""
    rng = np.random.default_rng(0)
    for part, n_in_all in SIZES.items():
        n = round(share * n_in_all)
        labels = np.arange(n) % 20
        speakers = rng.choice(TRAINING_SPEAKERS, n)
        if part == "test":
            speakers[: round(0.81 * n)] = rng.choice([4, 5], round(0.81 * n))
        times = []
        units = []
        for label in labels:
            moments = np.sort(rng.uniform(0, 0.8, SPIKES)).astype(np.float16)
            center = 170 + 25 * label + 200 * moments * (label % 3 - 1)
            times.append(moments)
            units.append(np.clip(rng.normal(center, 15), 0, 699).astype(np.uint16))
        write_shd(folder / f"shd_{part}.h5", times, units, labels, speakers, ENGLISH + GERMAN)


@pytest.mark.parametrize(
    "share",
    [pytest.param(0.05, marks=pytest.mark.slow), pytest.param(1.0, marks=pytest.mark.full)],
)
def test_one_command_trains_and_judges_a_recipe(tmp_path, share):
    """One of five seeds, for one epoch instead of thirty."""
    data = tmp_path / "official"
    data.mkdir()
    write_stand_in(data, share)
    environment = dict(os.environ)
    for name in ("RUNS", "RESULTS", "DATA"):
        environment[f"SHD_{name}_DIR"] = str(tmp_path / name.lower())
    command = [sys.executable, "-m", "shd_helpers.sweeps.runner", "official", "--shard", "1/5"]
    command += ["--set", f"dataset={data}", "--set", "epochs=1"]
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 executed, 0 failed" in ended.stdout
    (path,) = (tmp_path / "results").glob("official_shd*.csv")
    (row,) = pd.read_csv(path).to_dict("records")
    assert row["status"] == "done" and row["parameters"] == 21_640
    assert row["test_accuracy"] > 0.1  # chance is 0.05
    (folder,) = {path.parent for path in (tmp_path / "runs").rglob("run.json")}
    said = pd.read_csv(folder / "predictions.csv")
    assert len(said) == round(share * SIZES["test"])
    seen = json.loads((folder / "run.json").read_text())["seen_speakers"]
    assert {*said.speaker} - {*seen} == {4, 5}
