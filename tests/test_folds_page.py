"""The page about folds by speaker: its counts are those of `hd`."""

import re

import pandas as pd

from shd_corpus.class_names import LANGUAGES
from shd_helpers.paths import ROOT
from tests import RESULTS

FOLDS = (ROOT / "docs" / "folds.md").read_text(encoding="utf-8")


def test_the_counts_of_the_protocol_are_those_of_the_data():
    columns = ["file", "row", "speaker", "label"]
    rows = pd.read_csv(
        RESULTS / "final_hd_predictions.csv.gz", usecols=columns, keep_default_na=False
    ).drop_duplicates(["file", "row"])
    training = rows[rows.file == "train"]
    assert len(training) == 8156 and len(rows) == 8156 + 2264
    table = re.findall(r"^\| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", FOLDS, re.MULTILINE)
    assert [int(row[0]) for row in table] == sorted(training.speaker.unique())
    for row in table:
        speaker, english, german, n_training = map(int, row)
        labels = training.label[training.speaker == speaker]
        assert english == labels.isin(LANGUAGES["english"]).sum()
        assert german == labels.isin(LANGUAGES["german"]).sum()
        assert n_training == len(training) - english - german
    test = rows[rows.file == "test"]
    only_there = test.speaker.isin([4, 5])
    assert only_there.sum() == 1840 and round(100 * only_there.mean()) == 81
