"""The bench of an exported folder answers what the C reference answers."""

import subprocess

import pytest
from circuits import exported, needs_icarus

pytestmark = [pytest.mark.slow, needs_icarus]


def test_a_last_utterance_may_end_with_the_file(tmp_path):
    """Without an empty line, or in the midst of a line."""
    folder = tmp_path / "circuit"
    exported(folder, "saturation", 2)
    command = ["iverilog", "-g2005", "-y", ".", "-s", "bench", "-o", "bench", "bench.v", "core.v"]
    subprocess.run(command, cwd=folder, check=True)
    text = (folder / "vectors.txt").read_text()
    for end in ("\n\n", "\n", ""):
        (folder / "vectors.txt").write_text(text.rstrip("\n") + end)
        ended = subprocess.run(
            ["vvp", "-n", "bench"], cwd=folder, capture_output=True, text=True, timeout=300
        )
        assert ended.stdout == "PASS: 2 utterances\n"


def answered(folder, bench, *files):
    """Return what a bench of a folder prints in Icarus."""
    command = [
        "iverilog",
        "-g2005",
        "-Wall",
        "-y",
        ".",
        "-s",
        bench,
        "-o",
        "out",
        f"{bench}.v",
        *files,
    ]
    subprocess.run(command, cwd=folder, check=True)
    run = ["vvp", "-n", "out", "+utterances=2"]
    return subprocess.run(run, cwd=folder, capture_output=True, text=True, timeout=300).stdout


def test_the_bench_names_a_memory_that_is_cut(tmp_path):
    """Its unknown weights once kept the core from ever answering."""
    folder = tmp_path / "circuit"
    exported(folder, "saturation", 2)
    path = folder / "weight1.mem"
    path.write_text(path.read_text()[:40])
    printed = answered(folder, "bench", "core.v")
    assert "FAIL: a .mem file has too few numbers" in printed and "PASS" not in printed
