"""Time the committed circuit's C reference and its integer model on the same utterances."""

import subprocess
import tempfile
from pathlib import Path

from evidence.benchmarks.bench_training import seconds
from shd_circuit import circuit_of, read_vectors
from shd_helpers.paths import ROOT
from shd_helpers.study import load_pretrained

FOLDER = ROOT / "results" / "circuit_study"
NETWORK = "circuit_0"
TIMES = 50  # the vectors one after the other, so that the process's start counts little


def rows(repeats: int = 9) -> list[dict]:
    """Time the folder's utterances, from spikes to a class, on one core; needs gcc."""
    utterances = read_vectors(FOLDER)
    circuit = circuit_of(load_pretrained(NETWORK))
    vectors = (FOLDER / "vectors.txt").read_text() * TIMES
    expected = (FOLDER / "expected.txt").read_text() * TIMES

    def run_model():
        for utterance in utterances:
            circuit.run(*utterance.spikes)

    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "reference"
        gcc = ["gcc", "-std=c99", "-O3", str(FOLDER / "reference.c"), "-o", str(program)]
        subprocess.run(gcc, check=True)

        def run_reference():
            ended = subprocess.run([program], input=vectors, capture_output=True, text=True)
            assert ended.stdout == expected

        run_model()  # numba compiles
        timed = {
            "C reference": seconds(run_reference, repeats) / TIMES,
            "integer model": seconds(run_model, repeats),
        }
    return [
        {
            "benchmark": "a word in integers",
            "variant": variant,
            "batch": len(utterances),
            "median_s": time_s / len(utterances),
        }
        for variant, time_s in timed.items()
    ]


if __name__ == "__main__":
    for row in rows():
        print(row)
