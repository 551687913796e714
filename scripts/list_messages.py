"""Print the messages of the code: errors, warnings, help texts and what commands print.

``python -m scripts.list_messages`` prints those of the package, the circuit, the scripts and the
Makefile, each with its file, line and kind. Whoever changes messages can so read all of them in one
list. ``python -m scripts.list_messages shd_helpers/hear.py`` prints those of the named files and
folders.
"""

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from scripts.texts import Text, strings
from shd_helpers.command import run
from shd_helpers.paths import ROOT

CODE = ("shd_helpers", "circuit/shd_circuit", "scripts", "Makefile")
_ECHO = re.compile(r'^\s*@?echo "(?P<text>.+)"$')


def messages(path: Path) -> Iterator[Text]:
    """Yield the messages of a Python file or a Makefile.

    Parameters
    ----------
    path : Path
        The file.

    Yields
    ------
    Text
        Each message as `texts.strings` finds it, or, in a Makefile, each line that it prints.
    """
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        for line, kind, text in strings(source):
            if kind != "docstring":
                yield Text(path, line, kind, text)
        return
    for number, command in enumerate(source.splitlines(), start=1):
        if match := _ECHO.match(command):
            yield Text(path, number, "help", match["text"])


def python_files(names: Sequence[str]) -> list[Path]:
    """Return the files that are named, and all Python files in the named folders.

    Parameters
    ----------
    names : sequence of str
        Files and folders, relative to the repository's root.

    Returns
    -------
    list of Path
        The files; those of a folder ascending.
    """
    found: list[Path] = []
    for name in names:
        path = ROOT / name
        found += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return found


def main() -> None:
    """Print the list."""
    parser = argparse.ArgumentParser(prog="list_messages", description=__doc__)
    parser.add_argument(
        "names", nargs="*", default=CODE, metavar="NAME", help="files and folders to read"
    )
    for path in python_files(parser.parse_args().names):
        for message in messages(path):
            one_line = " ".join(message.text.split())
            print(f"{message.where()}: {message.kind}: {one_line}")


if __name__ == "__main__":
    run(main)
