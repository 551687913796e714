"""Names that changed: old results stay readable, and an old name is never passed over.

`made_at_d64e901` holds a run folder that the code at commit d64e901 wrote: an ensemble of two
networks (`members`), augmented copies (`changed`), and the protocol that was called
`leave_one_out`.
"""

import json
from pathlib import Path

import pytest

from shd_helpers.paths import NOTEBOOKS
from shd_helpers.study import read_run, read_table
from shd_helpers.study.identity import FIRST_NAMES, current_names, run_hash
from shd_helpers.study.parameters import check_parameters, notebook_parameters
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.tables import finished_run, merge_rows, read_rows

OLD = Path(__file__).with_name("made_at_d64e901")
TODAY = {
    "ensemble_size": 2,
    "augmented_copies": 1,
    "protocol": "leave_one_speaker_out",
    "held_out": 2,
}
DEFAULTS = notebook_parameters(NOTEBOOKS / "03_model_training.ipynb")


def test_an_old_run_folder_is_read_under_todays_names():
    run = read_run(OLD / "run")
    assert {name: run.info["parameters"][name] for name in TODAY} == TODAY
    assert "file" in run.predictions and "part" not in run.predictions
    written = json.loads((OLD / "run" / "run.json").read_text())
    assert run_hash(run.info["parameters"], run.info["data"]) == written["hash"]
    assert finished_run(OLD / "run", written["hash"])["test_accuracy"] == written["scores"]["test"]


def test_old_columns_and_values_of_a_table_have_todays_names(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(
        "configuration,members,changed,protocol,circuit,seed,run_name,hash,status,error\n"
        "a,2,1,leave_one_out,3-8-12 tuned,0,a,1234,done,\n"
    )
    (row,) = read_rows(path).to_dict("records")
    assert row["ensemble_size"] == 2 and row["augmented_copies"] == 1
    assert row["protocol"] == "leave_one_speaker_out" and row["circuit"] == "3-8-12 QAT"
    merge_rows(path, [{**row, "run_name": "b"}])
    assert len(read_table(path)) == 2 and "members" not in path.read_text()


@pytest.mark.parametrize("old", ["members", "changed"])
def test_papermill_and_sweeps_reject_an_old_name_and_say_the_new_one(old):
    new = {first: name for name, first in FIRST_NAMES.items()}[old]
    with pytest.raises(ValueError, match=rf"parameter '{old}': unknown. Did you mean '{new}'"):
        check_parameters({old: 2}, DEFAULTS)


def test_an_old_value_is_rejected_and_the_new_one_is_named():
    with pytest.raises(
        ValueError, match=r"'leave_one_out': must be one of .*leave_one_speaker_out"
    ):
        Recipe.from_flat({"protocol": "leave_one_out", "held_out": 2})
    with pytest.raises(ValueError, match=r"circuit '3-8-12 tuned': must be like .* 3-8-12 QAT"):
        Recipe.from_flat({"circuit": "3-8-12 tuned"})


@pytest.mark.parametrize("old", ["members", "changed", "no_such_setting"])
def test_no_unknown_name_is_passed_over(old):
    with pytest.raises(ValueError, match=f"setting '{old}': unknown"):
        Recipe.from_flat({old: 1})


def test_names_of_today_stay_as_they_are():
    assert current_names(DEFAULTS) == DEFAULTS
