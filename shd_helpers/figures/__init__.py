"""Figures and controls of the notebooks; nothing else imports this.

The names below are imported when they are asked for: one figure doesn't wait for all the others.
"""

from shd_helpers.lazy import hand_on

_MODULES: dict[str, tuple[str, ...]] = {
    "circuits": (),
    "comparisons": (),
    "controls": ("player",),
    "costs": (),
    "explorers": (),
    "speakers": (),
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
__all__, __getattr__, __dir__ = hand_on(__name__, _MODULES)
