"""Hygiene of the committed notebooks; nbval runs them.

The numbers in the prose of notebooks 7 and 8, computed from the committed tables.
"""

import ast
import math
import re

import nbformat
import numpy as np
import pandas as pd
import papermill
import pytest

from shd_circuit.cost import memory
from shd_circuit.export import study_circuit
from shd_course import exercises
from shd_course.figures import people
from shd_helpers.paths import NOTEBOOKS
from shd_helpers.study import collect_predictions, read_table, speaker_accuracies
from shd_helpers.study.parameters import notebook_parameters
from shd_helpers.study.tables import plan_of
from shd_judge import contrasts, interval
from tests import RESULTS
from tests.builders.notebooks import cells_of, prose_of

PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
WITHOUT_SETTINGS = ("00_", "05_", "06_", "07_", "08_")


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_executed_in_order_from_a_clean_kernel_and_small(notebook, path):
    cells = code_cells(notebook)
    assert [c.execution_count for c in cells] == list(range(1, len(cells) + 1))
    for output in (output for cell in cells for output in cell.outputs):
        assert output.output_type != "error"
        assert output.get("name") != "stderr", output.text
    assert notebook.metadata.kernelspec.name == "python3"
    assert "widgets" not in notebook.metadata
    assert path.stat().st_size < 1.6e6


def test_one_parameters_cell_that_papermill_reads_whole(notebook, path):
    tagged = [c for c in code_cells(notebook) if "parameters" in c.metadata.get("tags", [])]
    if path.stem.startswith(WITHOUT_SETTINGS):
        assert tagged == []
        return
    assert len(tagged) == 1
    assigned = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(tagged[0].source).body
    }
    assert all(type(value) in (str, int, float, bool) for value in assigned.values())
    found = papermill.inspect_notebook(path)
    by_papermill = {name: ast.literal_eval(entry["default"]) for name, entry in found.items()}
    assert by_papermill == assigned == notebook_parameters(path)


def test_no_paths_of_a_machine_and_no_installs(notebook):
    for cell in notebook.cells:
        text = cell.source + "".join(map(str, cell.get("outputs", [])))
        assert not re.search(r"(?<![\w.:/])/(home|root|Users|work|tmp|usr|mnt)/", text), text[:300]
        assert "pip install" not in cell.source
        assert "sys.path" not in cell.source


def exercise(number):
    """Return the cells of a notebook's exercise in which it is answered and checked."""
    cells = cells_of(number)
    (i,) = [i for i, cell in enumerate(cells) if "**Exercise.**" in cell.source]
    return cells[i + 1 : i + 3]


