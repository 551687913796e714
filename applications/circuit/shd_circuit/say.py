"""Write a demo page that recognizes digits with an exported circuit, in one file (``make say``).

The C sources in `sound/` and the circuit's are compiled to WebAssembly by zig's clang, which PyPI
has as ``ziglang``. The page has both as text and needs nothing else.
"""

import argparse
import base64
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import webbrowser
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from shd_circuit.export import write_study_circuit
from shd_circuit.folder import (
    ExportError,
    check_header,
    read_class_names,
    read_confidence,
    read_description,
)
from shd_circuit.readme import UNSEEN
from shd_corpus.files import atomic, reading
from shd_helpers.command import run
from shd_helpers.paths import resolve

FOLDER = "build/circuit"
ZIG = [sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-wasi", "-std=c99", "-s"]
COCHLEA = [
    "-DFLOAT",
    "-DMAX_SAMPLES=80000",  # of an utterance: 1.7 s at 48 kHz
    "-DMAX_RECORDING=720000",  # 15 s
    "-O3",
    "-msimd128",
    "-fcx-limited-range",  # complex products without checks for infinity
    "-mexec-model=reactor",  # a library without main
]
NOTICE = (
    "Our networks are trained on the "
    '<a href="https://doi.org/10.1109/TNNLS.2020.3044364">Heidelberg Digits</a> (B. Cramer, Y. '
    "Stradmann, J. Schemmel, F. Zenke, 2022) and on "
    '<a href="https://arxiv.org/abs/1804.03209">Speech Commands</a> (P. Warden, 2018), recordings '
    'under <a href="https://creativecommons.org/licenses/by/4.0/">CC BY 4.0</a>. The recorded '
    "digit is one of the Heidelberg Digits, unchanged. The model of the inner ear is by the same "
    "authors."
)


def compile_c(file: Path, options: Sequence[str]) -> bytes:
    """Compile a C file to WebAssembly."""
    if importlib.util.find_spec("ziglang") is None:
        raise ExportError(
            "zig's C compiler: not found. Run make say, which installs it, or run: pip install -e "
            "'.[demo]'"
        )
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.wasm"
        command = [*ZIG, *options, str(file), "-o", str(out)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise ExportError(f"{file}: can't be compiled: {ended.stderr.strip()[-2000:]}")
        return out.read_bytes()


def accuracy(folder: Path) -> str:
    """Say how accurate a folder's circuit is for unseen speakers."""
    if known := read_description(folder).unseen_accuracy:
        return UNSEEN.format(known).strip()
    return "How accurate this network is for speakers outside its training set isn't known."


def page(folder: Path) -> str:
    """Write the demo page of an exported circuit."""
    check_header(folder)
    data = _circuit_data(folder)
    sound = files("shd_circuit") / "sound"
    data["has_confidence"] = (folder / "confidence.h").is_file()
    if data["has_confidence"]:
        threshold = read_confidence(folder).threshold
        data["threshold"] = threshold if threshold <= 1 else None  # JSON has no infinity
    accept = ["-DACCEPT"] if data["has_confidence"] else []
    modules = (
        compile_c(Path(str(sound / "hear.c")), COCHLEA),
        # the page shows membrane potentials if the scores are their sums
        compile_c(folder / "reference.c", [f"-DTRACE={data['is_membrane']}", "-Os", *accept]),
    )
    data["sample"] = base64.b64encode((sound / "sample.flac").read_bytes()).decode()
    data["modules"] = [base64.b64encode(module).decode() for module in modules]
    data["worker"] = (sound / "worker.js").read_text(encoding="utf-8")
    data["accuracy"] = accuracy(folder)
    data["notice"] = NOTICE
    script = (sound / "page.js").read_text(encoding="utf-8")
    html = (sound / "page.html").read_text(encoding="utf-8")
    # "<" could end the script that holds the data
    inline = json.dumps(data).replace("<", "\\u003c")
    return html.replace("SCRIPT", script, 1).replace("PARTS", inline, 1)


def _circuit_data(folder: Path) -> dict[str, Any]:
    """Return a circuit's sizes, and its classes, by the names that the page's script has."""
    path = folder / "network.h"
    with reading(path, ExportError, "Write the folder anew with make export."):
        header = path.read_text(encoding="utf-8")
        sizes = {name: int(n) for name, n in re.findall(r"#define (\w+) (\d+)\n", header)}
        names = ("N_UNITS", "N_STEPS", "N_HIDDEN", "POOL_STEPS", "BIN_MS", "IS_MEMBRANE")
        data: dict[str, Any] = {name.lower(): sizes[name] for name in names}
    data["digits"] = read_class_names(folder)
    return data


def write_page(folder: Path, out: Path) -> int:
    """Write the demo page of an exported circuit to a file."""
    if out.is_dir():  # known before anything is compiled
        raise ExportError(f"{out}: is a folder. Name the file to write: OUT={out / 'say.html'}")
    text = page(folder)
    try:
        with atomic(out) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ExportError(
            f"{out}: can't be written ({error}). Choose another file: OUT=..."
        ) from error
    return len(text.encode())


def main() -> None:
    """Write the page, and open it (``make say``)."""
    parser = argparse.ArgumentParser(prog="python -m shd_circuit.say", description=__doc__)
    text = f"an exported one (default: the study's circuit, which is written to {FOLDER})"
    parser.add_argument("folder", nargs="?", help=text)
    parser.add_argument("--out", default="build/say.html", help="the page (build/say.html)")
    parser.add_argument("--open", action="store_true", help="open it in a browser")
    given = parser.parse_args()
    out = resolve(given.out)
    try:
        if given.folder is None:
            write_study_circuit("circuit", resolve(FOLDER))
        n_bytes = write_page(resolve(given.folder or FOLDER), out)
    except ExportError as error:
        sys.exit(f"\nNo page was written.\n{error}")
    print(f"Open {os.path.relpath(out)} ({n_bytes / 1000:.0f} kB)")
    if given.open:
        webbrowser.open(out.as_uri())


if __name__ == "__main__":
    run(main)
