"""The pages with numbers: each is its template, filled from the committed tables."""

import re
import statistics
from collections import defaultdict

import pandas as pd
import pytest

from evidence import pages
from evidence import tables as people_tables
from evidence.estimates import contrast
from evidence.tables import people as plan
from shd_helpers.paths import ROOT
from shd_helpers.study.tables import plan_of
from shd_judge.statistics import holm_factors
from tests import RESULTS
from tests.builders.committed import predictions_of, rows_of

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


# --- Intervals over folds ----------------------------------------------------------------------

CHANGES = pd.read_csv(RESULTS / "people_contrasts.csv").set_index(["first", "second"])
PEOPLE = (ROOT / "evidence" / "plans" / "people.md").read_text(encoding="utf-8")


def test_which_cells_have_intervals_over_folds():
    table = pd.read_csv(RESULTS / "people_variances.csv").set_index("cell")
    is_rejected = table.p_adjusted < 0.05
    assert table.index[is_rejected].tolist() == ["original", "threshold 1"]
    rest = table[~is_rejected]
    (low, high), (few, more) = table.loc[is_rejected, ["sd_folds", "sd_expected"]].T.to_numpy()
    for part in (
        f"adjusted for {len(table)} cells",
        f"deviations of {low:.1f} and {high:.1f} percentage points",
        f"where {few:.1f} and {more:.1f} are expected",
        f"The other {len(rest)} cells keep",
        f"over folds is {rest.ratio.mean():.2f} times the expected one",
    ):
        assert part in PEOPLE, part


def test_which_verdicts_the_intervals_over_folds_changed():
    """As planned, the variance over seeds is that of all cells."""
    pairs = [tuple(pair) for pair in plan()["contrasts"]["raise"]]
    cells = {name: people_tables.by_person("raise", name) for pair in pairs for name in pair}
    variance = people_tables.variance_over_seeds()
    planned = [contrast(cells[a], cells[b], variance) for a, b in pairs]
    factors = holm_factors([each.p for each in planned])
    halves = [100 * each.half(0.05 / by) for each, by in zip(planned, factors, strict=True)]
    now = CHANGES.loc[pairs]
    now["planned"] = halves
    now["was"] = [
        "shown" if abs(d) > half else "undecided"
        for d, half in zip(now.difference, halves, strict=True)
    ]
    assert now.index[now.was != now.verdict].tolist() == [("threshold 1", "original")]
    for name, row in (
        ("threshold 1 against the original recipe", now.iloc[0]),
        ("better recipe against threshold 1", now.iloc[1]),
    ):
        verdicts = f"± {row.planned:.1f}, *{row.was}* | ± {row.ci95_adjusted:.1f}, *{row.verdict}*"
        assert f"\n| {name} | {row.difference:+.1f} | {verdicts} |\n" in PEOPLE
    grown = (now.ci95_adjusted - now.planned).iloc[2:]
    assert grown.round(1).tolist() == [0.2, 0.2, 0, 0, 0, 0] and "delays grew by 0.2." in PEOPLE
    both = CHANGES.loc["recipe", "original"]
    added = f"is {both.difference:.1f} ± {both.ci95_adjusted:.1f} percentage points more accurate"
    assert added in PEOPLE


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
