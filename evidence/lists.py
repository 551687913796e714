"""Write the lists of evidence/README.md and of pages in docs anew, from tables and sweep files.

A list stands between ``<!-- list: NAME -->`` and ``<!-- end of the list -->``. The function NAME of
this module returns it.
"""

import argparse
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from evidence.everybody.tables import share_of
from evidence.non_digits import CIRCUIT, NETWORKS, WORDS
from evidence.people.plan import plan as people_plan
from shd_corpus.files import atomic
from shd_helpers.command import run
from shd_helpers.paths import ROOT, results_dir
from shd_helpers.study import speaker_accuracies, summarize
from shd_helpers.study.tables import plan_of, read_table
from shd_judge import contrasts, interval, weighted_contrasts

PAGES = [ROOT / "docs" / f"{name}.md" for name in ("results", "compare", "data", "abstain")]
PAGES.append(ROOT / "evidence" / "README.md")
SWEEPS = ROOT / "evidence" / "sweeps"
LIST = re.compile(r"(<!-- list: (\w+) -->\n).*?(<!-- end of the list -->)", re.DOTALL)
UNSEEN = "test_unseen_accuracy"
FULL = "700 x 1000"
SMALL = "183 x 333"
PLANNED_SEEDS = (0, 1)  # of German, to which others were added
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


def points(row: pd.Series) -> str:
    """Return a difference with its adjusted interval."""
    return f"{row['mean']:+.1f} ± {row.ci_holm:.1f}"


# --- 1,435 people ----------------------------------------------------------------------------


def results() -> str:
    """List the main networks and inputs, tested on 1,435 people, as far as they are trained."""
    cells = pd.read_csv(results_dir() / "people_cells.csv").set_index(["question", "cell"])
    changes = pd.read_csv(results_dir() / "people_contrasts.csv").set_index(["first", "second"])
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
    cells = pd.read_csv(results_dir() / "people_cells.csv").query("question == 'small'")
    of_input = cells.groupby("parameters").cell.first().str.extract(r"(\d+) x", expand=False)
    rows = [(channels, "10", parameters) for parameters, channels in of_input.items()]
    on_hd = read_table("reference_hd").query("model == 'small, 700 x 1000'")
    rows.append(("700, in windows of 96 (`hd`)", "10", on_hd.parameters.iloc[0]))
    rows.append((SMALL.split()[0], "20", read_table("selection_small_hd").parameters.iloc[0]))
    judged = pd.read_csv(results_dir() / "everybody_judged.csv").query("network == 'small'")
    rows.append((SMALL.split()[0], "21 (pretrained)", judged.parameters.iloc[0]))
    return table(("channels", "classes", "parameters"), [(*row, f"{n:,.0f}") for *row, n in rows])


def recipes() -> str:
    """List the recipes of the original network that were selected, by people and by speakers."""
    accuracies = pd.read_csv(results_dir() / "people_recipes.csv")
    best = accuracies.loc[accuracies.groupby("input", sort=False).accuracy.idxmax()]
    owner = accuracies[accuracies.recipe == "owner"].set_index("input").accuracy
    rows = []
    for row in best.itertuples():
        recipe = people_plan()["recipes"][row.recipe]
        values = [f"{value:g}" for value in recipe.values()]
        shares = [f"{100 * share:.1f} %" for share in (row.accuracy, owner[row.input])]
        rows.append([row.input, row.recipe, *values, *shares])
    names = [f"`{name}`" for name in people_plan()["recipes"]["owner"]]
    return table(["input", "recipe", *names, "accuracy", "with the original recipe"], rows)


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
        for its, row in summarize(accuracies, "input", over="speaker").iterrows():
            cost = costs.loc[its]
            rows.append(
                (
                    its,
                    f"{cost.pool_threshold:.0f}",
                    f"{cost.input_events:,.0f}",
                    million(cost.effective_acs),
                    f"{n_parameters[its]:,.0f}",
                    f"{row.units:.0f} x {row.seeds:.0f}",
                    with_interval(row.test_seen, row.test_seen_ci95),
                    with_interval(row.test_unseen, row.test_unseen_ci95),
                    f"{100 * worst.loc[its].min():.0f} (speaker {worst.loc[its].idxmin()})",
                )
            )
    heading = "input or network,threshold,events,accumulates (million),parameters,speakers x seeds,"
    return table((heading + "seen (%),unseen (%),worst (%)").split(","), rows)


