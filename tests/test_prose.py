"""Every result in the prose of README, docs and notebooks, computed from committed tables."""

import re

import nbformat
import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr, ttest_1samp

from shd_helpers.paths import NOTEBOOKS, ROOT
from shd_helpers.study import (
    contrasts,
    difference,
    holm,
    read_table,
    speaker_accuracies,
    summarise,
)
from shd_helpers.study.tables import COSTS
from shd_helpers.sweeps import plan_of, recipes
from tests import RESULTS

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}


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


class Final:
    """The final runs: accuracies by speaker, of ten and of all twelve, costs by input."""

    def __init__(self):
        self.plan, runs = plan_of("final"), read_table("final_hd")
        self.speakers = speaker_accuracies("final_hd")
        self.ten = self.speakers[self.speakers.speaker.isin(self.plan["strangers"])]
        self.means = summarise(self.ten, "input", over="speaker")
        self.costs = runs.groupby("input")[[*COSTS]].mean()
        self.small, self.full = self.plan["primary"]

    def difference(self, part):
        pair = (self.ten[self.ten.input == name] for name in self.plan["primary"])
        return difference(*pair, f"test_{part}_accuracy", over="speaker")

    def gaps(self):
        """Return what being new costs with each input, in points with its interval, as text."""
        gaps = {}
        for name, own in self.ten.groupby("input"):
            seen = own.assign(test_unseen_accuracy=own.test_seen_accuracy)
            gap = difference(seen, own, "test_unseen_accuracy", over="speaker")
            gaps[name] = f"{gap.mean:.0f} ± {gap.ci95:.0f}"
        return gaps

    def losses(self, pair):
        """Return what 183 x 333 loses against 700 x 1000 with each seed, in points."""
        by = 100 * self.ten.pivot_table("test_unseen_accuracy", ["speaker", "seed"], "input")
        return (by[pair[1]] - by[pair[0]]).dropna().unstack("seed")


@pytest.fixture(scope="module")
def final():
    return Final()


def test_the_table_of_inputs(final):
    found = table_rows("input (hd)")
    found = {name: cells for name, cells in found.items() if "notebook 7's" not in name}
    assert {final.small, final.full} <= found.keys() <= {*final.means.index}
    for name, cells in found.items():
        row, cost = final.means.loc[name], final.costs.loc[name]
        accuracies = [f"{percent(row, part)} %" for part in ("test_seen", "test_unseen")]
        accumulates = f"{cost.effective_acs / 1e6:.2f} million"
        assert cells == [*accuracies, f"{cost.parameters:,.0f}", accumulates], name


def test_the_answer_in_readme_and_notebook_6(final):
    unseen, seen = final.difference("unseen"), final.difference("seen")
    small, full = (final.means.loc[name] for name in final.plan["primary"])
    saved = 100 * (1 - final.costs.loc[final.small] / final.costs.loc[final.full])
    gaps = final.gaps()
    for sentence in (
        f"Downsizing costs a new speaker {-unseen.mean:.1f} ± {unseen.ci95:.1f} percent points: "
        f"{small.test_unseen:.1f} % of the words are classified correctly on 183 x 333 instead of "
        f"{full.test_unseen:.1f} % on 700 x 1000.",
        "There is a loss; whether it exceeds 3 points, a margin set after a first look at the test "
        "file, stays open, and speakers that were trained on lose "
        f"{-seen.mean:.1f} ± {seen.ci95:.1f} points.",
        f"Saved are {saved.parameters:.0f} % of the parameters and {saved.effective_acs:.0f} % of "
        "the accumulates",
        f"being new costs more: {gaps[final.full]} points on 700 x 1000, and "
        f"{gaps[final.small]} on 183 x 333.",
    ):
        assert sentence in README, sentence
        says("06_downsizing_study", sentence)
    assert -unseen.mean > unseen.ci95  # a loss is shown
    assert -unseen.mean - unseen.ci95 < final.plan["margin"] == 3 < -unseen.mean + unseen.ci95


