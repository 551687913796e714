"""The numbers of docs/results.md and of the lists, computed from the committed tables."""

import re
import statistics
from collections import defaultdict

import pandas as pd
import pytest

from evidence import lists
from evidence.people import tables
from evidence.people.plan import plan
from shd_circuit.cost import list_bits, memory
from shd_circuit.folder import read_circuit
from shd_corpus.speech_commands import person_of, read_manifest
from shd_helpers.paths import ROOT
from shd_helpers.study.tables import plan_of
from shd_judge import interval
from shd_judge.statistics import holm_factors
from tests import RESULTS
from tests.builders.committed import predictions_of, rows_of

PAGE = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
CELLS = pd.read_csv(RESULTS / "people_cells.csv").set_index(["question", "cell"])
CHANGES = pd.read_csv(RESULTS / "people_contrasts.csv").set_index(["first", "second"])
UNSEEN = "test_unseen_accuracy"
FULL = "700 x 1000"
SMALL = "183 x 333, threshold 2"


@pytest.mark.parametrize("page", lists.PAGES, ids=lambda path: path.stem)
def test_lists_are_those_of_the_tables(page):
    text = page.read_text(encoding="utf-8")
    assert "<!-- list: " in text
    assert text == lists.fill(text), "python -m evidence.lists writes it anew"


@pytest.mark.parametrize(
    ("page", "most"),
    [("docs/results.md", 900), ("results/README.md", 1200), ("docs/tried.md", 900)],
)
def test_a_page_of_results_is_short(page, most):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert len(re.findall(r"\S*\w\S*", text)) <= most  # lines of tables and ± are no words


def change(first, second, sign=""):
    """Return a difference with its adjusted interval, to which its verdict belongs."""
    row = CHANGES.loc[first, second]
    return f"{row.difference:{sign}.1f} ± {row.ci95_adjusted:.1f}"


def accuracy(question, cell):
    row = CELLS.loc[question, cell]
    return f"{100 * row.accuracy:.1f} ± {100 * row.ci95:.1f} %"


def test_what_downsizing_costs_people():
    thinned = "183 x 333, thinned"
    assert {CHANGES.verdict[SMALL, other] for other in (FULL, thinned)} == {"shown"}
    small, full = CELLS.loc["cost", SMALL], CELLS.loc["cost", FULL]
    assert small.input_events / full.input_events == pytest.approx(1 / 4, abs=0.01)
    assert small.people == full.people == 1435
    lost = f"accuracy is {change(SMALL, thinned)} percentage points lower (*shown*)"
    for page in (PAGE, README):
        assert f"accuracy rises by {change(SMALL, FULL)} percentage points" in page
        assert "A quarter of the events are left" in PAGE
        assert lost in page
        assert "1,435 unseen people of [Speech Commands]" in page


def test_how_small_the_input_can_be():
    few, long, narrow = (CHANGES.loc[name, FULL] for name in ("77 x 333", "233 x 100", "30 x 333"))
    assert few.verdict == "undecided"
    assert {long.verdict, narrow.verdict} == {"shown"}
    for part in (
        f"differs by {change('77 x 333', FULL, '+')} percentage points** (*undecided*). A loss "
        f"above {few.excluded_loss:.1f} is excluded.",
        f"{change('233 x 100', FULL).lstrip('-')} percentage points for 233 x 100",
        f"{change('30 x 333', FULL).lstrip('-')} for 30 x 333 (*shown*, both)",
        f"77 x 333 reaches {accuracy('small', 'small, 77 x 333')} and needs "
        f"{CELLS.loc[('small', 'small, 77 x 333'), 'parameters']:,.0f} parameters (row 9).",
    ):
        assert part in PAGE, part


