"""What the ten folds have selected, computed again from the committed tables by plain loops."""

import re
import statistics

import h5py
import pytest

from shd_corpus.class_names import LANGUAGES
from shd_helpers.study.tables import plan_of
from tests import RESULTS, ROOT
from tests.builders.committed import mean, predictions_of, rows_of

PLAN = plan_of("screening")
PAGE = (ROOT / "evidence" / "README.md").read_text(encoding="utf-8")


ROWS = rows_of("selection")
SIZES = {row["entry"]: int(row["parameters"]) for row in ROWS}
SELECTED = {row["what"]: row["selected"] for row in rows_of("selected") if not row["speaker"]}
WITHOUT = {int(row["speaker"]): row["selected"] for row in rows_of("selected") if row["speaker"]}
SINGLES = (
    "adaptive, augmented recordings",
    "shared, two layers",
    "reference",
    "small",
    "small, one cycle",
)
ENSEMBLES = plan_of("selection")["ensembles"]


def accuracies(entry, left_out=None, column="accuracy"):
    """Return an entry's accuracies by speaker, in percent."""
    found = {}
    for row in ROWS:
        speaker = int(row["speaker"])
        if row["entry"] == entry and speaker != left_out:
            found[speaker] = 100 * float(row[column])
    return found


def winner_of(entries, reference, most_parameters, left_out=None):
    """Return whom the rule of evidence/README.md selects."""
    own = accuracies(reference, left_out)
    able = {}
    for entry in entries:
        others = accuracies(entry, left_out)
        assert others.keys() == own.keys()
        n_better = sum(others[speaker] > own[speaker] for speaker in own)
        is_ahead = mean(others.values()) - mean(own.values()) >= PLAN["rule"]["margin"]
        if SIZES[entry] <= most_parameters and is_ahead and 2 * n_better > len(own):
            able[entry] = mean(others.values())
    if not able:
        return reference
    tied = [name for name in able if max(able.values()) - able[name] <= PLAN["rule"]["tie"]]
    return min(tied, key=lambda name: (SIZES[name], -able[name]))


def test_the_rule_selects_what_is_committed():
    rule = PLAN["rule"]
    assert SELECTED["winner"] == winner_of(SIZES, rule["reference"], rule["most_parameters"])
    small = PLAN["small"]
    two = (small["reference"], small["name"])
    assert SELECTED["small network"] == winner_of(two, two[0], small["most_parameters"])
    single = winner_of(
        [name for name in SIZES if " seeds of " not in name],
        rule["reference"],
        PLAN["most_parameters_single"],
    )
    assert SELECTED["best single network"] == single


@pytest.mark.parametrize("speaker", PLAN["speakers"])
def test_the_other_nine_folds_select_for_a_speaker(speaker):
    rule = PLAN["rule"]
    selected = winner_of(SIZES, rule["reference"], rule["most_parameters"], speaker)
    assert WITHOUT[speaker] == selected


def test_an_accuracy_of_a_single_network_is_the_mean_of_its_runs():
    runs = [
        row
        for name in ("selection", "selection_small", "selection_today")
        for row in rows_of(f"{name}_hd")
    ]
    for entry in SINGLES:
        for speaker, accuracy in accuracies(entry).items():
            own = [
                100 * float(run["validation_accuracy"])
                for run in runs
                if run["candidate"] == entry and int(run["validation_speakers"]) == speaker
            ]
            assert accuracy == pytest.approx(mean(own)), (entry, speaker)


def answers_of(scores_file, hashes):
    """Return label and answer of each utterance, by name, from the members' mean class scores."""
    with h5py.File(RESULTS / scores_file) as file:
        names = [str(name) for name in file[hashes[0]].attrs["class_names"]]
        labels = file[hashes[0]]["label"][:].tolist()
        speakers = file[hashes[0]]["speaker"][:].tolist()
        members = [file[run]["scores"][:].tolist() for run in hashes]
    answers = []
    for label, speaker, *rows in zip(labels, speakers, *members, strict=True):
        means = [mean(values) for values in zip(*rows, strict=True)]
        answers.append((names[label], names[means.index(max(means))], speaker))
    return answers


