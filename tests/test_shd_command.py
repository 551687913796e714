"""The command `shd`, and the libraries that it says are missing."""

import subprocess
import sys

import pytest

from shd_helpers import __main__ as command
from shd_helpers.command import from_extra
from shd_helpers.paths import ROOT

# the modules of what the extras install
NOT_IN_THE_CORE = (
    *("IPython", "anywidget", "ipykernel", "ipywidgets"),
    *("jupyter_client", "jupyterlab", "nbformat", "papermill", "ruamel", "seaborn", "traitlets"),
)


def run(capsys, *arguments):
    """Run the command in this process; return what it prints, both streams, and its status."""
    with pytest.raises(SystemExit) as end:
        command.main(arguments)
    out, err = capsys.readouterr()
    return out, err, end.value.code


@pytest.mark.parametrize("name", command.COMMANDS)
def test_a_command_reads_its_own_arguments(capsys, name):
    out, _, status = run(capsys, name, "--help")
    assert status == 0 and out.startswith(f"usage: shd {name} ")


def test_a_mistake_in_this_package_is_no_missing_library():
    with pytest.raises(ModuleNotFoundError), from_extra("study"):
        import shd_helpers.no_such_module  # noqa: F401


WITHOUT_EXTRAS = f"""
import sys

sys.modules.update(dict.fromkeys({NOT_IN_THE_CORE!r}))
import shd_helpers.hear, shd_helpers.study.training, shd_helpers.study.tables
import shd_judge, shd_corpus.heidelberg
import shd_corpus.speech, shd_course.figures.surrogate_plot, shd_helpers.network
from shd_helpers.__main__ import console

print(shd_helpers.hear.Listener("small"))
for name in ("shd_course.figures.explorers", "shd_course.exercises"):
    try:
        __import__(name)
    except ImportError as error:
        print(error)
sys.argv[1:] = ["sweep", "final"]
console()
"""


def test_the_core_needs_no_extra_and_what_needs_one_names_pips_command():
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS], cwd=ROOT, capture_output=True, text=True
    )
    assert ended.returncode == 1 and "Traceback" not in ended.stderr, ended.stderr
    *_, explorers, exercises = ended.stdout.splitlines()
    for said in (explorers, exercises, ended.stderr.splitlines()[-1]):
        assert "pip install 'shd-downsizing-study[study]'" in said
