"""Say a digit to one's own network and to the reference, for notebook 4."""

import pandas as pd
from matplotlib.figure import Figure

from shd_helpers.data import SPEECH_RATE_HZ, synthesize
from shd_helpers.figures import say_a_word
from shd_helpers.paths import ROOT
from shd_helpers.study import load_pretrained, read_table
from shd_helpers.study.trained_network import TrainedNetwork
from shd_helpers.sweeps import plan_of

COMMITTED = ROOT / "results"  # whatever $SHD_RESULTS_DIR is


def say_a_digit(own: TrainedNetwork) -> Figure | None:
    """Record a digit or load one, and let the reader's network and the reference classify it.

    Parameters
    ----------
    own : TrainedNetwork
        The reader's network.

    Returns
    -------
    Figure or None
        As `say_a_word`: without a person, the figure of a synthetic *seven*.
    """
    reference = load_pretrained(COMMITTED / "networks" / "reference.npz").speaking("english")
    seven = synthesize("seven", "en-us+m3")
    return say_a_word(reference, seven, SPEECH_RATE_HZ, chances(), own)


def chances() -> str:
    """Return how often the reference is right, in a sentence.

    Returns
    -------
    str
        For unseen speakers of its own recordings, and for speakers with other microphones.
    """
    runs = read_table(COMMITTED / "reference_hd.csv").query("model == 'reference'")
    is_unused = runs.held_out.isin(plan_of("reference")["unseen_speakers"])
    unseen = 100 * runs[is_unused].test_unseen_accuracy.mean()
    others = pd.read_csv(COMMITTED / "other_microphones.csv").query("network == 'reference'")
    elsewhere = 100 * (others.label == others.predicted).mean()
    return (
        f"The reference classifies {unseen:.0f} % of the digits of unseen speakers correctly if "
        f"they are recorded like its training data, and {elsewhere:.0f} % with other microphones."
    )
