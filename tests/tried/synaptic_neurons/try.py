from pathlib import Path

import numpy as np
import snntorch as snn

from shd_corpus import write_shd
from shd_helpers import Downsampling, SpikingNetwork, judge, load_events

CLASSES = ("left", "right", "up")
N_CHANNELS = 64
rng = np.random.default_rng(0)


def utterance(label):
    return np.sort(rng.uniform(0, 1.0, 300)), rng.integers(12 * label, 12 * label + 16, 300)


for part, speakers in (("train", (0, 1, 2)), ("test", (3,))):
    times, units, labels, who = [], [], [], []
    for speaker in speakers:
        for label in range(len(CLASSES)):
            for _ in range(4):
                t, u = utterance(label)
                times.append(t)
                units.append(u)
                labels.append(label)
                who.append(speaker)
    write_shd(
        Path("moves") / f"moves_{part}.h5",
        times,
        units,
        labels,
        who,
        CLASSES,
        {"n_channels": N_CHANNELS},
    )

grid = Downsampling(first_unit=0, duration_s=1.0, pool_units=1, pool_steps=10, pool_threshold=1)
events = load_events("moves", downsampling=grid)
print(len(events), events.n_units, "units x", events.n_steps, "steps of", events.step_ms, "ms")


def synaptic(n_neurons, **options):
    return snn.Synaptic(alpha=0.8, beta=0.9, **options)


def with_synaptic(n_units, n_classes):
    return SpikingNetwork((n_units, 32, n_classes), neuron=synaptic)


result = judge(with_synaptic, events, epochs=4, speakers=(0, 1))
print(result)
print(result.accuracies)