def test_what_make_study_prints():
    """The default run is the first of the sweep `chosen`."""
    chosen = read_table("chosen_spoken")
    run, five = chosen.query("seed == 0").iloc[0], 100 * chosen.test_accuracy
    assert f"like another seed ({five.min():.1f} to {five.max():.1f} %)." in README
    parts = ("train", "validation", "test", "test_seen", "test_unseen")
    wanted = [f"{100 * run[f'{part}_accuracy']:.1f}%" for part in parts]
    printed = README[README.index("Accuracy on spoken, english, seed 0:") :].splitlines()[2]
    assert printed.split() == wanted


def test_speed():
    bench = pd.read_csv(ROOT / "results" / "bench.csv")
    claims = re.findall(r"^\| (\d+) \| 1/(\d+) \|$", DOCS["speed"], re.M)
    steps = bench[bench.variant == "fused"].groupby("benchmark").get_group("training step")
    ratios = steps.set_index("batch").ratio
    assert claims == [(str(batch), str(round(ratios[batch]))) for batch in (128, 32, 8)]
    larger = re.findall(r"^\| ([a-z ]+) \| 1/(\d+) \| 1/(\d+) \|$", DOCS["speed"], re.M)
    fused = bench[bench.variant == "fused"].set_index(["benchmark", "batch"]).ratio
    assert len(larger) == 4
    for name, *shares in larger:
        found = [str(round(fused[f"training step, {name}", batch])) for batch in (128, 32)]
        assert shares == found, name
    augmented = bench[bench.variant == "augmentation"].ratio.iloc[0]
    assert f"Augmentation takes {100 * augmented:.0f} % of an epoch" in DOCS["speed"]
    left_out = bench[bench.benchmark == "speakers left out"].iloc[0]
    assert left_out.batch == 12
    assert f"takes {left_out.median_s:.0f} seconds" in DOCS["speed"]
    assert f"time {100 * left_out.ratio:.0f} % isn't training" in DOCS["speed"]
    cochlea = bench[(bench.benchmark == "cochlea") & (bench.variant == "encode")]
    ratio = cochlea[cochlea.batch == 1].ratio.iloc[0]
    assert f"{ratio:.0f} times as fast as its reference" in DOCS["data"]


def test_how_long_all_sweeps_take():
    tables = [pd.read_csv(path) for path in RESULTS.glob("*.csv")]
    runs = pd.concat(table[["hash", "total_s"]] for table in tables if "hash" in table)
    seconds = runs.drop_duplicates("hash").total_s
    said = (ROOT / "sweeps" / "README.md").read_text(encoding="utf-8")
    assert f"take about {5 * round(seconds.sum() / 3600 / 5)} hours of one core." in said
    assert f"The longest run takes {seconds.max() / 60:.0f} minutes." in said


def test_what_a_run_costs_the_leader():
    bench = pd.read_csv(ROOT / "results" / "bench.csv").query("suite == 'coordinator'")
    cost, start = bench.set_index("variant").median_s, bench.median_s.iloc[-1]
    assert (bench.batch == 10_000).all()
    for sentence in (
        f"costs the leader {1e3 * cost['10 workers']:.1f} ms of processor time with 10 workers, "
        f"and {1e3 * cost['100 workers']:.1f} ms with 100.",
        f"A start that finds all of them done takes {start:.1f} s.",
    ):
        assert sentence in DOCS["clusters"]
    assert 0.03 / cost["100 workers"] > 10  # a factor of ten in hand


def sentences(text):
    """Return the sentences of a text in Markdown, without code; a table's cell is one, too."""
    text = re.sub(r"```.*?```|`[^`\n]*`|\]\([^)]*\)|<[^>]*>", " ", text, flags=re.S)
    return re.split(r"(?<=[.:;?!])\s|\n\s*\n|\n[*|#]|\|", text)


def numbers(sentence):
    """Return a sentence's numbers; a size, and a mean with its interval, are one each."""
    amount = r"\d+(?:[,.]\d+)*"
    return re.findall(rf"\b{amount}(?: x {amount}| ± {amount})*", sentence)


@pytest.mark.parametrize("name", ["README", *DOCS])
def test_no_sentence_has_more_than_four_numbers(name):
    for sentence in sentences({"README": README, **DOCS}[name]):
        assert len(numbers(sentence)) <= 4, sentence


def test_numbers_are_counted():
    assert numbers("3 of 183 x 333, 4.5 ± 2.1 points, n_1") == ["3", "183 x 333", "4.5 ± 2.1"]
    assert sentences("One. Two: 3.5 `4 5` [six](7.md)") == ["One.", "Two:", "3.5   [six "]


