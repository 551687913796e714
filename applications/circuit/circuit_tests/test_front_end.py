"""The front end in Verilog against the filter bank in Python and in C: each step and each event."""

import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
from benches import lines_of
from circuits import needs_gcc, needs_icarus, needs_verilator
from simulated import heard_utterances, scaled

from corpus_tests import test_filter_bank_in_c as in_c
from corpus_tests.filter_bank_sounds import RATE_HZ, adversarial, noise, spoken, with_background
from shd_circuit.front_end import FRONT_END, WITH_MICROPHONE, write_front_end
from shd_circuit.sources import source_text
from shd_corpus.filter_bank import EventStream, FilterBank
from shd_corpus.filter_bank.kernels import BEGINS, IS_DROPPED

HERE = Path(__file__).parent
# fast to build, because it runs for seconds
OPTIONS = ["-O3", "-MAKEFLAGS", "OPT_FAST=-O2 OPT_SLOW=-O0 OPT_GLOBAL=-O0"]


@functools.cache
def built(bank):
    """Return a folder with the simulated front end of a filter bank."""
    home = tempfile.TemporaryDirectory()
    folder = Path(home.name)
    write_front_end(folder, bank)
    command = ["verilator", "--cc", "--exe", "--build", "--quiet", "-Wno-fatal", *OPTIONS]
    command += ["--x-assign", "unique", "--x-initial", "unique", "--top-module", "front_end"]
    # copied, because make can't build a file whose path has a space
    shutil.copy(HERE / "listening.cpp", folder)
    command += [*FRONT_END, "listening.cpp"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return home


def played(bank, samples, *options):
    """Return the lines that `listening.cpp` prints of a sound."""
    folder = Path(built(bank).name)
    command = [str(folder / "obj_dir/Vfront_end"), *map(str, options)]
    done = subprocess.run(command, cwd=folder, input=samples.tobytes(), capture_output=True)
    assert done.returncode == 0
    return done.stdout.decode().split("\n")[:-1]


def seen_steps(lines, n_channels):
    """Return the events and the status of each step."""
    events, status, channels = [], [], []
    for kind, *number in map(str.split, lines):
        if kind == "b":
            channels.append(int(number[0]))
        elif kind == "s":
            assert channels == sorted(channels)
            events.append(np.isin(np.arange(n_channels), channels))
            status.append(int(number[0]))
            channels = []
    return np.array(events), np.array(status)


def check(bank, samples, lines, steps=None):
    """Compare steps, events and utterances of a sound; return the status of each step."""
    wanted = steps or EventStream(bank).advance(samples)
    events, status = seen_steps(lines, bank.n_channels)
    np.testing.assert_array_equal(status, wanted.status)
    np.testing.assert_array_equal(events, wanted.events)
    utterances = EventStream(bank).process(samples)
    pairs = [(each.n_steps, [*zip(each.steps, each.channels, strict=True)]) for each in utterances]
    assert heard_utterances(lines) == pairs
    assert lines.count("x") == np.sum(status == IS_DROPPED)
    return status


def bursts():
    """Return noise in which an utterance ends, and three are dropped.

    The second is too short, the third too long, and at the end of the last the floors have risen.
    """
    parts = [(0.2, 30), (0.25, 3000), (0.3, 30), (0.03, 9000), (0.2, 30), (1.6, 4000), (0.3, 20)]
    parts += [(0.9, 200), (0.2, 20)]
    return np.concatenate([noise(*part) for part in parts]).astype(np.int16)


@needs_verilator
def test_every_step_and_utterance_is_that_of_python():
    bank = FilterBank(16, 10)
    samples = bursts()
    assert {*check(bank, samples, played(bank, samples))} == set(range(5))
    # a reset in the midst of an utterance forgets everything
    after = int(0.4 * RATE_HZ)
    lines = played(bank, samples, 0, after)
    at = lines.index("r")
    _, status = seen_steps(lines[:at], bank.n_channels)
    assert np.sum(status == BEGINS) == 1 and not heard_utterances(lines[:at])
    check(bank, samples[after:], lines[at + 1 :])
    # each step but the last ones is taken in the cycle in which another one ends
    check(bank, samples, played(bank, samples, -1))
    # a network that is too slow gets no utterance, and nothing else changes
    lines = played(bank, samples, 40_000)
    assert "X" in lines and "." not in lines
    assert seen_steps(lines, 16)[1].tolist() == EventStream(bank).advance(samples).status.tolist()


@pytest.mark.slow
@needs_gcc
@needs_verilator
@pytest.mark.parametrize(
    ("n_channels", "step_ms", "n_words"), [(77, 3, 100), (48, 3, 10), (30, 3, 100), (16, 10, 10)]
)
def test_speech_and_signals_that_drive_registers_to_their_bounds(
    n_channels, step_ms, n_words, tmp_path
):
    """With the C program: clicks, offsets, full scale, adversarial signals, and 90 s of speech."""
    bank = FilterBank(n_channels, step_ms)
    library = in_c.compiled(tmp_path, bank)
    clicks = np.zeros(RATE_HZ, np.int16)
    clicks[[0, 5000, 9000, 9001, 12000]] = [32767, -32768, 32767, -32768, 1]
    lowest, highest = (np.full(RATE_HZ // 3, value, np.int16) for value in (-32768, 32767))
    jumps = np.concatenate([clicks, lowest, highest, lowest, bursts()])
    words = with_background(*spoken(n_words))
    for samples in (jumps, *(adversarial(bank, seed) for seed in range(8)), words):
        steps = in_c.check(library, bank, samples, seed=0)
        status = check(bank, samples, played(bank, samples), steps)
    assert len(words) > 0.9 * n_words * RATE_HZ and np.sum(status == BEGINS) > 0.9 * n_words


def raw_samples(n):
    """Return a microphone's samples of 24 bits: it starts up, then has an offset, and saturates."""
    rng = np.random.default_rng(0)
    raw = rng.integers(-(2**21), 2**21, n)
    raw[: n // 4] = 0
    raw[n // 4 :] += 300_000
    raw[-8:] = [2**23 - 1, -(2**23), 0, -1, 2**23 - 1, 2**23 - 1, -(2**23), 1]
    return raw


@needs_icarus
@pytest.mark.parametrize("cycles", [12, 3])
def test_a_microphone_s_samples_are_received(cycles, tmp_path):
    write_front_end(tmp_path, FilterBank(16))
    raw = raw_samples(200)
    (tmp_path / "raw.hex").write_text("".join(f"{each & 0xFFFFFF:06x}\n" for each in raw.tolist()))
    sources = [HERE / "microphone.v", *WITH_MICROPHONE[-3:-1]]
    printed = lines_of(tmp_path, "microphone", f"-Pmicrophone.CYCLES={cycles}", *sources)
    received, periods = zip(*(map(int, line.split()) for line in printed), strict=True)
    assert list(received) == scaled(raw, wait=20).tolist()
    assert set(periods[1:]) == {64 * cycles}


@needs_icarus
def test_answers_are_lines_of_text(tmp_path):
    scores = np.random.default_rng(0).integers(0, 2**32, 6).tolist()
    (tmp_path / "scores.hex").write_text("".join(f"{score:x}\n" for score in scores))
    (tmp_path / "answers.v").write_text(source_text("rtl/answers.v"))
    printed = lines_of(tmp_path, "answers_bench", HERE / "answers_bench.v", "answers.v")
    lines = [" ".join(f"{score:08x}" for score in three) for three in (scores[:3], scores[3:])]
    assert printed == [f"{lines[0]} ? 02", f"{lines[1]} = 14"]


@needs_verilator
@pytest.mark.parametrize("n_channels", [77, 48, 30, 16])
def test_verilator_warns_of_nothing(n_channels, tmp_path):
    write_front_end(tmp_path, FilterBank(n_channels))
    command = ["verilator", "--lint-only", "-Wall", "--top-module", "sound_to_events"]
    command += WITH_MICROPHONE
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
