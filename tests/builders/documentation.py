"""Code blocks of pages, run in their order as a reader would, and names of the API reference."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from shd_helpers.paths import ROOT

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_SAVED_AS = re.compile(r"[Ss]ave (?:it|this) as `([^`]+)`")


class Block(NamedTuple):
    """One block of code, and the file that the text before it names, if any."""

    language: str
    code: str
    file: str | None


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page, in their order."""
    text = page.read_text(encoding="utf-8")
    blocks = []
    end = 0
    for match in _BLOCK.finditer(text):
        saved_as = _SAVED_AS.search(text[end : match.start()])
        end = match.end()
        blocks.append(Block(match[1], match[2], saved_as[1] if saved_as else None))
    return blocks


def run_pages(pages: Sequence[Path], folder: Path, environment: dict[str, str]) -> str:
    """Write the files of pages and run their Python blocks; return what they printed.

    All blocks run in one process, because a page may continue another one.
    """
    script = []
    for block in (block for page in pages for block in blocks_of(page)):
        if block.file:  # written when its turn comes
            script.append(f"open({block.file!r}, 'w').write({block.code!r})")
        elif block.language == "python":
            script.append(block.code)
    (folder / "session.py").write_text("\n".join(script), encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "session.py"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def names_of_the_reference() -> dict[str, list[str]]:
    """Return the names on the page of public functions and classes, by the module they are in."""
    names: dict[str, list[str]] = {}
    for line in (ROOT / "docs" / "api.rst").read_text(encoding="utf-8").splitlines():
        if found := re.fullmatch(r"\.\. currentmodule:: (\S+)", line):
            module = found[1]
        elif found := re.fullmatch(r"\.\. auto(?:function|class):: (\w+)", line):
            names.setdefault(module, []).append(found[1])
    return names
