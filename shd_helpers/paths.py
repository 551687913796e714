"""Find the study's folders, whatever the working directory is."""

import os
from pathlib import Path

from shd_helpers.small import is_small

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
# The notebooks that `make study` runs, in their order
OF_A_RUN = tuple(sorted(NOTEBOOKS.glob("0[1-4]_*.ipynb")))


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
    for checkout in (folder, *folder.parents):
        is_checkout = (checkout / "shd_helpers").is_dir() and (checkout / "notebooks").is_dir()
        if not is_checkout:
            continue
        if checkout.resolve() != ROOT:
            raise ImportError(
                f"this Python imports the package of {ROOT}, not of {checkout}. Start it by make, "
                f"or install the package: python -m pip install -e '{checkout}'"
            )
        return


def resolve(path: str | Path) -> Path:
    """Make a path absolute, relative to the repository root instead of the working directory.

    Parameters
    ----------
    path : str or Path
        A path; a leading ``~`` is the user's home.

    Returns
    -------
    Path
        The absolute path.
    """
    return ROOT / Path(path).expanduser()


def data_dir() -> Path:
    """Return the folder of downloads and caches: ``data/``, or ``$SHD_DATA_DIR``.

    Returns
    -------
    Path
        The folder, which may not exist yet.
    """
    return resolve(os.environ.get("SHD_DATA_DIR") or "data")


def runs_dir() -> Path:
    """Return the folder that holds the run folders.

    It is ``runs/``, or ``$SHD_RUNS_DIR``; for small versions of the notebooks, ``small/`` in it.

    Returns
    -------
    Path
        The folder, which may not exist yet.
    """
    folder = resolve(os.environ.get("SHD_RUNS_DIR") or "runs")
    return folder / "small" if is_small() else folder


def img_dir() -> Path:
    """Return the folder of the figures: ``$SHD_IMG_DIR``, or ``img/`` beside the run folders.

    Only ``make notebooks`` writes the committed ``img/``, and names it by the variable. The figures
    of ``make study`` are written to its run folder.

    Returns
    -------
    Path
        The folder, which may not exist yet.
    """
    folder = os.environ.get("SHD_IMG_DIR")
    return resolve(folder) if folder else runs_dir() / "img"


def results_dir() -> Path:
    """Return the folder of the tables: ``results/``, or ``$SHD_RESULTS_DIR``.

    Returns
    -------
    Path
        The folder, which may not exist yet.
    """
    return resolve(os.environ.get("SHD_RESULTS_DIR") or "results")
