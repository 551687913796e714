"""Statistics against hand-computed values, plain loops and other implementations.

Comparisons of tables of speaker, seed, accuracy that came from elsewhere.

Folds by speaker, and the example that makes them without this package.
"""

import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from shd_judge import (
    compare,
    contrasts,
    difference,
    five_folds,
    holm,
    interval,
    speaker_folds,
    speech_commands_folds,
    weighted_contrasts,
)
from shd_judge.__main__ import main
from shd_judge.statistics import holm_factors

ROOT = Path(__file__).resolve().parents[3]
# Student's t, 97.5 %, from a printed table, by degrees of freedom
T = {1: 12.706205, 3: 3.182446, 4: 2.776445}


def runs(values, configuration="a", **columns):
    frame = {"configuration": configuration, "seed": range(len(values)), "status": "done"}
    return pd.DataFrame(frame | {"test_seen_accuracy": values} | columns)


def by_speaker(values, **columns):
    """Values by speaker, each a list over seeds."""
    rows = [(s, seed, x) for s, xs in values.items() for seed, x in enumerate(xs)]
    frame = pd.DataFrame(rows, columns=["held_out", "seed", "test_unseen_accuracy"])
    return frame.assign(configuration=[f"held_out={s}" for s in frame.held_out], **columns)


def simulated(design, share, of_rest, n=5_000):
    """Return two sets of `n` designs (n, speakers, seeds) of true mean 0, with the same speakers.

    `share` of a run's variance is the seeds' main effect, of the rest `of_rest` the speakers', and
    what is left the residual. The first set has just these; in the difference of the two, speakers
    are as hard for both, and each effect is what distinguishes the two.
    """
    rng = np.random.default_rng(33)
    variances = (1 - share) * of_rest, share, (1 - share) * (1 - of_rest)
    shapes = (design[0], 1), (1, design[1]), design
    first, second = (
        sum(v**0.5 * rng.standard_normal((n, *s)) for v, s in zip(variances, shapes, strict=True))
        for _ in range(2)
    )
    return first, second


def coverage(values):
    """Return the percentage of intervals with the true mean, 0, in them."""
    mean, half = interval(values)
    return 100 * np.mean(np.abs(mean) <= half)


def printed_coverage(design):
    """Return the ranges of a design in docs/protocol.md, one for each share of the seeds."""
    lines = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8").splitlines()
    seeds = f"x {design[1]} seed{'s' * (design[1] > 1)} |"
    rows = [line for line in lines if line.startswith(f"| {design[0]} speakers")]
    (row,) = (line for line in rows if seeds in line)
    return [cell.strip() for cell in row.split("|")[2:-1]]


def coverages(design, share):
    """Return the coverages of means and of paired differences, and of means over speakers alone."""
    pairs = [simulated(design, share, of_rest) for of_rest in (0.1, 0.5, 0.9)]
    means = [coverage(first) for first, _ in pairs]
    paired = [coverage(first - second) for first, second in pairs]
    over_speakers = [coverage(first.mean(2, keepdims=True)) for first, _ in pairs]
    return means + paired, over_speakers


@pytest.mark.parametrize("design", [(6, 3), (10, 2), (10, 5), (12, 3)])
def test_an_interval_over_speakers_and_seeds_covers_what_the_page_says(design):
    """Of a mean and of a paired difference; the interval over speakers alone covers too little."""
    for share, cell in zip((0, 0.3, 0.6), printed_coverage(design), strict=True):
        crossed, naive = coverages(design, share)
        assert min(crossed) >= 93
        assert cell == f"{min(crossed):.0f} to {max(crossed):.0f}"
        assert (min(naive) >= 93) == (share == 0)


@pytest.mark.parametrize("design", [(3, 1), (6, 1), (10, 1)])
def test_an_interval_with_one_seed_covers_as_little_as_the_page_says(design):
    """The mean of n speakers has the variance of the seed, which Student's interval lacks.

    So its coverage is known exactly, and simulated intervals must agree.
    """
    n = design[0]
    for share, cell in zip((0, 0.3, 0.6), printed_coverage(design), strict=True):
        too_narrow = (1 + n * share / (1 - share)) ** 0.5
        exact = 100 - 200 * stats.t.sf(stats.t.isf(0.025, n - 1) / too_narrow, n - 1)
        assert cell == f"{exact:.0f}"
        simulated_ones, _ = coverages(design, share)
        assert simulated_ones == pytest.approx(len(simulated_ones) * [exact], abs=2)


