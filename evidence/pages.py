"""Write each page with numbers anew: it is its template, filled from the committed tables.

The templates are in ``docs/templates/pages``, each at the path of its page. What stands there in
``{{ }}`` is an expression of Jinja. It calls the functions of this module, most of which return a
number as the page prints it, or a table in Markdown. ``python -m evidence.pages`` writes all pages.
"""

import argparse
import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from scipy import stats

from evidence import circuit_numbers
from evidence.estimates import contrast
from evidence.tables import by_person, variance_over_seeds
from evidence.tables import people as people_plan
from shd_corpus.files import atomic
from shd_corpus.shd_file import read_shd
from shd_helpers.command import run
from shd_helpers.data import obtain
from shd_helpers.paths import OF_A_RUN, ROOT, results_dir
from shd_helpers.study import load_pretrained, speaker_accuracies
from shd_helpers.study.parameters import notebook_parameters
from shd_helpers.study.recipe import DEFAULTS, Recipe
from shd_helpers.study.tables import plan_of, read_table
from shd_judge import contrasts, interval, weighted_contrasts
from shd_judge.statistics import SHOWN, UNDECIDED, crossed, holm_factors, unit_and_seed

TEMPLATES = ROOT / "docs" / "templates" / "pages"
PAGES = sorted(str(path.relative_to(TEMPLATES)) for path in TEMPLATES.rglob("*.md"))
UNSEEN = "test_unseen_accuracy"
FULL = "700 x 1000"
SMALL = "183 x 333"
N_VOICES = 12  # that spoke each word of non_digits.csv; there are more recordings of other sounds
PLANNED_SEEDS = (0, 1)  # of German, to which others were added
LIBRARIES = {  # their variants in bench.csv
    "ours": "compiled",
    "snnTorch": "snntorch loop",
    "snnTorch, products outside the loop": "snntorch loop, products hoisted",
    "SpikingJelly": "SpikingJelly, multi-step",
    "Norse": "Norse",
    "JAX": "JAX scan, jit",
}
ENCODERS = {  # data sets of the plan `encoder`: filters and times
    "cochlea_random": ("model cochlea", "random"),
    "cochlea_fires": ("model cochlea", "neurons that fire"),
    "filters_random": ("filter bank", "random"),
    "filters_fire": ("filter bank", "neurons that fire"),
}
# Rows of the table of results: question and cell of people_cells.csv, and the network's name.
ROWS = (
    ("cost", "700 x 1000", "256 LIF"),
    ("cost", "183 x 333", "256 LIF"),
    ("cost", "183 x 333, threshold 2", "256 LIF"),
    ("cost", "183 x 333, thinned", "256 LIF"),
    ("size", "77 x 333", "256 LIF"),
    ("size", "30 x 333", "256 LIF"),
    ("raise", "shared weights", "shared weights"),
    ("small", "small, 183 x 333", "*small*"),
    ("small", "small, 77 x 333", "*small*"),
)


@cache
def read(name: str) -> pd.DataFrame:
    """Return a table of ``results/``."""
    return pd.read_csv(results_dir() / f"{name}.csv")


def one(name: str, **where: object) -> dict[Hashable, Any]:
    """Return the only row of a table that has these values."""
    found = read(name)
    for column, value in where.items():
        found = found[found[column] == value]
    (only,) = found.to_dict("records")
    return only


def check(is_true: bool) -> str:
    """Return nothing where a template's words are true, such as *a quarter*."""
    assert is_true
    return ""


def text(value: float, spec: str) -> str:
    """Return a number as Python formats it."""
    return format(value, spec)


def percent(fraction: float, digits: int = 1) -> str:
    """Return a fraction in percent, without the sign."""
    return f"{100 * fraction:.{digits}f}"


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def million(value: float) -> str:
    """Return a number of accumulates in millions; a network without spikes has none."""
    return "none" if math.isnan(value) else f"{value / 1e6:.2f}"


def with_interval(mean: float, half: float) -> str:
    """Return an accuracy in percent with its interval, if it has one."""
    return f"{mean:.1f}" if math.isnan(half) else f"{mean:.1f} ± {half:.1f}"


def over(values: pd.Series) -> str:
    """Return the mean of fractions in percent, with its interval over the rows."""
    mean, half = interval(100 * values.to_frame().to_numpy())
    return with_interval(float(mean), float(half))


def over_runs(runs: pd.DataFrame, column: str, unit: str = "seed") -> str:
    """Return the mean of an accuracy in percent, with its interval over units and seeds."""
    values = 100 * runs.groupby(unit_and_seed(unit))[column].mean()
    mean, half = interval(crossed(values, unit))
    return with_interval(float(mean), float(half))


def points(row: pd.Series) -> str:
    """Return a difference with its adjusted interval."""
    return f"{row['mean']:+.1f} ± {row.ci_holm:.1f}"


# --- 1,435 people ----------------------------------------------------------------------------


