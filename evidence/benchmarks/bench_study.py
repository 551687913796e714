"""Time `make study`: the first time after an installation, and when it is repeated."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from shd_helpers.paths import ROOT


def rows() -> list[dict]:
    """Run the command behind `make study` twice.

    It finds nothing the first time: no data, no code compiled by numba, and no bytecode of any
    package, because the Makefile installs without it.
    """
    with tempfile.TemporaryDirectory() as folder:
        first_s = study_s(Path(folder))
        repeated_s = study_s(Path(folder))
    shared = {"benchmark": "make study", "batch": 4, "note": f"{os.cpu_count()} cores"}
    return [
        {**shared, "variant": "first: no data, nothing compiled", "median_s": first_s},
        {**shared, "variant": "repeated", "median_s": repeated_s},
    ]


def study_s(folder: Path) -> float:
    """Return how many seconds the study takes with data, runs and compiled code in a folder."""
    names = {
        "SHD_DATA_DIR": "data",
        "SHD_RUNS_DIR": "runs",
        "NUMBA_CACHE_DIR": "numba",
        "PYTHONPYCACHEPREFIX": "bytecode",
    }
    environment = os.environ | {name: str(folder / part) for name, part in names.items()}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-m", "shd_helpers.study.notebooks"]
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    for row in rows():
        print(row)
