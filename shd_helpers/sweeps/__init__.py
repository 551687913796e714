"""Many runs of a notebook: a YAML file says which, joblib and papermill execute them.

The names below are imported when they are asked for.
"""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(__name__, None, {"sweep_file": ("plan_of",)})
