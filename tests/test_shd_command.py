"""The command `shd`, and the libraries that it says are missing."""

import subprocess
import sys

import pytest

from shd_helpers import __main__ as command
from shd_helpers.extras import from_extra
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


def without_extras(*lines):
    """Run lines of Python where no extra is installed."""
    hidden = f"import sys; sys.modules.update(dict.fromkeys({NOT_IN_THE_CORE!r}))"
    code = "\n".join([hidden, *lines])
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)


def test_the_core_needs_no_extra():
    ended = without_extras(
        "import shd_helpers.hear, shd_helpers.study.training, shd_helpers.study.tables",
        "import shd_judge, shd_corpus.heidelberg",
        "import shd_corpus.speech, shd_course.figures.surrogate_plot, shd_helpers.network",
        "print(shd_helpers.hear.Listener('small'))",
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("code", "extra"),
    [
        ("from shd_helpers.__main__ import console; sys.argv[1:] = ['sweep', 'final']", "study"),
        ("import shd_course.figures.explorers", "study"),
        ("import shd_course.exercises", "study"),
    ],
)
def test_without_its_extra_a_part_names_pips_command(code, extra):
    ended = without_extras(code, "console()")
    assert ended.returncode == 1
    said = ended.stderr.splitlines()[-1]
    assert f"pip install 'shd-downsizing-study[{extra}]'" in said
    if "console" in code:
        assert "Traceback" not in ended.stderr
