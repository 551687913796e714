"""Names of a data set's files, which writers and readers share."""

PARTS = ("train", "test")
SUFFIXES = (".h5", ".h5.gz", ".h5.zip")
MOST_COPIES = 10  # augmented copies of a recording


def copy_name(name: str, copy: int) -> str:
    """Return what a data set's augmented copies 1, 2, ... are called; 0 is the data set itself."""
    return f"{name}_changed{copy}" if copy else name
