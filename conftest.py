"""What unit tests and notebooks share: small notebooks, and who runs what on several cores."""

import os
from unittest import mock

import hypothesis
import pytest

from tests.toy import small_data

# The same examples everywhere: a test fails for whoever broke it. New ones are sought by
# pytest --hypothesis-profile default.
hypothesis.settings.register_profile("repeatable", derandomize=True)
hypothesis.settings.load_profile("repeatable")

pytest_plugins = ["tests.fixtures"]

LONG = {
    f"test_{name}.py"
    for name in (
        "cochlea",
        "committed_cores",
        "core_simulation",
        "engine",
        "handshake",
        "placing",
        "random_attacks",
        "recordings",
        "sound",
        "speech",
        "study_command",
        "sweeps",
    )
}
ONE_RUN = ("notebooks/03", "notebooks/04")  # the second reads what the first has trained


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Let nbval start a notebook's kernel where the environment asks for the small version."""
    small = {}
    if item.path.suffix == ".ipynb":
        small["SHD_SMALL_DATA"] = small_data()
    with mock.patch.dict(os.environ, small):
        return (yield)


def pytest_collection_modifyitems(items):
    """Begin with what takes long, so that no process waits for another at the end."""
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Keep a file's tests in one process and in order, for they share fixtures or a kernel."""
    from xdist.scheduler import LoadScopeScheduling

    config.option.loadscopereorder = False

    class Scheduler(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return "run" if nodeid.startswith(ONE_RUN) else nodeid.split("::")[0]

    return Scheduler(config, log)
