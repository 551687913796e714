"""Find the texts that people read in this repository, each with its line.

`texts` returns prose (of pages and notebooks), docstrings, comments and messages. A message is a
string of Python code that an error, a warning, a help text or a print has. Any other string with
three words or more is also one, because messages are often put together before they are printed.
Text that isn't the authors' prose is replaced by spaces, so that every other character stays in its
line: code, quotations, and the earlier names in the glossary.
"""

import ast
import io
import json
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from shd_helpers.paths import ROOT

FOLDERS = (".github", "circuit", "docs", "notebooks", "scripts", "shd_helpers", "sweeps", "tests")
RESULTS = "results"  # only its pages: the other files are tables and copies of code
PYTHON_AND_PROSE = frozenset({".py", ".pyi", ".md", ".ipynb"})
# Files of these kinds are read as a whole: a phrase hardly occurs in their code by chance.
READ_WHOLE = frozenset(
    {".c", ".cff", ".cpp", ".h", ".html", ".js", ".rst", ".toml", ".txt", ".v", ".yaml", ".yml"}
)
GENERATED = frozenset({"build", "__pycache__", ".ipynb_checkpoints"})
GLOSSARY = "glossary.md"
_FENCE = re.compile(r"^(?P<fence>```+|~~~+|:::).*?^\s*(?P=fence)\s*$", re.MULTILINE | re.DOTALL)
_NOT_PROSE = (
    _FENCE,
    re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL),  # code
    re.compile(r"\]\([^)\s]*\)|<?https?://[^\s>)]+"),  # the address of a link
    re.compile(r"^\s*>.*$", re.MULTILINE),  # quotations, and doctests
    re.compile(r'"[^"\n]*(\n[^"\n]+)?"|“[^”]{0,200}”'),
)
_FORMERLY = re.compile(r"\bformerly\b[^.\n]*", re.IGNORECASE)  # of the glossary
_WORD = re.compile(r"[A-Za-z']+")
_VALUE = re.compile(r"\{[^}]*\}")  # of an f-string
_CALLS = {"print": "print", "warn": "warning", "exit": "exit", "add_argument": "help"}


class Text(NamedTuple):
    """A text, and where it begins."""

    path: Path
    line: int
    kind: str  # prose, docstring, comment, or a kind of message: error, help, print, warning, exit
    text: str
    cell: int | None = None  # of a notebook, from 1; `line` counts from its beginning

    def where(self, position: int = 0) -> str:
        """Return where a character of the text is, as an editor opens it.

        Parameters
        ----------
        position : int
            Index of the character.

        Returns
        -------
        str
            Such as ``docs/data.md:12``, or in a notebook ``01.ipynb, cell 3, line 2``.
        """
        path = self.path
        if path.is_relative_to(ROOT):
            path = path.relative_to(ROOT)
        line = self.line + self.text.count("\n", 0, position)
        if self.cell is None:
            return f"{path}:{line}"
        return f"{path}, cell {self.cell}, line {line}"


def files(root: Path = ROOT) -> list[Path]:
    """Return all files of the repository that have texts.

    Parameters
    ----------
    root : Path
        The repository's root.

    Returns
    -------
    list of Path
        Ascending.
    """
    found = [path for path in root.iterdir() if path.name == "Makefile" or _has_texts(path)]
    for folder in FOLDERS:
        found += [path for path in (root / folder).rglob("*") if _has_texts(path)]
    found += (root / RESULTS).rglob("*.md")
    return sorted(path for path in found if not GENERATED & set(path.relative_to(root).parts))


def _has_texts(path: Path) -> bool:
    """Return whether a path is a file of a kind that is searched."""
    return path.suffix in PYTHON_AND_PROSE | READ_WHOLE and path.is_file()


def texts(path: Path) -> Iterator[Text]:
    """Yield the texts of a file, without code and quotations.

    Parameters
    ----------
    path : Path
        The file.

    Yields
    ------
    Text
        Each text.
    """
    if path.suffix in (".py", ".pyi"):
        source = path.read_text(encoding="utf-8")
        yield from _of_python(path, source)
    elif path.suffix == ".ipynb":
        yield from _of_notebook(path)
    else:
        text = path.read_text(encoding="utf-8")
        if path.name == GLOSSARY:
            text = _FORMERLY.sub(lambda match: " " * len(match.group()), text)
        yield Text(path, 1, "prose", prose(text) if path.suffix == ".md" else text)


