"""The hook for small versions of the notebooks, which tests run.

nbval runs the committed notebooks as they are and can't inject parameters. So the environment
variable ``SHD_SMALL_DATA`` may name the folder of a small data set in SHD layout. Each notebook
then uses that data set instead of its own, and repeats its loops at most twice. Runs, tables and
figures are written to ``runs/small``, so that none of them is taken for a result.
"""

import os

MOST_REPEATS = 2


def is_small() -> bool:
    """Return whether the environment asks for the small versions.

    Returns
    -------
    bool
        True if ``SHD_SMALL_DATA`` is set.
    """
    return bool(os.environ.get("SHD_SMALL_DATA"))


def small_version(dataset: str, repeats: int) -> tuple[str, int]:
    """Return the data set and the number of repeats that a notebook uses.

    Parameters
    ----------
    dataset : str
        The data set that the notebook names.
    repeats : int
        How often its loop repeats, such as the number of epochs.

    Returns
    -------
    tuple of str and int
        Both unchanged, or, if the environment asks for small versions, the folder of the small data
        set and at most two repeats.
    """
    if not is_small():
        return dataset, repeats
    return os.environ["SHD_SMALL_DATA"], min(repeats, MOST_REPEATS)
