"""Chromium with a microphone, for the tests of JupyterLab and of the demo page."""

import shutil

import numpy as np
import soundfile

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def microphone(folder, wave, rate, is_repeated=False):
    """Return flags with which chromium's microphone records a sound, after a second."""
    path = folder / "microphone.wav"
    pause = np.zeros(rate)
    soundfile.write(path, np.concatenate([pause, wave, pause, pause]), rate, subtype="PCM_16")
    flags = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    once = "" if is_repeated else "%noloop"
    return [*flags, f"--use-file-for-fake-audio-capture={path}{once}"]
