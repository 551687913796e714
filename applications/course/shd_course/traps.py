"""Six ways to fool oneself, each computed from one committed table, for notebook 4.

The table has the study's network on `hd`, English: each of twelve speakers was held out once, with
five seeds, and with both inputs.
"""

from itertools import combinations
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from shd_course.experiments import mcnemar_p
from shd_course.figures.style import legend_above, save
from shd_helpers.paths import ROOT
from shd_helpers.study import collect_predictions, read_table
from shd_judge import interval

COMMITTED: Path = ROOT / "results"  # whatever $SHD_RESULTS_DIR is
TABLE = "final_hd.csv"
SMALL = "183 x 333"
FULL = "700 x 1000"


def seeds_and_speakers() -> Figure:
    """Draw the accuracy for each held-out speaker, one dot for each seed and input."""
    runs = _runs()
    figure, axis = plt.subplots(figsize=(8, 3.7))
    by_seed = _by_seed(runs, SMALL)
    order = list(by_seed.mean(axis=1).sort_values().index)
    for shift, name, mark in ((0.0, SMALL, "o"), (0.25, FULL, "D")):
        rows = runs[runs.input == name]
        where = rows.held_out.map(order.index) + shift
        axis.plot(where, rows.percent, mark, markersize=4, label=name)
    axis.set_xticks(np.arange(len(order)) + 0.125, order)
    axis.set(xlabel="speaker who was held out", ylabel="accuracy (%)", ylim=(0, 102))
    legend_above(axis)
    seeds = by_seed.max(axis=1) - by_seed.min(axis=1)
    title = (
        f"With {SMALL}, seeds of one speaker differ by {seeds.min():.0f} to {seeds.max():.0f} "
        f"percentage points, speakers by up to {np.ptp(by_seed.mean(axis=1)):.0f}"
    )
    source = "data: hd, English; each speaker held out once; five seeds"
    return save(figure, "seeds_and_people", source, title)


def table() -> pd.DataFrame:
    """Return for each trap what a careless report says, and what a careful one says."""
    runs = _runs()
    small = _by_seed(runs, SMALL)
    full = _by_seed(runs, FULL)
    is_small = runs.input == SMALL
    seen_mean = 100 * runs[is_small].test_seen_accuracy.mean()
    answers = _answers(runs[is_small])
    speakers = small.mean(axis=1)
    traps = {
        "the lucky seed": _lucky_seed(small),
        "seen speakers": (
            f"{seen_mean:.1f} % for seen speakers",
            f"{speakers.mean():.1f} % for unseen speakers",
        ),
        "utterances counted": _utterances_counted(speakers, answers),
        "not paired": _not_paired(small, full),
        "seeds tested by utterances": _seeds_tested(answers),
        "chosen on the test": _chosen_on_test(small),
    }
    return pd.DataFrame(traps, index=["careless report", "careful report"]).T


def _runs() -> pd.DataFrame:
    """Return the runs with both inputs, with the accuracy for the held-out speaker in percent."""
    runs = read_table(COMMITTED / TABLE).query("input in [@SMALL, @FULL]")
    return runs.assign(percent=100 * runs.test_unseen_accuracy)


def _by_seed(runs: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return percentages with one input: a row for each speaker, a column for each seed."""
    rows = runs[runs.input == name]
    return rows.pivot(index="held_out", columns="seed", values="percent")


def _answers(runs: pd.DataFrame) -> pd.DataFrame:
    """Return whether each held-out utterance is right: a row for each, a column for each seed."""
    answers = collect_predictions(COMMITTED / TABLE).query("~seen")
    answers = answers[answers["hash"].isin(runs["hash"])]
    answers = answers.assign(right=answers.label == answers.predicted)
    return answers.pivot(index=["speaker", "file", "row"], columns="seed", values="right")


def _half_interval(values: pd.Series) -> float:
    """Return half of the 95 % interval of a mean, with Student's t."""
    return float(interval(values.to_numpy()[:, None])[1])


def _lucky_seed(small: pd.DataFrame) -> tuple[str, str]:
    """Report the best seed of a speaker, and the mean of all seeds."""
    speaker = (small.max(axis=1) - small.min(axis=1)).idxmax()
    accuracies = small.loc[speaker]
    return (
        f"speaker {speaker}: {accuracies.max():.0f} %",
        f"{accuracies.mean():.0f} % on average; {accuracies.min():.0f} % with the worst seed",
    )


def _utterances_counted(speakers: pd.Series, answers: pd.DataFrame) -> tuple[str, str]:
    """Report an interval over utterances, as if they were independent, and one over speakers."""
    share = answers.to_numpy(dtype=float).mean()
    as_if_independent = 196 * np.sqrt(share * (1 - share) / len(answers))
    mean = speakers.mean()
    return (
        f"{mean:.1f} ± {as_if_independent:.1f} % over utterances",
        f"{mean:.1f} ± {_half_interval(speakers):.1f} % over speakers",
    )


def _not_paired(small: pd.DataFrame, full: pd.DataFrame) -> tuple[str, str]:
    """Report the interval of an unpaired difference, and that of the paired one."""
    n = len(small)
    deviation = np.hypot(small.mean(axis=1).std(), full.mean(axis=1).std())
    unpaired = stats.t.ppf(0.975, n - 1) * deviation / np.sqrt(n)
    paired = (small - full).mean(axis=1)
    return (
        f"downsampling changes {paired.mean():+.1f} ± {unpaired:.1f} percentage points",
        f"± {_half_interval(paired):.1f}, because each speaker is compared with itself",
    )


def _seeds_tested(answers: pd.DataFrame) -> tuple[str, str]:
    """Compare every two seeds on each speaker's utterances by McNemar's test."""
    p_values = [
        mcnemar_p(int((rows[one] & ~rows[other]).sum()), int((rows[other] & ~rows[one]).sum()))
        for _, rows in answers.groupby("speaker")
        for one, other in combinations(rows, 2)
    ]
    n_low = np.sum(np.array(p_values) < 0.05)
    return (
        f"{n_low} of {len(p_values)} pairs of seeds have p < 0.05",
        f"all have the same recipe: chance alone would give {0.05 * len(p_values):.0f}",
    )


def _chosen_on_test(small: pd.DataFrame) -> tuple[str, str]:
    """Choose the best seed on every other speaker, and score it on the remaining ones."""
    choosing = small.iloc[::2].mean()
    judging = small.iloc[1::2].mean()
    best = choosing.idxmax()
    return (
        f"best seed on six speakers: {choosing[best]:.1f} % (all seeds {choosing.mean():.1f})",
        f"on the other six: {judging[best]:.1f} % (all seeds {judging.mean():.1f})",
    )
