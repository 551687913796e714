"""A run's circuit as a folder, from training on toy data to gcc in an empty directory.

The numbers in the circuit's pages are those of the tables.
"""

import functools
import gzip
import math
import re
import shutil
import statistics
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from circuits import needs_gcc, study_folder

from shd_circuit import cost, export, study_circuit
from shd_circuit.folder import ExportError, read_circuit, read_vectors
from shd_circuit.quantize import circuit_of
from shd_circuit.readme import Description, notice
from shd_circuit.sources import (
    answers_text,
    events_text,
    memories,
    verilog_parameters,
)
from shd_corpus.shd_file import read_shd
from shd_helpers.paths import ROOT
from shd_helpers.study import (
    Recipe,
    load_network,
    read_run,
)
from tests import RESULTS
from tests.builders.run_folders import trained_run

N_UTTERANCES = 6
FEW_BITS = {"beta": 0.9375, "circuit": "3-8-12 QAT", "n_delays": 2}


@pytest.fixture(scope="module")
def trained(toy_dir, tmp_path_factory):
    """Return a function that trains as notebook 3 does, and leaves a run folder."""

    @functools.cache
    def train(**changes):
        folder = tmp_path_factory.mktemp("runs") / ("few_bits" if changes else "plain")
        parameters = Recipe().flat()
        parameters |= {"dataset": str(toy_dir), "language": "english", "run_name": folder.name}
        parameters |= {"epochs": 2, "n_hidden": 24, "lr": 0.01}
        trained_run(Recipe.from_flat(parameters | changes), folder)
        return folder

    return train


def exported(monkeypatch, capsys, *arguments):
    """Return what `make export` prints."""
    monkeypatch.setattr(sys, "argv", ["export", *map(str, arguments)])
    export.main()
    return capsys.readouterr().out


@needs_gcc
@pytest.mark.parametrize("changes", [{}, FEW_BITS], ids=["floats", "few bits"])
def test_readme_is_rebuilt_from_the_folder_alone(changes, trained, tmp_path, monkeypatch, capsys):
    run = trained(**changes)
    out = tmp_path / "exported"
    said = exported(monkeypatch, capsys, run, "--out", out, "--utterances", N_UTTERANCES)
    alone = tmp_path / "alone"
    shutil.copytree(out, alone)
    shutil.rmtree(out)
    text = (alone / "README.md").read_text()
    follow_readme(alone)
    # the counts are those of the definition, run on the utterances that were chosen
    info = read_run(run)
    network = circuit_of(load_network(info), export.quantization_of(load_network(info)))
    with gzip.open(alone / "trace.txt.gz", "rt") as file:
        trace = file.read().splitlines()
    assert len([line for line in trace if line[0] == "v"]) == network.grid.n_steps
    labels = [int(line) for line in (alone / "labels.txt").read_text().split()]
    assert len(labels) == N_UTTERANCES == len(set(labels))
    assert re.search(r"integers, as exported: [\d.]+% of 50 utterances", said)
    assert (alone / "network.nir").exists()
    assert "network.nir" in text
    scores = info.info["scores"]
    before = (
        "low-precision weights, other values in floats" if changes else "floats, before rounding"
    )
    assert f"| {before} | 50 | {scores['test']:.1%} |" in text
    rule = "U - (U >> 4)" if changes else "(U x 243) >> 8"
    assert rule in text
    assert ("2 times, 0, 10 steps late" in text) == bool(changes)


def test_of_two_languages_one_is_exported(trained, tmp_path, monkeypatch, capsys):
    run = trained(language="both", **FEW_BITS)
    exported(monkeypatch, capsys, run, "--out", tmp_path / "a", "--language", "german")
    found = read_circuit(tmp_path / "a")
    whole = circuit_of(load_network(read_run(run)))
    np.testing.assert_array_equal(found.layers[1].weight, whole.layers[1].weight[10:])
    assert {utterance.label for utterance in read_vectors(tmp_path / "a")} == {*range(10)}
    assert "classes (0 null, " in (tmp_path / "a" / "README.md").read_text()
    assert (tmp_path / "a" / "classes.txt").read_text().startswith("null\neins\n")
    with pytest.raises(
        SystemExit, match=r"run.json: has no classes for the language german, only zero"
    ):
        exported(monkeypatch, capsys, trained(), "--out", tmp_path / "b", "--language", "german")


