"""The ear in C against the study's own: the same spikes, words and sentences."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly

from hardware.folder import read_circuit, source_text
from shd_helpers.paths import ROOT
from shd_helpers.source import SPEECH_RATE_HZ, synthesise
from shd_helpers.source.cochlea import CHANNELS, encode
from shd_helpers.source.microphone import encode_word
from shd_helpers.source.recordings import RecordingError
from shd_helpers.source.shd_file import LANGUAGES, Utterances
from tests.test_microphone import AUDIO, NOT_WORDS, RATE, noise, tone, with_noise
from tools.compare import compare_utterances

SOUND = ROOT / "hardware" / "sound"
GCC = ["gcc", "-std=c99", "-O3", "-Wall", "-Wextra", "-Werror", "-pedantic"]
GCC += ["-Wno-unused-function"]  # it is included: not everybody needs all
LIBRARY = """
#include "word.c"
void start(void) { cochlea_start(); }
int32_t sound(const real *sound, int32_t n, uint64_t s) { return cochlea_encode(sound, n, s); }
int32_t go_on(const float *x, int32_t n, int32_t n_new) { return cochlea_go_on(x, n, n_new, 0); }
int32_t next(int32_t from) { return cochlea_next(from); }
int32_t ended(const float *x, int32_t n) { memcpy(recording, x, 4 * n); return word_has_ended(n); }
"""
STATE = int(np.random.SeedSequence(0).generate_state(1, np.uint64)[0])
pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")


class Ear:
    """The compiled ear."""

    def __init__(self, folder, *options):
        self.real = np.float32 if "-DFLOAT" in options else np.float64
        (folder / "library.c").write_text(LIBRARY)
        command = [*GCC, *options, "-I", SOUND, "-shared", "-fPIC", "library.c", "-o", "ear.so"]
        subprocess.run([*command, "-lm"], cwd=folder, check=True)
        self.call = ctypes.CDLL(folder / "ear.so")
        self.call.start()

    def spikes(self):
        """Return steps and units."""
        found, at = [], self.call.next(0)
        while at >= 0:
            found.append(at)
            at = self.call.next(at + 1)
        return np.divmod(np.array(found, int), CHANNELS)

    def __call__(self, wave):
        wave = np.ascontiguousarray(wave, self.real)
        at = wave.ctypes.data_as(ctypes.c_void_p)
        assert self.call.sound(at, len(wave), ctypes.c_uint64(STATE)) == len(wave) // 2 + 1
        return self.spikes()


@pytest.fixture(scope="module")
def ear(tmp_path_factory):
    return Ear(tmp_path_factory.mktemp("double"))


@pytest.fixture(scope="module")
def float_ear(tmp_path_factory):
    return Ear(tmp_path_factory.mktemp("float"), "-DFLOAT", "-DMAX_SAMPLES=80000")


def words(n):
    """Return sounds of 48 kHz: recordings where they are, else the computer's voices."""
    if AUDIO.is_dir():
        paths = sorted(AUDIO.glob("*.flac"))
        return [soundfile.read(path)[0] for path in paths[:: max(1, len(paths) // n)]]
    voices = [(f"en-us+{kind}{i}", word) for kind in "mf" for i in range(1, 6)
              for word in LANGUAGES["english"]]  # fmt: skip
    chosen = voices[:: len(voices) // n]
    return [resample_poly(synthesise(word, voice), RATE, SPEECH_RATE_HZ) for voice, word in chosen]


def python_spikes(wave, seed=0):
    times, units = encode(wave, RATE, seed)
    return np.rint(times * RATE / 2).astype(int), units


def hold(ear, waves):
    """Assert that at most one of a hundred words has another spike."""
    other = [
        i for i, wave in enumerate(waves) if not np.array_equal(ear(wave), python_spikes(wave))
    ]
    assert len(other) <= len(waves) / 100, other


def test_in_double_the_spikes_are_the_study_s(ear):
    t = np.arange(12_345) / RATE  # an odd number, and a sweep
    hold(ear, [*words(5), np.sin(2 * np.pi * (100 + 20_000 * t) * t), words(1)[0][:1000]])


@pytest.mark.slow
def test_in_double_the_spikes_of_a_hundred_words_are_the_study_s(ear):
    hold(ear, words(100))


def as_data(spikes):
    """Return spikes (steps, units) of some words as a data set."""
    offsets = np.cumsum([0, *(len(steps) for steps, _ in spikes)])
    times, units = (np.concatenate(part) for part in zip(*spikes, strict=True))
    labels = np.zeros(len(spikes), np.int64)
    times, units = (times / (RATE / 2)).astype(np.float16), units.astype(np.uint16)
    return Utterances(times, units, offsets, labels, labels, LANGUAGES["both"])


def test_in_float_they_are_as_alike_as_two_draws_and_answered_alike(float_ear):
    waves, circuit = words(12), read_circuit(ROOT / "results" / "circuit")
    one, two, floats = [], [], []
    for wave in waves:
        one.append(python_spikes(wave))
        two.append(python_spikes(wave, seed=1))
        floats.append(float_ear(wave))
    draws, rounded = (compare_utterances(as_data(one), as_data(b))[0] for b in (two, floats))
    assert draws.correlation < rounded.correlation and rounded.correlation > 0.99
    assert abs(rounded.active_ratio - 1) < 2e-3
    answers = [
        [circuit.run(steps // 24, units).answer for steps, units in each] for each in (one, floats)
    ]
    assert answers[0] == answers[1]


def test_while_one_speaks_the_preview_has_the_word_s_spikes(ear):
    """At the word's level it would be encode's: half of the entries agree where seeds differ."""
    wave = words(1)[0].astype(np.float32)
    ear.call.start()
    wave = np.concatenate([noise(0.2, 1e-4), wave, noise(0.4, 1e-4)]).astype(np.float32)
    found, heard = [], 0
    while heard + 8192 <= len(wave):
        at = wave[heard:].ctypes.data_as(ctypes.c_void_p)
        assert ear.call.go_on(at, 8192, 4096) == 2048
        steps, units = ear.spikes()
        found.append((steps + (heard + 4096) // 2, units))
        heard += 4096
    steps, units = (np.concatenate(part) for part in zip(*found, strict=True))
    size = -(-len(wave) // 2 // 240), CHANNELS // 10
    blocks = [np.zeros(size), np.zeros(size)]
    for matrix, (step, unit) in zip(blocks, [(steps, units), python_spikes(wave)], strict=True):
        np.add.at(matrix, (step // 240, unit // 10), 1)
    assert np.corrcoef(*(matrix.ravel() for matrix in blocks))[0, 1] > 0.7


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Sound to a digit, as the README of an engineer has it."""
    place = tmp_path_factory.mktemp("program")
    subprocess.run([*GCC, SOUND / "hear.c", "-o", place / "hear", "-lm"], check=True)
    circuit = ROOT / "results" / "circuit" / "reference.c"
    subprocess.run([*GCC, circuit, "-o", place / "reference"], check=True)

    def heard(wave):
        sound = np.asarray(wave, np.float32).tobytes()
        spikes = subprocess.run([place / "hear"], input=sound, capture_output=True, check=False)
        return spikes.stdout.decode(), spikes.stderr.decode().strip(), place / "reference"

    return heard


def test_a_word_is_found_and_answered_as_in_python(program):
    circuit = read_circuit(ROOT / "results" / "circuit")
    for wave in words(3):
        wave = np.concatenate([noise(0.5, 1e-4), wave, noise(0.5, 1e-4)]).astype(np.float32)
        word = encode_word(wave.astype(float), RATE)
        ms, units = np.rint(word.times * RATE / 2).astype(int) // 24, word.units
        text, warning, reference = program(wave)
        assert text == "".join(f"{a} {b}\n" for a, b in zip(ms, units, strict=True)) + "\n"
        assert warning == word.warning
        told = subprocess.run([reference], input=text, capture_output=True, text=True, check=True)
        run = circuit.run(ms, units)
        assert told.stdout.split() == list(map(str, [run.answer, *run.counts]))


@pytest.mark.parametrize("wave", [wave for wave, _ in NOT_WORDS])
def test_what_is_no_word_is_refused_with_the_same_sentence(program, wave):
    wave = np.asarray(wave, np.float32)
    with pytest.raises(RecordingError) as error:
        encode_word(wave.astype(float), RATE)
    assert program(wave)[:2] == ("", str(error.value))


def test_a_clipped_word_has_the_same_warning(program):
    wave = with_noise(np.zeros(RATE), np.clip(tone(0.5, 3.0), -1, 1), np.zeros(RATE))
    wave = wave.astype(np.float32)
    assert program(wave)[1] == encode_word(wave.astype(float), RATE).warning != ""


def test_a_word_cut_close_gets_noise_around_it(program):
    wave = with_noise(tone(0.4))
    spikes = len(program(wave)[0].splitlines()) - 1
    assert spikes == pytest.approx(len(encode_word(wave, RATE).times), rel=0.05)


def test_a_word_has_ended_after_some_silence(ear):
    wave = with_noise(np.zeros(RATE // 2), tone(0.5), np.zeros(RATE // 2)).astype(np.float32)
    at = wave.ctypes.data_as(ctypes.c_void_p)
    ends = [n for n in range(4800, len(wave) + 1, 480) if ear.call.ended(at, n)]
    assert (
        ends[0] == pytest.approx(1.4 * RATE, abs=1440)
        and len(ends) == 1 + (len(wave) - ends[0]) // 480
    )


def test_the_sources_go_with_the_package():
    for name in ("cochlea.c", "word.c", "hear.c", "page.html", "page.js", "worker.js"):
        assert source_text(f"sound/{name}")
