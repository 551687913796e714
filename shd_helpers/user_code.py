"""Find the files that a user's code consists of, and compute a hash of their content.

A network or a neuron of the user's own depends on the file that defines it and on the modules that
this file imports, but not on the installed packages, which aren't the user's. The modules are
found by reading import statements. So a module that is imported in another way, such as by
`importlib.import_module`, isn't found, and neither is a file with data.
"""

import ast
import hashlib
import sysconfig
from collections.abc import Iterable
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_STANDARD_LIBRARY = Path(sysconfig.get_paths()["stdlib"]).resolve()


def local_files(path: Path) -> list[Path]:
    """Return a Python file and the user's modules that it imports, directly or through others.

    An import may mean a module beside the importing file, in a subfolder, or in a folder above.
    Where several modules have the name, all of them are returned, because only the process that
    imports knows which it takes.
    """
    found = set()
    waiting = [Path(path).resolve()]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += _imported_files(file)
    return sorted(found)


def hash_of_files(paths: Iterable[Path]) -> str:
    """Return the SHA-256 of the names and the bytes of some files.

    Their folders and their order don't count, so that moved files stay the same.
    """
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() + path.name for path in paths]
    return hashlib.sha256("\0".join(sorted(hashes)).encode()).hexdigest()


def is_installed(path: Path) -> bool:
    """Tell whether a file belongs to Python, to an installed package or to this one."""
    path = path.resolve()
    if path.is_relative_to(_PACKAGE) or path.is_relative_to(_STANDARD_LIBRARY):
        return True
    return "site-packages" in path.parts or "dist-packages" in path.parts


def _imported_files(file: Path) -> list[Path]:
    """Return the user's files that a file may import, and the packages that it is in."""
    files = []
    for folder in file.parents:
        if not (folder / "__init__.py").is_file():
            break
        files.append(folder / "__init__.py")
    for level, name in _imported_names(file):
        folders = file.parents[level - 1 : level] if level else file.parents
        for folder in folders:
            files += _module_files(folder, name)
    return [each.resolve() for each in files if not is_installed(each)]


def _imported_names(file: Path) -> set[tuple[int, str]]:
    """Return the names in the import statements of a file, each with its number of leading dots."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # importing it fails, too
        return set()
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {(0, alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = f"{node.module}." if node.module else ""
            # each name may be a module or something in one
            names |= {(node.level, start + alias.name) for alias in node.names}
    return names


def _module_files(folder: Path, name: str) -> list[Path]:
    """Return the files that importing a dotted name runs if its first part is in a folder."""
    files = []
    for part in name.split("."):
        candidates = (folder / f"{part}.py", folder / part / "__init__.py")
        files += [each for each in candidates if each.is_file()]
        folder /= part
    return files
