"""The error that reading or making a data set raises."""


class DatasetError(ValueError):
    """A data set can't be used; the message names the file and the remedy."""
