"""Find phrases that the study's style rejects, in prose, docstrings, comments and messages.

``python -m scripts.check_phrases``, which `make lint` runs, reads the phrases of
``scripts/phrases.yaml`` and all files of the repository that have texts. For each occurrence it
prints the file, the line, the phrase, and what to write instead. `scripts.texts` says what isn't
searched: code, quotations, and earlier names in the glossary.
"""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ruamel.yaml import YAML

from scripts.texts import files, texts
from shd_helpers.command import run

_BEFORE = re.compile(r"\(\?<![^)]*\)")
PHRASES = Path(__file__).with_name("phrases.yaml")
# between two words; in code perhaps with the beginning of another f-string or a line's end
_SEPARATORS = re.compile(r"(?:[^\w'\\-]|\\n|(?<=\W)f\")+")


class Phrase(NamedTuple):
    """What to reject, and what to write instead."""

    pattern: re.Pattern[str]
    instead: str


def read_phrases(path: Path = PHRASES) -> list[Phrase]:
    """Read the list of phrases.

    Parameters
    ----------
    path : Path
        A YAML file: a list of mappings, each with a `phrase`, which is a regular expression, and
        `instead`, what to write. A space in the expression stands for any white space.

    Returns
    -------
    list of Phrase
        The phrases, in the order of the file.

    Raises
    ------
    ValueError
        If a phrase isn't a valid regular expression.
    """
    phrases = []
    for entry in YAML(typ="safe").load(path):
        # what must not come before a phrase has a fixed length, so one white space
        fixed = _BEFORE.sub(lambda match: match.group().replace(" ", r"\s"), entry["phrase"])
        expression = fixed.replace(" ", r"\s+")
        try:
            pattern = re.compile(rf"\b(?:{expression})(?!\w)", re.IGNORECASE)
        except re.error as error:
            raise ValueError(
                f"{path}: {entry['phrase']!r} isn't a valid regular expression: {error}"
            ) from error
        phrases.append(Phrase(pattern, entry["instead"]))
    return phrases


def faults(paths: Sequence[Path], phrases: Sequence[Phrase]) -> Iterator[str]:
    """Yield a line for each phrase that is found.

    Parameters
    ----------
    paths : sequence of Path
        The files to search.
    phrases : sequence of Phrase
        From `read_phrases`.

    Yields
    ------
    str
        File, line, what was found, and what to write instead.
    """
    any_phrase = re.compile("|".join(f"(?:{phrase.pattern.pattern})" for phrase in phrases), re.I)
    for path in paths:
        is_notebook = path.suffix == ".ipynb"  # with pictures, in which a search takes long
        if not is_notebook and not any_phrase.search(_words_of(path)):
            continue
        for text in texts(path):
            for phrase in phrases:
                for match in phrase.pattern.finditer(text.text):
                    found = " ".join(match.group().split())
                    where = text.where(match.start())
                    yield f"{where}: {text.kind}: {found!r}; write instead: {phrase.instead}"


def _words_of(path: Path) -> str:
    """Return the words of a file with one space between each, also those of its code.

    Most files have no phrase. Searching this text finds that out in a fraction of the time that
    `texts` takes. Signs between two parts of a string or a comment count as a space. A hyphen
    stays, because it is part of some phrases.
    """
    return _SEPARATORS.sub(" ", path.read_text(encoding="utf-8"))


def main() -> int:
    """Search the repository, or the files that are named.

    Returns
    -------
    int
        Exit status: 1 if a phrase was found.
    """
    parser = argparse.ArgumentParser(prog="check_phrases", description=__doc__)
    parser.add_argument(
        "files", nargs="*", type=Path, help="files to search (default: all of the repository)"
    )
    named = parser.parse_args().files
    searched = [path for path in named or files() if path.resolve() != PHRASES]
    lines = list(faults(searched, read_phrases()))
    for line in lines:
        print(line)
    if not lines:
        return 0
    print(f"{len(lines)} phrases to replace. Their list is scripts/phrases.yaml.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    run(main)
