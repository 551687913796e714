"""Compute a hash of an object of the user's, such as a function that makes networks.

The hash contains all that decides what the object does: the bytes of its file and of the modules
that this imports (`shd_helpers.user_code`), the code that Python has loaded, and the values of
closures, defaults, attributes and globals. The loaded code counts beside the file, because a file
that was edited and not imported again runs as it was before. Functions in notebooks have no file,
and are described by the rest.

Installed packages count by the names of what is used, so an update of them changes nothing.
"""

import dis
import hashlib
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import CellType, CodeType, FunctionType, MappingProxyType, ModuleType
from typing import Any

import torch

from shd_helpers.user_code import hash_of_files, is_installed, is_users_module, local_files

_PLAIN = (type(None), bool, int, float, complex, str, bytes)
# Attributes of classes that say nothing about what they compute, or differ between processes.
_SKIPPED = {
    "__annotate__",
    "__annotate_func__",
    "__annotations__",
    "__dict__",
    "__firstlineno__",
    "__module__",
    "__static_attributes__",
    "__weakref__",
    "_abc_impl",
}
# What decides what compiled code does: all but its file and its lines.
_OF_CODE = (
    "co_code", "co_consts", "co_names", "co_varnames", "co_freevars", "co_cellvars", "co_argcount",
    "co_posonlyargcount", "co_kwonlyargcount", "co_flags", "co_exceptiontable",
)  # fmt: skip


class UnstableObjectError(ValueError):
    """An object can't be recognized later; the message is a clause that says why."""


def hash_of_object(thing: object) -> str:
    """Return a hash that another process computes, too, if the object does the same there."""
    return _Hasher().hash(thing)


class _Hasher:
    """Hashes objects that may contain each other; each of them is read once."""

    def __init__(self) -> None:
        self._hashes: dict[int, str] = {}
        self._read: list[object] = []  # keeps them alive, so that no other object has their id
        self._files: dict[Path, str] = {}

    def hash(self, thing: Any) -> str:
        """Return the hash of an object."""
        kind = type(thing).__qualname__
        if type(thing) in _PLAIN:
            return _joined([kind, repr(thing)])
        key = id(thing)
        if key not in self._hashes:
            self._read.append(thing)
            self._hashes[key] = "contains itself"  # if it is reached while it is read
            try:
                self._hashes[key] = _joined([kind, *self._parts(thing)])
            except BaseException:
                del self._hashes[key]
                raise
        return self._hashes[key]

    def _parts(self, thing: Any) -> Iterable[str]:
        """Return the hashes of what an object consists of."""
        if type(thing) in (tuple, list):
            return [self.hash(each) for each in thing]
        if type(thing) in (set, frozenset):
            return sorted(self.hash(each) for each in thing)
        if type(thing) in (dict, MappingProxyType):
            return [self.hash(each) for item in thing.items() for each in item]
        readers: dict[type, Callable[[Any], list[str]]] = {
            torch.Tensor: self._of_tensor,
            ModuleType: self._of_module,
            FunctionType: self._of_function,
            CodeType: self._of_code,
            type: self._of_class,
        }
        for kind, read in readers.items():
            if isinstance(thing, kind):
                return read(thing)
        if isinstance(thing, property):
            return self._parts((thing.fget, thing.fset, thing.fdel))
        is_users = is_users_module(sys.modules.get(type(thing).__module__))
        if hasattr(thing, "__wrapped__") and not is_users:  # such as a function with a cache
            return [self.hash(thing.__wrapped__)]
        return self._of_pickled(thing)

    def _of_tensor(self, tensor: torch.Tensor) -> list[str]:
        """Describe a tensor by its values."""
        try:
            values = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        except (RuntimeError, TypeError, ValueError) as error:  # such as one without values yet
            raise _unstable(tensor) from error
        digest = hashlib.sha256(values.tobytes()).hexdigest()
        return [str(tensor.dtype), str(tuple(tensor.shape)), str(tensor.requires_grad), digest]

    def _of_module(self, module: ModuleType) -> list[str]:
        """Describe a module by its name, or one of the user's by its content."""
        if not is_users_module(module):
            return [module.__name__]
        values = {name: each for name, each in vars(module).items() if not name.startswith("__")}
        return [self._of_file(_file_of_module(module)), *self._named(values, True)]

    def _of_function(self, function: FunctionType) -> list[str]:
        """Describe a function by its file, its code and the values that it uses."""
        code = function.__code__
        closure = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
        parts = [
            function.__qualname__,
            self.hash(code),
            *self._named({name: _content(cell) for name, cell in closure.items()}),
            *map(self.hash, (function.__defaults__, function.__kwdefaults__, vars(function))),
        ]
        if code.co_filename.startswith("<frozen") or is_installed(Path(code.co_filename)):
            return parts
        file = _file_of_code(function)
        return [*parts, self._of_file(file), *self._named(_globals_of(function), bool(file))]

    def _of_code(self, code: CodeType) -> list[str]:
        """Describe compiled code, without its file and its lines."""
        return [self.hash(getattr(code, name)) for name in _OF_CODE]

    def _of_class(self, kind: type) -> list[str]:
        """Describe a class by its name, or one of the user's by its file, bases and attributes."""
        module = sys.modules.get(kind.__module__)
        is_imported = getattr(module, "__spec__", None) is not None
        is_there = is_imported and getattr(module, kind.__qualname__, None) is kind
        if is_there and not is_users_module(module):
            return [kind.__module__, kind.__qualname__]
        file = _file_of_module(module)
        values = {name: each for name, each in vars(kind).items() if name not in _SKIPPED}
        return [
            kind.__qualname__,
            self.hash(kind.__bases__),
            self._of_file(file),
            *self._named(values, bool(file)),
        ]

    def _of_file(self, file: Path | None) -> str:
        """Return the hash of a user's file and the modules that it imports; "" for no file."""
        if file is None:
            return ""
        if file not in self._files:
            self._files[file] = hash_of_files(local_files(file))
        return self._files[file]

    def _named(self, values: Mapping[str, object], is_in_file: bool = False) -> list[str]:
        """Return names, each with the hash of a value.

        Something in a file may be unreadable, such as an open log, because the file's bytes count.
        """
        parts = []
        for name, value in sorted(values.items()):
            try:
                parts += [name, self.hash(value)]
            except UnstableObjectError:
                if not is_in_file:
                    raise
        return parts

    def _of_pickled(self, thing: Any) -> list[str]:
        """Describe any other object by what pickle would write."""
        try:
            reduced = thing.__reduce_ex__(4)
            if isinstance(reduced, str):  # the name of something global
                return [str(getattr(thing, "__module__", "")), reduced]
            reduced = [list(each) if hasattr(each, "__next__") else each for each in reduced]
        except Exception as error:  # whatever an object raises that can't be pickled
            raise _unstable(thing) from error
        return [self.hash(reduced)]


