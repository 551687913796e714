"""Hold two data sets in SHD layout against each other and show how alike their spikes are."""

import argparse
import sys

import numpy as np
import pandas as pd

from shd_helpers.command import run
from shd_helpers.data.datasets import locate
from shd_helpers.data.shd_file import LONGEST_S, N_CHANNELS, DatasetError, Utterances, read_shd

BIN_S = 0.01
BAND = 5  # units on end that profiles and correlation take together; single ones are mostly noise


def compare_utterances(a: Utterances, b: Utterances) -> tuple[pd.Series, pd.DataFrame]:
    """Measure how alike the spikes of two data sets are.

    What noise alone makes of it, two draws of one model from the same sounds show.

    Parameters
    ----------
    a, b : Utterances
        Spikes in SHD layout, from `read_shd`.

    Returns
    -------
    measures : Series
        ``utterances``, ``spikes`` an utterance, ``onset_ms`` and ``end_ms`` (when 5 and 95 % of
        an utterance's spikes have passed, mean over utterances) of either data set;
        ``spikes_ratio``, b over a; ``units_difference`` and ``time_difference`` of the profiles,
        spikes an utterance in bands of 5 units and in bins of 10 ms: sum of the absolute
        differences over the sum in a. Of utterances that can be matched: their number,
        ``matched``, ``active_ratio``, the (10 ms x unit) entries with a spike in b over those in
        a, and ``correlation``, the mean over utterances of the correlation of two matrices that
        hold the number of such entries in blocks of 10 ms x 5 units. The names of the recordings
        match utterances; where those are missing, the position does, if all classes and speakers
        are the same.
    classes : DataFrame
        Utterances and spikes an utterance of each class, by name.

    Raises
    ------
    DatasetError
        If a or b has no utterance.
    """
    if not len(a) or not len(b):
        raise DatasetError("A data set without utterances can't be compared. Choose another.")
    spikes_a, spikes_b = np.diff(a.offsets), np.diff(b.offsets)
    units_a, time_a, edges_a = _profiles(a)
    units_b, time_b, edges_b = _profiles(b)
    measures = {
        "utterances_a": len(a),
        "utterances_b": len(b),
        "spikes_a": spikes_a.mean(),
        "spikes_b": spikes_b.mean(),
        "spikes_ratio": spikes_b.mean() / spikes_a.mean(),
        "onset_ms_a": edges_a[0],
        "onset_ms_b": edges_b[0],
        "end_ms_a": edges_a[1],
        "end_ms_b": edges_b[1],
        "units_difference": np.abs(units_a - units_b).sum() / units_a.sum(),
        "time_difference": np.abs(time_a - time_b).sum() / time_a.sum(),
    }
    measures |= _compare_matched(a, b)
    table = pd.DataFrame(index=[*a.keys, *(key for key in b.keys if key not in a.keys)])
    for side, x, spikes in (("a", a, spikes_a), ("b", b, spikes_b)):
        of_class = pd.Series(spikes).groupby(np.array(x.keys)[x.labels])
        table[f"utterances_{side}"] = of_class.size().reindex(table.index, fill_value=0)
        table[f"spikes_{side}"] = of_class.mean()
    return pd.Series(measures), table[table.utterances_a + table.utterances_b > 0]


def _profiles(x: Utterances) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return spikes an utterance over bands of units and over bins of time, and mean edges, ms."""
    over_units = np.zeros(N_CHANNELS // BAND)
    over_time = np.zeros(round(LONGEST_S / BIN_S) + 1)
    edges = []
    for i in range(len(x)):
        times, units = x.spikes(i)
        over_units += np.bincount(units // BAND, minlength=len(over_units))
        over_time += np.bincount((times / BIN_S).astype(int), minlength=len(over_time))
        if len(times):
            edges.append(1000 * np.quantile(times, [0.05, 0.95]))
    return over_units / len(x), over_time / len(x), np.mean(edges, axis=0)


def _matches(a: Utterances, b: Utterances) -> list[tuple[int, int]]:
    if a.files and b.files:
        place = {name: i for i, name in enumerate(b.files)}
        return [(i, place[name]) for i, name in enumerate(a.files) if name in place]
    words_a, words_b = ([x.keys[label] for label in x.labels] for x in (a, b))
    same = words_a == words_b and np.array_equal(a.speakers, b.speakers)
    return [(i, i) for i in range(len(a))] if same else []


def _compare_matched(a: Utterances, b: Utterances) -> dict[str, float]:
    n_active, correlations = np.zeros(2), []
    pairs = _matches(a, b)
    for i, j in pairs:
        active = []
        for times, units in (a.spikes(i), b.spikes(j)):
            entries = np.unique((times / BIN_S).astype(int) * N_CHANNELS + units)
            active.append(np.bincount(entries // BAND))  # entries of one block follow each other
        n_active += [counts.sum() for counts in active]
        size = max(map(len, active))
        if size:
            size = -(-size * BAND // N_CHANNELS) * N_CHANNELS // BAND  # whole bins
            blocks = np.array([np.pad(counts, (0, size - len(counts))) for counts in active])
            if (blocks.std(axis=1) > 0).all():
                correlations.append(np.corrcoef(blocks)[0, 1])
    return {
        "matched": len(pairs),
        "active_ratio": n_active[1] / n_active[0] if n_active[0] else np.nan,
        "correlation": np.mean(correlations) if correlations else np.nan,
    }


def main() -> None:
    """Compare two data sets from the command line (``make compare A=... B=...``)."""
    parser = argparse.ArgumentParser(prog="python -m scripts.compare", description=__doc__)
    for name in "AB":
        parser.add_argument(name, help="spoken, hd, shd, or a folder")
    arguments = parser.parse_args()
    measures, classes = {}, {}
    try:
        pairs = zip(locate(arguments.A), locate(arguments.B), strict=True)
        for part, files in zip(("train", "test"), pairs, strict=True):
            print(f"{part}\n  a: {files[0]}\n  b: {files[1]}", flush=True)
            measures[part], table = compare_utterances(*map(read_shd, files))
            classes[part] = table.assign(ratio=table.spikes_b / table.spikes_a)
    except DatasetError as error:
        sys.exit(f"{error}")
    for table in (pd.DataFrame(measures), pd.concat(classes, axis=1)):
        print("\n" + table.to_string(float_format="{:.4g}".format, na_rep="-"))


if __name__ == "__main__":
    run(main)