def follow_readme(folder):
    """Run the README's first commands there; what they print is what it says."""
    text = (folder / "README.md").read_text()
    commands, prints, *_ = re.findall(r"```\n(.*?)```", text, re.DOTALL)
    done = subprocess.run(
        ["sh", "-e"], input=commands, cwd=folder, capture_output=True, text=True, check=True
    )
    lines = prints.splitlines(keepends=True)
    assert done.stderr == lines[0]  # -DCOUNT's line
    assert done.stdout == "".join(lines[1:])
    assert lines[1] == lines[3] == lines[4] == "same\n"


@needs_gcc
@pytest.mark.parametrize("name", export.STUDY_CIRCUITS)
def test_a_circuit_of_the_study_is_written_whole_without_its_data(name, tmp_path, capsys):
    """It is that of the committed network and utterances, and does what its README says."""
    folder = tmp_path / "a folder"
    shutil.copytree(study_folder(name), folder)
    for kept in (RESULTS / name).iterdir():
        assert (folder / kept.name).read_bytes() == kept.read_bytes(), kept.name
    network = read_circuit(folder)
    labels = [utterance.label for utterance in read_vectors(folder)]
    assert len(labels) == 20 and set(labels) == {*range(10)}
    runs = [network.run(*utterance.spikes) for utterance in read_vectors(folder)]
    assert (folder / "expected.txt").read_text() == answers_text(runs)
    assert verilog_parameters(network) == verilog_parameters(export.study_circuit(name))
    assert memories(network) == memories(export.study_circuit(name))
    follow_readme(folder)
    assert (folder / "network.nir").exists() == (name == "circuit_study")
    assert (folder / "confidence.h").exists() == (name == "circuit")


def test_a_circuit_of_the_study_takes_no_other_bits(monkeypatch, capsys):
    with pytest.raises(SystemExit, match=r"circuit: is exported as it is.*RUN=small"):
        exported(monkeypatch, capsys, "circuit", "--utterances", 3)


def test_unseen_speakers_are_counted_by_hand():
    """Six unseen speakers with one to six utterances, of whom speaker k errs in its first one."""
    speakers = np.repeat(range(7), range(1, 8))
    labels = np.arange(len(speakers)) % 10
    events = SimpleNamespace(speakers=speakers, labels=labels)
    is_first = np.diff(speakers, prepend=-1) > 0
    found = np.where(is_first, (labels + 1) % 10, labels)
    trained = SimpleNamespace(about={"seen_speakers": [2]})
    after = export.accuracies_of_unseen(trained, events, found)
    by_hand = [100 * (n - 1) / n for n in (1, 2, 4, 5, 6, 7)]
    np.testing.assert_allclose(after, by_hand)
    mean = statistics.mean(by_hand)
    half = 2.5706 * statistics.stdev(by_hand) / math.sqrt(6)  # a t table, 5 degrees of freedom
    text = "(mean and 95 % interval over 6 speakers)"
    assert export.unseen_accuracy(after) == f"{mean:.1f} ± {half:.1f} % {text}"
    before = export.accuracies_of_unseen(trained, events, labels)
    change = export.rounding_change(before, after)
    assert f"accuracy by {mean - 100:+.2f} ± {half:.2f} percentage points" in change
    assert ("*undecided*" in change) == (half > 100 - mean)
    for few in (after[:4], after[:0]):
        assert export.unseen_accuracy(few) == export.rounding_change(few, few) == ""


def test_the_notice_names_the_source_of_each_data_set():
    of = functools.partial(Description, "a", "b", ("zero",), "the data set `x`", "c", {}, None)
    notices = {
        datasets: notice(of(datasets=datasets))
        for datasets in (("hd",), ("commands", "hd"), ("mine",), ("shd", "mine"), ())
    }
    names = {"Cramer": "hd", "Warden": "commands", "Find out under": "mine"}
    for datasets, text in notices.items():
        of_them = {name for name in names if name in text}
        expected = {name for name, dataset in names.items() if dataset in datasets}
        if "commands" in datasets:
            expected.add("Cramer")
        if not datasets:
            expected.add("Find out under")
        assert of_them == expected, datasets