def accuracy_in(answers, language):
    """Return the accuracy in percent of the utterances in a language."""
    return 100 * mean([said == heard for said, heard, _ in answers if said in LANGUAGES[language]])


@pytest.mark.parametrize("entry", ENSEMBLES)
def test_an_accuracy_of_an_ensemble_is_that_of_its_mean_scores(entry):
    members = ENSEMBLES[entry]
    for row in ROWS:
        if row["entry"] != entry:
            continue
        hashes = [
            run["hash"]
            for run in rows_of("selection_hd")
            if run["validation_speakers"] == row["speaker"]
            and int(run["seed"]) in members.get(run["candidate"], ())
        ]
        assert len(hashes) == sum(map(len, members.values()))
        answers = answers_of("selection_hd_scores.h5", hashes)
        for column, language in (("accuracy", "both"), ("english",) * 2, ("german",) * 2):
            counted = accuracy_in(answers, language)
            # scores are rounded, and ties may be resolved in another way
            assert 100 * float(row[column]) == pytest.approx(counted, abs=0.3), (row, column)


def test_the_official_accuracy_of_the_winner_is_that_of_its_mean_scores():
    hashes = [row["hash"] for row in rows_of("judged_official_hd") if int(row["seed"]) < 3]
    answers = answers_of("judged_official_hd_scores.h5", hashes)
    assert len(hashes) == 3 and len(answers) == 2264
    told = {
        (row["language"], row["speakers"]): float(row["accuracy"])
        for row in rows_of("official")
        if row["what"] == "winner"
    }
    for language in ("both", "english", "german"):
        assert told[language, "all"] == pytest.approx(accuracy_in(answers, language), abs=0.1)
        of_two = [each for each in answers if each[2] in (4, 5)]
        assert told[language, "4 and 5"] == pytest.approx(accuracy_in(of_two, language), abs=0.1)


def test_the_page_lists_every_entry_and_the_winners():
    for entry, size in SIZES.items():
        cost = f"{accumulates(entry) / 1e6:.2f} million"
        row = f"| {entry} | {size:,} | {cost} | {mean(accuracies(entry).values()):.1f} % |"
        assert row in PAGE, row
    for what, entry in SELECTED.items():
        assert re.search(rf"\*\*{what}\*\*[^.*]*\*{re.escape(entry)}\*", PAGE, re.IGNORECASE), what


JUDGED = {
    "winner": "three adaptive networks as an ensemble",
    "best single network": "one adaptive network",
    "its seeds as an ensemble": "five networks",
}


@pytest.mark.parametrize("what", JUDGED)
def test_the_page_says_how_accurate_the_winner_is_on_the_official_split(what):
    page = (ROOT / "docs" / "compare.md").read_text(encoding="utf-8")
    found = {}
    for row in rows_of("official"):
        if row["what"] == what:
            spread = f" ± {float(row['ci95']):.1f}" if row["ci95"] else ""
            key = row["language"], row["speakers"]
            found[key] = f"{float(row['accuracy']):.1f}{spread}"
    columns = [found["both", "all"], found["english", "all"], found["german", "all"]]
    columns.append(found["both", "mean of twelve"])
    n_networks = {"winner": 3, "best single network": 1, "its seeds as an ensemble": 5}[what]
    of_one = mean([float(row["effective_acs"]) for row in rows_of("judged_official_hd")])
    size = n_networks * SIZES["adaptive, augmented recordings"]
    cost = f"{size:,} | {n_networks * of_one / 1e6:.2f}"
    assert f"| {JUDGED[what]} | {cost} | {' | '.join(columns)} |" in page


def test_the_page_names_the_speakers_for_whom_the_folds_select_otherwise():
    others = {speaker for speaker, name in WITHOUT.items() if name != SELECTED["winner"]}
    (sentence,) = re.findall(r"except for speakers (\d+) and (\d+)\. For these two", PAGE)
    assert {*map(int, sentence)} == others
    (other,) = {WITHOUT[speaker] for speaker in others}
    first, second = other.removeprefix("three seeds of ").split(" and two of ")
    assert f"three seeds of *{first}* and two of *{second}*" in PAGE


