"""Select two networks by the rule of ``plan.yaml``, and find their confidence thresholds."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import softmax

from evidence.everybody.plan import N_SPEAKERS, STAGES, candidates, plan
from evidence.everybody.train import STUDY
from evidence.trainings import Training, accuracy_by_person, stored_of
from shd_corpus.class_names import ENGLISH

SMALL = "small"  # the names of the selected networks
EVERYBODY = "everybody"
Stored = Mapping[str, np.ndarray]


class MissingScoresError(ValueError):
    """A stage needs the scores of an earlier one; the message names it."""


def averaged(networks: Sequence[Stored]) -> dict[str, np.ndarray]:
    """Return what is stored of several networks, with the means of their class scores."""
    result = dict(networks[0])
    for name in result:
        if name.endswith("_scores"):
            result[name] = np.mean([each[name].astype(np.float64) for each in networks], axis=0)
    return result


def scores_of(trainings: Sequence[Training]) -> dict[str, np.ndarray] | None:
    """Return what is stored of networks that are averaged; None if one of them has no scores."""
    found = [stored_of(STUDY, training) for training in trainings]
    complete = [stored for stored in found if stored is not None]
    return averaged(complete) if len(complete) == len(found) else None


# --- The rule --------------------------------------------------------------------------------


class Entry(NamedTuple):
    """A candidate with one network or with several that are averaged, and what it scored."""

    candidate: str
    seeds: tuple[int, ...]
    accuracy: float  # of validation people
    rejected: float  # of sounds of held-out kinds

    @property
    def group(self) -> str:
        """Return the group of the candidate."""
        return candidates()[self.candidate].group

    @property
    def score(self) -> float:
        """Return by what the plan selects."""
        return self.accuracy + self.rejected - 1


def entry(candidate: str, seeds: Sequence[int]) -> Entry | None:
    """Return the entry of a candidate; None if a network has no scores yet."""
    stored = scores_of(candidates()[candidate].for_validation(seeds))
    if stored is None:
        return None
    of_people = accuracy_by_person(stored).mean()
    of_kinds = accuracy_by_person(stored, "others").mean()
    return Entry(candidate, tuple(seeds), float(of_people), float(of_kinds))


def _single_entries() -> list[Entry]:
    """Return the entries of all candidates with one network each."""
    found = [entry(name, [0]) for name in candidates()]
    complete = [each for each in found if each is not None]
    if len(complete) < len(found):
        raise MissingScoresError("selection: some candidates have no scores. Train this stage.")
    return complete


def best_of(entries: Sequence[Entry], groups: Sequence[str]) -> Entry:
    """Return the entry with the highest score in some groups; of equal ones, the first."""
    return max((each for each in entries if each.group in groups), key=lambda each: each.score)


def all_entries() -> list[Entry]:
    """Return the entries of all candidates and, if it has been trained, of the average."""
    singles = _single_entries()
    averaged_one = entry(best_of(singles, ["medium", "large"]).candidate, plan()["averaged_seeds"])
    return [*singles, *([averaged_one] if averaged_one else [])]


def selected() -> dict[str, Entry]:
    """Return the two selected networks."""
    entries = all_entries()
    averages = [each for each in entries if len(each.seeds) > 1]
    if not averages:
        raise MissingScoresError("averaged: not all networks have scores. Train this stage.")
    everybody = max([best_of(entries, ["medium"]), *averages], key=lambda each: each.score)
    return {SMALL: best_of(entries, ["small"]), EVERYBODY: everybody}


def trainings_of_stage(stage: str) -> Iterator[Training]:
    """Yield the trainings of a stage, in the order of the training."""
    if stage == "selection":
        for candidate in candidates().values():
            yield from candidate.for_validation()
    elif stage == "averaged":
        best = best_of(_single_entries(), ["medium", "large"])
        yield from candidates()[best.candidate].for_validation(plan()["averaged_seeds"])
    elif stage == "final":
        for each in selected().values():
            yield from candidates()[each.candidate].for_test(each.seeds)
    else:
        for repeat in range(len(plan()["averaged_seeds"])):
            for each in selected().values():
                for speaker in range(N_SPEAKERS):
                    seeds = each.seeds[repeat : repeat + 1]
                    yield from candidates()[each.candidate].for_speaker(speaker, seeds)


def known_trainings() -> Iterator[Training]:
    """Yield the trainings of all stages that can have begun."""
    for stage in STAGES:
        try:
            yield from trainings_of_stage(stage)
        except MissingScoresError:
            return


# --- Answers and thresholds ------------------------------------------------------------------


class Answers(NamedTuple):
    """Answers to utterances, if English digits are expected."""

    digits: np.ndarray  # (utterances,) classes
    confidences: np.ndarray  # (utterances,) 0 where another class than the digit scores highest


def answers(scores: np.ndarray) -> Answers:
    """Return the answers of a network whose last class is *other*, from its class scores."""
    n_digits = len(ENGLISH)
    exact = scores.astype(np.float64)
    shares = softmax(exact[:, [*range(n_digits), -1]], axis=1)[:, :n_digits]
    digits = shares.argmax(1)
    is_highest = exact.argmax(1) == digits
    return Answers(digits, np.where(is_highest, shares.max(1), 0.0))


def confidence_threshold(confidence: np.ndarray, correct: np.ndarray, wanted: float) -> float:
    """Return the lowest confidence at which at least a given share of accepted answers is correct.

    Shapes: `confidence`, `correct` (utterances,).
    """
    levels, level_of_answer = np.unique(confidence, return_inverse=True)
    n_answers = np.bincount(level_of_answer)
    n_correct = np.bincount(level_of_answer, correct)
    n_accepted = n_answers[::-1].cumsum()[::-1]  # at this level or a higher one
    n_accepted_correct = n_correct[::-1].cumsum()[::-1]
    thresholds = levels[n_accepted_correct >= wanted * n_accepted]
    return float(thresholds[0]) if len(thresholds) else np.inf


def threshold_of_sounds(confidences: np.ndarray, kinds: np.ndarray, accepted: float) -> float:
    """Return the lowest confidence from which on a given share is accepted, as a mean over kinds.

    Shapes: `confidences`, `kinds` (sounds,). A sound with the confidence 0 is never accepted.
    """
    for level in (np.finfo(float).tiny, *np.unique(confidences[confidences > 0])):
        is_accepted = pd.Series(confidences >= level)
        if is_accepted.groupby(kinds).mean().mean() <= accepted:
            return float(level)
    return np.inf


class Thresholds(NamedTuple):
    """The confidence from which on a network's answers are accepted."""

    of_people: float  # so that enough accepted answers of people are right
    of_sounds: float  # so that few sounds of held-out kinds are accepted

    @property
    def planned(self) -> float:
        """Return the threshold of the plan before its amendment."""
        return max(self)

    @property
    def amended(self) -> float:
        """Return the threshold of the shipped network."""
        return self.of_people


def thresholds_of(selected_one: Entry) -> Thresholds:
    """Return the confidence thresholds of a selected network."""
    stored = scores_of(candidates()[selected_one.candidate].for_validation(selected_one.seeds))
    assert stored is not None
    people = answers(stored["commands_scores"])
    is_right = people.digits == stored["commands_labels"]
    may_be_accepted = people.confidences > 0
    return Thresholds(
        confidence_threshold(
            people.confidences[may_be_accepted],
            is_right[may_be_accepted],
            plan()["right_of_accepted"],
        ),
        threshold_of_sounds(
            answers(stored["others_scores"]).confidences,
            stored["others_speakers"],
            plan()["accepted_sounds"],
        ),
    )
