"""notebooks/study.py: it can be read in one go, and its downsampling is the study's."""

import runpy

import matplotlib.pyplot as plt
import numpy as np
import pytest

from shd_helpers.data import obtain
from shd_helpers.events import Downsampling, load_pair
from shd_helpers.paths import NOTEBOOKS

PROGRAM = NOTEBOOKS / "study.py"


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """Return the program's names after two epochs, and what it wrote."""
    with pytest.MonkeyPatch.context() as patched:
        folder = tmp_path_factory.mktemp("study")
        patched.chdir(folder)
        patched.setattr("sys.argv", ["study.py", "2"])
        found = runpy.run_path(str(PROGRAM), run_name="__main__") | {"folder": folder}
    plt.close("all")
    return found


def test_its_input_is_that_of_the_study(names):
    events, _ = load_pair(obtain("digits"), Downsampling(), "english")
    np.testing.assert_array_equal(names["labels"], events.labels)
    some = [0, 77, 639]
    np.testing.assert_array_equal(names["frames"][:, some], events.to_frames(some) > 0)


def test_it_learns_from_some_utterances_and_validates_on_others(names):
    training, validation = (set(names[part].tolist()) for part in ("training", "validation"))
    assert not training & validation and len(training | validation) == 640
    for (_, epochs), (curves, weights) in names["results"].items():
        assert curves.shape == (epochs, 2, 2) and len(weights) == epochs + 1
    curves, _ = names["results"][1e-3, 2]
    assert curves[-1, 0, 0] < curves[0, 0, 0]  # the training loss
    assert curves[-1, 1, 1] > 15  # per cent in validation, where guessing has 10
    figures = {path.name for path in (names["folder"] / "img_of_study").iterdir()}
    assert figures == {"spikes.png", "accuracy_and_loss.png", "weights.png"}
