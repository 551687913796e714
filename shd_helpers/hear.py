"""Classify a spoken digit: ``shd hear digit.wav``, or from a microphone.

From Python, a `Listener` does the same: ``Listener().hear("digit.wav").digit``.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from types import ModuleType
from typing import NamedTuple

import numpy as np

from shd_corpus.class_names import LANGUAGES
from shd_corpus.compiled import announce_compilation
from shd_corpus.encoders import CHANNELS, FILTER_BANK
from shd_corpus.filter_bank import EventStream, FilterBank, Resampler
from shd_corpus.filter_bank.kernels import Steps
from shd_corpus.microphone import RecordedUtterance, encode_utterance, encode_utterance_file
from shd_corpus.recording_list import RecordingError
from shd_helpers.command import pip_command, run
from shd_helpers.network import choose_engine
from shd_helpers.study.trained_network import check_channels, input_of, load_trained

NETWORK = "listener"
# Of recordings from a microphone
RECORD_S = 2.5
RATE_HZ = 48_000
AGES = "||||::::...."  # of an event, in blocks of 10 ms, as a terminal shows them
CLEAR = "\r\x1b[K"  # return to the beginning of a terminal's line, and erase it


class Answer(NamedTuple):
    """A network's answer to one utterance."""

    # Class name.
    digit: str
    # 0 to 1: the digit's share in the softmax of the scores of the language's digits and, if the
    # network has the class "other", of this class.
    confidence: float
    # True if the confidence reaches the network's threshold and no other class scores higher, such
    # as a digit of another language. None if the network has no threshold and `is_digit` is True.
    accepted: bool | None
    # A sentence about the recording; empty for none.
    warning: str
    # False if the network has the class "other", for sounds that are no digit, and this class
    # scores highest.
    is_digit: bool


class Listener:
    """A pretrained network that classifies one spoken digit at a time.

    Parameters
    ----------
    network : str
        Name of a pretrained network: ``"listener"``, ``"everybody"``, or another of those in
        ``results/networks/``, which are installed with the package. Or the name or the folder of a
        run of your own.
    language : str
        ``"english"``, ``"german"`` or ``"both"``: the digits that may be answered.

    Raises
    ------
    ValueError
        If there is no such network, it wasn't trained on the language, or its input doesn't have
        the channels of its encoder.
    """

    def __init__(self, network: str = NETWORK, language: str = "english") -> None:
        self._network = load_trained(network)
        check_channels(self._network)
        self.encoder = self._network.encoder
        self._classes = self._network.classes_of(language)
        self._other_class = self._network.other_class

    def hear(self, path: str | Path) -> Answer:
        """Classify the digit in a sound file.

        Parameters
        ----------
        path : str or Path
            A wav, flac, ogg or mp3 file of up to a minute that holds one utterance, with or without
            silence around it. The mean of stereo channels is taken.

        Returns
        -------
        Answer
            The digit and how confident the network is.

        Raises
        ------
        RecordingError
            If there is no such file, or it doesn't hold one utterance, or one that is too long for
            the network. The message names the file.
        """
        utterance = encode_utterance_file(Path(path), encoder=self.encoder)
        try:
            return self.answer(utterance)
        except RecordingError as error:
            raise RecordingError(f"{path}: {error}") from error

    def encode(self, wave: np.ndarray, rate_hz: int) -> RecordedUtterance:
        """Find the utterance in a sound (samples,), and encode it as the network needs it."""
        return encode_utterance(wave, rate_hz, encoder=self.encoder)

    def answer(self, utterance: RecordedUtterance) -> Answer:
        """Classify an utterance that is already encoded.

        Parameters
        ----------
        utterance : RecordedUtterance
            From `encode`.

        Returns
        -------
        Answer
            The digit and how confident the network is.

        Raises
        ------
        RecordingError
            If most of it comes later than the network's input ends.
        """
        model = self._network.network
        events = input_of(self._network, utterance.times, utterance.units)
        scores, _ = choose_engine("compiled", model).evaluate_batch(model, events, [0])
        shares = scores[0, self._classes + self._other_class].softmax(0)
        confidences = shares[: len(self._classes)]
        best = self._classes[int(confidences.argmax())]
        highest = int(scores[0].argmax())
        is_digit = highest not in self._other_class
        threshold = self._network.about.get("confidence_threshold")
        confidence = float(confidences.max())
        accepted = None if is_digit else False
        if threshold is not None:
            accepted = confidence >= threshold and best == highest
        digit = self._network.class_names[best]
        return Answer(digit, round(confidence, 4), accepted, utterance.warning, is_digit)

    def listen(
        self,
        blocks: Iterable[np.ndarray],
        rate_hz: int,
        show: Callable[[Steps], None] = lambda _: None,
    ) -> Iterator[Answer]:
        """Classify each utterance of a stream of sound, some 0.2 s after its end.

        Parameters
        ----------
        blocks : iterable of (samples,) arrays
            The stream, in blocks of any size, of full scale 1.
        rate_hz : int
            Its sampling rate.
        show : function, optional
            Gets the steps of the filter bank that each block completes: levels, events and status.

        Yields
        ------
        Answer
            As `hear` returns it. An utterance that is too long for the network has none.

        Raises
        ------
        ValueError
            If the network's encoder isn't the filter bank.
        """
        if self.encoder != FILTER_BANK:
            raise ValueError(f"{self._network.name}: its encoder needs whole recordings, no stream")
        bank = FilterBank()
        stream = EventStream(bank)
        resampler = Resampler(rate_hz)
        for block in blocks:
            steps = stream.advance(resampler.process(block))
            show(steps)
            for utterance in stream.utterances(steps):
                times_s = (utterance.steps + 0.5) * bank.step_ms / 1000
                found = RecordedUtterance(block[:0], rate_hz, times_s, utterance.channels, "")
                with suppress(RecordingError):
                    yield self.answer(found)


