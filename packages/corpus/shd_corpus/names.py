"""Names of a data set's files, which the modules that write and read them share."""

FILES = ("train", "test")  # the training file is number 0 of a data set, the test file number 1
SUFFIXES = (".h5", ".h5.gz", ".h5.zip")
MOST_COPIES = 10  # augmented copies of a recording


def copy_name(name: str, copy: int) -> str:
    """Return the name of a data set's augmented copy.

    Parameters
    ----------
    name : str
        Name of the data set.
    copy : int
        Number of the copy from 1; 0 is the data set itself.

    Returns
    -------
    str
        The part of a file's name before ``_train`` or ``_test``.
    """
    return f"{name}_augmented{copy}" if copy else name
