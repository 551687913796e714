"""Names of a data set's files, which writers and readers share."""

from pathlib import Path

PARTS = ("train", "test")
SUFFIXES = (".h5", ".h5.gz", ".h5.zip")
MOST_COPIES = 10  # augmented copies of a recording


def copy_name(name: str, copy: int) -> str:
    """Return what a data set's augmented copies 1, 2, ... are called; 0 is the data set itself."""
    return f"{name}_augmented{copy}" if copy else name


def older_path(path: Path) -> Path:
    """Return what older versions of the study called a file of augmented copies."""
    return path.with_name(path.name.replace("_augmented", "_changed"))
