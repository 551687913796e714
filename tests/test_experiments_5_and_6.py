"""Notebooks 5 and 6 say what their tables have: each number of their prose is computed again.

notebooks/study.py: it can be read in one go, and its downsampling is the study's.
"""

import re
import runpy

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

from evidence.plan_jobs import VALIDATION_SPEAKERS
from evidence.tables import people as plan
from shd_course.figures.people import FULL
from shd_course.figures.run_figures import REPORTED
from shd_helpers.data import obtain
from shd_helpers.events import Downsampling, load_pair
from shd_helpers.paths import NOTEBOOKS
from shd_judge import contrasts
from tests import RESULTS
from tests.builders.notebooks import cells_of

SMALL = "183 x 333, threshold 2"
ORIGINAL = "original"  # this input, with the recipe with which the study began
# What a notebook may say without a table: names, its exercise, and numbers of other pages
NOT_RESULTS = (
    r"\(\S+\)",  # where a link leads
    r"\[[0-9]\]|\[0[0-9]_\w+\]|^# [0-9] ·|notebook [0-9]",
    r"[0-9]+ (channels )?x [0-9]+( steps)?",
    r"[Tt]hreshold [12]",
    r"256 LIF neurons",
    r"\*\*(Exercise|Try it).\*\*.*",
    r"Try another speaker instead of 5.*",
)


def rows_of(name):
    return pd.read_csv(RESULTS / f"{name}.csv")


def accuracy(cells, name):
    return f"{100 * cells.accuracy[name]:.1f} ± {100 * cells.ci95[name]:.1f} %"


def change(row, sign="+"):
    return f"{row.difference:{sign}.1f} ± {row.ci95_adjusted:.1f}"


def by_seed(runs, *index):
    return 100 * runs.pivot(index=[*index], columns="seed", values="validation_accuracy")


def largest_of_normal(n):
    """Return the expected largest of n standard normal numbers."""

    def density(z):
        return n * z * stats.norm.pdf(z) * stats.norm.cdf(z) ** (n - 1)

    return integrate.quad(density, -8, 8)[0]


def search_says():
    """Return what notebook 5 says of the search and its finalists."""
    search = rows_of("search_hd")
    found = 100 * search.pivot(index="recipe", columns="input", values="validation_accuracy")
    on_small = found["183 x 333"]
    best, worst = on_small.idxmax(), on_small.idxmin()
    settings = search.drop_duplicates("recipe").set_index("recipe")[["slope", "lr"]]
    assert (settings.loc[worst] > settings.quantile(0.8)).all()
    finalists = by_seed(rows_of("finalists_hd"), "finalist")
    spread = np.sqrt(finalists.var(axis=1).mean())
    before = found.stack()
    before.index = [f"{name}, {recipe}" for recipe, name in before.index]
    assert (finalists.mean(axis=1) < before[finalists.index]).all()
    return [
        f"The table has {len(found)} recipes",
        f"Guessing reaches {100 / 10:.0f} %.",
        f"{best} reaches {on_small[best]:.0f} %, and {worst} reaches {on_small[worst]:.0f} %.",
        f"a standard deviation of {spread:.1f} percentage points",
        f"the best of {len(found)} look too good on average?",
        f"By {spread * largest_of_normal(len(found)):.0f} percentage points on average.",
        f"All {len(finalists)} means were lower",
        f"Is {worst}'s slope to blame",
    ]


def seeds_say():
    """Return what notebook 5 says of runs that differ in their seed alone."""
    rates = by_seed(rows_of("learning_rate_epochs_digits").query("epochs == 30"), "lr")
    original = by_seed(rows_of("original_hd").query("epochs == 30"), "lr")
    gap = max((table[0] - table[1]).abs().max() for table in (rates, original))
    assert original.size == 8
    return [
        f"Up to {gap:.0f} percentage points.",
        f"{rates[0].idxmax():g} is the best learning rate with seed 0, "
        f"and {rates[1].idxmax():g} with seed 1.",
        f"reported {REPORTED:.0f} %.",
        f"Our best run reaches {original.max().max():.0f} %. "
        f"The eight shown average {original.to_numpy().mean():.0f} %.",
    ]


