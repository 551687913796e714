"""Write ``results/voices_hd.csv``: what each speaker's voice is like, measured from the spikes."""

import numpy as np
import pandas as pd

from shd_helpers.files import atomic
from shd_helpers.paths import results_dir
from shd_helpers.source.datasets import locate
from shd_helpers.source.shd_file import Utterances, language_classes, read_shd

PITCH_HZ = (70.0, 400.0)  # of human voices
VOICE = ("spikes", "duration_s", "pitch_hz", "centre_unit")
_BIN_MS = 0.5  # times are float16: at half a second one step of them is as long
_SLOW_MS = 20.0  # what changes more slowly than that is the word, not the voice


def describe_voices(utterances: Utterances, language: str = "english") -> pd.DataFrame:
    """Measure every utterance of a language.

    Parameters
    ----------
    utterances : Utterances
        Of any data set.
    language : str
        ``"english"``, ``"german"`` or ``"both"``.

    Returns
    -------
    DataFrame
        A row an utterance: `speaker`, `label` (index into the file's keys), `spikes` (how many; all
        recordings of `hd` have the same sound level), `duration_s` and `pitch_hz` (see the
        functions), `centre_unit` (their mean unit; high units are low frequencies).
    """
    chosen = np.flatnonzero(
        np.isin(utterances.labels, list(language_classes(utterances.keys, language)))
    )
    rows = []
    for i in chosen:
        times, units = utterances.spikes(int(i))
        if len(times):
            values = (len(times), duration_s(times), pitch_hz(times), float(np.mean(units)))
            rows.append((utterances.speakers[i], utterances.labels[i], *values))
    return pd.DataFrame(rows, columns=["speaker", "label", *VOICE])


def duration_s(times: np.ndarray) -> float:
    """Return the time that the middle 98 % of a word's spikes take, seconds.

    Parameters
    ----------
    times : ndarray
        Spikes of all units, seconds, shape (spikes,), one at least.
    """
    first, last = np.quantile(times, [0.01, 0.99])
    return float(last - first)


def as_long(times: np.ndarray, seconds: float) -> np.ndarray:
    """Return a word's times stretched from its first spike on, until it has another `duration_s`.

    Parameters
    ----------
    times : ndarray
        Spikes of all units, seconds, ascending, shape (spikes,), not all at once.
    seconds : float
        The duration.
    """
    return times[0] + (times - times[0]) * (seconds / duration_s(times))


def pitch_hz(times: np.ndarray) -> float:
    """Return the rate of the voice's pulses, hertz: nerve fibres fire in their rhythm.

    It is the shortest lag at which the autocorrelation of the spikes' histogram has a peak of at
    least four fifths of the highest one, so that a multiple of the period isn't taken for it.

    Parameters
    ----------
    times : ndarray
        Spikes of all units, seconds, shape (spikes,), one at least.
    """
    bins = np.floor((times - times.min()) * 1000 / _BIN_MS).astype(int)
    counts = np.bincount(bins).astype(float)
    width = round(_SLOW_MS / _BIN_MS)
    fast = counts - np.convolve(counts, np.ones(width) / width, "same")[: len(counts)]
    lags = np.arange(round(1000 / PITCH_HZ[1] / _BIN_MS), round(1000 / PITCH_HZ[0] / _BIN_MS) + 2)
    padded = np.concatenate([fast, np.zeros(lags[-1])])
    pairs = np.maximum(1, len(fast) - lags)
    alike = np.array([fast @ padded[lag : lag + len(fast)] for lag in lags]) / pairs
    is_peak = (alike[1:-1] >= alike[:-2]) & (alike[1:-1] >= alike[2:])
    high = np.flatnonzero(is_peak & (alike[1:-1] >= 0.8 * alike.max()))
    best = high[0] + 1 if len(high) else int(alike.argmax())
    return float(1000 / (lags[best] * _BIN_MS))


def main() -> None:
    """Write the medians over each speaker's English utterances in `hd`."""
    voices = pd.concat([describe_voices(read_shd(file)) for file in locate("hd")])
    speakers = voices.groupby("speaker")
    table = speakers[[*VOICE]].median().round(3).assign(utterances=speakers.size())
    with atomic(results_dir() / "voices_hd.csv") as part:
        table.to_csv(part)


if __name__ == "__main__":
    main()
