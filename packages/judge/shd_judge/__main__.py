"""Compare two tables, ``python -m shd_judge a.csv b.csv``, or check one against the protocol.

``python -m shd_judge check table.csv scores.csv`` checks speakers, utterances and folds, and
recomputes the accuracies from the answers.
"""

import argparse
import sys
from pathlib import Path

from shd_judge.comparison import compare
from shd_judge.protocol import check


def main() -> None:
    """Print the difference or the result of the check, or the reason why there is none."""
    given = sys.argv[1:]
    checks = given[:1] == ["check"]
    what = ("table", "scores") if checks else ("a", "b")
    parser = argparse.ArgumentParser(
        prog="python -m shd_judge", description=__doc__, usage="%(prog)s [check] FILE FILE"
    )
    for name in what:
        parser.add_argument(name, type=Path, help="a CSV file")
    files = parser.parse_args(given[checks:])
    try:
        print((check if checks else compare)(*(getattr(files, name) for name in what)))
    except (OSError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
