"""The check of results against the protocol for SHD: right ones pass, each deviation is named."""

import sys

import numpy as np
import pandas as pd
import pytest

from shd_judge.__main__ import main
from shd_judge.protocol import UTTERANCES, ProtocolError, check

TWO_AT_A_TIME = {0: 0, 7: 0, 1: 1, 8: 1, 2: 2, 9: 2, 3: 3, 10: 3, 6: 4, 11: 4}


def made(seeds=(0, 1), of_english=True, of_german=True):
    """Return answers to all utterances of the protocol, three of four of them right."""
    rng = np.random.default_rng(0)
    rows = []
    for seed in seeds:
        row = 0
        for speaker, (english, german) in UTTERANCES.items():
            for _ in range(english * of_english + german * of_german):
                is_right = rng.random() < 0.75
                rows.append((TWO_AT_A_TIME[int(speaker)], speaker, seed, row, "null", is_right))
                row += 1
    columns = ["fold", "speaker", "seed", "row", "label", "answer"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(answer=np.where(table.answer, "null", "neun"))


def written(folder, answers):
    """Write the answers, and by a loop the table of their accuracies."""
    counts = {}
    for row in answers.itertuples():
        right, all_of_them = counts.get((row.speaker, row.seed), (0, 0))
        counts[row.speaker, row.seed] = (right + (row.label == row.answer), all_of_them + 1)
    lines = [f"{a},{b},{right / n:.6f}" for (a, b), (right, n) in counts.items()]
    (folder / "table.csv").write_text("\n".join(["speaker,seed,accuracy", *lines]))
    answers.to_csv(folder / "scores.csv", index=False)
    return folder / "table.csv", folder / "scores.csv"


@pytest.mark.parametrize(
    ("languages", "said"),
    [((True, True), "both languages"), ((True, False), "English"), ((False, True), "German")],
)
def test_results_that_follow_the_protocol_pass(tmp_path, languages, said):
    answers = made((0, 1), *languages)
    text = check(*written(tmp_path, answers))
    assert text.startswith(f"SHD speakers, version 1: five folds, {said}, 2 seeds")
    by_speaker = (answers.label == answers.answer).groupby(answers.speaker).mean()
    assert f"lowest: speaker {by_speaker.idxmin()}, {100 * by_speaker.min():.1f} %" in text
    assert "partial: the seeds are [0, 1] instead of [0, 1, 2]" in text
    one_at_a_time = answers.assign(fold=answers.speaker)
    assert "ten folds" in check(*written(tmp_path, one_at_a_time))


def test_three_seeds_are_not_partial(tmp_path):
    assert "partial" not in check(*written(tmp_path, made((0, 1, 2), of_german=False)))


DEVIATIONS = {
    "tested twice": lambda answers: pd.concat([answers, answers.iloc[:1]]),
    "numbers of utterances": lambda answers: answers.iloc[1:],
    "holds out": lambda answers: answers.assign(fold=answers.row % 5),
    "there is no column 'fold'": lambda answers: answers.drop(columns="fold"),
}


@pytest.mark.parametrize(("message", "deviate"), DEVIATIONS.items())
def test_a_deviation_is_named(tmp_path, message, deviate):
    with pytest.raises(ValueError, match=message):
        check(*written(tmp_path, deviate(made())))


def test_an_accuracy_that_the_answers_do_not_give_is_named(tmp_path):
    table, scores = written(tmp_path, made())
    found = pd.read_csv(table)
    found.loc[7, "accuracy"] += 0.01
    found.to_csv(table, index=False)
    speaker, seed = found.loc[7, ["speaker", "seed"]].astype(int)
    with pytest.raises(ProtocolError, match=f"speaker {speaker} with seed {seed} has the accuracy"):
        check(table, scores)


def test_the_command_prints_the_result_or_a_sentence(tmp_path, monkeypatch, capsys):
    table, scores = map(str, written(tmp_path, made()))
    monkeypatch.setattr(sys, "argv", ["shd_judge", "check", table, scores])
    main()
    assert "five folds" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["shd_judge", "check", table, table])
    with pytest.raises(SystemExit, match="there is no column 'fold'"):
        main()
