"""The trained network as a circuit: integers only, from 700 channels of spikes to a class.

The names below are imported when they are asked for.
"""

from lazy_loader import attach

_MODULES = {
    "cost": ("answer_cycles", "step_cycles", "total_cycles"),
    "export": ("study_circuit", "write_study_circuit"),
    "folder": ("read_vectors",),
    "integer": ("IntegerLayer", "IntegerNetwork", "IntegerRun", "whole_milliseconds"),
    "nir_file": ("write_nir",),
    "quantize": ("circuit_of", "circuit_predictions", "circuit_scores", "integer_network"),
}
__getattr__, __dir__, __all__ = attach(__name__, None, _MODULES)
