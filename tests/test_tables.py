"""The committed tables: read as they were written, and hashed by the present code or frozen.

The filter bank's size, spikes and robustness: the tables are those of the frozen answers.

What neither Windows nor macOS has isn't used there. Nothing was run on either of them.
"""

import re
import subprocess
import sys

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from shd_helpers.paths import ROOT
from shd_helpers.study import tables
from shd_helpers.study.recipe import DEFAULTS, run_hash
from shd_helpers.study.tables import (
    DATA,
    SCORES,
    TableError,
    plan_of,
    read_rows,
    read_table,
    speaker_accuracies,
)
from tests import RESULTS, found

SWEEPS = sorted(
    path.stem for path in RESULTS.glob("*.csv") if "hash" in path.read_text().splitlines()[0]
)
WHY = (RESULTS / "README.md").read_text()
FROZEN = {*pd.read_csv(RESULTS / "frozen.csv").table}


def hash_now(row):
    """Return the hash that the present code gives a row's parameters and data."""
    parameters = {name: row[name] for name in DEFAULTS if name in row}
    return run_hash(parameters, {name: row[name] for name in DATA if row.get(name)})


@pytest.mark.parametrize("name", SWEEPS)
def test_the_rows_of_a_table_have_the_hashes_of_the_present_code_unless_it_is_frozen(name):
    rows = read_rows(RESULTS / f"{name}.csv")
    assert len(rows) and (rows.status == "done").all() and (rows.test_sha256 != "").all()
    has_hash_now = [hash_now(row) == row["hash"] for _, row in rows.iterrows()]
    assert all(has_hash_now) != (name in FROZEN)


def test_each_frozen_table_is_there():
    assert {*SWEEPS} > FROZEN


def test_each_table_says_what_it_answers():
    named = []
    planned = []
    questions = WHY.partition("\n## Columns\n")[0]
    for row in re.findall(r"^\| .*", questions, re.MULTILINE):
        is_planned = re.search(r"\*\*Not (run|made) yet\.\*\*", row)
        tables = planned if is_planned else named
        tables += re.findall(r"`(\w+\.csv)`", row)
    present = sorted(path.name for path in RESULTS.glob("*.csv"))
    assert sorted({*named}) == present
    assert not {*planned} & {*present}, "say what the table answers now"


def test_a_plan_that_is_not_there_is_named():
    with pytest.raises(TableError, match=r"^finel: .*plans\.json has no such sweep.* causes, "):
        plan_of("finel")


def test_one_data_set_has_one_content():
    """Tables of the same data set were made of the same files, else they don't go together."""
    found = {}
    for name in SWEEPS:
        rows = read_rows(RESULTS / f"{name}.csv")
        rows = rows[rows.train_sha256 != ""]
        for key, of in rows.groupby(["dataset", "language"]):
            found.setdefault(key, set()).update(of[[*DATA[:2]]].itertuples(index=False, name=None))
    assert all(len(contents) == 1 for contents in found.values()), found


def test_one_hash_has_one_result_in_all_tables():
    """What several sweeps ran, each for itself, ended with the same scores to the last bit."""
    found = {}
    for name in SWEEPS:
        for _, row in read_rows(RESULTS / f"{name}.csv").iterrows():
            result = tuple(row[[*SCORES]].fillna(-1))
            assert found.setdefault(row["hash"], result) == result, row.run_name


def test_columns_have_their_types():
    table = read_table("search_hd")
    assert table.learn_beta.dtype == bool and table.lr.dtype == float and table.seed.dtype == int


def test_a_table_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("SHD_RESULTS_DIR", str(tmp_path))
    (tmp_path / "other.csv").touch()
    with pytest.raises(TableError, match=r"mine\.csv: no such table.*choose one of these: other"):
        read_table("mine")


@pytest.mark.parametrize("texts", [["128_64", "64_32"], ["01", "1"], ["nan", "2"], ["1_0.5", "2"]])
def test_names_that_only_resemble_numbers_stay_texts(texts, tmp_path):
    lines = ["configuration,size,run_name,seed,hash,status"]
    lines += [f"size={text},{text},run {text},0,0123,done" for text in texts]
    path = tmp_path / "own.csv"
    path.write_text("\n".join(lines) + "\n")
    assert read_table(path)["size"].tolist() == texts
    assert read_table(str(path))["size"].tolist() == texts


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1)
    | st.lists(st.integers(-(2**60), 2**60), min_size=1)
)
def test_numbers_are_read_as_python_writes_them(numbers):
    read = tables._as_values(pd.Series(list(map(str, numbers))))
    assert read.tolist() == numbers and isinstance(read.tolist()[0], type(numbers[0]))


def test_each_speaker_is_unseen_once_and_seen_in_all_other_runs(tmp_path):
    """Three speakers, counted by hand."""
    table = tmp_path / "t.csv"
    columns = {"dataset": "hd", "language": "english", "status": "done"}
    runs = pd.DataFrame({"hash": [*"abc"], "held_out": [0, 1, 2]}).assign(**columns)
    runs = runs.assign(input="small", seed=4, configuration=runs.hash, error="")
    runs = runs.assign(run_name=runs.hash + ",seed=4")
    runs.to_csv(table, index=False)
    said = [  # run, speaker, right answers, wrong ones
        *(("a", 0, 1, 1), ("a", 1, 1, 0), ("a", 2, 0, 1)),
        *(("b", 1, 2, 2), ("b", 0, 1, 1), ("b", 2, 3, 0)),
        *(("c", 2, 0, 4), ("c", 0, 1, 0), ("c", 1, 0, 3)),
    ]
    held_out = dict(zip(runs["hash"], runs.held_out, strict=True))
    rows = [
        (run, "test", 0, speaker, held_out[run] != speaker, "one", word)
        for run, speaker, right, wrong in said
        for word in ["one"] * right + ["two"] * wrong
    ]
    names = ["hash", "file", "row", "speaker", "seen", "label", "predicted"]
    pd.DataFrame(rows, columns=names).to_csv(tmp_path / "t_predictions.csv.gz", index=False)
    found = speaker_accuracies(table).set_index("speaker").sort_index()
    assert found.input.unique() == ["small"] and found.seed.unique() == [4]
    assert found.test_unseen_accuracy.tolist() == [1 / 2, 2 / 4, 0]
    assert found.test_seen_accuracy.tolist() == [2 / 3, 1 / 4, 3 / 4]
    runs.rename(columns={"input": "model"}).to_csv(table, index=False)
    assert speaker_accuracies(table, "model").set_index("speaker").sort_index().equals(found)


