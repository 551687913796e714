"""Run all sweeps of the downsizing study, one after the other (``make downsizing``)."""

import argparse
import json
import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd

from shd_helpers.files import atomic
from shd_helpers.paths import runs_dir
from shd_helpers.source.datasets import DatasetError
from shd_helpers.source.shd_file import LANGUAGES
from shd_helpers.sweeps.runner import run_sweep
from shd_helpers.sweeps.spec import SweepError, read_sweep

SWEEPS = (
    "downsizing_grid",
    "downsizing_input",
    "downsizing_threshold",
    "downsizing_tuning",
    "downsizing_tuned",
    "speakers_left_out",
    "buying_back_validation",
    "buying_back",
    "convolutional_reference_validation",
    "convolutional_reference",
)


def answers(table: pd.DataFrame) -> pd.DataFrame:
    """Return what every run of a sweep answered on the test file, from the run folders.

    Parameters
    ----------
    table : DataFrame
        From `sweeps.run_sweep`; its run folders must be there.

    Returns
    -------
    DataFrame
        A row an utterance and run: `configuration`, `seed`, `speaker`, `part` (``heard`` in training or
        ``unheard``), `label` and `predicted` (classes).
    """
    parts = []
    for row in table[table.status == "done"].itertuples():
        folder, words = runs_dir() / row.run_name, LANGUAGES[row.language]
        info = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        given = pd.read_csv(folder / "predictions.csv", keep_default_na=False)
        heard = given.speaker.isin(info["seen_speakers"])
        parts.append(
            pd.DataFrame(
                {
                    "configuration": row.configuration,
                    "seed": row.seed,
                    "speaker": given.speaker,
                    "part": np.where(heard, "heard", "unheard"),
                    "label": given.label.map(words.index),
                    "predicted": given.predicted.map(words.index),
                }
            )
        )
    return pd.concat(parts)


def count(given: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Count the answers, and the right ones.

    Parameters
    ----------
    given : DataFrame
        From `answers`.
    columns : sequence of str
        Columns of it; answers that agree in them are counted together.

    Returns
    -------
    DataFrame
        The columns, `utterances` and `correct` (how many).
    """
    given = given.assign(correct=given.label == given.predicted)
    counted = given.groupby([*columns], sort=False).correct
    return counted.agg(utterances="size", correct="sum").reset_index()


# what is counted of a sweep's answers, for a table beside the sweep's
COUNTED = {
    "downsizing_grid": ("confusions", ("configuration", "part", "label", "predicted")),
    "buying_back": ("by_speaker", ("configuration", "seed", "speaker", "part")),
}


def main() -> None:
    """Run what is missing of every sweep; stop at the first with a run that failed."""
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
                path, (what, columns) = read_sweep(name, overrides).table, COUNTED[name]
                with atomic(path.with_stem(f"{path.stem}_{what}")) as part:
                    count(answers(table), columns).to_csv(part, index=False)
    except (SweepError, DatasetError) as error:
        sys.exit(f"The study stopped.\n{error}")
    except KeyboardInterrupt:
        print("\nInterrupted; the same command goes on where this one stopped.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