def test_two_speakers_who_share_their_networks_are_covered_as_the_readme_says():
    """Of ten speakers and three seeds: `network` varies by pair and seed, `fold` by pair alone."""
    rng = np.random.default_rng(34)
    covered = []
    for network, fold in ((0, 0), (0.6, 0), (0.9, 0), (0.3, 0.3), (0, 0.5)):
        rest = ((1 - network - fold) / 2) ** 0.5
        alone = rng.standard_normal((5_000, 10, 1)) + rng.standard_normal((5_000, 10, 3))
        pairs = network**0.5 * rng.standard_normal((5_000, 5, 3))
        pairs += fold**0.5 * rng.standard_normal((5_000, 5, 1))
        covered.append(coverage(rest * alone + pairs.repeat(2, axis=1)))
    page = (ROOT / "packages" / "judge" / "README.md").read_text(encoding="utf-8")
    said = f"{min(covered):.0f} to {max(covered):.0f} % of its intervals still contained the true"
    assert said in page


def test_an_interval_over_speakers_and_seeds_by_hand():
    """Mean squares of a two-way table; Cochran and Cox's quantile with weights 1600 and 54."""
    values = np.array([[50, 70], [80, 80], [30, 50], [90, 70], [60, 60.0]])
    by_speakers = 2 * sum((m - 64) ** 2 for m in (60, 80, 40, 80, 60)) / 4
    by_seeds = 5 * ((62 - 64) ** 2 + (66 - 64) ** 2)
    rest = sum(x**2 for x in (8, 2, 8, 12, 2)) * 2 / 4  # 50 - 60 - 62 + 64 and so on
    weight = by_seeds / (by_speakers + by_seeds)
    error = (max(by_speakers, by_speakers + by_seeds - rest) / 10) ** 0.5
    half = error * ((1 - weight) * T[4] + weight * T[1])
    assert interval(values) == (64, pytest.approx(half, rel=1e-6))


A = [0.7, 0.8, 0.75, 0.78]
B = [0.6, 0.75, 0.71, 0.77]


def test_difference_is_paired_by_seed_whatever_the_order():
    found = difference(runs(A), runs(B, "b").iloc[::-1], "test_seen_accuracy")
    d = np.array([10, 5, 4, 1])  # points, by hand
    error = (sum((d - 5) ** 2) / 3 / 4) ** 0.5
    assert found.mean == pytest.approx(5) and found.ci95 == pytest.approx(T[3] * error, rel=1e-6)
    assert found.p == pytest.approx(2 * stats.t.sf(5 / error, 3))
    t95 = 2.353363  # Student's t, 95 %, three degrees of freedom, from a printed table
    assert found.excluded_loss == pytest.approx(t95 * error - 5, rel=1e-5)
    swapped = difference(runs(B, "b"), runs(A), "test_seen_accuracy")
    assert swapped.mean == pytest.approx(-5) and swapped.excluded_loss > 5


@pytest.mark.parametrize(
    ("first", "second", "mean"),
    [
        ([0.7, 0.55, 0.8], [0.6, 0.45, 0.7], 10),
        ([0.7, 0.55], [0.6, 0.45], 10),
        ([0.6, 0.45, 0.7], [0.7, 0.55, 0.8], -10),
        ([0.5, 0.75, 1.0], [0.25, 0.5, 0.75], 25),  # equal to the last bit
        ([0.3, 0.4, 0.9], [0.3, 0.4, 0.9], 0),
    ],
)
def test_pairs_that_all_differ_alike_have_no_p_value(first, second, mean):
    """Rounding makes differences such as 0.7 - 0.6 and 0.8 - 0.7 unequal in the last digits."""
    found = difference(runs(first), runs(second), "test_seen_accuracy")
    assert found.mean == pytest.approx(mean) and found.ci95 == 0
    assert np.isnan(found.p)
    assert found.excluded_loss == pytest.approx(-mean)


def test_pairs_whose_means_all_differ_alike_have_no_p_value():
    """Each speaker's mean is 11 points, and so is each seed's: nothing spreads but the residual."""
    a = by_speaker({0: [0.6, 0.62], 1: [0.82, 0.8]})
    b = by_speaker({0: [0.5, 0.5], 1: [0.7, 0.7]})
    found = difference(a, b, "test_unseen_accuracy", over="held_out")
    assert found.mean == pytest.approx(11) and found.ci95 == 0 and np.isnan(found.p)


