"""Time a step of each explorer's sliders: update the figure and make the picture that is sent."""

import contextlib
import io
import tempfile
import time
from pathlib import Path
from statistics import median
from unittest import mock

import numpy as np
import torch

from shd_corpus.shd_file import read_shd
from shd_course.figures import controls, explorers
from shd_helpers.data import obtain
from shd_helpers.events import Downsampling, load_pair
from shd_helpers.network import NetworkConfig, SpikingNetwork
from shd_helpers.study import training
from tests.toy import write_toy


def step_s(explorer, *arguments, slider: str) -> float:
    """Return the median time of 20 steps of one slider, seconds, after the first picture."""
    caught: dict = {}

    def catch(figure, update, **choices):
        caught.update(figure=figure, update=update, choices=choices)
        return explore(figure, update, **choices)

    explore = explorers.explore
    with mock.patch.object(explorers, "explore", catch), contextlib.redirect_stdout(io.StringIO()):
        explorer(*arguments)
    low, high, *step = caught["choices"][slider]
    times = []
    for k in range(20):
        value = low + k * (step[0] if step else 1)
        if value > high:
            break
        start = time.perf_counter()
        caught["update"](**{slider: value})
        controls.png(caught["figure"])
        times.append(time.perf_counter() - start)
    return median(times)


def rows() -> list[dict]:
    """Measure the sliders of all explorers. A step may take up to 0.150 s."""
    with tempfile.TemporaryDirectory() as folder:
        write_toy(Path(folder), seed=0)
        files = obtain(folder)
        data = read_shd(files[0])
        train, test = load_pair(files, Downsampling())
    generator = torch.Generator().manual_seed(0)
    sizes = (train.n_units, 256, len(train.class_names))
    network = SpikingNetwork(sizes, NetworkConfig(), generator)
    predictions = training.evaluate(network, test).predictions()
    distance = np.random.default_rng(0).normal(-0.7, 0.4, 32 * 256 * 333)
    cases = [
        (explorers.downsampling, (data, Downsampling(), "english"), "pool_threshold"),
        (explorers.downsampling, (data, Downsampling(), "english"), "pool_steps"),
        (explorers.surrogate_reach, (distance, "fast_sigmoid", 2.0), "log2_slope"),
        (explorers.utterances, (network, test, predictions, 3.0), "utterance"),
        (explorers.utterances, (network, test, predictions, 3.0), "until_ms"),
    ]
    return [
        {
            "benchmark": "slider step",
            "variant": f"{explorer.__name__}: {slider}",
            "batch": 1,
            "median_s": step_s(explorer, *arguments, slider=slider),
        }
        for explorer, arguments, slider in cases
    ]


if __name__ == "__main__":
    for row in rows():
        print(row)
