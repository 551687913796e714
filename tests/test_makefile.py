"""The Makefile passes names to programs to the letter, and takes them from its command line."""

import os
import subprocess

import pytest

from shd_helpers.paths import ROOT

RUNNER = ["-m", "evidence"]
NOTEBOOKS = ["-m", "shd_helpers.study.notebooks"]
# a command line of make, and the arguments that the program must get; {} stands for the name
CALLS = [
    (["study", "DATASET={}"], [*NOTEBOOKS, "-p", "dataset", "{}"]),
    (["study", "NAME={}"], [*NOTEBOOKS, "-p", "run_name", "{}"]),
    (["data", "DATASET={}"], [*NOTEBOOKS, "--data-only", "-p", "dataset", "{}"]),
    (["sweep", "SWEEP={}"], [*RUNNER, "{}"]),
    (["sweep", "SWEEP=final", "DATASET={}"], [*RUNNER, "final", "--set", "dataset={}"]),
    (["export", "RUN={}"], ["-m", "shd_circuit.export", "{}"]),
    (["export", "RUN=small", "OUT={}"], ["-m", "shd_circuit.export", "small", "--out", "{}"]),
    (
        ["export", "RUN=small", "DATASET={}"],
        ["-m", "shd_circuit.export", "small", "--dataset", "{}"],
    ),
    (["rtl", "RUN={}"], ["-m", "shd_circuit.rtl", "{}"]),
    (["rtl", "RUN=small", "OUT={}"], ["-m", "shd_circuit.rtl", "small", "--out", "{}"]),
    (["rtl", "RUN=small", "DATASET={}"], ["-m", "shd_circuit.rtl", "small", "--dataset", "{}"]),
    (["say", "RUN={}"], ["-m", "shd_circuit.say", "{}", "--open"]),
    (["say", "OUT={}"], ["-m", "shd_circuit.say", "--out", "{}", "--open"]),
    (["hear", "FILE={}"], ["-m", "shd_helpers.hear", "{}"]),
]
# {} stands for a file that must not come into being
ATTACKS = [
    "$$(touch {}).wav",
    "$(shell touch {}).wav",
    "$(touch {})",
    "`touch {}`",
    '"; touch {}; "',
    "'; touch {}; '",
    "x; touch {}",
    "x\ntouch {}",
    "$(error {})",
]
PLAIN = ["a word.wav", "a  'quoted' \"word\"", "50 %", "#1", "$HOME", "*", "a\\", "edge ", "zwölf"]
# Recipes quote names alike, so one gets all of them, and each other one some: what make or the
# shell would run, and blanks.
SOME = [ATTACKS[1], ATTACKS[6], PLAIN[1]]


@pytest.fixture
def make(tmp_path):
    """Return a function that runs make with a Python that ends each of its arguments with 0."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nprintf '%s\\0' \"$@\"\n", encoding="utf-8")
    python.chmod(0o755)
    installed = tmp_path / "installed"
    # in this order: each must be newer than the one before
    for extra in ("-venv", "", "-circuit", "-fpga", "-say"):
        installed.with_name(f"installed{extra}").touch()

    def run(*arguments, **environment):
        command = ["make", "-s", *arguments, f"PY={python}", f"INSTALLED={installed}"]
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
        return subprocess.run(
            command,
            cwd=ROOT,
            env=inherited | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run


def printed(ended):
    return ended.stdout.split("\0")[:-1]


@pytest.mark.parametrize(("arguments", "wanted"), CALLS, ids=lambda each: " ".join(each))
def test_a_name_reaches_the_program_to_the_letter(make, tmp_path, arguments, wanted):
    proof = tmp_path / "PWNED"
    for text in [*ATTACKS, *PLAIN] if arguments[0] == "hear" else SOME:
        name = text.replace("{}", str(proof))
        ended = make(*(text.replace("{}", name) for text in arguments))
        assert not proof.exists(), name
        assert ended.returncode == 0, (name, ended.stderr)
        assert printed(ended) == [text.replace("{}", name) for text in wanted]


def test_names_in_the_environment_are_ignored(make):
    names = dict.fromkeys(("DATASET", "NAME", "RUN", "OUT", "FILE", "ARGS"), "of-another-program")
    for target, wanted in (
        ("study", NOTEBOOKS),
        ("data", [*NOTEBOOKS, "--data-only"]),
        ("say", ["-m", "shd_circuit.say", "--open"]),
        ("hear", ["-m", "shd_helpers.hear"]),
    ):
        for flags in ([], ["-e"]):  # -e lets the environment go before the Makefile
            assert printed(make(*flags, target, **names)) == wanted


@pytest.mark.parametrize(("target", "name"), [("sweep", "SWEEP"), ("rtl", "RUN")])
def test_a_name_that_is_missing_is_asked_for(make, target, name):
    ended = make(target, **{name: "of-another-program"})
    assert ended.returncode == 2
    assert f"{name}= is missing" in ended.stderr and "make help" in ended.stderr
    assert "--help" in printed(make(target, "ARGS=--help"))


def test_a_name_in_small_letters_is_refused(make):
    """It would be ignored, and another data set be used."""
    ended = make("study", "dataset=hd")
    assert ended.returncode == 2
    assert "dataset= is unknown" in ended.stderr and "capital letters" in ended.stderr
