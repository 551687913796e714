"""Where a sweep may run, and sbatch's options; whole sweeps on SLURM are in `test_slurm`."""

import pytest

from shd_helpers.sweeps import clusters
from shd_helpers.sweeps.clusters import MARGIN_S, Workers, seconds, slurm_options
from shd_helpers.sweeps.spec import SweepError


@pytest.mark.parametrize(
    ("text", "expected"), [("5", 300), ("04:00:00", 14400), ("0:01:30", 90), ("2-01:00:01", 176401)]
)
def test_each_notation_of_a_time_is_read(text, expected):
    assert seconds(text) == expected


def test_options_of_the_command_replace_those_of_the_site(tmp_path, monkeypatch):
    monkeypatch.setattr(clusters, "SITE", tmp_path / "slurm.yaml")
    clusters.SITE.write_text('time: "4:00:00"\nmem: 4G\n')
    found = slurm_options(["partition=cpu,nodelist=a,b,exclusive=", "mem=2G"])
    assert found == {
        "time": "4:00:00", "mem": "2G", "partition": "cpu", "nodelist": "a,b", "exclusive": ""
    }  # fmt: skip
    for given in ("partition", "-p=cpu"):
        with pytest.raises(SweepError, match="must be NAME=VALUE"):
            slurm_options([given])
    clusters.SITE.unlink()
    with pytest.raises(SweepError, match="No job time limit: set `time`"):
        slurm_options()


def test_a_run_must_fit_into_a_job(monkeypatch):
    monkeypatch.setattr(clusters.shutil, "which", lambda name: name)

    def allowed(timeout_s):
        return Workers(jobs=2, sbatch=("time=60",)).check(timeout_s)

    assert allowed(3000.0) == 3000.0 and allowed(None) == (3600 - MARGIN_S) / 2
    with pytest.raises(SweepError, match="a job has room for 3570 s"):
        allowed(3600.0)
