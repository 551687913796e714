"""Time the committed circuit's C reference and its integer model on the same words."""

import subprocess
import tempfile
from pathlib import Path

from shd_circuit import circuit_of, read_vectors

from scripts.benchmarks.bench_cochlea import seconds
from shd_helpers.paths import ROOT
from shd_helpers.study import load_pretrained

FOLDER, NETWORK = ROOT / "results" / "circuit_study", "circuit_0"
TIMES = 50  # the vectors one after the other, so that the process's start counts little


def rows(repeats: int = 9) -> list[dict]:
    """Time the folder's words, from events to a class, on one core; needs gcc.

    Returns
    -------
    list of dict
        `benchmark`, `variant`, `batch` (words), and `median_s` of one word.
    """
    words, text = read_vectors(FOLDER), (FOLDER / "vectors.txt").read_text() * TIMES
    circuit = circuit_of(load_pretrained(NETWORK))

    def model():
        for word in words:
            circuit.run(*word[:2])

    with tempfile.TemporaryDirectory() as place:
        program = Path(place) / "reference"
        subprocess.run(
            ["gcc", "-std=c99", "-O3", FOLDER / "reference.c", "-o", program], check=True
        )
        expected = (FOLDER / "expected.txt").read_text() * TIMES

        def reference():
            command = subprocess.run([program], input=text, capture_output=True, text=True)
            assert command.stdout == expected

        model()  # compiles
        timed = {
            "C reference": seconds(reference, repeats) / TIMES,
            "integer model": seconds(model, repeats),
        }
    return [
        {
            "benchmark": "a word in integers",
            "variant": variant,
            "batch": len(words),
            "median_s": time_s / len(words),
        }
        for variant, time_s in timed.items()
    ]


if __name__ == "__main__":
    for row in rows():
        print(row)
