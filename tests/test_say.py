"""The page that hears a digit, in chromium, against what Python answers (``make browser``)."""

import http.server
import importlib.util
import threading
from functools import partial

import numpy as np
import psutil
import pytest
import soundfile
from scipy.signal import resample_poly

from hardware.folder import read_circuit
from hardware.say import FOLDER, LARGEST_KB, MODEL, SWEEP, chances, page
from shd_helpers.paths import ROOT
from shd_helpers.source import SPEECH_RATE_HZ, synthesise
from shd_helpers.source.microphone import encode_word
from shd_helpers.source.recordings import RecordingError
from shd_helpers.source.shd_file import LANGUAGES
from shd_helpers.study import interval, read_table
from tests.test_browser import CHROMIUM, chromium, microphone, playwright  # noqa: F401
from tests.test_microphone import NOT_WORDS, RATE, tone, with_noise

WAIT = {"timeout": 60_000}  # this machine may be busy
browsers = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium"),
    pytest.mark.skipif(not importlib.util.find_spec("ziglang"), reason="no ziglang: make say"),
]


def in_browser(test):
    for mark in browsers:
        test = mark(test)
    return test


def test_chances_are_the_table_s():
    runs = read_table("circuit_bits_hd")
    runs = runs[(runs.model == "3-8-12 tuned") & ~runs.held_out.isin([8, 9])]
    cells = runs.sort_values(["held_out", "seed"]).integer_test_unseen_accuracy
    mean, half = 100 * np.array(interval(cells.to_numpy().reshape(10, 2)))
    assert f"{mean:.0f} ± {half:.0f} % of the " in chances(SWEEP, MODEL)
    with pytest.raises(ValueError, match="has no network 3-8-13"):
        chances(SWEEP, "3-8-13")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Write the page as it is written into the site, for other folders hold it, too."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "say.html").write_text(page(ROOT / FOLDER), encoding="utf-8")
    return folder


def opened(browser, address):
    """Return the page, ready; a request of another address, or an error, is one of the test."""
    view = browser.new_page(viewport={"width": 360, "height": 740})
    trouble = []
    view.on("pageerror", lambda error: trouble.append(str(error)))
    view.on("console", lambda line: trouble.append(line.text))
    view.on("request", lambda request: trouble.append(request.url))
    view.goto(address)
    view.wait_for_selector("#record:not([disabled])", **WAIT)
    return view, trouble


def only(trouble, address):
    assert {url for url in trouble if not url.startswith(("blob:", "data:"))} == {address}, trouble


def says(view, text):
    view.wait_for_selector(f'#status:has-text("{text}")', **WAIT)


def answer_of(wave, rate):
    word = encode_word(wave, rate)
    ms = np.rint(word.times * RATE / 2).astype(int) // 24
    return word, read_circuit(ROOT / FOLDER).run(ms, word.units)


def said(digit, voice="en-us+m3"):
    return resample_poly(synthesise(digit, voice), RATE, SPEECH_RATE_HZ)