@contextmanager
def microphone() -> Iterator[ModuleType]:
    """Import what reads a microphone, and turn its errors into those of recordings."""
    remedy = "Name a sound file instead, or say a digit in notebook 4."
    try:
        import sounddevice
    except ModuleNotFoundError as error:
        raise RecordingError(
            f"A microphone needs a package: {pip_command('microphone')}. {remedy}"
        ) from error
    except OSError as error:
        raise RecordingError(
            f"A microphone needs PortAudio (Debian: apt-get install libportaudio2). {remedy}"
        ) from error
    try:
        yield sounddevice
    except sounddevice.PortAudioError as error:
        raise RecordingError(f"No microphone can be used ({error}). {remedy}") from error


def record() -> np.ndarray:
    """Record the microphone for `RECORD_S`: (samples,)."""
    with microphone() as sounddevice:
        wave = sounddevice.rec(round(RECORD_S * RATE_HZ), RATE_HZ, channels=1, dtype="float32")
        sounddevice.wait()
    return wave[:, 0]


def blocks_of_microphone() -> Iterator[np.ndarray]:
    """Yield what the microphone records, in blocks of 10 ms, until somebody presses Ctrl-C."""
    blocks: SimpleQueue = SimpleQueue()
    with (
        microphone() as sounddevice,
        sounddevice.InputStream(
            RATE_HZ,
            RATE_HZ // 100,
            channels=1,
            dtype="float32",
            callback=lambda block, *_: blocks.put(block[:, 0].copy()),
        ),
    ):
        print("Say digits, with pauses between them. Ctrl-C ends.", file=sys.stderr)
        while True:
            yield blocks.get()


def main(arguments: Sequence[str] | None = None) -> int:
    """Classify sound files, or what the microphone records, from the command line."""
    parser = argparse.ArgumentParser(
        prog="shd hear",
        description="Recognize the digit in each sound file. Without a file, answer each digit "
        "that the microphone records, until Ctrl-C, or only one if the network's encoder is the "
        "model cochlea. The command prints the digit and the network's confidence. It marks an "
        "answer (not sure) if the confidence is below the network's threshold, or if a digit of "
        "another language scores higher. Some networks also recognize a sound that is no digit, "
        "and the command prints: not a digit.",
    )
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="sound files, each with one spoken digit"
    )
    parser.add_argument(
        "--language",
        default="english",
        choices=LANGUAGES,
        help="language of the digits that the network may answer (default: english)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object for each file, one per line"
    )
    parser.add_argument(
        "--network",
        default=NETWORK,
        help="a pretrained network, or the name or the folder of a run of your own (default: "
        f"{NETWORK})",
    )
    given = parser.parse_args(arguments)
    if "" in given.files:  # such as "$FILE" where FILE isn't set
        parser.error("FILE is empty. Name a sound file, or give no file to use the microphone.")
    announce_compilation()
    try:
        listener = Listener(given.network, given.language)
    except ValueError as error:
        parser.error(str(error))
    if not given.files and listener.encoder == FILTER_BANK:
        return _listen(listener, given.json)
    status = 0
    for file in given.files or [None]:
        try:
            if file is None:
                print("Say one digit.", file=sys.stderr)
                answer = listener.answer(listener.encode(record(), RATE_HZ))
            else:
                answer = listener.hear(file)
        except RecordingError as error:
            status = 1
            print(error, file=sys.stderr)
        else:
            _print_answer(answer, file, given.json)
    return status


class _StatusLine:
    """A line of a terminal with the level of the sound, and with the events that come.

    A character stands for two channels, the lowest at the left: ``|`` for a new event,
    ``:`` and ``.`` for older ones.
    """

    def __init__(self) -> None:
        self._ages = np.full(CHANNELS[FILTER_BANK] // 2, len(AGES))

    def show(self, steps: Steps) -> None:
        """Write the line anew, from the steps of a block."""
        if not len(steps.levels):
            return
        pairs = steps.events[:, ::-1][:, : 2 * len(self._ages)].reshape(-1, len(self._ages), 2)
        self._ages = np.where(pairs.any((0, 2)), 0, self._ages + 1)
        events = "".join(f"{AGES} "[min(age, len(AGES))] for age in self._ages)
        bar = "#" * (int(steps.levels.max()) // 10)
        sys.stdout.write(f"{CLEAR}level {bar:25} events {events}")
        sys.stdout.flush()


def _listen(listener: Listener, as_json: bool) -> int:
    """Print the answer to each utterance that the microphone hears, until Ctrl-C."""
    shows = sys.stdout.isatty() and not as_json
    show = _StatusLine().show if shows else lambda _: None
    clear = CLEAR if shows else ""
    try:
        for answer in listener.listen(blocks_of_microphone(), RATE_HZ, show):
            print(clear, end="")
            _print_answer(answer, None, as_json)
    except RecordingError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(clear, end="")
    return 0


def _print_answer(answer: Answer, file: str | None, as_json: bool) -> None:
    """Print an answer, and a warning about the recording on standard error."""
    prefix = f"{file}: " if file else ""
    if answer.warning:
        print(f"{prefix}{answer.warning}", file=sys.stderr)
    if as_json:
        print(json.dumps({"file": file} | answer._asdict()), flush=True)
    else:
        doubt = " (not sure)" if answer.accepted is False else ""
        guess = f"{answer.digit}, {answer.confidence:.0%}{doubt}"
        print(f"{prefix}{guess if answer.is_digit else 'not a digit'}")


if __name__ == "__main__":
    run(main)
