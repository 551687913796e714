"""Synthetic words: nothing leaks from one utterance into the next."""

import subprocess
import sys

import numpy as np
import pytest

from shd_corpus.speech import SpeechError, synthesize


def test_an_utterance_does_not_depend_on_those_before():
    first = synthesize("seven", "en-us+f2", rate_wpm=200)
    synthesize("four", "en-us+m3", rate_wpm=90, pitch=90, pitch_range=0)
    np.testing.assert_array_equal(synthesize("seven", "en-us+f2", rate_wpm=200), first)
    code = (
        "import sys; from shd_corpus.speech import synthesize;"
        "sys.stdout.buffer.write(synthesize('seven', 'en-us+f2', rate_wpm=200).tobytes())"
    )
    fresh = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert fresh == first.tobytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"voice": "nope"}, "choosing the voice nope"),
        ({"voice": "en-us", "text": ""}, "is silent"),
    ],
)
def test_what_espeak_would_swallow_is_an_error(arguments, message):
    with pytest.raises(SpeechError, match=message):
        synthesize(**({"text": "one"} | arguments))
    assert len(synthesize("one", "en-us")) > 4000  # and the next utterance is fine
