"""Figures and controls of the notebooks, in one look; nothing else imports this."""

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
    "surrogate_plot": ("plot_surrogate",),
    "style": ("DOT", "INK", "legend_above", "legend_beside", "save"),
}
__getattr__, __dir__, __all__ = attach(__name__, {"explorers", "style"}, _MODULES)
