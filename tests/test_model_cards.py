"""The cards of the pretrained networks: the committed page, and its numbers counted again.

The counting is plain Python and shares no code with the script that writes the page.
"""

import re
import statistics

from evidence import model_cards
from tests import RESULTS
from tests.builders.committed import rows_of

PAGE = (RESULTS / "networks" / "README.md").read_text(encoding="utf-8")
FILES = sorted(path.stem for path in (RESULTS / "networks").glob("*.npz"))


def test_the_committed_page_is_what_the_script_writes():
    assert model_cards.render() == PAGE


def test_each_network_has_one_card():
    named = []
    for name in re.findall(r"^## (\w+(?: to \w+)?)$", PAGE, re.M):
        first, _, last = name.partition(" to ")
        if not last:
            named.append(first)
            continue
        kind = first.rpartition("_")[0]
        named += [f"{kind}_{seed}" for seed in range(int(last[-1]) + 1)]
    assert sorted(named) == FILES


def test_the_accumulates_of_the_runs():
    """Those of five seeds are averaged."""
    accumulates = {}
    for row in rows_of("networks_hd"):
        accumulates.setdefault(row["model"], []).append(float(row["effective_acs"]) / 1e6)
    of_people = {
        row["network"]: float(row["accumulates"]) / 1e6
        for row in rows_of("everybody_judged")
        if row["tested_on"] == "commands"
    }
    for card, million, threshold in (
        *((name, of_people[name], 1) for name in ("everybody", "small")),
        ("study_0 to study_4", statistics.mean(accumulates["study"]), 2),
    ):
        (row,) = re.findall(rf"^\| \[{card}\].*$", PAGE, re.M)
        cells = [cell.strip() for cell in row.split("|")]
        assert cells[4] == str(threshold)
        assert cells[6] == f"{million:.2f} million"


def test_the_cards_have_the_rows_of_what_was_judged():
    shares = ("accuracy_all_classes", "accuracy_utterances", "accepted")
    for row in rows_of("everybody_judged"):
        card = PAGE[PAGE.index(f"\n## {row['network']}\n") :]
        card = card[: card.index("\n## ", 1)]
        intervals = [
            f"{100 * float(row[name]):.1f} ± {100 * float(row[half]):.1f} %"
            for name, half in (
                ("accuracy", "ci95"),
                ("right_of_accepted", "right_of_accepted_ci95"),
            )
        ]
        cells = [f"{100 * float(row[name]):.1f} %" for name in shares]
        cells = [intervals[0], *cells, intervals[1]]
        assert f" | {' | '.join(cells)} |\n" in card
