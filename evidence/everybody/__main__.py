"""Train the networks of the plan, write its tables, or ship the selected networks.

``python -m evidence.everybody train selection averaged --hours 2`` trains what is left of two
stages. ``python -m evidence.everybody tables`` freezes the scores of networks that have ended and
writes the tables, and ``python -m evidence.everybody tables --frozen`` computes the tables from the
frozen scores. ``python -m evidence.everybody ship`` writes both networks to ``results/networks``.
"""

import argparse
import sys
import time

import joblib

from evidence.everybody.plan import STAGES
from evidence.everybody.selection import MissingScoresError, known_trainings, trainings_of_stage
from evidence.everybody.tables import ship, write_tables
from evidence.everybody.train import STUDY
from evidence.trainings import freeze, train_left
from shd_helpers.command import run as run_command


def main() -> None:
    """Train, write tables, or ship, from the command line."""
    parser = argparse.ArgumentParser(prog="python -m evidence.everybody", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train", help="train what is left of some stages")
    training.add_argument("stages", nargs="+", choices=STAGES)
    training.add_argument("--workers", type=int, default=joblib.cpu_count(), help="processes")
    training.add_argument("--hours", type=float, default=2, help="after which none is started")
    tables = commands.add_parser("tables", help="freeze the scores and write the tables")
    tables.add_argument("--frozen", action="store_true", help="read the frozen scores")
    commands.add_parser("ship", help="write the selected networks to results/networks")
    given = parser.parse_args()
    try:
        if given.command == "train":
            end_s = time.monotonic() + 3600 * given.hours
            for stage in given.stages:
                train_left(STUDY, trainings_of_stage(stage), given.workers, end_s, stage)
        elif given.command == "ship":
            ship()
        else:
            if not given.frozen:
                freeze(STUDY, known_trainings())
            write_tables()
    except MissingScoresError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    run_command(main)
