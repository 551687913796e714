"""The in-browser demo, in chromium, against what Python answers (``make browser``)."""

import http.server
import importlib.util
import threading
from functools import cache, partial
from itertools import count

import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly
from sounds import recordings

from corpus_tests.made_recordings import RATE, noise, tone, with_noise
from shd_circuit import say
from shd_circuit.confidence import confidence_of
from shd_circuit.export import quantization_of
from shd_circuit.quantize import circuit_of
from shd_corpus.filter_bank import EventStream, FilterBank, to_samples
from shd_helpers.data import DIGITS
from shd_helpers.paths import ROOT
from tests import test_browser
from tests.builders.browsers import microphone

HAS_ZIG = importlib.util.find_spec("ziglang")
pytestmark = [*test_browser.pytestmark, pytest.mark.skipif(not HAS_ZIG, reason="run make browser")]
SAMPLE = ROOT / "applications" / "circuit" / "shd_circuit" / "sound" / "sample.flac"
THREE = DIGITS / "lang-english_speaker-00_trial-39_digit-3.flac"
PAUSE = np.zeros(RATE)
# store the samples that the page gets, and what it shows just before its first answer
WATCHED = """
heard = []; shown_before = null; [first_begin, first_take, first_show] = [begin, take, show];
begin = () => { heard = []; first_begin(); };
take = (samples) => { heard.push(...samples); first_take(samples); };
show = (found) => {
  shown_before ??= [at("events").getAttribute("aria-label"), at("scores").children.length];
  first_show(found);
};
void 0"""


@cache
def trained():
    return say.load(say.NETWORK, "english")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    assert say.write_page(trained(), folder / "say.html") <= 300_000  # bytes
    text = (folder / "say.html").read_text(encoding="utf-8")
    assert "https://creativecommons.org/licenses/by/4.0/" in text and "Heidelberg Digits" in text
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


def with_pauses(*waves):
    return with_noise(PAUSE, *(part for wave in waves for part in (wave, PAUSE)))


def of_python(samples):
    """Return the answer to each utterance in a stream, the newest first."""
    bits = quantization_of(trained())
    circuit = circuit_of(trained(), bits)
    confidence = confidence_of(trained(), bits, circuit)
    answers = []
    for utterance in EventStream(FilterBank()).process(samples):
        run = circuit.run(3 * utterance.steps.astype(int), utterance.channels)
        per_mille, is_accepted = confidence.of(run.scores.tolist())
        answer = {"best": run.answer, "confidence": per_mille / 1000}
        answers.append(answer | {"is_accepted": bool(is_accepted), "scores": run.scores.tolist()})
    return answers[::-1]


def test_it_listens_without_a_key_and_answers_each_digit(chromium, site, tmp_path):
    """The sound is repeated, because chromium loses some of it while the machine is busy."""
    wave = with_pauses(*(soundfile.read(path)[0] for path in (SAMPLE, THREE)))
    browser = chromium(*microphone(tmp_path, wave, RATE, is_repeated=True))
    page = Page(browser, (site / "say.html").as_uri(), tmp_path)
    view = page.view
    view.evaluate(WATCHED)
    view.focus("#record")
    view.keyboard.press("Enter")
    for _ in range(120):
        view.wait_for_timeout(1000)
        heard, answers = view.evaluate("[heard, answers]")
        if {3, 7} <= {answer["best"] for answer in answers}:
            break
    else:
        pytest.fail(f"not both digits are recognized: {answers}")
    assert answers == of_python(np.array(heard, np.int16))[:10]
    drawn, n_scores = view.evaluate("shown_before")
    assert int(drawn.split()[0]) > 100 and n_scores == len(trained().class_names)
    assert view.inner_text("#accuracy") == say.accuracy(say.NETWORK)
    assert view.evaluate("document.documentElement.scrollWidth") <= 360
    view.click("#record")
    assert view.inner_text("#record") == "Listen"
    assert page.asked_nobody(), page.trouble
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


@pytest.fixture
def bare(files):
    """Files are heard without noise around them, which is drawn."""
    files.view.evaluate("drawn = surrounded; void (surrounded = (sound) => [sound])")
    yield files
    files.view.evaluate("void (surrounded = drawn)")


def test_a_hundred_utterances_are_answered_as_in_python(bare, site):
    """In files of ten, because the page lists the last ten answers."""
    waves = recordings(100)
    n_found = 0
    for i in range(0, len(waves), 10):
        wave = with_pauses(*waves[i : i + 10])
        bare.hear(wave, "The network a")
        answers = of_python(to_samples(wave.astype(np.float32), RATE))
        n_found += len(answers)
        assert bare.view.evaluate("answers") == answers[:10]
        name = trained().class_names[answers[0]["best"]]
        says = f"answers {name}" if answers[0]["is_accepted"] else "abstains"
        assert f"The network {says}" in bare.view.inner_text("#status")
    assert n_found > 0.9 * len(waves)


def test_the_recorded_digit_is_recognized_without_a_microphone(files):
    """It is the seven of the Heidelberg Digits that the page was built with."""
    files.view.evaluate("tell('')")
    files.view.click("#sample")
    files.says("The network answers seven.")
    assert files.view.evaluate("answers[0].confidence") > trained().about["confidence_threshold"]


def test_a_sound_of_another_rate_is_converted(files):
    wave, rate = soundfile.read(SAMPLE)
    files.hear(resample_poly(wave, 44_100, rate), "The network answers seven.", rate=44_100)


def test_what_is_no_utterance_is_named(files):
    click = with_noise(PAUSE, tone(0.002, 0.9, 3000), PAUSE)
    for wave in (PAUSE, noise(2.0, 0.05), with_noise(PAUSE, tone(10.0), PAUSE), click):
        files.hear(wave, "No utterance was found")
