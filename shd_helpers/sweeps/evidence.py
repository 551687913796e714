"""Run what is missing of the sweeps behind notebooks 5 and 6, one after the other."""

import argparse
import sys

from shd_helpers.files import atomic
from shd_helpers.source.shd_file import DatasetError
from shd_helpers.study.predictions import collect_predictions, count_correct
from shd_helpers.study.tables import TableError
from shd_helpers.sweeps.runner import run_sweep
from shd_helpers.sweeps.spec import read_sweep
from shd_helpers.sweeps.yaml_file import SweepError

SWEEPS = (
    "surrogates",
    "learning_rate_epochs",
    "batch_size",
    "chosen",
    "original",
    "downsizing_grid",
    "downsizing_input",
    "downsizing_threshold",
    "downsizing_tuning",
    "downsizing_tuned",
    "speakers_left_out",
    "models_validation",
    "models",
    "convolutional_reference_validation",
    "convolutional_reference",
)
# What is counted of a sweep's predictions, for a table beside the sweep's. Its columns are these.
COUNTED = {
    "downsizing_grid": ("confusions", ("configuration", "seen", "label", "predicted")),
    "models": ("by_speaker", ("configuration", "seed", "speaker", "seen")),
}


def main() -> None:
    """Run all sweeps (``make evidence``); stop at the first with a run that failed."""
    parser = argparse.ArgumentParser(
        prog="python -m shd_helpers.sweeps.evidence", description=__doc__
    )
    parser.add_argument("--dataset", help="as for make study; default: what the sweeps say")
    parser.add_argument("--workers", type=int, help="processes; default: one for each core")
    arguments = parser.parse_args()
    overrides = {"dataset": arguments.dataset} if arguments.dataset else {}
    try:
        for number, name in enumerate(SWEEPS, start=1):
            print(f"\n{name} ({number} of {len(SWEEPS)})", flush=True)
            table = run_sweep(name, overrides, workers=arguments.workers)
            if (table.status == "failed").any():
                sys.exit(f"{name}: a run failed; see the column error in results/")
            if name in COUNTED:
                count(name, overrides)
    except (SweepError, TableError, DatasetError) as error:
        sys.exit(f"The evidence is not complete.\n{error}")
    except KeyboardInterrupt:
        print("\nInterrupted; the same command goes on where this one stopped.", file=sys.stderr)
        sys.exit(130)


def count(name: str, overrides: dict[str, object]) -> None:
    """Write what is counted of a sweep's predictions."""
    table, (what, columns) = read_sweep(name, overrides).table, COUNTED[name]
    counted = count_correct(collect_predictions(table), columns)
    with atomic(table.with_stem(f"{table.stem}_{what}")) as part:
        counted.to_csv(part, index=False)


if __name__ == "__main__":
    main()
