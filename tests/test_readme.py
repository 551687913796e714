"""The numbers of README and of the documents, computed from the committed tables.

The pages with numbers: each is its template, filled from the committed tables.

Committed accuracies, counted again from the committed answers.

The counting is plain Python: it shares no code with the package, which wrote the numbers.
"""

import math
import re
import statistics
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest

from evidence import pages
from shd_corpus.class_names import ENGLISH
from shd_helpers.paths import NOTEBOOKS, ROOT
from shd_helpers.study import read_table
from shd_helpers.study.notebooks import report
from shd_helpers.study.tables import plan_of
from tests import RESULTS
from tests.builders.committed import predictions_of, rows_of
from tests.builders.documentation import blocks_of

README = (ROOT / "README.md").read_text(encoding="utf-8")
BENCH = pd.read_csv(RESULTS / "bench.csv")


def test_scores_of_the_same_utterances_are_those_of_the_runs():
    """The two programs read the reduced test file apart from each other."""
    runs = read_table("ten_ms_hd_10ms").set_index(["model", "seed"]).test_accuracy
    again = pd.read_csv(RESULTS / "ten_ms.csv").query("test == 'hd'")
    again = again.set_index(["model", "seed"]).accuracy
    assert len(again) == 15
    assert again.sort_index().to_numpy() == pytest.approx(runs.sort_index().to_numpy(), abs=1e-3)


ALLOWED = {  # of a column of published.csv; "" is not known
    "spread_is": {"deviation", "standard error", "interval", ""},
    "selected_on": {
        "held-out speakers",
        "random utterances held out",
        "held out from training",
        "test file",
        "nothing",
        "",
    },
    "verified": {"paper", "public code", "second source", "not verified", "this study"},
}


def test_published_results_have_the_described_values():
    papers = pd.read_csv(RESULTS / "published.csv").fillna({column: "" for column in ALLOWED})
    for column, allowed in ALLOWED.items():
        assert set(papers[column]) == allowed
    assert papers.network.is_unique and papers.note.notna().all()
    assert papers.source.str.fullmatch(
        r"https://(doi\.org/10\.\d+/\S+|arxiv\.org/abs/[\d.]+)"
    ).all()
    assert papers.code.dropna().str.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{7}").all()
    assert set(papers.same_network_as.dropna()) <= set(papers.network)
    assert papers.accuracy.between(0, 100).all() and papers.spread.dropna().between(0, 10).all()
    assert papers.spread[papers.spread_is != ""].notna().all()
    assert (papers.parameters.dropna() > 1000).all()


def test_readme_has_one_command_and_the_first_lines_of_the_study():
    assert README.split("\n```\n")[1] == "make study"
    (block,) = (each.code for each in blocks_of(ROOT / "README.md") if each.language == "python")
    assert block in (NOTEBOOKS / "study.py").read_text(encoding="utf-8")
    assert 5 <= block.count("\n") <= 10


def test_what_make_study_prints(monkeypatch):
    """The default run is the first of the sweep `chosen`, whose table has the speakers' mean."""
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("SHD_RUNS_DIR", raising=False)
    chosen = read_table("chosen_digits")
    run = chosen.query("seed == 0").iloc[0]
    shown = {part: run[f"{part}_accuracy"] for part in ("train", "validation", "test_seen")}
    unseen = re.findall(r"([\d.]+)%  unseen speaker (\d+)", README)  # of 100 utterances each
    assert len(unseen) == 4
    shown |= {f"unseen speaker {speaker}": float(percent) / 100 for percent, speaker in unseen}
    mean = np.mean([float(percent) / 100 for percent, _ in unseen])
    assert mean == pytest.approx(run.test_unseen_accuracy)
    printed = report(shown, "digits", ENGLISH, "english", 0)
    by_class, _ = printed.rsplit("\n", 1)  # README leaves out training and validation
    assert f"\n```\n{by_class}\n```\n" in README


