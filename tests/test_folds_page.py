"""The protocol and the data card: their counts are those of the committed answers."""

import pandas as pd

from shd_corpus.class_names import GERMAN
from shd_helpers.paths import ROOT
from shd_judge import five_folds
from shd_judge.protocol import UTTERANCES
from tests import RESULTS

PAGE = (ROOT / "packages" / "judge" / "PROTOCOL.md").read_text(encoding="utf-8")
CARD = (ROOT / "docs" / "data_card.md").read_text(encoding="utf-8")


def test_the_counts_are_those_of_the_training_file():
    """Each speaker was held out once, so the committed predictions name all utterances."""
    rows = pd.read_csv(RESULTS / "final_hd_predictions.csv.gz", keep_default_na=False)
    rows = rows[~rows.seen & (rows.file == "train")].drop_duplicates("row")
    assert len(rows) == 8156
    counts = rows.groupby(["speaker", rows.label.isin(GERMAN)]).size().unstack(fill_value=0)
    counts = counts[counts.index.astype(str).isin(UTTERANCES)]
    assert {str(speaker): tuple(both) for speaker, both in counts.iterrows()} == UTTERANCES
    for k, fold in enumerate(five_folds(counts.index.to_numpy())):
        for speaker, english, german in counts.iloc[fold.test].itertuples(name=None):
            row = f"\n| {speaker} | {english} | {german} |"
            assert f"{row} {8156 - english - german} | {k} |\n" in PAGE and row in CARD
