"""The model cochlea: sound to spikes of 700 channels.

The names below are imported when they are asked for, because they load numba and scipy.
"""

from lazy_loader import attach

_MODULES = {
    "membrane": (
        "CHANNELS",
        "MAX_DURATION_S",
        "MIN_DURATION_S",
        "bushy_spikes",
        "encode",
        "fade",
        "firing_probability",
        "membrane_velocity",
        "nerve_spikes",
        "normalize",
        "on_all_cores",
        "resonance_hz",
    )
}
__getattr__, __dir__, __all__ = attach(__name__, None, _MODULES)
