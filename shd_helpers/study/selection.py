"""Select a network on held-out training speakers by a rule, and judge what was selected, nested.

Whoever compares many networks and keeps the best one is partly lucky. Three things keep this luck
small here. The candidates and the rule are written down before the first run. The candidates are
compared on speakers who didn't train them, the ten folds of docs/folds.md. And the accuracy that is
reported for a speaker is that of the candidate which the *other* nine folds select:
`nested_selection` and `nested_accuracies`. `study.selection_tables` reads the tables of all this.

**Entries.** What competes is an `Entry`: a single candidate, whose accuracy is the mean over its
seeds, or an ensemble, whose members' class scores are averaged. Ensembles need no run of their own,
because sweeps keep class scores (`study.class_scores`).

**The rule** (`select`), for any set of speakers:

1. An entry's score is its mean accuracy over these speakers, each with the same weight.
2. An entry is *eligible* if it has at most `most_parameters` parameters, its score is at least
   `margin` percentage points above that of the reference, and it is more accurate than the
   reference for more than half of the speakers. If no entry is eligible, the reference stays. So
   the rule can reject all candidates.
3. Of the eligible entries, those are tied whose score is within `tie` percentage points of the
   highest one. The tied entry with the fewest parameters wins. If several have as few, the one with
   the higher score wins, and then the one that is listed first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from shd_judge import contrasts
from shd_judge.statistics import UNDECIDED

from shd_helpers.data.class_names import LANGUAGES
from shd_helpers.study.class_scores import ClassScores, mean_of_scores

ROUNDING = 1e-9  # percentage points: sums of fractions may miss a limit by less than this


class SelectionError(ValueError):
    """A selection that can't be made yet; the message says what is missing and what to do."""


@dataclass(frozen=True)
class Rule:
    """The numbers of the rule; the module's docstring says what they are for.

    Parameters
    ----------
    reference : str
        The entry that stays if no other one is eligible.
    margin : float
        Lead over the reference that an entry needs, in percentage points.
    tie : float
        Entries this close to the best one are tied, in percentage points.
    most_parameters : int
        Most parameters of an entry, all members of an ensemble together.
    """

    reference: str
    margin: float = 1.0
    tie: float = 0.5
    most_parameters: int = 1_000_000


@dataclass(frozen=True)
class Entry:
    """What competes: a candidate, or an ensemble of candidates and seeds.

    Parameters
    ----------
    members : mapping
        Seeds by candidate.
    is_ensemble : bool
        True: the class scores of all members are averaged. False: there is one candidate, and the
        accuracies of its seeds are averaged.

    Raises
    ------
    ValueError
        If there is no member, or several candidates are no ensemble.
    """

    members: Mapping[str, Sequence[int]]
    is_ensemble: bool = False

    def __post_init__(self) -> None:
        """Refuse what can't be scored."""
        if not self.members or not all(self.members.values()):
            raise ValueError("members: an entry needs at least one candidate with a seed")
        if len(self.members) > 1 and not self.is_ensemble:
            raise ValueError(f"members {', '.join(self.members)}: several are an ensemble only")

    @property
    def runs(self) -> list[tuple[str, int]]:
        """The pairs of candidate and seed."""
        return [(name, seed) for name, seeds in self.members.items() for seed in seeds]


@dataclass(frozen=True)
class Folds:
    """The class scores of candidates for held-out speakers."""

    runs: dict[tuple[str, int, int], ClassScores]  # by candidate, speaker and seed
    parameters: dict[str, int]  # how many each candidate learns

    @property
    def speakers(self) -> list[int]:
        """All speakers who were held out, ascending."""
        return sorted({speaker for _, speaker, _ in self.runs})

    def members(self, entry: Entry, speaker: int) -> list[ClassScores]:
        """Return the class scores of an entry's members for a held-out speaker.

        Parameters
        ----------
        entry : Entry
            The entry.
        speaker : int
            The speaker.

        Returns
        -------
        list of ClassScores
            In the order of `Entry.runs`.

        Raises
        ------
        SelectionError
            If a run is missing.
        """
        missing = [
            f"{name!r} with seed {seed}"
            for name, seed in entry.runs
            if (name, speaker, seed) not in self.runs
        ]
        if missing:
            raise SelectionError(
                f"the fold of speaker {speaker} is missing for {', '.join(missing)}. Start the "
                "sweep again: it runs only what is missing."
            )
        return [self.runs[name, speaker, seed] for name, seed in entry.runs]

    def accuracy(self, entry: Entry, speaker: int, language: str = "both") -> float:
        """Return an entry's accuracy for a held-out speaker.

        Parameters
        ----------
        entry : Entry
            The entry.
        speaker : int
            The speaker.
        language : str
            The utterances that count: ``"english"`` or ``"german"`` for digits of SHD, ``"both"``
            for all utterances of any data.

        Returns
        -------
        float
            A fraction.

        Raises
        ------
        SelectionError
            If a run is missing.
        """
        members = self.members(entry, speaker)
        if entry.is_ensemble:
            members = [mean_of_scores(members)]
        is_counted = np.ones(len(members[0].label), dtype=bool)
        if language != "both":
            names = np.array(members[0].class_names)[members[0].label]
            is_counted = np.isin(names, LANGUAGES[language])
        return float(np.mean([member.is_correct[is_counted].mean() for member in members]))


