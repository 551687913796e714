"""Compute the tables of ``plan.yaml`` from the stored scores, and ship the selected networks.

``everybody_selection.csv`` has a row for each candidate, and ``everybody_judged.csv`` one for each
selected network and each kind of people who judged it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from evidence.everybody.plan import N_SPEAKERS, candidates
from evidence.everybody.selection import (
    MissingScoresError,
    Thresholds,
    all_entries,
    answers,
    scores_of,
    selected,
    thresholds_of,
)
from evidence.everybody.train import STUDY, sounds_file
from evidence.networks import write_pretrained
from evidence.trainings import (
    HD_SPEAKERS,
    VALIDATION_SPEAKERS,
    Training,
    load,
)
from shd_corpus.class_names import LANGUAGES
from shd_corpus.packed_file import content_hash
from shd_corpus.shd_file import N_CHANNELS
from shd_helpers.data import fingerprint, obtain
from shd_helpers.paths import data_dir, networks_dir, results_dir
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.trained_network import OTHER, OTHER_DATA, TrainedNetwork, build_trained
from shd_judge import interval

Table = list[dict[str, Any]]
# columns of everybody_judged.csv, and what is stored of a network
COSTS = {
    "parameters": "parameters",
    "input_events": "input_events",
    "accumulates": "effective_acs",
}


def selection_table() -> pd.DataFrame:
    """Return a row for each candidate, with what the plan selects by.

    Parameters and seconds are those of one network.
    """
    rows: Table = []
    for each in all_entries():
        stored = scores_of(candidates()[each.candidate].for_validation(each.seeds))
        assert stored is not None
        row = {"group": each.group, "candidate": each.candidate, "networks": len(each.seeds)}
        row |= {name: float(stored[name]) for name in ("n_training", "training_s", "parameters")}
        row |= {"accuracy": each.accuracy, "rejected": each.rejected, "score": each.score}
        rows.append(row)
    return pd.DataFrame(rows)


def judged_row(
    by_file: Sequence[Mapping[str, np.ndarray]], dataset: str, thresholds: Thresholds
) -> dict[str, Any]:
    """Return how a network answers some people, whose scores may be in several files."""
    scores = np.concatenate([stored[f"{dataset}_scores"] for stored in by_file])
    labels = np.concatenate([stored[f"{dataset}_labels"] for stored in by_file])
    people = np.concatenate([stored[f"{dataset}_speakers"] for stored in by_file])
    found = answers(scores)
    is_right = found.digits == labels
    right = pd.DataFrame({"english": is_right, "any": scores.argmax(1) == labels})
    of_people = right.groupby(people).mean()
    mean, half = interval(of_people[["english"]].to_numpy())
    row: dict[str, Any] = {
        "people": len(of_people),
        "utterances": len(labels),
        "accuracy": float(mean),
        "ci95": float(half),
        "accuracy_utterances": is_right.mean(),
        "accuracy_all_classes": of_people["any"].mean(),
    }
    if dataset == "hd_cut":
        row["lowest"] = of_people.english.min()
    for prefix, threshold in (("", thresholds.amended), ("planned_", thresholds.planned)):
        is_accepted = found.confidences >= threshold
        row[f"{prefix}threshold"] = threshold
        row[f"{prefix}accepted"] = is_accepted.mean()
        counts = pd.DataFrame({"right": is_accepted & is_right, "all": is_accepted})
        share, half = share_of(counts.groupby(people).sum())
        row[f"{prefix}right_of_accepted"] = share
        row[f"{prefix}right_of_accepted_ci95"] = half
    return row


def share_of(counts: pd.DataFrame) -> tuple[float, float]:
    """Return the share of `right` in `all` over the counts of people, and half its interval.

    People have different numbers of answers, so the interval is that of a ratio of two means, by
    its linear approximation.
    """
    share = counts.right.sum() / counts["all"].sum()
    residuals = (counts.right - share * counts["all"]) / counts["all"].mean()
    return float(share), float(interval(residuals.to_frame().to_numpy())[1])


def judged_table() -> pd.DataFrame:
    """Return a row for each selected network and each kind of people who have judged it.

    The speakers of `hd` have a row for the average and one for its first network.
    """
    rows: Table = []
    for name, each in selected().items():
        candidate = candidates()[each.candidate]
        thresholds = thresholds_of(each)
        tests = [("commands", each.seeds), ("hd_cut", each.seeds), ("hd_cut", each.seeds[:1])]
        for dataset, seeds in dict.fromkeys(tests):
            trainings = [candidate.for_test(seeds)]
            if dataset == "hd_cut":
                trainings = [candidate.for_speaker(number, seeds) for number in range(N_SPEAKERS)]
            found = [scores_of(of_one_file) for of_one_file in trainings]
            complete = [stored for stored in found if stored is not None]
            if len(complete) == len(found):
                row: dict[str, Any] = {
                    "network": name,
                    "candidate": each.candidate,
                    "networks": len(seeds),
                }
                row |= {"tested_on": dataset, **judged_row(complete, dataset, thresholds)}
                if dataset == "commands":
                    row |= {name: float(complete[0][stored]) for name, stored in COSTS.items()}
                rows.append(row)
    return pd.DataFrame(rows)


def write_tables() -> None:
    """Write the tables of the stages that are complete."""
    for name, make in (("selection", selection_table), ("judged", judged_table)):
        try:
            table = make()
        except MissingScoresError as error:
            print(error)
            return
        table.to_csv(results_dir() / f"everybody_{name}.csv", index=False, float_format="%.6g")


# --- Shipping --------------------------------------------------------------------------------


def _trained(training: Training) -> TrainedNetwork:
    """Return a network of the stage *final* with what a pretrained network says about itself.

    Its data set is `commands`, whose test people have judged it. The hashes of the other files that
    trained it are listed, too.
    """
    settings = {
        **training.cell.settings,
        "language": "english",
        "validation": "speaker",
        "validation_speakers": VALIDATION_SPEAKERS,
        "seed": training.seed,
    }
    grid = Recipe.from_flat(settings).input
    people = np.unique(load("commands", grid).speakers)
    others = (*obtain(str(data_dir() / "hd_cut")), sounds_file())
    about = {
        "parameters": Recipe.from_flat(settings).flat(),
        "seed": training.seed,
        "data": fingerprint(obtain("commands"))
        | {OTHER_DATA: ["hd"]}
        | {f"{path.stem}_sha256": content_hash(path) for path in others},
        "hash": training.cell.digest,
        "class_names": [*LANGUAGES["both"], OTHER],
        "n_channels": N_CHANNELS,
        "seen_speakers": [*people.tolist(), *range(HD_SPEAKERS, HD_SPEAKERS + N_SPEAKERS)],
    }
    path = training.path(STUDY.folder).with_suffix(".pt")
    return build_trained(about, torch.load(path, weights_only=True), path)


def ship() -> None:
    """Write the selected networks with their thresholds to ``results/networks``."""
    for name, each in selected().items():
        path = networks_dir() / f"{name}.npz"
        (training,) = candidates()[each.candidate].for_test(each.seeds)
        trained = _trained(training)
        about = trained.about | {"confidence_threshold": thresholds_of(each).amended}
        state = trained.network.state_dict()
        write_pretrained(path, about, {key: values.numpy() for key, values in state.items()})
        print(path)