def _joined(parts: Iterable[str]) -> str:
    return hashlib.sha256(repr(list(parts)).encode(errors="surrogatepass")).hexdigest()


def _unstable(thing: object) -> UnstableObjectError:
    """Return the error about an object that can't be read."""
    kind = type(thing)
    return UnstableObjectError(
        f"it uses an object of type {kind.__module__}.{kind.__qualname__}, whose content can't be "
        "compared with that of an earlier call"
    )


def _content(cell: CellType) -> object:
    """Return the value of a variable of an enclosing function."""
    try:
        return cell.cell_contents
    except ValueError:  # it isn't assigned yet
        return ()


def _file_of_module(module: ModuleType | None) -> Path | None:
    """Return the file of a user's module; None in a notebook and at Python's prompt."""
    file = getattr(module, "__file__", None)
    return Path(file) if file and Path(file).is_file() else None


def _file_of_code(function: FunctionType) -> Path | None:
    """Return the file of a user's function; None for one in a notebook, whose file is temporary."""
    if function.__module__ == "__main__" and not hasattr(sys.modules["__main__"], "__file__"):
        return None
    file = Path(function.__code__.co_filename)
    return file if file.is_file() else None


def _globals_of(function: FunctionType) -> dict[str, object]:
    """Return the globals that a function names, and the user's modules that it imports."""
    values = {}
    waiting = [function.__code__]
    while waiting:
        code = waiting.pop()
        waiting += [each for each in code.co_consts if isinstance(each, CodeType)]
        for instruction in dis.get_instructions(code):
            name = instruction.argval
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                if name in function.__globals__:
                    values[name] = function.__globals__[name]
            elif instruction.opname == "IMPORT_NAME" and name in sys.modules:
                values[f"import {name}"] = sys.modules[name]
    return values
