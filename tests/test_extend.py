"""The how-to pages: their blocks run as printed, and import public names only."""

import ast
import os
import re

import pytest

import shd_helpers
from shd_helpers.paths import ROOT
from tests.builders.documentation import blocks_of, run_pages

PAGES = [ROOT / "docs" / f"{name}.md" for name in ("own_data", "extend", "compare")]
MOST_NAMES = 25


def python_blocks():
    blocks = [block for page in PAGES for block in blocks_of(page)]
    return [block.code for block in blocks if block.language == "python"]


@pytest.mark.slow
def test_the_pages_run_one_after_the_other_in_an_empty_folder(tmp_path):
    folder = tmp_path / "an empty folder"
    folder.mkdir()
    environment = dict(os.environ) | {"PYTHONPATH": os.pathsep.join(filter(None, import_path()))}
    printed = run_pages(PAGES, folder, environment | {"SHD_DATA_DIR": str(folder / "data")})
    assert "my_wavs: 36 utterances, 3 classes, 4 speakers" in printed
    assert printed.count("of the utterances of unseen speakers correctly") >= 6
    assert re.search(r"MeanOfWindows minus spiking: .* percentage points, \w+", printed)
    assert (folder / "boxcar.png").stat().st_size > 5000


def import_path():
    """Return the checkout before what the environment has, so that the pages import this code."""
    return [str(ROOT), os.environ.get("PYTHONPATH", "")]


def test_the_pages_import_public_names_only():
    names = set()
    for code in python_blocks():
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("shd_helpers"):
                assert node.module == "shd_helpers", ast.unparse(node)
                names |= {alias.name for alias in node.names}
    assert names <= {*shd_helpers.__all__}
    assert len(names) >= 10


def test_every_public_name_exists_and_there_are_few():
    assert len(shd_helpers.__all__) <= MOST_NAMES
    for name in shd_helpers.__all__:
        assert getattr(shd_helpers, name).__doc__, name


def test_a_page_says_how_many_public_names_there_are():
    text = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")
    assert f"there are {len(shd_helpers.__all__)}." in text


def test_the_reference_has_every_public_name_once():
    text = (ROOT / "docs" / "api.rst").read_text(encoding="utf-8")
    names = re.findall(r"^\.\. auto(?:function|class):: (\w+)$", text, re.M)
    assert sorted(names) == sorted(shd_helpers.__all__)