def test_readme_is_short():
    def words(text):
        return sum(bool(re.search(r"\w", word)) for word in text.split())

    assert words(README) <= 1200
    assert words(README[: README.index("## Notebooks")]) <= 700


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
    half = summarise(read_table("finalists_hd"), "finalist").validation_ci95.iloc[0]
    says(
        "05_recipe_sweeps",
        f"the chosen recipe leads by {first - second:.1f} points, each ± {half:.1f}.",
    )
    outside = {
        (name, of)
        for name, by_input in ranks.items()
        for of in by_input.index
        if abs(by_input[of]) > 0.5
    }
    assert outside == {
        ("lr", "700 x 1000"),
        ("slope", "183 x 333, threshold 1"),
        ("slope", "61 x 333"),
    }
    chosen = points.loc[[again[name].idxmax() for name in search.columns]]
    says(
        "05_recipe_sweeps",
        f"slopes from {chosen.slope.min():g} to {chosen.slope.max():g} and learning rates from "
        f"{chosen.lr.min():.4f} to {chosen.lr.max():g}.",
    )
    leads = [
        np.diff(again[name].sort_values())[-1] for name in search.columns if name != "183 x 333"
    ]
    says(
        "05_recipe_sweeps",
        f"At the other inputs the lead is {min(leads):.1f} to {max(leads):.1f} points",
    )


def test_rates_and_epochs_of_notebook_5():
    table = summarise(read_table("learning_rate_epochs_hd"), ["lr", "epochs"])
    share = table.validation.unstack("epochs")
    assert (share.idxmax() == 1e-3).all() and share[30][1e-3] < share[20][1e-3]
    others, half = share.drop(1e-3).stack(), table.validation_ci95.iloc[0]
    leads = share.loc[1e-3] - share.drop(1e-3).max()
    assert leads.max() < 2**0.5 * half
    for sentence in (
        f"20 epochs have {(share[20] - share[10])[1e-3]:.1f} points more than 10, and 30 bring no",
        f"stay between {others.min():.1f} and {others.max():.1f} % whatever the epochs.",
        f"± {half:.1f} for each mean, a difference of two is uncertain by {2**0.5 * half:.1f}:",
    ):
        says("05_recipe_sweeps", sentence)


def test_batches_of_notebook_5():
    table = summarise(read_table("batch_size_hd"), ["batch_size", "lr"])
    gain = table.validation.xs(2e-3, level="lr") - table.validation.xs(1e-3, level="lr")
    times = table.training_s.xs(1e-3, level="lr")
    runs, rates = read_table("batch_size_hd"), read_table("learning_rate_epochs_hd")
    assert {*runs.hash[runs.batch_size == 8]} == {*runs.hash} & {*rates.hash}
    half, wider = table.validation_ci95.iloc[0], summarise(rates).validation_ci95.iloc[0]
    assert 2**0.5 * half < -gain[8] < 2**0.5 * wider
    for sentence in (
        f"With 32 and 128 utterances 0.002 has the higher mean, by {gain[32]:.1f} and "
        f"{gain[128]:.1f} points (each mean ± {half:.1f}, pooled over this table). With 8 it is "
        f"0.001, by {-gain[8]:.1f}; these four runs stand in the table of rates above, too, where "
        f"each mean is ± {wider:.1f} and doesn't show it.",
        f"a run trains {times[8]:.0f} s with batches of 8, and {times[128]:.0f} s with",
    ):
        says("05_recipe_sweeps", sentence)


