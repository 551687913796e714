"""What makes a voice hard: how far its spectra depend on the digit that is spoken."""

import numpy as np
import pandas as pd

from shd_helpers.events import Events


def explained_by_digit(events: Events) -> pd.Series:
    """Return for each speaker how much of the variance of its spectra the spoken digit explains.

    The spectrum of an utterance is the share of its events in each input unit. If all utterances of
    a digit had the same spectrum, the digit would explain 100 %.

    Parameters
    ----------
    events : Events
        The utterances.

    Returns
    -------
    Series
        Percent by speaker, from the lowest to the highest.
    """
    utterance = np.repeat(np.arange(len(events)), np.diff(events.offsets))
    counts = np.zeros((len(events), events.n_units))
    np.add.at(counts, (utterance, events.units), 1)
    spectra = pd.DataFrame(counts / counts.sum(1, keepdims=True))
    shares = {}
    for speaker, rows in spectra.groupby(events.speakers):
        mean_of_digit = rows.groupby(events.labels[rows.index]).transform("mean")
        shares[speaker] = 100 * mean_of_digit.var(ddof=0).sum() / rows.var(ddof=0).sum()
    return pd.Series(shares).sort_values()
