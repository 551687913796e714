"""Run what is missing of the sweeps behind notebooks 4 to 8, one by one."""

import argparse
import sys

import pandas as pd

from shd_helpers.files import atomic
from shd_helpers.paths import results_dir
from shd_helpers.source.shd_file import DatasetError
from shd_helpers.study.tables import TableError
from shd_helpers.sweeps.runner import add_places, places_of, run_sweep
from shd_helpers.sweeps.yaml_file import SweepError

EVIDENCE = (
    "search",
    "finalists",
    "final",
    "surrogates",
    "learning_rate_epochs",
    "original",
    "original_left_out",
    "networks",
    "judged",
    "adapting",
    "inputs",
    "benchmark",
    "circuit_bits_validation",
    "circuit_bits",
)


def main() -> None:
    """Run all sweeps (``make evidence``); stop at the first with a run that failed."""
    parser = argparse.ArgumentParser(
        prog="python -m shd_helpers.sweeps.evidence", description=__doc__
    )
    parser.add_argument("--dataset", help="as for make study; default: hd")
    add_places(parser)
    arguments = parser.parse_args()
    overrides = {"dataset": arguments.dataset} if arguments.dataset else {}
    try:
        write_voices(arguments.dataset or "hd")
        for number, name in enumerate(EVIDENCE, start=1):
            print(f"\n{name} ({number} of {len(EVIDENCE)})", flush=True)
            table = run_sweep(name, overrides, places=places_of(arguments))
            if (table.status == "failed").any():
                sys.exit(f"{name}: a run failed; see the column error in results/")
    except (SweepError, TableError, DatasetError) as error:
        sys.exit(f"The evidence is not complete.\n{error}")
    except KeyboardInterrupt:
        print("\nInterrupted; the same command goes on where this one stopped.", file=sys.stderr)
        sys.exit(130)


def write_voices(dataset: str) -> None:
    """Write ``results/voices_<data set>.csv``: what each speaker's voice is like.

    Parameters
    ----------
    dataset : str
        As for `datasets.locate`.
    """
    from shd_helpers.source.datasets import dataset_name, locate
    from shd_helpers.source.shd_file import read_shd
    from tools.voices import VOICE, describe_voices

    files = locate(dataset)
    path = results_dir() / f"voices_{dataset_name(files)}.csv"
    if path.exists():
        return
    voices = pd.concat([describe_voices(read_shd(file)) for file in files])
    speakers = voices.groupby("speaker")
    table = speakers[[*VOICE]].median().round(3).assign(utterances=speakers.size())
    with atomic(path) as part:
        table.to_csv(part)


if __name__ == "__main__":
    main()