def by_person(right: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Return each person's share of right answers."""
    return np.array([right[people == person].mean() for person in sorted(set(people.tolist()))])


def half(values: np.ndarray, alpha: float = 0.05) -> float:
    """Return half of Student's interval."""
    return t.ppf(1 - alpha / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))


def test_how_small_is_computed_from_the_answers_of_both_seeds():
    table = pd.read_csv(RESULTS / "how_small.csv")
    assert len(table) == 4 * 2 * 3
    with h5py.File(RESULTS / "how_small.h5") as file:
        people = file["speakers"][:]
        labels = file["labels"][:]
        shares = {}
        of_seeds = []
        for row in table.itertuples():
            name = f"{row.channels} channels, {row.step_ms} ms, {row.neurons} neurons, seed"
            rights = [file[f"{name} {seed}"][:] == labels for seed in (0, 1)]
            of_seeds.append([by_person(right, people).mean() for right in rights])
            right = np.mean(rights, axis=0)
            shares[row.channels, row.step_ms, row.neurons] = by_person(right, people)
    assert len(set(people.tolist())) == 185
    variance = np.mean([(first - second) ** 2 / 2 for first, second in of_seeds])
    for row in table.itertuples():
        its = shares[row.channels, row.step_ms, row.neurons]
        lost = shares[77, 3, row.neurons] - its
        assert its.mean() == pytest.approx(row.accuracy, abs=1e-6)
        assert lost.mean() == pytest.approx(row.lost, abs=1e-6)
        assert half(its) == pytest.approx(row.ci95, rel=1e-4)
        half_lost = half(lost, 0.05 / 7)
        assert half_lost == pytest.approx(row.lost_ci95_adjusted, rel=1e-4)
        if (row.channels, row.step_ms) != (77, 3):
            wider = np.sqrt(half_lost**2 + variance * t.ppf(1 - 0.05 / 14, len(table)) ** 2)
            assert wider == pytest.approx(row.lost_ci95_with_seeds, rel=1e-4)


def test_what_spikes_cost_is_computed_from_the_answers_of_both_seeds():
    table = pd.read_csv(RESULTS / "spikes_cost.csv").set_index("network")
    assert table.index.tolist() == ["spiking", "gru", "convolutional"]
    assert table.parameters.max() < 1.05 * table.parameters["spiking"]
    assert table.parameters.min() > 0.95 * table.parameters["spiking"]
    with (
        h5py.File(RESULTS / "how_small.h5") as spiking,
        h5py.File(RESULTS / "spikes_cost.h5") as file,
    ):
        people = spiking["speakers"][:]
        labels = spiking["labels"][:]
        names = {"spiking": (spiking, "77 channels, 3 ms, 16 neurons, seed")}
        names |= {name: (file, f"{name}, seed") for name in ("gru", "convolutional")}
        shares = {}
        for network, (of, name) in names.items():
            right = np.mean([of[f"{name} {seed}"][:] == labels for seed in (0, 1)], axis=0)
            shares[network] = by_person(right, people)
    for network, its in shares.items():
        assert its.mean() == pytest.approx(table.accuracy[network], abs=1e-6)
        if network != "spiking":
            more = its - shares["spiking"]
            assert more.mean() == pytest.approx(table.more[network], abs=1e-6)
            assert half(more) == pytest.approx(table.more_ci95[network], rel=1e-4)


def test_how_robust_is_computed_from_the_frozen_answers():
    table = pd.read_csv(RESULTS / "how_robust.csv")
    with h5py.File(RESULTS / "how_robust.h5") as file:
        right = file["answers"][:] == file["labels"][:][:, None, None]
        people = file["speakers"][:]
    n_networks, n_conditions = right.shape[1:]
    assert len(table) == n_networks * n_conditions == 4 * 14
    for number, row in enumerate(table.itertuples()):
        network, condition = divmod(number, n_conditions)
        its = by_person(right[:, network, condition], people)
        clean = by_person(right[:, network, 0], people)
        assert its.mean() == pytest.approx(row.accuracy, abs=1e-6)
        assert half(its) == pytest.approx(row.ci95, rel=1e-4)
        assert (clean - its).mean() == pytest.approx(row.lost, abs=1e-6)
        assert len(its) == row.people


@pytest.mark.slow
@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_the_packages_use_only_modules_and_names_that_python_has_on(system, tmp_path):
    """As mypy knows them, for each system."""
    packages = [path.parent for path in found("*/*/shd_*/__init__.py")]
    command = [sys.executable, "-m", "mypy", "--platform", system, "--cache-dir", str(tmp_path)]
    command += ["--no-error-summary", "shd_helpers", *packages]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == done.stderr == ""
