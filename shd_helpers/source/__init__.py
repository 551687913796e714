"""Where spikes come from: files in SHD layout, recordings, a synthetic voice, the model cochlea.

The names below are imported when they are asked for: the cochlea alone loads numba and scipy.
"""

from lazy_loader import attach

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
    "cochlea": (
        "bushy_spikes",
        "encode",
        "fade",
        "firing_probability",
        "membrane_velocity",
        "nerve_spikes",
        "normalise",
        "resonance_hz",
    ),
    "microphone": ("hear",),
    "recordings": ("encode_file", "encode_recordings", "read_wave"),
    "speech": ("SPEECH_RATE_HZ", "speak", "synthesise", "wav"),
}
__getattr__, __dir__, __all__ = attach(__name__, None, _MODULES)
