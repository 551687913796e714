"""Comparisons of tables of speaker, seed, accuracy that came from elsewhere."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from shd_judge import compare
from shd_judge.__main__ import main

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