def results() -> str:
    """List the main networks and inputs, tested on 1,435 people, as far as they are trained."""
    cells = read("people_cells").set_index(["question", "cell"])
    changes = read("people_contrasts").set_index(["first", "second"])
    present = [row for row in ROWS if row[:2] in cells.index]
    numbers = {cell: str(n) for n, (_, cell, _) in enumerate(present, 1)}
    rows = []
    for question, cell, network in present:
        found = cells.loc[question, cell]
        settings = people_plan()["questions"][question].get(cell, {"input": SMALL})
        shape, _, _ = settings["input"].partition(", ")
        threshold = str(people_plan()["inputs"][settings["input"]]["pool_threshold"])
        verdicts = [
            f"{change.difference:+.1f} ± {change.ci95_adjusted:.1f} against {numbers[second]}, "
            f"*{change.verdict}*"
            for (first, second), change in changes.iterrows()
            if first == cell and second in numbers
        ]
        rows.append(
            (
                numbers[cell],
                network,
                shape,
                "1, thinned" if "thinned_to" in settings else threshold,
                f"{found.input_events:,.0f}",
                million(found.effective_acs),
                f"{found.parameters:,.0f}",
                with_interval(100 * found.accuracy, 100 * found.ci95),
                verdicts[0] if verdicts else "-",
            )
        )
    heading = "row,network,input,threshold,events,accumulates (million),parameters,accuracy (%)"
    return table([*heading.split(","), "difference, verdict"], rows)


def small_networks() -> str:
    """List how many parameters *small* has, by the channels of its input and by its classes."""
    of_input = read("people_cells").query("question == 'small'").groupby("parameters").cell.first()
    channels = of_input.str.extract(r"(\d+) x", expand=False)
    rows = [(n_channels, "10", parameters) for parameters, n_channels in channels.items()]
    on_hd = read_table("reference_hd").query("model == 'small, 700 x 1000'")
    rows.append(("700, in windows of 96 (`hd`)", "10", on_hd.parameters.iloc[0]))
    rows.append((SMALL.split()[0], "20", read_table("selection_small_hd").parameters.iloc[0]))
    rows.append((SMALL.split()[0], "21 (pretrained)", card_costs("small")["parameters"]))
    return table(("channels", "classes", "parameters"), [(*row, f"{n:,.0f}") for *row, n in rows])


def largest_tie() -> str:
    """Return by how many percentage points drawing lots among ties changes rows 1 and 3 at most."""
    rows = [cell("cost", name) for name in (FULL, "183 x 333, threshold 2")]
    return f"{max(100 * abs(row['accuracy_fair_ties'] - row['accuracy']) for row in rows):.1f}"


def recipes() -> str:
    """List the recipes of the original network that were selected, by people and by speakers."""
    accuracies = read("people_recipes")
    best = accuracies.loc[accuracies.groupby("input", sort=False).accuracy.idxmax()]
    original = accuracies[accuracies.recipe == "original"].set_index("input").accuracy
    rows = []
    for row in best.itertuples():
        recipe = people_plan()["recipes"][row.recipe]
        values = [f"{value:g}" for value in recipe.values()]
        shares = [f"{100 * share:.1f} %" for share in (row.accuracy, original[row.input])]
        rows.append([row.input, row.recipe, *values, *shares])
    names = [f"`{name}`" for name in people_plan()["recipes"]["original"]]
    return table(["input", "recipe", *names, "accuracy", "with the original recipe"], rows)


def cell(question: str, name: str) -> dict[Hashable, Any]:
    """Return a row of people_cells.csv."""
    return one("people_cells", question=question, cell=name)


def accuracy(question: str, name: str) -> str:
    """Return an accuracy with its interval."""
    found = cell(question, name)
    return f"{with_interval(100 * found['accuracy'], 100 * found['ci95'])} %"


def _contrast(first: str, second: str, family: str) -> dict[Hashable, Any]:
    """Return a row of people_contrasts.csv; only a pair of several families needs its family."""
    where = {"first": first, "second": second} | ({"family": family} if family else {})
    return one("people_contrasts", **where)


def change(first: str, second: str, sign: str = "", family: str = "") -> str:
    """Return a difference with its adjusted interval, which its verdict belongs to.

    `sign` is "+" to print the sign, or "loss" if the text says that something is lost.
    """
    found = _contrast(first, second, family)
    difference = -found["difference"] if sign == "loss" else found["difference"]
    assert sign == "+" or difference > 0
    return f"{difference:{sign.removeprefix('loss')}.1f} ± {found['ci95_adjusted']:.1f}"


def verdict(*pairs: tuple[str, str], family: str = "") -> str:
    """Return the verdict that all these differences have."""
    (common,) = {_contrast(*pair, family)["verdict"] for pair in pairs}
    return common


def excluded(first: str, second: str, family: str = "") -> str:
    """Return the loss above which all is excluded."""
    return f"{_contrast(first, second, family)['excluded_loss']:.1f}"


def as_planned() -> pd.DataFrame:
    """Return the contrasts of `raise`, with the intervals and verdicts that the plan gives them.

    As planned, the variance over seeds is that of all cells.
    """
    pairs = [tuple(pair) for pair in people_plan()["contrasts"]["raise"]]
    cells = {name: by_person("raise", name) for pair in pairs for name in pair}
    planned = [contrast(cells[a], cells[b], variance_over_seeds()) for a, b in pairs]
    factors = holm_factors([each.p for each in planned])
    found = read("people_contrasts").set_index(["first", "second"]).loc[pairs]
    halves = [100 * each.half(0.05 / by) for each, by in zip(planned, factors, strict=True)]
    was = np.where(found.difference.abs() > halves, SHOWN, UNDECIDED)
    return found.assign(planned=halves, was=was)


