"""Objects of the user's own, named by a text such as ``mine.py:boxcar``."""

import pytest

from shd_helpers.user_code import (
    UserCodeError,
    find_file,
    is_reference,
    load_object,
    with_absolute_path,
)

CODE = """
def constant():
    return 7

def scaled(x, factor=2):
    return factor * x

NUMBER = 3
"""


@pytest.fixture
def mine(tmp_path):
    """A file of a user, in a folder whose name has a space."""
    path = tmp_path / "my folder" / "mine.py"
    path.parent.mkdir()
    path.write_text(CODE)
    return path


def test_a_setting_is_a_reference_if_it_names_a_python_file():
    assert is_reference("mine.py:boxcar")
    assert is_reference("a folder/mine.py:boxcar")
    assert is_reference("mine.py:")  # misspelled, which `load_object` says
    assert not is_reference("fast_sigmoid")
    assert not is_reference(2.0)


def test_a_relative_path_counts_from_the_working_directory_or_from_a_folder(mine, monkeypatch):
    monkeypatch.chdir(mine.parent)
    assert load_object("mine.py:constant")() == 7
    monkeypatch.chdir(mine.parents[2])
    assert find_file("my folder/mine.py:constant", mine.parents[1]) == mine
    with pytest.raises(UserCodeError, match=r"no file mine.py in .*Correct the path"):
        load_object("mine.py:constant")


def test_a_file_may_import_its_neighbors(mine):
    (mine.parent / "beside.py").write_text("NUMBER = 5\n")
    mine.write_text("import beside\n\ndef constant():\n    return beside.NUMBER\n")
    assert load_object(f"{mine}:constant")() == 5


def test_a_changed_file_is_imported_again(mine):
    assert load_object(f"{mine}:constant")() == 7
    mine.write_text(CODE.replace("return 7", "return 8"))
    assert load_object(f"{mine}:constant")() == 8


def test_the_same_content_is_imported_once(mine):
    mine.write_text(f"{CODE}\nclass Mine:\n    pass\n")
    assert load_object(f"{mine}:Mine") is load_object(f"{mine}:Mine")


@pytest.mark.parametrize(
    ("behind", "message"),
    [
        (":", "give a file and the name of a function or class in it"),
        (":const", "there is no const in it. It has: constant, scaled, NUMBER"),
        (
            ":scaled(factor=3)",
            "a function or class in it, without arguments, such as mine.py:boxcar",
        ),
        (":NUMBER", "NUMBER is a value of type int, which can't be called. Give the name of a"),
    ],
)
def test_a_wrong_reference_gets_a_sentence(mine, behind, message):
    with pytest.raises(UserCodeError, match=message):
        load_object(f"{mine}{behind}")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1\nboom\n", "importing it raised NameError: name 'boom' is not defined in line 2"),
        ("def f(:\n", "importing it raised SyntaxError: invalid syntax in line 1"),
        ("import no_such_package\n", "importing it raised ModuleNotFoundError: .* in line 1"),
        ("import sys\nsys.exit(3)\n", "importing it raised SystemExit: 3 in line 2"),
    ],
)
def test_a_file_that_raises_is_named_with_the_line(mine, code, message):
    mine.write_text(code)
    with pytest.raises(UserCodeError, match=f"mine.py: {message}"):
        load_object(f"{mine}:constant")


def test_a_reference_with_an_absolute_path_means_the_same_elsewhere(mine, monkeypatch, tmp_path):
    absolute = with_absolute_path("mine.py:scaled", mine.parent)
    monkeypatch.chdir(tmp_path)
    assert load_object(absolute)(10) == 20
    assert absolute == f"{mine}:scaled"
