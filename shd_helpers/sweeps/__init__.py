"""Many runs of a notebook: the YAML file, the workers, the evidence behind the results.

The names below are imported when they are asked for.
"""

from shd_helpers.lazy import hand_on

_MODULES = {"search": ("RANGES", "recipes"), "yaml_file": ("plan_of",)}
__all__, __getattr__, __dir__ = hand_on(__name__, _MODULES)
