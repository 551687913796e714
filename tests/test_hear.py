"""Spoken digits are classified, from Python and from the command line.

The setting `encoder`: a network on the filter bank's events trains, is read back and listens.
"""

import json
import re
import sys

import numpy as np
import pytest
import soundfile
import torch

from evidence.networks import write_pretrained
from shd_circuit.say import load, program
from shd_corpus.class_names import ENGLISH, LANGUAGES
from shd_corpus.filter_bank import EventStream, FilterBank, to_samples
from shd_corpus.microphone import RecordedUtterance, encode_utterance, encode_utterance_file
from shd_corpus.recording_list import RecordingError
from shd_corpus.sound_file import RATE_HZ, read_wave
from shd_corpus.speech import SPEECH_RATE_HZ, synthesize
from shd_helpers import hear
from shd_helpers.data import DIGITS
from shd_helpers.events import Downsampling
from shd_helpers.hear import Listener
from shd_helpers.network import build_network
from shd_helpers.paths import ROOT
from shd_helpers.study import evaluate, input_of, load_pretrained
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.trained_network import OTHER
from tests.builders.documentation import blocks_of
from tests.builders.run_folders import trained_run

SEVEN = synthesize("seven", "en-us+m3")
RATE = SPEECH_RATE_HZ


@pytest.fixture(scope="module")
def seven(tmp_path_factory):
    path = tmp_path_factory.mktemp("sounds") / "seven.wav"
    soundfile.write(path, SEVEN, RATE, "FLOAT")
    return path


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["hear", *map(str, arguments)])
    return hear.main()


def test_the_answer_is_the_networks_and_so_is_its_confidence(seven):
    trained = load_pretrained("small")
    utterance = encode_utterance(SEVEN, RATE)
    events = input_of(trained, utterance.times, utterance.units)
    scores = evaluate(trained.network, events).class_scores[0].double().numpy()
    for language, of in (("english", slice(10)), ("german", slice(10, 20)), ("both", slice(20))):
        heard = hear.Listener("small", language).hear(seven)
        assert heard.digit == LANGUAGES["both"][of][scores[of].argmax()]
        share = np.exp(scores[of].max()) / np.exp([*scores[of], scores[-1]]).sum()
        assert heard.confidence == pytest.approx(share, abs=1e-4)


def test_an_answer_is_accepted_from_the_networks_own_threshold_on(seven, monkeypatch):
    trained = load_pretrained("small")
    monkeypatch.setattr(hear, "load_trained", lambda _: trained)
    for threshold, accepted in ((None, None), (0.01, True), (1.1, False)):
        trained.about["confidence_threshold"] = threshold
        assert hear.Listener(language="both").hear(seven).accepted is accepted
    # and if no digit of another language scores higher
    trained.about["confidence_threshold"] = 0.01
    best = hear.Listener(language="both").hear(seven).digit
    for language, digits in LANGUAGES.items():
        assert hear.Listener(language=language).hear(seven).accepted == (best in digits)


@pytest.fixture
def scored(monkeypatch):
    """Let a network with a class for other sounds answer scores: of three, of seven, of that class.

    The scores are logarithms, so the softmax of three classes is their shares. All other classes
    have none.
    """
    trained = load_pretrained("small")
    names = trained.class_names
    assert names == (*LANGUAGES["both"], OTHER)
    monkeypatch.setattr(hear, "load_trained", lambda _: trained)
    monkeypatch.setattr(hear, "input_of", lambda *_: None)
    utterance = RecordedUtterance(np.zeros(1), 48_000, np.zeros(1), np.zeros(1, int), "")

    def answer(threshold, **shares):
        scores = torch.full((1, len(names)), -torch.inf)
        for name, share in shares.items():
            scores[0, names.index(name)] = np.log(share)

        class Engine:
            def evaluate_batch(self, *_):
                return scores, None

        monkeypatch.setattr(hear, "choose_engine", lambda *_: Engine())
        trained.about["confidence_threshold"] = threshold
        return hear.Listener("small").answer(utterance)

    return answer


