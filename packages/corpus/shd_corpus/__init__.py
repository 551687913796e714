"""Spoken words as spikes: SHD's file format, and the sounds behind it.

The names below are imported when they are asked for, because some of them load numba and scipy.
"""

from lazy_loader import attach

_MODULES = {
    "checks": ("DatasetError",),
    "class_names": ("LANGUAGES", "used_classes"),
    "cochlea": ("encode",),
    "microphone": ("encode_utterance",),
    "recording_list": ("RecordingError",),
    "recordings": ("RecordingOptions", "encode_file", "encode_recordings"),
    "shd_file": ("Utterances", "read_shd", "write_shd"),
    "speech": ("SPEECH_RATE_HZ", "synthesize"),
}
__getattr__, __dir__, __all__ = attach(__name__, {"cochlea"}, _MODULES)
