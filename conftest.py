"""What unit tests and notebooks share: small notebooks, and who runs what on several cores."""

import os
from unittest import mock

import hypothesis
import pytest
from nbval.plugin import IPyNbCell

from tests.toy import small_runs, with_small_data

# The same examples everywhere: a test fails for whoever broke it. New ones are sought by
# pytest --hypothesis-profile default.
hypothesis.settings.register_profile("repeatable", derandomize=True)
hypothesis.settings.load_profile("repeatable")

pytest_plugins = ["tests.fixtures"]

# small tensors: more threads only wait for each other
os.environ.setdefault("OMP_NUM_THREADS", "1")

LONG = {
    *("02_surrogate_visualization", "03_model_training", "04_results_analysis"),
    *("05_recipe_sweeps", "test_alone", "test_cochlea", "test_committed_cores", "test_compile"),
    *("test_compiled_engine", "test_core_simulation", "test_engine", "test_export"),
    *("test_fuzzing", "test_handshake", "test_jobs", "test_judgement", "test_placing"),
    *("test_readme", "test_recordings", "test_run_folder", "test_sound"),
    *("test_experiments_5_and_6", "test_study_command", "test_sweeps", "test_training"),
}
ONE_RUN = ("notebooks/03", "notebooks/04")  # the second reads what the first has trained


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Let nbval start a notebook's kernel where runs and figures are written to another folder."""
    folders = {}
    if item.path.suffix == ".ipynb":
        folders = {"SHD_RUNS_DIR": small_runs(), "SHD_IMG_DIR": f"{small_runs()}/img"}
    with mock.patch.dict(os.environ, folders):
        return (yield)


def pytest_collection_modifyitems(items):
    """Begin with what takes long, so that no process waits for another at the end.

    nbval runs notebooks with the data and epochs that they have, so those are changed here.
    """
    for item in items:
        if isinstance(item, IPyNbCell):
            with_small_data(item.cell)
    items.sort(key=lambda item: item.path.stem not in LONG)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Keep a file's tests in one process and in order, for they share fixtures or a kernel."""
    from xdist.scheduler import LoadScopeScheduling

    config.option.loadscopereorder = False

    class Scheduler(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return "run" if nodeid.startswith(ONE_RUN) else nodeid.split("::")[0]

    return Scheduler(config, log)
