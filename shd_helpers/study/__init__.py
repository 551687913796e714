"""Training, run folders, tables, and the notebooks as one command."""

from shd_helpers.study.analysis import (
    accuracy_per_speaker,
    load_network,
    load_predicted,
    record_examples,
    seen_and_unseen_accuracy,
)
from shd_helpers.study.identity import parameters_of, settings
from shd_helpers.study.run_folder import RunWriter, read_run
from shd_helpers.study.training import TrainConfig, batches, evaluate, fit, overfit

__all__ = [
    "RunWriter",
    "TrainConfig",
    "accuracy_per_speaker",
    "batches",
    "evaluate",
    "fit",
    "load_network",
    "load_predicted",
    "overfit",
    "parameters_of",
    "read_run",
    "record_examples",
    "seen_and_unseen_accuracy",
    "settings",
]
