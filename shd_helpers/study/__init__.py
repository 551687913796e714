"""Training, run folders, tables, and the notebooks as one command.

The names below are imported when they are asked for.
"""

from lazy_loader import attach

_MODULES = {
    "one_run": (
        "RunWriter",
        "accuracy_table",
        "finish_run",
        "list_utterances",
        "read_spiking_run",
        "score",
        "start_run",
    ),
    "judgement": ("JudgeOptions", "Judgement", "judge"),
    "recipe": ("Recipe", "obtain_and_identify"),
    "run_folder": ("classes_in_words", "read_run"),
    "tables": ("collect_predictions", "plan_of", "read_table", "results_dir", "speaker_accuracies"),
    "trained_network": (
        "TrainedNetwork",
        "input_of",
        "load_network",
        "load_pretrained",
        "load_trained",
        "load_utterances",
        "own_network",
        "with_layers_of",
    ),
    "training": (
        "TrainConfig",
        "TrainOptions",
        "batches",
        "evaluate",
        "fit",
        "one_thread",
        "overfit",
        "record_examples",
        "seen_and_unseen_accuracy",
        "shown_accuracies",
    ),
}
__getattr__, __dir__, __all__ = attach(__name__, None, _MODULES)
