"""Objects of the user's own, named by a text: ``mine.py:boxcar`` is `boxcar` in the file `mine.py`.

A surrogate, a neuron or a network that isn't part of the study is a function or a class in a file.
In Python it is passed as an object. On a command line, in a sweep file and in a notebook's
parameters it is given by a *reference*, because the process that trains is another one than the
process in which somebody might have registered it. A reference is a file and a name in it, with or
without arguments::

    mine.py:boxcar                   the object itself
    mine.py:boxcar(width=0.5)        a surrogate: what it returns for these arguments
    mine.py:two_layers(width=32)     a network or a neuron: the function, with this argument filled
                                     in, because the study gives it the others

A run with such an object is identified by the file's name, the name in it, the arguments
(`Reference.label`) and the content of the file (`reference_sha256`). Other files that it imports
don't count.
"""

import ast
import functools
import hashlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from shd_helpers.checks import quoted
from shd_helpers.paths import home

_REFERENCE = re.compile(r"(?P<file>[^:]+\.py):(?P<name>\w+)(?P<call>\(.*\))?", re.DOTALL)
_FORM = "such as mine.py:boxcar or mine.py:boxcar(width=0.5)"
_MODULES = "shd_object_"  # how the names of the modules begin that files are imported as
_N_DIGITS = 16  # of a file's hash in the name of its module


class ObjectError(ValueError):
    """An object that a text refers to can't be loaded; the message has the file and the remedy."""


class Reference(NamedTuple):
    """Where an object is, and what to call it with."""

    file: Path
    name: str
    arguments: dict[str, Any] | None  # None: the object itself is meant, it isn't called

    @property
    def label(self) -> str:
        """Return the reference without the file's folder, as tables and messages show it."""
        text = f"{self.file.name}:{self.name}"
        if self.arguments is None:
            return text
        listed = ", ".join(f"{name}={value!r}" for name, value in sorted(self.arguments.items()))
        return f"{text}({listed})"


def is_reference(text: object) -> bool:
    """Tell whether the value of a setting refers to an object in a file.

    Parameters
    ----------
    text : object
        The value, such as ``"fast_sigmoid"`` or ``"mine.py:boxcar"``.

    Returns
    -------
    bool
        True for texts that have ``.py:`` in them, also for those that are misspelled behind it.
    """
    return isinstance(text, str) and ".py:" in text


def read_reference(text: str, folder: Path | None = None) -> Reference:
    """Find the file that a reference means, and read the arguments.

    Parameters
    ----------
    text : str
        Such as ``"mine.py:boxcar"``.
    folder : Path, optional
        Where a relative path counts from first. Then follow the working directory and, in
        a checkout, its root.

    Returns
    -------
    Reference
        Its file exists; nothing is imported yet.

    Raises
    ------
    ObjectError
        If the text has another form, or there is no such file.
    """
    reference = parse_reference(text)
    folders = [Path.cwd(), home()]
    if folder:
        folders.insert(0, folder)
    for each in folders:
        if (each / reference.file).is_file():
            return reference._replace(file=(each / reference.file).resolve())
    searched = " or in ".join(dict.fromkeys(map(str, folders)))
    raise ObjectError(
        f"{quoted(text)}: there is no file {reference.file} in {searched}. Correct the path, or "
        "give an absolute one."
    )


def parse_reference(text: str) -> Reference:
    """Split a reference into its file, name and arguments, without looking for the file.

    Parameters
    ----------
    text : str
        Such as ``"mine.py:boxcar"``.

    Returns
    -------
    Reference
        Its file is as it is written.

    Raises
    ------
    ObjectError
        If the text has another form.
    """
    match = _REFERENCE.fullmatch(text)
    if not match:
        raise ObjectError(f"{quoted(text)}: give a file and a name in it, {_FORM}.")
    return Reference(Path(match["file"]).expanduser(), match["name"], _arguments(text, match))


def with_absolute_path(text: str, folder: Path) -> str:
    """Return a reference that means the same from every working directory.

    Parameters
    ----------
    text : str
        Such as ``"mine.py:boxcar"``.
    folder : Path
        Where a relative path counts from first: see `read_reference`.

    Returns
    -------
    str
        The reference with the absolute path of its file.

    Raises
    ------
    ObjectError
        If the text has another form, or there is no such file.
    """
    reference = read_reference(text, folder)
    return f"{reference.file.parent}/{reference.label}"