def original_recipe(name: str) -> str:
    """Return the accuracy of the original recipe with an input, in percent, over all its networks.

    All folds have nearly as many people, so this is the mean over people.
    """
    networks = read("recipes_networks")
    its = networks[(networks.question == "original") & (networks.input == name)]
    assert len(its) == 15
    return f"{100 * its.accuracy_after_last.mean():.1f}"


def encoders() -> str:
    """List the accuracies of both networks with each encoder.

    All folds have nearly as many people, so a mean over folds is the mean over people.
    """
    networks = read("encoder_networks")
    rows = []
    for data, (filters, times) in ENCODERS.items():
        its = networks[networks.data == data]
        of = its.groupby("recipe").accuracy_after_last.mean()
        cells = (f"{its.input_events.mean():,.0f}", percent(of.p05), percent(of.small))
        rows.append((filters, times, *cells))
    return table(("filters", "times", "events", "256 LIF", "*small*"), rows)


def encoder_of_small() -> str:
    """Return the accuracy of *small* with the filter bank, in whole percent."""
    networks = read("encoder_networks").query("recipe == 'small' and data == 'filters_fire'")
    return percent(networks.accuracy_after_last.mean(), 0)


def of_encoder(difference: str, family: str = "times and filters") -> str:
    """Return a difference between encoders with its interval and its verdict."""
    found = one("encoder_contrasts", family=family, difference_of=difference, of="mean")
    sign = "+" if found["difference"] > 0 and family != "primary" else ""
    value = with_interval(found["difference"], found["ci95_adjusted"])
    points = " percentage points" if family == "primary" else ""
    return f"{sign}{value}{points} (*{found['verdict']}*)"


def how_small() -> str:
    """List what networks of 16 neurons cost and reach with fewer channels and longer steps."""
    rows: list[tuple] = []
    for row in read("how_small").query("neurons == 16").itertuples():
        costs = [f"{each:,.0f}" for each in (row.events, row.parameters, row.accumulates)]
        accuracy = with_interval(100 * row.accuracy, 100 * row.ci95)
        lost = [lost_by(row, which) for which in ("adjusted", "with_seeds")] if rows else ["", ""]
        kilobytes = f"{row.memory_bytes / 1000:.1f}"
        rows.append((input_of(row), *costs, kilobytes, accuracy, *lost))
    names = "input,events,parameters,accumulates,kB,accuracy,lost,lost (with seeds)".split(",")
    return table(names, rows)


def input_of(row: Any) -> str:
    """Return the size of an input of the filter bank."""
    return f"{row.channels} x {1000 // row.step_ms}"


def lost_by(row: Any, which: str) -> str:
    """Return what a smaller input loses, in percentage points, with one of its intervals."""
    return with_interval(100 * row.lost, 100 * getattr(row, f"lost_ci95_{which}"))


def smallest() -> Any:
    """Return the row of the input with the fewest events that surely loses less than a point."""
    rows = read("how_small").query("neurons == 16 and lost + lost_ci95_adjusted < 0.01")
    return rows.loc[rows.query("channels != 77").events.idxmin()]


def lost_with_seeds() -> Any:
    """Return the only row of 16 neurons whose loss is shown if seeds vary, too."""
    rows = read("how_small").query("neurons == 16 and abs(lost) > lost_ci95_with_seeds")
    assert len(rows) == 1
    assert rows.lost.item() > 0
    return rows.iloc[0]


def spikes_cost() -> str:
    """List networks with and without spikes on the same filters."""
    rows: list[tuple] = []
    for row in read("spikes_cost").itertuples():
        accuracy = with_interval(100 * row.accuracy, 100 * row.ci95)
        more = with_interval(100 * row.more, 100 * row.more_ci95) if rows else ""
        costs = [f"{each:,.0f}" for each in (row.parameters, row.operations)]
        rows.append((row.network, *costs, accuracy, more))
    return table(["network", "parameters", "operations", "accuracy", "more"], rows)


def how_robust() -> str:
    """List the accuracies of four networks in each condition."""
    found = read("how_robust")
    by_condition = found.pivot_table("accuracy", "condition", "network", sort=False)
    names = list(by_condition.columns)
    rows = [
        (condition, *(percent(accuracy, 0) for accuracy in accuracies))
        for condition, *accuracies in by_condition.itertuples()
    ]
    return table(["condition", *(f"*{name}*" for name in names)], rows)


def lost_in(condition: str) -> str:
    """Return what *listener* loses in a condition, with interval and verdict."""
    row = one("how_robust", network="listener", condition=condition)
    lost = row["lost"]
    half = row["lost_ci95"]
    verdict = "shown" if abs(lost) > half else "undecided"
    return f"{with_interval(100 * lost, 100 * half)} (*{verdict}*)"


