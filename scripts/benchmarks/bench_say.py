"""Time a word on its way from sound to a digit in C, and on the page in chromium."""

import re
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np
import soundfile
from shd_circuit.say import FOLDER, page

from scripts.benchmarks.bench_cochlea import RATE_HZ, clip, seconds
from shd_helpers.paths import ROOT

SOUND = ROOT / "circuit" / "shd_circuit" / "sound"


def in_c(place: Path, wave: np.ndarray, repeats: int) -> dict[str, float]:
    """Return the seconds from a recording to its digit, without the tables' making; needs gcc."""
    found = {}
    gcc = ["gcc", "-std=c99", "-O3", "-march=native", "-ffp-contract=fast", "-DBLOCK=32"]
    reference = [*gcc, str(ROOT / FOLDER / "reference.c"), "-o", str(place / "reference")]
    subprocess.run(reference, check=True)
    for name, options in (("C, double", []), ("C, float", ["-DFLOAT", "-DMAX_SAMPLES=80000"])):
        command = [*gcc, *options, str(SOUND / "hear.c"), "-o", str(place / "hear"), "-lm"]
        subprocess.run(command, check=True)

        def answer(n):
            def run():
                heard = subprocess.run(
                    [place / "hear", str(n)], input=wave.tobytes(), capture_output=True, check=True
                )
                command = [place / "reference"]
                subprocess.run(command, input=heard.stdout, capture_output=True, check=True)

            return run

        found[name] = (seconds(answer(9), repeats) - seconds(answer(1), repeats)) / 8
    return found


def on_the_page(place: Path, wave: np.ndarray, repeats: int) -> dict[str, float]:
    """Return the seconds that the page tells, and how long a second takes it while one speaks."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not (chromium and find_spec("playwright") and find_spec("ziglang")):
        print("Without the page: it needs chromium, make browser and make say.")
        return {}
    from playwright.sync_api import sync_playwright

    (place / "say.html").write_text(page(ROOT / FOLDER), encoding="utf-8")
    sound = place / "sound.wav"
    soundfile.write(sound, wave, RATE_HZ, subtype="PCM_16")
    flags = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    flags += [f"--use-file-for-fake-audio-capture={sound}"]
    told = []
    with sync_playwright() as p:
        view = p.chromium.launch(executable_path=chromium, args=flags).new_page()
        view.goto((place / "say.html").as_uri())
        for _ in range(repeats):
            view.click("#record:not([disabled])")
            view.wait_for_selector("#status:has-text('Say a digit now')")
            view.wait_for_selector("#status:has-text('The network answers')")
            told.append(list(map(int, re.findall(r"\d+", view.inner_text("#took")))))
    took, busy = zip(*told, strict=True)
    return {"page": median(took) / 1000, "page, while one speaks, a second": median(busy) / 100}


def rows(repeats: int = 3) -> list[dict]:
    """Time a recording with half a second of silence before and a second after it.

    Returns
    -------
    list of dict
        `benchmark`, `variant`, `batch` (1), `median_s`, and `ratio`: seconds of the word, with the
        0.15 s around it, for one of computing.
    """
    word = clip()
    rng = np.random.default_rng(0)
    wave = np.concatenate([np.zeros(RATE_HZ // 2), word, np.zeros(RATE_HZ)])
    wave = (wave + rng.normal(0, 1e-4, len(wave))).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        timed = in_c(place, wave, repeats) | on_the_page(place, wave, repeats)
    return [
        {
            "benchmark": "sound to a digit",
            "variant": variant,
            "batch": 1,
            "median_s": time_s,
            "ratio": (1.0 if variant.endswith("second") else len(word) / RATE_HZ) / time_s,
        }
        for variant, time_s in timed.items()
    ]


if __name__ == "__main__":
    for row in rows():
        print(row)