def entries_of(plan: Mapping[str, Any]) -> dict[str, Entry]:
    """Return the entries that a plan lists.

    Parameters
    ----------
    plan : mapping
        Its `singles` and its `ensembles` have, by the name of the entry, seeds by candidate.

    Returns
    -------
    dict
        The entries by name, in the plan's order.
    """
    entries = {name: Entry(members) for name, members in plan.get("singles", {}).items()}
    for name, members in plan.get("ensembles", {}).items():
        entries[name] = Entry(members, is_ensemble=True)
    return entries


def accuracy_table(
    folds: Folds, entries: Mapping[str, Entry], speakers: Sequence[int] | None = None
) -> pd.DataFrame:
    """Return the accuracy of each entry for each held-out speaker.

    Parameters
    ----------
    folds : Folds
        From `selection_tables.read_folds`.
    entries : mapping
        The entries by name.
    speakers : sequence of int, optional
        The speakers whose folds are needed; default: all who were held out in any run.

    Returns
    -------
    DataFrame
        Fractions: a row for each speaker, a column for each entry.

    Raises
    ------
    SelectionError
        If a fold is missing.
    """
    wanted = folds.speakers if speakers is None else [*speakers]
    columns = {
        name: [folds.accuracy(entry, speaker) for speaker in wanted]
        for name, entry in entries.items()
    }
    return pd.DataFrame(columns, index=pd.Index(wanted, name="speaker"))


def parameters_of(folds: Folds, entries: Mapping[str, Entry]) -> dict[str, int]:
    """Return how many parameters each entry has, all members of an ensemble together.

    Parameters
    ----------
    folds : Folds
        From `selection_tables.read_folds`.
    entries : mapping
        The entries by name.

    Returns
    -------
    dict of str to int
        Numbers of parameters.
    """
    sizes = {}
    for name, entry in entries.items():
        of_members = [folds.parameters[candidate] for candidate, _ in entry.runs]
        sizes[name] = sum(of_members) if entry.is_ensemble else of_members[0]
    return sizes


def select(accuracies: pd.DataFrame, parameters: Mapping[str, int], rule: Rule) -> str:
    """Select an entry by the rule of the module's docstring.

    Parameters
    ----------
    accuracies : DataFrame
        From `accuracy_table`.
    parameters : mapping
        From `parameters_of`.
    rule : Rule
        The numbers of the rule.

    Returns
    -------
    str
        The name of the entry that wins: the reference if no other one is eligible.

    Raises
    ------
    SelectionError
        If the reference isn't among the entries, or an accuracy is missing.
    """
    if rule.reference not in accuracies:
        raise SelectionError(f"the reference {rule.reference!r} isn't among the entries.")
    if accuracies.isna().any(axis=None) or accuracies.empty:
        raise SelectionError("an accuracy is missing, so nothing can be selected yet.")
    scores = 100 * accuracies.mean()
    reference = accuracies[rule.reference]
    eligible = []
    for name in accuracies.columns.drop(rule.reference):
        is_small = parameters[name] <= rule.most_parameters
        leads = scores[name] - scores[rule.reference] >= rule.margin - ROUNDING
        is_ahead = accuracies[name] > reference
        if is_small and leads and 2 * is_ahead.sum() > len(accuracies):
            eligible.append(name)
    if not eligible:
        return rule.reference
    highest = max(scores[name] for name in eligible)
    tied = [name for name in eligible if scores[name] >= highest - rule.tie - ROUNDING]
    return min(tied, key=lambda name: (parameters[name], -scores[name]))


def nested_selection(
    accuracies: pd.DataFrame, parameters: Mapping[str, int], rule: Rule
) -> pd.Series:
    """Return for each speaker the entry that the other speakers select.

    Parameters
    ----------
    accuracies : DataFrame
        From `accuracy_table`.
    parameters : mapping
        From `parameters_of`.
    rule : Rule
        The numbers of the rule.

    Returns
    -------
    Series
        Names of entries by speaker.

    Raises
    ------
    SelectionError
        As `select` does.
    """
    selected = {
        speaker: select(accuracies.drop(index=speaker), parameters, rule)
        for speaker in accuracies.index
    }
    return pd.Series(selected, name="selected").rename_axis("speaker")


