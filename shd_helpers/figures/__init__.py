"""Figures and controls of the notebooks, in one style; only notebooks import this."""

from lazy_loader import attach

from shd_helpers.figures import style  # noqa: F401  # its import sets the look

_MODULES = {
    "controls": ("player",),
    "listening": ("say_a_word",),
    "plots": (
        "accuracy_loss",
        "draw_blocks",
        "label_hz",
        "last_ms",
        "paired_differences",
        "speakers_by_input",
    ),
    "run_figures": ("RunFigures",),
    "surrogate_plot": ("plot_surrogate",),
    "style": ("DOT", "INK", "legend_above", "legend_beside", "point_at", "save"),
}
__getattr__, __dir__, __all__ = attach(
    __name__, {"data_preprocessing", "explorers", "style", "surrogate_visualization"}, _MODULES
)
