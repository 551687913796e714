"""The data card says what is so."""

import pandas as pd

from shd_corpus import heidelberg
from shd_corpus.class_names import LANGUAGES
from shd_helpers.paths import ROOT
from tests import RESULTS

CARD = (ROOT / "docs" / "data_card.md").read_text(encoding="utf-8")


def test_the_data_card_counts_the_utterances_of_hd():
    """Each speaker was held out once, so the committed predictions name all utterances."""
    rows = pd.read_csv(RESULTS / "final_hd_predictions.csv.gz", keep_default_na=False)
    rows = rows[~rows.seen].drop_duplicates(["file", "row"])
    is_german = rows.label.isin(LANGUAGES["german"])
    for speaker in range(12):
        counts = []
        for file in ("train", "test"):
            chosen = (rows.speaker == speaker) & (rows.file == file)
            counts += [(chosen & ~is_german).sum(), (chosen & is_german).sum()]
        line = " | ".join(str(number) for number in (speaker, *counts))
        assert f"\n| {line} |\n" in CARD
    in_files = rows.file.value_counts()
    assert [in_files["train"], in_files["test"]] == list(heidelberg.LISTS.values())
    of_class = rows.groupby(["file", "label"]).size()
    train = of_class["train"]
    test = of_class["test"]
    assert f"between {train.min()} and {train.max()} training utterances each" in CARD
    assert f"between {test.min()} and {test.max()} test utterances" in CARD
