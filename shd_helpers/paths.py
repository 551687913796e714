"""Find the study's folders, whatever the working directory is.

The package works in a checkout of the study, which has the notebooks and the committed results, or
installed without one. In a checkout all folders are below its root. Without one, `home` is the
working directory, so that nothing is written to where the package is installed:

    folder              in a checkout        without one
    `runs_dir`          runs/                runs/ of the working directory
    `results_dir`       results/             results/ of the working directory
    `data_dir`          data/                shd_helpers/ in the user's folder of caches
    `networks_dir`      results/networks/    shd_helpers/pretrained_networks/ of the package
"""

import os
import re
from pathlib import Path

from shd_corpus.checks import quoted

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent
NOTEBOOKS = ROOT / "notebooks"
# The notebooks that `make study` runs, in their order; none without a checkout
OF_A_RUN = tuple(sorted(NOTEBOOKS.glob("0[1-4]_*.ipynb")))
# It trains as notebook 3 does, without a lesson and with all settings. Sweeps call it `train`
TRAIN = ROOT / "evidence" / "train.ipynb"
_NAME = r"(?!\.)[\w.,=+-]+"  # of a folder: no dot at the beginning, which would hide it


class CheckoutError(ValueError):
    """Something that only a checkout of the study has was asked of an installed package."""


# Whether this package is that of a checkout
IN_CHECKOUT = (ROOT / "pyproject.toml").is_file() and NOTEBOOKS.is_dir()


def need_checkout(what: str) -> None:
    """Refuse what only a checkout of the study can do."""
    if not IN_CHECKOUT:
        raise CheckoutError(
            f"{what}, so it needs a checkout of the study, but {PACKAGE} is installed without one. "
            "Clone the study's repository with git, and run `make` there."
        )


def home() -> Path:
    """Return the folder that relative paths count from."""
    return ROOT if IN_CHECKOUT else Path.cwd()


def resolve(path: str | Path) -> Path:
    """Make a path absolute, relative to `home`."""
    return home() / Path(path).expanduser()


def data_dir() -> Path:
    """Return the folder of downloads and caches.

    It is ``$SHD_DATA_DIR``, or ``data/`` in a checkout, or ``shd_helpers/`` in the user's folder of
    caches (on Linux ``~/.cache``).
    """
    folder = os.environ.get("SHD_DATA_DIR")
    if folder:
        return resolve(folder)
    if IN_CHECKOUT:
        return ROOT / "data"
    from platformdirs import user_cache_path

    return user_cache_path("shd_helpers", appauthor=False)


def runs_dir() -> Path:
    """Return the folder that holds the run folders: ``runs/``, or ``$SHD_RUNS_DIR``."""
    return resolve(os.environ.get("SHD_RUNS_DIR") or "runs")


def img_dir() -> Path:
    """Return the folder of the figures: ``$SHD_IMG_DIR``, or ``img/`` beside the run folders.

    Only ``make notebooks`` writes the committed ``img/``, and names it by the variable. The figures
    of ``make study`` are written to its run folder.
    """
    folder = os.environ.get("SHD_IMG_DIR")
    return resolve(folder) if folder else runs_dir() / "img"


def results_dir() -> Path:
    """Return the folder of the tables: ``results/``, or ``$SHD_RESULTS_DIR``."""
    return resolve(os.environ.get("SHD_RESULTS_DIR") or "results")


def networks_dir() -> Path:
    """Return the folder of the pretrained networks."""
    if IN_CHECKOUT or os.environ.get("SHD_RESULTS_DIR"):
        return results_dir() / "networks"
    return PACKAGE / "pretrained_networks"


def own_tables_dir() -> Path:
    """Return the folder for tables of sweeps that aren't among the study's own."""
    return results_dir() if os.environ.get("SHD_RESULTS_DIR") else Path.cwd()


def folder_variables() -> dict[str, str]:
    """Return the environment variables by which a process elsewhere finds the same folders.

    A notebook's kernel has another working directory, from which an installed package would count.
    """
    if IN_CHECKOUT:
        return {}
    folders = {"SHD_DATA_DIR": data_dir(), "SHD_RUNS_DIR": runs_dir()}
    if os.environ.get("SHD_RESULTS_DIR"):
        folders["SHD_RESULTS_DIR"] = results_dir()
    return {name: str(folder) for name, folder in folders.items()}


def check_run_name(name: object) -> None:
    """Check that a name can be that of a run folder below ``runs/``."""
    is_name = isinstance(name, str) and re.fullmatch(f"(sweeps/{_NAME}/)?{_NAME}", name)
    if not is_name or any(len(folder.encode()) > 200 for folder in str(name).split("/")):
        raise ValueError(
            f"run_name {quoted(name)}: must be letters, digits and _ . , = + - (at most 200, no "
            "dot at the beginning). Only names of a sweep's runs have slashes: "
            "sweeps/<sweep>/<run>"
        )


def as_run_name(text: str) -> str:
    """Replace what a run's name can't have."""
    return re.sub(r"^\.|[^\w.,=+-]", "-", text)
