"""Train what is left of a plan in ``evidence/plans``, and compute its tables: ``make sweep``.

``python -m evidence people`` trains what is left, freezes the answers in ``results/`` and writes
the tables. If nothing is left, no data are needed. Other names are those of sweeps of notebooks.
"""

import argparse
import signal
import sys
import time
from collections.abc import Sequence

from evidence.plan import networks_of, plan_names, questions_of, read_plan
from evidence.plan_jobs import freeze, left_of, train
from evidence.tables import write_tables
from shd_corpus.checks import DatasetError
from shd_helpers.command import run as run_command
from shd_helpers.study.jobs import RESUME, JobError, Shard, Workers
from shd_helpers.sweeps import runner


def run_plan(arguments: Sequence[str]) -> None:
    """Train what is left of some questions of a plan, freeze the answers and write the tables."""
    parser = argparse.ArgumentParser(prog="make sweep", description=__doc__)
    parser.add_argument("plan", choices=plan_names())
    parser.add_argument("questions", nargs="*", help="default: all, in the plan's order")
    parser.add_argument("--workers", type=int, help="processes (default: one for each core)")
    parser.add_argument("--shard", metavar="I/N", help="train only share I of N of each question")
    parser.add_argument(
        "--hours", type=float, default=float("inf"), help="begin no network after so many hours"
    )
    given = parser.parse_args(arguments)
    plan = read_plan(given.plan)
    end_s = time.monotonic() + 3600 * given.hours
    workers = Workers(given.workers, Shard.read(given.shard) if given.shard else None)
    for question in given.questions or questions_of(plan):
        if question not in questions_of(plan):
            parser.error(f"{question}: the plan has {', '.join(questions_of(plan))}")
        train(plan, question, workers, end_s)
    if workers.shard is None:
        networks = [each for name in questions_of(plan) for each in networks_of(plan, name)]
        freeze(plan, networks)
        print(f"{len(left_of(plan, networks))} of {len(networks)} networks are left")
        print(f"written to results/: {', '.join(write_tables(plan))}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a plan, or a sweep of notebooks, from the command line."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("name", nargs="?")
    given, others = parser.parse_known_args(arguments)
    if given.name not in plan_names():
        runner.main(arguments)
        return
    try:
        run_plan([given.name, *others])
    except (DatasetError, JobError) as error:
        sys.exit(f"The plan stopped.\n{error}")
    except KeyboardInterrupt:
        print(f"\nInterrupted. {RESUME}", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    run_command(main)
