"""Follow the protocol of SHD's ten folds with h5py and NumPy alone, for a trivial classifier.

``python nearest_mean.py shd_train.h5 nearest_mean.csv`` reads the official training file.
"""

import sys

import h5py
import numpy as np

source, target = sys.argv[1:]
with h5py.File(source) as file:
    labels = file["labels"][:]
    speakers = file["extra/speaker"][:]
    spikes = file["spikes/units"][:]  # of each utterance, the channels of its spikes
counts = np.array([np.bincount(units, minlength=700) for units in spikes])

rows = ["speaker,seed,accuracy"]
for speaker in np.unique(speakers):
    test = np.flatnonzero(speakers == speaker)
    others = np.flatnonzero(speakers != speaker)
    for seed in range(3):
        training = np.random.default_rng(seed).choice(others, len(others) // 2, replace=False)
        classes = np.unique(labels[training])
        means = np.array([counts[training][labels[training] == k].mean(axis=0) for k in classes])
        distances = ((counts[test, None] - means) ** 2).sum(axis=2)
        accuracy = (classes[distances.argmin(axis=1)] == labels[test]).mean()
        rows.append(f"{speaker},{seed},{accuracy:.4f}")
np.savetxt(target, rows, fmt="%s")