@pytest.mark.parametrize("threshold", [None, 0.0, 0.5])
def test_a_sound_of_the_class_other_is_no_digit(scored, threshold, capsys):
    heard = scored(threshold, three=0.1, seven=0.3, other=0.6)
    assert heard == hear.Answer("seven", 0.3, False, "", False)
    hear._print_answer(heard, "noise.wav", as_json=False)
    assert capsys.readouterr().out == "noise.wav: not a digit\n"


def test_the_share_of_the_class_other_lowers_the_confidence_of_a_digit(scored, capsys):
    for threshold, accepted in ((None, None), (0.5, True), (0.8, False)):
        heard = scored(threshold, three=0.3, seven=0.6, other=0.1)
        assert heard == hear.Answer("seven", 0.6, accepted, "", True)
    hear._print_answer(heard, None, as_json=False)
    assert capsys.readouterr().out == "seven, 60% (not sure)\n"
    # a German digit isn't expected, so it has no share
    assert scored(0.5, seven=0.3, other=0.1, drei=0.6)[:3] == ("seven", 0.75, False)


def test_an_answer_whose_confidence_equals_the_threshold_is_accepted(scored):
    """Two equal scores have a confidence of exactly one half."""
    for threshold, is_accepted in ((0.5, True), (np.nextafter(0.5, 1), False)):
        assert scored(threshold, three=1, seven=1)[1:3] == (0.5, is_accepted)


@pytest.mark.parametrize("seed", range(3))
def test_white_noise_that_fills_the_recording_is_not_accepted(seed):
    noise = 0.1 * np.random.default_rng(seed).standard_normal(hear.RATE_HZ)  # one second
    listener = hear.Listener()
    assert listener.answer(listener.encode(noise, hear.RATE_HZ)).accepted is False


def test_each_file_gets_an_answer_or_a_sentence_that_says_what_is_wrong(
    seven, tmp_path, monkeypatch, capsys
):
    stereo, silent, two = (tmp_path / f"{name}.wav" for name in ("stereo", "silent", "two"))
    soundfile.write(stereo, np.stack([SEVEN, SEVEN], 1), RATE, "FLOAT")
    soundfile.write(silent, np.zeros(RATE), RATE)
    pause = np.zeros(RATE // 3)
    soundfile.write(two, np.concatenate([SEVEN, pause, SEVEN]), RATE)
    files = [seven, tmp_path / "none.wav", silent, two, stereo]
    assert run(monkeypatch, "--network", "small", "--json", *files) == 1
    out, err = capsys.readouterr()
    first, last = map(json.loads, out.splitlines())
    assert list(first) == ["file", "digit", "confidence", "accepted", "warning", "is_digit"]
    assert first["file"] == str(seven)
    assert first | {"file": 0} == last | {"file": 0}  # of stereo the mean counts
    missing, quiet, many = err.splitlines()[-3:]  # a first start says that it compiles
    assert missing == f"{files[1]}: no such file. Check the path."
    assert quiet == f"{silent}: Silence: is the microphone muted, or another one chosen?"
    assert (
        many == f"{two}: There are 2 utterances. Say one digit, with silence before and after it."
    )
    assert run(monkeypatch, "--network", "small", seven) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{seven}: {first['digit']}, {first['confidence']:.0%}")


def test_a_sound_that_comes_too_late_for_the_network_gets_a_sentence():
    late = RecordedUtterance(SEVEN, RATE, np.full(50, 1.2), np.full(50, 300), "")
    with pytest.raises(RecordingError, match="Most of the sound comes after 1 s"):
        hear.Listener("small").answer(late)


def test_a_network_that_cannot_listen_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="language 'french': must be one of english, german, both"):
        hear.Listener("small", "french")
    grid = Downsampling(first_unit=0, pool_units=1, n_channels=64)
    other = load_pretrained("small")._replace(grid=grid)
    monkeypatch.setattr(hear, "load_trained", lambda _: other)
    with pytest.raises(ValueError, match="its input has 64 channels, but the cochlea"):
        hear.Listener()


def test_what_the_microphone_records_is_classified(monkeypatch, capsys):
    monkeypatch.setattr(hear, "record", lambda: np.repeat(SEVEN, 2))
    monkeypatch.setattr(hear, "RATE_HZ", 2 * RATE)
    assert run(monkeypatch, "--network", "study_0") == 0
    assert re.fullmatch(r"[a-z]+, \d+%( \(not sure\))?\n", capsys.readouterr().out)


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