def test_a_value_that_was_not_measured_leaves_the_difference_open():
    found = difference(runs([0.5, np.nan, 0.7]), runs([0.4, 0.5, 0.5]), "test_seen_accuracy")
    assert np.isnan(found).all()


def test_a_p_value_below_the_lowest_one_is_the_lowest_one():
    """Student's p of forty differences of 9 or 11 percentage points is 1e-40 or so."""
    second = np.full(40, 0.5)
    first = second + np.tile([0.09, 0.11], 20)
    exact = stats.ttest_rel(100 * first, 100 * second).pvalue
    assert exact < 1e-35
    found = difference(runs(first), runs(second), "test_seen_accuracy")
    assert found.p == 1e-30
    swapped = difference(runs(second), runs(first), "test_seen_accuracy")
    assert swapped.p == 1e-30 and swapped.mean == pytest.approx(-10)
    fewer = difference(runs(first[:6]), runs(second[:6]), "test_seen_accuracy")
    few = stats.ttest_rel(100 * first[:6], 100 * second[:6]).pvalue
    assert fewer.p == pytest.approx(few, rel=1e-6) and few > 1e-7


@pytest.mark.parametrize("other", [runs(B).iloc[:3], runs(B).assign(seed=[0, 1, 2, 2])])
def test_what_is_not_paired_is_refused(other):
    with pytest.raises(ValueError, match="not paired"):
        difference(runs(A), other, "test_seen_accuracy")
    twice = runs(A).assign(seed=[0, 1, 2, 2])
    with pytest.raises(ValueError, match="not paired"):
        difference(twice, twice, "test_seen_accuracy")
    with pytest.raises(ValueError, match="needs at least 2"):
        difference(runs(A[:1]), runs(B[:1]), "test_seen_accuracy")


def test_differences_over_speakers_cross_their_seeds():
    """The interval's half is as for a mean, p the level at which it ends at 0."""
    a = by_speaker({0: [0.5, 0.7], 1: [0.8, 1.0], 2: [0.3, 0.6]})
    b = by_speaker({2: [0.3, 0.5], 1: [0.6, 0.8], 0: [0.5, 0.5]})
    found = difference(a, b, "test_unseen_accuracy", over="held_out")
    points = np.array([[0, 20], [20, 20], [0, 10.0]])
    assert found[:2] == pytest.approx([*interval(points)]) and found.mean == pytest.approx(35 / 3)
    assert interval(points, found.p)[1] == pytest.approx(found.mean)
    assert interval(points, 0.1)[1] - found.mean == pytest.approx(found.excluded_loss)
    one = [runs[runs.seed == 0] for runs in (a, b)]
    student = stats.ttest_1samp([0, 20, 0], 0)
    found = difference(*one, "test_unseen_accuracy", over="held_out")
    assert found.p == pytest.approx(student.pvalue)
    with pytest.raises(ValueError, match="not paired"):
        difference(a, b[b.seed == 0], "test_unseen_accuracy", over="held_out")


def test_holm_by_hand_and_by_its_definition():
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]).tolist() == [1.0, 1.0] and len(holm([])) == 0
    rng = np.random.default_rng(0)
    for p in rng.random((200, 6)) ** 3:
        rejected = set()  # step down: reject the smallest while it is below alpha / (m - k)
        for k, i in enumerate(np.argsort(p)):
            if p[i] * (len(p) - k) > 0.05:
                break
            rejected.add(int(i))
        assert set(np.flatnonzero(holm(p) <= 0.05).tolist()) == rejected


