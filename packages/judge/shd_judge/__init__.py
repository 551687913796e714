"""Judge classifiers by speaker: folds, 95 % intervals, and comparisons with a verdict.

It needs NumPy, pandas and SciPy, and knows nothing of how a classifier was trained.
"""

from shd_judge.comparison import Comparison, compare
from shd_judge.protocol import (
    Fold,
    ProtocolError,
    check,
    five_folds,
    speaker_folds,
    speech_commands_folds,
)
from shd_judge.statistics import (
    Difference,
    contrasts,
    difference,
    holm,
    interval,
    weighted_contrasts,
)

__all__ = [
    "Comparison",
    "Difference",
    "Fold",
    "ProtocolError",
    "check",
    "compare",
    "contrasts",
    "difference",
    "five_folds",
    "holm",
    "interval",
    "speaker_folds",
    "speech_commands_folds",
    "weighted_contrasts",
]
