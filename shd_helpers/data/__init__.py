"""Data sets of spikes: files in SHD layout, recordings, a microphone and a synthetic voice.

The names below are imported when they are asked for, because some of them load numba and scipy.
"""

from lazy_loader import attach

_MODULES = {
    "datasets": ("dataset_name", "fingerprint", "locate", "speaker_name"),
    "microphone": ("encode_utterance",),
    "recordings": ("encode_recordings",),
    "class_names": ("LANGUAGES", "used_classes"),
    "shd_file": ("Utterances", "read_shd"),
    "shd_writer": ("write_shd",),
    "speech": ("SPEECH_RATE_HZ", "synthesize", "wav"),
}
__getattr__, __dir__, __all__ = attach(__name__, None, _MODULES)
