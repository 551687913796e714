"""The notebooks in JupyterLab, driven in a browser: every control moved, figure and text watched.

Run with ``make browser``. With ``SHD_SCREENSHOTS=folder`` it runs on the real data, where it lies,
and leaves pictures there: ``SHD_SCREENSHOTS=img make browser`` makes ``img/explorer_01.png``.
"""

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from shd_corpus.microphone import encode_utterance
from shd_corpus.speech import SPEECH_RATE_HZ, synthesize
from shd_course.predictions import QUESTIONS
from shd_course.student_copy import student_copy
from shd_helpers.paths import NOTEBOOKS
from shd_helpers.study import evaluate, input_of, load_pretrained
from tests import found
from tests.builders.browsers import CHROMIUM, microphone
from tests.toy import with_small_data

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium"),
]
LONG_MS = 120_000
SCREENSHOTS = os.environ.get("SHD_SCREENSHOTS")
# all cells in the page, not only those in view
SETTINGS = {"@jupyterlab/notebook-extension/tracker": '{"windowingMode": "none"}'}
SETTINGS |= {"@jupyterlab/apputils-extension/notification": '{"fetchNews": "false"}'}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Start JupyterLab on a copy of the notebooks, and stop it with all that it started."""
    home = tmp_path_factory.mktemp("a student")
    (home / "notebooks").mkdir()
    for path in found("*.ipynb", folder=NOTEBOOKS):
        notebook = nbformat.reads(student_copy(path), as_version=4)
        for cell in notebook.cells:
            if not SCREENSHOTS:
                with_small_data(cell)
        nbformat.write(notebook, home / "notebooks" / path.name)
    (home / "runs").mkdir()
    asked = {name: each for its in QUESTIONS.values() for name, each in its.items()}
    # so no cell waits
    predicted = {name: each.get("options", [0])[0] for name, each in asked.items()}
    (home / "runs" / "my_predictions.json").write_text(json.dumps(predicted))
    for name, content in SETTINGS.items():
        path = home / "settings" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    places = {"SHD_RUNS_DIR": str(home / "runs"), "OMP_NUM_THREADS": "1"}
    places |= {"JUPYTER_CONFIG_DIR": str(home), "JUPYTER_RUNTIME_DIR": str(home / "runtime")}
    places |= {"JUPYTERLAB_SETTINGS_DIR": str(home / "settings")}
    if not SCREENSHOTS:
        places["SHD_DATA_DIR"] = str(home / "data")
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--ip=127.0.0.1"]
    command += [f"--port={port}", "--ServerApp.port_retries=0", "--allow-root"]
    command += [f"--IdentityProvider.token={token}", f"--notebook-dir={home / 'notebooks'}"]
    with (home / "log").open("w") as log:
        server = subprocess.Popen(
            command, env=os.environ | places, stdout=log, stderr=log, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            assert server.poll() is None, (home / "log").read_text()
            try:
                urllib.request.urlopen(f"{url}/api?token={token}", timeout=5).close()
                break
            except OSError:
                time.sleep(0.2)
        yield SimpleNamespace(url=url, token=token, notebooks=home / "notebooks")
    finally:
        server.send_signal(signal.SIGTERM)  # it shuts its kernels down
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait(20)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def browser(chromium):
    return chromium()


class Notebook:
    """One notebook in one page, all its cells run; what is shown is read and changed."""

    explorer = 0  # the number of the one that is read and changed

    def __init__(self, browser, lab, name):
        self.page = browser.new_page(viewport={"width": 1366, "height": 768})
        self.page.set_default_timeout(LONG_MS)
        workspace = secrets.token_hex(4)  # a new one doesn't open what the last one had open
        self.page.goto(f"{lab.url}/lab/workspaces/{workspace}/tree/{name}.ipynb?token={lab.token}")
        self.page.wait_for_selector(".jp-NotebookPanel .jp-CodeCell")
        self.page.wait_for_selector(".jp-StatusBar-TextItem:has-text('| Idle')")
        self.page.click("li.lm-MenuBar-item:has-text('Run')")
        self.page.click("li.lm-Menu-item:has-text('Run All Cells') >> nth=0")
        # a prompt is "[ ]:" before a cell has run, "[*]:" while it does, then a number
        # (a folded cell, such as an exercise's check, has none)
        prompts = "[...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')]"
        self.page.wait_for_function(
            f"{prompts}.length > 1 && {prompts}.every(p => /\\[\\d+\\]/.test(p.textContent))"
            " || document.querySelector('[data-mime-type=\"application/vnd.jupyter.error\"]')"
        )

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        found = ("error", "stderr")
        found = [f"[data-mime-type='application/vnd.jupyter.{kind}']" for kind in found]
        errors = self.page.locator(", ".join(found)).all_inner_texts()
        self.page.close()
        assert kind or errors == []

    def text(self):
        return self.page.locator("[role=status]").nth(self.explorer).inner_text()

    def picture(self):
        return self.page.locator("img.shd-figure").nth(self.explorer).get_attribute("src")

    def changes(self, act, says=""):
        """Do something that changes the explorer, and wait until the text says this."""
        text = self.text()
        picture = self.picture()
        act()
        until = time.monotonic() + LONG_MS / 1000
        while time.monotonic() < until:
            self.page.wait_for_timeout(50)
            if self.text() != text and self.picture() != picture and says in self.text():
                return
        raise AssertionError(f"{says!r} isn't said: {self.text()}")

    def control(self, label):
        """Return the control with this label; of several the first explorer's."""
        label = f".jupyter-widgets:has(> .widget-label:text-is('{label}'))"
        return self.page.locator(label).first

    def press(self, label, key, times=1, says=""):
        """Move a slider by its keyboard; PageUp and PageDown are five steps at once."""
        handle = self.control(label).locator(".noUi-handle")
        self.changes(lambda: [handle.press(key) for _ in range(times)], says)

    def choose(self, label, value, says=""):
        select = self.control(label).locator("select")
        self.changes(lambda: select.select_option(value), says)

    def look(self, name):
        """Check that the picture fits the page; keep a screenshot if they are wanted."""
        image = self.page.locator("img.shd-figure").first.bounding_box()
        panel = self.page.locator(".jp-NotebookPanel").bounding_box()
        assert image["x"] + image["width"] <= panel["x"] + panel["width"] + 1
        if SCREENSHOTS:
            # The explorer alone: what is around it, such as the number of cells, changes.
            explorer = self.page.locator(".jp-OutputArea-output:has(img.shd-figure)").first
            explorer.scroll_into_view_if_needed()
            self.page.wait_for_timeout(500)
            path = Path(SCREENSHOTS) / f"{name}.png"
            explorer.screenshot(path=path)
            assert path.stat().st_size > 1000