def test_surrogates_of_notebook_5():
    runs = read_table("surrogates_hd")
    table = summarise(runs, ["validated_on", "surrogate", "slope"])
    share = table.validation.unstack("slope")
    new, known = share.loc["speakers"], share.loc["utterances"]
    fast, lost = known.loc["fast_sigmoid", [0.5, 2.0, 8.0]], new[2.0] - new[8.0]
    gentle, uncertain = new[2.0] - new[0.5], 2**0.5 * table.validation_ci95.iloc[0]
    cost_there = known.loc["fast_sigmoid", 2.0] - fast[8.0]
    steep = runs.query("validated_on == 'speakers' and surrogate == 'fast_sigmoid' and slope == 8")
    low, high = 100 * steep.validation_accuracy.sort_values()
    assert lost["fast_sigmoid"] - cost_there < 2**0.5 * uncertain
    assert (new.idxmax(axis=1) == 2.0).all()
    assert (known[8.0].drop("sigmoid") > 92).all()
    for sentence in (
        f"the fast sigmoid gets from {fast.min():.1f} to {fast.max():.1f} % with slopes from 0.5",
        f"Only the sigmoid falls at slope 8, to {known.loc['sigmoid', 8.0]:.1f} %. At slope 25, "
        f"the original recipe's, the fast sigmoid gets {known.loc['fast_sigmoid', 25.0]:.1f} %, "
        f"the arctangent {known.loc['atan', 25.0]:.1f} % and the sigmoid "
        f"{known.loc['sigmoid', 25.0]:.1f} %.",
        f"At slope 25 the fast sigmoid gets {new.loc['fast_sigmoid', 25.0]:.1f} %.",
        f"With the fast sigmoid slope 8 costs {cost_there:.1f} points there and "
        f"{lost['fast_sigmoid']:.1f} here. That the two costs differ isn't shown: each is "
        f"uncertain by {uncertain:.1f}, and here the two seeds get {high:.1f} and {low:.1f} %.",
        f"highest mean at slope 2, with {new[2.0].min():.1f} to {new[2.0].max():.1f} %. Their lead "
        f"over slope 0.5 ({gentle.min():.1f} to {gentle.max():.1f} points) isn't shown; at slope 8 "
        f"they lose {lost.min():.1f} to {lost.max():.1f} points, where a difference is uncertain "
        f"by {uncertain:.1f}.",
        f"the three lie within {new[2.0].max() - new[2.0].min():.1f} points, each ± "
        f"{table.validation_ci95.iloc[0]:.1f}.",
    ):
        says("05_recipe_sweeps", sentence)


def test_the_original_recipe_of_notebook_5(final):
    runs = read_table("original_hd")
    means = summarise(runs, ["lr", "epochs"])
    low, high = 100 * runs.validation_accuracy.min(), 100 * runs.validation_accuracy.max()
    best, share = means.validation.idxmax(), means.validation
    after_30 = runs.validation_accuracy[runs.epochs == 30]
    assert len(after_30) == 8 and 100 * after_30.max() < 79
    original = speaker_accuracies("original_left_out_hd")
    original = original[original.speaker.isin(final.plan["strangers"])]
    tuned = final.ten[(final.ten.input == final.small) & final.ten.seed.isin(original.seed)]
    gain = difference(tuned, original, "test_unseen_accuracy", over="speaker")
    before = summarise(original, "input", over="speaker").test_unseen.iloc[0]
    loss, two = final.difference("unseen"), final.ten[final.ten.seed.isin(original.seed)]
    same = contrasts(two, [final.plan["primary"]], "test_unseen_accuracy").iloc[0]
    for sentence in (
        f"The best mean is {share.max():.1f} % (rate {best[0]:g}, {best[1]} epochs)",
        f"rate of 0.001 gives {share[0.001, 30]:.1f} % after 30 epochs",
        f"each ± {means.validation_ci95.iloc[0]:.1f}, pooled",
        f"between {low:.1f} and {high:.1f} %.",
        f"the best of eight runs has {100 * after_30.max():.1f} % after 30 epochs",
        f"A new speaker gets {before:.1f} % with the original recipe and "
        f"{final.means.test_unseen[final.small]:.1f} % with the tuned one.",
        f"the recipe brings {gain.mean:.1f} ± {gain.ci95:.1f} points; with these seeds downsizing "
        f"costs {-same['mean']:.1f} ± {same.ci95:.1f}. The intervals are over speakers and seeds,",
        f"brought more ({gain.mean:.1f} ± {gain.ci95:.1f} points) than downsizing costs "
        f"({-loss.mean:.1f} ± {loss.ci95:.1f}).",
        f"the tuned one brings a new speaker {gain.mean:.1f} ± {gain.ci95:.1f} points",
    ):
        says("05_recipe_sweeps", sentence)
    assert f"brings a new speaker {gain.mean:.1f} ± {gain.ci95:.1f} points over the" in README
    assert gain.mean - gain.ci95 > -loss.mean + loss.ci95
    longer = share.xs(100, level="epochs") - share.xs(30, level="epochs")
    says("05_recipe_sweeps", f"bring {longer.max():.1f} points at most over 30")
    assert high < 79


