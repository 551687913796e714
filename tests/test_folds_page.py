"""The protocol: the folds that it lists have the utterances of the data card."""

import re

import numpy as np

from shd_helpers.paths import ROOT
from shd_judge import five_folds

PAGE = (ROOT / "packages" / "judge" / "PROTOCOL.md").read_text(encoding="utf-8")
CARD = (ROOT / "docs" / "data_card.md").read_text(encoding="utf-8")
ROW_OF_CARD = r"^\| (\d+) \| (\d+) \| (\d+) \| \d+ \| \d+ \|$"
ROW_OF_FOLDS = r"^\| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$"


def test_the_counts_of_the_protocol_are_those_of_the_data_card():
    """`test_standard_files` counts those of the card, which also has the test file's."""
    training = {row[0]: row[1:] for row in re.findall(ROW_OF_CARD, CARD, re.MULTILINE)}
    rows = re.findall(ROW_OF_FOLDS, PAGE, re.MULTILINE)
    assert [row[0] for row in rows] == [row for row in training if row not in ("4", "5")]
    for speaker, english, german, n_others, _ in rows:
        assert training[speaker] == (english, german)
        assert int(n_others) == 8156 - int(english) - int(german)
    speakers = np.array([int(row[0]) for row in rows])
    for k, fold in enumerate(five_folds(speakers)):
        assert fold.test.tolist() == [i for i, row in enumerate(rows) if row[4] == str(k)]
