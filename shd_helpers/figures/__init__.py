"""The look of all figures, and the heat map of a sweep."""

from lazy_loader import attach

from shd_helpers.figures import style  # noqa: F401  # its import sets the look

_MODULES = {
    "sweep_plot": ("heat_map",),
    "style": ("DOT", "INK", "legend_above", "legend_beside", "point_at", "save"),
}
__getattr__, __dir__, __all__ = attach(__name__, {"style"}, _MODULES)
