"""The numbers in the prose of notebooks 7 and 8, computed from the committed tables."""

import numpy as np
import pandas as pd
import pytest

from shd_circuit.cost import memory
from shd_circuit.export import study_circuit
from shd_helpers.study import collect_predictions, read_table, speaker_accuracies
from shd_helpers.study.tables import plan_of
from shd_judge import contrasts, interval
from tests import RESULTS
from tests.builders.notebooks import prose_of

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
