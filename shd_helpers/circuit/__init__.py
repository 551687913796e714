"""The trained network as a circuit: integers only, from 700 channels of events to a class.

The names below are imported when they are asked for.
"""

from shd_helpers.lazy import hand_on

_MODULES = {
    "evaluation": ("circuit_scores", "circuit_words"),
    "integer": ("IntegerLayer", "IntegerNetwork", "IntegerRun", "milliseconds"),
    "quantise": ("circuit_of", "integer_network"),
}
__all__, __getattr__, __dir__ = hand_on(__name__, _MODULES)