def accepted_kinds() -> str:
    """List how many recordings without a digit the networks that listen accept."""
    kinds = ("new kind", "kind that trained", "word", "near-word")
    sums = read("listeners_non_digits").groupby(["network", "kind"])[["accepted", "recordings"]]
    counts = sums.sum()
    rows = []
    for name in ("listener", "small_listener"):
        of = [counts.loc[(name, kind)] for kind in kinds]
        rows.append((f"*{name}*", *(f"{its.accepted:,} of {its.recordings:,}" for its in of)))
    return table(("network", "sounds of new kinds", "of known kinds", "words", "near-words"), rows)


def lower_with_refused() -> str:
    """Say how much lower accuracies are if refused recordings count as errors."""
    costs = read("people_cells").query("question == 'cost'")
    lower = 100 * (costs.accuracy - costs.accuracy_refused_wrong)
    return f"{lower.min():.1f} to {lower.max():.1f}"


def final_test(name: str) -> str:
    """Return the accuracies of the three networks of the final test."""
    found = 100 * read("people_final").query("cell == @name").accuracy
    assert len(found) == 3
    return f"{found.min():.0f} to {found.max():.0f}"


# --- The twelve speakers of hd ---------------------------------------------------------------


def _of_ten(name: str, axis: str = "input") -> pd.DataFrame:
    """Return the accuracies for the ten speakers on whom no recipe of `final` was selected."""
    speakers = plan_of("final")["unseen_speakers"]
    rows = speaker_accuracies(name, axis)
    return rows[rows.speaker.isin(speakers)]


def _of_six() -> pd.DataFrame:
    """Return the accuracies of *small*, *reference* and the study's network for six speakers."""
    study = speaker_accuracies("final_hd")
    study = study[study.input == SMALL].assign(input="study")
    rows = pd.concat([study, speaker_accuracies("reference_hd", "model")])
    seeds = set.intersection(*(set(its) for _, its in rows.groupby("input").seed))
    return rows[rows.speaker.isin(plan_of("reference")["unseen_speakers"]) & rows.seed.isin(seeds)]


def hd_networks() -> str:
    """List how accurate networks are for speakers of `hd`, seen and unseen ones."""
    rows = []
    for accuracies, name, axis in (
        (_of_ten("final_hd"), "final_hd", "input"),
        (_of_six(), "reference_hd", "model"),
    ):
        runs = read_table(name)
        if axis == "model":
            final = read_table("final_hd")
            runs = pd.concat([runs, final[final.input == SMALL].assign(model="study")])
        costs = runs.groupby(axis)[["pool_threshold", "input_events", "effective_acs"]].mean()
        n_parameters = runs.groupby(axis).parameters.mean()
        worst = accuracies.groupby(["input", "speaker"])[UNSEEN].mean().unstack("speaker")
        for its, group in accuracies.groupby("input", sort=False):
            cost = costs.loc[its]
            rows.append(
                (
                    its,
                    f"{cost.pool_threshold:.0f}",
                    f"{cost.input_events:,.0f}",
                    million(cost.effective_acs),
                    f"{n_parameters[its]:,.0f}",
                    f"{group.speaker.nunique()} x {group.seed.nunique()}",
                    over_runs(group, "test_seen_accuracy", "speaker"),
                    over_runs(group, UNSEEN, "speaker"),
                    f"{100 * worst.loc[its].min():.0f} (speaker {worst.loc[its].idxmin()})",
                )
            )
    heading = "input or network,threshold,events,accumulates (million),parameters,speakers x seeds,"
    return table((heading + "seen (%),unseen (%),worst (%)").split(","), rows)


def primary_of_hd() -> str:
    """Say what downsizing costs ten of the twelve speakers."""
    found = contrasts(_of_ten("final_hd"), [plan_of("final")["primary"]], UNSEEN).iloc[0]
    assert found["mean"] < 0
    return f"{-found['mean']:.1f} ± {found.ci_holm:.1f} percentage points (*{found.verdict}*)"


def hd_comparisons() -> str:
    """List what the plans of the sweeps compare on `hd`, with adjusted intervals."""
    final = plan_of("final")
    ten = _of_ten("final_hd")
    six = _of_six()
    reference = plan_of("reference")
    causes = read_table("causes_hd").rename(columns={"held_out": "speaker"})
    bits = _of_ten("circuit_bits_hd", "model")
    nested = read("nested_contrasts").set_index(["input", "against"])
    first_seeds = ten[ten.seed.isin(PLANNED_SEEDS)]
    families = {
        "final": contrasts(ten, [final["primary"]], UNSEEN),
        "final, others": contrasts(ten, final["secondary"], UNSEEN),
        "final, replication": contrasts(first_seeds, [final["replication"]], UNSEEN),
        "the same, five seeds": contrasts(ten, [final["replication"]], UNSEEN),
        "causes": weighted_contrasts(causes, plan_of("causes")["contrasts"], UNSEEN),
        "reference": contrasts(six, reference["primary"], UNSEEN),
        "reference, others": contrasts(six, reference["secondary"], UNSEEN),
        "circuit_bits": contrasts(bits, [plan_of("circuit_bits")["primary"]], UNSEEN),
        "screening": nested,
    }
    rows = []
    for family, found in families.items():
        for names, row in found.iterrows():
            what = names if isinstance(names, str) else " against ".join(names)
            rows.append([family, what, points(row), f"{row.p_holm:.3f}", f"*{row.verdict}*"])
    return table(("plan", "comparison", "difference", "adjusted p", "verdict"), rows)


