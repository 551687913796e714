"""Ten recordings of the reader's voice, five digits twice, with which a network is fine-tuned."""

from dataclasses import replace

import numpy as np
import soundfile

from shd_corpus.microphone import encode_utterance_file
from shd_corpus.sound_file import RATE_HZ
from shd_course.figures.controls import is_live
from shd_course.figures.listening import Recorder
from shd_helpers.command import from_extra
from shd_helpers.events import Events, concatenate
from shd_helpers.paths import runs_dir
from shd_helpers.study.trained_network import TrainedNetwork, input_of

with from_extra("study"):
    import ipywidgets as widgets
    from IPython.display import display

DIGITS = ("zero", "one", "two", "three", "four")
NAMES = [f"{digit}_{take}.wav" for take in (1, 2) for digit in DIGITS]
FOLDER = "my_voice"  # below the run folders


def record() -> None:
    """Show buttons with which the reader records the ten digits, one after the other.

    Each recording is stored as a sound file, so an existing file stands for a microphone.
    """
    folder = runs_dir() / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    if not is_live():
        return
    recorder, text = Recorder(), widgets.HTML()

    def ask() -> None:
        missing = [name for name in NAMES if not (folder / name).is_file()]
        what = (
            f"Record: {missing[0][:-6]} ({len(missing)} left)" if missing else "All ten are there."
        )
        text.value = f"<div role='status'>{what}</div>"

    def store(_: object) -> None:
        missing = [name for name in NAMES if not (folder / name).is_file()]
        if missing:
            sound = np.frombuffer(recorder.sound, np.float32)
            soundfile.write(folder / missing[0], sound, RATE_HZ)
        ask()

    recorder.observe(store, "number")
    ask()
    display(widgets.VBox([recorder, text]))


def recordings(trained: TrainedNetwork, others: Events, seen: list[int]) -> tuple[Events, str]:
    """Return ten utterances, five digits twice, and whose they are.

    They are the reader's if all ten files are there. Otherwise, they are taken from the last
    speaker of `others` who isn't among the seen ones.
    """
    files = [runs_dir() / FOLDER / name for name in NAMES]
    if all(file.is_file() for file in files):
        found = []
        for file in files:
            utterance = encode_utterance_file(file)
            events = input_of(trained, utterance.times, utterance.units)
            label = trained.class_names.index(file.stem[:-2])
            found.append(replace(events, labels=np.array([label])))
        return concatenate(found), "you"
    unseen = np.setdiff1d(others.speakers, seen)
    speaker = unseen[-1] if len(unseen) else others.speakers[-1]
    takes = [
        np.flatnonzero((others.speakers == speaker) & (others.labels == label))[[0, -1]]
        for label in range(min(len(DIGITS), len(others.class_names)))
    ]
    return others.take(np.transpose(takes).ravel()), f"speaker {speaker}"
