"""Run a command of the study so that it ends with a sentence and an exit status.

The core of the package installs what trains, judges and listens. Notebooks and sweeps need more,
which ``pip install`` adds as extras (``pyproject.toml``). `from_extra` names a missing one.
"""

import io
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

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


BROKEN_PIPE = 128 + 13  # the status of a program that SIGPIPE stops, which Windows doesn't have


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run a command's main function, and end the process with its exit status.

    Characters that the terminal's encoding doesn't have, such as an umlaut in a file's name, are
    printed as escapes. The process ends with a sentence instead of a traceback in these cases:

    * A library is missing. The sentence has pip's command that installs it.
    * Ctrl-C interrupts the command. The exit status is that of a program that SIGINT stops.
    * The program that reads the output has ended (``| head``). Then the process ends without a
      sentence, like a program that SIGPIPE stops.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a process may be started without one
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _exit_code(main)
        if sys.stdout:
            sys.stdout.flush()
    except BrokenPipeError:
        # Python itself flushes standard output at its end, and would print another error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = BROKEN_PIPE
    sys.exit(code)


def _exit_code(main: Callable[[], int | None]) -> int | str | None:
    """Return what a command ends with, as `sys.exit` takes it: an exit status or a message."""
    try:
        return main()
    except MissingExtraError as error:
        return str(error)
    except SystemExit as error:  # a message, or the end of a help text
        return error.code
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 128 + signal.SIGINT