@pytest.mark.parametrize("number", range(9))
def test_each_figure_has_an_alternative_text(number):
    images = [
        output
        for cell in cells_of(number)
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert images
    for image in images:
        assert len(image.metadata["image/png"]["alt"]) > 20


@pytest.mark.parametrize("number", range(9))
def test_a_committed_notebook_is_solved(number):
    """The copies with gaps are tested in `test_student_copy`, and their checks in
    `test_exercises`."""
    for cell in cells_of(number):
        assert "NotImplementedError" not in cell.source and "_solution" not in cell.source
        assert "not tried yet" not in str(cell.get("outputs", ""))
        tags = cell.metadata.get("tags", ())
        assert ("gap" in cell.metadata) <= ("answer" in tags or "exercise" in tags)


# Two inputs are cheaper than 183 x 333 with threshold 2. The cheapest excludes only larger losses.
FULL, SMALL = "700 x 1000", "183 x 333, threshold 2"
CELLS = pd.DataFrame(
    {
        "question": ["cost", "cost", "size", "size"],
        "cell": [FULL, SMALL, "77 x 100", "30 x 30"],
        "effective_acs": [4e6, 3e6, 2e6, 1e6],
        "input_events": 1000,
        "parameters": 1000,
    }
)
CONTRASTS = pd.DataFrame(
    {
        "first": [SMALL, "77 x 100", "30 x 30"],
        "second": FULL,
        "difference": [1.0, -2.5, -6.0],
        "excluded_loss": [0.5, 4.04, 8.0],
    }
)
EXERCISES = [
    # 2 x (1.96 x 3 / 2)^2 is 17.3; with the variance of one mean alone it is half of that
    (5, {"spread": 3.0, "math": math}, 18, 9),
    (6, {"people": people, "cells": CELLS, "contrasts": CONTRASTS}, 4.1, 2.5),
]


@pytest.mark.parametrize(("number", "there", "right", "wrong"), EXERCISES)
def test_an_exercise_takes_the_right_answer_and_hints_at_a_wrong_one(
    number, there, right, wrong, capsys
):
    code = "\n".join(cell.source for cell in exercise(number))
    for answer, verdict in (
        ("None", "not tried yet"),
        (right, ": right"),
        (wrong, "not yet right"),
    ):
        answered = re.sub(r"^(\w+ = ).*", rf"\g<1>{answer}", code, count=1)
        exec(answered, {"exercises": exercises, **there})
        assert verdict in capsys.readouterr().out


CIRCUITS = ("circuit_study", "circuit")
UNSEEN = "test_unseen_accuracy"
SEVEN = prose_of(7)
EIGHT = prose_of(8)


def of(name, index):
    return pd.read_csv(RESULTS / f"{name}.csv").set_index(index)


@pytest.fixture(scope="module")
def accuracies():
    """Return the accuracies of `study` and `small`, by speaker and seed."""
    small = speaker_accuracies("reference_hd", "model").query("input == 'small'")
    study = speaker_accuracies("final_hd").query("input == '183 x 333' and seed in @small.seed")
    return pd.concat([study.assign(input="study"), small])


def test_what_notebook_7_says_of_people():
    cells = of("people_cells", ["question", "cell"]).loc["raise"]
    more = cells.input_events["threshold 1"] / cells.input_events["original"]
    assert f"so there are {more:.1f} times the events" in SEVEN
    assert f"{cells.people.iloc[0]:,.0f} unseen people of [Speech Commands]" in SEVEN
    people = pd.read_csv(RESULTS / "people_accuracies.csv")
    assert round(people.utterances.mean()) == 8 and "a person says eight digits" in SEVEN


def test_the_answer_of_notebook_7():
    cells = of("people_cells", ["question", "cell"]).loc["raise"]
    changes = of("people_contrasts", "family").loc["raise"].set_index("first")
    is_shown = changes.verdict == "shown"
    assert changes.index[is_shown].tolist() == ["recipe", "membrane readout", "delays"]
    assert (changes.difference[is_shown] > 0).all() and len(changes) == 8
    assert not is_shown["threshold 1"] and not is_shown[-4:].any()
    first, last = cells.loc["original"], cells.loc["delays"]
    assert last.effective_acs / first.effective_acs == pytest.approx(10, abs=0.5)
    for part in (
        "The recipe, the membrane readout and delays help (each *shown*)",
        f"raise accuracy from {100 * first.accuracy:.0f} to {100 * last.accuracy:.0f} %, "
        "for ten times the accumulates. Whether threshold 1 does harm is *undecided*, and so are "
        f"the last four steps, with which accuracy is {100 * cells.accuracy.iloc[-1]:.0f} %.",
    ):
        assert part in SEVEN, part


def test_people_differ_by_more_than_luck_with_the_last_step():
    people = pd.read_csv(RESULTS / "people_accuracies.csv")
    right = people[people.columns[-1]]
    assert "more people are below half or near 100 %" in SEVEN
    share = np.average(right, weights=people.utterances)
    drawn = np.random.default_rng(0).binomial(people.utterances, share, (200, len(people)))
    by_luck = drawn / people.utterances.to_numpy()
    assert (right < 0.5).sum() > (by_luck < 0.5).sum(1).max()
    assert (right >= 0.9).sum() > (by_luck >= 0.9).sum(1).max()


def test_what_notebook_7_says_of_the_twelve_speakers(accuracies):
    by_speaker = 100 * accuracies.groupby(["input", "speaker"])[UNSEEN].mean().unstack("input")
    lead = by_speaker.small - by_speaker.study
    assert len(lead) == 12 and lead.min() > 0
    assert f"For all twelve, by {lead.min():.0f} to {lead.max():.0f} percentage points" in SEVEN

    nested = of("nested", "speaker")[UNSEEN]
    mean_over_seeds = accuracies.groupby(["input", "speaker"])[UNSEEN].mean().reset_index()
    ten = mean_over_seeds[mean_over_seeds.speaker.isin(nested.index)].assign(seed=0)
    found = contrasts(ten, [("small", "study")], UNSEEN).iloc[0]
    assert found["mean"] > found.ci95 and len(nested) == 10
    lead = f"{found['mean']:.1f} ± {found.ci95:.1f} percentage points"
    assert f"*small* beats *study* by {lead} (*shown*, but not planned)" in SEVEN
    mean, half = interval(100 * nested.to_frame().to_numpy())
    worst = f"{100 * nested[2]:.0f} % for speaker 2"
    assert f"*Nested* reaches {mean:.1f} ± {half:.1f} %, and {worst}" in SEVEN
    assert by_speaker.study.idxmin() == nested.idxmin() == 2 != by_speaker.small.idxmin()
    assert "the hardest for two of the three networks" in SEVEN


def test_what_notebook_7_says_small_needs():
    small = read_table("reference_hd").query("model == 'small'")
    study = read_table("final_hd").query("input == '183 x 333'")
    (parameters,) = small.parameters.unique()
    more = small.effective_acs.mean() / study.effective_acs.mean()
    assert f"only {parameters:,} parameters, but needs {more:.1f} times the accum" in SEVEN


def test_what_notebook_7_says_of_the_digits_of_speaker_2():
    runs = read_table("reference_hd").query("model == 'small'")
    answers = collect_predictions("reference_hd").query("speaker == 2 and not seen")
    answers = answers[answers["hash"].isin(runs["hash"])]
    wrong = answers[answers.label != answers.predicted]
    most = wrong.groupby(["label", "predicted"]).size().sort_values().index[-3:]
    assert {*most} == {("two", "three"), ("one", "nine"), ("nine", "one")}
    assert "often classifies *two* as *three*, and confuses *one* with *nine*" in SEVEN


def test_what_notebook_8_says_of_rounding():
    plan = plan_of("reference")["unseen_speakers"]
    rows = pd.read_csv(RESULTS / "circuit_bits_small.csv").query("speaker in @plan")
    assert rows.circuit.unique().tolist() == ["5-8-16 product"] and len(plan) == 6
    rows = rows.assign(loss=100 * (rows.float_accuracy - rows.accuracy))
    by_seed = rows.pivot(index="speaker", columns="seed", values="loss").to_numpy()
    loss, half = interval(by_seed)
    assert abs(loss) < half
    excluded = loss + interval(by_seed, 0.1)[1]
    for part in (
        "With weights of 5 and 8 bits",
        f"loses {loss:.1f} ± {half:.1f} percentage points for six unseen speakers (*undecided*)",
        f"A loss above {excluded:.1f} is [excluded]",
    ):
        assert part in EIGHT, part


def test_what_notebook_8_says_of_memory():
    study, small = (memory(study_circuit(name)).bytes for name in CIRCUITS)
    first = 100 * study["weights, layer 1"] / study.sum()
    for part in (
        f"They take {first:.0f} %.",
        f"*Small* stores {small.sum() / 1e3:.1f} kB and *study* {study.sum() / 1e3:.1f} kB",
    ):
        assert part in EIGHT, part
    needs = of("rtl", ["device", "quantity", "folder"]).value
    for logic in (("UP5K", "logic cells (a LUT and a flip-flop)"), ("ECP5-25F", "LUTs")):
        assert needs[(*logic, "circuit")] > needs[(*logic, "circuit_study")]


def test_what_notebook_8_says_of_disturbances():
    rows = pd.read_csv(RESULTS / "circuit_disturbances.csv")
    left = 100 * rows.groupby(["kind", "strength"])[UNSEEN].mean()
    intact = left["none"].iloc[0]
    firing = left["firing neurons", 0.01]
    part = f"If 1 % of the neurons always fire, accuracy falls from {intact:.0f} to {firing:.0f} %"
    assert part in EIGHT
    assert firing < min(left["lost events", 0.1], left["mismatch of all three", 0.1])
    faults = pd.read_csv(RESULTS / "circuit_faults.csv").query("strength == 0.004")
    assert rows.seed.nunique() == 1
    of_study = faults[faults.circuit.str.startswith("circuit_0")]
    assert of_study.seed.nunique() == 1
    after = 100 * of_study.groupby("kind").accuracy.mean()
    fires, mended = after["firing neurons"], after["firing neurons, switched off"]
    assert f"this takes {fires:.0f} % back to {mended:.0f} %, on another test (one seed)" in EIGHT