def nested_accuracies(
    selected: pd.Series, entries: Mapping[str, Entry], judged: Folds, seeds: Sequence[int]
) -> pd.DataFrame:
    """Return the accuracy, for each speaker, of the entry that the other speakers selected.

    The networks are those of `judged`, which have never trained on this speaker, with `seeds` that
    are the same for all. A single candidate is judged with each seed. An ensemble is judged once,
    with as many seeds of each candidate as it has, and at most those that were judged: so it may be
    smaller than the ensemble that was selected.

    Parameters
    ----------
    selected : Series
        From `nested_selection`.
    entries : mapping
        The entries by name.
    judged : Folds
        From `selection_tables.read_judged`.
    seeds : sequence of int
        The seeds that were judged.

    Returns
    -------
    DataFrame
        A row for each speaker and seed, or for each speaker where an ensemble was selected for any
        of them: `input` (``"nested"``), `selected`, `seed`, `speaker` and `test_unseen_accuracy`, a
        fraction. With an ensemble, `seed` is the first one, and a single candidate has the mean
        over its seeds.

    Raises
    ------
    SelectionError
        If a run is missing.
    """
    seeds = [*seeds]
    has_ensemble = any(entries[name].is_ensemble for name in selected)
    rows = []
    for speaker, name in selected.items():
        if has_ensemble:
            accuracy = judged.accuracy(_as_judged(entries[name], seeds), speaker)
            rows.append(("nested", name, seeds[0], speaker, accuracy))
            continue
        (candidate,) = entries[name].members
        for seed in seeds:
            accuracy = judged.accuracy(Entry({candidate: [seed]}), speaker)
            rows.append(("nested", name, seed, speaker, accuracy))
    columns = ["input", "selected", "seed", "speaker", "test_unseen_accuracy"]
    return pd.DataFrame(rows, columns=columns)


def _as_judged(entry: Entry, seeds: Sequence[int]) -> Entry:
    """Return an entry with the seeds that were judged.

    An ensemble has at most as many networks of each candidate as before.
    """
    members = {}
    for candidate, own_seeds in entry.members.items():
        members[candidate] = seeds[: len(own_seeds)] if entry.is_ensemble else seeds
    return Entry(members, entry.is_ensemble)


def mean_over_seeds(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return each input's accuracy for each speaker, averaged over seeds.

    Parameters
    ----------
    table : DataFrame
        With `input`, `seed`, `speaker` and `test_unseen_accuracy`, a fraction.
    seed : int
        What the column `seed` has then.

    Returns
    -------
    DataFrame
        A row for each input and speaker; other columns have their first value.
    """
    groups = table.groupby(["input", "speaker"], sort=False)
    mean = groups.first().assign(test_unseen_accuracy=groups.test_unseen_accuracy.mean())
    return mean.assign(seed=seed).reset_index()


def verdicts(
    nested: pd.DataFrame, others: pd.DataFrame, against: Sequence[str], margin: float
) -> pd.DataFrame:
    """Compare the nested accuracy with that of other networks, over the same speakers.

    Where the nested table has one value for each speaker, the others' seeds are averaged, and the
    intervals are over speakers only. Otherwise they are over speakers and the seeds that all have.

    Parameters
    ----------
    nested : DataFrame
        From `nested_accuracies`.
    others : DataFrame
        With the same columns, but for `selected`: from `speaker_accuracies`.
    against : sequence of str
        The inputs of `others` to compare with.
    margin : float
        Percentage points within which two networks are level.

    Returns
    -------
    DataFrame
        As `statistics.contrasts` returns it, with a third verdict: an undecided difference is
        *level* if its adjusted interval lies within the margin.

    Raises
    ------
    SelectionError
        If a network has not been judged on all of the speakers.
    """
    speakers = set(nested.speaker)
    others = others[others.input.isin(against) & others.speaker.isin(speakers)]
    for name in against:
        absent = sorted(speakers - set(others.speaker[others.input == name]))
        if absent:
            listed = ", ".join(map(str, absent))
            raise SelectionError(f"{name!r} has not been judged on speaker {listed}.")
    if nested.seed.nunique() == 1:
        others = mean_over_seeds(others, int(nested.seed.iloc[0]))
    both = pd.concat([nested, others])
    pairs = [("nested", name) for name in against]
    found = contrasts(both, pairs, "test_unseen_accuracy")
    is_within = found["mean"].abs() + found.ci_holm <= margin
    is_level = is_within & (found.verdict == UNDECIDED)
    return found.assign(verdict=found.verdict.mask(is_level, "level"))
