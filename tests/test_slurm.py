"""The script of sweeps/clusters.md on a small SLURM of its own (`make slurm`)."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from shd_helpers.paths import ROOT
from tests import slurm_site
from tests.sweep_home import Home, nothing_left, stopped, wait_until

pytestmark = pytest.mark.slurm
PAGE = (ROOT / "sweeps" / "clusters.md").read_text(encoding="utf-8")
(SCRIPT,) = re.findall(r"^```bash\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if absent := slurm_site.missing():
        pytest.exit(f"there is no {', '.join(absent)}. As root: {slurm_site.INSTALL}", 1)
    with slurm_site.real(tmp_path_factory.mktemp("slurm")) as started:
        yield started


@pytest.fixture
def checkout(site, tmp_path, monkeypatch):
    """A folder with a space in its name, with the script, an environment and a sweep in it."""
    folder = tmp_path / "a folder"
    folder.mkdir()
    for name, value in site.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SHD_RUNS_DIR", str(folder / "runs"))
    monkeypatch.setenv("SHD_RESULTS_DIR", str(folder / "results"))
    monkeypatch.setenv("SHD_STAND_IN", str(folder))
    home = Checkout(folder)
    with stopped(home.commands):
        yield home


class Checkout(Home):
    """What the page's reader has: the script `sweep.sh`, `.venv`, and a sweep of four runs.

    Of two tasks, the first has the runs with seed 0, and the second those with seed 1.
    """

    def __init__(self, folder):
        super().__init__(folder)
        (folder / "sweep.sh").write_text(SCRIPT, encoding="utf-8")
        (folder / ".venv").symlink_to(Path(sys.prefix), target_is_directory=True)

    def submit(self):
        """Submit an array of two tasks; return the job's number."""
        command = ["sbatch", "--parsable", "--array=1-2", "sweep.sh", self.yaml.name]
        ended = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.strip()

    def last_line(self, job, task):
        """Return the last line that a task has printed."""
        return (self.folder / f"slurm-{job}_{task}.out").read_text().splitlines()[-1]


def finished(site):
    wait_until(lambda: site.jobs() == {}, "all tasks have ended")


def test_the_script_has_six_lines_and_the_page_submits_it():
    assert len(SCRIPT.splitlines()) == 6
    assert "SHD_RUNS_DIR=again/runs sbatch sweep.sh learning_rate_epochs\n" in PAGE
    assert "\nsbatch --array=1-4 sweep.sh mine.yaml " in PAGE  # as `submit` does


def test_an_array_executes_each_run_and_after_a_kill_the_same_script_runs_the_rest(checkout, site):
    checkout.order(2.0, 0, "wait")
    job = checkout.submit()
    wait_until(lambda: (2.0, 0) in checkout.begun(), "the first task is at its second run")
    wait_until(lambda: len(checkout.rows()) == 3, "all other runs have ended")
    wait_until(lambda: list(site.jobs()) == [f"{job}_1"], "the second task has ended")
    kernels = [kernel for x, seed, kernel, _ in checkout.log() if (x, seed) == (2.0, 0)]
    site.kill(f"{job}_1")
    finished(site)
    nothing_left(kernels)
    assert len(checkout.rows()) == 3
    checkout.order(2.0, 0, "")
    again = checkout.submit()
    finished(site)
    assert "1 of 2 rows reused" in checkout.last_line(again, 1)
    assert "1 executed, 0 failed." in checkout.last_line(again, 1)
    assert "2 of 2 rows reused" in checkout.last_line(again, 2)
    assert checkout.rows().status.tolist() == ["done"] * 4
    assert checkout.rows().seed.tolist() == [0, 1, 0, 1]  # in the sweep's order
    assert checkout.begun() == [(1.0, 0), (1.0, 1), (2.0, 0), (2.0, 0), (2.0, 1)]
