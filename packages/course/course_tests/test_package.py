"""What the README says of shd_course, and what importing it costs."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import nbformat

from shd_helpers.paths import NOTEBOOKS

PACKAGE = Path(__file__).resolve().parents[1]
MOST_MODULES = 30


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


def test_notebook_5_imports_few_modules_and_neither_the_cochlea_nor_torch():
    cells = nbformat.read(NOTEBOOKS / "05_recipe_sweeps.ipynb", as_version=4).cells
    statements = ast.parse("\n".join(cell.source for cell in cells if cell.cell_type == "code"))
    imports = [
        ast.unparse(each)
        for each in statements.body
        if isinstance(each, ast.Import | ast.ImportFrom)
    ]
    assert len(imports) > 5
    names = run("-c", "\n".join([*imports, "import sys", "print(*sys.modules)"])).split()
    own = [name for name in names if name.startswith("shd_")]
    assert len(own) <= MOST_MODULES, own
    assert not {"torch", "numba", "shd_corpus.cochlea"} & {*names}
