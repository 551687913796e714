"""Train on spikes at 10 ms, and test on official SHD utterances and on the same ones of `hd`.

Of the official SHD files, this study has the test utterances at a resolution of 10 ms alone: one
spike for each pair of bin and channel that has any. So networks are trained on `hd` reduced in the
same way. It is the study's only row on official data.

``python -m scripts.ten_ms reduce hd data/hd_10ms`` writes the reduced data set and its augmented
copies. ``make sweep SWEEP=ten_ms DATASET=data/hd_10ms`` trains three recipes with five seeds.
``python -m scripts.ten_ms judge FILE`` then scores their networks on the official utterances in a
file, and on the same utterances of `hd`, and writes ``results/ten_ms.csv``. Each of these scores is
one look at the test utterances: see results/README.md.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from scripts.write_tables import write_csv
from shd_helpers.command import run
from shd_helpers.data.dataset_error import DatasetError
from shd_helpers.data.reduction import reduce_data_set
from shd_helpers.events import Events, languages
from shd_helpers.events.loading import load_file
from shd_helpers.paths import runs_dir
from shd_helpers.study.evaluation import evaluate
from shd_helpers.study.pretrained import load_network
from shd_helpers.study.run_folder import read_run
from shd_helpers.study.run_replacement import RunError
from shd_helpers.study.tables import TableError, read_table
from shd_helpers.study.trained_network import TrainedNetwork

SWEEP = "ten_ms_hd_10ms"
OFFICIAL = "official"
OWN = "hd"


def judge(official: Path, sweep: str = SWEEP) -> pd.DataFrame:
    """Score the networks of a sweep on two files of the same test utterances.

    Parameters
    ----------
    official : Path
        The official test utterances, in SHD layout, at the resolution that the networks trained on.
    sweep : str
        Name of the sweep's table. The run folders of its runs must be there.

    Returns
    -------
    DataFrame
        A row for each network and file: `model`, `seed`, `parameters`, `test` (``official`` or
        ``hd``), `utterances`, and the fractions that were classified correctly: `accuracy`,
        `english` and `german`.

    Raises
    ------
    RunError
        If a run folder is missing or damaged.
    DatasetError
        If a file can't be read, or the two don't have the same numbers of utterances.
    TableError
        If the sweep has no table.
    """
    rows = []
    for of_run in read_table(sweep).to_dict("records"):
        trained = load_network(read_run(runs_dir() / of_run["run_name"]))
        files = {OFFICIAL: official, OWN: trained.recipe.find_files()[1]}
        tested = {name: _load(trained, path) for name, path in files.items()}
        _check_same(tested[OFFICIAL], tested[OWN], official)
        for name, events in tested.items():
            about = {"model": of_run["model"], "seed": of_run["seed"]}
            about |= {"parameters": of_run["parameters"], "test": name}
            rows.append(about | _accuracies(trained, events))
    return pd.DataFrame(rows)


def _load(trained: TrainedNetwork, path: Path) -> Events:
    """Return the utterances of a file as the network's input."""
    recipe = trained.recipe
    return load_file(path, 1, recipe.input, recipe.language)


def _check_same(official: Events, own: Events, path: Path) -> None:
    """Raise DatasetError if two files can't be of the same utterances in another order.

    Both must have as many utterances of each class. Speakers aren't compared, because the public
    utterances at 10 ms don't say who speaks.
    """
    n_classes = len(own.class_names)
    n_official = np.bincount(official.labels, minlength=n_classes)
    n_own = np.bincount(own.labels, minlength=n_classes)
    if official.class_names != own.class_names or not np.array_equal(n_official, n_own):
        raise DatasetError(
            f"{path}: its utterances aren't those of the test file that the networks were tested "
            "on, because its classes or their numbers differ. Use the official test utterances."
        )


def _accuracies(trained: TrainedNetwork, events: Events) -> dict[str, float]:
    """Return how many utterances there are, and the fractions of right answers."""
    is_correct = evaluate(trained.network, events).answers == events.labels
    language = languages(events)
    return {
        "utterances": len(events),
        "accuracy": float(is_correct.mean()),
        "english": float(is_correct[language == "english"].mean()),
        "german": float(is_correct[language == "german"].mean()),
    }


def main() -> None:
    """Reduce a data set, or judge the networks that were trained on it."""
    parser = argparse.ArgumentParser(prog="python -m scripts.ten_ms", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    reduce = commands.add_parser("reduce", help="write a data set at 10 ms")
    reduce.add_argument("dataset", help="hd, shd or a folder")
    reduce.add_argument("folder", type=Path, help="the folder to write")
    judging = commands.add_parser("judge", help="score the networks of the sweep ten_ms")
    judging.add_argument("file", type=Path, help="the official test utterances at 10 ms")
    given = parser.parse_args()
    try:
        if given.command == "reduce":
            for path in reduce_data_set(given.dataset, given.folder):
                print(path)
            return
        table = judge(given.file)
    except (DatasetError, RunError, TableError) as error:
        sys.exit(str(error))
    write_csv("ten_ms", table)
    columns = ["accuracy", "english", "german"]
    print((100 * table.groupby(["model", "test"])[columns].mean()).round(1).to_string())


if __name__ == "__main__":
    run(main)
