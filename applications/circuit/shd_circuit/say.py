"""Write a C program that listens with a network, and a demo page with it (``make say``).

The program is the filter bank and the circuit's integers in C99. zig's clang, which PyPI has as
``ziglang``, compiles it to WebAssembly for the page, which needs nothing else.
"""

import argparse
import base64
import csv
import importlib.util
import json
import os
import subprocess
import sys
import webbrowser
from importlib.resources import files
from pathlib import Path

from shd_circuit.confidence import Confidence, confidence_of
from shd_circuit.export import datasets_of, quantization_of
from shd_circuit.folder import ExportError, classes_text
from shd_circuit.quantize import circuit_of
from shd_circuit.sources import c_header, source_text
from shd_corpus.class_names import LANGUAGES
from shd_corpus.encoders import FILTER_BANK
from shd_corpus.files import atomic
from shd_corpus.filter_bank import FilterBank
from shd_helpers.command import run
from shd_helpers.events import Downsampling
from shd_helpers.paths import resolve, results_dir
from shd_helpers.study.trained_network import TrainedNetwork, load_trained

NETWORK = "small_listener"
ZIG = [sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-wasi", "-std=c99", "-s", "-O3"]
LIBRARY = "-mexec-model=reactor"  # without main
BANK = FilterBank()
NOTICE = (
    "Our networks are trained on the "
    '<a href="https://doi.org/10.1109/TNNLS.2020.3044364">Heidelberg Digits</a> (B. Cramer, Y. '
    "Stradmann, J. Schemmel, F. Zenke, 2022) and on "
    '<a href="https://arxiv.org/abs/1804.03209">Speech Commands</a> (P. Warden, 2018), recordings '
    'under <a href="https://creativecommons.org/licenses/by/4.0/">CC BY 4.0</a>. The recorded '
    "digit is one of the Heidelberg Digits, unchanged."
)


def confidence(trained: TrainedNetwork) -> Confidence | None:
    """Return which answers of a network's circuit are accepted, if it has a threshold."""
    bits = quantization_of(trained)
    return confidence_of(trained, bits, circuit_of(trained, bits))


def program(trained: TrainedNetwork) -> dict[str, str]:
    """Return the files of a C program that listens with a network, by name."""
    grid = Downsampling(0, trained.grid.duration_s, 1, BANK.step_ms, 1, BANK.n_channels)
    if trained.encoder != FILTER_BANK or trained.grid != grid:
        raise ExportError(
            f"{trained.file}: its input isn't the filter bank's, so it can't listen in C. Train "
            f"with: -p encoder {FILTER_BANK} -p first_unit 0 -p pool_units 1 -p pool_threshold 1"
        )
    try:
        header = c_header(circuit_of(trained, quantization_of(trained)))
    except ValueError as error:
        raise ExportError(f"{trained.file}: has no circuit: {error}") from error
    texts = {name: source_text(name) for name in ("LICENSE", "network.c")}
    texts |= {"listen.c": source_text("sound/listen.c"), "network.h": header}
    bank = files("shd_corpus.filter_bank")
    for name in ("filter_bank.c", "filter_bank.h"):
        texts[name] = bank.joinpath(name).read_text(encoding="utf-8")
    texts["filter_bank_tables.h"] = BANK.c_header()
    texts["classes.txt"] = classes_text(trained.class_names)
    texts["NOTICE.md"] = (
        f"The network was trained on: {', '.join(datasets_of(trained))}.\n\n{NOTICE}\n"
    )
    if accepts := confidence(trained):
        texts["confidence.h"] = accepts.header()
    return texts


def write_program(trained: TrainedNetwork, folder: Path) -> list[str]:
    """Write the C program into a folder; return the compiler's options for it."""
    texts = program(trained)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return ["-DACCEPT"] if "confidence.h" in texts else []


def webassembly(folder: Path, options: list[str]) -> bytes:
    """Compile the C program in a folder to WebAssembly."""
    if importlib.util.find_spec("ziglang") is None:
        raise ExportError(
            "zig's C compiler: not found. Run make say, which installs it, or run: pip install -e "
            "'.[demo]'"
        )
    command = [*ZIG, LIBRARY, *options, "listen.c", "filter_bank.c", "-o", "listen.wasm"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise ExportError(f"{folder}: can't be compiled: {ended.stderr.strip()[-2000:]}")
    return (folder / "listen.wasm").read_bytes()


def accuracy(name: str) -> str:
    """Say how accurate a network is for unseen speakers, by the study's table."""
    path = results_dir() / "listeners_judged.csv"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for row in csv.DictReader(lines):
        if row["network"] == name:
            mean, half = (100 * float(row[column]) for column in ("accuracy", "ci95"))
            return (
                f"Before its numbers are rounded to integers, this network classifies {mean:.1f} ± "
                f"{half:.1f} % of the digits correctly (mean and 95 % interval over "
                f"{row['people']} unseen people)."
            )
    return "How accurate this network is for speakers outside its training set isn't known."


def page(trained: TrainedNetwork, folder: Path) -> str:
    """Write the C program of a network into a folder; return the demo page with it."""
    options = write_program(trained, folder)
    accepts = confidence(trained)
    sound = files("shd_circuit") / "sound"
    data = {
        "classes": trained.class_names,
        "n_channels": BANK.n_channels,
        "step_samples": BANK.settings.step_samples,
        "n_replayed": BANK.settings.replay_steps + BANK.settings.start_steps,
        "has_confidence": accepts is not None,
        # JSON has no infinity
        "threshold": accepts.threshold if accepts and accepts.threshold <= 1 else None,
        "sample": base64.b64encode((sound / "sample.flac").read_bytes()).decode(),
        "module": base64.b64encode(webassembly(folder, options)).decode(),
        "accuracy": accuracy(trained.name),
        "notice": NOTICE,
    }
    html, script = ((sound / name).read_text(encoding="utf-8") for name in ("page.html", "page.js"))
    # "<" could end the script that holds the data
    inline = json.dumps(data).replace("<", "\\u003c")
    return html.replace("SCRIPT", script, 1).replace("PARTS", inline, 1)


def load(name: str, language: str) -> TrainedNetwork:
    """Load the network of a run or of a file, with the digits of a language alone."""
    try:
        return load_trained(name).speaking(language)
    except ValueError as error:
        raise ExportError(str(error)) from error


def write_page(trained: TrainedNetwork, out: Path) -> int:
    """Write the demo page to a file, and the C program to the folder of its name; return bytes."""
    if out.is_dir():  # known before anything is compiled
        raise ExportError(f"{out}: is a folder. Name the file to write: OUT={out / 'say.html'}")
    try:
        text = page(trained, out.with_suffix(""))
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
    text = f"a run's name or folder, or a pretrained network (default: {NETWORK})"
    parser.add_argument("network", nargs="?", default=NETWORK, help=text)
    text = "the digits that it answers, if it has those of several languages (english)"
    parser.add_argument("--language", choices=LANGUAGES, default="english", help=text)
    text = "the page (build/say.html). The C program gets a folder of the same name without .html"
    parser.add_argument("--out", default="build/say.html", help=text)
    parser.add_argument("--open", action="store_true", help="open it in a browser")
    given = parser.parse_args()
    out = resolve(given.out)
    try:
        n_bytes = write_page(load(given.network, given.language), out)
    except ExportError as error:
        sys.exit(f"\nNo page was written.\n{error}")
    print(f"Open {os.path.relpath(out)} ({n_bytes / 1000:.0f} kB)")
    print(f"The C program that it runs: {os.path.relpath(out.with_suffix(''))}")
    if given.open:
        webbrowser.open(out.as_uri())


if __name__ == "__main__":
    run(main)
