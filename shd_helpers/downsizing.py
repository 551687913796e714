"""Run all sweeps of the downsizing study, one after the other (``make downsizing``)."""

import argparse
import json
import sys

import numpy as np
import pandas as pd

from shd_helpers.datasets import DatasetError
from shd_helpers.files import atomic
from shd_helpers.layout import LANGUAGES
from shd_helpers.paths import runs_dir
from shd_helpers.plan import SweepError, read_sweep
from shd_helpers.sweeps import run_sweep

SWEEPS = (
    "downsizing_grid",
    "downsizing_input",
    "downsizing_threshold",
    "downsizing_tuning",
    "downsizing_tuned",
    "buying_back_validation",
    "buying_back",
    "convolutional_reference",
)


def confusions(table: pd.DataFrame) -> pd.DataFrame:
    """Count from the run folders what was answered to what, seeds together.

    Parameters
    ----------
    table : DataFrame
        From `sweeps.run_sweep`; its run folders must be there.

    Returns
    -------
    DataFrame
        `setting`, `part` (``heard`` or ``unheard`` speakers of the test file), `label` and
        `predicted` (classes), `utterances` (how many; 0 is left out).
    """
    parts = []
    for row in table[table.status == "done"].itertuples():
        folder, words = runs_dir() / row.run_name, LANGUAGES[row.language]
        info = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        answers = pd.read_csv(folder / "predictions.csv", keep_default_na=False)
        heard = answers.speaker.isin(info["heard_speakers"])
        counted = pd.DataFrame(
            {
                "setting": row.setting,
                "part": np.where(heard, "heard", "unheard"),
                "label": answers.label.map(words.index),
                "predicted": answers.predicted.map(words.index),
            }
        )
        parts.append(counted.value_counts())
    total = pd.concat(parts).groupby(level=[0, 1, 2, 3], sort=False).sum()
    return total.rename("utterances").reset_index()


def main() -> None:
    """Run what is missing of every sweep; stop at the first with a run that failed."""
    parser = argparse.ArgumentParser(prog="python -m shd_helpers.downsizing", description=__doc__)
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
            if name == "downsizing_grid":
                path = read_sweep(name, overrides).table
                with atomic(path.with_stem(f"{path.stem}_confusions")) as part:
                    confusions(table).to_csv(part, index=False)
    except (SweepError, DatasetError) as error:
        sys.exit(f"The study stopped.\n{error}")
    except KeyboardInterrupt:
        print("\nInterrupted; the same command goes on where this one stopped.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
