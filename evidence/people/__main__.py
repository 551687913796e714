"""Train the networks of the plan, or write its tables.

``python -m evidence.people train cost size --hours 2`` trains what is left of two questions.
``python -m evidence.people tables`` freezes what is finished and writes the tables, and
``python -m evidence.people tables --frozen`` computes the tables from the frozen predictions.
"""

import argparse
import time

import joblib

from evidence.people.plan import plan
from evidence.people.tables import freeze, write_refused, write_tables
from evidence.people.train import train_question
from shd_helpers.command import run as run_command


def main() -> None:
    """Train, or write tables, from the command line."""
    parser = argparse.ArgumentParser(prog="python -m evidence.people", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train", help="train what is left of some questions")
    training.add_argument(
        "questions", nargs="+", choices=["selection", *plan()["questions"], "final"]
    )
    training.add_argument("--workers", type=int, default=joblib.cpu_count(), help="processes")
    training.add_argument("--hours", type=float, default=2, help="after which none is started")
    tables = commands.add_parser("tables", help="freeze the predictions and write the tables")
    tables.add_argument("--frozen", action="store_true", help="read the frozen predictions")
    given = parser.parse_args()
    if given.command == "train":
        end_s = time.monotonic() + 3600 * given.hours
        for question in given.questions:
            train_question(question, given.workers, end_s)
        return
    if not given.frozen:
        write_refused()
        freeze()
    write_tables()


if __name__ == "__main__":
    run_command(main)
