"""Say a word, and see what a network makes of it."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from shd_helpers.figures.controls import explore, is_live
from shd_helpers.figures.data import CHANNEL
from shd_helpers.figures.recorder import RATE_HZ, Recorder
from shd_helpers.figures.style import DOT, INK, styled
from shd_helpers.figures.way import Way
from shd_helpers.network.spiking import SpikingNetwork
from shd_helpers.source.microphone import hear
from shd_helpers.source.recordings import RecordingError
from shd_helpers.source.shd_file import N_CHANNELS
from shd_helpers.study.networks import TrainedNetwork, input_of


@styled
def say_a_word(kept: TrainedNetwork, wave: np.ndarray, rate_hz: int, chances: str) -> Figure | None:
    """Explore what a network hears: record a word or load one, and watch the votes add up.

    Parameters
    ----------
    kept : TrainedNetwork
        The network.
    wave, rate_hz : (samples,) array, int
        A word to begin with; without a person it is the only one.
    chances : str
        How often the network is right, in a sentence; stands beside every answer.

    Raises
    ------
    ValueError
        If the network doesn't spike.
    """
    if not isinstance(kept.network, SpikingNetwork):
        raise ValueError("a network without spikes has no votes to watch")
    dot: dict[str, Any] = DOT
    names, step_ms = kept.class_names, kept.grid.step_ms
    way = Way(kept.network, (kept.grid.n_units, kept.grid.n_steps), names, step_ms, columns=1)
    way.legend(ahead="C1")
    figure, (sound, channels), end_ms = way.figure, way.beside, kept.grid.n_steps * step_ms
    counts = kept.network.readout == "spikes"
    (curve,) = sound.plot([], [], color=INK, linestyle="-", linewidth=0.5)
    (spikes,) = channels.plot([], [], **dot)
    sound.set(ylabel="share of full scale", title="what was heard")
    channels.set(ylabel=CHANNEL, ylim=(0, N_CHANNELS))
    for axis in way.beside:
        axis.set(xlabel="time (ms)", xlim=(0, end_ms))
    recorder = Recorder() if is_live() else None
    heard = {"number": -1, "line": "", "is_word": True}

    def listen() -> tuple[str, bool]:
        """Return what there is to say of the last sound, and whether it is a word."""
        if recorder and recorder.trouble:
            return recorder.trouble, False
        said = (recorder.wave, RATE_HZ) if recorder and recorder.number else (wave, rate_hz)
        try:
            word = hear(*said)
        except RecordingError as error:
            return str(error), False
        curve.set_data(np.arange(len(word.wave)) / word.rate_hz * 1000, word.wave)
        sound.set_ylim(np.array([-1.05, 1.05]) * np.abs(word.wave).max())
        spikes.set_data(word.times * 1000, word.units)
        channels.set_title(f"{len(word.times):,} spikes")
        answer = way.show(input_of(kept, word.times, word.units), 0)
        way.title(f"answer: {answer} ({'most votes' if counts else 'largest mean'})")
        return f"The network answers <b>{answer}</b>. {word.warning}".rstrip(), True

    def update(until: int) -> str:
        number = recorder.number if recorder else 0
        if heard["number"] != number:
            line, is_word = listen()
            heard.update(number=number, line=line, is_word=is_word)
        now_ms, ahead, score = way.until(until)
        if not heard["is_word"]:
            return f"{heard['line']} (The figure shows the word before.)"
        votes = f"{score:g} votes" if counts else f"a mean membrane of {score:.2f}"
        votes = f"After {now_ms:.0f} ms {ahead} is ahead with {votes}."
        return f"{heard['line']} {votes} {chances}"

    until = ("until (ms)", round(end_ms), (round(step_ms), round(end_ms), round(step_ms)))
    return explore(figure, update, {"until": until}, recorder=recorder)
