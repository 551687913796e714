"""The page about folds by speaker: its counts are those of `hd`."""

import re

from shd_helpers.paths import ROOT

FOLDS = (ROOT / "docs" / "folds.md").read_text(encoding="utf-8")
CARD = (ROOT / "docs" / "data_card.md").read_text(encoding="utf-8")
ROW_OF_CARD = r"^\| (\d+) \| (\d+) \| (\d+) \| \d+ \| \d+ \|$"
ROW_OF_FOLDS = r"^\| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$"


def test_the_counts_of_the_protocol_are_those_of_the_data_card():
    """`test_standard_files` counts those of the card, which also has the test file's."""
    training = {row[0]: row[1:] for row in re.findall(ROW_OF_CARD, CARD, re.MULTILINE)}
    folds = re.findall(ROW_OF_FOLDS, FOLDS, re.MULTILINE)
    assert [row[0] for row in folds] == [row for row in training if row not in ("4", "5")]
    for speaker, english, german, n_others in folds:
        assert training[speaker] == (english, german)
        assert int(n_others) == 8156 - int(english) - int(german)
