"""Measure how similar the spikes of two data sets in SHD layout are."""

import argparse
import sys

import numpy as np
import pandas as pd

from shd_corpus.checks import DatasetError
from shd_corpus.shd_file import LONGEST_S, Utterances, read_shd
from shd_helpers.command import run
from shd_helpers.data import obtain

BIN_S = 0.01  # of profiles and of the correlation
BAND = 5  # adjacent units that these take together, because single units are mostly noise


def compare_utterances(a: Utterances, b: Utterances) -> tuple[pd.Series, pd.DataFrame]:
    """Measure how similar the spikes of two data sets are.

    To see how much of a difference is noise, compare two draws of the same model from the same
    sounds.
    """
    for utterances in (a, b):
        if not len(utterances):
            raise DatasetError("A data set without utterances can't be compared. Choose another.")
        if not len(utterances.times):
            raise DatasetError("A data set without spikes can't be compared. Choose another.")
    if a.n_channels != b.n_channels:
        raise DatasetError(
            f"The data sets have {a.n_channels} and {b.n_channels} channels, so their spikes can't "
            "be compared. Choose data sets with the same channels."
        )
    spikes_a = np.diff(a.offsets)
    spikes_b = np.diff(b.offsets)
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
    class_names = list(dict.fromkeys([*a.keys, *b.keys]))
    table = pd.DataFrame(index=class_names)
    for side, utterances, spikes in (("a", a, spikes_a), ("b", b, spikes_b)):
        labels = np.array(utterances.keys)[utterances.labels]
        by_class = pd.Series(spikes).groupby(labels)
        table[f"utterances_{side}"] = by_class.size().reindex(table.index, fill_value=0)
        table[f"spikes_{side}"] = by_class.mean()
    return pd.Series(measures), table[table.utterances_a + table.utterances_b > 0]


def _profiles(utterances: Utterances) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean spikes of an utterance in bands of units and in bins of time, and edges in ms.

    The edges are the mean times until which 5 % and 95 % of an utterance's spikes have come.
    """
    over_units = np.zeros(_n_bands(utterances.n_channels))
    over_time = np.zeros(round(LONGEST_S / BIN_S) + 1)
    edges_ms = []
    for i in range(len(utterances)):
        times, units = utterances.spikes(i)
        over_units += np.bincount(units // BAND, minlength=len(over_units))
        over_time += np.bincount((times / BIN_S).astype(int), minlength=len(over_time))
        if len(times):
            edges_ms.append(1000 * np.quantile(times, [0.05, 0.95]))
    n = len(utterances)
    return over_units / n, over_time / n, np.mean(edges_ms, axis=0)


def _n_bands(n_channels: int) -> int:
    """Return the number of bands of units; the last one may have fewer than `BAND`."""
    return -(-n_channels // BAND)


def _matches(a: Utterances, b: Utterances) -> list[tuple[int, int]]:
    """Return the pairs of utterances (one of a, one of b) that are of the same recording."""
    if a.files and b.files:
        index_in_b = {name: i for i, name in enumerate(b.files)}
        return [(i, index_in_b[name]) for i, name in enumerate(a.files) if name in index_in_b]
    labels_a = [a.keys[label] for label in a.labels]
    labels_b = [b.keys[label] for label in b.labels]
    if labels_a == labels_b and np.array_equal(a.speakers, b.speakers):
        return [(i, i) for i in range(len(a))]
    return []


def _compare_matched(a: Utterances, b: Utterances) -> dict[str, float]:
    """Return the measures of utterances that are in both data sets."""
    n_active_a = 0
    n_active_b = 0
    correlations = []
    pairs = _matches(a, b)
    for i, j in pairs:
        blocks_a = _blocks(*a.spikes(i), a.n_channels)
        blocks_b = _blocks(*b.spikes(j), b.n_channels)
        n_active_a += blocks_a.sum()
        n_active_b += blocks_b.sum()
        correlation = _correlation(blocks_a, blocks_b, _n_bands(a.n_channels))
        if correlation is not None:
            correlations.append(correlation)
    return {
        "matched": len(pairs),
        "active_ratio": float(n_active_b / n_active_a) if n_active_a else np.nan,
        "correlation": float(np.mean(correlations)) if correlations else np.nan,
    }


def _blocks(times: np.ndarray, units: np.ndarray, n_channels: int) -> np.ndarray:
    """Return the number of active entries (10 ms x unit) in each block of 10 ms x 5 units.

    All blocks of a bin follow each other. The array ends with the last block that has a spike.
    """
    entries = np.unique((times / BIN_S).astype(int) * n_channels + units)
    bins, active_units = np.divmod(entries, n_channels)
    return np.bincount(bins * _n_bands(n_channels) + active_units // BAND)


def _correlation(first: np.ndarray, second: np.ndarray, blocks_of_bin: int) -> float | None:
    """Return the correlation of two utterances' blocks; None if one of them is the same all over.

    Both are filled up with zeros to the same number of whole bins.
    """
    n_bins = -(-max(len(first), len(second)) // blocks_of_bin)  # rounded up
    if n_bins == 0:
        return None
    size = n_bins * blocks_of_bin
    blocks = np.zeros((2, size))
    blocks[0, : len(first)] = first
    blocks[1, : len(second)] = second
    if not (blocks.std(axis=1) > 0).all():
        return None
    return float(np.asarray(np.corrcoef(blocks))[0, 1])


def main() -> None:
    """Compare two data sets from the command line (``make compare A=... B=...``)."""
    parser = argparse.ArgumentParser(prog="python -m evidence.compare", description=__doc__)
    for name in "AB":
        parser.add_argument(name, help="digits, hd, shd, spoken, or a folder")
    arguments = parser.parse_args()
    measures = {}
    classes = {}
    try:
        files = zip(("train", "test"), obtain(arguments.A), obtain(arguments.B), strict=True)
        for name, file_a, file_b in files:
            print(f"{name}\n  a: {file_a}\n  b: {file_b}", flush=True)
            measures[name], table = compare_utterances(read_shd(file_a), read_shd(file_b))
            classes[name] = table.assign(ratio=table.spikes_b / table.spikes_a)
    except DatasetError as error:
        sys.exit(f"{error}")
    for table in (pd.DataFrame(measures), pd.concat(classes, axis=1)):
        print("\n" + table.to_string(float_format="{:.4g}".format, na_rep="-"))


if __name__ == "__main__":
    run(main)