def test_01_downsizing(lab, browser):
    with Notebook(browser, lab, "01_data_preprocessing") as page:
        assert page.page.evaluate("document.querySelectorAll('audio').length") == 3
        page.look("explorer_01")
        page.choose("label", "seven", "seven")
        page.choose("speaker", "2", "speaker 2")
        page.press("first_unit", "ArrowRight")
        page.press("pool_units", "ArrowRight")
        page.press("pool_steps", "ArrowLeft")  # it begins at its largest value
        page.press("pool_threshold", "ArrowRight", says="threshold 6")
        # dragging: many changes, the last one is shown
        page.press("pool_units", "ArrowRight", 12, "pooled at threshold 6 to 33 units")


def code_of(lab, name):
    """Return the texts of a notebook's code cells."""
    notebook = nbformat.read(lab.notebooks / f"{name}.ipynb", as_version=4)
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def write_and_run(page, place, text, n_cells, says):
    """Replace the text of a code cell, run it and those below, and wait for what the last says."""
    cells = page.page.locator(".jp-CodeCell")
    cells.nth(place).locator(".cm-content").click()
    page.page.keyboard.press("Control+A")
    page.page.keyboard.insert_text(text)
    for _ in range(n_cells):
        page.page.keyboard.press("Shift+Enter")
    cells.nth(place + n_cells - 1).locator(f"pre:has-text({says!r})").wait_for()


def test_01_an_exercise_is_done(lab, browser):
    """A wrong answer gets its hint, and a right one its praise."""
    name = "01_data_preprocessing"
    with Notebook(browser, lab, name) as page:
        sources = code_of(lab, name)
        place = next(i for i, text in enumerate(sources) if text.startswith("def pool("))
        right = sources[place + 1].partition("\n")[2].replace("_solution", "")
        wrong = right.replace(">= threshold", "> threshold")
        # the exercise, the solution, the check
        write_and_run(page, place, wrong, 3, "pool: not yet right: ")
        write_and_run(page, place, right, 3, "pool: right: your events equal")


