"""The pages with numbers: each is its template, filled from the committed tables."""

import re
import statistics
from collections import defaultdict

import pytest

from evidence import pages
from shd_helpers.paths import ROOT
from shd_helpers.study.tables import plan_of
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
