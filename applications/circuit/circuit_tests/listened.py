"""Simulate the listener from the microphone's pins on, with recordings by unseen people.

``python applications/circuit/circuit_tests/listened.py FOLDER`` draws recordings of Speech Commands
by test people, puts each into a second of noise on both sides as loud as its quietest 10 ms,
and plays it to a simulated microphone of `listener.v` at a clock of 12 MHz. It writes
``results/listener_simulated.csv``: what the Verilog and the C program answered. FOLDER has the
folders zero to nine. In place of FOLDER, a sound file gives a row for it alone.
"""

import argparse
import csv
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from simulated import (
    Design,
    build,
    expected,
    from_microphone,
    heard,
    heard_utterances,
    line,
    scaled,
)

from shd_circuit import say
from shd_circuit.export import quantization_of
from shd_circuit.quantize import circuit_of
from shd_corpus.filter_bank import FilterBank, to_samples
from shd_corpus.levels import background
from shd_corpus.sound_file import read_sound
from shd_corpus.speech_commands import person_of, read_manifest, role_of
from shd_helpers.command import run
from shd_helpers.paths import results_dir
from shd_helpers.study.trained_network import TrainedNetwork

COLUMNS = (
    "recording class utterances answers accepted right lines_equal events_equal cycles".split()
)
WAIT = 8192  # samples


def in_background(path: Path, seed: int) -> np.ndarray:
    """Return samples of a recording with a second of noise on both sides."""
    wave, rate_hz = read_sound(path, longest_s=2)
    wave = wave - wave.mean()
    before, behind = np.split(background(wave, rate_hz, 2 * rate_hz, seed), 2)
    return to_samples(np.concatenate([before, wave, behind]), rate_hz)


def design_of(trained: TrainedNetwork, wait: int) -> Design:
    """Return the listener of a network."""
    circuit = circuit_of(trained, quantization_of(trained))
    return Design(circuit, FilterBank(), say.confidence(trained), wait)


def c_program(trained: TrainedNetwork, folder: Path) -> Path:
    """Compile the C program of a network in a folder."""
    options = say.write_program(trained, folder)
    command = ["gcc", "-std=c99", "-O3", *options, "listen.c", "filter_bank.c", "-o", "listen"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "listen"


def answers_of_c(program: Path, samples: np.ndarray) -> list[list[int]]:
    """Return each line that the C program prints."""
    done = subprocess.run([program], input=samples.tobytes(), capture_output=True, check=True)
    return [[int(number) for number in line.split()] for line in done.stdout.splitlines()]


def listened(names: list[str], home: Path, folder: Path, *, as_cells: bool):
    """Yield a row of the table for each recording."""
    trained = say.load(say.NETWORK, "english")
    design = design_of(trained, WAIT)
    program = c_program(trained, folder / "c")
    build(folder, design, as_cells=as_cells)
    for number, name in enumerate(names):
        raw = from_microphone(in_background(home / name, number), WAIT)
        samples = scaled(raw, WAIT)
        lines, events = heard(folder, design, raw)
        wanted, utterances = expected(design, samples)
        # at the end of the samples the C program ends an utterance, too
        of_c = [
            line(answer, scores, is_accepted)
            for answer, *scores, _, is_accepted in answers_of_c(program, samples)
        ]
        digit = name.rpartition("/")[0]
        answers = [trained.class_names[int(each[-2:], 16)] for each in lines]
        is_equal = lines == wanted == of_c[: len(wanted)]
        yield dict(
            zip(
                COLUMNS,
                [
                    *(name, digit, len(utterances), " ".join(answers)),
                    " ".join(str(int(each[-4] == "=")) for each in lines),
                    int(answers == [digit]) if digit else "",
                    int(is_equal),
                    "" if as_cells else int(heard_utterances(events) == utterances),
                    " ".join(each[2:] for each in events if each[0] == "a"),
                ],
                strict=True,
            )
        )


def main() -> None:
    """Write the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--recordings", type=int, default=200)
    parser.add_argument(
        "--cells", action="store_true", help="simulate the netlist, for minutes each"
    )
    parser.add_argument("--table", type=Path, default=results_dir() / "listener_simulated.csv")
    given = parser.parse_args()
    names = sorted(name for name in read_manifest() if role_of(person_of(name)) == "test")
    names = np.random.default_rng(0).permutation(names)[: given.recordings].tolist()
    if given.folder.is_file():
        names, given.folder = [given.folder.name], given.folder.parent
    with tempfile.TemporaryDirectory() as folder, given.table.open("w") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        for row in listened(names, given.folder, Path(folder), as_cells=given.cells):
            table.writerow(row)
            file.flush()


if __name__ == "__main__":
    run(main)
