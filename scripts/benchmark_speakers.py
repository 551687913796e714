"""Report the accuracy on SHD's official test file by speaker and by language.

Two of the twelve speakers speak most of the official test file. So an interval over seeds says
little about how accurate a network is for another person. ``python -m scripts.benchmark_speakers``
writes ``results/benchmark_speakers.csv``, which has the interval over the twelve speakers beside
the one over seeds, and German beside English. It computes both from the committed predictions of
the sweep ``benchmark``, so nothing is trained.
"""

import argparse

import numpy as np
import pandas as pd
from shd_judge import interval

from scripts.write_tables import write_csv
from shd_helpers.command import run
from shd_helpers.data.class_names import LANGUAGES
from shd_helpers.study.predictions import collect_predictions

SOURCE = "benchmark_hd"
UNSEEN = (4, 5)  # the official training file has no utterance of these two speakers


def by_group(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return each network's accuracy over utterances, over speakers, and for the unseen speakers.

    Parameters
    ----------
    predictions : DataFrame
        One row for each run and test utterance, with the columns `configuration`, `seed`,
        `speaker`, `label` and `predicted`, as `collect_predictions` returns them.

    Returns
    -------
    DataFrame
        One row for each network (`model`), language and group of speakers:

        * `language`: ``english``, ``german``, or ``both``.
        * `average`: ``all utterances`` is the benchmark's own score, in which a speaker counts as
          often as the speaker's utterances. ``twelve speakers`` is the mean of the speakers'
          accuracies. ``unseen speakers`` and ``seen speakers`` average utterances.
        * `utterances`: how many utterances a run is tested on.
        * `accuracy`: in percent, the mean over seeds.
        * `ci95`: half of the 95 % interval in percentage points, over `interval_over`: ``seeds``,
          or ``speakers and seeds``.
    """
    rows = []
    for configuration, of_network in predictions.groupby("configuration", sort=False):
        model = str(configuration).removeprefix("model=")
        for language, class_names in LANGUAGES.items():
            of_language = of_network[of_network.label.isin(class_names)]
            for row in _averages(of_language):
                rows.append({"model": model, "language": language, **row})
    return pd.DataFrame(rows)


def _averages(predictions: pd.DataFrame) -> list[dict[str, object]]:
    """Return the rows of one network and language, as `by_group` describes them."""
    is_unseen = predictions.speaker.isin(UNSEEN)
    n_speakers = predictions.speaker.nunique()
    if n_speakers != 12:
        raise ValueError(
            f"{SOURCE}: test utterances of {n_speakers} speakers, not of twelve. Run the sweep "
            "benchmark on the Heidelberg Digits again."
        )
    return [
        _over_seeds("all utterances", predictions),
        _over_seeds("seen speakers", predictions[~is_unseen]),
        _over_seeds("unseen speakers", predictions[is_unseen]),
        _over_speakers("twelve speakers", predictions),
    ]


def _over_seeds(average: str, predictions: pd.DataFrame) -> dict[str, object]:
    """Return the mean over utterances, with an interval over seeds."""
    is_right = 100.0 * (predictions.label == predictions.predicted)
    by_seed = is_right.groupby(predictions.seed).mean()
    return _row(average, predictions, by_seed.to_numpy()[:, np.newaxis], "seeds")


def _over_speakers(average: str, predictions: pd.DataFrame) -> dict[str, object]:
    """Return the mean over speakers, with an interval over speakers and seeds."""
    is_right = 100.0 * (predictions.label == predictions.predicted)
    by_speaker = is_right.groupby([predictions.speaker, predictions.seed]).mean().unstack("seed")
    return _row(average, predictions, by_speaker.to_numpy(), "speakers and seeds")


def _row(
    average: str, predictions: pd.DataFrame, values: np.ndarray, interval_over: str
) -> dict[str, object]:
    """Return a row of the table from accuracies in percent, (units, seeds)."""
    mean, half = interval(values)
    return {
        "average": average,
        "utterances": len(predictions) // predictions.seed.nunique(),
        "accuracy": round(float(mean), 2),
        "ci95": round(float(half), 2),
        "interval_over": interval_over,
    }


def main() -> None:
    """Write the table and print it."""
    argparse.ArgumentParser(
        prog="python -m scripts.benchmark_speakers", description=__doc__
    ).parse_args()
    table = by_group(collect_predictions(SOURCE))
    write_csv("benchmark_speakers", table)
    print(table.to_string(index=False))


if __name__ == "__main__":
    run(main)
