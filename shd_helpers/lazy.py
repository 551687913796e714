"""Names that a room hands on and imports when they are asked for."""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def hand_on(
    room: str, modules: Mapping[str, Sequence[str]]
) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """Return a room's ``__all__``, ``__getattr__`` and ``__dir__``.

    Parameters
    ----------
    room : str
        The package's ``__name__``.
    modules : mapping
        Its modules, each with the names that are handed on; a module without names is itself.
    """
    module_of = {name: module for module, names in modules.items() for name in names or (module,)}

    def get(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        module = import_module(f"{room}.{module_of[name]}")
        return getattr(module, name) if modules[module_of[name]] else module

    def there() -> list[str]:
        return sorted({*vars(sys.modules[room]), *module_of})

    return sorted(module_of), get, there