def test_vectors_are_the_raw_utterances(trained, toy_dir, tmp_path, monkeypatch, capsys):
    """Each utterance has the spikes of the HDF5 file, in whole milliseconds.

    Read back, they are the same. A damaged file is named.
    """
    run = trained()
    exported(monkeypatch, capsys, run, "--out", tmp_path / "a", "--utterances", 50)
    vectors = (tmp_path / "a" / "vectors.txt").read_text()
    texts = vectors.split("\n\n")[:-1]
    raw = read_shd(toy_dir / "toy_test.h5")
    english = [i for i in range(len(raw)) if raw.labels[i] < 10]
    assert len(texts) == len(english) == 50
    for i, text in zip(english, texts, strict=True):
        spikes = np.array([line.split() for line in text.splitlines()], int)
        times, units = raw.spikes(i)
        wanted = sorted(zip(np.floor(times * 1000), units, strict=True))
        assert sorted(map(tuple, spikes)) == wanted
    again = read_vectors(tmp_path / "a")
    assert events_text(again) == vectors
    assert [utterance.label for utterance in again] == [raw.labels[i] for i in english]
    (tmp_path / "a" / "labels.txt").write_text("1\n2\n")
    with pytest.raises(ExportError, match=r"labels\.txt: damaged.*make export"):
        read_vectors(tmp_path / "a")


def test_what_lies_in_a_folder_is_not_lost(trained, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    exported(monkeypatch, capsys, trained(), "--out", out, "--utterances", 1)
    first = (out / "README.md").read_bytes()
    (out / "reference").touch()  # gcc's
    exported(monkeypatch, capsys, trained(), "--out", out, "--utterances", 1)
    assert (out / "README.md").read_bytes() == first and not (out / "reference").exists()
    for name in ("notes.txt", "simulation/mine.txt"):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).touch()
        with pytest.raises(SystemExit, match=rf"{name.partition('/')[0]}: wasn't written by"):
            exported(monkeypatch, capsys, trained(), "--out", out)
        (out / name).unlink()  # it is still there


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], r"nowhere.*run\.json.*make study"),
        ([None, "--circuit", "8-8"], "circuit '8-8': must be like 3-8-12"),
        ([None, "--circuit", "8-8-16"], "beta 0.9500 for one step"),
        ([None, "--membranes", "-5"], "membranes -5: must be at least 0"),
        ([None, "--utterances", "51"], "utterances 51: must be between 1 and 50"),
        ([None, "--utterances", "0"], "utterances 0: must be at least 1"),
        ([None, "--circuit", "8-8-32 product"], "lower mem_bits"),
    ],
)
def test_an_export_that_fails_names_the_cause_and_leaves_nothing(
    arguments, says, trained, tmp_path, monkeypatch, capsys
):
    arguments = [trained() if a is None else a for a in arguments]
    with pytest.raises(SystemExit, match="(?s)Nothing was exported.*" + says):
        exported(monkeypatch, capsys, *arguments, "--out", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_the_counts_are_of_the_core_that_is_committed():
    """As many cycles as `cost` counts in two utterances: else `make rtl` must count anew."""
    table = pd.read_csv(RESULTS / "rtl.csv").set_index(["folder", "device", "quantity"]).value
    for folder in export.STUDY_CIRCUITS:
        two = read_vectors(RESULTS / folder)[:2]
        cycles = cost.total_cycles(study_circuit(folder), two, lanes=4) / 2 + 1 / 2  # and the reset
        counted = table[folder, "UP5K's cells", "cycles per utterance"]
        assert counted == pytest.approx(cycles, rel=1e-4)


def test_the_first_lines_of_the_readme_run(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    page = (ROOT / "applications" / "circuit" / "README.md").read_text(encoding="utf-8")
    code, printed = re.search(r"```python\n(.*?)```.*?```\n(.*?)```", page, re.S).groups()
    exec(code, {})
    assert capsys.readouterr().out == printed
