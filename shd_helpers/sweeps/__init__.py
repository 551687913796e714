"""Many runs of a notebook: the YAML file, the workers, the evidence behind the results.

The names below are imported when they are asked for.
"""

from lazy_loader import attach

_MODULES = {"search": ("RANGES", "recipes"), "yaml_file": ("plan_of",)}
__getattr__, __dir__, __all__ = attach(__name__, None, _MODULES)