def _of_notebook(path: Path) -> Iterator[Text]:
    """Yield the text of each cell: prose, or comments and strings of its code."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    for number, cell in enumerate(cells, start=1):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            yield Text(path, 1, "prose", prose(source), number)
        elif cell["cell_type"] == "code":
            without_magic = re.sub(r"^[%!].*$", "", source, flags=re.MULTILINE)
            for text in _of_python(path, without_magic):
                yield text._replace(cell=number)


def _of_python(path: Path, source: str) -> Iterator[Text]:
    """Yield docstrings, comments and messages of Python code."""
    for line, text in comments(source):
        yield Text(path, line, "comment", prose(text))
    for line, kind, text in strings(source):
        if kind == "docstring":
            yield Text(path, line, kind, prose(text))
        elif "tests" not in path.parts:  # strings of tests quote what the code writes
            yield Text(path, line, kind, text)


def prose(text: str) -> str:
    """Replace by spaces what isn't prose in a text: code, quotations and addresses of links.

    Parameters
    ----------
    text : str
        Markdown, a docstring or a comment.

    Returns
    -------
    str
        A text of the same length with the same lines.
    """
    for pattern in _NOT_PROSE:
        text = pattern.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)
    return text


def comments(source: str) -> Iterator[tuple[int, str]]:
    """Yield the comments of Python code; those of neighboring lines are one.

    Parameters
    ----------
    source : str
        The code.

    Yields
    ------
    tuple of int and str
        The first line's number and the text without "#".
    """
    first_line = 0
    lines: list[str] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        line = token.start[0]
        text = token.string.lstrip("# ")
        has_code_before = not token.line.strip().startswith("#")
        goes_on = lines and not has_code_before and line == first_line + len(lines)
        if lines and not goes_on:
            yield first_line, "\n".join(lines)
            lines = []
        if has_code_before:
            yield line, text
            continue
        if not lines:
            first_line = line
        lines.append(text)
    if lines:
        yield first_line, "\n".join(lines)


def strings(source: str) -> Iterator[tuple[int, str, str]]:
    """Yield the docstrings of Python code, and its messages.

    Parameters
    ----------
    source : str
        The code.

    Yields
    ------
    tuple of int, str and str
        The line, the kind (see `Text`) and the text. A value in an f-string is written ``{...}``
        with its code.
    """
    tree = ast.parse(source)
    yield from sorted(_strings_below(tree, "text"))


def _strings_below(node: ast.AST, kind: str) -> Iterator[tuple[int, str, str]]:
    """Yield the strings within a node; `kind` is that of the statement or call around it."""
    if isinstance(node, ast.Constant | ast.JoinedStr):
        text = _content(node)
        n_words = len(_WORD.findall(_VALUE.sub("", text)))
        if " " in text.strip() and n_words >= (3 if kind == "text" else 1):
            yield node.lineno, kind, text
        return
    if isinstance(node, ast.Raise):
        kind = "error"
    elif isinstance(node, ast.Call):
        kind = _CALLS.get(ast.unparse(node.func).rpartition(".")[2], kind)
    docstring = _docstring(node)
    if docstring is not None:
        yield docstring.lineno, "docstring", str(docstring.value)
    for child in ast.iter_child_nodes(node):
        is_docstring = isinstance(child, ast.Expr) and child.value is docstring
        if docstring is None or not is_docstring:
            yield from _strings_below(child, kind)


def _docstring(node: ast.AST) -> ast.Constant | None:
    """Return the docstring's node of a module, class or function that has one."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    if not isinstance(node, kinds) or ast.get_docstring(node) is None:
        return None
    first = node.body[0]
    assert isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return first.value


def _content(node: ast.Constant | ast.JoinedStr) -> str:
    """Return the text of a string, with the code of its values in braces."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    parts = []
    for value in node.values:
        if isinstance(value, ast.Constant):
            parts.append(str(value.value))
        elif isinstance(value, ast.FormattedValue):
            parts.append("{" + ast.unparse(value.value) + "}")
    return "".join(parts)
