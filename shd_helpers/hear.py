"""A sound to a digit: ``python -m shd_helpers.hear word.wav``, or a microphone without a file."""

import argparse
import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from shd_helpers.command import run
from shd_helpers.data.microphone import Word, encode_word, read_word
from shd_helpers.data.recordings import RecordingError
from shd_helpers.data.shd_file import LANGUAGES
from shd_helpers.network import choose_engine
from shd_helpers.study.pretrained import input_of, load_pretrained

NETWORK = "reference"
RECORD_S, RATE_HZ = 2.5, 48_000  # from a microphone


class Answer(NamedTuple):
    """What a network answers."""

    digit: str  # the word
    confidence: float  # 0..1: softmax of the scores of the language's ten digits
    # True if the confidence reaches the network's threshold and no digit of another language scores
    # higher; None if the network has no threshold
    accepted: bool | None
    warning: str  # a sentence; empty for none


class Listener:
    """A kept network that hears one spoken digit at a time.

    Parameters
    ----------
    network : str
        A network in ``results/networks/``.
    language : str
        ``"english"``, ``"german"`` or ``"both"``: the words that may be answered.

    Raises
    ------
    ValueError
        If there is no such network, or it doesn't know the language.
    """

    def __init__(self, network: str = NETWORK, language: str = "english") -> None:
        self._network = load_pretrained(network)
        self._words = self._network.classes_of(language)

    def hear(self, path: str | Path) -> Answer:
        """Return the digit in a sound file.

        Parameters
        ----------
        path : str or Path
            A wav, flac, ogg or mp3 file of up to a minute with one word and, if there is some, the
            silence around it. Of stereo the mean is taken.

        Raises
        ------
        RecordingError
            If there is no such file, or not one word in it; the message names the file.
        """
        return self.answer(read_word(Path(path)))

    def answer(self, word: Word) -> Answer:
        """Return the digit that a word is, from `source.microphone.encode_word`."""
        model = self._network.network
        events = input_of(self._network, word.times, word.units)
        scores, _ = choose_engine("fused", model).evaluate_batch(model, events, [0])
        confidences = scores[0, self._words].softmax(0)
        best = self._words[int(confidences.argmax())]
        threshold = self._network.about.get("confidence_threshold")
        confidence = float(confidences.max())
        accepted = None
        if threshold is not None:
            accepted = confidence >= threshold and best == int(scores[0].argmax())
        return Answer(self._network.class_names[best], round(confidence, 4), accepted, word.warning)


def record() -> np.ndarray:
    """Return what the microphone hears for `RECORD_S`, (samples,) at `RATE_HZ`.

    RecordingError, if there is no microphone, or nothing to reach it with.
    """
    remedy = "Name a sound file instead, or say a word in notebook 4."
    try:
        import sounddevice
    except ModuleNotFoundError as error:
        raise RecordingError(
            f"A microphone needs a package: pip install -e '.[microphone]'. {remedy}"
        ) from error
    except OSError as error:
        raise RecordingError(
            f"A microphone needs PortAudio (Debian: apt-get install libportaudio2). {remedy}"
        ) from error
    try:
        print("Say one digit.", file=sys.stderr)
        wave = sounddevice.rec(round(RECORD_S * RATE_HZ), RATE_HZ, channels=1, dtype="float32")
        sounddevice.wait()
    except sounddevice.PortAudioError as error:
        raise RecordingError(f"No microphone can be used ({error}). {remedy}") from error
    return wave[:, 0]


def main() -> int:
    """Hear files, or the microphone; return 1 if something couldn't be heard."""
    parser = argparse.ArgumentParser(prog="python -m shd_helpers.hear", description=__doc__)
    parser.add_argument("files", nargs="*", metavar="FILE", help="sound files of one word each")
    parser.add_argument("--language", default="english", choices=LANGUAGES)
    parser.add_argument("--json", action="store_true", help="an object in a line for each file")
    parser.add_argument("--network", default=NETWORK, help="one of results/networks")
    given = parser.parse_args()
    try:
        listener = Listener(given.network, given.language)
    except ValueError as error:
        parser.error(str(error))
    failed = False
    for file in given.files or [None]:
        try:
            word = read_word(Path(file)) if file else encode_word(record(), RATE_HZ)
        except RecordingError as error:
            failed = True
            print(error, file=sys.stderr)
            continue
        answer = listener.answer(word)
        if answer.warning:
            print(f"{file}: {answer.warning}" if file else answer.warning, file=sys.stderr)
        if given.json:
            print(json.dumps({"file": file} | answer._asdict()), flush=True)
        else:
            doubt = " (not sure)" if answer.accepted is False else ""
            print(f"{file + ': ' if file else ''}{answer.digit}, {answer.confidence:.0%}{doubt}")
    return int(failed)


if __name__ == "__main__":
    run(main)