def hd_comparisons() -> str:
    """List what the plans of the sweeps compare on `hd`, with adjusted intervals."""
    final = plan_of("final")
    ten = _of_ten("final_hd")
    six = _of_six()
    reference = plan_of("reference")
    causes = read_table("causes_hd").rename(columns={"held_out": "speaker"})
    bits = _of_ten("circuit_bits_hd", "model")
    nested = pd.read_csv(results_dir() / "nested_contrasts.csv").set_index(["input", "against"])
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
    entries = pd.read_csv(results_dir() / "selection.csv").groupby("entry", sort=False)
    means = entries[["parameters", "accuracy"]].mean().sort_values("accuracy", ascending=False)
    names = ("selection", "selection_today", "selection_small")
    runs = pd.concat(read_table(f"{name}_hd") for name in names)
    cost = runs.groupby("candidate").effective_acs.mean()
    rows = []
    for entry, row in means.iterrows():
        members = plan_of("selection")["ensembles"].get(entry, {entry: [0]})
        total = sum(len(seeds) * cost[name] for name, seeds in members.items())
        accuracy = f"{100 * row.accuracy:.1f} %"
        rows.append([entry, f"{row.parameters:,.0f}", f"{million(total)} million", accuracy])
    return table(("entry", "parameters", "accumulates", "mean accuracy over ten speakers"), rows)


# --- Other tests ------------------------------------------------------------------------------


def official_split() -> str:
    """List our networks on SHD's official split, with 20 classes."""
    runs = read_table("benchmark_hd")
    summary = summarize(runs, "model")
    speakers = pd.read_csv(results_dir() / "benchmark_speakers.csv")
    speakers = speakers.set_index(["model", "language", "average"])
    rows = []
    for name in ("study", "small", "reference"):
        its = summary.loc[name]
        found = speakers.loc[name]
        cells = [with_interval(its.test, its.test_ci95)]
        for key in (("english", "all utterances"), ("german", "all utterances")):
            cells.append(with_interval(*found.loc[key, ["accuracy", "ci95"]]))
        cells.append(with_interval(*found.loc[("both", "twelve speakers"), ["accuracy", "ci95"]]))
        rows.append([name, f"{its.parameters:,.0f}", million(its.effective_acs), *cells])
    official = pd.read_csv(results_dir() / "official.csv")
    official = official.set_index(["what", "language", "speakers"])[["accuracy", "ci95"]]
    one = read_table("judged_official_hd")
    for what, name, n_networks in (
        ("best single network", "one adaptive network", 1),
        ("winner", "three adaptive networks as an ensemble", 3),
        ("its seeds as an ensemble", "five networks", 5),
    ):
        costs = [n_networks * one[column].mean() for column in ("parameters", "effective_acs")]
        keys = [("both", "all"), ("english", "all"), ("german", "all"), ("both", "mean of twelve")]
        cells = [with_interval(*official.loc[(what, *key)]) for key in keys]
        rows.append([name, f"{costs[0]:,.0f}", million(costs[1]), *cells])
    heading = "network,parameters,accumulates (million),all utterances,English,German"
    return table([*heading.split(","), "twelve speakers"], rows)


def official_spikes() -> str:
    """List three recipes on the official test utterances at 10 ms, and on those of `hd`."""
    costs = read_table("ten_ms_hd_10ms").groupby("model")[["input_events", "effective_acs"]].mean()
    tested = pd.read_csv(results_dir() / "ten_ms.csv").set_index(["model", "test"])
    rows = []
    for name in ("study", "small", "reference"):
        cells = [f"{costs.input_events[name]:,.0f}", million(costs.effective_acs[name])]
        official = tested.loc[(name, "official")]
        for values in (
            official.accuracy,
            official.english,
            official.german,
            tested.loc[(name, "hd")].accuracy,
        ):
            cells.append(over(values))
        rows.append([name, *cells])
    heading = "network,events,accumulates (million),official utterances,English,German"
    return table([*heading.split(","), "those of `hd`"], rows)


# --- The networks that are used --------------------------------------------------------------


