"""The command ``shd``: run the study, run a sweep, or classify a spoken digit.

It also runs as ``python -m shd_helpers``. Each command reads its own arguments, so that only the
one that is asked for is imported: importing torch takes seconds.
"""

import argparse
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from shd_helpers import __version__
from shd_helpers.command import run

# The module whose `main` runs each command
COMMANDS = {
    "study": "shd_helpers.study.notebooks",
    "sweep": "shd_helpers.sweeps.runner",
    "hear": "shd_helpers.hear",
}
HELP = """\
study: run the whole study: data, surrogates, training, analysis (needs a checkout, a copy \
of the study's repository). sweep: execute the missing runs of a sweep (the study's own sweeps \
need a checkout). hear: recognize the digit in a sound file, or one that you say into the \
microphone. shd COMMAND --help lists the arguments of a command."""


def main(arguments: Sequence[str] | None = None) -> int | None:
    """Run a command of ``shd``."""
    parser = argparse.ArgumentParser(
        prog="shd", description="Train small spiking networks on spoken digits, and use them."
    )
    parser.add_argument("--version", action="version", version=f"shd {__version__}")
    parser.add_argument("command", choices=COMMANDS, help=HELP)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="its arguments")
    given = parser.parse_args(arguments)
    return import_module(COMMANDS[given.command]).main(given.arguments)


def console() -> NoReturn:
    """Run a command and end the process; the installed program ``shd`` calls this."""
    run(main)


if __name__ == "__main__":
    run(main)
