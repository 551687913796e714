"""The command `shd`, and the libraries that it says are missing.

What notebook 1 needs can be imported and computed where torch isn't installed.
"""

import json
import subprocess
import sys

import nbformat
import numpy as np
import pytest

from shd_corpus import cochlea
from shd_helpers import __main__ as command
from shd_helpers.command import from_extra
from shd_helpers.paths import NOTEBOOKS, ROOT

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
import shd_corpus.speech, shd_course.figures.surrogate_visualization, shd_helpers.network
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


BLOCKED = """
import importlib.abc
import sys


class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in ("torch", "snntorch"):
            raise ModuleNotFoundError(f"{name} isn't installed here", name=name)


sys.meta_path.insert(0, Block())
"""
LESSON = '''
import json

from shd_course import exercises


def pool_solution(entries, steps, units, threshold):
    """Count what is active in each block."""
    n_steps, n_units = entries.shape[0] // steps, entries.shape[1] // units
    whole = entries[: n_steps * steps, : n_units * units]
    blocks = whole.reshape(n_steps, steps, n_units, units)
    return blocks.sum((1, 3)) >= threshold


def pool(entries, steps, units, threshold):
    return pool_solution(entries, steps, units, threshold)


assert exercises.check(pool_solution) is pool
recipe = study.Recipe(input=replace(study.Recipe().input, pool_units=4))
wave = np.sin(2 * np.pi * 600 * np.arange(240) / 24_000)
times, units = cochlea.encode(wave, 24_000, seed=3)
print(json.dumps([times.tolist(), units.tolist()]))
'''


def imports_of_notebook_1() -> str:
    """The text of the cells that import something."""
    (path,) = NOTEBOOKS.glob("01_*.ipynb")
    cells = nbformat.read(path, as_version=4).cells
    texts = [cell.source for cell in cells if cell.cell_type == "code"]
    return "\n".join(text for text in texts if "\nimport " in text or "from shd_" in text)


@pytest.mark.slow
def test_notebook_1_needs_no_torch():
    ended = subprocess.run(
        [sys.executable, "-c", BLOCKED + imports_of_notebook_1() + LESSON],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    *verdict, last = ended.stdout.splitlines()
    assert verdict == ["pool: right: your events equal those of the solution."]
    times, units = json.loads(last)
    wave = np.sin(2 * np.pi * 600 * np.arange(240) / 24_000)
    compiled_times, compiled_units = cochlea.encode(wave, 24_000, seed=3)
    assert len(units) > 3
    assert (times, units) == (compiled_times.tolist(), compiled_units.tolist())
