"""Run a command of the study so that it ends properly when its output can't be written."""

import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from shd_helpers.extras import MissingExtraError
from shd_helpers.paths import check_checkout


class _Output(io.TextIOWrapper):
    """Standard output that remembers the error of a failed write, whoever catches it.

    `argparse`, for example, ignores that its help wasn't written.
    """

    error: OSError | None = None

    def write(self, text: str) -> int:
        """Write a text. Remember and raise the error if it can't be written.

        Parameters
        ----------
        text : str
            The text.

        Returns
        -------
        int
            Its length.
        """
        try:
            return super().write(text)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        """Write the buffer. Remember and raise the error if it can't be written."""
        try:
            super().flush()
        except OSError as error:
            self.error = error
            raise


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run a command's main function, and end the process with its exit status.

    Characters that the terminal's encoding doesn't have, such as an umlaut in a file's name, are
    printed as escapes. If a library is missing, the process ends with pip's command that installs
    it. If standard output can't be written, as on a full disk, it ends with a sentence instead of a
    traceback. If the program that reads the output has ended (``| head``), it ends like a program
    that the signal SIGPIPE stops.

    Parameters
    ----------
    main : callable
        Takes no argument; returns the exit status, None for 0.

    Returns
    -------
    NoReturn
        It raises SystemExit with the exit status.

    Raises
    ------
    ImportError
        As `check_checkout` does.
    """
    check_checkout(Path.cwd())
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors="backslashreplace")
    if not isinstance(sys.stdout, io.TextIOWrapper):  # the process was started without one
        sys.exit(main())
    output = sys.stdout = _watched(sys.stdout)
    status = None
    try:
        try:
            status = main()
        except MissingExtraError as error:
            sys.exit(str(error))
        finally:  # also where the process ends with a message or a help text
            output.flush()
    except (OSError, SystemExit) as error:
        if output.error is None:
            raise
        if isinstance(error, SystemExit) and isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    if output.error is not None:
        _end_without_output(output.error)
    sys.exit(status)


def _watched(stdout: io.TextIOWrapper) -> _Output:
    """Return a second stream that writes to where standard output goes."""
    stdout.flush()
    binary = open(stdout.fileno(), "wb", closefd=False)
    return _Output(
        binary,
        stdout.encoding,
        "backslashreplace",
        line_buffering=stdout.line_buffering,
        write_through=stdout.write_through,
    )


def _end_without_output(error: OSError) -> NoReturn:
    """End the process after standard output couldn't be written."""
    # Python itself flushes standard output at its end, and would print another error.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    if isinstance(error, BrokenPipeError):
        sys.exit(128 + signal.SIGPIPE)
    sys.exit(
        f"The output can't be written ({error.strerror or error}). Free some space on its disk, or "
        "direct it to another one."
    )
