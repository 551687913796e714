"""The version of what the code computes, and a hash by which changed code is recognized.

`NUMERICS` is increased by hand, when results change. A comment, a moved function or a faster loop
changes no result and outdates nothing. A changed formula or constant does.

A run's hash holds `NUMERICS` and not the code. Whoever changes what the code computes, and
forgets to raise that number, would see old results under the name of new ones. So the hash of the
code that belongs to the number is recorded beside it, in `COMPUTING_CODE`. A sweep reuses
no result while today's code has another hash. Comments, docstrings and layout don't count.

tests/test_small_computations.py checks whether changed code still computes the same, and
``python -m tests.small_computations`` records its hash. CONTRIBUTING.md describes both.
"""

import ast
import functools
import hashlib
import importlib.util
from collections.abc import Iterable
from pathlib import Path

NUMERICS = 1  # from spikes to class scores: no run counts as done any more
# The hash of the code that computes as NUMERICS says. It is part of no run's
# hash. To record a new one: python -m tests.small_computations
COMPUTING_CODE = "a4a4e215f6544dae"

# The modules that turn spikes into class scores, by package
MODULES = {
    "shd_corpus": ("class_names.py", "compiled.py", "shd_file.py", "shd_layout.py"),
    "shd_engine": ("*.py",),
    "shd_helpers": (
        "events/*.py",
        "network/*.py",
        "study/recipe.py",
        "study/training.py",
    ),
}
_N_DIGITS = 16
# Syntax trees that may begin with a docstring
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@functools.cache
def code_hash() -> str:
    """Return the hash of today's computing modules: 16 hexadecimal digits."""
    return hash_of(file.read_text(encoding="utf-8") for file in computing_files())


def computing_files() -> list[Path]:
    """Return the files of the computing modules."""
    folders = {
        package: Path(importlib.util.find_spec(package).origin).parent  # type: ignore[union-attr, arg-type]
        for package in MODULES
    }
    return [
        file
        for package, patterns in MODULES.items()
        for pattern in patterns
        for file in sorted(folders[package].glob(pattern))
    ]


def hash_of(sources: Iterable[str]) -> str:
    """Return the hash of Python code, which is the same for all supported versions of Python."""
    texts = [_as_text(ast.parse(source)) for source in sources]
    return hashlib.sha256("".join(texts).encode()).hexdigest()[:_N_DIGITS]


def _as_text(node: object) -> str:
    """Return a syntax tree as text.

    `ast.dump` writes absent fields in one version of Python and omits them in another. Here they
    are always omitted.
    """
    if isinstance(node, list):
        return "[" + ",".join(map(_as_text, node)) + "]"
    if not isinstance(node, ast.AST):
        return ascii(node)
    fields = []
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False):
            value = value[1:]
        if value is not None and value != []:
            fields.append(f"{name}={_as_text(value)}")
    return f"{type(node).__name__}({','.join(fields)})"
