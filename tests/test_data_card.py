"""The protocol and the data card: their counts are those of the committed answers.

Each speaker was held out once, so the committed predictions name all utterances.
"""

import pandas as pd
import pytest

from shd_corpus import heidelberg
from shd_corpus.class_names import GERMAN
from shd_helpers.paths import ROOT
from shd_judge import five_folds
from shd_judge.protocol import UTTERANCES
from tests import RESULTS

PAGE = (ROOT / "packages" / "judge" / "PROTOCOL.md").read_text(encoding="utf-8")
CARD = (ROOT / "docs" / "data_card.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def utterances():
    """Return file, speaker, label and language of all utterances of `hd`."""
    rows = pd.read_csv(RESULTS / "final_hd_predictions.csv.gz", keep_default_na=False)
    rows = rows[~rows.seen].drop_duplicates(["file", "row"])
    return rows.assign(is_german=rows.label.isin(GERMAN))


def test_the_protocol_counts_the_training_file(utterances):
    rows = utterances[utterances.file == "train"]
    assert len(rows) == 8156
    counts = rows.groupby(["speaker", "is_german"]).size().unstack(fill_value=0)
    counts = counts[counts.index.astype(str).isin(UTTERANCES)]
    assert {str(speaker): tuple(both) for speaker, both in counts.iterrows()} == UTTERANCES
    for k, fold in enumerate(five_folds(counts.index.to_numpy())):
        for speaker, english, german in counts.iloc[fold.test].itertuples(name=None):
            row = f"\n| {speaker} | {english} | {german} |"
            assert f"{row} {8156 - english - german} | {k} |\n" in PAGE


def test_the_data_card_counts_both_files(utterances):
    counts = utterances.groupby(["speaker", "file", "is_german"]).size().unstack([1, 2])
    counts = counts.fillna(0).astype(int)
    for speaker, row in counts.iterrows():
        cells = [row[file, is_german] for file in ("train", "test") for is_german in (False, True)]
        assert f"\n| {' | '.join(map(str, (speaker, *cells)))} |\n" in CARD
    in_files = utterances.file.value_counts()
    assert [in_files["train"], in_files["test"]] == list(heidelberg.LISTS.values())
    of_class = utterances.groupby(["file", "label"]).size()
    for file, said in (("train", "training utterances each"), ("test", "test utterances")):
        lowest, highest = of_class[file].min(), of_class[file].max()
        assert f"between {lowest} and {highest} {said}" in CARD