def test_an_adjusted_interval_and_its_verdict_agree():
    """Lists of one to six differences, from clear ones to none, many of them near a p of 0.05."""
    rng = np.random.default_rng(0)
    n_adjusted_away = 0
    for size in np.repeat(np.arange(1, 7), 10):
        offsets = rng.uniform(0, 0.03, size)
        accuracies = {"a": rng.normal(0.5, 0.02, (10, 3))}
        for i, offset in enumerate(offsets):
            accuracies[f"b{i}"] = rng.normal(0.5 + offset, 0.02, (10, 3))
        table = table_of(accuracies)
        found = contrasts(table, [(f"b{i}", "a") for i in range(size)], "test_unseen_accuracy")
        excludes_zero = found["mean"].abs() > found.ci_holm
        assert (excludes_zero == (holm(found.p) < 0.05)).all()
        assert (found.verdict == np.where(excludes_zero, "shown", "undecided")).all()
        assert (found.ci_holm >= found.ci95).all()
        n_adjusted_away += ((found.p < 0.05) & (found.verdict == "undecided")).sum()
    assert n_adjusted_away > 5


def test_a_list_that_stops_early_is_undecided_as_a_whole():
    """Holm stops at the first p that is too high, so a later one can't be shown by its own level.

    With p values 0.030 and 0.040, 2 x 0.030 is too high, and 0.040 alone would be below 0.05.
    """
    np.testing.assert_allclose(holm_factors([0.030, 0.040]), [2, 1.5])
    assert holm([0.030, 0.040]).tolist() == pytest.approx([0.06, 0.06])


def test_an_incomplete_rectangle_of_runs_is_averaged_over_seeds():
    """One speaker lacks one seed: the interval is Student's over the speakers' means."""
    accuracies = {"a": np.array([[0.5, 0.9], [0.6, 0.7], [0.4, 0.6]]), "b": np.full((3, 2), 0.3)}
    table = table_of(accuracies)
    table = table[(table.speaker != 2) | (table.seed != 1)]
    (row,) = contrasts(table, [("a", "b")], "test_unseen_accuracy").itertuples()
    student = stats.ttest_1samp([40, 35, 10], 0)
    assert row.p == pytest.approx(student.pvalue)
    low, high = student.confidence_interval(0.95)
    assert row.ci95 == pytest.approx((high - low) / 2)


def table_of(accuracies):
    """Return accuracies, (speakers, seeds) for each input, as a table in random order."""
    rows = [
        (name, seed, speaker, value)
        for name, values in accuracies.items()
        for (speaker, seed), value in np.ndenumerate(values)
    ]
    columns = ["input", "seed", "speaker", "test_unseen_accuracy"]
    return pd.DataFrame(rows, columns=columns).sample(frac=1, random_state=0)


def test_contrasts_are_paired_by_speaker_over_common_seeds():
    """A third seed of one input alone doesn't count."""
    rng = np.random.default_rng(0)
    values = {"a": rng.random((6, 2)), "b": rng.random((6, 3)), "c": rng.random((6, 2))}
    table = table_of(values)
    found = contrasts(table, [("a", "b"), ["c", "b"]], "test_unseen_accuracy")
    for name in "ac":
        mean, half = interval(100 * (values[name] - values["b"][:, :2]))
        row = found.loc[name, "b"]
        assert row["mean"] == pytest.approx(mean) and row.ci95 == pytest.approx(half)
    low, high = sorted(found.p)
    assert sorted(found.p_holm) == pytest.approx([min(1, 2 * low), max(min(1, 2 * low), high)])
    rows = found.droplevel(1)
    first = found.p.idxmin()[0]
    for name in "ac":  # the smaller p at half of 5 %, the other one so that it isn't shown alone
        alpha = 0.025 if name == first else 0.05 * high / max(2 * low, high)
        half = interval(100 * (values[name] - values["b"][:, :2]), alpha)[1]
        assert rows.ci_holm[name] == pytest.approx(half)


FACTORIAL = {
    "rows": {"a": 0.5, "b": 0.5, "c": -0.5, "d": -0.5},
    "columns": {"a": 1, "c": -1},
    "interaction": {"a": 1, "b": -1, "c": -1, "d": 1},
}


def factorial(n_speakers, n_seeds):
    """Return made-up accuracies of four inputs: (speakers, seeds) for each, and as a table."""
    rng = np.random.default_rng(5)
    values = {name: rng.uniform(0.3, 0.9, (n_speakers, n_seeds)) for name in "abcd"}
    return values, table_of(values)


