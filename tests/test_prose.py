"""Every result in the prose of README and notebooks 5 and 6, computed from committed tables."""

import re

import nbformat
import pandas as pd
import pytest
from scipy.stats import spearmanr

from shd_helpers.paths import NOTEBOOKS, ROOT
from shd_helpers.study import difference, read_table, summarise
from shd_helpers.sweeps.search import recipes

README = (ROOT / "README.md").read_text(encoding="utf-8")


def says(notebook, sentence):
    """Find a sentence in a notebook's prose."""
    cells = nbformat.read(NOTEBOOKS / f"{notebook}.ipynb", as_version=4).cells
    prose = " ".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert sentence in prose, f"{notebook}: {sentence}"


def percent(row, part):
    return f"{row[part]:.1f} ± {row[f'{part}_ci95']:.1f}"


def table_rows(first_column):
    """Return the cells of the README's table whose heading begins so, by first cell."""
    lines = README[README.index(f"| {first_column}") :].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first: rest for first, *rest in cells}


@pytest.fixture(scope="module")
def tuned():
    return read_table("downsizing_tuned_fsdd_spikes")


def test_the_table_of_inputs(tuned):
    by_input = summarise(tuned, "input")
    models = summarise(read_table("models_fsdd_spikes"), "model")
    delays = models.loc["delays and 60 epochs"]
    wanted = {
        "700 x 1000": by_input.loc["700 x 1000"],
        "183 x 333": by_input.loc["183 x 333"],
        "183 x 333, eight synaptic delays, augmentation, 60 epochs": delays,
    }
    found = table_rows("input (fsdd_spikes)")
    assert found.keys() == wanted.keys()
    for name, row in wanted.items():
        accuracies = [f"{percent(row, part)} %" for part in ("test_seen", "test_unseen")]
        assert found[name] == [*accuracies, f"{row.parameters:,.0f}"], name


def test_the_paired_difference(tuned):
    small, full = (tuned[tuned.input == name] for name in ("183 x 333", "700 x 1000"))
    found = difference(small, full, "test_seen_accuracy")
    assert f"differs by {found.mean:+.1f} ± {found.ci95:.1f} points" in README
    assert f"a loss of more than {found.excluded_loss:.1f} points is excluded" in README


def test_the_table_of_recipes():
    found = table_rows("recipe")
    for (name, cells), sweep in zip(found.items(), ("chosen", "original"), strict=True):
        table = read_table(f"{sweep}_spoken")
        row = summarise(table).iloc[0]
        assert cells == [percent(row, p) for p in ("validation", "test_seen", "test_unseen")], name
        assert f"slope {table.slope[0]:g}, batch {table.batch_size[0]}" in name
        assert f"{table.lr[0]:g} halved every {table.lr_step[0]} epochs" in name


def test_what_make_study_prints():
    """The default run is the first of the sweep `chosen`."""
    run = read_table("chosen_spoken").query("seed == 0").iloc[0]
    parts = ("train", "validation", "test", "test_seen", "test_unseen")
    wanted = [f"{100 * run[f'{part}_accuracy']:.1f}%" for part in parts]
    printed = README[README.index("Accuracy on spoken, english, seed 0:") :].splitlines()[2]
    assert printed.split() == wanted


def test_speed():
    bench = pd.read_csv(ROOT / "results" / "bench.csv")
    claims = re.search(
        r"takes 1/(\d+) of snntorch's time with 128 utterances, 1/(\d+) with 32 and 1/(\d+) with 8",
        README,
    )
    assert claims, "the README's sentence on speed has changed"
    steps = bench[bench.variant == "fused"].groupby("benchmark").get_group("training step")
    ratios = steps.set_index("batch").ratio
    cochlea = bench[(bench.benchmark == "cochlea") & (bench.variant == "encode")]
    ratio = cochlea[cochlea.batch == 1].ratio.iloc[0]
    assert f"{ratio:.0f} times as fast as its reference" in README
    assert [int(claim) for claim in claims.groups()] == [round(ratios[b]) for b in (128, 32, 8)]


@pytest.fixture(scope="module")
def searched():
    """Accuracies (%) by recipe and input, of the finalists by both, and the recipes."""
    search = read_table("search_hd").pivot(
        index="recipe", columns="input", values="validation_accuracy"
    )
    again = read_table("finalists_hd").groupby("finalist").validation_accuracy.mean()
    again.index = pd.MultiIndex.from_tuples([tuple(n.rsplit(", ", 1)) for n in again.index])
    return 100 * search, 100 * again, pd.DataFrame(recipes()).T


def test_the_answer_of_notebook_5(searched):
    search, again, points = searched
    low, high = search["183 x 333"].min(), search["183 x 333"].max()
    says("05_recipe_sweeps", f"the same 16 recipes reach from {low:.1f} to {high:.1f} %")
    finalists = points.loc[again.index.get_level_values(1)]
    says("05_recipe_sweeps", "No slope above 7 and no learning rate above 0.004")
    assert finalists.slope.max() <= 7 and finalists.lr.max() <= 0.004
    small, full = (again[name].idxmax() for name in ("183 x 333", "700 x 1000"))
    best = points.loc[small]
    assert small == full
    says(
        "05_recipe_sweeps",
        f"slope {best.slope:g}, beta {best.beta:g}, learning rate {best.lr:g}, batches of "
        f"{best.batch_size:g}, the rate halved every {best.lr_step:g} epochs",
    )


def test_the_readings_of_notebook_5(searched):
    search, again, points = searched
    ranks = {
        name: search.apply(lambda of, name=name: spearmanr(points[name].loc[of.index], of)[0])
        for name in points
    }
    says(
        "05_recipe_sweeps",
        f"the learning rate at the full input ({ranks['lr']['700 x 1000']:+.2f})",
    )
    assert (ranks["slope"] < 0).all() and (ranks["lr_step"] > 0).all()
    assert (ranks["batch_size"].abs() < 0.5).all()
    fall = (search.stack().swaplevel().reindex(again.index) - again).mean()
    says("05_recipe_sweeps", f"Nearly all fall, by {fall:.1f} points on average")
    first, second, _ = again["183 x 333"].sort_values(ascending=False)
    says("05_recipe_sweeps", f"the choice is clear, {first - second:.1f} points before the next")
    close = again["183 x 333, threshold 1"]
    says("05_recipe_sweeps", f"lie within {close.max() - close.min():.1f} points")


def test_the_cross_on_spoken_of_notebook_6():
    means = summarise(read_table("downsizing_cross_spoken"), "size").test_seen.round()
    steps = [means[f"183 x {n}"] for n in (1000, 500, 333, 200, 100)]
    channels = [means[f"{n} x 333"] for n in (550, 275, 183, 92, 61)]
    for claim in (
        f"From 1000 to 100 steps seen speakers stay between {min(steps):.0f} and {max(steps):.0f}",
        f"50 steps ({means['183 x 50']:.0f} %) hurt",
        f"From 550 to 61 channels they stay between {min(channels):.0f} and {max(channels):.0f}",
        f"23 channels get {means['23 x 333']:.0f} %, and 700 channels {means['700 x 333']:.0f} %",
    ):
        says("06_downsizing_study", claim)