def people_say():
    """Return what notebook 5 says of six recipes for people of Speech Commands."""
    judged = rows_of("people_recipes").pivot(index="recipe", columns="input", values="accuracy")
    assert (judged.idxmin() == "original").all() and judged.shape == (6, 6)
    originals = 100 * judged.loc["original"]
    first, last = map(int, VALIDATION_SPEAKERS.split("-"))
    cells = rows_of("people_cells").set_index("cell")
    return [
        f"{last - first + 1} people of",
        f"with {originals.min():.0f} to {originals.max():.0f} %.",
        f"For {cells.people['recipe']:,} other people and",
        f"it reaches {accuracy(cells, ORIGINAL)}. The selected recipe reaches "
        f"{accuracy(cells, SMALL)}.",
        f"in {plan()['base']['epochs']} epochs",
        "It is last on each input",
    ]


def slopes_say():
    """Return what notebook 5 says of slope 25; ± is over two seeds, with one variance for all."""
    runs = by_seed(rows_of("surrogates_hd"), "validated_on", "surrogate", "slope")
    means = runs.mean(axis=1)
    sigmoid, fast = means["utterances", "sigmoid"], means["speakers", "fast_sigmoid"]
    error = np.sqrt(runs.loc["speakers"].var(axis=1).mean() / 2)
    half = stats.t.isf(0.025, len(runs.loc["speakers"])) * error
    lost = means.xs(2.0, level="slope") - means.xs(25.0, level="slope")
    assert (lost.unstack().idxmax(axis=1) == "sigmoid").all()
    return [
        "its slope of 25",
        "suffers most from slope 25",
        f"from slope 2 to 25, it drops from {sigmoid[2.0]:.0f} % to {sigmoid[25.0]:.0f} %",
        f"from {fast[2.0]:.0f} % to {fast[25.0]:.0f} %, each ± {half:.0f} percentage points",
    ]


def contrasts_say():
    """Return what notebook 6 says of planned differences between inputs."""
    found = rows_of("people_contrasts").set_index(["first", "second"])
    total = found.loc[SMALL, FULL]
    steps = found[found.family == "path"]
    drawn = found.loc["183 x 333, thinned", "183 x 333"]
    kept = found.loc[SMALL, "183 x 333, thinned"]
    longer, fewer = found.loc["233 x 100", FULL], found.loc["77 x 333", FULL]
    assert {of.verdict for of in (total, drawn, kept, longer)} == {"shown"}
    assert {fewer.verdict, *steps.verdict} == {"undecided"}
    bound = steps.excluded_loss.max()
    original = rows_of("recipes_contrasts").set_index("family").loc["original"]
    assert original.verdict == "shown"
    return [
        f"{total.people:,} unseen people",
        f"Accuracy rises by {change(total, '')} percentage points (*shown*)",
        f"none loses more than {bound:.1f} percentage points",
        f"accuracy rises by {change(original, '')} percentage points (*shown*)",
        f"Accuracy falls by {change(drawn).lstrip('-')} percentage points (*shown*)",
        f"Threshold 2 is {change(kept, '')} better than random events (*shown*)",
        f"233 x 100 loses {change(longer).lstrip('-')} percentage points (*shown*)",
        f"differs by {change(fewer)} (*undecided*)",
    ]


