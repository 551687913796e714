"""Training, run folders, tables, and the notebooks as one command.

The names below are imported when they are asked for: tables and sweeps don't need torch.
"""

from importlib import import_module
from typing import Any

_MODULES = {
    "analysis": (
        "accuracy_per_speaker",
        "load_network",
        "load_predicted",
        "record_examples",
        "seen_and_unseen_accuracy",
    ),
    "gate": ("check_parts", "check_settings"),
    "identity": ("parameters_of", "settings"),
    "predictions": ("collect_predictions", "count_correct", "speaker_accuracies"),
    "run_folder": ("RunWriter", "read_run", "read_unfinished"),
    "statistics": (
        "choose",
        "contrasts",
        "difference",
        "equivalence",
        "holm",
        "is_on_front",
        "summarise",
    ),
    "tables": ("RESULTS", "read_table"),
    "training": ("TrainConfig", "batches", "evaluate", "fit", "overfit"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    """Import a name of `__all__` on first use."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    """List what `__all__` promises, imported or not."""
    return sorted({*globals(), *__all__})