# votes of these lie at least ten apart: what the microphone adds decides nothing
@in_browser
@pytest.mark.parametrize(
    ("digit", "voice"), [("zero", "en-us+f2"), ("five", "en-us+f2"), ("eight", "en-us+m3")]
)
def test_a_word_that_is_said_is_answered_as_in_python(chromium, site, tmp_path, digit, voice):  # noqa: F811
    wave = with_noise(np.zeros(RATE // 2), said(digit, voice), np.zeros(RATE))
    _, run = answer_of(wave, RATE)
    browser = chromium(*microphone(tmp_path, wave, RATE))
    address = (site / "say.html").as_uri()
    view, trouble = opened(browser, address)
    view.focus("#record")
    view.keyboard.press("Enter")
    says(view, "Say a digit now")
    view.wait_for_selector("#spikes[aria-label^=Preview]", **WAIT)
    says(view, f"The network answers {LANGUAGES['english'][run.answer]}.")
    assert view.inner_text("#record") == "Say a digit"
    assert "for a stranger? For 70 " in view.inner_text("#chances")
    assert "Encoded and answered in " in view.inner_text("#took")
    view.focus("#until")
    view.keyboard.press("Home")
    assert view.get_attribute("#until", "aria-valuetext") == "After 0 ms nobody has a vote"
    assert view.evaluate("document.documentElement.scrollWidth") <= 360
    only(trouble, address)
    browser.close()


class Files:
    """The page, to which sound files are given."""

    def __init__(self, browser, address, folder):
        self.view, self.trouble = opened(browser, address)
        self.names = (folder / f"{i}.wav" for i in range(100))  # of the same name none is loaded

    def hear(self, wave, text):
        """Give it a sound, and wait until it says this."""
        self.view.evaluate("tell('')")
        name = next(self.names)
        soundfile.write(name, wave, RATE, "FLOAT")
        self.view.set_input_files("#file", name)
        says(self.view, text)


@pytest.fixture(scope="module")
def files(chromium, site, tmp_path_factory):  # noqa: F811
    browser, folder = chromium(), tmp_path_factory.mktemp("sounds")
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/say.html"
        heard = Files(browser, address, folder)
        yield heard
        only(heard.trouble, address)
        server.shutdown()
    browser.close()


@in_browser
def test_the_spikes_and_votes_are_those_of_python(files):
    for digit in ("zero", "five", "eight"):  # votes far apart
        wave = with_noise(np.zeros(RATE // 2), said(digit, "en-us+f2"), np.zeros(RATE // 2))
        word, run = answer_of(wave, RATE)
        files.hear(wave, f"answers {LANGUAGES['english'][run.answer]}.")
        found = np.array(files.view.evaluate("word.spikes"))
        steps = np.rint(word.times * RATE / 2).astype(int)
        other = np.setxor1d(found, steps * 700 + word.units)
        assert len(other) < 0.02 * len(found)
        counts = np.array(files.view.evaluate("word.counts"))
        assert np.abs(counts - run.counts).max() <= 3
        hidden = len(files.view.evaluate("word.hidden")) / 2
        assert hidden == pytest.approx(run.spk[0].sum(), rel=0.02)
        assert f"{len(files.view.evaluate('word.events')) // 2:,} events of 183" in (
            files.view.inner_text("#events-says")
        )


@in_browser
def test_what_is_no_word_is_named_as_in_python(files, tmp_path):
    for wave, _ in NOT_WORDS:
        if len(wave):  # such a file can't be chosen
            with pytest.raises(RecordingError) as error:
                encode_word(wave, RATE)
            files.hear(wave, str(error.value))
    wave = with_noise(np.zeros(RATE), np.clip(tone(0.5, 3.0), -1, 1), np.zeros(RATE))
    files.hear(wave, encode_word(wave, RATE).warning)
    (tmp_path / "no.wav").write_text("no sound")
    files.view.set_input_files("#file", tmp_path / "no.wav")
    says(files.view, "no sound that the browser can read")


@in_browser
def test_ten_words_leave_nothing_behind(files):
    def used():
        renderers = [p for p in psutil.Process().children(recursive=True)
                     if "--type=renderer" in p.cmdline()]  # fmt: skip
        return sum(process.memory_info().rss for process in renderers)

    memory = []
    for digit in LANGUAGES["english"] + LANGUAGES["english"]:
        files.hear(with_noise(np.zeros(RATE // 2), said(digit), np.zeros(RATE // 2)), "answers")
        memory.append(used())
    assert memory[-1] - memory[9] < 20e6, memory


@in_browser
@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--use-fake-ui-for-media-stream"], "No microphone was found"),
        (["--use-fake-device-for-media-stream", "--deny-permission-prompts"], "was not allowed"),
    ],
)
def test_without_a_microphone_a_sentence_says_what_to_do(chromium, site, flags, text):  # noqa: F811
    browser = chromium(*flags)
    view, _ = opened(browser, (site / "say.html").as_uri())
    view.click("#record")
    says(view, text)
    assert view.is_enabled("#record")
    browser.close()


@in_browser
def test_the_page_is_small_whole_and_names_its_sources(site):
    text = (site / "say.html").read_text(encoding="utf-8")
    assert len(text.encode()) <= 1000 * LARGEST_KB
    assert "https://creativecommons.org/licenses/by/4.0/" in text and "Heidelberg Digits" in text
    assert "default-src 'none'" in text
