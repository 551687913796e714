"""All texts are found that people read, and none that has a rejected phrase passes."""

import json
import re
import subprocess
import sys

import pytest
from ruamel.yaml import YAML

from scripts import check_phrases, list_messages
from scripts.texts import files, texts
from shd_helpers.paths import ROOT

CODE = '''\
"""Change copies, as `changed copies` are called in code."""

# Not a kept
# network but a pretrained one

WORDS = "moved words are a message"
SHORT = "moved words"


def train(name):
    """Train.

    Every network learns its own
    betas, and "own betas" is a quotation.
    """
    if not name:
        raise ValueError(f"{name}: the network " f"is told nothing")
    print("the whole", "way")
'''
PAGE = """\
A percent
point isn't `a percent point`.

```
kept network
```

> kept network

They say "kept network". [Networks side by side](https://kept network)
"""


def found_in(path):
    """Return what is found in a file, without what to write instead, and each line's remedy."""
    lines = list(check_phrases.faults([path], check_phrases.read_phrases()))
    return [line.removeprefix(f"{path}").partition("; write instead: ")[::2] for line in lines]


def written(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_phrases_are_found_in_docstrings_comments_and_messages_with_their_lines(tmp_path):
    found = found_in(written(tmp_path / "x.py", CODE))
    assert [where for where, _ in found] == [
        ":3: comment: 'kept network'",
        ":6: text: 'moved words'",
        ":13: docstring: 'own betas'",
        ":17: error: 'is told'",
    ]
    assert found[0][1] == "pretrained network, checkpoint"


def test_code_quotations_and_addresses_of_a_page_are_exempt(tmp_path):
    found = found_in(written(tmp_path / "x.md", PAGE))
    assert [where for where, _ in found] == [
        ":1: prose: 'percent point'",
        ":10: prose: 'Networks side by side'",
    ]


def test_only_the_glossary_may_give_earlier_names(tmp_path):
    text = "A network in a file. Formerly: kept network. It is small.\n\nA kept network.\n"
    assert [where for where, _ in found_in(written(tmp_path / "glossary.md", text))] == [
        ":3: prose: 'kept network'"
    ]
    assert len(found_in(written(tmp_path / "data.md", text))) == 2


def test_cells_of_a_notebook_are_searched_but_not_their_outputs(tmp_path):
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "A kept network."]},
        {
            "cell_type": "code",
            "source": ["%matplotlib inline\n", "x = 1  # a kept network"],
            "outputs": [{"text": "a kept network"}],
        },
    ]
    found = found_in(written(tmp_path / "x.ipynb", json.dumps({"cells": cells})))
    assert [where for where, _ in found] == [
        ", cell 1, line 2: prose: 'kept network'",
        ", cell 2, line 2: comment: 'kept network'",
    ]


def test_strings_of_tests_may_quote_what_the_code_writes(tmp_path):
    folder = tmp_path / "tests"
    folder.mkdir()
    assert len(found_in(written(folder / "x.py", CODE))) == 2  # without the messages


@pytest.mark.parametrize(
    "sentence",
    [
        "It trains on changed copies of the recordings.",
        "The kept network is small.",
        "Training with moved words helps.",
        "It loses one percent point.",
        "They are the six who chose nothing.",
        "The table is held to the numbers.",
        "The reader is told the result.",
        "A network with own betas.",
        "The circuit is checked the whole way.",
        "The figure has a dot a spike.",
        "Four networks side by side answer.",
        "A network hears a digit.",
        "The visualisation has no colour.",
    ],
)
def test_each_rejected_phrase_is_found(tmp_path, sentence):
    assert len(found_in(written(tmp_path / "x.md", f"Good.\n{sentence}\n"))) >= 1


