"""A page that hears a digit, in one file (``make say``): `sound/` and a circuit, compiled.

zig's clang, which PyPI has as ``ziglang``, compiles to WebAssembly.
"""

import argparse
import base64
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

import pandas as pd
from ruamel.yaml import YAML

from shd_circuit.folder import ExportError, check_header
from shd_helpers.command import run
from shd_helpers.files import atomic, reading
from shd_helpers.paths import ROOT, resolve, results_dir
from shd_helpers.study.statistics import interval

FOLDER = "results/circuit"
ZIG = [sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-wasi", "-std=c99", "-s"]
EAR = ["-DFLOAT", "-DMAX_SAMPLES=80000", "-DMAX_RECORDING=720000", "-O3", "-msimd128"]
EAR += ["-fcx-limited-range", "-mexec-model=reactor"]
NOTICE = (
    "The network was trained on the "
    '<a href="https://doi.org/10.1109/TNNLS.2020.3044364">Heidelberg Digits</a> (B. Cramer, Y. '
    "Stradmann, J. Schemmel, F. Zenke, 2022), recordings under "
    '<a href="https://creativecommons.org/licenses/by/4.0/">CC BY 4.0</a>; the model of the ear is '
    "theirs."
)


def compile_c(file: Path, options: Sequence[str]) -> bytes:
    """Return a C file as WebAssembly; ExportError, if it can't be compiled."""
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "out.wasm"
        command = [*ZIG, *options, str(file), "-o", str(out)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise ExportError(f"{file}: can't be compiled: {ended.stderr.strip()[-2000:]}")
        return out.read_bytes()


def chances(folder: Path) -> str:
    """Say how often such a network is right for a person whom it doesn't know.

    It is known of the committed folder alone: its network, trained without a speaker at a time and
    rounded to the same bits, stands in ``results/circuit_bits_small.csv``.
    """
    if folder != ROOT / FOLDER:
        return "How often this network is right for a stranger isn't known."
    table = pd.read_csv(results_dir() / "circuit_bits_small.csv")
    plan = YAML(typ="safe", pure=True).load(ROOT / "sweeps" / "reference.yaml")["plan"]
    table = table[table.speaker.isin(plan["unseen_speakers"])]
    right = table.pivot(index="speaker", columns="seed", values="accuracy")
    mean, half = interval(100 * right.to_numpy())
    return (
        f"How often is such a network right for a stranger? For {mean:.0f} ± {half:.0f} % of the "
        f"words: mean and 95 % interval over {len(right)} people, each left out of training once, "
        "all recorded with the same microphones; yours is another one."
    )


def page(folder: Path) -> str:
    """Return the page of an exported circuit.

    ExportError, if it can't be read or compiled, or its `network.h` is another circuit's.
    """
    check_header(folder)
    with reading(folder / "network.h", ExportError, "Write the folder anew with make export."):
        header = (folder / "network.h").read_text(encoding="utf-8")
        sizes = {name: int(n) for name, n in re.findall(r"#define (\w+) (\d+)\n", header)}
        names = ("N_UNITS", "N_STEPS", "N_HIDDEN", "POOL_STEPS", "BIN_MS")
        parts: dict = {name.lower(): sizes[name] for name in names}
        parts["is_membrane"] = sizes["IS_MEMBRANE"]
        found = re.search(r"classes \(([^)]*)\)", (folder / "README.md").read_text("utf-8"))
        assert found
        parts["words"] = [each.split()[1] for each in found[1].split(", ")]
    sound = files("shd_circuit") / "sound"
    modules = (
        compile_c(Path(str(sound / "hear.c")), EAR),
        compile_c(folder / "reference.c", [f"-DTRACE={parts['is_membrane']}", "-Os"]),
    )
    parts["modules"] = [base64.b64encode(module).decode() for module in modules]
    parts["worker"] = (sound / "worker.js").read_text(encoding="utf-8")
    parts |= {"chances": chances(folder), "notice": NOTICE}
    script = (sound / "page.js").read_text(encoding="utf-8")
    text = (sound / "page.html").read_text(encoding="utf-8")
    inline = json.dumps(parts).replace("<", "\\u003c")
    return text.replace("SCRIPT", script, 1).replace("PARTS", inline, 1)


def main() -> None:
    """Write the page, and open it (``make say``)."""
    parser = argparse.ArgumentParser(prog="python -m shd_circuit.say", description=__doc__)
    parser.add_argument("folder", nargs="?", default=FOLDER, help=f"an exported one ({FOLDER})")
    parser.add_argument("--out", default="build/say.html", help="the page (build/say.html)")
    parser.add_argument("--open", action="store_true", help="open it in a browser")
    given = parser.parse_args()
    try:
        text, out = page(resolve(given.folder)), resolve(given.out)
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomic(out) as part:
            part.write_text(text, encoding="utf-8")
    except ExportError as error:
        sys.exit(f"\nNo page was written.\n{error}")
    print(f"Open {os.path.relpath(out)} ({len(text.encode()) / 1000:.0f} kB)")
    if given.open:
        webbrowser.open(out.as_uri())


if __name__ == "__main__":
    run(main)
