"""The ear in C against the study's own: the same spikes, words and sentences."""

import ctypes
import subprocess

import numpy as np
import pandas as pd
import pytest
from circuits import needs_gcc
from shd_circuit.folder import read_circuit
from shd_circuit.say import chances
from sounds import recordings

from shd_helpers.cochlea import CHANNELS, encode
from shd_helpers.data.microphone import encode_word
from shd_helpers.data.recordings import RecordingError
from shd_helpers.paths import ROOT
from shd_helpers.study import interval
from tests import RESULTS
from tests.test_microphone import NOT_WORDS, RATE, noise

SOUND, CIRCUIT = ROOT / "circuit" / "shd_circuit" / "sound", ROOT / "results" / "circuit"
GCC = "gcc -std=c99 -O3 -Wall -Wextra -Werror -pedantic -Wno-unused-function -lm".split()
LIBRARY = """
#include "cochlea.c"
void start(void) { cochlea_start(); }
int32_t sound(const real *sound, int32_t n, uint64_t s) { return cochlea_encode(sound, n, s); }
int32_t next(int32_t from) { return cochlea_next(from); }
"""


def ear(folder, *options):
    """Compile the ear, and return what makes steps and units of a wave."""
    (folder / "library.c").write_text(LIBRARY)
    command = [GCC[0], "library.c", *options, *GCC[1:], "-I", SOUND, "-shared", "-fPIC"]
    subprocess.run([*command, "-lm", "-o", "ear.so"], cwd=folder, check=True)
    call = ctypes.CDLL(folder / "ear.so")
    call.start()

    def heard(wave):
        wave = np.ascontiguousarray(wave, np.float32 if options else np.float64)
        state = ctypes.c_uint64(int(np.random.SeedSequence(0).generate_state(1, np.uint64)[0]))
        steps = call.sound(wave.ctypes.data_as(ctypes.c_void_p), len(wave), state)
        assert steps == len(wave) // 2 + 1
        found, at = [], call.next(0)
        while at >= 0:
            found.append(at)
            at = call.next(at + 1)
        return np.divmod(np.array(found, int), CHANNELS)

    return heard


def of_python(wave, seed=0):
    times, units = encode(wave, RATE, seed)
    return np.rint(times * RATE / 2).astype(int), units


@needs_gcc
@pytest.mark.parametrize("n", [5, pytest.param(100, marks=pytest.mark.slow)])
def test_in_double_the_spikes_are_the_study_s(tmp_path, n):
    sweep = np.sin(2 * np.pi * (100 + 12e3 * np.linspace(0, 1, 12_345)) * np.arange(12_345) / RATE)
    heard, waves = ear(tmp_path), [*recordings(n), sweep, recordings(1)[0][:1000]]
    same = [np.array_equal(heard(wave), of_python(wave)) for wave in waves]
    assert same.count(False) <= len(waves) / 100


@needs_gcc
@pytest.mark.parametrize("n", [8, pytest.param(100, marks=pytest.mark.slow)])
def test_in_float_they_are_more_alike_than_two_draws_and_answered_alike(tmp_path, n):
    heard, circuit = ear(tmp_path, "-DFLOAT", "-DMAX_SAMPLES=80000"), read_circuit(CIRCUIT)

    def blocks(steps, units):  # of 10 ms x 5 units
        found = np.zeros((400, 140))
        np.add.at(found, (steps // 240, units // 5), 1)
        return found.ravel()

    waves, alike = recordings(n), 0
    for wave in waves:
        one, two, rounded = of_python(wave), of_python(wave, seed=1), heard(wave)
        draws, same = (np.corrcoef(blocks(*one), blocks(*x))[0, 1] for x in (two, rounded))
        assert draws < 0.95 < 0.99 < same
        a, b = (circuit.run(steps // 24, units).answer for steps, units in (one, rounded))
        alike += a == b
    assert len(waves) - alike <= 1  # of at most a hundred


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """From a sound to its spikes, and to its digit."""
    place = tmp_path_factory.mktemp("program")
    for source in (SOUND / "hear.c", CIRCUIT / "reference.c"):
        subprocess.run([GCC[0], source, *GCC[1:], "-lm", "-o", place / source.stem], check=True)

    def heard(wave):
        sound = np.asarray(wave, np.float32).tobytes()
        told = subprocess.run([place / "hear"], input=sound, capture_output=True, check=False)
        answer = subprocess.run([place / "reference"], input=told.stdout, capture_output=True)
        return told.stdout.decode(), told.stderr.decode().strip(), answer.stdout.decode()

    return heard


@needs_gcc
@pytest.mark.parametrize("gain", [1, 40])
def test_a_word_is_found_and_answered_as_in_python(program, gain):
    for wave in recordings(2):
        wave = gain * np.concatenate([noise(0.5, 1e-4), wave, noise(0.5, 1e-4)])
        wave = np.clip(wave, -1, 1).astype(np.float32)
        word = encode_word(wave.astype(float), RATE)
        ms, run = np.rint(word.times * RATE / 2).astype(int) // 24, None
        run = read_circuit(CIRCUIT).run(ms, word.units)
        text = "".join(f"{a} {b}\n" for a, b in zip(ms, word.units, strict=True)) + "\n"
        told = f"{run.answer} {' '.join(map(str, run.scores))}\n"
        assert program(wave) == (text, word.warning, told)
        assert bool(word.warning) == (gain > 1)


@needs_gcc
@pytest.mark.parametrize("wave", [wave for wave, _ in NOT_WORDS])
def test_what_is_no_word_is_refused_with_the_same_sentence(program, wave):
    wave = np.asarray(wave, np.float32)
    with pytest.raises(RecordingError) as error:
        encode_word(wave.astype(float), RATE)
    assert program(wave) == ("", str(error.value), "")


def test_chances_are_the_table_s(tmp_path):
    table = pd.read_csv(RESULTS / "circuit_bits_small.csv")
    cells = table[table.speaker.isin([4, 5, 6, 7, 10, 11])].sort_values(["speaker", "seed"])
    mean, half = 100 * np.array(interval(cells.accuracy.to_numpy().reshape(6, -1)))
    assert f"For {mean:.0f} ± {half:.0f} % of the words: " in chances(CIRCUIT)
    assert chances(tmp_path).endswith("isn't known.")
