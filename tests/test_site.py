"""The pages that ``make site`` builds: nothing executed, every link and picture there, no script
from elsewhere."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from shd_helpers.paths import NOTEBOOKS, ROOT

MAKEFILE = (ROOT / "Makefile").read_text()


class Page(HTMLParser):
    """Collects a page's links, pictures, scripts and anchors."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loaded, self.anchors = [], [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.anchors |= {found[name] for name in ("id", "name") if found.get(name)}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        elif tag in ("img", "script", "source", "audio") and found.get("src"):
            self.loaded.append(found["src"])
        elif tag == "link" and found.get("rel") == "stylesheet":
            self.loaded.append(found["href"])


def broken(site):
    """Return what is missing on the pages of a folder, a line each."""
    pages = {path.resolve(): Page(path) for path in site.rglob("*.html")}
    found = []
    for path, page in pages.items():
        for target in page.loaded + page.links:
            url = urlsplit(target)
            if url.scheme == "data":
                continue
            if url.scheme or url.netloc:
                if target in page.loaded:
                    found.append(f"{path.name}: loads {target}")
                continue
            there = (path.parent / unquote(url.path)).resolve() if url.path else path
            if not there.exists():
                found.append(f"{path.name}: no {target}")
            elif url.fragment and there in pages:
                if unquote(url.fragment) not in pages[there].anchors:
                    found.append(f"{path.name}: no anchor {target}")
    return found


def test_what_is_broken_is_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<a href="b.html#there">1</a><a href="b.html#gone">2</a><a href="c.html">3</a>'
        '<img src="no.png"><img src="data:image/png;base64,AA"><a href="https://x.org">4</a>'
        '<script src="https://cdn.org/m.js"></script>'
    )
    (tmp_path / "b.html").write_text('<p id="there"></p>')
    assert broken(tmp_path) == [
        "a.html: no no.png",
        "a.html: loads https://cdn.org/m.js",
        "a.html: no anchor b.html#gone",
        "a.html: no c.html",
    ]


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
    wanted |= {Path("notebooks", f"{path.stem}.html") for path in NOTEBOOKS.glob("*.ipynb")}
    wanted |= {Path("docs", f"{path.stem}.html") for path in (ROOT / "docs").glob("*.md")}
    assert wanted <= {path.relative_to(site) for path in site.rglob("*.html")}
    assert broken(site) == []
    first = (site / "notebooks" / "02_surrogate_visualization.html").read_text()
    assert "<math" in first and first.count("<img") >= 5
