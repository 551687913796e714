"""The model cochlea: sound to spikes of 700 channels.

Its stages are a module each, in the order in which sound passes them:

    sound       bring the sound to a common level and smooth its ends
    membrane    sound -> motion of 700 points of the basilar membrane (response: of tones, a table)
    hair_cell   motion -> firing probability of the nerve's fibers
    nerve       probability -> number of fibers that fire
    bushy_cell  fibers that fire -> spikes
    encoding    all of them one after another: `encode`

The names below are imported when they are asked for, because they load numba and scipy.
"""

from lazy_loader import attach

_MODULES = {
    "bushy_cell": ("bushy_spikes",),
    "encoding": ("MAX_DURATION_S", "MIN_DURATION_S", "encode"),
    "hair_cell": ("firing_probability",),
    "membrane": ("membrane_velocity",),
    "nerve": ("nerve_spikes",),
    "response": ("CHANNELS", "resonance_hz"),
    "sound": ("fade", "normalize"),
}
__getattr__, __dir__, __all__ = attach(__name__, None, _MODULES)