def inputs_say():
    """Return what notebook 6 says of the costs and accuracies of inputs."""
    cells = rows_of("people_cells").query("question in ['cost', 'size']").set_index("cell")
    share = 100 * cells.input_events[SMALL] / cells.input_events["183 x 333"]
    assert round(cells.parameters[FULL] / cells.parameters["77 x 333"]) == 8  # "an eighth"
    cheaper = cells.effective_acs < 0.99 * cells.effective_acs[SMALL]
    best = cells.accuracy[cheaper].max()
    assert best < cells.accuracy[SMALL]
    return [
        "the 150 channels with the highest tones",
        "blocks of 3 x 3 entries",
        f"accuracy is {accuracy(cells, FULL)}.",
        f"Threshold 2 passes on {share:.0f} % of the events of threshold 1. "
        f"Perhaps any {share:.0f} % would do.",
        f"reach at most {100 * best:.0f} %, and this one {accuracy(cells, SMALL)}.",
        "a download of 2.3 GB",
        "Can you reach 65 % with fewer parameters",
        "target = 65 ",
        "For 256 LIF neurons, no cheaper input that we tested beats 183 x 333, threshold 2",
    ]


def twelve_speakers_say():
    """Return what notebook 6 says of `hd`: its recipes were selected on speakers 8 and 9."""
    runs = rows_of("final_hd").rename(columns={"held_out": "speaker"})
    unseen = runs[~runs.speaker.isin([8, 9])]
    found = contrasts(unseen, [("183 x 333", FULL)], "test_unseen_accuracy").iloc[0]
    assert found.verdict == "shown" and unseen.speaker.nunique() == 10
    assert unseen[unseen.input == "183 x 333"].seed.nunique() == 5
    lost = f"{-found['mean']:.1f} ± {found.ci_holm:.1f}"
    return [f"*lowered* accuracy by {lost} percentage points (*shown*, ten unseen speakers"]


SAID = {
    5: (search_says, seeds_say, people_say, slopes_say),
    6: (contrasts_say, inputs_say, twelve_speakers_say),
}


@pytest.mark.parametrize("number", SAID)
def test_each_number_of_a_notebook_is_that_of_its_table(number):
    """Titles of figures have numbers, too, but only the prose has none beside these."""
    prose, code = (
        "\n".join(cell.source for cell in cells_of(number, kind)) for kind in ("markdown", "code")
    )
    phrases = [phrase for says in SAID[number] for phrase in says()]
    for phrase in phrases:
        assert phrase in prose + code, phrase
        prose = prose.replace(phrase, "")
    for pattern in NOT_RESULTS:
        prose = re.sub(pattern, "", prose, flags=re.M)
    assert re.findall(r".*[0-9].*", prose) == []


PROGRAM = NOTEBOOKS / "study.py"


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """Return the program's names after two epochs, and what it wrote."""
    with pytest.MonkeyPatch.context() as patched:
        folder = tmp_path_factory.mktemp("study")
        patched.chdir(folder)
        patched.setattr("sys.argv", ["study.py", "2"])
        found = runpy.run_path(str(PROGRAM), run_name="__main__") | {"folder": folder}
    plt.close("all")
    return found


@pytest.mark.slow
def test_its_input_is_that_of_the_study(names):
    events, _ = load_pair(obtain("digits"), Downsampling(), "english")
    np.testing.assert_array_equal(names["labels"], events.labels)
    some = [0, 77, 639]
    np.testing.assert_array_equal(names["frames"][:, some], events.to_frames(some) > 0)


@pytest.mark.slow
def test_it_learns_from_some_utterances_and_validates_on_others(names):
    training, validation = (set(names[part].tolist()) for part in ("training", "validation"))
    assert not training & validation and len(training | validation) == 640
    for (_, epochs), (curves, weights) in names["results"].items():
        assert curves.shape == (epochs, 2, 2) and len(weights) == epochs + 1
    curves, _ = names["results"][1e-3, 2]
    assert curves[-1, 0, 0] < curves[0, 0, 0]  # the training loss
    assert curves[-1, 1, 1] > 15  # per cent in validation, where guessing has 10
    figures = {path.name for path in (names["folder"] / "img_of_study").iterdir()}
    assert figures == {"spikes.png", "accuracy_and_loss.png", "weights.png"}
