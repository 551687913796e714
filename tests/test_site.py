"""The pages that ``make site`` builds: nothing executed, nothing loaded from elsewhere.

A link or a picture that isn't there is a warning of Sphinx, and its warnings are errors.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import shd_helpers
from shd_course.figures import first_look
from shd_helpers.paths import ROOT
from tests import found
from tests.builders.browsers import CHROMIUM

MAKEFILE = (ROOT / "Makefile").read_text()

LOADED = r'<(?:img|script|source|audio|link rel="stylesheet")[^>]* (?:src|href)="([^"]+)"'


@pytest.mark.slow
def test_the_site_is_whole(tmp_path):
    pytest.importorskip("myst_nb", reason="Sphinx isn't installed: make site")
    command = re.search(r"-m sphinx (.*) build/site", MAKEFILE)[1].split()
    ended = subprocess.run(
        [sys.executable, "-m", "sphinx", *command, tmp_path / "site"],
        cwd=ROOT,
        env=os.environ | {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    site = tmp_path / "site"
    wanted = {Path("README.html"), Path("sweeps/README.html"), Path("results/README.html")}
    wanted |= {
        Path(f"{name}.html") for name in ("applications/circuit/README", "results/networks/README")
    }
    wanted |= {Path("docs/api.html"), Path("search.html")}
    wanted |= {
        Path(f"{name}.html") for name in ("CHANGELOG", ".github/CONTRIBUTING", ".github/SECURITY")
    }
    wanted |= {Path("notebooks", f"{path.stem}.html") for path in found("notebooks/*.ipynb")}
    wanted |= {Path("docs", f"{path.stem}.html") for path in found("docs/*.md")}
    assert wanted <= {path.relative_to(site) for path in site.rglob("*.html")}
    loaded = {url for page in site.rglob("*.html") for url in re.findall(LOADED, page.read_text())}
    assert len(loaded) > 10 and not {url for url in loaded if re.match("https?:|//", url)}
    first = (site / "index.html").read_text()
    for name in re.findall(r'(?:href|src) ?= ?"([^"#:]+)["#]', first):
        assert (site / name).exists(), name
    home = (site / "README.html").read_text()
    assert 'role="search"' in home and 'href="docs/api.html"' in home
    reference = (site / "docs" / "api.html").read_text()
    assert reference.count('<dt class="sig sig-object py"') > len(shd_helpers.__all__)
    first = (site / "notebooks" / "02_surrogate_visualization.html").read_text()
    assert "<math" in first and first.count("<img") >= 5


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")
def test_the_slider_of_the_first_page_shrinks_a_digit(tmp_path, chromium):
    """It counts as many events as notebook 0, and its networks give the same answers."""
    for path in (ROOT / "docs" / "index.html", first_look.FOUR_SIZES):
        shutil.copy(path, tmp_path)
    page = chromium().new_page()
    page.goto((tmp_path / "index.html").as_uri())
    utterances = first_look.stored()["utterances"]
    for place, size in enumerate(first_look.stored()["inputs"]):
        page.locator("#size").fill(str(place))
        page.wait_for_selector("li")  # at first they are loaded
        n_events = first_look.events_of(0, size).sum()
        assert page.locator("canvas").text_content() == f"{n_events} events"
        texts = page.locator("li").all_text_contents()
        for number, (each, text) in enumerate(zip(utterances, texts, strict=True)):
            digit = each["digit"]
            answer = first_look.answer_to(number, size)
            assert text == (digit if answer == digit else f"{digit}, answer {answer}")
