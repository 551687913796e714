"""Where things are, whatever the working directory."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# the environment of a copied checkout has the package of the first one, and would write there
for _place in (Path.cwd(), *Path.cwd().parents):
    if (_place / "shd_helpers").is_dir() and (_place / "notebooks").is_dir():
        if _place != ROOT:
            raise ImportError(
                f"this Python imports the package of {ROOT}, not of {_place}. Start it by make, "
                f"or install the package: python -m pip install -e '{_place}'"
            )
        break
NOTEBOOKS = ROOT / "notebooks"
OF_A_RUN = tuple(sorted(NOTEBOOKS.glob("0[1-4]_*.ipynb")))  # of `make study`, in order


def is_smoke() -> bool:
    """Tell whether the environment asks for the tests' small versions (``SHD_SMOKE=1``)."""
    return os.environ.get("SHD_SMOKE", "") not in ("", "0")


def resolve(path: str | Path) -> Path:
    """Take a relative path as relative to the repository root; expand ``~``."""
    return ROOT / Path(path).expanduser()


def data_dir() -> Path:
    """Return the folder of downloads and caches (``data/``, or ``$SHD_DATA_DIR``)."""
    return resolve(os.environ.get("SHD_DATA_DIR") or "data")


def runs_dir() -> Path:
    """Return the folder that holds the run folders.

    It is ``runs/``, or ``$SHD_RUNS_DIR``; in smoke tests ``smoke/`` below it.
    """
    folder = resolve(os.environ.get("SHD_RUNS_DIR") or "runs")
    return folder / "smoke" if is_smoke() else folder


def img_dir() -> Path:
    """Return the folder of the figures: ``$SHD_IMG_DIR``, or ``img/`` beside the run folders.

    The committed ``img/`` is written by ``make notebooks`` alone, which names it; a study's figures
    go into its own run folder.
    """
    folder = os.environ.get("SHD_IMG_DIR")
    return resolve(folder) if folder else runs_dir() / "img"


def results_dir() -> Path:
    """Return the folder of the tables (``results/``, or ``$SHD_RESULTS_DIR``)."""
    return resolve(os.environ.get("SHD_RESULTS_DIR") or "results")
