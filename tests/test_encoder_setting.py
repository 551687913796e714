"""The setting `encoder`: a network on the filter bank's events trains, is read back and listens."""

import re
import sys

import numpy as np
import pytest
import torch

from evidence.networks import write_pretrained
from shd_circuit.say import load, program
from shd_corpus.class_names import ENGLISH
from shd_corpus.filter_bank import EventStream, FilterBank, to_samples
from shd_corpus.microphone import RecordedUtterance, encode_utterance_file
from shd_corpus.sound_file import RATE_HZ, read_wave
from shd_corpus.speech import synthesize
from shd_helpers import hear
from shd_helpers.data import DIGITS
from shd_helpers.hear import Listener
from shd_helpers.network import build_network
from shd_helpers.paths import ROOT
from shd_helpers.study.recipe import Recipe
from tests.builders.documentation import blocks_of
from tests.builders.run_folders import trained_run

THREE = DIGITS / "lang-english_speaker-00_trial-39_digit-3.flac"
SETTINGS = {
    "encoder": "filter_bank",
    "first_unit": 0,
    "pool_units": 1,
    "pool_threshold": 1,
}


def test_its_grid_has_the_filter_bank_s_channels():
    recipe = Recipe.from_notebook(SETTINGS | {"dataset": "digits"})
    assert (recipe.input.n_units, recipe.input.n_steps) == (77, 333)
    with pytest.raises(ValueError, match=r"first_unit 150: .* the file has 77 channels"):
        Recipe.from_notebook({"dataset": "digits", "encoder": "filter_bank"})


@pytest.fixture
def network_file(tmp_path):
    """An untrained network on the filter bank's events, in a file."""
    recipe = Recipe.from_notebook(SETTINGS | {"dataset": "digits"})
    generator = torch.Generator().manual_seed(0)
    network = build_network(recipe.network, 77, 10, recipe.input.step_ms, generator)
    about = {"parameters": recipe.flat(), "n_channels": 77, "class_names": list(ENGLISH)}
    arrays = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    write_pretrained(tmp_path / "own.npz", about, arrays)
    return str(tmp_path / "own.npz")


@pytest.fixture
def blocks():
    """Two digits with a second of noise around each, in blocks of random sizes."""
    rng = np.random.default_rng(0)
    sound, _ = read_wave(THREE)
    quiet = np.zeros(RATE_HZ)
    wave = np.concatenate([quiet, sound, quiet, sound, quiet])
    wave += rng.normal(0, 1e-4, len(wave))
    return np.split(wave, np.sort(rng.integers(0, len(wave), 300)))


def test_a_network_hears_by_its_own_encoder(network_file):
    listener = Listener(network_file)
    by_filters = encode_utterance_file(THREE, encoder="filter_bank")
    assert by_filters.units.max() < 77 < encode_utterance_file(THREE).units.max()
    assert listener.hear(THREE) == listener.answer(by_filters)


def test_each_utterance_of_a_stream_has_an_answer(network_file, blocks):
    listener = Listener(network_file)
    stream = EventStream(FilterBank(77))
    utterances = stream.process(to_samples(np.concatenate(blocks), RATE_HZ))
    assert len(utterances) == 2
    for answer, utterance in zip(listener.listen(blocks, RATE_HZ), utterances, strict=True):
        times_s = (utterance.steps + 0.5) * 0.003
        whole = RecordedUtterance(blocks[0], RATE_HZ, times_s, utterance.channels, "")
        assert answer == listener.answer(whole)
    with pytest.raises(ValueError, match="small: its encoder needs whole recordings"):
        next(Listener("small").listen(blocks, RATE_HZ))


def test_an_answer_comes_200_ms_after_the_end_of_a_digit(network_file):
    sound, _ = read_wave(THREE)
    sound = sound[: np.flatnonzero(abs(sound) > 0.05 * abs(sound).max())[-1]]
    quiet = np.zeros(RATE_HZ)
    wave = np.concatenate([quiet, sound, quiet])
    wave += np.random.default_rng(0).normal(0, 1e-4, len(wave))
    blocks = iter(np.split(wave, range(480, len(wave), 480)))  # of 10 ms
    next(Listener(network_file).listen(blocks, RATE_HZ))
    heard_s = (len(wave) - sum(map(len, blocks))) / RATE_HZ
    assert 0.1 < heard_s - 1 - len(sound) / RATE_HZ < 0.21


@pytest.fixture
def microphone(blocks, monkeypatch):
    """Let the command listen to the two digits until it is interrupted."""

    def recorded():
        yield from blocks
        raise KeyboardInterrupt

    monkeypatch.setattr(hear, "blocks_of_microphone", recorded)


def test_the_command_listens_until_it_is_interrupted(network_file, microphone, capsys):
    assert hear.main(["--network", network_file]) == 0
    answers = capsys.readouterr().out.splitlines()
    assert len(answers) == 2 and all(answer.split(",")[0] in ENGLISH for answer in answers)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_terminal_shows_level_and_events(as_json, network_file, microphone, monkeypatch, capsys):
    command = ["--network", network_file, *["--json"] * as_json]
    assert hear.main(command) == 0
    answers = capsys.readouterr().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert hear.main(command) == 0
    shown = capsys.readouterr().out
    if as_json:
        assert shown == answers
        return
    assert [line.rpartition("\x1b[K")[2] for line in shown.split("\n")] == answers.split("\n")
    lines = [line for line in shown.split("\r\x1b[K") if line.startswith("level")]
    assert len(lines) > 200 and max(map(len, lines)) < 80
    loud = [line for line in lines if "|" in line.partition("events")[2]]
    assert len(lines) / 10 < len(loud) < len(lines) / 2
    assert all("###" in line for line in loud)


def test_the_guide_to_words_of_your_own(tmp_path, microphone, monkeypatch, capsys):
    """Its blocks and settings, with two synthetic people, two takes, and one epoch."""
    monkeypatch.setenv("SHD_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "own_words.md"
    record, encode = (block.code for block in blocks_of(page) if block.language == "python")
    for person, voice in (("anna", "en-us+f2"), ("bert", "en-us+m3")):
        run_with_a_voice(record.replace("range(5)", "range(2)"), person, voice, monkeypatch)
    exec(encode, {})
    listed = re.findall(r"-p (\w+) (\w+)", page.read_text(encoding="utf-8"))
    settings = {name: int(value) if value.isdigit() else value for name, value in listed}
    settings |= {"dataset": str(tmp_path / "my_words_spikes"), "epochs": 1}
    trained_run(Recipe.from_notebook(settings), tmp_path / "runs" / "my_words")
    assert hear.main(["--network", "my_words"]) == 0
    answers = capsys.readouterr().out.splitlines()[-2:]
    assert {answer.split(",")[0] for answer in answers} <= {"lamp", "music", "stop"}
    assert "confidence.h" not in program(load("my_words", "english"))


def run_with_a_voice(code, person, voice, monkeypatch):
    """Run the block that records words, with a synthetic person."""
    asked = []

    def recorded():
        word = asked[-1].split()[-1].rstrip(".")
        wave = np.pad(np.repeat(synthesize(word, voice), 2), RATE_HZ // 2)
        return wave + np.random.default_rng(len(asked)).normal(0, 1e-4, len(wave))

    monkeypatch.setattr("builtins.input", lambda text: asked.append(text) or person)
    monkeypatch.setattr(hear, "record", recorded)
    exec(code, {})
