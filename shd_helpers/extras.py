"""Say which extra of the package has to be installed where one of its libraries is missing.

The core of the package installs what trains, judges and listens. Notebooks and sweeps need
more, which ``pip install`` adds as extras: see ``pyproject.toml``.
"""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager

NAMESPACES = {"ruamel": "ruamel.yaml"}  # libraries by the namespace package that they are in
DISTRIBUTION = "shd-downsizing-study"  # the package's name for pip


class MissingExtraError(ImportError):
    """A library that belongs to an extra isn't installed; the message has pip's command."""


@contextmanager
def from_extra(extra: str) -> Iterator[None]:
    """Name the extra to install if an import in the block finds no such library."""
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or str(error)).partition(".")[0]
        library = NAMESPACES.get(library, library)
        if library == "shd_helpers":  # no library, but a mistake in this package
            raise
        raise MissingExtraError(
            f"The library {library} isn't installed. Install it: {pip_command(extra)}",
            name=error.name,
        ) from error


def pip_command(extra: str) -> str:
    """Return the command that installs an extra for the Python that runs."""
    return f"{shlex.quote(sys.executable)} -m pip install '{DISTRIBUTION}[{extra}]'"
