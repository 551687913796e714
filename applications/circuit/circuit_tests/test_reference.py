"""The C reference against the integer model, which is the definition of the circuit."""

import shutil
import subprocess

import numpy as np
import pytest
from circuits import CIRCUITS, SMALL, named, needs_gcc, outcomes, random_circuit, random_utterances

from shd_circuit.sources import (
    Utterance,
    answers_text,
    c_header,
    count_line,
    edge_cases,
    events_text,
    source_text,
    trace_text,
)

GCC = ["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]


def compiled(folder, network, *options):
    for name in ("reference.c", "network.c"):
        (folder / name).write_text(source_text(name))
    (folder / "network.h").write_text(c_header(network))
    subprocess.run([*GCC, *options, "reference.c", "-o", "reference"], cwd=folder, check=True)
    return folder / "reference"


def run(program, text, status=0):
    """Return stdout and stderr; text is bytes or str."""
    data = text.encode() if isinstance(text, str) else text
    ended = subprocess.run([program], input=data, capture_output=True, check=False)
    assert ended.returncode == status, ended.stderr.decode()
    return ended.stdout.decode(), ended.stderr.decode()


@needs_gcc
@pytest.mark.parametrize("name", CIRCUITS | SMALL)
def test_every_step_is_the_integer_model_s(name, tmp_path):
    network = named(name)
    utterances = random_utterances(3, end_ms=700)
    utterances += edge_cases(network, utterances).values()
    runs = outcomes(network, utterances)
    spiking_layers = 1 if network.is_membrane else 2
    for noisy in runs[1:3]:
        for spikes in noisy.spk[:spiking_layers]:
            assert spikes.any()
            assert not spikes.all()
    options = ["-DTRACE=2", "-DCOUNT"]
    if "delays" in name:  # not for all, because it takes gcc a while
        options.append("-fsanitize=undefined,address")
    program = compiled(tmp_path, network, *options)
    output, counted = run(program, events_text(utterances))
    assert output == trace_text(runs, 2)
    assert counted == count_line(network, utterances, runs) + "\n"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    return compiled(tmp_path_factory.mktemp("reference"), random_circuit(), "-O1")


UTTERANCES = random_utterances(3)
TEXT = events_text(UTTERANCES)
EXPECTED = answers_text(outcomes(random_circuit(), UTTERANCES))


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        TEXT.replace("\n", "\r\n"),
        TEXT.rstrip("\n"),  # neither an empty line nor an end of line at the end
        TEXT.replace("\n", " \n").replace(" ", "\t  "),
        TEXT.replace("\n\n", "\n1100 5\n99999999999999 699\n\n"),  # after the window
    ],
    ids=["as written", "CRLF", "no last line", "blanks", "late"],
)
def test_text_may_be_written_otherwise(program, text):
    assert run(program, text) == (EXPECTED, "")


def test_events_of_one_millisecond_in_any_order_and_twice(program):
    first, second, third = UTTERANCES
    order = np.lexsort((-second.units, second.milliseconds)).repeat(2)
    second = Utterance(second.milliseconds[order], second.units[order], 0)
    assert run(program, events_text([first, second, third]))[0] == EXPECTED


def test_only_an_empty_line_makes_an_utterance_of_nothing(program):
    assert run(program, "") == ("", "")
    assert run(program, "\n\n")[0] == 2 * EXPECTED.splitlines(keepends=True)[0]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("12", "two whole numbers"),
        ("12 13 14", "two whole numbers"),
        ("1.5 200", "two whole numbers"),
        ("\x00", "two whole numbers"),
        ("1 " + 500 * "9", "a unit that"),
        ("1 700", "a unit that"),
        ("0 200", "is earlier"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(program, line, says):
    output, message = run(program, TEXT + "1 200\n" + line + "\n\n" + TEXT, status=1)
    assert output == EXPECTED  # of the utterances before
    assert message.startswith(f"line {TEXT.count(chr(10)) + 2} ")
    assert says in message


def test_sums_of_more_than_32_bits_are_refused():
    with pytest.raises(ValueError, match="lower mem_bits"):
        c_header(random_circuit(mem_bits=32))
