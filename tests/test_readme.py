"""Every result in the README is computed here from the committed tables."""

import re

import pandas as pd
import pytest

from shd_helpers.paths import ROOT
from shd_helpers.study import difference, read_table, summarise

README = (ROOT / "README.md").read_text(encoding="utf-8")


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


def test_surrogates_of_notebook_6():
    means = summarise(read_table("surrogates_spoken")).query("slope == 2").set_index("surrogate")
    three = [f"{means.validation[name]:.1f}" for name in ("sigmoid", "fast_sigmoid", "atan")]
    sentence = "{}, {} and {} % for sigmoid, fast sigmoid and atan at slope 2".format(*three)
    assert sentence in (ROOT / "notebooks" / "06_recipe_sweeps.ipynb").read_text(encoding="utf-8")


def test_the_cross_on_spoken_of_notebook_5():
    means = summarise(read_table("downsizing_cross_spoken"), "size").test_seen.round()
    steps = [means[f"183 x {n}"] for n in (1000, 500, 333, 200, 100)]
    channels = [means[f"{n} x 333"] for n in (550, 275, 183, 92, 61)]
    text = (ROOT / "notebooks" / "05_downsizing_study.ipynb").read_text(encoding="utf-8")
    for claim in (
        f"From 1000 to 100 steps seen speakers stay between {min(steps):.0f} and {max(steps):.0f}",
        f"50 steps ({means['183 x 50']:.0f} %) hurt",
        f"From 550 to 61 channels they stay between {min(channels):.0f} and {max(channels):.0f}",
        f"23 channels get {means['23 x 333']:.0f} %, and 700 channels {means['700 x 333']:.0f} %",
    ):
        assert claim in text, claim
