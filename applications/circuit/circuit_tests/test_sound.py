"""The C program that listens, against the filter bank and the circuit's integers in Python."""

import subprocess
from select import select

import numpy as np
import pandas as pd
import pytest
from circuits import needs_gcc
from listened import answers_of_c, design_of
from scipy.stats import poisson

from corpus_tests.filter_bank_sounds import adversarial, noise, spoken, with_background
from shd_circuit import say
from shd_circuit.folder import ExportError
from shd_corpus.filter_bank import EventStream, FilterBank
from shd_helpers.paths import ROOT, results_dir

GCC = "gcc -std=c99 -Wall -Wextra -Werror -pedantic -DACCEPT".split()
FILES = ["listen.c", "filter_bank.c"]
MOST_RAM, MOST_CONSTANTS = 12_000, 24_000  # bytes


@pytest.fixture(scope="module")
def trained():
    return say.load(say.NETWORK, "english")


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    """The program's folder, with the compiled program."""
    folder = tmp_path_factory.mktemp("program")
    assert say.write_program(trained, folder) == ["-DACCEPT"]
    options = ["-O1", "-fsanitize=undefined,address", "-fno-sanitize-recover"]
    subprocess.run([*GCC, *options, *FILES, "-o", "listen"], cwd=folder, check=True)
    return folder


def of_python(trained, samples, seed):
    """Return the same as `answers_of_c`, from samples in blocks of random sizes."""
    design = design_of(trained, wait=0)
    stream = EventStream(FilterBank())
    cuts = np.sort(np.random.default_rng(seed).integers(0, len(samples) + 1, 60))
    blocks = np.split(samples, cuts)
    utterances = [each for block in blocks for each in stream.process(block)] + stream.flush()
    answers = []
    for utterance in utterances:
        run = design.network.run(3 * utterance.steps.astype(int), utterance.channels)
        scores = run.scores.tolist()
        answers.append([run.answer, *scores, *design.accepts.of(scores)])
    return answers


@needs_gcc
@pytest.mark.parametrize("n", [20, pytest.param(500, marks=pytest.mark.slow)])
def test_recordings_are_answered_as_in_python(trained, folder, n):
    """As one stream, which ends within the last digit."""
    samples = with_background(*spoken(n))[: -int(0.6 * say.BANK.settings.step_samples * 333)]
    answers = answers_of_c(folder / "listen", samples)
    assert answers == of_python(trained, samples, seed=n)
    assert 0.8 * n < len(answers) <= n
    assert {answer[-1] for answer in answers} == {0, 1}


@needs_gcc
@pytest.mark.parametrize("n", [3, pytest.param(200, marks=pytest.mark.slow)])
def test_all_other_sounds_are_answered_as_in_python(trained, folder, n):
    """A click and tones, of which one is longer than the network's input and one is dropped."""
    tones = [np.int16(8000 * np.sin(np.arange(round(s * 15_625)) / 5)) for s in (0.05, 0.97, 3)]
    sounds = [with_background(*tones), with_background(noise(0.9, 3000))]
    for seed, samples in enumerate(sounds + [adversarial(FilterBank(), i) for i in range(n)]):
        found = answers_of_c(folder / "listen", samples)
        assert found == of_python(trained, samples, seed), seed
    (long,) = EventStream(FilterBank()).process(sounds[0])
    assert long.n_steps > trained.grid.n_steps


def test_rates_of_false_accepts_are_those_of_the_counts():
    table = pd.read_csv(results_dir() / "listener_false_accepts.csv")
    assert (60 * table.accepted / table.minutes).tolist() == table.accepted_per_hour.tolist()
    assert poisson.cdf(table.accepted, table.high) == pytest.approx(0.025, abs=1e-3)
    at_least = np.where(table.accepted > 0, 0.025, 1)  # a rate of 0 brings none
    assert poisson.sf(table.accepted - 1, table.low) == pytest.approx(at_least, abs=1e-3)


@needs_gcc
def test_an_answer_comes_200_ms_after_the_end_of_a_digit(folder):
    (digit,) = spoken(1)
    samples = with_background(digit)
    end = 15_625 // 2 + np.flatnonzero(abs(digit.astype(int)) > 300)[-1]
    after = end + round(0.2 * 15_625)
    command = [folder / "listen"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        for part, has_answer in ((samples[:end], False), (samples[end:after], True)):
            running.stdin.write(part.tobytes())
            running.stdin.flush()
            assert bool(select([running.stdout], [], [], 60 if has_answer else 1)[0]) == has_answer


@needs_gcc
def test_it_takes_12_kb_of_memory_and_24_kb_of_constants(folder):
    """The constants are counted together with the code."""
    subprocess.run([*GCC, "-Os", "-c", *FILES], cwd=folder, check=True)
    objects = [name.replace(".c", ".o") for name in FILES]
    listed = subprocess.run(["size", *objects], cwd=folder, capture_output=True, text=True)
    sizes = [[int(n) for n in line.split()[:3]] for line in listed.stdout.splitlines()[1:]]
    text, data, bss = np.sum(sizes, axis=0)
    assert 5000 < data + bss < MOST_RAM
    assert 5000 < text + data < MOST_CONSTANTS
    document = (ROOT / "docs" / "sound.md").read_text(encoding="utf-8")
    assert f"{(data + bss) / 1000:.0f} kB of memory" in document


def test_a_network_of_other_events_is_refused():
    with pytest.raises(ExportError, match=r"small.npz: its input isn't the filter bank's"):
        say.program(say.load("small", "english"))
    with pytest.raises(ExportError, match=r"listener.npz: has no circuit.*leaky neurons only"):
        say.program(say.load("listener", "english"))
    with pytest.raises(ExportError, match=r"nowhere.npz: no such network"):
        say.load("nowhere", "english")


def test_the_page_names_its_classes_and_how_accurate_they_are(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(say, "webassembly", lambda *_: b"")
    text = say.page(trained, tmp_path)
    assert '"classes": ["zero", "one", "two",' in text
    assert "(mean and 95 % interval over 180 unseen people)." in say.accuracy(say.NETWORK)
    assert say.accuracy("own").endswith("isn't known.")
    with pytest.raises(ExportError, match=r"is a folder\. Name the file to write"):
        say.write_page(trained, tmp_path)
