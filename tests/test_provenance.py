"""What makes two runs the same: parameters, data and code, but no prose."""

import shutil

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from shd_helpers.paths import NOTEBOOKS
from shd_helpers.study import identity as provenance
from shd_helpers.study.identity import check_parameters, code_version, literal, run_hash


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package to edit."""
    copy = tmp_path / "package"
    shutil.copytree(provenance._PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "_PACKAGE", copy)
    return copy


def write(path, *cells):
    nbformat.write(new_notebook(cells=list(cells)), path)
    return path


@pytest.mark.parametrize(
    ("module", "old", "new", "counts"),
    [
        ("training", "loss_sum / len(events)", "loss_sum / 1", True),
        ("surrogates", "import torch", "import torch  # a word", False),
        ("model", '"""', '"""Another word. ', False),  # the module's docstring
        ("plots", "figsize=(9, 4)", "figsize=(9, 5)", False),
        ("study", "import sys", "import sys, os", False),  # the notebook doesn't use it
    ],
)
def test_code_counts_where_it_makes_numbers(package, module, old, new, counts):
    before = code_version(NOTEBOOKS / "03_model_training.ipynb")
    path = package / f"{module}.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert (code_version(NOTEBOOKS / "03_model_training.ipynb") != before) == counts


def test_modules_count_that_other_modules_import(package):
    """Notebook 03 doesn't name surrogates: model does."""
    before = code_version(NOTEBOOKS / "03_model_training.ipynb")
    (package / "surrogates.py").write_text("x = 1\n")
    assert code_version(NOTEBOOKS / "03_model_training.ipynb") != before


def test_cells_count_but_neither_prose_nor_outputs_nor_defaults(tmp_path):
    defaults = new_code_cell("x = 1", metadata={"tags": ["parameters"]})
    one = write(tmp_path / "1.ipynb", defaults, new_code_cell("y = x"))
    other = new_code_cell("x = 2", metadata={"tags": ["parameters"]})
    prose = new_markdown_cell("words")
    executed = new_code_cell("y  =  x  # a word", execution_count=3)
    assert code_version(one) == code_version(write(tmp_path / "2.ipynb", prose, other, executed))
    assert code_version(one) != code_version(write(tmp_path / "3.ipynb", new_code_cell("y = -x")))


def test_hash_of_a_run():
    parameters = {"lr": 1e-3, "seed": 0, "run_name": "a", "dataset": "here"}
    data = {"name": "d", "train_sha256": "0"}
    same = run_hash(parameters, data, "code")
    assert same == run_hash(parameters | {"run_name": "b", "dataset": "there"}, data, "code")
    assert same == run_hash(dict(reversed(parameters.items())), data, "code")
    others = [
        run_hash(parameters | {"lr": 2e-3}, data, "code"),
        run_hash(parameters | {"seed": 1}, data, "code"),
        run_hash(parameters | {"engine": "x"}, data, "code"),
        run_hash(parameters, data | {"train_sha256": "1"}, "code"),
        run_hash(parameters, data, "other"),
    ]
    assert len({same, *others}) == 6


@pytest.mark.parametrize("parameters", [{"y": 1.0}, {"x": "1e-3"}, {"x": True}, {"n": 1.0}])
def test_wrong_parameters_are_refused(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"parameter '{name}'"):
        check_parameters(parameters, {"x": 1.0, "n": 1})


def test_right_parameters_pass():
    check_parameters({"x": 1, "n": 2}, {"x": 1.0, "n": 1, "more": ""})
    assert [literal(text) for text in ("1e-3", "3", "True", "shd")] == [0.001, 3, True, "shd"]
