import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from scripts.benchmark_speakers import by_group
from shd_helpers.paths import results_dir
from shd_helpers.study.predictions import collect_predictions


def made_up(n_speakers=12, seeds=(0, 1, 2)):
    """Return predictions of one network: speaker s speaks s + 1 times `one` and once `eins`."""
    rng = np.random.default_rng(8)
    rows = []
    for seed in seeds:
        for speaker in range(n_speakers):
            labels = ["one"] * (speaker + 1) + ["eins"]
            for label in labels:
                predicted = label if rng.random() < 0.7 else "two"
                rows.append(("model=mine", seed, speaker, label, predicted))
    columns = ["configuration", "seed", "speaker", "label", "predicted"]
    return pd.DataFrame(rows, columns=columns)


def accuracies_by_loop(predictions, language_digits, speakers):
    """Return the accuracy in percent of each seed, counted utterance by utterance."""
    found = []
    for seed in sorted(predictions.seed.unique()):
        n_right = 0
        n_all = 0
        for row in predictions.itertuples():
            if row.seed == seed and row.label in language_digits and row.speaker in speakers:
                n_all += 1
                n_right += row.label == row.predicted
        found.append(100 * n_right / n_all)
    return np.array(found)


@pytest.mark.parametrize(
    ("average", "speakers"),
    [
        ("all utterances", range(12)),
        ("unseen speakers", [4, 5]),
        ("seen speakers", [0, 1, 2, 3, 6, 7, 8, 9, 10, 11]),
    ],
)
@pytest.mark.parametrize(
    ("language", "digits"), [("english", ["one"]), ("german", ["eins"]), ("both", ["one", "eins"])]
)
def test_averages_over_utterances_agree_with_a_loop(average, speakers, language, digits):
    predictions = made_up()
    table = by_group(predictions).set_index(["language", "average"])
    expected = accuracies_by_loop(predictions, digits, speakers)
    row = table.loc[(language, average)]
    assert row.model == "mine"
    assert row.interval_over == "seeds"
    assert row.accuracy == pytest.approx(expected.mean(), abs=0.006)
    half = stats.t.ppf(0.975, 2) * expected.std(ddof=1) / math.sqrt(3)
    assert row.ci95 == pytest.approx(half, abs=0.006)


def test_each_speaker_counts_alike_in_the_mean_over_speakers():
    predictions = made_up(seeds=(0,))
    row = by_group(predictions).set_index(["language", "average"]).loc[("both", "twelve speakers")]
    by_speaker = [
        accuracies_by_loop(predictions, ["one", "eins"], [speaker])[0] for speaker in range(12)
    ]
    assert row.accuracy == pytest.approx(np.mean(by_speaker), abs=0.006)
    # With one seed the interval is Student's over the speakers.
    half = stats.t.ppf(0.975, 11) * np.std(by_speaker, ddof=1) / math.sqrt(12)
    assert row.ci95 == pytest.approx(half, abs=0.006)


def test_a_missing_speaker_is_named():
    with pytest.raises(ValueError, match="of 11 speakers, not of twelve"):
        by_group(made_up(n_speakers=11))


def test_the_committed_table_is_what_the_predictions_give():
    committed = pd.read_csv(results_dir() / "benchmark_speakers.csv")
    computed = by_group(collect_predictions("benchmark_hd"))
    pd.testing.assert_frame_equal(committed, computed, check_dtype=False)
