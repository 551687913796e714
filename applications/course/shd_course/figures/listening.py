"""Say a digit, and see how a network classifies it."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shd_corpus.microphone import RecordedUtterance, encode_utterance
from shd_corpus.recording_list import RecordingError
from shd_corpus.shd_file import N_CHANNELS
from shd_corpus.sound_file import RATE_HZ, read_wave
from shd_course.figures.controls import explore, is_live
from shd_course.figures.playback import Playback
from shd_course.figures.style import CHANNEL, DOT, INK
from shd_helpers.command import from_extra
from shd_helpers.data import DIGITS
from shd_helpers.paths import ROOT
from shd_helpers.study.trained_network import TrainedNetwork, input_of, load_pretrained
from shd_helpers.study.training import evaluate

with from_extra("study"):
    import anywidget
    import traitlets

COMMITTED = ROOT / "results"  # whatever $SHD_RESULTS_DIR is
NETWORK = "small"
EXAMPLE = DIGITS / "lang-english_speaker-01_trial-12_digit-3.flac"


class Recorder(anywidget.AnyWidget):
    """Buttons to record a digit in the browser, to load a sound file there, and to play it."""

    _esm = Path(__file__).with_name("recorder.js")
    sound = traitlets.CBytes().tag(sync=True)  # the browser sends a memoryview
    trouble = traitlets.Unicode().tag(sync=True)
    number = traitlets.Int().tag(sync=True)


class _Sound:
    """A panel with the sound that was recorded."""

    def __init__(self, axis: Axes) -> None:
        self._axis = axis
        (self._curve,) = axis.plot([], [], color=INK, linestyle="-", linewidth=0.5)
        axis.set(ylabel="share of full scale", title="sound")

    def draw(self, utterance: RecordedUtterance) -> str:
        """Draw an utterance; there is nothing to say of it."""
        milliseconds = 1000 * np.arange(len(utterance.wave)) / utterance.rate_hz
        self._curve.set_data(milliseconds, utterance.wave)
        self._axis.set_ylim(np.array([-1.05, 1.05]) * np.abs(utterance.wave).max())
        return ""


class _OwnNetwork:
    """A panel with a bar for the votes of the reader's network for each class."""

    def __init__(self, axis: Axes, own: TrainedNetwork) -> None:
        self._axis = axis
        self._own = own
        self._bars = axis.barh(own.class_names, np.zeros(len(own.class_names)))
        axis.set(xlabel="votes", ylabel="class")
        axis.invert_yaxis()  # the first class at the top, as in the other figures

    def draw(self, utterance: RecordedUtterance) -> str:
        """Draw the votes on an utterance, and return a sentence with the answer."""
        events = input_of(self._own, utterance.times, utterance.units)
        votes = evaluate(self._own.network, events).class_scores[0].numpy()
        best = int(votes.argmax())
        for i, (bar, n_votes) in enumerate(zip(self._bars, votes, strict=True)):
            bar.set(width=n_votes, color="C1" if i == best else "0.8")
        self._axis.set_xlim(0, max(1, 1.05 * votes.max()))
        answer = self._own.class_names[best]
        self._axis.set_title(f"your network answers {answer}")
        return f"Your network answers {answer}. "


def say_a_word(
    trained: TrainedNetwork,
    wave: np.ndarray,
    rate_hz: int,
    chances: str,
    own: TrainedNetwork | None = None,
) -> Figure | None:
    """Record a digit or load one, and watch how the network's class scores add up.

    Parameters
    ----------
    trained : TrainedNetwork
        The network.
    wave : (samples,) array
        A recording to begin with, full scale 1. Without a person it is the only one.
    rate_hz : int
        Its sampling rate.
    chances : str
        How often the network is right, in a sentence that is shown with every answer.
    own : TrainedNetwork, optional
        The reader's network, which answers first.

    Returns
    -------
    Figure or None
        As `explore` does.

    Raises
    ------
    ValueError
        If the input of a network doesn't have the channels of the cochlea.
    """
    size = (trained.grid.n_units, trained.grid.n_steps)
    colors = {"ahead": "C1"}
    playback = Playback(
        trained.network, size, trained.class_names, trained.grid.step_ms, colors, columns=1
    )
    first_axis, spikes_axis = playback.beside
    first = _OwnNetwork(first_axis, own) if own else _Sound(first_axis)
    (spikes,) = spikes_axis.plot([], [], **DOT)
    spikes_axis.set(ylabel=CHANNEL, ylim=(0, N_CHANNELS))
    votes = playback.counts_spikes
    recorder = Recorder() if is_live() else None
    title = playback.figure.suptitle(" ", fontsize=12, x=0.01, ha="left")
    last = -1
    line = ""
    is_utterance = False

    def listen() -> tuple[str, bool]:
        """Return what there is to say of the last sound, and whether it is an utterance."""
        if recorder and recorder.trouble:
            return recorder.trouble, False
        try:
            if recorder and recorder.number:
                utterance = encode_utterance(np.frombuffer(recorder.sound, np.float32), RATE_HZ)
            else:
                utterance = encode_utterance(wave, rate_hz)
            events = input_of(trained, utterance.times, utterance.units)
            own_answer = first.draw(utterance)
        except RecordingError as error:
            return str(error), False
        spikes.set_data(utterance.times * 1000, utterance.units)
        spikes_axis.set_title(f"{len(utterance.times):,} spikes")
        answer = playback.load(events, 0)
        playback.membranes.set_title(
            f"answer: {answer} ({'most votes' if votes else 'largest mean'})"
        )
        name = f"network {trained.name}" if own else "network"
        title.set_text(f"The {name} classifies this sound as {answer}")
        return f"{own_answer}The {name} answers {answer}. {utterance.warning}".rstrip(), True

    def update(until_ms: int = round(playback.end_ms)) -> str:
        nonlocal last, line, is_utterance
        number = recorder.number if recorder else 0
        if number != last:
            last = number
            line, is_utterance = listen()
        now_ms, leader, score = playback.seek(until_ms)
        if not is_utterance:
            return f"{line} (The figure shows the recording before.)"
        lead = f"{score:g} votes" if votes else f"a mean membrane of {score:.2f}"
        return f"{line} After {now_ms:.0f} ms {leader} is ahead with {lead}. {chances}"

    step = round(trained.grid.step_ms)
    until_ms = (step, round(playback.end_ms), step)
    return explore(playback.figure, update, recorder=recorder, until_ms=until_ms)


def say_a_digit(own: TrainedNetwork) -> Figure | None:
    """Record a digit or load one, and let the reader's network and a pretrained one classify it.

    Parameters
    ----------
    own : TrainedNetwork
        The reader's network.

    Returns
    -------
    Figure or None
        As `say_a_word`: without a person, the figure of a *three*.
    """
    pretrained = load_pretrained(COMMITTED / "networks" / f"{NETWORK}.npz").speaking("english")
    return say_a_word(pretrained, *read_wave(EXAMPLE), _chances(), own)


def _chances() -> str:
    """Say how accurate the pretrained network is for unseen people."""
    judged = pd.read_csv(COMMITTED / "everybody_judged.csv")
    of_people = judged.query("network == @NETWORK and tested_on == 'commands'").iloc[0]
    return (
        f"The network {NETWORK} classifies {100 * of_people.accuracy:.0f} % of the digits of "
        f"{of_people.people} unseen people, who spoke into their own microphones."
    )
