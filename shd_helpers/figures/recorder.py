"""A widget that records a word in the browser, or loads a sound file there."""

from pathlib import Path

import anywidget
import numpy as np
import traitlets

RATE_HZ = 48_000


class Recorder(anywidget.AnyWidget):
    """Buttons to record, to load a file and to hear it; `number` rises with each sound.

    Attributes
    ----------
    sound : bytes
        Samples as float32, 48 kHz, mono; empty where there is none.
    trouble : str
        Why there is none, a sentence; else empty.
    number : int
        How many sounds, or troubles, there have been.
    """

    _esm = Path(__file__).with_name("recorder.js")
    sound = traitlets.CBytes().tag(sync=True)  # the browser sends a memoryview
    trouble = traitlets.Unicode().tag(sync=True)
    number = traitlets.Int().tag(sync=True)

    @property
    def wave(self) -> np.ndarray:
        """Return the sound, shape (samples,), full scale 1."""
        return np.frombuffer(self.sound, np.float32)
