"""The course in notebooks 1 to 4: exercises, experiments and the reader's own network.

The names below are imported when they are asked for.
"""

from lazy_loader import attach

_MODULES = {"experiments": ("experiment",)}
__getattr__, __dir__, __all__ = attach(
    __name__, {"diagnosis", "exercises", "my_network", "student_copy"}, _MODULES
)
