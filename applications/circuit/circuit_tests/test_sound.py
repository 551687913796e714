"""The cochlea in C against the study's own: the same spikes, utterances and messages."""

import ctypes
import subprocess

import numpy as np
import pytest
from circuits import exported, needs_gcc, study_folder
from sounds import buzz, recordings

from corpus_tests.made_recordings import NOT_WORDS, RATE, noise
from shd_circuit.board import Confidence
from shd_circuit.folder import read_circuit
from shd_circuit.say import accuracy
from shd_circuit.sources import Utterance, answers_text, events_text
from shd_corpus.cochlea import CHANNELS, encode
from shd_corpus.microphone import encode_utterance
from shd_corpus.recording_list import RecordingError
from shd_helpers.paths import ROOT

SOUND = ROOT / "applications" / "circuit" / "shd_circuit" / "sound"
GCC = "gcc -std=c99 -O3 -Wall -Wextra -Werror -pedantic -Wno-unused-function -lm".split()
LIBRARY = """
#include "cochlea.c"
void start(void) { cochlea_start(); }
int32_t sound(const real *sound, int32_t n, uint64_t s) { return cochlea_encode(sound, n, s); }
int32_t next(int32_t from) { return cochlea_next(from); }
"""


def c_cochlea(folder, *options):
    """Compile the cochlea in C; return a function that encodes a wave as `of_python` does."""
    (folder / "library.c").write_text(LIBRARY)
    command = [GCC[0], "library.c", *options, *GCC[1:], "-I", SOUND, "-shared", "-fPIC"]
    subprocess.run([*command, "-lm", "-o", "cochlea.so"], cwd=folder, check=True)
    library = ctypes.CDLL(folder / "cochlea.so")
    library.start()

    def encoded(wave):
        wave = np.ascontiguousarray(wave, np.float32 if options else np.float64)
        state = ctypes.c_uint64(int(np.random.SeedSequence(0).generate_state(1, np.uint64)[0]))
        n_steps = library.sound(wave.ctypes.data_as(ctypes.c_void_p), len(wave), state)
        assert n_steps == len(wave) // 2 + 1
        spikes = []
        spike = library.next(0)
        while spike >= 0:
            spikes.append(spike)
            spike = library.next(spike + 1)
        return np.divmod(np.array(spikes, int), CHANNELS)

    return encoded


def of_python(wave, seed=0):
    """Return steps, of two samples each, and units of the study's own encoder."""
    times, units = encode(wave, RATE, seed)
    return np.rint(times * RATE / 2).astype(int), units


@needs_gcc
@pytest.mark.parametrize("n", [2, pytest.param(100, marks=pytest.mark.full)])
def test_in_double_the_spikes_are_the_study_s(tmp_path, n):
    encoded = c_cochlea(tmp_path)
    sweep = np.sin(2 * np.pi * (100 + 12e3 * np.linspace(0, 1, 12_345)) * np.arange(12_345) / RATE)
    waves = [*recordings(n), sweep, recordings(1)[0][:1000]]
    is_same = [np.array_equal(encoded(wave), of_python(wave)) for wave in waves]
    assert is_same.count(False) <= len(waves) / 100


