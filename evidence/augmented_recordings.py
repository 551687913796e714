"""Draw the spikes of one recording and of its augmented copies: ``augmented_recordings.png``.

Run it as ``SHD_IMG_DIR=img python -m evidence.augmented_recordings RECORDING``. The recording is a
sound file, such as one of those of `hd`.
"""

import argparse
import sys
from math import inf
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from shd_corpus.recording_list import RecordingError
from shd_corpus.recordings import encode_file, recording_seed
from shd_corpus.waveform_augmentation import WaveformAugmentation
from shd_course.figures.spike_axes import CHANNEL
from shd_helpers.command import run
from shd_helpers.figures.style import DOT, save


def describe(change: WaveformAugmentation) -> str:
    """Describe what was drawn for an augmented copy, without its equalizer."""
    first = [f"{change.speed:.2f} x as fast", f"{1000 * change.before_s:.0f} ms later"]
    if change.reverberation_s:
        first.append(f"room of {change.reverberation_s:.1f} s")
    second = []
    if change.noise_db < inf:
        second.append(f"noise {change.noise_db:.0f} dB below")
    if change.high_pass_hz:
        second.append(f"from {change.high_pass_hz:.0f} Hz")
    if change.low_pass_hz < inf:
        second.append(f"to {change.low_pass_hz / 1000:.1f} kHz")
    second.append(f"tilt {change.tilt_db:+.1f} dB")
    return ", ".join(first) + "\n" + ", ".join(second)


def main() -> None:
    """Draw the first copies of a recording beside the recording."""
    parser = argparse.ArgumentParser(
        prog="python -m evidence.augmented_recordings", description=__doc__
    )
    parser.add_argument("recording", type=Path, help="a sound file of one utterance")
    path = parser.parse_args().recording
    n_rows = 2
    n_columns = 3
    try:
        copies = [encode_file(path, copy=copy) for copy in range(n_rows * n_columns)]
    except RecordingError as error:
        sys.exit(str(error))
    figure, axes = plt.subplots(n_rows, n_columns, figsize=(11, 6), sharex=True, sharey=True)
    for copy, (axis, (times, units)) in enumerate(zip(axes.flat, copies, strict=True)):
        axis.plot(1000 * times.astype(float), units, **DOT)
        rng = np.random.default_rng(int(recording_seed(path, 0, copy), 16))
        drawn = WaveformAugmentation.drawn(rng)
        axis.set_title(describe(drawn) if copy else "as recorded", loc="left", fontsize=9)
    axes[0, 0].set(xlim=(0, 1000), ylim=(0, 700))
    plt.setp(axes[-1], xlabel="time (ms)")
    plt.setp(axes[:, 0], ylabel=CHANNEL)
    save(
        figure,
        "augmented_recordings",
        f"recording: {path.name}",
        "One utterance as five voices, rooms and microphones",
    )


if __name__ == "__main__":
    run(main)