def accepted_answers() -> str:
    """List how many utterances two networks and a circuit answer, and how many rightly."""
    rows = []
    for row in pd.read_csv(results_dir() / "everybody_judged.csv").itertuples():
        people = f"{row.people} people of `commands`"
        if row.tested_on != "commands":
            people = f"{row.people} speakers of `hd`, each held out"
        accuracy = with_interval(100 * row.accuracy, 100 * row.ci95)
        right = with_interval(100 * row.right_of_accepted, 100 * row.right_of_accepted_ci95)
        rows.append([f"*{row.network}*", people, accuracy, f"{100 * row.accepted:.1f}", right])
    people = pd.read_csv(results_dir() / "circuit_people.csv")
    counts = people[["accepted", "accepted_right"]].mul(people.utterances, axis=0)
    counts.columns = ["all", "right"]
    accepted = f"{100 * counts['all'].sum() / people.utterances.sum():.1f}"
    right = with_interval(*(100 * each for each in share_of(counts)))
    cells = [f"{len(people)} people of `commands`", over(people.accuracy), accepted, right]
    rows.append(["circuit", *cells])
    return table("network,people,accuracy,accepted,of these right".split(","), rows)


def accepted_sounds() -> str:
    """List how many recordings without a digit two networks and a circuit accept."""
    found = pd.read_csv(results_dir() / "non_digits.csv")
    found["kind"] = np.where(found.sound.isin(WORDS), "words", "other sounds")
    sums = found.groupby(["network", "kind"])[["accepted", "recordings"]].sum()
    rows = []
    for name in (*NETWORKS, CIRCUIT):
        kinds = [sums.loc[(name, kind)] for kind in ("words", "other sounds")]
        counts = [f"{kind.accepted:,} of {kind.recordings:,}" for kind in kinds]
        rows.append([name if name == CIRCUIT else f"*{name}*", *counts])
    return table(["network", "words", "other sounds"], rows)


# --- Sweeps and test evaluations -------------------------------------------------------------


def sweeps() -> str:
    """List each sweep whose table is frozen: how many runs it has, and what it asks."""
    lines = []
    for path in sorted(SWEEPS.glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        comment, _, settings = text.partition("\nname: ")
        name, _, _ = settings.partition("\n")
        comment = " ".join(comment.replace("#", " ").split())
        question = re.split(r"(?<=[.?])\s", comment)[0]
        suffix = "_10ms" if path.stem == "ten_ms" else ""
        runs = read_table(f"{name}_hd{suffix}")
        seeds = ", ".join(map(str, sorted(runs.seed.unique())))
        link = f"[{path.stem}](sweeps/{path.name})"
        lines.append(f"* {link}, {len(runs)} runs with seeds {seeds}: {question}")
    return "\n".join(lines)


def test_evaluations() -> str:
    """List how many networks were scored on test utterances, by sweep or occasion."""
    looks = pd.read_csv(results_dir() / "looks.csv").fillna("")
    columns = ["name", "judged_by", "kind", "configurations", "looks", "planned"]
    rows = looks[columns].astype(str).to_numpy()
    return table(("what", "tested on", "kind", "configurations", "evaluations", "planned"), rows)


def optimism() -> str:
    """List how much better the best of many candidates looks than one that others chose."""
    looks = pd.read_csv(results_dir() / "looks.csv").query("kind != 'run that validated'")
    is_run = looks.kind == "run of a sweep"
    rows = []
    for row in pd.read_csv(results_dir() / "looks_best.csv").itertuples():
        its = looks.judged_by == row.judged_by
        counts = [looks.looks[its & is_run].sum(), looks.looks[its & ~is_run].sum()]
        accuracies = [f"{each:.1f} %" for each in (row.best_accuracy, row.nested_accuracy)]
        gain = f"{row.best_accuracy - row.nested_accuracy:.1f}"
        numbers = [f"{count:,}" for count in (*counts, row.candidates)]
        rows.append([row.judged_by, *numbers, row.best, *accuracies, gain])
    heading = "tested on,runs,scored again or read,candidates,the best,its accuracy,"
    return table([*heading.split(",")[:-1], "chosen by the other speakers", "optimistic by"], rows)


def fill(text: str) -> str:
    """Return a page with its lists written anew."""
    return LIST.sub(lambda match: f"{match[1]}{globals()[match[2]]()}\n{match[3]}", text)


def write(page: Path) -> None:
    """Write the lists of a page anew."""
    text = fill(page.read_text(encoding="utf-8"))
    with atomic(page) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def main() -> None:
    """Write all pages."""
    argparse.ArgumentParser(prog="python -m evidence.lists", description=__doc__).parse_args()
    for page in PAGES:
        write(page)


if __name__ == "__main__":
    run(main)
