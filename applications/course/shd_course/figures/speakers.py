"""The figures of notebook 7: what raises accuracy, and for whom it is low."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from shd_corpus.shd_file import Utterances
from shd_course.figures.controls import explore
from shd_course.figures.style import CHANNEL, DOT, INK, TITLE, legend_above, save

PEOPLE = "data: Speech Commands, 1,435 people in five folds"
SPEAKERS = "data: hd, English; each speaker held out once"
MARKERS = "osD^v"


def steps(cells: pd.DataFrame, contrasts: pd.DataFrame) -> Figure:
    """Draw the accuracy for unseen people after each step, from the top down.

    `cells` has a row for each step, in order. A step whose contrast with the one before is in
    `contrasts` gets its change and its verdict at the right. Columns are those of
    ``results/people_cells.csv`` and ``people_contrasts.csv``.
    """
    figure, axis = plt.subplots(figsize=(9, 0.42 * len(cells) + 1.3))
    y = -np.arange(len(cells))
    axis.errorbar(100 * cells.accuracy, y, xerr=100 * cells.ci95, fmt="o", capsize=3, color="C0")
    costs = cells.effective_acs / 1e6
    names = cells.cell.replace("original", "original recipe")
    labels = [f"{name}: {cost:.2f}" for name, cost in zip(names, costs, strict=True)]
    axis.set_yticks(y, labels)
    found = contrasts.set_index("first")
    for row, name in zip(y, cells.cell, strict=True):
        if name in found.index:
            change = found.loc[name]
            difference = round(change.difference, 1) + 0.0  # not -0.0
            text = f"{difference:+.1f} ± {change.ci95_adjusted:.1f}, {change.verdict}"
            place = (1.02, row)
            axes = ("axes fraction", "data")
            axis.annotate(text, place, xycoords=axes, va="center", annotation_clip=False)
    axis.set(xlabel="accuracy, unseen people (%)", ylabel="accumulates (million)")
    axis.set_ylim(0.5 - len(cells), 0.5)
    first, best = 100 * cells.accuracy.iloc[0], 100 * cells.accuracy.max()
    title = f"Step after step, accuracy rises from {first:.0f} to {best:.0f} %"
    return save(figure, "what_raises_accuracy", PEOPLE, title)


def histogram(utterances: pd.Series, accuracies: pd.Series) -> Figure:
    """Draw how accuracies differ between people, beside what chance alone would make of it.

    For the latter, everybody is equally easy: each utterance is classified correctly with the
    same probability. Both arguments have one number for each person.
    """
    edges = np.arange(11) / 10
    share = np.average(accuracies, weights=utterances)
    expected = np.zeros(len(edges) - 1)
    for n, n_people in utterances.value_counts().items():
        right = np.arange(n + 1)
        chances = stats.binom.pmf(right, n, share)
        expected += n_people * np.histogram(right / n, edges, weights=chances)[0]
    figure, axis = plt.subplots(figsize=(8, 3.6))
    axis.hist(100 * accuracies, (100 * edges).tolist(), color="C0", alpha=0.6, label="people")
    axis.stairs(expected, 100 * edges, color=INK, linewidth=2, label="if all were equally easy")
    axis.set(xlabel=f"accuracy of a person (%), network: {accuracies.name}", ylabel="people")
    axis.set(yscale="log", ylim=(1, None))  # so that few people at a low accuracy are seen
    legend_above(axis)
    low = (accuracies < 0.5).sum()
    alike = expected[:5].sum()
    title = f"{low} people are below half; by luck alone it would be {alike:.0f}"
    return save(figure, "accuracies_of_people", PEOPLE, title)


def one_by_one(accuracies: pd.DataFrame) -> Figure:
    """Draw each speaker's accuracy with each network: a row for each speaker.

    `accuracies` is in percent, with a row for each speaker and a column for each network.
    """
    ordered = accuracies.sort_values(accuracies.columns[0])
    figure, axis = plt.subplots(figsize=(8, 4.6))
    labels = ordered.index.astype(str)
    axis.hlines(labels, ordered.min(axis=1), ordered.max(axis=1), color="0.8", linewidth=1)
    for i, (name, values) in enumerate(ordered.items()):
        filling = "white" if i == 0 else f"C{i}"
        axis.plot(values, labels, MARKERS[i], color=f"C{i}", mfc=filling, label=name)
    axis.set(xlabel="accuracy for the unseen speaker (%)", ylabel="speaker")
    legend_above(axis)
    first, second = ordered.columns[:2]
    n_higher = (ordered[second] > ordered[first]).sum()
    title = f"For {n_higher} of {len(ordered)} speakers, {second} is more accurate than {first}"
    return save(figure, "speakers_one_by_one", SPEAKERS, title)


def digits(answers: pd.DataFrame, names: Sequence[str]) -> Figure:
    """Draw which of a speaker's digits are classified correctly, and what the others are taken for.

    `answers` has the columns `label` and `predicted`, and a row for each utterance.
    """
    counts = pd.crosstab(answers.label, answers.predicted, normalize="index")
    shares = 100 * counts.reindex(index=names, columns=names, fill_value=0)
    right = pd.Series(np.diag(shares), index=names)
    wrong = shares.where(~np.eye(len(names), dtype=bool), 0)
    figure, axis = plt.subplots(figsize=(8, 3.8))
    axis.bar(names, right, color="C0", label="classified correctly")
    axis.bar(
        names,
        wrong.max(axis=1),
        bottom=right,
        color="C1",
        hatch="//",
        label="most often taken for ...",
    )
    for place, name in enumerate(names):
        if wrong.loc[name].max() >= 10:
            top = right[name] + wrong.loc[name].max()
            axis.text(place, top + 1, wrong.loc[name].idxmax(), ha="center", va="bottom")
    axis.set(ylabel="share of the utterances (%)", xlabel="spoken digit", ylim=(0, 108))
    legend_above(axis)
    worst = right.sort_values().index[:3]
    title = f"This speaker's hardest digits are {worst[0]}, {worst[1]} and {worst[2]}"
    return save(figure, "digits_of_a_speaker", SPEAKERS, title)


def side_by_side(data: Utterances, names: Sequence[str], speaker: int, other: int) -> Figure | None:
    """Show the spikes of two utterances, with controls for their digits and speakers.

    It begins with *two* by both speakers. See `explore`.
    """
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharex=True, sharey=True)
    lines = [axis.plot([], [], **DOT)[0] for axis in axes]
    axes[0].set(ylabel=CHANNEL, ylim=(0, data.n_channels), xlim=(0, 1000))
    plt.setp(axes, xlabel="time (ms)")

    def draw(side: int, digit: str, speaker: int, take: int) -> str:
        is_said = (data.labels == data.keys.index(digit)) & (data.speakers == speaker)
        rows = np.flatnonzero(is_said)
        times, units = data.spikes(rows[min(take, len(rows)) - 1])
        lines[side].set_data(1000 * times, units)
        axes[side].set_title(f"{digit}, speaker {speaker}: {len(times):,} spikes")
        return f"{digit} by speaker {speaker}"

    def update(
        left: str = "two",
        left_speaker: int = speaker,
        right: str = "two",
        right_speaker: int = other,
        take: int = 1,
    ) -> str:
        first = draw(0, left, left_speaker, take)
        second = draw(1, right, right_speaker, take)
        line = f"{first} beside {second}"
        figure.suptitle(line, **TITLE)
        return line

    speakers = np.unique(data.speakers).tolist()
    return explore(
        figure,
        update,
        left=list(names),
        left_speaker=speakers,
        right=list(names),
        right_speaker=speakers,
        take=(1, 8),
    )
