"""Sounds of spoken digits."""

import soundfile
from scipy.signal import resample_poly

from corpus_tests.made_recordings import AUDIO, RATE
from shd_corpus.class_names import LANGUAGES
from shd_corpus.speech import SPEECH_RATE_HZ, synthesize
from tests import found


def recordings(n):
    """Return n sounds of 48 kHz: recordings if they are there, else synthetic speech."""
    if AUDIO.is_dir():
        paths = found("*.flac", folder=AUDIO)
        return [soundfile.read(path)[0] for path in paths[:: max(1, len(paths) // n)]]
    voices = [f"en-us+{kind}{i}" for kind in "mf" for i in range(1, 6)]
    spoken = [(digit, voice) for voice in voices for digit in LANGUAGES["english"]]
    return [
        resample_poly(synthesize(digit, voice), RATE, SPEECH_RATE_HZ)
        for digit, voice in spoken[:: 100 // n]
    ]
