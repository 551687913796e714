"""The in-browser demo, in chromium, against what Python answers (``make browser``)."""

import http.server
import importlib.util
import threading
from functools import partial
from itertools import count

import numpy as np
import pytest
import soundfile
from circuits import study_folder
from scipy.signal import resample_poly
from sounds import recordings

from corpus_tests.made_recordings import NOT_WORDS, RATE, with_noise
from shd_circuit.board import Confidence
from shd_circuit.folder import read_circuit
from shd_circuit.say import accuracy, page
from shd_corpus.class_names import LANGUAGES
from shd_corpus.microphone import encode_utterance
from shd_corpus.recording_list import RecordingError
from shd_corpus.speech import SPEECH_RATE_HZ, synthesize
from shd_helpers.paths import ROOT
from tests import test_browser
from tests.builders.browsers import microphone

HAS_ZIG = importlib.util.find_spec("ziglang")
pytestmark = [*test_browser.pytestmark, pytest.mark.skipif(not HAS_ZIG, reason="run make browser")]
DIGITS = LANGUAGES["english"]
# far from the threshold, so that noise or another beginning doesn't change what the page says:
# the first three are accepted, and the last is rejected
SAID = [("three", "en-us+m2"), ("five", "en-us+m1"), ("eight", "en-us+f4"), ("one", "en-us+m3")]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    text = page(study_folder("circuit"))
    assert len(text.encode()) <= 500_000  # bytes
    assert "https://creativecommons.org/licenses/by/4.0/" in text and "Heidelberg Digits" in text
    (folder / "say.html").write_text(text, encoding="utf-8")
    return folder


class Page:
    """The page, ready: sound files are given to it, or its microphone records."""

    def __init__(self, browser, address, folder):
        self.view = browser.new_page(viewport={"width": 360, "height": 740})
        self.address = address
        self.trouble = []
        self.names = (folder / f"{i}.wav" for i in count())  # of the same name none is loaded
        for kind, part in (("pageerror", "message"), ("console", "text"), ("request", "url")):
            self.view.on(kind, lambda it, part=part: self.trouble.append(getattr(it, part)))
        self.view.goto(address)
        self.view.wait_for_selector("#record:not([disabled])", timeout=60_000)

    def says(self, text):
        self.view.wait_for_selector(f'#status:has-text("{text}")', timeout=60_000)

    def hear(self, wave, text, rate=RATE):
        """Give it a sound, and wait until it says this."""
        name = next(self.names)
        soundfile.write(name, wave, rate, "FLOAT")
        self.load(name, text)

    def load(self, name, text):
        """Give it a file, and wait until it says this."""
        self.view.evaluate("tell('')")
        self.view.set_input_files("#file", name)
        self.says(text)

    def asked_nobody(self):
        asked = {url for url in self.trouble if not url.startswith(("blob:", "data:"))}
        return asked == {self.address}


def said(digit, voice="en-us+m3"):
    wave = resample_poly(synthesize(digit, voice), RATE, SPEECH_RATE_HZ)
    return with_noise(np.zeros(RATE // 2), wave, np.zeros(RATE))


def of_python(wave):
    word = encode_utterance(wave, RATE)
    steps = np.rint(word.times * RATE / 2).astype(int)
    return steps * 700 + word.units, read_circuit(study_folder("circuit")).run(
        steps // 24, word.units
    )


def decision(run):
    """Return the confidence in thousandths, and whether the answer is accepted."""
    return Confidence(study_folder("circuit")).of(run.scores.tolist())


def verdict(run):
    """Return what the page says about these scores."""
    if run.answer == len(DIGITS):
        return "The network abstains: the sound is no digit."
    digit = DIGITS[run.answer]
    if decision(run)[1]:
        return f"The network answers {digit}."
    return f"The network abstains: perhaps the sound is no digit. Its best guess is {digit},"


@pytest.mark.parametrize(("digit", "voice"), SAID)
def test_a_spoken_digit_is_answered_as_in_python(chromium, site, tmp_path, digit, voice):
    wave = said(digit, voice)
    browser = chromium(*microphone(tmp_path, wave, RATE))
    heard = Page(browser, (site / "say.html").as_uri(), tmp_path)
    view = heard.view
    view.focus("#record")
    view.keyboard.press("Enter")
    view.wait_for_selector("#spikes[aria-label^=Preview]", timeout=60_000)
    heard.says(verdict(of_python(wave)[1]))
    assert view.inner_text("#accuracy") == accuracy(study_folder("circuit"))
    view.focus("#until")
    view.keyboard.press("Home")
    assert view.get_attribute("#until", "aria-valuetext") == "After 0 ms all scores are 0"
    assert view.evaluate("document.documentElement.scrollWidth") <= 360
    assert heard.asked_nobody(), heard.trouble
    browser.close()


@pytest.fixture(scope="module")
def files(chromium, site, tmp_path_factory):
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/say.html"
        heard = Page(chromium(), address, tmp_path_factory.mktemp("sounds"))
        yield heard
        assert heard.asked_nobody(), heard.trouble
        server.shutdown()


def check_as_in_python(files, wave):
    """Both encode nearly the same spikes, and from the same spikes they compute the same scores."""
    spikes = np.array(files.view.evaluate("utterance.spikes"))
    assert len(np.setxor1d(spikes, of_python(wave)[0])) < 0.02 * len(spikes)
    run = read_circuit(study_folder("circuit")).run(spikes // 700 // 24, spikes % 700)
    assert files.view.evaluate("utterance.counts") == run.scores.tolist()
    assert files.view.evaluate("utterance.scores.at(-1)") == run.scores.tolist()
    assert files.view.evaluate("utterance.best") == run.answer


def test_a_hundred_utterances_are_answered_as_in_python(files):
    for wave in recordings(100):
        heard = with_noise(np.zeros(RATE // 2), wave, np.zeros(RATE))
        files.hear(heard, "The network a")
        check_as_in_python(files, heard)


def test_the_recorded_digit_is_recognized_without_a_microphone(files):
    """It is the seven of the Heidelberg Digits that the page was built with."""
    wave, rate = soundfile.read(
        ROOT / "applications" / "circuit" / "shd_circuit" / "sound" / "sample.flac"
    )
    assert rate == RATE
    run = of_python(wave)[1]
    per_mille, is_accepted = decision(run)
    assert is_accepted
    files.view.evaluate("tell('')")
    files.view.click("#sample")
    files.says("The network answers seven.")
    assert DIGITS[run.answer] == "seven"
    assert files.view.evaluate("utterance.is_accepted")
    assert abs(1000 * files.view.evaluate("utterance.confidence") - per_mille) <= 5


def test_a_sound_of_another_rate_is_converted(files):
    files.hear(resample_poly(said("seven"), 44_100, RATE), "The network a", rate=44_100)
    assert DIGITS[files.view.evaluate("utterance.best")] == "seven"


def test_what_is_no_utterance_is_named_as_in_python(files):
    for wave, _ in NOT_WORDS:
        if len(wave):  # such a file can't be chosen
            with pytest.raises(RecordingError) as error:
                encode_utterance(wave, RATE)
            files.hear(wave, str(error.value))