def spelled(pattern):
    """Return what a parsed regular expression matches, with each choice that it has.

    A character class and a repetition stand for one of their texts. What must or must not be beside
    a phrase isn't spelled: "ing" fulfills the only condition that is there.
    """
    spellings = [""]
    for kind, value in pattern:
        name = str(kind)
        if name == "LITERAL":
            parts = [chr(value)]
        elif name == "BRANCH":
            parts = [each for branch in value[1] for each in spelled(branch)]
        elif name == "SUBPATTERN":
            parts = spelled(value[-1])
        elif name == "MAX_REPEAT":
            least, most, repeated = value
            may_be_long = most > 1  # such as \w+
            parts = ["ing"] if may_be_long else [""] * (least == 0) + spelled(repeated)
        elif name == "IN":
            parts = [chr(each) for of_kind, each in value if str(of_kind) == "LITERAL"]
        else:
            assert name in ("ASSERT", "ASSERT_NOT"), name
            parts = [""]
        spellings = [start + part for start in spellings for part in parts]
    return spellings


def test_each_phrase_of_the_list_is_found_where_it_is_alone(tmp_path):
    """The first, quick search of a file must find all that the second one finds."""
    phrases = check_phrases.read_phrases()
    page = tmp_path / "x.md"
    for entry, phrase in zip(YAML(typ="safe").load(check_phrases.PHRASES), phrases, strict=True):
        examples = spelled(re._parser.parse(entry["phrase"]))
        assert examples
        for example in examples:
            written(page, f"{example}\n")
            assert [*check_phrases.faults([page], [phrase])], (entry["phrase"], example)


@pytest.mark.parametrize(
    "sentence",
    [
        "Integers of a few bits suffice. How few bits are enough?",
        "Notebook [7, new speakers](07.ipynb)",
        "The two classes are told apart by their spikes.",
        "The name stands for its settings, and the table for nothing.",
        "An optimistic visualization, one row for each spike.",
    ],
)
def test_usual_english_is_not_rejected(tmp_path, sentence):
    assert found_in(written(tmp_path / "x.md", sentence)) == []


def test_the_command_fails_for_a_file_with_a_phrase_and_passes_without(tmp_path):
    for text, status in (("A kept network.", 1), ("A pretrained network.", 0)):
        command = [sys.executable, "-m", "scripts.check_phrases", written(tmp_path / "x.md", text)]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert ended.returncode == status, ended.stderr
        assert ("x.md:1: prose: 'kept network'" in ended.stdout) == bool(status)


def test_every_kind_of_file_is_searched():
    names = {path.relative_to(ROOT).as_posix() for path in files()}
    assert {"README.md", "Makefile", "shd_helpers/hear.py", "docs/glossary.md"} <= names
    assert {"notebooks/01_data_preprocessing.ipynb", "circuit/shd_circuit/rtl/core.v"} <= names
    assert {"sweeps/final.yaml", "tests/test_phrases.py", "results/README.md"} <= names
    assert not any(name.startswith((".venv", "build")) for name in names)


def test_no_text_is_moved_to_another_line_where_code_is_cut_out():
    path = ROOT / "docs" / "layout.md"
    (page,) = texts(path)
    assert len(page.text) == len(path.read_text(encoding="utf-8"))
    assert page.text.count("\n") == path.read_text(encoding="utf-8").count("\n")


def test_messages_of_all_kinds_are_listed(tmp_path):
    code = (
        '"""No message."""\n'
        'print("saved it")\n'
        'raise ValueError(f"{x}: too small")\n'
        'parser.add_argument("--far", help="a distance")\n'
        'warnings.warn("be careful")\n'
        'remedy = "Choose another one."\n'
        'NAME = "a name"\n'
    )
    listed = [message[1:4] for message in list_messages.messages(written(tmp_path / "x.py", code))]
    assert listed == [
        (2, "print", "saved it"),
        (3, "error", "{x}: too small"),
        (4, "help", "a distance"),
        (5, "warning", "be careful"),
        (6, "text", "Choose another one."),
    ]
    makefile = written(tmp_path / "Makefile", 'help:\n\t@echo "make lint   style"\n\techo $x\n')
    assert [m.text for m in list_messages.messages(makefile)] == ["make lint   style"]


def test_the_list_has_messages_of_package_circuit_scripts_and_makefile():
    named = list_messages.python_files(list_messages.CODE)
    folders = {path.relative_to(ROOT).parts[0] for path in named}
    assert folders == {"shd_helpers", "circuit", "scripts", "Makefile"}