def selection() -> str:
    """List the entries of the selection on ten folds, from the best to the worst."""
    entries = read("selection").groupby("entry", sort=False)
    means = entries[["parameters", "accuracy"]].mean().sort_values("accuracy", ascending=False)
    rows = []
    for entry, row in means.iterrows():
        total = _entry_cost(entry)
        accuracy = f"{100 * row.accuracy:.1f} %"
        rows.append([entry, f"{row.parameters:,.0f}", f"{million(total)} million", accuracy])
    return table(("entry", "parameters", "accumulates", "mean accuracy over ten speakers"), rows)


def selected(what: str) -> str:
    """Return what the rule selected on all ten folds."""
    found = read("selected")
    return found[found.speaker.isna() & (found.what == what)].selected.item()


def selected_otherwise() -> str:
    """Return the two speakers for whom the other nine folds don't select the winner."""
    found = read("selected").dropna(subset="speaker")
    others = found[found.selected != selected("winner")].speaker.astype(int)
    return " and ".join(map(str, others))


def _entry_cost(entry: str) -> float:
    """Return the accumulates of all networks of an entry, for an utterance."""
    names = ("selection", "selection_today", "selection_small")
    cost = pd.concat(read_table(f"{name}_hd") for name in names)
    cost = cost.groupby("candidate").effective_acs.mean()
    members = plan_of("selection")["ensembles"].get(entry, {entry: [0]})
    return sum(len(seeds) * cost[name] for name, seeds in members.items())


def baselines() -> str:
    """List the accuracies of our networks on the ten folds, with 20 classes."""
    entries = read("selection")
    by_entry = {entry: rows.set_index("speaker") for entry, rows in entries.groupby("entry")}
    labels = {
        "small": "small",
        "reference": "reference",
        "one adaptive network": "adaptive, augmented recordings",
        "three adaptive networks as an ensemble": selected("winner"),
    }
    found = {label: (by_entry[entry], [entry], "") for label, entry in labels.items()}
    chosen = read("selected").dropna(subset="speaker").set_index("speaker").selected
    nested = pd.DataFrame([by_entry[entry].loc[speaker] for speaker, entry in chosen.items()])
    found["what the other nine folds select (nested)"] = (nested, [*chosen], "at most ")
    rows = []
    for label, (accuracies, names, most) in found.items():
        parameters = max(by_entry[name].parameters.iloc[0] for name in names)
        worst = accuracies.accuracy.idxmin()
        rows.append(
            (
                label,
                f"{most}{parameters:,}",
                f"{most}{million(max(map(_entry_cost, names)))} million",
                f"{over(accuracies.accuracy)} %",
                f"{percent(accuracies.english.mean())} %",
                f"{percent(accuracies.german.mean())} %",
                f"{percent(accuracies.accuracy[worst], 0)} % (speaker {worst:.0f})",
            )
        )
    heading = ("network", "parameters", "accumulates", "accuracy, 20 classes", "English", "German")
    return table((*heading, "worst speaker"), rows)


# --- Other tests ------------------------------------------------------------------------------


def official_split() -> str:
    """List our networks on SHD's official split, with 20 classes."""
    runs_by_model = read_table("benchmark_hd").groupby("model")
    speakers = read("benchmark_speakers")
    speakers = speakers.set_index(["model", "language", "average"])
    rows = []
    for name in ("study", "small", "reference"):
        its = runs_by_model.get_group(name)
        found = speakers.loc[name]
        cells = [over_runs(its, "test_accuracy")]
        cells.extend(
            with_interval(*found.loc[key, ["accuracy", "ci95"]])
            for key in (("english", "all utterances"), ("german", "all utterances"))
        )
        cells.append(with_interval(*found.loc[("both", "twelve speakers"), ["accuracy", "ci95"]]))
        costs = its[["parameters", "effective_acs"]].mean()
        rows.append([name, f"{costs.parameters:,.0f}", million(costs.effective_acs), *cells])
    official = read("official")
    official = official.set_index(["what", "language", "speakers"])[["accuracy", "ci95"]]
    one = read_table("judged_official_hd")
    for what, name, n_networks in (
        ("best single network", "one adaptive network", 1),
        ("winner", "three adaptive networks as an ensemble", 3),
        ("its seeds as an ensemble", "five networks", 5),
    ):
        costs = n_networks * one[["parameters", "effective_acs"]].mean()
        keys = [("both", "all"), ("english", "all"), ("german", "all"), ("both", "mean of twelve")]
        cells = [with_interval(*official.loc[(what, *key)]) for key in keys]
        rows.append([name, f"{costs.parameters:,.0f}", million(costs.effective_acs), *cells])
    heading = "network,parameters,accumulates (million),all utterances,English,German"
    return table([*heading.split(","), "twelve speakers"], rows)