def test_official_accuracies_are_those_of_the_committed_answers():
    """The seeds of one network, counted from the answers that the sweep has stored."""
    by_run = {}
    for row in predictions_of("judged_official_hd"):
        by_run.setdefault(row["hash"], []).append(row["label"] == row["predicted"])
    assert len(by_run) == 5
    counted = 100 * mean([mean(right) for right in by_run.values()])
    (row,) = (
        row
        for row in rows_of("official")
        if (row["what"], row["language"], row["speakers"]) == ("best single network", "both", "all")
    )
    assert counted == pytest.approx(float(row["accuracy"]), abs=1e-6)


def test_the_mean_of_twelve_speakers_is_that_of_the_small_networks_answers():
    """The script takes seeds and speakers apart; here each answer is counted."""
    seeds = {row["hash"]: row["seed"] for row in rows_of("benchmark_hd") if row["model"] == "small"}
    right = {}
    for row in predictions_of("benchmark_hd"):
        if row["hash"] in seeds:
            key = row["speaker"], row["hash"]
            right.setdefault(key, []).append(row["label"] == row["predicted"])
    assert len(right) == 12 * 5
    (told,) = [
        row
        for row in rows_of("official")
        if (row["what"], row["language"], row["speakers"])
        == ("small network", "both", "mean of twelve")
    ]
    counted = mean([100 * mean(answers) for answers in right.values()])
    assert float(told["accuracy"]) == pytest.approx(counted)


STUDENT_T_9 = 2.262157  # quantile for a 95 % interval over ten speakers
BASELINES = {
    "small": "small",
    "reference": "reference",
    "one adaptive network": "adaptive, augmented recordings",
    "three adaptive networks as an ensemble": SELECTED["winner"],
}


def baseline(label, size, accumulates, of_column):
    """Return a row of the table of baselines; `of_column` has accuracies by speaker."""
    values = [*of_column["accuracy"].values()]
    assert len(values) == 10
    half = STUDENT_T_9 * statistics.stdev(values) / 10**0.5
    worst = min(of_column["accuracy"], key=of_column["accuracy"].get)
    languages = [f"{mean(of_column[name].values()):.1f} %" for name in ("english", "german")]
    cells = [label, size, accumulates, f"{mean(values):.1f} ± {half:.1f} %", *languages]
    return f"| {' | '.join(cells)} | {of_column['accuracy'][worst]:.0f} % (speaker {worst}) |"


def accumulates(entry):
    """Return the accumulates of all networks of an entry, for one utterance."""
    of_candidate = {}
    for table in ("selection_hd", "selection_today_hd", "selection_small_hd"):
        for row in rows_of(table):
            of_candidate.setdefault(row["candidate"], []).append(float(row["effective_acs"]))
    networks = ENSEMBLES.get(entry, {entry: [0]})
    return sum(len(seeds) * mean(of_candidate[name]) for name, seeds in networks.items())


def test_the_page_of_the_folds_has_our_accuracies_as_baselines():
    page = (ROOT / "docs" / "folds.md").read_text(encoding="utf-8")
    columns = ("accuracy", "english", "german")
    for label, entry in BASELINES.items():
        of_column = {column: accuracies(entry, column=column) for column in columns}
        cost = f"{accumulates(entry) / 1e6:.2f} million"
        row = baseline(label, f"{SIZES[entry]:,}", cost, of_column)
        assert f"\n{row}\n" in page, row
    nested = {
        column: {
            speaker: accuracies(entry, column=column)[speaker] for speaker, entry in WITHOUT.items()
        }
        for column in columns
    }
    largest = max(SIZES[entry] for entry in WITHOUT.values())
    most = max(accumulates(entry) for entry in WITHOUT.values())
    cost = f"at most {most / 1e6:.2f} million"
    label = "what the other nine folds select (nested)"
    row = baseline(label, f"at most {largest:,}", cost, nested)
    assert f"\n{row}\n" in page, row