PROGRAMS = pd.read_csv(RESULTS / "engine_programs.csv")
WAYS = {
    "`loss_and_gradients`": ("own module", "loss_and_gradients"),
    "any loss, lists of events": ("own module", "any loss"),
    "any loss, dense input": ("own module", "any loss, dense input"),
    "`scan`": ("scan", "scan"),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_speed_of_each_way_to_use_the_engine(way):
    benchmark, variant = WAYS[way]
    rows = BENCH[(BENCH.benchmark == f"training step, {benchmark}") & (BENCH.variant == variant)]
    ratios = [rows.set_index("batch").ratio[batch] for batch in (128, 32, 8)]
    cells = [f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.1f}" for ratio in ratios]
    page = (ROOT / "packages" / "engine" / "details.md").read_text(encoding="utf-8")
    assert f"\n| {way} | {' | '.join(cells)} |\n" in page


def test_the_speed_of_twelve_programs():
    rows = PROGRAMS[(PROGRAMS.variant == "compiled") & ~PROGRAMS.program.str.contains("batches")]
    ratios = rows.set_index("program").ratio
    mean = np.exp(np.log(ratios).mean())
    page = (ROOT / "packages" / "engine" / "README.md").read_text(encoding="utf-8")
    assert len(ratios) == 12 and ratios.min() > 1
    assert f"All train faster, and the geometric mean is {mean:.1f}." in page
    listed = f"{ratios['regression']:.1f} times for a regression, {ratios['policy']:.1f} for a"
    assert listed in page and f"down to {ratios['tutorial 7']:.1f} for tutorial 7" in page
    chart = (ROOT / "packages" / "engine" / "speed.svg").read_text(encoding="utf-8")
    assert all(f">{ratio:.1f}</text>" in chart for ratio in ratios)


def ratios_of(program, variant):
    """Return the ratios of a program in batches of 128, 32 and 8, as pages have them."""
    rows = PROGRAMS[PROGRAMS.variant == variant].set_index("program").ratio
    ratios = [rows[f"{program}, batches of {batch}"] for batch in (128, 32, 8)]
    first, second, third = (f"{each:.0f}" if each >= 10 else f"{each:.1f}" for each in ratios)
    return f"{first}, {second} and {third}"


def test_the_speed_of_recurrent_networks_and_of_a_first_call():
    readme = (ROOT / "packages" / "engine" / "README.md").read_text(encoding="utf-8")
    details = (ROOT / "packages" / "engine" / "details.md").read_text(encoding="utf-8")
    fastest = ratios_of("a recurrent network", "loss_and_gradients")
    assert f"train {fastest} times as fast" in readme
    dense = ratios_of("a recurrent network", "compiled")
    plain = ratios_of("the study's network", "loss_and_gradients")
    assert f"was {fastest} times as fast as the loop, and a dense input {dense} times" in details
    assert f"without recurrent weights was {plain} times as fast" in details
    first = PROGRAMS[PROGRAMS.program == "the first call"].set_index("variant").median_s
    said = f"{first['any numbers']:.0f} seconds for any numbers, and {first['zeros and ones']:.0f}"
    assert said in readme


def test_how_fast_scan_could_be_with_the_products_alone():
    rows = BENCH[(BENCH.benchmark == "training step, scan") & (BENCH.variant == "products alone")]
    ratios = rows.set_index("batch").ratio
    page = (ROOT / "packages" / "engine" / "details.md").read_text(encoding="utf-8")
    said = f"which alone are {ratios[128]:.1f}, {ratios[32]:.1f} and {ratios[8]:.0f} times as fast"
    assert said in page


def test_the_row_of_the_network_that_was_trained_here():
    papers = pd.read_csv(RESULTS / "published.csv")
    (row,) = papers[papers.verified == "this study"].itertuples()
    counts = pd.read_csv(RESULTS / "se_adlif.csv")
    last = counts[counts.epochs == counts.epochs.max()]
    shares = [100 * right / n for right, n in zip(last.right, last.utterances, strict=True)]
    assert len(shares) == 10 and last.utterances.sum() == 8_156
    assert row.accuracy == pytest.approx(statistics.mean(shares), abs=0.05)
    # Student's t of nine degrees of freedom
    half = 2.262157 * statistics.stdev(shares) / 10**0.5
    assert row.spread == pytest.approx(half, abs=0.05)
    page = (ROOT / "packages" / "engine" / "details.md").read_text(encoding="utf-8")
    assert f"Trained for {last.epochs.iloc[0]} of its 300 epochs" in page
    assert f"{row.accuracy:.1f} ± {row.spread:.1f} % of the utterances of held-out speakers" in page
    (published,) = papers[papers.network == row.same_network_as].itertuples()
    assert published.selected_on == "test file"
    assert f"Published are {published.accuracy:.1f} % of the official test file" in page


PAGE = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", pages.PAGES)
def test_a_page_is_its_template_filled_from_the_tables(page):
    wanted = pages.fill(page)
    assert (ROOT / page).read_text(encoding="utf-8") == wanted, (
        f"Edit docs/templates/pages/{page}, and type python -m evidence.pages"
    )


def test_a_page_changes_with_its_table(monkeypatch):
    cells = pages.read("people_cells")
    is_full = (cells.cell == "700 x 1000") & (cells.question == "cost")
    changed = cells.assign(accuracy=cells.accuracy.mask(is_full, 0.123))
    read = pages.read
    monkeypatch.setattr(
        pages, "read", lambda name: changed if name == "people_cells" else read(name)
    )
    row = "| 1 | 256 LIF | 700 x 1000 | 1 | 7,334 | 1.89 | 182,026 | 12.3 ± 1.5 | - |"
    assert row in pages.fill("docs/results.md")


def test_words_that_the_tables_contradict_are_refused():
    with pytest.raises(AssertionError):
        pages.check(False)
    with pytest.raises(AssertionError):
        pages.change("30 x 333", "700 x 1000")  # a page would print a loss as a gain
    with pytest.raises(ValueError, match="unpack"):
        pages.verdict(("30 x 333", "700 x 1000"), ("77 x 333", "700 x 1000"))


# Numbers that a sentence may have besides those of the tables: shapes, settings and names.
BY_HAND = r"\d+ x \d+|threshold \d|\(?row \d|95 %|10 ms|30 channels|256 LIF|550 people|UP5K|iCE40"
BY_HAND += r"|within 5 %|epochs \(30 on|20 here|excludes 0|21 classes|20 epochs"
BY_HAND += r"|\(30 epochs|180 test people|Figure \d|Table \d"


def test_no_number_of_the_results_is_typed_by_hand():
    template = (pages.TEMPLATES / "docs" / "results.md").read_text(encoding="utf-8")
    prose = re.sub(r"\{\{.*?\}\}|\{%.*?%\}|\]\(.*?\)|`.*?`", "", template)
    assert re.findall(r"\S*\d\S*", re.sub(BY_HAND, "", prose)) == []


def rows_of_tables(text):
    """Return the cells of each row of the tables in a text."""
    return [line.strip("| ").split(" | ") for line in re.findall(r"^\| .*", text, re.MULTILINE)]


# --- The twelve speakers ---------------------------------------------------------------------


def test_what_downsizing_costs_the_twelve_speakers_by_plain_loops():
    plan = plan_of("final")
    inputs = {row["hash"]: (row["input"], row["seed"]) for row in rows_of("final_hd")}
    right = defaultdict(list)
    for row in predictions_of("final_hd"):
        if row["seen"] == "False" and int(row["speaker"]) in plan["unseen_speakers"]:
            key = *inputs[row["hash"]], row["speaker"]
            right[key].append(row["label"] == row["predicted"])
    means = {}
    for name in plan["primary"]:
        its = [statistics.mean(answers) for key, answers in right.items() if key[0] == name]
        assert len(its) == 10 * 5
        means[name] = 100 * statistics.mean(its)
    page = (ROOT / "evidence" / "README.md").read_text(encoding="utf-8")
    for name, mean in means.items():
        (row,) = (row for row in rows_of_tables(page) if row[0] == name and row[5:6] == ["10 x 5"])
        assert row[7].startswith(f"{mean:.1f} ± ")
    small, full = plan["primary"]
    loss = f"{means[full] - means[small]:.1f}"
    assert f"this change costs {loss} ± 2.4 percentage points (*shown*)" in PAGE
    assert f"\n| final | 183 x 333 against 700 x 1000 | -{loss} ± 2.4 | 0.004 | *shown* |\n" in page


TABLES = sorted(path.name.removesuffix("_predictions.csv.gz") for path in RESULTS.glob("*.csv.gz"))


def answers_by_run(name):
    """Return the committed answers of a table, as dictionaries by the run's hash."""
    found = defaultdict(list)
    for row in predictions_of(name):
        found[row["hash"]].append(row)
    return found


def share_right(rows, column="predicted"):
    """Return which share of the answers is the word that was spoken; NaN without any."""
    right = sum(row[column] == row["label"] for row in rows)
    return right / len(rows) if rows else math.nan


@pytest.mark.parametrize("name", TABLES)
def test_every_accuracy_of_a_table_is_that_of_its_answers(name):
    answers = answers_by_run(name)
    n_compared = 0
    for run in rows_of(name):
        rows = answers[run["hash"]]
        assert rows, run["run_name"]
        seen = [row for row in rows if row["seen"] == "True"]
        new = [row for row in rows if row["seen"] == "False"]
        assert len(seen) + len(new) == len(rows)
        parts = {"test": rows, "test_seen": seen, "test_unseen": new}
        if run.get("score_test") == "False":  # its answers are those of the validation
            parts = {"validation": rows}
        kinds = {"": "predicted"}
        if any(row.get("integer_predicted") for row in rows):
            kinds["integer_"] = "integer_predicted"
        for kind, column in kinds.items():
            for part, of in parts.items():
                told = float(run[f"{kind}{part}_accuracy"] or "nan")
                counted = share_right(of, column)
                assert told == pytest.approx(counted, abs=1e-12, nan_ok=True), run["run_name"]
                n_compared += not math.isnan(told)
    assert n_compared >= 10