def test_what_raises_accuracy():
    steps = list(plan()["questions"]["raise"])
    pairs = dict(zip(steps[1:], steps[:-1], strict=True))
    shown = ("recipe", "membrane readout", "delays")
    recipe, readout, delays = (change(name, pairs[name]) for name in shown)
    assert {CHANGES.verdict[name, pairs[name]] for name in shown} == {"shown"}
    harm = change("threshold 1", pairs["threshold 1"])
    both = CHANGES.loc["recipe", "owner's"]
    assert (both.family, both.verdict) == ("post hoc", "shown")
    later = ("threshold 1", "shared weights", "adaptation", "augmentation")
    assert {CHANGES.verdict[name, pairs[name]] for name in later} == {"undecided"}
    assert CHANGES.verdict["three networks averaged", "augmentation"] == "undecided"
    best = accuracy("raise", "shared weights")
    costs = ["parameters", "effective_acs"]
    ratios = CELLS.loc[("raise", "shared weights"), costs] / CELLS.loc[("cost", SMALL), costs]
    assert ratios.parameters == pytest.approx(1 / 3, abs=0.05)
    assert round(ratios.effective_acs) == 9
    for part in (
        f"raises it most: by {recipe} percentage points over the original recipe** (*shown*)",
        f"at threshold 2 is {both.difference:.1f} ± {both.ci95_adjusted:.1f} (*shown*, post hoc)",
        f"threshold 1 harms the original recipe is *undecided* ({harm})",
        f"adds {readout} percentage points, and delays another {delays} (*shown*, both)",
        f"(row 7), accuracy is {best}, with a third of the parameters of row 3",
    ):
        assert part in PAGE, part


def test_people_of_another_corpus():
    first, second = "550 people, 4,000 utterances", "hd's twelve, 4,000 utterances"
    rows = CHANGES.set_index("family", append=True)
    of_people = rows.loc["hd", "commands", "corpora"]
    of_twelve = rows.loc["commands", "hd", "corpora_hd"]
    assert of_people.verdict == CHANGES.verdict[first, second] == "shown"
    of_both = rows.loc["both", "commands", "corpora"]
    assert of_twelve.verdict == of_both.verdict == "undecided"
    for part in (
        f"on `hd` is {-of_people.difference:.1f} ± {of_people.ci95_adjusted:.1f} percentage points "
        "less accurate than one trained on their own corpus",
        f"people by {of_both.difference:+.1f} ± {of_both.ci95_adjusted:.1f} percentage points.",
        f"as few utterances as `hd`'s, it is {change(first, second)} (*shown*, 550 people)",
        f"corpus costs {-of_twelve.difference:.1f} ± {of_twelve.ci95_adjusted:.1f} (*undecided*, "
        f"a loss above {of_twelve.excluded_loss:.1f} is excluded)",
    ):
        assert part in PAGE, part


PEOPLE = (ROOT / "evidence" / "people" / "README.md").read_text(encoding="utf-8")


def test_which_cells_have_intervals_over_folds():
    table = pd.read_csv(RESULTS / "people_variances.csv").set_index("cell")
    is_rejected = table.p_adjusted < 0.05
    assert table.index[is_rejected].tolist() == ["owner's", "threshold 1"]
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
    cells = {name: tables.by_person("raise", name) for pair in pairs for name in pair}
    variance = tables.variance_over_seeds()
    planned = [tables.contrast(cells[a], cells[b], variance) for a, b in pairs]
    factors = holm_factors([each.p for each in planned])
    halves = [100 * each.half(0.05 / by) for each, by in zip(planned, factors, strict=True)]
    now = CHANGES.loc[pairs]
    now["planned"] = halves
    now["was"] = [
        "shown" if abs(d) > half else "undecided"
        for d, half in zip(now.difference, halves, strict=True)
    ]
    assert now.index[now.was != now.verdict].tolist() == [("threshold 1", "owner's")]
    for name, row in (
        ("threshold 1 against the original recipe", now.iloc[0]),
        ("better recipe against threshold 1", now.iloc[1]),
    ):
        verdicts = f"± {row.planned:.1f}, *{row.was}* | ± {row.ci95_adjusted:.1f}, *{row.verdict}*"
        assert f"\n| {name} | {row.difference:+.1f} | {verdicts} |\n" in PEOPLE
    grown = (now.ci95_adjusted - now.planned).iloc[2:]
    assert grown.round(1).tolist() == [0.2, 0.2, 0, 0, 0, 0] and "delays grew by 0.2." in PEOPLE
    both = CHANGES.loc["recipe", "owner's"]
    added = f"is {both.difference:.1f} ± {both.ci95_adjusted:.1f} percentage points more accurate"
    assert added in PEOPLE


def test_how_ties_are_decided():
    cells = CELLS.loc["cost"].loc[[FULL, SMALL]]
    changed = 100 * (cells.accuracy_fair_ties - cells.accuracy).abs().max()
    page = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    tied = f"{100 * cells.tied.min():.0f} to {100 * cells.tied.max():.0f} %"
    assert f"decided {tied} of the answers in rows 1 and 3" in page
    assert f"change accuracy by at most {changed:.1f} percentage points" in page


