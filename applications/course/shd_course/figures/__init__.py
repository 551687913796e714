"""Figures and controls of the notebooks."""

from lazy_loader import attach

from shd_course.figures.style import save  # noqa: F401  # its import sets the look

__getattr__, __dir__, __all__ = attach(
    __name__,
    {"circuits", "data_preprocessing", "explorers", "people", "recipes", "speakers"}
    | {"surrogate_visualization"},
    {
        "run_figures": ("RunFigures", "claim"),
        "surrogate_visualization": ("plot_surrogate",),
    },
)
