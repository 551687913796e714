"""Compare two CSV files of speaker, seed, accuracy: ``python -m shd_judge a.csv b.csv``."""

import argparse
import sys
from pathlib import Path

from shd_judge.comparison import compare


def main() -> None:
    """Print the difference, or the reason why there is none."""
    parser = argparse.ArgumentParser(prog="python -m shd_judge", description=__doc__)
    parser.add_argument("a", type=Path, help="table of the first network")
    parser.add_argument("b", type=Path, help="table of the second network, which is subtracted")
    arguments = parser.parse_args()
    try:
        print(compare(arguments.a, arguments.b))
    except (OSError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
