"""The circuit needs the study and isn't needed by it."""

import ast
import re
import tomllib

import nbformat

import shd_circuit
from shd_helpers.paths import ROOT, TRAIN
from tests import found

PACKAGE = ROOT / "packages" / "circuit" / "shd_circuit"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_extras_that_messages_and_commands_name_exist():
    texts = [path.read_text() for path in found("**/*.py", folder=PACKAGE)]
    texts.append((ROOT / "Makefile").read_text())
    named = {name for text in texts for name in re.findall(r"'\.\[(\w+)\]'", text)}
    assert {"circuit", "demo", "fpga"} <= named <= set(PROJECT["optional-dependencies"])


def test_the_training_notebook_needs_it_only_where_a_circuit_is_asked_for():
    """Every statement that names the package is below ``if recipe.circuit``."""
    notebook = nbformat.read(TRAIN, 4)
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    module = ast.parse(code)
    conditional = [
        statement
        for node in ast.walk(module)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "recipe.circuit"
        for statement in node.body
    ]
    n_conditional = sum(ast.unparse(statement).count("shd_circuit") for statement in conditional)
    assert n_conditional == ast.unparse(module).count("shd_circuit") > 0
    assert "import shd_circuit" in map(ast.unparse, conditional)


def test_names_that_notebooks_and_scripts_take_from_it_exist():
    texts = [path.read_text() for path in (TRAIN, *found("notebooks/*.ipynb", "evidence/**/*.py"))]
    taken = {name for text in texts for name in re.findall(r"\bshd_circuit\.(\w+)", text)}
    modules = {path.stem for path in found("**/*.py", folder=PACKAGE)} | {"rtl"}
    assert {"integer_network", "circuit_scores", "circuit_predictions"} <= taken
    assert taken <= {*shd_circuit.__all__} | modules


# --- its tests ------------------------------------------------------------------------------------
