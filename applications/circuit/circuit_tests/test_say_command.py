"""The command that writes the demo page (``make say``), and its worker, without a browser."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from circuits import exported

from shd_circuit import say
from shd_circuit.folder import ExportError
from shd_helpers.paths import ROOT

SOUND = ROOT / "applications" / "circuit" / "shd_circuit" / "sound"
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="apt install nodejs")


def said(monkeypatch, *arguments):
    """Return what `make say` ends with."""
    monkeypatch.setattr(sys, "argv", ["say", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        say.main()
    return str(ended.value.code)


@pytest.fixture
def folder(tmp_path):
    exported(tmp_path / "circuit", "study", 1)
    return tmp_path / "circuit"


def test_a_page_that_can_t_be_written_is_named(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(say, "compile_c", lambda *_: b"")
    (tmp_path / "file").touch()
    (tmp_path / "pages").mkdir()
    for name, why in (("pages", "is a folder"), ("file/say.html", "can't be written")):
        message = said(monkeypatch, folder, "--out", tmp_path / name)
        assert "No page was written." in message
        assert f"{tmp_path / name}: {why}" in message and "OUT=" in message
    assert not list((tmp_path / "pages").iterdir())


@pytest.mark.parametrize("name", ["network.h", "classes.txt"])
def test_a_file_is_named_if_it_is_missing_and_needed(name, folder, monkeypatch):
    monkeypatch.setattr(say, "compile_c", lambda *_: b"")
    assert '"digits": ["a", "b", "c", "d", "e"]' in say.page(folder)
    (folder / name).unlink()
    with pytest.raises(ExportError, match=rf"{re.escape(name)}: no such file"):
        say.page(folder)


STAGE = """
const fs = require("fs"), vm = require("vm");
const [file, data] = process.argv.slice(1);
const stage = { postMessage: (told) => console.log(JSON.stringify(told)), atob, console };
Object.assign(stage, { TextEncoder, TextDecoder, performance, WebAssembly, Uint8Array });
vm.runInNewContext(fs.readFileSync(file, "utf-8"), stage);
stage.onmessage({ data: JSON.parse(data) });
"""


@needs_node
@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"kind": "start", "modules": ["AA==", "AA=="]}, "needs WebAssembly with SIMD"),
        ({"kind": "start", "modules": []}, "The page's program failed (.*). Reload"),
        ({"kind": "begin"}, "The page's program failed (.*). Reload"),
    ],
)
def test_an_error_of_the_worker_is_reported_to_the_page(data, says):
    """Where SIMD is missing, the page once waited for ever."""
    command = [NODE, "-e", STAGE, str(SOUND / "worker.js"), json.dumps(data)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert (told["kind"], told["during"]) == ("failed", data["kind"])
    assert re.search(says, told["says"])