def test_the_speakers_of_notebook_6(final):
    table = final.speakers.groupby(["input", "speaker"]).test_unseen_accuracy.mean().unstack(0)
    small, full = (100 * table[name] for name in final.plan["primary"])
    loss, seen = final.difference("unseen"), final.difference("seen")
    by_seed = final.losses(final.plan["primary"])
    halves = np.ptp(ttest_1samp(by_seed, 0).confidence_interval(0.95), axis=0) / 2
    least, *_, most = sorted(zip(by_seed.mean(), halves, strict=True))
    for sentence in (
        f"the twelve get from {small.min():.0f} to {small.max():.0f} % on 183 x 333",
        "all twelve new speakers are understood better with the full input",
        f"the full input is better by {-loss.mean:.1f} ± {loss.ci95:.1f} points (p {loss.p:.4f})",
        f"the interval reaches from {-loss.mean - loss.ci95:.1f} to {-loss.mean + loss.ci95:.1f}",
        f"For seen speakers the difference is {seen.mean:+.1f} ± {seen.ci95:.1f}",
        f"lie {small.max() - small.min():.0f} points",
        f"single seeds give losses from {least[0]:.1f} ± {least[1]:.1f} to {most[0]:.1f} ± "
        f"{most[1]:.1f} points.",
    ):
        says("06_downsizing_study", sentence)
    assert (small < full).all() and len(small) == 12
    voices = pd.read_csv(RESULTS / "voices_hd.csv", index_col="speaker")
    quantities = ["pitch_hz", "duration_s", "spikes", "centre_unit"]
    away = (voices[quantities] - voices[quantities].median()).abs()
    tests = [spearmanr(of[name], small) for of in (voices, away) for name in quantities]
    assert holm([test.pvalue for test in tests]).min() > 0.05
    pitch, spikes = tests[4].statistic, tests[6].statistic
    says(
        "06_downsizing_study",
        f"of pitch ({pitch:+.2f}) and of the number of spikes ({spikes:+.2f})",
    )
    worst = small.idxmin()
    says("06_downsizing_study", f"The worst speaker, {worst}, has the highest pitch and the fewest")
    assert worst == voices.pitch_hz.idxmax() == voices.spikes.idxmin()


def points(row):
    return f"{row['mean']:+.1f} ± {row.ci95:.1f}"


def test_the_other_inputs_of_notebook_6(final):
    small, full = final.plan["primary"]
    one, fewer_steps, fewer_channels = "183 x 333, threshold 1", "183 x 100", "61 x 333"
    unseen = contrasts(final.ten, final.plan["secondary"], "test_unseen_accuracy")
    seen = contrasts(final.ten, final.plan["secondary"], "test_seen_accuracy")
    assert len(unseen) == 6 and (unseen.p_holm > 0.05).all()
    excluded = unseen.loc[fewer_steps, small].excluded_loss
    lost = seen.loc[fewer_channels, small]
    assert excluded < final.plan["margin"] and abs(lost["mean"]) < lost.ci95
    for sentence in (
        f"against the study's input 183 x 100 gets {points(unseen.loc[fewer_steps, small])} points",
        f"61 x 333 gets {points(unseen.loc[fewer_channels, small])}, for its two seeds differ. "
        f"With 183 x 100 a loss above {excluded:.1f} points is excluded (one-sided, 95 %, not "
        f"adjusted). Against 700 x 1000 they get {points(unseen.loc[fewer_steps, full])} and "
        f"{points(unseen.loc[fewer_channels, full])}.",
        f"lose {-lost['mean']:.1f} ± {lost.ci95:.1f} points with 61 channels",
        f"183 x 333 gets {points(unseen.loc[one, small])} points against the study's "
        f"input, {points(unseen.loc[one, full])} against the full",
        f"{final.costs.loc[one].effective_acs / 1e6:.2f} million accumulates where threshold 2 "
        f"takes {final.costs.loc[small].effective_acs / 1e6:.2f}.",
    ):
        says("06_downsizing_study", sentence)