def test_a_weighted_contrast_is_a_t_test_of_each_speaker_s_sum():
    """With one seed it is SciPy's test of sums that plain Python adds up; Holm by hand."""
    values, table = factorial(7, 1)
    found = weighted_contrasts(table, FACTORIAL, "test_unseen_accuracy")
    assert [*found.index] == [*FACTORIAL]
    p = {}
    for name, weights in FACTORIAL.items():
        sums = [
            sum(100 * w * values[each][speaker, 0] for each, w in weights.items())
            for speaker in range(7)
        ]
        test = stats.ttest_1samp(sums, 0)
        low, high = test.confidence_interval(0.95)
        row = found.loc[name]
        assert row["mean"] == pytest.approx((low + high) / 2)
        assert row.ci95 == pytest.approx((high - low) / 2)
        assert row.p == pytest.approx(test.pvalue)
        p[name] = test.pvalue
    least, middle, most = sorted(p, key=p.get)
    adjusted = min(1, 3 * p[least])
    assert found.p_holm[least] == pytest.approx(adjusted)
    adjusted = max(adjusted, min(1, 2 * p[middle]))
    assert found.p_holm[middle] == pytest.approx(adjusted)
    assert found.p_holm[most] == pytest.approx(max(adjusted, p[most]))


def test_a_weighted_contrast_crosses_speakers_with_seeds():
    """With several seeds, two inputs of weights 1 and -1 are a pair; a sum of four by its parts."""
    values, table = factorial(6, 3)
    found = weighted_contrasts(table, FACTORIAL, "test_unseen_accuracy")
    pair = difference(
        table[table.input == "a"], table[table.input == "c"], "test_unseen_accuracy", "speaker"
    )
    assert found.loc["columns", ["mean", "ci95", "p"]].tolist() == pytest.approx([*pair[:3]])
    by_hand = 50 * (values["a"] + values["b"] - values["c"] - values["d"])
    mean, half = interval(by_hand)
    assert found.loc["rows", ["mean", "ci95"]].tolist() == pytest.approx([mean, half])


def test_a_weighted_contrast_refuses_what_it_can_not_compare():
    _, table = factorial(4, 2)
    compare = partial(weighted_contrasts, column="test_unseen_accuracy")
    with pytest.raises(ValueError, match="add up to 0"):
        compare(table, {"rows": {"a": 1, "b": -0.5}})
    with pytest.raises(ValueError, match=r"no runs of \['e'\]"):
        compare(table, {"rows": {"a": 1, "e": -1}})
    with pytest.raises(ValueError, match="the same"):
        compare(table.iloc[1:], FACTORIAL)
    with pytest.raises(ValueError, match="at least 2"):
        compare(table[table.speaker == 0], FACTORIAL)


PACKAGE = Path(__file__).resolve().parents[1]


def table(accuracies, first_seed=0):
    """Return accuracies (speakers, seeds) as a table in random order."""
    rows = [
        {"speaker": speaker, "seed": first_seed + seed, "accuracy": value}
        for (speaker, seed), value in np.ndenumerate(accuracies)
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


RNG = np.random.default_rng(0)
BASE = RNG.uniform(0.6, 0.8, (6, 3))
BETTER = BASE + RNG.normal(0.05, 0.02, (6, 3))


def test_one_seed_is_scipys_paired_test_and_stays_undecided():
    found = compare(table(BETTER[:, :1]), table(BASE[:, :1]))
    scipys = stats.ttest_rel(100 * BETTER[:, 0], 100 * BASE[:, 0])
    assert found.p == pytest.approx(scipys.pvalue)
    low, high = scipys.confidence_interval(0.95)
    assert found.mean == pytest.approx((low + high) / 2)
    assert found.ci95 == pytest.approx((high - low) / 2)
    assert found.p < 0.05 and found.verdict == "undecided (one seed)"


def test_seeds_of_other_numbers_are_paired_in_ascending_order():
    same = compare(table(BETTER), table(BASE))
    other = compare(table(BETTER), table(BASE, first_seed=40))
    assert (same.mean, same.ci95, same.verdict) == (other.mean, other.ci95, other.verdict)
    assert same.verdict == "shown"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.drop(columns="seed"),
            "no column 'seed', only speaker, accuracy. Give",
        ),
        (lambda t: t.assign(accuracy=100 * t.accuracy), "mine: accuracy .* Divide percent by 100"),
        (lambda t: t.assign(accuracy=np.nan), "'accuracy' must have a number in each row"),
        (lambda t: t.assign(seed="a"), "'seed' must have a number in each row"),
        (lambda t: t.assign(n_networks="three"), "'n_networks' must have a number in each row"),
        (lambda t: pd.concat([t, t[:1]]), r"mine: speaker \d with seed \d appears twice"),
        (lambda t: t.iloc[1:], "mine: not every speaker has the same seeds"),
        (lambda t: t[t.speaker != 4], "mine has no row of speaker 4"),
        (lambda t: t[t.seed != 2], "mine has 2 seeds, and theirs 3"),
    ],
)
def test_a_table_that_cannot_be_compared_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        compare(change(table(BETTER)), table(BASE), names=("mine", "theirs"))


