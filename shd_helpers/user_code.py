"""Code of the user's own: load what a text such as ``mine.py:boxcar`` names, and identify it.

A surrogate, a neuron or a network that isn't part of the study is a function or a class in a file.
In Python it is passed as an object. On a command line, in a sweep file and in a notebook's
parameters it is given by a *reference*, ``mine.py:boxcar`` for `boxcar` in the file `mine.py`,
because the process that trains is another one. A run with such a reference is identified by the
reference without the file's folder (`label_of`), and by the content of the file and of the modules
that it imports (`reference_sha256`).

These modules are found by reading import statements (`local_files`). So a module that is imported
in another way, such as by `importlib.import_module`, isn't found, and neither is a file with data.
Installed packages don't count, because they aren't the user's.
"""

import ast
import hashlib
import importlib.util
import sys
import sysconfig
import time
import traceback
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path
from types import ModuleType
from typing import Any

from shd_corpus.checks import quoted
from shd_corpus.files import sha256
from shd_helpers.paths import home

# of the study, which are in folders of their own in a checkout
_PACKAGES = [
    Path(importlib.util.find_spec(package).origin).resolve().parent  # type: ignore[union-attr, arg-type]
    for package in ("shd_corpus", "shd_engine", "shd_helpers", "shd_judge")
]
_STANDARD_LIBRARY = Path(sysconfig.get_paths()["stdlib"]).resolve()
_MODULES = "shd_user_code_"  # how the names of the modules begin that files are imported as
_N_DIGITS = 16  # of a file's hash in the name of its module
LOADED_S = time.time()  # when this program started, nearly


class UserCodeError(ValueError):
    """An object that a text refers to can't be loaded; the message has the file and the remedy."""


def is_reference(text: object) -> bool:
    """Return whether a setting's value refers to an object in a file, perhaps a misspelled one."""
    return isinstance(text, str) and ".py:" in text


def label_of(text: str) -> str:
    """Return a reference without the file's folder, as tables and messages show it."""
    file, name = _split(text)
    return f"{file.name}:{name}"


def with_absolute_path(text: str, folder: Path) -> str:
    """Return a reference that means the same from every working directory; see `find_file`."""
    _, name = _split(text)
    return f"{find_file(text, folder)}:{name}"


def find_file(text: str, folder: Path | None = None) -> Path:
    """Return the absolute path of the file that a reference means; UserCodeError if it isn't there.

    A relative path counts from the given folder first. Then follow the working directory and, in a
    checkout, its root.
    """
    file, _ = _split(text)
    folders = [*([folder] if folder else []), Path.cwd(), home()]
    for each in folders:
        if (each / file).is_file():
            return (each / file).resolve()
    searched = " or in ".join(dict.fromkeys(map(str, folders)))
    raise UserCodeError(
        f"{quoted(text)}: there is no file {file} in {searched}. Correct the path, or give an "
        "absolute one."
    )


def _split(text: str) -> tuple[Path, str]:
    """Return the file, as it is written, and the name of a reference."""
    file, _, name = text.rpartition(":")
    if not (file.endswith(".py") and name.isidentifier()):
        raise UserCodeError(
            f"{quoted(text)}: give a file and the name of a function or class in it, without "
            "arguments, such as mine.py:boxcar."
        )
    return Path(file).expanduser(), name


def load_object(text: str) -> Any:
    """Return the function or class that a reference means.

    The file is imported as a module of its own. Its folder can be imported from while that happens,
    so that it may use other files beside it. If the file has changed since it was imported, it is
    imported again.
    """
    file = find_file(text)
    _, name = _split(text)
    module = _import_file(file)
    if not hasattr(module, name):
        there = ", ".join(each for each in vars(module) if not each.startswith("_"))
        raise UserCodeError(f"{file}: there is no {name} in it. It has: {there or 'no names'}.")
    found = getattr(module, name)
    if not callable(found):
        raise UserCodeError(
            f"{file}: {name} is a value of type {type(found).__name__}, which can't be called. "
            "Give the name of a function or a class."
        )
    return found


