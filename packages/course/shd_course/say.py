"""Say a digit to one's own network and to a pretrained one, for notebook 4."""

import pandas as pd
from matplotlib.figure import Figure

from shd_corpus.speech import SPEECH_RATE_HZ, synthesize
from shd_course.figures.listening import say_a_word
from shd_helpers.paths import ROOT
from shd_helpers.study import load_pretrained
from shd_helpers.study.trained_network import TrainedNetwork

COMMITTED = ROOT / "results"  # whatever $SHD_RESULTS_DIR is
NETWORK = "small"


def say_a_digit(own: TrainedNetwork) -> Figure | None:
    """Record a digit or load one, and let the reader's network and a pretrained one classify it.

    Parameters
    ----------
    own : TrainedNetwork
        The reader's network.

    Returns
    -------
    Figure or None
        As `say_a_word`: without a person, the figure of a synthetic *seven*.
    """
    pretrained = load_pretrained(COMMITTED / "networks" / f"{NETWORK}.npz").speaking("english")
    seven = synthesize("seven", "en-us+m3")
    return say_a_word(pretrained, seven, SPEECH_RATE_HZ, chances(), own)


def chances() -> str:
    """Return how accurate the pretrained network is, in a sentence.

    Returns
    -------
    str
        For unseen speakers, recorded as the training data were (by networks with the same settings,
        each trained without one speaker), and for speakers with other microphones (by the network
        itself).
    """
    without_a_speaker = pd.read_csv(COMMITTED / "reference_hd.csv").query("model == @NETWORK")
    unseen = 100 * without_a_speaker.test_unseen_accuracy.mean()
    others = pd.read_csv(COMMITTED / "other_microphones.csv").query("network == @NETWORK")
    elsewhere = 100 * (others.label == others.predicted).mean()
    return (
        f"Recorded as its training data were, {unseen:.0f} % of the digits of unseen speakers are "
        f"classified correctly, and with other microphones {elsewhere:.0f} %."
    )