def test_one_speaker_is_too_few():
    with pytest.raises(ValueError, match="there is one speaker, and an interval needs two"):
        compare(table(BETTER[:1]), table(BASE[:1]))


def test_a_comparison_says_that_only_one_is_an_ensemble():
    ensemble = table(BETTER).assign(n_networks=3)
    found = compare(ensemble, table(BASE), names=("mine", "theirs"), differs="Other input.")
    assert found.differs == (
        "Other input. mine has 3 networks for each seed and theirs 1, so this compares their "
        "number, too."
    )
    assert found.mean == compare(table(BETTER), table(BASE)).mean
    assert compare(ensemble, ensemble.assign(accuracy=0.5)).differs == ""


@pytest.fixture
def folder(tmp_path):
    """A folder with the two files of the README."""
    table(BETTER).to_csv(tmp_path / "mine.csv", index=False)
    table(BASE).to_csv(tmp_path / "baseline.csv", index=False)
    return tmp_path


def run(code, folder):
    """Run Python in a folder, with this package alone on the path."""
    command = [sys.executable, *code]
    environment = {"PYTHONPATH": str(PACKAGE)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_the_readme_s_lines_run(folder, monkeypatch, capsys):
    page = (PACKAGE / "README.md").read_text(encoding="utf-8")
    code, printed, _check = re.findall(r"```(?:python)?\n(.*?)```", page, re.S)
    done = run(["-c", code], folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(printed)
    monkeypatch.setattr(sys, "argv", ["shd_judge", "mine.csv", "baseline.csv"])
    monkeypatch.chdir(folder)
    main()
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file or directory: 'theirs.csv'"),
        ("", "theirs.csv: can't be read as a CSV file (No columns to parse"),
        (
            "speaker,seed\n1,2,3\n1,2,3,4",
            "theirs.csv: can't be read as a CSV file (Error",
        ),
        (
            "speaker;seed;accuracy\n1;0;0.5",
            "theirs: there is no column 'speaker', only speaker;",
        ),
    ],
)
def test_a_bad_file_ends_the_command_with_a_sentence(content, message, folder, monkeypatch):
    if content is not None:
        (folder / "theirs.csv").write_text(content)
    monkeypatch.setattr(sys, "argv", ["shd_judge", "mine.csv", "theirs.csv"])
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit, match=re.escape(message)):
        main()


def as_csv(path, speakers):
    """Write a table of two seeds of each speaker, as text."""
    rows = [f"{each},{seed},0.{i + seed}" for i, each in enumerate(speakers) for seed in (1, 2)]
    path.write_text("\n".join(["speaker,seed,accuracy", *rows]))
    return path


def test_speakers_of_a_file_are_texts(tmp_path):
    names = ("NA", "None", "nan", "", "7", "007")
    first = as_csv(tmp_path / "a.csv", names)
    assert "over 6 speakers" in compare(first, first).over
    numbers = pd.DataFrame({"speaker": [7, 8], "seed": 0, "accuracy": [0.5, 0.6]})
    assert compare(numbers, numbers.astype({"speaker": str})).mean == 0
    with pytest.raises(ValueError, match="b has no row of speaker 007"):
        compare(as_csv(tmp_path / "a.csv", ["007", "8"]), as_csv(tmp_path / "b.csv", ["7", "8"]))


def test_an_address_is_not_fetched(tmp_path):
    path = as_csv(tmp_path / "a.csv", "ab")
    with pytest.raises(FileNotFoundError):
        compare(path.as_uri(), path)


def test_it_imports_numpy_pandas_and_scipy_only(tmp_path):
    """Of the packages that aren't Python's own, and what these three import themselves."""
    code = (
        "import sys, numpy, pandas, scipy.stats, scipy.optimize\n"
        "before = {name.split('.')[0] for name in sys.modules}\n"
        "import shd_judge\n"
        "new = {name.split('.')[0] for name in sys.modules} - before\n"
        "print(sorted(new - set(sys.stdlib_module_names)))"
    )
    assert run(["-c", code], tmp_path).stdout == "['shd_judge']\n"


EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "nearest_mean.py"
TRAINING_SPEAKERS = [0, 1, 2, 3, 6, 7, 8, 9, 10, 11]  # of SHD


def test_folds_hold_out_each_speaker_once():
    speakers = np.array([7, 3, 3, 9, 7])
    folds = speaker_folds(speakers)
    assert [fold.name for fold in folds] == ["speaker 3", "speaker 7", "speaker 9"]
    for fold, speaker in zip(folds, (3, 7, 9), strict=True):
        assert set(speakers[fold.test]) == {speaker}
        assert sorted([*fold.training, *fold.test]) == [*range(5)]
    (only,) = speaker_folds(speakers, [9])
    assert only.training.tolist() == [0, 1, 2, 4]
    with pytest.raises(ValueError, match=r"no utterance by 5\. There are: 3, 7, 9"):
        speaker_folds(speakers, [5])
    with pytest.raises(ValueError, match="at least two"):
        speaker_folds(np.zeros(3, int))


def test_five_folds_of_shd_hold_out_two_speakers_each():
    speakers = np.random.default_rng(0).permutation(np.repeat(TRAINING_SPEAKERS, 3))
    folds = five_folds(speakers)
    pairs = [sorted(set(speakers[fold.test].tolist())) for fold in folds]
    assert pairs == [[0, 7], [1, 8], [2, 9], [3, 10], [6, 11]]
    for fold in folds:
        assert sorted([*fold.training, *fold.test]) == [*range(30)]
    with pytest.raises(ValueError, match="there are 4, and five folds need at least five"):
        five_folds(np.arange(4))


def test_people_of_speech_commands_who_validate_or_test_are_in_no_fold():
    """By the archive's rule, 026290a7 validates and 060cd039 tests."""
    train = ["004ae714", "00b01445", "00f0204f", "012c8314", "0132a06d"]
    people = np.array([*train, "026290a7", "060cd039", *train])
    folds = speech_commands_folds(people)
    assert [fold.name for fold in folds] == [f"fold {k}" for k in range(5)]
    for k, fold in enumerate(folds):
        assert set(people[fold.test]) == {train[k]}
        assert sorted([*fold.training, *fold.test]) == [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]


def write_training_file(path):
    """Write a file in the layout of ``shd_train.h5``, whose classes spike on channels of their own.

    Speaker 11 says every class as the next one, so all answers are wrong.
    """
    h5py = pytest.importorskip("h5py")
    rng = np.random.default_rng(0)
    speakers = np.repeat(TRAINING_SPEAKERS, 40)
    labels = np.tile(np.arange(20), 20)
    said = np.where(speakers == 11, (labels + 1) % 20, labels)
    with h5py.File(path, "w") as file:
        file["labels"] = labels.astype(np.uint16)
        file["extra/speaker"] = speakers.astype(np.uint16)
        for name, kind in (("times", np.float16), ("units", np.uint16)):
            column = file.create_dataset(f"spikes/{name}", (400,), h5py.vlen_dtype(kind))
            for row, channel in enumerate(35 * said):
                column[row] = (channel + rng.integers(35, size=rng.integers(20, 30))).astype(kind)


def test_the_example_follows_the_protocol_in_thirty_lines(tmp_path):
    write_training_file(tmp_path / "shd_train.h5")
    command = [sys.executable, str(EXAMPLE), "shd_train.h5", "nearest_mean.csv"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "nearest_mean.csv")
    by_speaker = table.pivot(index="speaker", columns="seed", values="accuracy")
    assert by_speaker.index.tolist() == TRAINING_SPEAKERS
    assert by_speaker.columns.tolist() == [0, 1, 2]
    assert (by_speaker.loc[:10] > 0.9).all(axis=None) and (by_speaker.loc[11] < 0.1).all()
    assert "over 10 speakers and 3 seeds" in str(compare(table, table.assign(accuracy=0.5)))
    code = EXAMPLE.read_text(encoding="utf-8")
    assert len(code.splitlines()) <= 30
    assert "shd_judge" not in code and "shd_helpers" not in code