def test_01_a_prediction_is_typed_and_scored(lab, browser):
    """What can't be understood is asked again, and only then is the answer drawn."""
    stored = lab.notebooks.parent / "runs" / "my_predictions.json"
    name = "01_data_preprocessing"
    with Notebook(browser, lab, name) as page:
        predicted = stored.read_text()
        stored.write_text("{}")
        sources = code_of(lab, name)
        asks = next(i for i, text in enumerate(sources) if 'predict("alike")' in text)
        scores = sources.index("score(1)")
        cells = page.page.locator(".jp-CodeCell")
        cells.nth(asks).locator(".cm-content").click()
        page.page.keyboard.press("Shift+Enter")
        for typed in ("neither", QUESTIONS[1]["alike"]["answer"]):
            cells.nth(asks).locator("input.jp-Stdin-input").last.fill(typed)
            assert cells.nth(asks).locator("img").count() == 0
            page.page.keyboard.press("Enter")
            cells.nth(asks).locator(f"pre:has-text(') {typed}')").wait_for()  # it was read
        cells.nth(asks).locator("img").first.wait_for()
        assert json.loads(stored.read_text()) == {"alike": "digit"}
        cells.nth(scores).locator(".cm-content").click()
        page.page.keyboard.press("Shift+Enter")
        cells.nth(scores).locator("pre:has-text('1 of 1 predictions were right.')").wait_for()
    stored.write_text(predicted)  # so that no cell of the next notebook waits


def test_03_a_network_is_built_and_one_is_diagnosed(lab, browser):
    """The reader's own class is checked, and a right diagnosis makes a broken network learn."""
    name = "03_model_training"
    with Notebook(browser, lab, name) as page:
        sources = code_of(lab, name)
        place = next(i for i, text in enumerate(sources) if text.startswith("class TwoLayerSNN("))
        right = sources[place + 1].partition("\n")[2].replace("TwoLayerSNN_solution", "TwoLayerSNN")
        wrong = right.replace("self.fc2(spk1)", "self.fc2(mem1)")
        write_and_run(page, place, wrong, 3, "not yet right: the second layer gets the hidden")
        write_and_run(page, place, right, 3, "TwoLayerSNN: right: ")
        place = next(i for i, text in enumerate(sources) if text.startswith("faults = "))
        answers = 'faults = {"C": "threshold"}'
        write_and_run(page, place, answers, 2, "network C with healthy threshold: ")


def test_00_noise_is_added(lab, browser):
    with Notebook(browser, lab, "00_first_look") as page:
        assert "Voice without noise: after 999 ms, nine has the most votes" in page.text()
        page.press("noise", "End", says="Voice with noise of 200 %")
        page.press("until_ms", "Home", says="after 3 ms")
        assert page.page.evaluate("document.querySelectorAll('audio').length") == 2
        box = page.page.locator("label:has-text('voice') input")
        page.changes(box.click, "Noise alone")


@pytest.fixture(scope="module")
def say(lab):
    """Put the cells of notebook 4 that listen into a notebook of their own; return its name."""
    notebook = nbformat.read(lab.notebooks / "04_results_analysis.ipynb", as_version=4)
    wanted = ("from shd_course import", "say_a_digit(trained)")
    cells = [[c for c in notebook.cells if text in c.source] for text in wanted]
    imports = cells[0][0]
    notebook.cells = [imports, cells[1][0]]
    imports.source += '\ntrained = study.load_pretrained("study_0")'
    nbformat.write(notebook, lab.notebooks / "say.ipynb")
    return "say"


def record(page, seconds):
    page.page.click("button:text-is('Record a digit')")
    page.page.wait_for_timeout(1000 * seconds)
    page.page.click("button:text-is('Stop')")


def test_04_a_word_is_said(lab, chromium, say, tmp_path):
    """The answer is that of the same sound without a browser; the picture is of this word."""
    wave = synthesize("six", "en-us+m3")
    heard = encode_utterance(wave, SPEECH_RATE_HZ)
    trained = load_pretrained("small").speaking("english")
    scores = evaluate(trained.network, input_of(trained, heard.times, heard.units)).class_scores
    answer = trained.class_names[int(scores.argmax())]
    with Notebook(chromium(*microphone(tmp_path, wave, SPEECH_RATE_HZ)), lab, say) as page:
        assert "their own microphones" in page.text()
        said = page.page.locator(f"[role=status]:has-text('The network small answers {answer}.')")
        for _ in range(5):  # chromium loses some sound while the machine is busy
            record(page, 3.5)
            page.page.wait_for_timeout(5000)
            if said.count():
                break
        said.wait_for()
        assert re.match(r"Your network answers \w+\. The network small", page.text())
        page.look("say_a_word")
        page.press("until_ms", "Home", says="After 3 ms")