def published() -> str:
    """List published results by what they were selected on."""
    epochs = read("se_adlif").epochs.max()
    here = f"nothing (*partial*: by us for {epochs} of 300 epochs, tested on held-out speakers)"
    names = {
        "held-out speakers": "speakers held out from training",
        "random utterances held out": "utterances held out from training",
        "held out from training": "held out from training, not known how",
        "test file": "the test file",
        "": "not known",
        "nothing": here,
    }
    papers = read("published").fillna({"selected_on": ""})
    assert {*papers.selected_on} == {*names}
    rows = []
    for selected_on, name in names.items():
        group = papers[papers.selected_on == selected_on]
        second_hand = group.verified.isin(["second source", "not verified"]).sum()
        accuracies = sorted({f"{accuracy:.1f}" for accuracy in group.accuracy.agg(["min", "max"])})
        rows.append((name, f"{len(group)}", f"{' to '.join(accuracies)} %", f"{second_hand}"))
    return table(("selected on", "networks", "accuracy", "second-hand"), rows)


def official_spikes() -> str:
    """List three recipes on the official test utterances at 10 ms, and on those of `hd`."""
    costs = read_table("ten_ms_hd_10ms").groupby("model")[["input_events", "effective_acs"]].mean()
    tested = read("ten_ms").set_index(["model", "test"])
    rows = []
    for name in ("study", "small", "reference"):
        cells = [f"{costs.input_events[name]:,.0f}", million(costs.effective_acs[name])]
        official = tested.loc[(name, "official")]
        cells.extend(
            over(values)
            for values in (
                official.accuracy,
                official.english,
                official.german,
                tested.loc[(name, "hd")].accuracy,
            )
        )
        rows.append([name, *cells])
    heading = "network,events,accumulates (million),official utterances,English,German"
    return table([*heading.split(","), "those of `hd`"], rows)


# --- The original study ----------------------------------------------------------------------


def spikes_of_digits() -> tuple[int, float, float]:
    """Return the training utterances of `digits`, and the shares of early spikes and low units."""
    spikes = read_shd(obtain("digits")[0])
    return len(spikes), float((spikes.times < 0.6).mean()), float((spikes.units < 200).mean())


def original_for_speakers() -> list[str]:
    """Return the original recipe's accuracies for seen and unseen speakers, and the difference."""
    found = speaker_accuracies("original_leave_one_speaker_out_hd")
    found["lost"] = found.test_seen_accuracy - found[UNSEEN]
    by_speaker = found.pivot(index="speaker", columns="seed")
    return [
        "{:.0f} ± {:.0f}".format(*interval(100 * by_speaker[name].to_numpy()))
        for name in ("test_seen_accuracy", UNSEEN, "lost")
    ]


def by_surrogate() -> tuple[pd.DataFrame, float]:
    """Return accuracies by slope and surrogate, and half their interval over two seeds.

    The variance over seeds is that of all of them.
    """
    runs = read("surrogates_hd").query("validated_on == 'utterances'")
    by_seed = 100 * runs.pivot(
        index=["slope", "surrogate"], columns="seed", values="validation_accuracy"
    )
    error = np.sqrt(by_seed.var(axis=1).mean() / 2)
    return by_seed.mean(axis=1).unstack(), stats.t.isf(0.025, len(by_seed)) * error


def first_weights() -> tuple[float, float, float]:
    """Return the deviation of first-layer weights before and after training, and how many are near.

    It is a mean over five networks: near are the weights within one deviation of 0.
    """
    networks = [load_pretrained(f"study_{seed}").network for seed in range(5)]
    weights = np.stack([each.get_parameter("fc1.weight").detach() for each in networks])
    deviations = weights.std(axis=(1, 2), keepdims=True)
    of_xavier = math.sqrt(2 / sum(weights.shape[1:]))
    return of_xavier, float(deviations.mean()), float((abs(weights) < deviations).mean())


# --- The networks that are used --------------------------------------------------------------


def accepted_answers() -> str:
    """List how many utterances two networks and a circuit answer, and how many rightly."""
    rows = []
    for row in read("everybody_judged").itertuples():
        people = f"{row.people} people of `commands`"
        if row.tested_on != "commands":
            people = f"{row.people} speakers of `hd`, each held out"
        accuracy = with_interval(100 * row.accuracy, 100 * row.ci95)
        right = with_interval(100 * row.right_of_accepted, 100 * row.right_of_accepted_ci95)
        rows.append([f"*{row.network}*", people, accuracy, percent(row.accepted), right])
    people = read("circuit_people")
    counts = people[["accepted", "accepted_right"]].mul(people.utterances, axis=0)
    accepted_ = percent(counts.accepted.sum() / people.utterances.sum())
    right = with_interval(*share_of(counts.accepted_right, counts.accepted))
    cells = [f"{len(people)} people of `commands`", over(people.accuracy), accepted_, right]
    rows.append(["circuit", *cells])
    return table("network,people,accuracy,accepted,of these right".split(","), rows)


