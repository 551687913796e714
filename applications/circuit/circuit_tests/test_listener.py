"""The listener in Verilog, from the microphone's pins to answers on its serial port."""

import subprocess
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from circuits import needs_verilator, random_circuit
from test_front_end import scaled

from corpus_tests.filter_bank_sounds import noise, spoken, with_background
from shd_circuit.export import quantization_of
from shd_circuit.front_end import write_listener
from shd_circuit.quantize import circuit_of
from shd_corpus.filter_bank import EventStream, FilterBank
from shd_helpers.events.downsampling import Downsampling
from shd_helpers.study.trained_network import load_pretrained

RTL = resources.files("shd_circuit") / "rtl"
WAIT = 3000  # samples
pytestmark = [
    pytest.mark.slow,
    needs_verilator,
    pytest.mark.skipif(
        not (RTL / "spiking_network.v").is_file(), reason="the core takes milliseconds, not steps"
    ),
]


def heard(folder, bank, network, raw, cycles):
    """Return what a listener with a network sends, whose microphone has some raw samples."""
    write_listener(folder, network, bank)
    command = ["verilator", "--cc", "--exe", "--build", "--quiet", "-Wno-fatal", "-Wno-lint", "-O3"]
    command += ["-y", ".", f"-GCYCLES_PER_BIT={cycles}", f"-GWAIT={WAIT}"]
    command += ["-GCYCLES_PER_SERIAL_BIT=8", "--x-assign", "unique", "--x-initial", "unique"]
    command += ["listener.v", str(Path(__file__).with_name("listener.cpp"))]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    program = str(folder / "obj_dir/Vlistener")
    done = subprocess.run([program], cwd=folder, input=raw.tobytes(), capture_output=True)
    return done.stdout.decode().splitlines()


def expected(bank, network, raw):
    """Return the same of the filter bank and the integer network, and the answers."""
    utterances = EventStream(bank).process(np.array(scaled(raw, WAIT), np.int16))
    runs = [network.run(3 * each.steps.astype(int), each.channels) for each in utterances]
    return [line(run.scores) for run in runs], [run.answer for run in runs]


def from_microphone(sound):
    """Return raw samples of 24 bits of a microphone with an offset."""
    return sound.astype(np.int32) * 16 + 20_000


def line(scores):
    """Return what the serial port sends of an utterance's scores."""
    texts = [f"{score & 0xFFFFFFFF:08x}" for score in map(int, scores)]
    return " ".join([*texts, "=", f"{int(np.argmax(scores)):02x}"])


def test_answers_are_those_of_the_filter_bank_and_the_integer_network(tmp_path):
    """Two utterances 0.3 s apart; the circuit is never reset."""
    grid = Downsampling(0, 0.999, 1, 3, 1, n_channels=16)
    network = random_circuit(grid=grid, delays=(0, 4), is_membrane=True, mem_bits=14)
    parts = [(0.4, 30), (0.3, 3000), (0.3, 30), (0.2, 6000), (0.4, 30)]
    raw = from_microphone(np.concatenate([noise(*part) for part in parts]))
    lines, answers = expected(FilterBank(16), network, raw)
    assert len(answers) == 2
    assert heard(tmp_path, FilterBank(16), network, raw, cycles=2) == lines


def test_two_spoken_digits_are_answered_by_a_trained_network(tmp_path):
    """At the clock of a board, 12 MHz."""
    trained = load_pretrained("small_listener")
    network = circuit_of(trained, quantization_of(trained))
    words = [word for i, word in enumerate(spoken(60)) if i in {30, 55}]
    raw = from_microphone(np.pad(with_background(*words), (WAIT, 3000)))
    lines, answers = expected(FilterBank(77), network, raw)
    assert [trained.class_names[answer] for answer in answers] == ["three", "five"]
    assert heard(tmp_path, FilterBank(77), network, raw, cycles=12) == lines
