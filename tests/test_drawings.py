"""The drawings of the course: made by the code, with the study's numbers, and legible."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Text

from evidence import drawings
from shd_corpus.microphone import encode_utterance
from shd_corpus.sound_file import read_wave
from shd_helpers.paths import ROOT
from tests.overlaps import overlaps

SAID = {
    "neuron": ["leak: 95% is left after 3 ms", "$-\\;(U[t-1]>1)$"],
    "unrolled": ["reset: detached,\nno way back"],
    "pooling": ["units: 700 - 150 = 550 = 183 x 3 + 1\nms: 1000 = 333 x 3 + 1;"],
    "network": ["183 x 256 = 46,848 weights", "256 x 10 = 2,560 weights", "49,674 parameters"],
    "circuit": ["pooling\n3 x 3 entries", "weights\n46,848 of 3 bits\n2,560 of 8 bits"],
    "speed": ["26", "49", "89", "batches of 128"],
    "way": ["3. 183 x 333: ", "6. most votes: three"],
}


@pytest.fixture(scope="module")
def figures():
    yield drawings.drawings()
    plt.close("all")


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text)]


def test_close_up_counts_the_spikes_of_each_block(figures):
    word = encode_utterance(*read_wave(drawings.RECORDING))
    times = np.float16(word.times).astype(float)  # as a file has them
    active = {*zip((1000 * times).astype(int), word.units, strict=True)}
    step = drawings.CLOSE_UP_STEP
    unit = drawings.CLOSE_UP_UNIT
    counts = np.zeros((4, 4), int)
    for ms, channel in active:
        row = (channel - 150) // 3 - unit
        column = ms // 3 - step
        if 0 <= row < 4 and 0 <= column < 4:
            counts[row, column] += 1
    after = figures["pooling"].axes[-1]
    assert [text.get_text() for text in after.texts] == [f"{n}" for n in counts.ravel()]
    np.testing.assert_array_equal(after.images[0].get_array(), counts >= 2)
    assert {0, 1, 2} <= {*counts.ravel()}  # one active entry isn't enough, two are


@pytest.mark.parametrize("name", SAID)
def test_a_drawing_is_legible_says_the_numbers_and_is_the_committed_one(
    figures, name, tmp_path, monkeypatch
):
    figure = figures[name]
    assert overlaps(figure) == []
    for said in SAID[name]:
        assert any(text.startswith(said) for text in texts(figure)), said
    monkeypatch.setenv("SHD_IMG_DIR", str(tmp_path))
    monkeypatch.setattr(drawings, "drawings", lambda: {name: figure})
    monkeypatch.setattr("sys.argv", ["drawings"])
    drawings.main()
    made, kept = (plt.imread(folder / f"{name}.png") for folder in (tmp_path, ROOT / "img"))
    assert made.shape == kept.shape
    assert np.abs(made - kept).mean() < 0.01  # of white; another machine rounds a few spikes away