def test_limits():
    refused = len(pd.read_csv(RESULTS / "people_refused.csv"))
    cost = CELLS.loc["cost"]
    lower = 100 * (cost.accuracy - cost.accuracy_refused_wrong)
    assert (
        f"refuses {refused} recordings. If they count as errors, accuracies are {lower.min():.1f} "
        f"to {lower.max():.1f} percentage points lower"
    ) in PAGE
    final = pd.read_csv(RESULTS / "people_final.csv").groupby("cell").accuracy
    low, high = 100 * final.min(), 100 * final.max()
    assert (
        f"gave {low[SMALL]:.0f} to {high[SMALL]:.0f} % for 183 x 333 with threshold 2, and "
        f"{low[FULL]:.0f} to {high[FULL]:.0f} % for 700 x 1000 (three networks each)"
    ) in PAGE
    assert (final.count()[[SMALL, FULL]] == 3).all()
    counts = pd.Series([person_of(name) for name in read_manifest()]).value_counts()
    assert counts.median() == 6 and "The median id has six utterances" in PAGE


def rows_of_tables(text):
    """Return the cells of each row of the tables in a text."""
    return [line.strip("| ").split(" | ") for line in re.findall(r"^\| .*", text, re.MULTILINE)]


def test_the_table_of_readme():
    better = "183 x 333, [better network](docs/results.md#what-raises-accuracy)"
    for name, question, cell in (
        (FULL, "cost", FULL),
        (SMALL, "cost", SMALL),
        ("77 x 333", "size", "77 x 333"),
        (better, "raise", "shared weights"),
    ):
        found = CELLS.loc[question, cell]
        cells = [name, f"{found.effective_acs / 1e6:.2f}", f"{found.parameters:,.0f}"]
        cells.append(accuracy(question, cell))
        if (cell, FULL) in CHANGES.index:
            cells.append(f"{change(cell, FULL, '+')}, *{CHANGES.verdict[cell, FULL]}*")
        else:
            cells.append("-")
        assert cells in rows_of_tables(README), cells


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
    assert f"Heidelberg Digits, it falls by {loss} ± 2.4 percentage points (*shown*)" in README
    assert f"\n| final | 183 x 333 against 700 x 1000 | -{loss} ± 2.4 | 0.004 | *shown* |\n" in page


def test_the_circuit():
    people = pd.read_csv(RESULTS / "circuit_people.csv")
    assert len(people) == 180
    losses = 100 * (people.float_accuracy - people.accuracy).to_frame().to_numpy()
    loss, half = interval(losses)
    verdict = "*shown*"
    if half > abs(loss):
        excluded = loss + interval(losses, 0.1)[1]
        verdict = f"*undecided*, a loss above {excluded:.1f} is excluded"
    reached = "{:.1f} ± {:.1f} %".format(*interval(100 * people[["accuracy"]].to_numpy()))
    of_floats = 100 * people.float_accuracy.mean()
    board = pd.read_csv(RESULTS / "rtl.csv").query("folder == 'circuit' and device == 'UP5K'")
    cells = board.value[board.quantity.str.startswith("logic cells")].item()
    circuit = read_circuit(RESULTS / "circuit")
    stored = memory(circuit).bytes
    size = stored.sum() / 1000
    in_all = (stored.drop("delays").sum() + list_bits(circuit) / 8) / 1000
    for part in (
        f"accuracy by {-loss:+.1f} ± {half:.1f} percentage points for 180 unseen people** "
        f"({verdict}).",
        f"The circuit classifies {reached} of their digits, and *small* {of_floats:.1f} %, if *oth",
        f"Weights and states need {size:.1f} kB, and with the core's lists {in_all:.1f} kB.",
        f"It takes {cells:,.0f} logic cells and all block RAMs of a small FPGA (iCE40 UP5K).",
    ):
        assert part in PAGE, part


def test_the_network_for_everybody():
    judged = pd.read_csv(RESULTS / "everybody_judged.csv")
    row = judged.query("network == 'everybody' and tested_on == 'commands'").iloc[0]
    reached = f"{100 * row.accuracy:.1f} ± {100 * row.ci95:.1f} %"
    of_all = f"{100 * row.accuracy_all_classes:.1f} % among its 21 classes"
    people = f"{row.people} unseen people, and"
    assert f"it classifies {reached} of the utterances of {people} {of_all}." in PAGE
    assert f"Choosing among ten, it classifies {reached} of the digits of {people} b" in README
    assert "[rejects a third]" in README and row.accepted == pytest.approx(2 / 3, abs=0.02)
