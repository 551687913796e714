"""Figures and controls of the notebooks."""

from lazy_loader import attach

# what several notebooks draw
from shd_helpers.figures import paired_differences, save, speakers_by_input  # noqa: F401

__getattr__, __dir__, __all__ = attach(
    __name__,
    {"benchmark", "circuits", "data_preprocessing", "downsizing", "explorers", "recipes"}
    | {"surrogate_visualization"},
    {"run_figures": ("RunFigures",)},
)
