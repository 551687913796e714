"""Names and values that papermill, a command or a sweep gives for a notebook's parameters."""

import re

import nbformat
import papermill
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from papermill.exceptions import PapermillExecutionError

from shd_helpers.paths import NOTEBOOKS, OF_A_RUN, TRAIN, check_run_name
from shd_helpers.study.parameters import (
    check_parameters,
    notebook_parameters,
)

TRAINING = NOTEBOOKS / "03_model_training.ipynb"
METADATA = nbformat.read(TRAINING, as_version=4).metadata
CHECK = "from shd_helpers.study.parameters import check_injected\n\ncheck_injected()"


def executed(notebook, tmp_path, **parameters):
    """Return the code cells after papermill, or raise the error of the cell that stopped it."""
    out = tmp_path / "out.ipynb"
    papermill.execute_notebook(notebook, out, parameters, cwd=NOTEBOOKS, progress_bar=False)
    return nbformat.read(out, as_version=4)


@pytest.mark.slow
def test_papermill_stops_at_an_unknown_name(tmp_path):
    refused = r"parameter 'slop': unknown. Did you mean 'slope'\? The parameters are: da"
    with pytest.raises(PapermillExecutionError, match=refused):
        executed(TRAINING, tmp_path, slop=5e-4)


def test_a_number_in_place_of_a_text_is_told_how_to_write_it():
    """YAML and papermill read 128 as a number."""
    check_parameters({"hidden": "128"}, {"hidden": ""})
    with pytest.raises(ValueError, match=r"quotes \('128'\), or with papermill as -r hidden 128$"):
        check_parameters({"hidden": 128}, {"hidden": ""})


@pytest.mark.parametrize("path", [TRAIN, *OF_A_RUN], ids=lambda path: path.stem)
def test_each_notebook_with_parameters_calls_what_checks_them(path):
    first, *others = [c for c in nbformat.read(path, 4).cells if c.cell_type == "code"]
    assert "parameters" in first.metadata.tags
    call = re.compile(r"study\.(Recipe\.from_notebook\(globals\(\)|read_spiking_run\(run_name)")
    assert any(call.search(cell.source) for cell in others)


def test_what_papermill_may_inject_and_what_else_a_session_holds(tmp_path):
    """In JupyterLab the output is run again, with other cells before, and without papermill."""
    parameters = new_code_cell('lr = 1e-3\nname = "a"', metadata={"tags": ["parameters"]})
    later = new_code_cell("unknown = 3\nprint(lr, name)")
    notebook = new_notebook(cells=[parameters, new_code_cell(CHECK), later], metadata=METADATA)
    given = executed(notebook, tmp_path, lr=1, name="b")
    assert given.cells[-1].outputs[0].text == "1 b\n"
    again = [new_code_cell(cell.source) for cell in [*given.cells, *given.cells]]
    again[1].source = again[1].source.replace("name", "nam")
    with pytest.raises(
        PapermillExecutionError, match=r"parameter 'nam': unknown\. Did you mean 'n"
    ):
        executed(new_notebook(cells=again, metadata=METADATA), tmp_path)


def written(tmp_path, source):
    """Return a notebook whose parameters cell has this source."""
    cell = new_code_cell(source, metadata={"tags": ["parameters"]})
    path = tmp_path / "own.ipynb"
    nbformat.write(new_notebook(cells=[cell]), path)
    return path


def test_a_parameter_may_have_an_annotation(tmp_path):
    path = written(tmp_path, 'lr: float = 1e-3\nname: str\nword: str = "a"\nseed = 0')
    assert notebook_parameters(path) == {"lr": 1e-3, "word": "a", "seed": 0}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("n = 2 ** 3", r"parameter 'n': '2 \*\* 3' isn't a literal\. Write the value itself"),
        ("n = {[]: 1}", r"parameter 'n': '\{\[\]: 1\}' isn't a literal"),
        ("seed = 1\n%matplotlib inline", r"isn't valid Python \(line 2: .*Write only assignments"),
    ],
)
def test_a_parameter_that_can_t_be_read_is_named_with_its_notebook(source, message, tmp_path):
    with pytest.raises(ValueError, match=rf"^{tmp_path}/own\.ipynb: .*{message}"):
        notebook_parameters(written(tmp_path, source))


@pytest.mark.parametrize(
    "content", ['{"cells": [', '{"worksheets": [{"cells": []}], "nbformat": 3}', "[]", "\xff"]
)
def test_a_file_that_is_no_notebook_of_format_4_is_named(content, tmp_path):
    path = tmp_path / "own.ipynb"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=rf"^{path}: can't be read as a notebook of format 4 \("):
        notebook_parameters(path)


SUGGESTED = [
    ("LR", "lr"), ("batchsize", "batch_size"), ("hidden-", "hidden"), ("n_epochs", "epochs"),
    ("epoch", "epochs"), ("slop", "slope"), ("pool_treshold", "pool_threshold"), ("xyz", None),
]  # fmt: skip


@pytest.mark.parametrize(("written", "meant"), SUGGESTED)
def test_a_misspelled_name_gets_a_suggestion(written, meant):
    defaults = notebook_parameters(TRAIN)
    with pytest.raises(ValueError, match=f"^parameter '{written}': unknown. ") as refused:
        check_parameters({written: 1}, defaults)
    assert re.findall("Did you mean '(.*)'", str(refused.value)) == ([meant] if meant else [])
    assert str(refused.value).endswith(", run_name")


def test_a_setting_that_only_the_training_notebook_has_is_said_where_to_set():
    with pytest.raises(ValueError, match=r"^parameter 'n_delays': this notebook doesn't have it"):
        check_parameters({"n_delays": 8}, notebook_parameters(TRAINING))
    check_parameters({"n_delays": 8}, notebook_parameters(TRAIN))


def test_a_refused_name_of_a_run_is_told_where_slashes_are_allowed():
    check_run_name("mine")
    check_run_name("sweeps/a/b")
    for name in ("a/b", "sweeps/a", "sweeps/a/b/c", "other/a/b"):
        with pytest.raises(ValueError, match=r"sweep's runs have slashes: sweeps/<sweep>/<run>$"):
            check_run_name(name)
