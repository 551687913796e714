"""What `judge` finds out about a network, and how two networks compare."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from shd_corpus.checks import quoted
from shd_judge import Comparison, compare, interval


@dataclass(frozen=True, repr=False)
class Judgement:
    """How accurate a network is for speakers that it wasn't trained on, from `judge`.

    ``print`` shows a summary.

    Parameters
    ----------
    table : DataFrame
        A row for each utterance and seed: `utterance` (its index in the events), `file` and `row`
        where they are known, `speaker`, `seed`, `label` and `answer` (class names), and the class
        scores in a column for each class, named after it: `score_yes`.
    class_names : tuple of str
        The names of the classes.
    name : str
        The name of the function that made the network.
    trained : str
        What was trained, and how.
    data_hash : str
        The hash of the events.
    folder : Path
        The folder in which the folds are kept.
    is_reusable : bool
        Whether another call can use the kept folds.
    training : mapping
        The settings of the training by name, to compare them: those of `TrainConfig`, and the
        augmentation and quantization of `TrainOptions`.
    """

    table: pd.DataFrame
    class_names: tuple[str, ...]
    name: str
    trained: str
    data_hash: str
    folder: Path
    is_reusable: bool
    training: Mapping[str, object]

    @property
    def accuracies(self) -> pd.DataFrame:
        """Return the fraction of correct answers, by speaker (rows) and seed (columns)."""
        is_correct = self.table.label == self.table.answer
        return is_correct.groupby([self.table.speaker, self.table.seed]).mean().unstack("seed")

    @property
    def mean(self) -> float:
        """Return the mean accuracy over speakers and seeds, in percent."""
        return 100 * float(self.accuracies.to_numpy().mean())

    @property
    def ci95(self) -> float:
        """Return half the 95 % interval of `mean`, in percentage points; NaN for one speaker."""
        values = 100 * self.accuracies.to_numpy()
        return float(interval(values)[1]) if len(values) > 1 else float("nan")

    @property
    def worst_speaker(self) -> int:
        """Return the speaker with the lowest accuracy, which is the mean over seeds."""
        return int(self.accuracies.mean(axis=1).idxmin())

    @property
    def chance(self) -> float:
        """Return the accuracy of the best constant answer, in percent, as a mean over speakers."""
        shares = pd.crosstab(self.table.speaker, self.table.label, normalize="index")
        return 100 * float(shares.mean().max())

    @property
    def over(self) -> str:
        """Return which runs the interval covers, as text for results: speakers, seeds or both."""
        n_speakers, n_seeds = self.accuracies.shape
        if n_seeds == 1:
            return "over speakers only; one seed"
        return f"over {n_speakers} speakers and {n_seeds} seeds, crossed"

    def __str__(self) -> str:
        """Return the summary that is printed."""
        accuracies = self.accuracies
        if len(accuracies) > 1:
            # two or three speakers give an interval that is wider than all accuracies
            half = f"{self.ci95:.1f}" if self.ci95 <= 100 else "more than 100"
            first = f"{self.mean:.1f} ± {half} % of the utterances of unseen speakers"
            over = f"(mean of {len(accuracies)} speakers, 95 % interval {self.over})"
        else:
            first = f"{self.mean:.1f} % of the utterances of an unseen speaker"
            over = "(no interval, because one speaker was held out)"
        worst = self.worst_speaker
        n_utterances = self.table.utterance.nunique()
        kept = "used again by the same call" if self.is_reusable else "not reusable"
        lines = [
            f"{self.name} classifies {first} correctly",
            over,
            f"worst speaker: {worst}, {accuracies.loc[worst].mean():.1%}",
            f"chance level: {self.chance:.1f} %",
            f"tested on: {n_utterances} utterances of {len(self.class_names)} classes",
            f"trained: {self.trained}",
            f"folds: {self.folder}, {kept}",
        ]
        return "\n".join(lines)

    __repr__ = __str__

    def compare(self, other: "Judgement") -> Comparison:
        """Compare the network with another one that was judged on the same utterances.

        If the input or the training differ, the difference includes their effect, and
        `Comparison.differs` names them.

        Parameters
        ----------
        other : Judgement
            What is subtracted. It has the same speakers, seeds and utterances.

        Returns
        -------
        Comparison
            The paired difference, this network minus the other, with its interval and a verdict.

        Raises
        ------
        ValueError
            If the two have other speakers, seeds, classes or utterances, or only one speaker.
        TypeError
            If `other` is no `Judgement`.
        """
        self._check_comparable(other)
        names = (self.name, other.name)
        return compare(self._runs(), other._runs(), names, self._other_differences(other))

    def _other_differences(self, other: "Judgement") -> str:
        """Return sentences about what differs besides the networks; empty if nothing does."""
        sentences = []
        if self.data_hash != other.data_hash:
            sentences.append("The networks had different inputs, so this compares the inputs, too.")
        settings = _different_settings(self.training, other.training)
        if settings:
            sentences.append(
                f"The training differs in {', '.join(settings)}, so this compares the training, "
                "too."
            )
        return " ".join(sentences)

    def _check_comparable(self, other: "Judgement") -> None:
        """Raise an error if the pairs of runs aren't of the same utterances."""
        if not isinstance(other, Judgement):
            raise TypeError(f"compare: give a Judgement, not an object of {type(other).__name__}")
        here = self.accuracies
        there = other.accuracies
        for what, a, b in (
            ("speakers", here.index, there.index),
            ("seeds", here.columns, there.columns),
            ("classes", pd.Index(self.class_names), pd.Index(other.class_names)),
        ):
            if not a.equals(b):
                raise ValueError(
                    f"not comparable: {self.name} has the {what} {_listed(a)}, {other.name} "
                    f"{_listed(b)}. Judge both with the same {what}."
                )
        names = ["utterance", "file", "row", "speaker", "seed", "label"]
        own = self.table[[name for name in names if name in self.table]]
        its = other.table[[name for name in names if name in other.table]]
        if not own.equals(its):
            raise ValueError(
                f"not comparable: {self.name} and {other.name} were tested on different "
                "utterances. Judge both with the same events."
            )
        if len(here) < 2:
            raise ValueError(
                "not comparable: one speaker was held out, and an interval needs at least two. "
                "Judge both with more speakers."
            )

    def _runs(self) -> pd.DataFrame:
        """Return a row for each speaker and seed, with the accuracy."""
        return self.accuracies.stack().rename("accuracy").reset_index()


def _different_settings(first: Mapping[str, object], second: Mapping[str, object]) -> list[str]:
    """Return the settings in which two trainings differ, each with both values."""
    differing = []
    for name in {**first, **second}:
        if first.get(name) != second.get(name):
            values = f"{quoted(first.get(name))} and {quoted(second.get(name))}"
            differing.append(f"{name} ({values})")
    return differing


def _listed(values: Iterable) -> str:
    """Return values with commas between them, shortened."""
    return quoted(", ".join(map(str, values)))
