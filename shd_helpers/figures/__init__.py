"""Figures and controls of the notebooks; nothing else imports this."""

from shd_helpers.figures import circuits, comparisons, costs, explorers, speakers
from shd_helpers.figures.data import (
    digit_rasters,
    one_neuron,
    pooling_thresholds,
    scatter_and_matrix,
    spike_histograms,
    windows,
    word_to_digit,
    word_to_spikes,
)
from shd_helpers.figures.listening import say_a_word
from shd_helpers.figures.runs import (
    accuracy_loss,
    accuracy_per_speaker,
    confusion,
    firing_rates,
    learning_by_gradient,
    one_utterance,
    surrogate_curves,
    surrogate_reach,
    weight_matrices,
    weights_over_epochs,
)
from shd_helpers.figures.style import save

__all__ = [
    "accuracy_loss",
    "accuracy_per_speaker",
    "circuits",
    "comparisons",
    "confusion",
    "costs",
    "digit_rasters",
    "explorers",
    "firing_rates",
    "learning_by_gradient",
    "one_neuron",
    "one_utterance",
    "pooling_thresholds",
    "save",
    "say_a_word",
    "scatter_and_matrix",
    "speakers",
    "spike_histograms",
    "surrogate_curves",
    "surrogate_reach",
    "weight_matrices",
    "weights_over_epochs",
    "windows",
    "word_to_digit",
    "word_to_spikes",
]