def counts_of_blocks(steps, units):
    """Return how many spikes fall into blocks of 10 ms x 5 units."""
    counts = np.zeros((400, 140))
    np.add.at(counts, (steps // 240, units // 5), 1)
    return counts.ravel()


@needs_gcc
@pytest.mark.parametrize("n", [3, pytest.param(100, marks=pytest.mark.full)])
def test_in_float_spikes_differ_less_than_two_draws_and_answers_agree(tmp_path, n):
    encoded = c_cochlea(tmp_path, "-DFLOAT", "-DMAX_SAMPLES=80000")
    circuit = read_circuit(study_folder("circuit"))
    waves = recordings(n)
    n_answered_alike = 0
    for wave in waves:
        own = of_python(wave)
        rounded = encoded(wave)
        counts = counts_of_blocks(*own)
        other_draw = np.corrcoef(counts, counts_of_blocks(*of_python(wave, seed=1)))[0, 1]
        in_float = np.corrcoef(counts, counts_of_blocks(*rounded))[0, 1]
        assert other_draw < 0.95 < 0.99 < in_float
        answers = [circuit.run(steps // 24, units).answer for steps, units in (own, rounded)]
        n_answered_alike += answers[0] == answers[1]
    assert len(waves) - n_answered_alike <= 1  # of at most a hundred


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """From a sound to its spikes, and to its digit."""
    folder = tmp_path_factory.mktemp("program")
    for source in (SOUND / "hear.c", study_folder("circuit") / "reference.c"):
        command = [GCC[0], source, *GCC[1:], "-DACCEPT", "-lm", "-o", folder / source.stem]
        subprocess.run(command, check=True)

    def answered(wave):
        sound = np.asarray(wave, np.float32).tobytes()
        heard = subprocess.run([folder / "hear"], input=sound, capture_output=True, check=False)
        answer = subprocess.run([folder / "reference"], input=heard.stdout, capture_output=True)
        return heard.stdout.decode(), heard.stderr.decode().strip(), answer.stdout.decode()

    return answered


@needs_gcc
def test_an_utterance_is_found_and_answered_as_in_python(program):
    """A digit, a clipped one, and a buzz, which is no digit."""
    circuit, confidence = (read(study_folder("circuit")) for read in (read_circuit, Confidence))
    pause = noise(0.5, 1e-4)
    (digit,) = (np.concatenate([pause, wave, pause]) for wave in recordings(1))
    answers = []
    for wave in (digit, np.clip(40 * digit, -1, 1), buzz()):
        utterance = encode_utterance(wave.astype(np.float32).astype(float), RATE)
        # the C cochlea's steps are two samples long, and 24 of them are a millisecond
        milliseconds = np.rint(utterance.times * RATE / 2).astype(int) // 24
        spikes = events_text([Utterance(milliseconds, utterance.units, 0)])
        run = circuit.run(milliseconds, utterance.units)
        per_mille, is_accepted = confidence.of(run.scores.tolist())
        answer = f"{answers_text([run]).rstrip()} {per_mille} {is_accepted}\n"
        assert program(wave) == (spikes, utterance.warning, answer)
        answers.append((bool(utterance.warning), [run.answer] == confidence.other))
    assert answers == [(False, False), (True, False), (False, True)]
    line = f"`{run.answer} ... {per_mille} {int(is_accepted)}`"  # of the buzz
    assert line in (ROOT / "docs" / "sound.md").read_text(encoding="utf-8")


@needs_gcc
@pytest.mark.parametrize("wave", [wave for wave, _ in NOT_WORDS if len(wave)])
def test_what_is_no_utterance_is_refused_with_the_same_message(program, wave):
    wave = np.asarray(wave, np.float32)
    with pytest.raises(RecordingError) as error:
        encode_utterance(wave.astype(float), RATE)
    assert program(wave) == ("", str(error.value), "")


def test_the_accuracy_on_the_page_is_that_of_the_readme(tmp_path):
    folder = study_folder("circuit")
    said = accuracy(folder)
    assert said.endswith(" speakers).") and said in (folder / "README.md").read_text()
    exported(tmp_path / "few", "small", 1)
    assert accuracy(tmp_path / "few").endswith("isn't known.")


def hear(program_folder, sound):
    """Return what the program says of bytes that are no recording, and its exit status."""
    ended = subprocess.run([program_folder / "hear"], input=sound, capture_output=True)
    return ended.stderr.decode(), ended.returncode


@needs_gcc
def test_what_is_no_recording_is_named(tmp_path):
    command = [GCC[0], SOUND / "hear.c", *GCC[1:], "-lm", "-o", tmp_path / "hear"]
    subprocess.run(command, check=True)
    wave = np.asarray(recordings(1)[0], np.float32)
    integers = (wave / np.abs(wave).max() * 20000).astype(np.int16)
    quiet = (wave / np.abs(wave).max() * 20).astype(np.int16)
    spoiled = wave.copy()
    spoiled[5000] = np.nan
    head = b"RIFF" + bytes(20) + (44100).to_bytes(4, "little")
    for sound, says in (
        (b"", "is the file empty"),
        (head + integers.tobytes(), "WAV file of 44100 Hz"),
        (integers.tobytes()[: len(wave) // 4 * 4], "look like integers"),
        (quiet.tobytes()[: len(wave) // 4 * 4], "look like integers"),
        (wave.tobytes()[:-1], "isn't complete"),
        (spoiled.tobytes(), "Sample 5000 is NaN or infinite"),
        (np.full(RATE, np.nan, np.float32).tobytes(), "Sample 0 is NaN or infinite"),
        (np.full(RATE, np.inf, np.float32).tobytes(), "Sample 0 is NaN or infinite"),
        (np.zeros(60 * RATE + 1, np.float32).tobytes(), "longer than 60 s"),
        (np.zeros(RATE, np.float32).tobytes(), "Silence: is the microphone muted"),
    ):
        said, status = hear(tmp_path, sound)
        assert says in said
        assert status == 1


@needs_gcc
def test_its_memory_is_what_the_document_says(tmp_path):
    """All of it is static, so the compiler knows."""
    document = (ROOT / "docs" / "sound.md").read_text()
    totals = []
    for options in ([], ["-DFLOAT"]):
        command = [GCC[0], "-std=c99", "-c", *options, SOUND / "hear.c", "-o", tmp_path / "hear.o"]
        subprocess.run(command, check=True)
        listed = subprocess.run(["nm", "-S", tmp_path / "hear.o"], capture_output=True, text=True)
        lines = [line.split() for line in listed.stdout.splitlines()]
        sizes = {line[3]: int(line[1], 16) for line in lines if len(line) == 4 and line[2] == "b"}
        totals.append(f"{sum(sizes.values()) / 1e6:.0f} MB")
        assert f"A minute, the default, takes {sizes['recording'] / 1e6:.1f} MB |" in document
    assert f"takes {totals[0]} of memory, with `-DFLOAT` {totals[1]}" in document