def _arguments(text: str, match: re.Match) -> dict[str, Any] | None:
    """Return the keyword arguments of a reference; None if it has no parentheses."""
    if match["call"] is None:
        return None
    try:
        call = ast.parse(f"{match['name']}{match['call']}", mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError
        if any(keyword.arg is None for keyword in call.keywords):
            raise ValueError
        return {str(each.arg): ast.literal_eval(each.value) for each in call.keywords}
    except (SyntaxError, ValueError):
        raise ObjectError(
            f"{quoted(text)}: pass keyword arguments whose values are numbers, strings, or True or "
            f"False, {_FORM}."
        ) from None


def load_object(text: str, folder: Path | None = None) -> Any:
    """Return the object that a reference means, such as a surrogate or a function that makes one.

    The file is imported as a module of its own. Its folder can be imported from while that happens,
    so that it may use other files beside it. If the file has changed since it was imported, it is
    imported again.

    Parameters
    ----------
    text : str
        Such as ``"mine.py:boxcar"`` or ``"mine.py:boxcar(width=0.5)"``.
    folder : Path, optional
        See `read_reference`.

    Returns
    -------
    object
        What the file has under this name or, with arguments, what that returns.

    Raises
    ------
    ObjectError
        If there is no such file or name, or the file or the call raises an exception.
    """
    reference = read_reference(text, folder)
    module = _import_file(reference.file)
    if not hasattr(module, reference.name):
        there = ", ".join(name for name in vars(module) if not name.startswith("_"))
        raise ObjectError(
            f"{reference.file}: there is no {reference.name} in it. It has: {there or 'no names'}."
        )
    found = getattr(module, reference.name)
    if reference.arguments is None:
        return found
    try:
        return found(**reference.arguments)
    except Exception as error:
        raise ObjectError(
            f"{reference.file}: calling {reference.label} raised "
            f"{_described(error, reference.file)}. Correct the function, or the arguments."
        ) from error


def load_function(text: str, folder: Path | None = None) -> Any:
    """Return the function or class that a reference means, with its arguments filled in.

    Other than `load_object`, this calls nothing: ``mine.py:two_layers(width=32)`` is a function of
    all other arguments of `two_layers`.

    Parameters
    ----------
    text : str
        Such as ``"mine.py:two_layers"`` or ``"mine.py:two_layers(width=32)"``.
    folder : Path, optional
        See `read_reference`.

    Returns
    -------
    callable
        The function or class, or a `functools.partial` of it.

    Raises
    ------
    ObjectError
        If there is no such file or name, the file raises an exception, or the object can't be
        called.
    """
    reference = read_reference(text, folder)
    found = load_object(_without_arguments(reference))
    if not callable(found):
        raise ObjectError(
            f"{reference.file}: {reference.name} is a value of type {type(found).__name__}, which "
            "can't be called. Give the name of a function or a class."
        )
    return functools.partial(found, **reference.arguments) if reference.arguments else found


def _without_arguments(reference: Reference) -> str:
    """Return the text of a reference to the object itself."""
    return f"{reference.file}:{reference.name}"


def _import_file(path: Path) -> ModuleType:
    """Import a file as a module, or return the module if this content was imported before."""
    content = _content(path)
    digest = hashlib.sha256(bytes(path) + content).hexdigest()[:_N_DIGITS]
    name = f"{_MODULES}{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_loader(name, loader=None, origin=str(path))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(path)
    sys.modules[name] = module  # before it runs: dataclasses look themselves up there
    sys.path.insert(0, str(path.parent))
    try:
        # Compiled from the bytes that were read, so that the code is that of the digest.
        exec(compile(content, str(path), "exec"), vars(module))
    except BaseException as error:  # Ctrl-C, too: the next call must not take half a module
        del sys.modules[name]
        if not isinstance(error, Exception):
            raise
        raise ObjectError(f"{path}: importing it raised {_described(error, path)}.") from error
    finally:
        sys.path.remove(str(path.parent))
    return module


def class_name(thing: object) -> str:
    """Return the full name of an object's class, as a reader would look for it.

    Parameters
    ----------
    thing : object
        Any object.

    Returns
    -------
    str
        Such as ``snntorch._neurons.leaky.Leaky``; of a class in a file that `load_object` has
        imported, such as ``mine.py:TwoLayers``.
    """
    module = type(thing).__module__
    name = type(thing).__qualname__
    if module.startswith(_MODULES):
        return f"{Path(str(sys.modules[module].__file__)).name}:{name}"
    return f"{module}.{name}"


def _content(path: Path) -> bytes:
    """Return the bytes of a file; ObjectError if it can't be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ObjectError(f"{path}: can't be read ({error.strerror}). Check the file.") from error


def _described(error: Exception, file: Path) -> str:
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


def reference_sha256(text: str) -> str:
    """Return what identifies the file that a reference means: its name and its SHA-256.

    Parameters
    ----------
    text : str
        Such as ``"mine.py:boxcar(width=0.5)"``.

    Returns
    -------
    str
        The file's name, a space, and 64 hexadecimal digits. The folder doesn't count, so that
        a moved file stays the same.

    Raises
    ------
    ObjectError
        If there is no such file.
    """
    file = read_reference(text).file
    return f"{file.name} {hashlib.sha256(_content(file)).hexdigest()}"


def object_identity(thing: Any) -> dict[str, Any] | None:
    """Return what identifies a function or a class that was passed as an object.

    Parameters
    ----------
    thing : callable
        A function, a class, or a `functools.partial` of one with arguments.

    Returns
    -------
    dict or None
        `object` (file name and name), `arguments` (of a `partial`) and `sha256` of the file. None
        if the object isn't in a file, as in a notebook or at Python's prompt: such an object can't
        be recognized in another process.
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
    return {
        "object": f"{path.name}:{name}",
        "arguments": arguments,
        "sha256": hashlib.sha256(_content(path)).hexdigest(),
    }


def _is_of_a_notebook(thing: Any) -> bool:
    """Tell whether a function or class was defined in a cell, whose file is a temporary one."""
    module = sys.modules.get(getattr(thing, "__module__", "") or "")
    return getattr(module, "__name__", "") == "__main__" and not hasattr(module, "__file__")
