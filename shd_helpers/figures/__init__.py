"""Figures and controls of the notebooks; nothing else imports this.

The names below are imported when they are asked for: one figure doesn't wait for all the others.
"""

from lazy_loader import attach

_MODULES = {
    "controls": ("player",),
    "data": (
        "digit_rasters",
        "one_neuron",
        "pooling_thresholds",
        "scatter_and_matrix",
        "spike_histograms",
        "windows",
        "word_to_digit",
        "word_to_spikes",
    ),
    "listening": ("say_a_word",),
    "runs": (
        "accuracy_loss",
        "accuracy_per_speaker",
        "confusion",
        "firing_rates",
        "learning_by_gradient",
        "one_utterance",
        "surrogate_curves",
        "surrogate_reach",
        "weight_matrices",
        "weights_over_epochs",
    ),
    "style": ("save",),
}
__getattr__, __dir__, __all__ = attach(
    __name__, {"circuits", "comparisons", "costs", "explorers", "speakers"}, _MODULES
)
