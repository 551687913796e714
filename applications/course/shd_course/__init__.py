"""The course in notebooks 1 to 4: exercises, experiments and the reader's own network.

The names below are imported when they are asked for.
"""

from lazy_loader import attach

_MODULES = {
    "diagnosis": ("BrokenNetworks",),
    "experiments": ("experiment",),
    "figures.listening": ("say_a_digit",),
    "predictions": ("predict", "score"),
}
__getattr__, __dir__, __all__ = attach(
    __name__,
    {"exercises", "figures", "own_voice", "traps"},
    _MODULES,
)
