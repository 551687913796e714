"""Synthetic words of eSpeak NG, made offline, to try things out with.

The package ``espeakng-loader`` contains eSpeak NG (GPL-3), a C library, with its voices. The
library keeps global state: the settings of one utterance, the phase of its oscillators and its
noise affect the next utterance. Therefore it is loaded anew for each utterance. That takes 4 ms,
and an utterance doesn't depend on what was spoken before.
"""

import _ctypes
import ctypes
import sys
import threading

import espeakng_loader
import numpy as np

from shd_corpus.checks import DatasetError

ESPEAK_RATE_HZ = 22_050  # the only rate that eSpeak NG has
VOLUME = 70  # of eSpeak NG: as loud as it gets without clipping
SPEECH_RATE_HZ = 24_000  # to which its sound is resampled: the lowest that the cochlea accepts
_PARAMETERS = {"rate": 1, "volume": 2, "pitch": 3, "range": 4}  # in its header speak_lib.h
_lock = threading.Lock()  # two threads that load the library would share its state
# What eSpeak NG calls with its sound: int16 samples, their number, and events, which nobody reads.
_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


class SpeechError(DatasetError):
    """eSpeak NG has refused something, and the message says what."""


def synthesize(
    text: str, voice: str, rate_wpm: int = 175, pitch: int = 50, pitch_range: int = 50
) -> np.ndarray:
    """Speak a text with eSpeak NG.

    Parameters
    ----------
    text : str
        What is spoken.
    voice : str
        Accent, or accent and variant, such as ``"en-us+f2"``.
    rate_wpm : int
        Words per minute, 80 to 450.
    pitch, pitch_range : int
        Height of the voice and how much it varies, 0 to 99.

    Returns
    -------
    (samples,) float array
        Sound at 24 kHz, peak 1.

    Raises
    ------
    SpeechError
        If eSpeak NG knows no such accent or stays silent. An unknown variant is ignored.
    """
    chunks = []

    @_CALLBACK
    def collect(samples, n, _events):
        if samples and n > 0:
            chunks.append(np.ctypeslib.as_array(samples, (n,)).astype(float))
        return 0

    settings = {"volume": VOLUME, "rate": rate_wpm, "pitch": pitch, "range": pitch_range}
    with _lock:
        espeak = ctypes.CDLL(espeakng_loader.get_library_path())
        try:
            _speak(espeak, text, voice, settings, collect)
        finally:
            espeak.espeak_Terminate()
            if sys.platform == "win32":
                _ctypes.FreeLibrary(espeak._handle)
            else:
                _ctypes.dlclose(espeak._handle)
    wave = np.concatenate(chunks) if chunks else np.zeros(1)
    if not wave.any():
        raise SpeechError(
            f"eSpeak NG: the voice {voice} is silent for the text {text!r}. Choose another voice."
        )
    from scipy.signal import resample_poly  # takes 1.4 s to import

    wave = resample_poly(wave, SPEECH_RATE_HZ, ESPEAK_RATE_HZ)
    return wave / np.abs(wave).max()


def _speak(espeak, text, voice, settings, collect) -> None:
    """Let a freshly loaded eSpeak NG speak; `collect` is called with its sound."""

    def check(action, code):
        if code != 0:
            raise SpeechError(
                f"eSpeak NG: {action} failed with code {code}. Check the arguments of synthesize."
            )

    # Numbers of eSpeak NG's header, speak_lib.h
    synchronous = 2
    dont_exit = 1 << 15
    utf8 = 1

    path = espeakng_loader.get_data_path().encode()
    rate_hz = espeak.espeak_Initialize(synchronous, 0, path, dont_exit)
    if rate_hz != ESPEAK_RATE_HZ:
        raise SpeechError(
            f"eSpeak NG could not start from {path.decode()} (returned {rate_hz}). Install it "
            "again: python -m pip install --force-reinstall espeakng-loader"
        )
    # Without a seed, it takes the time of day.
    check("setting the seed", espeak.espeak_ng_SetRandSeed(ctypes.c_long(1)))
    check(f"choosing the voice {voice}", espeak.espeak_SetVoiceByName(voice.encode()))
    for name, value in settings.items():
        code = espeak.espeak_SetParameter(_PARAMETERS[name], value, 0)
        check(f"setting the {name}", code)
    espeak.espeak_SetSynthCallback(collect)
    data = text.encode() + b"\0"
    size = ctypes.c_size_t(len(data))
    check("speaking", espeak.espeak_Synth(data, size, 0, 1, 0, utf8, None, None))
    check("ending", espeak.espeak_Synchronize())
