"""Time an utterance on its way from sound to a digit in C, and on the page in chromium."""

import re
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np
import soundfile

from evidence.benchmarks.bench_cochlea import RATE_HZ, clip, seconds
from shd_circuit.say import FOLDER, page
from shd_helpers.paths import ROOT

SOUND = ROOT / "packages" / "circuit" / "shd_circuit" / "sound"
ANSWERED = "^The network (answers|abstains)"  # how the page's status begins after an utterance


def in_c(folder: Path, wave: np.ndarray, repeats: int) -> dict[str, float]:
    """Time the C program from a recording to its digit, without its tables; needs gcc."""
    gcc = ["gcc", "-std=c99", "-O3", "-march=native", "-ffp-contract=fast", "-DBLOCK=32"]
    reference = folder / "reference"
    subprocess.run([*gcc, str(ROOT / FOLDER / "reference.c"), "-o", str(reference)], check=True)
    timed = {}
    for name, options in (("C, double", []), ("C, float", ["-DFLOAT", "-DMAX_SAMPLES=80000"])):
        hear = folder / "hear"
        command = [*gcc, *options, str(SOUND / "hear.c"), "-o", str(hear), "-lm"]
        subprocess.run(command, check=True)

        def answer(n, hear=hear):
            """Return a function that lets `hear` make its tables once, and encode n times."""

            def run():
                heard = subprocess.run(
                    [hear, str(n)], input=wave.tobytes(), capture_output=True, check=True
                )
                subprocess.run([reference], input=heard.stdout, capture_output=True, check=True)

            return run

        # The difference excludes the time for the tables and for starting the programs.
        timed[name] = (seconds(answer(9), repeats) - seconds(answer(1), repeats)) / 8
    return timed


def on_the_page(folder: Path, wave: np.ndarray, repeats: int) -> dict[str, float]:
    """Read the times that the page reports in chromium."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not (chromium and find_spec("playwright") and find_spec("ziglang")):
        print("Without the page: it needs chromium, make browser and make say.")
        return {}
    from playwright.sync_api import sync_playwright

    (folder / "say.html").write_text(page(ROOT / FOLDER), encoding="utf-8")
    sound = folder / "sound.wav"
    soundfile.write(sound, wave, RATE_HZ, subtype="PCM_16")
    flags = [
        "--no-sandbox",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={sound}",
    ]
    reported = []
    with sync_playwright() as playwright:
        view = playwright.chromium.launch(executable_path=chromium, args=flags).new_page()
        view.goto((folder / "say.html").as_uri())
        for _ in range(repeats):
            view.click("#record:not([disabled])")
            view.wait_for_selector("#status:has-text('Say a digit now')")
            view.wait_for_selector(f"#status:text-matches('{ANSWERED}')")
            numbers = re.findall(r"\d+", view.inner_text("#took"))
            reported.append([int(number) for number in numbers])
    took_ms, busy_percent = zip(*reported, strict=True)
    return {
        "page": median(took_ms) / 1000,
        "page, while one speaks, a second": median(busy_percent) / 100,
    }


def rows(repeats: int = 3) -> list[dict]:
    """Time a recording with half a second of silence before and a second after it."""
    utterance = clip()
    rng = np.random.default_rng(0)
    wave = np.concatenate([np.zeros(RATE_HZ // 2), utterance, np.zeros(RATE_HZ)])
    wave = (wave + rng.normal(0, 1e-4, len(wave))).astype(np.float32)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        timed = in_c(folder, wave, repeats) | on_the_page(folder, wave, repeats)
    table = []
    for variant, time_s in timed.items():
        sound_s = 1.0 if variant.endswith("second") else len(utterance) / RATE_HZ
        table.append(
            {
                "benchmark": "sound to a digit",
                "variant": variant,
                "batch": 1,
                "median_s": time_s,
                "ratio": sound_s / time_s,
            }
        )
    return table


if __name__ == "__main__":
    for row in rows():
        print(row)