def test_german_in_notebook_6_and_readme(final):
    """With as many seeds as the table has: the words for it depend on the interval over both."""
    pair, part = final.plan["replication"], "test_unseen_accuracy"
    seeds = final.ten.seed[final.ten.input == pair[0]].unique()
    both = final.ten[final.ten.seed.isin(seeds)]
    german, english = (
        contrasts(both, [each], part).iloc[0] for each in (pair, final.plan["primary"])
    )
    loss = f"{-german['mean']:.1f} ± {german.ci95:.1f} points"
    many = f"{ {2: 'two', 5: 'five'}[len(seeds)] } seeds"
    shown = "is" if german["mean"] + german.ci95 < 0 else "isn't"
    says(
        "06_downsizing_study",
        f"A new speaker loses {loss} (p {german.p:.2g}, {many}), where English loses "
        f"{-english['mean']:.1f} ± {english.ci95:.1f} with the same seeds. So in German the loss "
        f"{shown} shown.",
    )
    assert f"In German the loss {shown} shown: {loss} ({many})." in README
    assert "found again" not in README


def test_the_price_of_being_new_in_notebook_6(final):
    loss, gaps = final.difference("unseen"), final.gaps()
    for sentence in (
        f"costs a new speaker {-loss.mean:.1f} ± {loss.ci95:.1f} points; being new costs "
        f"{gaps[final.full]} on 700 x 1000, and {gaps[final.small]} on 183 x 333.",
    ):
        says("06_downsizing_study", sentence)
    by_speaker = final.ten.groupby(["input", "speaker"]).test_unseen_accuracy.mean().unstack(0)
    small, full = (100 * by_speaker[name] for name in (final.small, final.full))
    says(
        "06_downsizing_study",
        f"speakers spread by {small.std():.0f} points, the differences between the two inputs by "
        f"{(small - full).std():.1f} (both standard deviations)",
    )
    seen = 100 * final.speakers.groupby(["input", "speaker"]).test_seen_accuracy.mean()[final.small]
    says("06_downsizing_study", f"as seen ones from {seen.min():.0f} to {seen.max():.0f} %.")


def test_the_costs_of_notebook_6(final):
    small, full = (final.costs.loc[name] for name in final.plan["primary"])
    fewer_steps, fewer_channels = (final.costs.loc[name] for name in ("183 x 100", "61 x 333"))
    pair = ["183 x 100", final.full]
    gain = contrasts(final.ten, [pair], "test_unseen_accuracy").iloc[0]
    with_two = [small.effective_acs, fewer_steps.effective_acs, fewer_channels.effective_acs]
    assert max(with_two) < 0.55e6 and min(with_two) > 0.4e6
    assert full.effective_acs == pytest.approx(4 * small.effective_acs, rel=0.05)
    updates = 100 * fewer_steps.neuron_updates / small.neuron_updates
    spikes = fewer_channels.hidden_spikes / small.hidden_spikes
    for sentence in (
        f"at 183 x 100 {fewer_steps.neuron_updates / 1e3:.0f} thousand times",
        f"with {updates:.0f} % of the neuron updates",
        f"needs {100 * fewer_channels.parameters / small.parameters:.0f} % of the parameters",
        f"makes {spikes:.1f} times as many hidden spikes",
        f"{100 * (fewer_steps.effective_acs / small.effective_acs - 1):.0f} % more accumulates",
        f"and {183 * 3 * (10 - 3) / 8:.0f} bytes more for pooling.",  # a bit for each entry
        f"a beta of {0.8955 ** (10 / 3):.3f} a step is no shift",
        f"brings {-gain['mean']:.1f} ± {gain.ci95:.1f} points over 183 x 100 (not shown), "
        "for "
        f"{full.effective_acs / fewer_steps.effective_acs:.1f} times the accumulates, "
        f"{full.neuron_updates / fewer_steps.neuron_updates:.0f} times the neuron updates and "
        f"{full.parameters / fewer_steps.parameters:.1f} times the parameters.",
        f"a word makes {small.hidden_spikes:.0f} hidden spikes, and {small.late_spikes:.0f} spikes",
        f"updated {small.neuron_updates / 1e3:.0f} thousand times a word, a third of what",
    ):
        says("06_downsizing_study", sentence)
    assert full.neuron_updates == pytest.approx(3 * small.neuron_updates, rel=0.01)
    assert -gain["mean"] < gain.ci95
