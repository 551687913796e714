"""Run a command of the study so that it ends with a sentence and an exit status."""

import io
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from shd_helpers.extras import MissingExtraError

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
