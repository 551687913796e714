"""Training, run folders, tables, and the notebooks as one command.

The names below are imported when they are asked for.
"""

from lazy_loader import attach

_MODULES = {
    "class_scores": ("ClassScores", "collect_scores", "mean_of_scores"),
    "evaluation": ("batches", "evaluate", "record_examples", "seen_and_unseen_accuracy"),
    "identity": ("identify_data",),
    "one_run": ("finish_run", "list_utterances", "read_spiking_run", "score", "start_run"),
    "judgement": ("JudgeOptions", "judge"),
    "judgement_result": ("Judgement",),
    "recipe": ("Recipe",),
    "pretrained": ("save_ensemble", "save_pretrained", "load_network", "load_pretrained"),
    "plans": ("plan_of",),
    "predictions": ("collect_predictions", "speaker_accuracies"),
    "run_folder": ("classes_in_words", "read_run"),
    "run_writer": ("RunWriter",),
    "summary": ("summarize",),
    "tables": ("read_table", "results_dir"),
    "threads": ("one_thread",),
    "trained_network": ("TrainedNetwork", "ensemble_of", "input_of", "load_utterances"),
    "training": ("TrainConfig", "TrainOptions", "fit", "overfit"),
}
__getattr__, __dir__, __all__ = attach(__name__, None, _MODULES)