def _import_file(path: Path) -> ModuleType:
    """Import a file as a module, or return the module if this content was imported before."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    digest = hashlib.sha256(bytes(path) + content).hexdigest()[:_N_DIGITS]
    name = f"{_MODULES}{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    # Other processes can't import it by this name, which the absence of a loader says.
    spec = importlib.util.spec_from_loader(name, loader=None, origin=str(path))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(path)
    sys.modules[name] = module  # before it runs: dataclasses look themselves up there
    sys.path.insert(0, str(path.parent))
    try:
        # Python's cache of compiled files may miss a change within the same second.
        exec(compile(content, str(path), "exec"), vars(module))
    except BaseException as error:  # Ctrl-C, too: the next call must not take half a module
        del sys.modules[name]
        if not isinstance(error, Exception | SystemExit):
            raise
        raise UserCodeError(f"{path}: importing it raised {_described(error, path)}.") from error
    finally:
        sys.path.remove(str(path.parent))
    return module


def _described(error: BaseException, file: Path) -> str:
    """Return an exception's class and message, and the line of the user's file that raised it."""
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} in line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f" in line {frame.lineno}" for frame in frames if frame.filename == str(file)]
    return f"{type(error).__name__}: {error}{(lines or [''])[-1]}"


def _unreadable(path: Path, error: OSError) -> UserCodeError:
    """Return the error for a file of the user's that can't be read."""
    return UserCodeError(f"{error.filename or path}: can't be read ({error.strerror}). Check it.")


def class_name(thing: object) -> str:
    """Return the full name of an object's class, such as ``snntorch._neurons.leaky.Leaky``.

    A class in a file that `load_object` has imported is called ``mine.py:TwoLayers``.
    """
    module = type(thing).__module__
    name = type(thing).__qualname__
    if module.startswith(_MODULES):
        return f"{Path(str(sys.modules[module].__file__)).name}:{name}"
    return f"{module}.{name}"


def reference_sha256(text: str) -> str:
    """Return the name of the file that a reference means, a space, and the hash of its code.

    The code is that of the file and of the modules beside it that it imports. Folders don't count,
    so that a moved file stays the same.
    """
    file = find_file(text)
    try:
        digest = hash_of_files(local_files(file))
    except OSError as error:
        raise _unreadable(file, error) from error
    return f"{file.name} {digest}"


class UnidentifiedError(ValueError):
    """A function or class can't be recognized later; the message is a clause that says why."""


def identity_of(thing: object) -> str:
    """Return the name of a function or class, and the hash of its file and what that imports.

    Two calls in which it is equal do the same, unless the file takes values from elsewhere, such as
    the command line. Something installed, or of the study, is identified by its full name.
    """
    name = getattr(thing, "__qualname__", "")
    module = sys.modules.get(getattr(thing, "__module__", ""))
    if getattr(module, name, None) is not thing:
        raise UnidentifiedError("it isn't a function or a class at the top level of a file")
    file = Path(getattr(module, "__file__", None) or "")
    if not file.is_file():
        raise UnidentifiedError("it isn't in a file")
    if is_installed(file):
        return f"{thing.__module__}.{name}"
    files = local_files(file)
    # Python may still have what was in a file before somebody changed it.
    if max(each.stat().st_mtime for each in files) > LOADED_S:
        raise UnidentifiedError(f"{file.name} has changed since this program started")
    return f"{name} {hash_of_files(files)}"


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
    hashes = [sha256(path) + path.name for path in paths]
    return hashlib.sha256("\0".join(sorted(hashes)).encode()).hexdigest()


def is_installed(path: Path) -> bool:
    """Tell whether a file belongs to Python, to an installed package or to the study's."""
    path = path.resolve()
    is_below = any(path.is_relative_to(folder) for folder in (*_PACKAGES, _STANDARD_LIBRARY))
    return is_below or not {"site-packages", "dist-packages"}.isdisjoint(path.parts)


def is_users_module(module: object) -> bool:
    """Tell whether a module is the user's, and not of Python or of an installed package."""
    file = getattr(module, "__file__", None)
    if file:
        return Path(file).is_file() and not is_installed(Path(file))
    folders = list(getattr(module, "__path__", ()))  # of a package without ``__init__.py``
    if folders:
        return not any(is_installed(Path(folder)) for folder in folders)
    return getattr(module, "__name__", "__main__") == "__main__"


def _imported_files(file: Path) -> list[Path]:
    """Return the user's files that a file may import, and the packages that it is in."""
    packages = takewhile(Path.is_file, (folder / "__init__.py" for folder in file.parents))
    files = list(packages)
    for level, name in _imported_names(file):
        for folder in file.parents[level - 1 : level] if level else file.parents:
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
