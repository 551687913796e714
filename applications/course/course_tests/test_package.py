"""What the README says of shd_course, and what importing it costs."""

import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def run(*arguments):
    """Return what a new Python process prints."""
    return subprocess.run(
        [sys.executable, *arguments], check=True, capture_output=True, text=True
    ).stdout


def test_the_lines_of_the_readme_print_what_it_says(tmp_path, monkeypatch):
    page = (PACKAGE / "README.md").read_text(encoding="utf-8")
    code, printed = re.findall(r"```(?:python)?\n(.*?)```", page, re.S)
    assert len([line for line in code.splitlines() if line]) == 10
    monkeypatch.setenv("SHD_RUNS_DIR", str(tmp_path))
    file = tmp_path / "lines.py"
    file.write_text(code, encoding="utf-8")
    assert run(file) == printed
