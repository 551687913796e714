"""Run a command of the study so that it ends with a sentence and an exit status."""

import io
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
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
    printed as escapes. The process ends with a sentence instead of a traceback in these cases:

    * The working directory is another checkout than that of this package.
    * A library is missing. The sentence has pip's command that installs it.
    * Ctrl-C interrupts the command. The exit status is that of a program that SIGINT stops.
    * Standard output can't be written, as on a full disk. The command's own message is printed
      before. If the program that reads the output has ended (``| head``), the process ends without
      a sentence, like a program that SIGPIPE stops.

    Parameters
    ----------
    main : callable
        Takes no argument; returns the exit status, None for 0.

    Returns
    -------
    NoReturn
        It raises SystemExit with the exit status.
    """
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors="backslashreplace")
    if not isinstance(sys.stdout, io.TextIOWrapper):  # the process was started without one
        sys.exit(_exit_code(main))
    output = sys.stdout = _watched(sys.stdout)
    code: int | str | None = None
    try:
        code = _exit_code(main)
    except OSError:
        if output.error is None:
            raise
    with suppress(OSError):  # `output` remembers the error, and the message comes first
        output.flush()
    if output.error is None:
        sys.exit(code)
    if isinstance(code, str):
        print(code, file=sys.stderr)
    _end_without_output(output.error)


def _exit_code(main: Callable[[], int | None]) -> int | str | None:
    """Return what a command ends with, as `sys.exit` takes it: an exit status or a message."""
    try:
        check_checkout(Path.cwd())
    except ImportError as error:
        return str(error)
    try:
        return main()
    except MissingExtraError as error:
        return str(error)
    except SystemExit as error:  # a message, or the end of a help text
        return error.code
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 128 + signal.SIGINT


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
