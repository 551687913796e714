"""The cards of the pretrained networks: the committed page, and its numbers counted again.

The counting is plain Python and shares no code with the script that writes the page.
"""

import re
import statistics

import h5py
import numpy as np
import pytest

from evidence import model_cards
from tests import RESULTS
from tests.builders.committed import predictions_of, rows_of

PAGE = (RESULTS / "networks" / "README.md").read_text(encoding="utf-8")
FILES = sorted(path.stem for path in (RESULTS / "networks").glob("*.npz"))
GERMAN = "null eins zwei drei vier fuenf sechs sieben acht neun".split()


def percent(right):
    return f"{100 * sum(right) / len(right):.1f} %"


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
    """Those of an ensemble are added, and those of five seeds averaged."""
    accumulates = {}
    for row in rows_of("networks_hd"):
        accumulates.setdefault(row["model"], []).append(float(row["effective_acs"]) / 1e6)
    for card, million, threshold in (
        ("adaptive", sum(accumulates["adaptive"]), 1),
        ("small", sum(accumulates["small"]), 1),
        ("study_0 to study_4", statistics.mean(accumulates["study"]), 2),
    ):
        (row,) = re.findall(rf"^\| \[{card}\].*$", PAGE, re.M)
        cells = [cell.strip() for cell in row.split("|")]
        assert cells[4] == str(threshold)
        assert cells[6] == f"{million:.2f} million"


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("small_")])
def test_a_benchmarks_network_has_the_accuracies_of_its_answers(name):
    seed = name.removeprefix("small_")
    runs = [row for row in rows_of("benchmark_hd") if row["model"] == "small"]
    (identity,) = [row["hash"] for row in runs if row["seed"] == seed]
    answers = [row for row in predictions_of("benchmark_hd") if row["hash"] == identity]
    groups = [[], [], [], [], []]
    for row in answers:
        is_right = row["label"] == row["predicted"]
        groups[0].append(is_right)
        groups[2 if row["speaker"] in "45" else 1].append(is_right)
        groups[4 if row["label"] in GERMAN else 3].append(is_right)
    assert f"\n| `{name}` | {' | '.join(map(percent, groups))} |\n" in PAGE


def test_the_accepted_answers_of_the_other_corpus():
    for name in ("adaptive", "small"):
        mine = [row for row in rows_of("accepted") if row["network"] == name]
        accepted = [row for row in mine if row["accepted"] == "True"]
        everything = [row for row in rows_of("other_microphones") if row["network"] == name]
        assert len(mine) == len(everything) == 100
        cells = [f"{len(accepted):.1f} %"]
        cells += [
            percent([r["label"] == r["predicted"] for r in of]) for of in (accepted, everything)
        ]
        card = PAGE[PAGE.index(f"\n## {name}\n") :]
        row = f"| Free Spoken Digit Dataset, 100 recordings, 5 speakers | {' | '.join(cells)} |\n"
        assert row in card[: card.index("\n## ", 1)]


def card_of(name):
    card = PAGE[PAGE.index(f"\n## {name}\n") :]
    return card[: card.index("\n## ", 1)]


def test_held_out_speakers_by_the_small_networks_answers():
    """The worst speaker, and speakers 4 and 5, each averaged over three seeds."""
    small = {row["hash"] for row in rows_of("reference_hd") if row["model"] == "small"}
    right = {}
    for row in predictions_of("reference_hd"):
        if row["seen"] == "False" and row["hash"] in small:
            runs = right.setdefault(int(row["speaker"]), {})
            runs.setdefault(row["hash"], []).append(row["label"] == row["predicted"])
    assert all(len(runs) == 3 for runs in right.values())
    of_speaker = {
        speaker: sum(sum(one) / len(one) for one in runs.values()) / 3
        for speaker, runs in right.items()
    }
    check_speakers(of_speaker, card_of("small"))


def test_held_out_speakers_by_the_ensembles_mean_scores():
    hashes = {}
    for row in rows_of("judged_speakers_hd"):
        hashes.setdefault(int(row["held_out"]), []).append(row["hash"])
    of_speaker = {}
    with h5py.File(RESULTS / "judged_speakers_hd_scores.h5") as file:
        for speaker, runs in hashes.items():
            assert len(runs) == 3
            members = []
            for run in runs:  # each also has utterances of seen speakers, of others than the next
                is_own = file[run]["speaker"][:] == speaker
                members.append(file[run]["scores"][:][is_own].astype(float))
            label = file[run]["label"][:][is_own]
            scores = np.mean(members, axis=0)
            of_speaker[speaker] = np.mean(scores.argmax(axis=1) == label)
    check_speakers(of_speaker, card_of("adaptive"))
    mean = 100 * statistics.mean(of_speaker.values())
    assert f"\n| unseen, all twelve, of whom ten selected it | {mean:.1f} ± " in card_of("adaptive")


def check_speakers(of_speaker, card):
    """Assert that a card has the worst speaker, and the mean of speakers 4 and 5."""
    assert len(of_speaker) == 12
    worst = min(of_speaker, key=of_speaker.get)
    pair = (of_speaker[4] + of_speaker[5]) / 2
    lowest = f"{100 * of_speaker[worst]:.1f} %"
    assert f"\n| unseen, the worst of twelve (speaker {worst}) | {lowest} |\n" in card
    assert f"\n| unseen, 4 and 5 | {100 * pair:.1f} % |\n" in card
