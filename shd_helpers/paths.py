"""Where things are, whatever the working directory."""

import os
from pathlib import Path

from shd_helpers.small import is_small

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
OF_A_RUN = tuple(sorted(NOTEBOOKS.glob("0[1-4]_*.ipynb")))  # of `make study`, in order


def check_checkout(folder: Path) -> None:
    """Refuse to work for one checkout of the study with the package of another one.

    An environment that was copied with its checkout still has the first checkout's package
    installed. Runs, tables and figures would go there.

    Parameters
    ----------
    folder : Path
        Where the command or the notebook was started.

    Raises
    ------
    ImportError
        If the folder, or one above it, is another checkout than that of this package.
    """
    for place in (folder, *folder.parents):
        is_checkout = (place / "shd_helpers").is_dir() and (place / "notebooks").is_dir()
        if is_checkout and place.resolve() != ROOT:
            raise ImportError(
                f"this Python imports the package of {ROOT}, not of {place}. Start it by make, "
                f"or install the package: python -m pip install -e '{place}'"
            )
        if is_checkout:
            return


def resolve(path: str | Path) -> Path:
    """Take a relative path as relative to the repository root; expand ``~``."""
    return ROOT / Path(path).expanduser()


def data_dir() -> Path:
    """Return the folder of downloads and caches (``data/``, or ``$SHD_DATA_DIR``)."""
    return resolve(os.environ.get("SHD_DATA_DIR") or "data")


def runs_dir() -> Path:
    """Return the folder that holds the run folders.

    It is ``runs/``, or ``$SHD_RUNS_DIR``; for small versions ``small/`` below it.
    """
    folder = resolve(os.environ.get("SHD_RUNS_DIR") or "runs")
    return folder / "small" if is_small() else folder


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
