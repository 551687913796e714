"""Where spikes come from: files in SHD layout, recordings, a synthetic voice, the model cochlea.

The names below are imported when they are asked for: the cochlea alone loads numba and scipy.
"""

from importlib import import_module
from typing import Any

_MODULES = {
    "shd_file": (
        "LANGUAGES",
        "N_CHANNELS",
        "DatasetError",
        "Utterances",
        "content_hash",
        "language_classes",
        "read_shd",
        "write_shd",
    ),
    "datasets": ("dataset_name", "fingerprint", "locate"),
    "basilar_membrane": ("membrane_velocity", "resonance_hz"),
    "cochlea": (
        "bushy_spikes",
        "encode",
        "fade",
        "firing_probability",
        "nerve_spikes",
        "normalise",
    ),
    "espeak_digits": ("wav",),
    "recordings": ("encode_file", "encode_recordings", "read_wave"),
    "speech": ("SPEECH_RATE_HZ", "player", "speak"),
    "compare": ("compare_utterances",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    """Import a name of `__all__` on first use."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    """List what `__all__` promises, imported or not."""
    return sorted({*globals(), *__all__})
