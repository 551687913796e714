"""The package by itself: its README, what it needs, and an environment that has nothing else."""

import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
WITHOUT_OTHERS = """
import importlib.abc
import sys


class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in ("torch", "snntorch", "shd_helpers", "shd_judge"):
            raise ModuleNotFoundError(f"{name} isn't installed here", name=name)


sys.meta_path.insert(0, Block())
"""
# The cochlea's spikes are drawn, so another processor may add or remove one.
NUMBER_OF_SPIKES = r"\d+(?= spikes)"


def check_readme(python, folder, environment):
    """Run the README's lines where the study's other packages and torch can't be imported."""
    page = (PACKAGE / "README.md").read_text(encoding="utf-8")
    code, printed = re.findall(r"```(?:python)?\n(.*?)```", page, re.S)
    command = [python, "-c", WITHOUT_OTHERS + code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.sub(NUMBER_OF_SPIKES, "", done.stdout) == re.sub(NUMBER_OF_SPIKES, "", printed)
    said, found = (int(re.search(NUMBER_OF_SPIKES, text)[0]) for text in (printed, done.stdout))
    assert abs(said - found) <= 5


def test_the_readme_s_lines_turn_a_folder_of_wavs_into_files_and_read_them(tmp_path):
    check_readme(sys.executable, tmp_path, {"PYTHONPATH": str(PACKAGE), "HOME": str(Path.home())})