def share_of(parts: pd.Series, wholes: pd.Series) -> tuple[float, float]:
    """Return a share over the counts of people in percent, and half its interval.

    People have different numbers of answers, so the interval is that of a ratio of two means, by
    its linear approximation.
    """
    share = parts.sum() / wholes.sum()
    residuals = (parts - share * wholes) / wholes.mean()
    return 100 * share, 100 * float(interval(residuals.to_frame().to_numpy())[1])


def accepted_sounds() -> str:
    """List how many recordings without a digit two networks and a circuit accept."""
    found = read("non_digits")
    is_word = found.recordings == N_VOICES
    found = found.assign(kind=np.where(is_word, "words", "other sounds"))
    sums = found.groupby(["network", "kind"])[["accepted", "recordings"]].sum()
    rows = []
    for name in ("everybody", "small", "circuit"):
        kinds = [sums.loc[(name, kind)] for kind in ("words", "other sounds")]
        counts = [f"{kind.accepted:,} of {kind.recordings:,}" for kind in kinds]
        rows.append([name if name == "circuit" else f"*{name}*", *counts])
    return table(["network", "words", "other sounds"], rows)


def rounding() -> str:
    """Say how rounding changes the accuracy of *small* for unseen people."""
    people = read("circuit_people")
    losses = 100 * (people.float_accuracy - people.accuracy).to_frame().to_numpy()
    loss, half = interval(losses)
    assert half > abs(loss)
    bound = loss + interval(losses, 0.1)[1]
    return (
        f"{-loss:+.1f} ± {half:.1f} percentage points for {len(people)} unseen people** "
        f"(*undecided*, a loss above {bound:.1f} is excluded)"
    )


def accepted(network: str, kind: str, name: str = "non_digits") -> str:
    """Say how many recordings without a digit a network accepts, by a table."""
    found = read(name)
    its = found[(found.network == network) & ((found.recordings == N_VOICES) == (kind == "words"))]
    return f"{its.accepted.sum():,} of {its.recordings.sum():,}"


def judged(network: str) -> str:
    """List how a network answers unseen people."""
    rows = []
    for row in read("everybody_judged").query("network == @network").itertuples():
        people = f"{row.people} people of `commands`, their own microphones"
        if row.tested_on != "commands":
            people = f"{row.people} speakers of `hd`, each held out"
        shares = (row.accuracy_all_classes, row.accuracy_utterances, row.accepted)
        accuracy, right = (
            f"{with_interval(100 * mean, 100 * half)} %"
            for mean, half in (
                (row.accuracy, row.ci95),
                (row.right_of_accepted, row.right_of_accepted_ci95),
            )
        )
        rows.append((people, accuracy, *(f"{percent(share)} %" for share in shares), right))
    heading = "people,accuracy,of all classes,over utterances,accepted,of these right"
    return table(heading.split(","), rows)


def listeners() -> str:
    """List how the networks that listen with the filter bank answer unseen people."""
    rows = []
    in_stream = read("listeners_in_stream").set_index("network")
    for row in read("listeners_judged").itertuples():
        for people, its in (
            (f"{row.people} test people, cut out", row),
            (f"{in_stream.people[row.network]} validation people, in a stream", None),
        ):
            its = its or in_stream.loc[row.network]
            accuracy = with_interval(100 * its.accuracy, 100 * its.ci95)
            shares = (percent(its.accepted), percent(its.right_of_accepted))
            rows.append((f"*{row.network}*", people, f"{accuracy} %", *(f"{x} %" for x in shares)))
    return table(("network", "people", "accuracy", "accepted", "of these right"), rows)


def official_file(model: str) -> str:
    """List the accuracies of English networks on the official test file."""
    runs = read_table("networks_hd").query("model == @model").sort_values("seed")
    elsewhere = read("other_microphones")
    of_network = (elsewhere.label == elsewhere.predicted).groupby(elsewhere.network).mean()
    is_circuit = model == "circuit"
    rows = []
    for run_ in runs.itertuples():
        name = f"{model}_{run_.seed}"
        shares = [run_.test_accuracy, run_.test_seen_accuracy, run_.test_unseen_accuracy]
        shares.append(run_.integer_test_unseen_accuracy if is_circuit else of_network[name])
        rows.append((f"`{name}`", *(f"{percent(share)} %" for share in shares)))
    last = "4 and 5, in integers" if is_circuit else "Free Spoken Digit Dataset"
    return table(("network", "all", "seen speakers", "speakers 4 and 5, unseen", last), rows)


def card_costs(name: str) -> dict[str, float]:
    """Return what a pretrained network costs; of several seeds, their mean."""
    if name in ("everybody", "small"):
        threshold = load_pretrained(name).recipe.input.pool_threshold
        return one("everybody_judged", network=name, tested_on="commands") | {
            "pool_threshold": threshold
        }
    runs = read_table("networks_hd").query("model == @name")
    columns = ["parameters", "pool_threshold", "input_events", "effective_acs"]
    return runs[columns].mean().rename({"effective_acs": "accumulates"}).to_dict()


