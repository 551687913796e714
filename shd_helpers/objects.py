"""Objects of the user's own, named by a text: ``mine.py:boxcar`` is `boxcar` in the file `mine.py`.

A surrogate, a neuron or a network that isn't part of the study is a function or a class in a file.
In Python it is passed as an object. On a command line, in a sweep file and in a notebook's
parameters it is given by a *reference*, because the process that trains is another one. A run with
such an object is identified by the reference without the file's folder (`label_of`), and by the
content of the file and of the modules beside it that it imports (`reference_sha256`).
"""

import functools
import hashlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from shd_corpus.checks import quoted
from shd_helpers.paths import home
from shd_helpers.user_code import hash_of_files, local_files

_MODULES = "shd_object_"  # how the names of the modules begin that files are imported as
_N_DIGITS = 16  # of a file's hash in the name of its module


class ObjectError(ValueError):
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
    """Return the absolute path of the file that a reference means; ObjectError if it isn't there.

    A relative path counts from the given folder first. Then follow the working directory and, in a
    checkout, its root.
    """
    file, _ = _split(text)
    folders = [Path.cwd(), home()]
    if folder:
        folders.insert(0, folder)
    for each in folders:
        if (each / file).is_file():
            return (each / file).resolve()
    searched = " or in ".join(dict.fromkeys(map(str, folders)))
    raise ObjectError(
        f"{quoted(text)}: there is no file {file} in {searched}. Correct the path, or give an "
        "absolute one."
    )


def _split(text: str) -> tuple[Path, str]:
    """Return the file, as it is written, and the name of a reference."""
    file, _, name = text.rpartition(":")
    if not (file.endswith(".py") and name.isidentifier()):
        raise ObjectError(
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
        raise ObjectError(f"{file}: there is no {name} in it. It has: {there or 'no names'}.")
    found = getattr(module, name)
    if not callable(found):
        raise ObjectError(
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
        raise ObjectError(f"{path}: importing it raised {_described(error, path)}.") from error
    finally:
        sys.path.remove(str(path.parent))
    return module


def _described(error: BaseException, file: Path) -> str:
    """Return an exception's class and message, and the line of the user's file that raised it."""
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} in line {error.lineno}"
    text = f"{type(error).__name__}: {error}"
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(file)
    ]
    return f"{text} in line {lines[-1]}" if lines else text


def _unreadable(path: Path, error: OSError) -> ObjectError:
    """Return the error for a file of the user's that can't be read."""
    return ObjectError(f"{error.filename or path}: can't be read ({error.strerror}). Check it.")


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
    return f"{file.name} {_hash_of(file)}"


def _hash_of(file: Path) -> str:
    """Return the hash of a file and of the user's modules that it imports."""
    try:
        return hash_of_files(local_files(file))
    except OSError as error:
        raise _unreadable(file, error) from error


def object_identity(thing: Any) -> dict[str, Any] | None:
    """Return what identifies a function or a class that was passed as an object.

    This is `object` (file name and name), `arguments` (of a `functools.partial`) and `sha256` of
    its code, as in `reference_sha256`. None if the object isn't in a file, as in a notebook or at
    Python's prompt: such an object can't be recognized in another process.
    """
    arguments: Mapping[str, Any] | None = None
    if isinstance(thing, functools.partial):
        listed = {str(position): value for position, value in enumerate(thing.args)}
        arguments = {name: repr(value) for name, value in (listed | thing.keywords).items()}
        thing = thing.func
    is_named = inspect.isclass(thing) or inspect.isroutine(thing)
    try:
        file = inspect.getsourcefile(thing if is_named else type(thing))
    except TypeError:  # it is in no file
        return None
    path = Path(file) if file else None
    name = getattr(thing, "__qualname__", type(thing).__qualname__)
    if path is None or not path.is_file() or _is_of_a_notebook(thing):
        return None
    return {"object": f"{path.name}:{name}", "arguments": arguments, "sha256": _hash_of(path)}


def _is_of_a_notebook(thing: Any) -> bool:
    """Return whether a function or class was defined in a cell, whose file is a temporary one."""
    module = sys.modules.get(getattr(thing, "__module__", "") or "")
    return getattr(module, "__name__", "") == "__main__" and not hasattr(module, "__file__")
