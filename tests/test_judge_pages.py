"""The pages about judging: the code runs in an empty folder, and the counts are those of `hd`."""

import os
import re
import subprocess
import sys

import pandas as pd
import pytest

import shd_helpers
from shd_helpers.data.shd_file import LANGUAGES
from shd_helpers.paths import ROOT
from tests import RESULTS

EXTEND = (ROOT / "docs" / "extend_judge.md").read_text(encoding="utf-8")
FOLDS = (ROOT / "docs" / "folds.md").read_text(encoding="utf-8")


@pytest.mark.skipif(not hasattr(shd_helpers, "judge"), reason="the public names aren't there yet")
def test_the_code_of_the_page_runs_in_an_empty_folder(toy_dir, tmp_path):
    """With the toy data set: making `spoken` takes half a minute."""
    code = "\n".join(re.findall(r"```python\n(.*?)```", EXTEND, re.DOTALL))
    assert code.count('load_events("spoken", ') == 1
    code = code.replace('"spoken", ', f"{str(toy_dir)!r}, language='english', ")
    folder = tmp_path / "empty"
    folder.mkdir()
    (folder / "page.py").write_text(code, encoding="utf-8")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]]),
        "SHD_DATA_DIR": str(tmp_path / "data"),
    }
    ended = subprocess.run(
        [sys.executable, "page.py"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "MeanOfWindows classifies" in ended.stdout
    assert "MeanOfWindows minus spiking" in ended.stdout
    assert {path.name for path in folder.iterdir()} == {"page.py", "runs"}


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
