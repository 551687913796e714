"""The functions that the reader of notebooks 1 to 4 has written, kept for later notebooks."""

import ast
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from shd_corpus.files import atomic
from shd_helpers.paths import OF_A_RUN, runs_dir


def folder() -> Path:
    """Return the folder of the kept functions, and of all that is made of them."""
    return runs_dir() / "my_network"


def keep(name: str, text: str) -> None:
    """Keep the text of a reader's function for `my_network.write`."""
    with atomic(folder() / f"{name}.txt") as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def namespace(text: str) -> dict[str, Any]:
    """Return the packages that ``my_network.py`` imports, by the names that it gives them.

    PyTorch and snnTorch are among them only if the text names PyTorch.
    """
    packages: dict[str, Any] = {"np": np, "pd": pd, "stats": stats}
    if "torch" in text:  # the exercise of notebook 1 doesn't need it, and it takes seconds
        import snntorch
        import torch

        packages |= {"torch": torch, "snn": snntorch}
    return packages


def texts(names: Sequence[str]) -> dict[str, str]:
    """Return the texts of functions, and print whose they are.

    They are the reader's, or those of the notebooks' solutions where one is missing.
    """
    solutions = _solutions()
    texts = {}
    owners = {}
    for name in names:
        own = folder() / f"{name}.txt"
        if own.is_file():
            owners[name] = "yours"
            texts[name] = own.read_text(encoding="utf-8").strip()
        else:
            owners[name] = "the study's"
            texts[name] = solutions[name]
    print(", ".join(f"{name}: {owner}" for name, owner in owners.items()))
    return texts


def _solutions() -> dict[str, str]:
    """Return the solutions in the notebooks, by the exercise's name."""
    solutions = {}
    for path in OF_A_RUN:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if "solution" in cell["metadata"].get("tags", ()):
                source = "".join(cell["source"])
                (definition,) = ast.parse(source).body
                assert isinstance(definition, ast.FunctionDef | ast.ClassDef)
                text = ast.get_source_segment(source, definition) or ""
                text = text.replace("_solution", "", 1)
                solutions[definition.name.removesuffix("_solution")] = text
    return solutions
