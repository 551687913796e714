"""The steps of a run around its training, as notebook 3 takes them: list, start, score, finish."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from shd_helpers.data import dataset_name, speaker_name
from shd_helpers.events import Subsets
from shd_helpers.events.split import predicted_subset
from shd_helpers.extras import from_extra
from shd_helpers.network import costs, uncounted_reason
from shd_helpers.network.engine import Network
from shd_helpers.paths import runs_dir
from shd_helpers.study.evaluation import (
    Evaluation,
    evaluate,
    record_examples,
    seen_and_unseen_accuracy,
)
from shd_helpers.study.identity import identify_data
from shd_helpers.study.parameters import check_run_name
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.run_folder import Run, classes_in_words, read_run
from shd_helpers.study.run_replacement import RunError
from shd_helpers.study.run_writer import RunWriter

if TYPE_CHECKING:
    import pandas as pd
    from pandas.io.formats.style import Styler


@dataclass
class Scored:
    """What a trained network did with the utterances of a run.

    Parameters
    ----------
    validated : Evaluation
        The validation utterances.
    tested : Evaluation or None
        The test utterances; None if the run doesn't score them.
    seen_speakers : list of int
        Speakers in the training set.
    accuracies : dict of str to float
        Fractions by name, None where nothing was measured.
    predictions : DataFrame
        One row for each test utterance, or for each validation utterance without a test.
    """

    validated: Evaluation
    tested: Evaluation | None
    seen_speakers: list[int]
    accuracies: dict[str, float | None]
    predictions: "pd.DataFrame"

    @property
    def last(self) -> Evaluation:
        """Return the evaluation that `predictions` lists."""
        return predicted_subset(self.validated, self.tested)

    def table(self) -> "Styler":
        """Return the accuracies in percent, as a table of one row.

        Returns
        -------
        Styler
            What was not measured is shown as "-".
        """
        with from_extra("study"):
            import pandas as pd

        table = pd.DataFrame([self.accuracies], index=["accuracy"])
        return table.style.format("{:.1%}", na_rep="-")


def list_utterances(recipe: Recipe, parts: Subsets) -> "Styler":
    """List which utterances of which speakers train, validate and test.

    Parameters
    ----------
    recipe : Recipe
        The settings of the run.
    parts : Subsets
        Its utterances.

    Returns
    -------
    Styler
        One row for each part, with the number of its utterances, the percentage of their spikes
        that come after `duration_s`, and the speakers' names.
    """
    with from_extra("study"):
        import pandas as pd

    data = dataset_name(recipe.find_files())
    rows = {}
    for name, events in parts._asdict().items():
        if events is None:
            continue
        speakers = [speaker_name(data, speaker) for speaker in np.unique(events.speakers)]
        rows[name] = {
            "utterances": len(events),
            "late spikes cut off": f"{100 * events.cut_share:.1f} %",
            "speakers": ", ".join(speakers),
        }
    classes = classes_in_words(parts.training.class_names, recipe.language)
    caption = f"data: {data}, {classes}; seed {recipe.seed}"
    return pd.DataFrame.from_dict(rows, orient="index").style.set_caption(caption)


def start_run(recipe: Recipe, parts: Subsets, model: Network) -> RunWriter:
    """Start the record of a run, before its network is trained.

    Parameters
    ----------
    recipe : Recipe
        The settings of the run; `run_name` names its folder below ``runs/``.
    parts : Subsets
        Its utterances.
    model : Module
        The network after initialization.

    Returns
    -------
    RunWriter
        Its `epoch` records the end of an epoch. The folder is written by `finish_run`.

    Raises
    ------
    RunError
        If the run folder can't be written.
    """
    settings = recipe.flat()
    folder = runs_dir() / recipe.run_name
    return RunWriter(folder, settings, identify_data(settings), parts, model)


def score(model: Network, parts: Subsets) -> Scored:
    """Let a trained network classify the utterances of a run.

    Parameters
    ----------
    model : Module
        The trained network.
    parts : Subsets
        The utterances of the run.

    Returns
    -------
    Scored
        Accuracies for training and validation, and for test utterances of all, of seen and of
        unseen speakers.
    """
    validated = evaluate(model, parts.validation)
    tested = None if parts.test is None else evaluate(model, parts.test)
    seen_speakers = np.unique(parts.training.speakers).tolist()
    accuracies: dict[str, float | None] = {
        "train": evaluate(model, parts.training).accuracy,
        "validation": validated.accuracy,
        **seen_and_unseen_accuracy(tested, seen_speakers),
    }
    predicted = predicted_subset(validated, tested)
    predictions = predicted.predictions(with_accumulates=uncounted_reason(model) is None)
    return Scored(validated, tested, seen_speakers, accuracies, predictions)


def finish_run(run: RunWriter, model: Network, scored: Scored) -> dict[str, float]:
    """Write the folder of a run whose network is trained and scored.

    Parameters
    ----------
    run : RunWriter
        From `start_run`.
    model : Module
        The trained network.
    scored : Scored
        From `score`.

    Returns
    -------
    dict of str to float
        The size of each file of the run, in megabytes.

    Raises
    ------
    RunError
        If the folder can't be written; an earlier run in it stays.
    """
    events = scored.last.events
    cost: Mapping[str, float] = {}
    if uncounted_reason(model) is None:
        cost = costs(model, scored.predictions, events.n_steps, events.n_units)
    examples = record_examples(model, events)
    class_scores = scored.last.class_scores
    run.finish(model, scored.accuracies, scored.predictions, examples, cost, class_scores)
    files = ["run.json", *run.info["files"]]
    return {name: (run.folder / name).stat().st_size / 1e6 for name in files}


def read_spiking_run(run_name: str) -> Run:
    """Read a run of a spiking network, for notebook 4.

    Parameters
    ----------
    run_name : str
        The name of its folder below ``runs/``.

    Returns
    -------
    Run
        The content of the run folder.

    Raises
    ------
    RunError
        If there is no run in the folder, or one whose spikes weren't recorded.
    ValueError
        If it can't be the name of a run.
    """
    check_run_name(run_name)
    run = read_run(runs_dir() / run_name)
    if not run.examples:
        raise RunError(f"{run.folder}: no spikes were recorded; train with network = 'spiking'.")
    return run
