"""Many runs of a notebook: the YAML file, the workers, the evidence behind the results.

The names below are imported when they are asked for.
"""

from importlib import import_module
from typing import Any

_MODULES = {"search": ("RANGES", "recipes"), "yaml_file": ("plan_of",)}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    """Import a name of `__all__` on first use."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    """List what `__all__` promises, imported or not."""
    return sorted({*globals(), *__all__})
