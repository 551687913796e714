"""The listener in Verilog, from the microphone's pins to answers on its serial port."""

import subprocess
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from circuits import needs_verilator, random_circuit
from test_front_end import scaled

from corpus_tests.filter_bank_sounds import noise
from shd_circuit.front_end import write_front_end
from shd_circuit.sources import memories, verilog_parameters
from shd_corpus.filter_bank import EventStream, FilterBank
from shd_helpers.events.downsampling import Downsampling

RTL = resources.files("shd_circuit") / "rtl"
N_CLASSES = 5
WAIT = 1000  # samples


def built(folder, bank, network):
    """Compile the listener with a network into a folder, and return the command that runs it."""
    write_front_end(folder, bank)
    texts = {path.name: path.read_text() for path in RTL.iterdir() if path.name.endswith(".v")}
    texts |= {"network.vh": verilog_parameters(network, LANES=1)} | memories(network, 1)
    for file, text in texts.items():
        (folder / file).write_text(text)
    command = ["verilator", "--cc", "--exe", "--build", "--quiet", "-Wno-fatal", "-Wno-lint", "-O3"]
    command += ["-y", ".", "-GCYCLES_PER_BIT=2", f"-GWAIT={WAIT}", "-GCYCLES_PER_SERIAL_BIT=8"]
    command += ["--x-assign", "unique", "--x-initial", "unique", "listener.v"]
    command += [str(Path(__file__).with_name("listener.cpp"))]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return [str(folder / "obj_dir/Vlistener")]


def line(scores):
    """Return what the serial port sends of an utterance's scores."""
    texts = [f"{score & 0xFFFFFFFF:08x}" for score in map(int, scores)]
    return " ".join([*texts, "=", f"{int(np.argmax(scores)):x}"])


@needs_verilator
@pytest.mark.slow
@pytest.mark.skipif(
    not (RTL / "spiking_network.v").is_file(), reason="the core takes milliseconds, and not steps"
)
def test_answers_are_those_of_the_filter_bank_and_the_integer_network(tmp_path):
    """Two utterances 0.3 s apart, by a microphone with an offset; the circuit is never reset."""
    bank = FilterBank(16)
    grid = Downsampling(0, 0.999, 1, 3, 1, n_channels=16)
    network = random_circuit(
        grid=grid, n_classes=N_CLASSES, delays=(0, 4), is_membrane=True, mem_bits=14
    )
    parts = [(0.3, 30), (0.3, 3000), (0.3, 30), (0.2, 6000), (0.4, 30)]
    raw = np.concatenate([noise(*part) for part in parts]).astype(np.int32) * 16 + 20_000
    samples = np.array(scaled(raw, WAIT), np.int16)
    utterances = EventStream(bank).process(samples)
    assert len(utterances) == 2
    runs = [network.run(3 * each.steps.astype(int), each.channels) for each in utterances]
    command = built(tmp_path, bank, network)
    done = subprocess.run(
        command, cwd=tmp_path, input=raw.tobytes(), capture_output=True, check=True
    )
    assert done.stdout.decode().splitlines() == [line(run.scores) for run in runs]
