"""The trained network as a circuit: integers only, from 700 channels of events to a class.

The names below are imported when they are asked for.
"""

from lazy_loader import attach

_MODULES = {
    "cycles": ("answer_cycles", "step_cycles", "word_cycles", "worst_cycles"),
    "disturbances": ("DISTURBANCES", "accuracy_over_strength", "disturb"),
    "evaluation": ("circuit_scores", "circuit_words"),
    "folder": ("read_vectors",),
    "nir_file": ("read_nir", "write_nir"),
    "integer": ("IntegerLayer", "IntegerNetwork", "IntegerRun", "milliseconds"),
    "quantise": ("circuit_of", "integer_network"),
    "stopping": ("Rule", "bias_votes", "follow", "recommend"),
}
__getattr__, __dir__, __all__ = attach(__name__, None, _MODULES)
