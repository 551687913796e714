import json

import pandas as pd
import pytest

from shd_helpers.sweeps import evidence as downsizing
from shd_helpers.sweeps.spec import SWEEPS


def counted(table, sweep):
    return downsizing.count(downsizing.answers(table), downsizing.COUNTED[sweep][1])


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Two runs of three utterances and one that failed."""
    monkeypatch.setenv("SHD_RUNS_DIR", str(tmp_path))
    rows = []
    for seed, answers in enumerate((["one", "two", "one"], ["one", "one", "two"])):
        folder = tmp_path / f"run {seed}"
        folder.mkdir()
        (folder / "run.json").write_text(json.dumps({"seen_speakers": [3]}))
        spoken = {"speaker": [3, 3, 5], "label": ["one", "two", "two"], "predicted": answers}
        pd.DataFrame(spoken).to_csv(folder / "predictions.csv", index=False)
        rows.append(
            {"run_name": folder.name, "configuration": "a", "seed": seed, "language": "english"}
        )
    return pd.DataFrame([*rows, rows[0]]).assign(status=["done", "done", "failed"])


def test_confusions_are_counted_by_hand(table):
    found = {
        (row.part, row.label, row.predicted): (row.utterances, row.correct)
        for row in counted(table, "downsizing_grid").itertuples()
    }
    assert found == {
        ("heard", 1, 1): (2, 2), ("heard", 2, 2): (1, 1), ("heard", 2, 1): (1, 0),
        ("unheard", 2, 1): (1, 0), ("unheard", 2, 2): (1, 1),
    }  # fmt: skip


def test_speakers_are_counted_by_hand(table):
    found = counted(table, "buying_back").set_index(["seed", "speaker"])
    assert found.part.tolist() == ["heard", "unheard"] * 2
    assert found.utterances.to_dict() == {(0, 3): 2, (0, 5): 1, (1, 3): 2, (1, 5): 1}
    assert found.correct.to_dict() == {(0, 3): 2, (0, 5): 0, (1, 3): 1, (1, 5): 1}


def test_all_its_sweeps_exist():
    assert all((SWEEPS / f"{name}.yaml").is_file() for name in downsizing.SWEEPS)