def cards() -> str:
    """List the pretrained networks, and what they cost."""
    rows = []
    for card in ("everybody", "small", "study_0 to study_4", "circuit_0 to circuit_4"):
        is_for_use = " " not in card
        costs = card_costs(card.partition("_")[0])
        rows.append(
            (
                f"[{card}](#{card.replace(' ', '-')})",
                "21" if is_for_use else "10",
                f"{costs['parameters']:,.0f}",
                f"{costs['pool_threshold']:.0f}",
                f"{costs['input_events']:,.0f}",
                f"{million(costs['accumulates'])} million",
                "180 people of `commands`" if is_for_use else "the official test file of `hd`",
            )
        )
    heading = "card,classes,parameters,`pool_threshold`,input events,accumulates,tested on"
    return table(heading.split(","), rows)


def earlier_circuits() -> float:
    """Return the accuracy of the small network's circuits on the official split, 20 classes."""
    bits = read("circuit_bits_small").rename(columns={"run": "hash"})
    runs = read_table("benchmark_hd").query("model == 'small'")
    return bits.merge(runs[["hash"]]).accuracy.mean()


# --- Speed -----------------------------------------------------------------------------------


def ratio(benchmark: str, variant: str, batch: int) -> float:
    """Return how many times as fast as the loop something is."""
    return one("bench", benchmark=benchmark, variant=variant, batch=batch)["ratio"]


def seconds(benchmark: str, variant: str, digits: int) -> str:
    """Return the time of something in seconds."""
    return f"{one('bench', benchmark=benchmark, variant=variant)['median_s']:.{digits}f} s"


def library_times(benchmark: str) -> str:
    """Return the rows of the table of libraries, in milliseconds."""
    rows = []
    for name, variant in LIBRARIES.items():
        times = [
            1000 * one("bench", benchmark=benchmark, variant=variant, batch=batch)["median_s"]
            for batch in (128, 32, 8)
        ]
        cells = [f"{time:.0f}" if time >= 100 else f"{time:.1f}" for time in times]
        rows.append(f"| {' | '.join([name, *cells])} |")
    return "\n".join(rows)


# --- Sweeps and test evaluations -------------------------------------------------------------


def runs(name: str) -> str:
    """Say how many runs a sweep's table has, and with which seeds."""
    found = read_table(name)
    return f"{len(found)} runs with seeds {', '.join(map(str, sorted(found.seed.unique())))}"


def core_hours() -> pd.Series:
    """Return how many hours each committed run on `hd` took."""
    tables = [pd.read_csv(path, low_memory=False) for path in results_dir().glob("*_hd.csv")]
    # Some runs are rows of two sweeps, because the second one reused them.
    return pd.concat(tables).drop_duplicates("hash").total_s / 3600


def evaluations() -> str:
    """List how many networks were scored on test utterances, by sweep or occasion."""
    looks = read("looks").fillna("")
    columns = ["name", "judged_by", "kind", "configurations", "looks", "planned"]
    rows = looks[columns].astype(str).to_numpy()
    return table(("what", "tested on", "kind", "configurations", "evaluations", "planned"), rows)


def optimism() -> str:
    """List how much better the best of many candidates looks than one that others chose."""
    looks = read("looks").query("kind != 'run that validated'")
    is_run = looks.kind == "run of a sweep"
    rows = []
    for row in read("looks_best").itertuples():
        its = looks.judged_by == row.judged_by
        counts = [looks.looks[its & is_run].sum(), looks.looks[its & ~is_run].sum()]
        accuracies = [f"{each:.1f} %" for each in (row.best_accuracy, row.nested_accuracy)]
        gain = f"{row.best_accuracy - row.nested_accuracy:.1f}"
        numbers = [f"{count:,}" for count in (*counts, row.candidates)]
        rows.append([row.judged_by, *numbers, row.best, *accuracies, gain])
    heading = "tested on,runs,scored again or read,candidates,the best,its accuracy,"
    return table([*heading.split(",")[:-1], "chosen by the other speakers", "optimistic by"], rows)


# --- The pages -------------------------------------------------------------------------------


def setting(name: str) -> str:
    """Return with what the row of a setting begins: its name, its default and its choices."""
    recipe = Recipe()
    parts = [each for each in (recipe, *vars(recipe).values()) if is_dataclass(each)]
    declared = {field.name: field for part in parts for field in fields(part)}
    star = " *" if name in notebook_parameters(OF_A_RUN[2]) else ""  # notebook 3 has it
    default = DEFAULTS[name]
    if not isinstance(default, str):
        return f"`{name}`{star} | `{default!r}` | "
    choices = ", ".join(f"`{choice}`" for choice in declared[name].metadata.get("allowed", ()))
    return f'`{name}`{star} | `"{default}"` | {choices}{": " * bool(choices)}'


def fill(page: str) -> str:
    """Return a page, from its template and the tables."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
    )
    environment.globals.update(
        globals(), circuit=circuit_numbers, runs_of=read_table, abs=abs, round=round
    )
    environment.filters.update(text=text, percent=percent)
    return environment.get_template(page).render()


def main() -> None:
    """Write all pages."""
    argparse.ArgumentParser(prog="python -m evidence.pages", description=__doc__).parse_args()
    for page in PAGES:
        with atomic(ROOT / page) as unfinished:
            unfinished.write_text(fill(page), encoding="utf-8")


if __name__ == "__main__":
    run(main)
