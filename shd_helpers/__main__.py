"""The command ``shd``: run the study, run a sweep, or classify a spoken digit.

It also runs as ``python -m shd_helpers``. Each command reads its own arguments, so that only the
one that is asked for is imported: importing torch takes seconds.
"""

import argparse
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple, NoReturn

from shd_helpers import __version__
from shd_helpers.command import run
from shd_helpers.paths import IN_CHECKOUT


class Command(NamedTuple):
    """A command of ``shd``: the module whose `main` runs it, and a line of help."""

    module: str
    help: str


COMMANDS = {
    "study": Command(
        "shd_helpers.study.notebooks",
        "run the whole study: data, surrogates, training, analysis (needs a checkout)",
    ),
    "sweep": Command(
        "shd_helpers.sweeps.runner",
        "execute the missing runs of a sweep (the study's own sweeps need a checkout; your own "
        "file with your own notebook doesn't)",
    ),
    "hear": Command(
        "shd_helpers.hear",
        "recognize the digit in a sound file, or one that you say into the microphone",
    ),
}


def main(arguments: Sequence[str] | None = None) -> int | None:
    """Run a command of ``shd``."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.command is None:
        parser.error(f"give a command: {', '.join(COMMANDS)}. shd --help describes them.")
    module = import_module(COMMANDS[given.command].module)
    return module.main(given.arguments)


def _parser() -> argparse.ArgumentParser:
    """Return the parser of the command line up to the command's own arguments."""
    lines = [f"  {name:6} {command.help}" for name, command in COMMANDS.items()]
    here = "This one is a checkout." if IN_CHECKOUT else "This package is installed without one."
    parser = argparse.ArgumentParser(
        prog="shd",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Train small spiking networks on spoken digits, and use them.",
        epilog="\n".join(
            [
                "commands:",
                *lines,
                "",
                "A checkout is a copy of the study's repository, with its notebooks and results.",
                here,
                "shd COMMAND --help lists the arguments of a command.",
            ]
        ),
    )
    parser.add_argument("--version", action="version", version=f"shd {__version__}")
    parser.add_argument(
        "command", nargs="?", choices=COMMANDS, metavar="COMMAND", help="one of those below"
    )
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="its arguments")
    return parser


def console() -> NoReturn:
    """Run a command and end the process; the installed program ``shd`` calls this."""
    run(main)


if __name__ == "__main__":
    run(main)
