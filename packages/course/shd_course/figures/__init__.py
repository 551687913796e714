"""Figures and controls of the notebooks. Those of `shd_helpers.figures` are here, too."""

from typing import Any

from lazy_loader import attach

from shd_helpers import figures

_MODULES = {
    "controls": ("player",),
    "listening": ("say_a_word",),
    "run_figures": ("RunFigures",),
}
_own, __dir__, __all__ = attach(
    __name__,
    {"benchmark", "circuits", "data_preprocessing", "downsizing", "explorers", "recipes"}
    | {"surrogate_visualization"},
    _MODULES,
)


def __getattr__(name: str) -> Any:
    try:
        return _own(name)
    except AttributeError:
        return getattr(figures, name)
