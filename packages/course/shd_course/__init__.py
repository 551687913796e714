"""The course in notebooks 1 to 4: exercises, experiments and the reader's own network.

The names below are imported when they are asked for.
"""

from lazy_loader import attach

_MODULES = {
    "diagnosis": ("BrokenNetworks",),
    "experiments": ("experiment",),
    "say": ("say_a_digit",),
    "spectra": ("explained_by_digit",),
}
__getattr__, __dir__, __all__ = attach(
    __name__,
    {"diagnosis", "exercises", "kept_functions", "my_network", "student_copy", "traps"},
    _MODULES,
)
