"""The steps of a run around its training, as notebook 3 takes them: list, start, score, finish."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from shd_helpers.data import dataset_name, speaker_name
from shd_helpers.events import Subsets
from shd_helpers.extras import from_extra
from shd_helpers.network import costs, uncounted_reason
from shd_helpers.paths import runs_dir
from shd_helpers.study.evaluation import (
    Evaluation,
    evaluate,
    record_examples,
    seen_and_unseen_accuracy,
)
from shd_helpers.study.identity import obtain_and_identify
from shd_helpers.study.parameters import check_run_name
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.run_folder import Run, RunError, classes_in_words, read_run
from shd_helpers.study.run_writer import RunWriter

if TYPE_CHECKING:
    import pandas as pd
    from pandas.io.formats.style import Styler


@dataclass
class Scored:
    """What a trained network did with the utterances of a run."""

    # The validation utterances.
    validated: Evaluation
    # The test utterances; None if the run doesn't score them.
    tested: Evaluation | None
    # Speakers in the training set.
    seen_speakers: list[int]
    # Fractions by name, None where nothing was measured.
    accuracies: dict[str, float | None]
    # One row for each test utterance, or for each validation utterance without a test.
    predictions: "pd.DataFrame"

    @property
    def last(self) -> Evaluation:
        """Return the evaluation that `predictions` lists."""
        return self.validated if self.tested is None else self.tested

    def table(self) -> "Styler":
        """Return the accuracies in percent, as a table of one row."""
        with from_extra("study"):
            import pandas as pd

        table = pd.DataFrame([self.accuracies], index=["accuracy"])
        return table.style.format("{:.1%}", na_rep="-")


def list_utterances(recipe: Recipe, parts: Subsets) -> "Styler":
    """List which utterances of which speakers train, validate and test."""
    with from_extra("study"):
        import pandas as pd

    data = dataset_name(recipe.obtain_files())
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


def start_run(recipe: Recipe, parts: Subsets, model: nn.Module) -> RunWriter:
    """Start the record of a run, before its network is trained."""
    settings = recipe.flat()
    folder = runs_dir() / recipe.run_name
    return RunWriter(folder, settings, obtain_and_identify(settings), parts, model)


def score(model: nn.Module, parts: Subsets) -> Scored:
    """Let a trained network classify the utterances of a run."""
    validated = evaluate(model, parts.validation)
    tested = None if parts.test is None else evaluate(model, parts.test)
    seen_speakers = np.unique(parts.training.speakers).tolist()
    accuracies: dict[str, float | None] = {
        "train": evaluate(model, parts.training).accuracy,
        "validation": validated.accuracy,
        **seen_and_unseen_accuracy(tested, seen_speakers),
    }
    predicted = validated if tested is None else tested
    predictions = predicted.predictions()
    return Scored(validated, tested, seen_speakers, accuracies, predictions)


def finish_run(run: RunWriter, model: nn.Module, scored: Scored) -> dict[str, float]:
    """Write the folder of a run whose network is trained and scored."""
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
    """Read a run of a spiking network, for notebook 4."""
    check_run_name(run_name)
    run = read_run(runs_dir() / run_name)
    if not run.examples:
        raise RunError(f"{run.folder}: no spikes were recorded; train with network = 'spiking'.")
    return run
