"""The figures and verdicts of docs/original_study.md, computed from committed tables and files."""

import math

import pandas as pd
import pytest

from shd_corpus.shd_file import read_shd
from shd_helpers import study
from shd_helpers.data import obtain
from shd_helpers.paths import ROOT
from shd_judge import interval
from tests import RESULTS

PAGE = (ROOT / "docs" / "original_study.md").read_text(encoding="utf-8")
FULL, SMALL = "700 x 1000", "183 x 333, threshold 2"
SURROGATES = ("fast_sigmoid", "atan", "sigmoid")


@pytest.fixture(scope="module")
def surrogates():
    runs = pd.read_csv(RESULTS / "surrogates_hd.csv")
    return runs[runs.validated_on == "utterances"]


def change(first, second, sign="+"):
    changes = pd.read_csv(RESULTS / "people_contrasts.csv").set_index(["first", "second"])
    row = changes.loc[first, second]
    return f"{row.difference:{sign}.1f} ± {row.ci95_adjusted:.1f}", row.verdict


def test_what_downsizing_and_its_steps_change():
    rise, verdict = change(SMALL, FULL, "")
    assert f"accuracy rises by {rise} percentage points for 1,435 people (*{verdict}*)" in PAGE
    fall = "it falls by 4.5 ± 2.4 (*shown*)"
    assert fall in PAGE and "costs 4.5 ± 2.4" in (ROOT / "docs" / "results.md").read_text()
    cut, verdict = change("550 x 1000", FULL)
    assert f"changes accuracy by {cut} percentage points (*{verdict}*)" in PAGE


def test_what_the_threshold_changes():
    of_one, verdict = change("threshold 1", "original")
    assert f"is {of_one.lstrip('-')} percentage points less accurate" in PAGE
    assert of_one[0] == "-" and f"than threshold 2 (*{verdict}*)" in PAGE
    better, verdict = change(SMALL, "183 x 333")
    assert f"differs by {better} from threshold 1 (*{verdict}*)" in PAGE
    drawn, verdict = change(SMALL, "183 x 333, thinned", "")
    assert f"accuracy is {drawn} percentage points lower (*{verdict}*)" in PAGE


def test_what_the_validation_people_gave():
    its = pd.read_csv(RESULTS / "people_recipes.csv").query("recipe == 'original'")
    small, full = (100 * its.set_index("input").accuracy[name] for name in (SMALL, FULL))
    assert f"{small:.1f} % instead of {full:.1f} %" in PAGE


def test_downsizing_rescued_the_original_network():
    (row,) = (
        pd.read_csv(RESULTS / "recipes_contrasts.csv").query("family == 'original'").itertuples()
    )
    assert row.of == "mean" and row.people == 1435 and row.verdict == "shown"
    said = f"accuracy rises by {row.difference:.1f} ± {row.ci95_adjusted:.1f} percentage points"
    assert f"{said} (*shown*)" in PAGE


def test_when_and_where_spikes_come():
    spikes = read_shd(obtain("digits")[0])
    early, low = 100 * (spikes.times < 0.6).mean(), 100 * (spikes.units < 200).mean()
    assert f"{len(spikes)} training utterances" in PAGE
    assert f"{early:.1f} % of the spikes come in the first 600 ms, and {low:.1f} % are" in PAGE


def test_the_repeated_recipe(surrogates):
    runs = pd.read_csv(RESULTS / "original_hd.csv")
    low, high = 100 * runs.validation_accuracy.min(), 100 * runs.validation_accuracy.max()
    assert len(runs) == 16 and "our 16 runs" in PAGE and runs.train_accuracy.max() < 0.85
    assert f"The last validation accuracy was {low:.0f} to {high:.0f} %" in PAGE
    of = study.speaker_accuracies("original_leave_one_speaker_out_hd")
    of["lost"] = of.test_seen_accuracy - of.test_unseen_accuracy
    by_speaker = of.pivot(index="speaker", columns="seed")
    seen, unseen, lost = (
        "{:.0f} ± {:.0f}".format(*interval(100 * by_speaker[name].to_numpy()))
        for name in ("test_seen_accuracy", "test_unseen_accuracy", "lost")
    )
    assert f"{seen} % for seen speakers and {unseen} % for unseen ones" in PAGE
    assert f"The difference is {lost} percentage points (post hoc)" in PAGE


def test_the_surrogates(surrogates):
    accuracies = 100 * surrogates.groupby(["slope", "surrogate"]).validation_accuracy.mean()
    for slope in (2, 25):
        cells = [f"{accuracies[slope, name]:.1f}" for name in SURROGATES]
        assert f"| {slope} | {' | '.join(cells)} |" in PAGE
    half = study.summarize(surrogates, ["surrogate", "slope"]).validation_ci95
    assert f"± {half.iloc[0]:.1f} each" in PAGE
    seconds = pd.read_csv(RESULTS / "surrogates_hd.csv").groupby("surrogate").training_s.mean()
    fast, arctangent, sigmoid = (f"{seconds[name]:.0f} s" for name in SURROGATES)
    assert f"{fast} for the fast sigmoid, {sigmoid} for the sigmoid, and {arctangent} for" in PAGE


def test_how_weights_spread():
    deviations, shares = [], []
    for seed in range(5):
        weights = study.load_pretrained(f"study_{seed}").network.state_dict()["fc1.weight"].numpy()
        deviations.append(weights.std())
        shares.append((abs(weights) < weights.std()).mean())
    first = math.sqrt(2 / sum(weights.shape))  # of Xavier's uniform distribution
    assert {f"{deviation:.2f}" for deviation in deviations} <= {"0.23", "0.24"}
    assert f"grew from {first:.2f} to {sum(deviations) / 5:.2f}" in PAGE
    share = f"{100 * sum(shares) / 5:.0f} % are within one standard deviation of 0"
    assert f"{share}, instead of {100 / math.sqrt(3):.0f} %" in PAGE
