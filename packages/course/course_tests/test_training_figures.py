"""The figures of notebooks 0 and 3: a live curve, the project's claim, and votes under noise."""

import io
import re
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import soundfile
from scipy import stats

from shd_course.figures import first_look, training
from shd_course.figures.training import LiveCurve, claim
from shd_helpers.data import DIGITS
from shd_helpers.study import speaker_accuracies
from tests.overlaps import overlaps, same_in_gray, unlabeled

NINE = DIGITS / "lang-english_speaker-00_trial-34_digit-9.flac"


def epoch(number):
    metrics = {"train_accuracy": number / 4, "validation_accuracy": number / 8}
    return {"epoch": number} | metrics


@pytest.fixture
def shown(monkeypatch):
    """Return what is displayed: each figure, and each that replaces it."""
    events = []

    def display(figure, display_id=False):
        events.append(("new", figure))
        return SimpleNamespace(update=lambda other: events.append(("again", other)))

    monkeypatch.setattr(training, "display", display)
    return events


def test_without_a_person_the_curve_is_shown_once(shown):
    curve = LiveCurve(3)
    for number in (1, 2, 3):
        curve.add(epoch(number))
    ((kind, figure),) = shown
    assert kind == "new" and plt.get_fignums() == []
    assert overlaps(figure) == [] and unlabeled(figure) == [] and same_in_gray(figure) == []
    lines = {line.get_label(): line.get_xydata().tolist() for line in figure.axes[0].lines}
    assert lines == {
        "training": [[1, 25], [2, 50], [3, 75]],
        "validation": [[1, 12.5], [2, 25], [3, 37.5]],
    }
    assert "After epoch 3: 75 % of the training utterances" in figure.get_suptitle()


def test_for_a_person_the_curve_is_replaced_in_place(shown, monkeypatch):
    monkeypatch.setattr(training, "is_live", lambda: True)
    curve = LiveCurve(3)
    for number in (1, 2, 3):
        curve.add(epoch(number))
        assert len(shown[-1][1].axes[0].lines[0].get_xdata()) == number
    assert [kind for kind, _ in shown] == ["new", "again", "again"]


def test_the_bars_are_the_claim_and_its_repetition(tmp_path, monkeypatch):
    """Half an interval is computed a second time, from the mean squares."""
    monkeypatch.setenv("SHD_IMG_DIR", str(tmp_path))
    accuracies = speaker_accuracies("original_leave_one_speaker_out_hd")
    figure = claim()
    assert overlaps(figure) == [] and same_in_gray(figure) == []
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    unseen = 100 * accuracies.pivot(index="speaker", columns="seed", values="test_unseen_accuracy")
    assert unseen.shape == (12, 2)
    assert heights[0] == 79 and heights[2] == pytest.approx(unseen.to_numpy().mean())
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts[:2] == ["best: 85 %", "79 %"]
    half = float(re.search(r"± (\d+) %", texts[3])[1])
    over_speakers = stats.t.ppf(0.975, 11) * unseen.mean(axis=1).std(ddof=1) / np.sqrt(12)
    assert half >= round(over_speakers)  # seeds differ, too


@pytest.fixture
def noisy(monkeypatch):
    caught = {}

    def catch(figure, update, sound, **choices):
        caught.update(figure=figure, update=update, sound=sound)

    monkeypatch.setattr(first_look, "explore", catch)
    first_look.noisy_votes(NINE)
    yield SimpleNamespace(**caught)
    plt.close("all")


def test_noise_turns_a_nine_into_another_digit_and_has_an_answer_of_its_own(noisy):
    clean = noisy.update()
    assert clean.startswith("Voice without noise: after 999 ms, nine has the most votes, ")
    assert overlaps(noisy.figure) == [] and unlabeled(noisy.figure) == []
    assert "nine" not in noisy.update(noise=1.0)
    assert noisy.update(voice=False).startswith("Noise alone: after 999 ms, ")
    early = noisy.update(until_ms=300)
    assert len(noisy.figure.axes[1].lines[9].get_xdata()) == 100
    assert int(early.rpartition(" ")[2]) < int(clean.rpartition(" ")[2])


def test_the_sound_has_the_noise_that_was_asked_for(noisy):
    waves = []
    for noise, voice in ((0.0, True), (1.0, True), (0.0, False)):
        content = noisy.sound(noise=noise, voice=voice, until_ms=999)
        wave, rate_hz = soundfile.read(io.BytesIO(content))
        waves.append(wave / np.abs(wave).max())
        assert rate_hz == 48_000
    voice, both, noise = waves
    fits = np.linalg.lstsq(np.stack([voice, noise], 1), both, rcond=None)[0]
    shares = fits * [voice.std(), noise.std()]
    assert shares[0] == pytest.approx(shares[1], rel=0.01)  # equally loud


def test_the_sound_is_drawn_above_its_spikes():
    figure = first_look.sound_and_spikes(NINE)
    assert overlaps(figure) == [] and unlabeled(figure) == []
    n_spikes = len(figure.axes[1].lines[0].get_xdata())
    assert figure.get_suptitle() == f"The recording becomes {n_spikes:,} spikes"
