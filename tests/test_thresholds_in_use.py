"""The thresholds of the networks in use, found again by plain loops from committed class scores."""

import functools
import json
import math

import h5py
import numpy as np
import pytest

from shd_corpus.class_names import LANGUAGES
from shd_helpers import hear
from tests import RESULTS
from tests.builders.committed import mean, rows_of

# The networks in use, and whose folds gave their thresholds: a table, a candidate and its seeds.
IN_USE = {
    "adaptive": ("selection", "adaptive, augmented recordings", ("0", "1", "2")),
    "small": ("selection_today", "small", ("0",)),
}
SELECTED = {row["what"]: row["selected"] for row in rows_of("selected") if not row["speaker"]}
ENTRY_OF = {"adaptive": SELECTED["winner"], "small": SELECTED["small network"]}
SHARE_RIGHT = 0.97  # that docs/results.md promises of accepted answers to augmented recordings
FOREIGN = "german, classified as english"


def answer_of(scores, label, names, language_of_answers=None):
    """Return language, confidence and correctness of an utterance, heard in its own language."""
    own_language = "english" if names[label] in LANGUAGES["english"] else "german"
    possible = LANGUAGES[language_of_answers or own_language]
    digits = [k for k, name in enumerate(names) if name in possible]
    best = max(digits, key=lambda k: scores[k])
    total = sum(math.exp(scores[k] - scores[best]) for k in digits)
    sure = None if max(scores) > scores[best] else 1 / total
    return own_language, sure, best == label


@functools.cache
def answers_by_speaker(network, file_name, language_of_answers=None):
    """Return a network's answers by held-out speaker; those of an ensemble are averaged."""
    table, candidate, seeds = IN_USE[network]
    runs = {}
    for row in rows_of(f"{table}_hd"):
        if row["candidate"] == candidate and row["seed"] in seeds:
            runs.setdefault(int(row["validation_speakers"]), []).append(row["hash"])
    found = {}
    with h5py.File(RESULTS / f"{table}_hd_{file_name}.h5") as file:
        for speaker, hashes in runs.items():
            assert len(hashes) == len(seeds)
            names = [str(name) for name in file[hashes[0]].attrs["class_names"]]
            labels = file[hashes[0]]["label"][:].tolist()
            members = [file[run]["scores"][:].tolist() for run in hashes]
            found[speaker] = []
            for label, *rows in zip(labels, *members, strict=True):
                scores = [mean(values) for values in zip(*rows, strict=True)]
                found[speaker].append(answer_of(scores, label, names, language_of_answers))
    return found


def shares(answers, threshold):
    """Return which shares are accepted, of these are right, and of all are right.

    The second one is None if nothing is accepted.
    """
    accepted = [is_right for _, sure, is_right in answers if sure is not None and sure >= threshold]
    of_accepted = mean(accepted) if accepted else None
    return len(accepted) / len(answers), of_accepted, mean([right for _, _, right in answers])


def lowest_threshold(answers):
    """Return the lowest confidence from which on enough of the accepted answers are right.

    From the highest confidence down, answer by answer; equal ones are counted together.
    """
    ordered = sorted(
        ((sure, right) for _, sure, right in answers if sure is not None), reverse=True
    )
    n_right = 0
    lowest = math.inf
    for n, (confidence, is_right) in enumerate(ordered, start=1):
        n_right += is_right
        is_last = n == len(ordered) or ordered[n][0] < confidence
        if is_last and n_right >= SHARE_RIGHT * n:
            lowest = confidence
    return lowest


@pytest.mark.parametrize("network", IN_USE)
def test_thresholds_are_the_lowest_that_nine_speakers_give(network):
    answers = {
        "as recorded": answers_by_speaker(network, "scores"),
        "augmented": answers_by_speaker(network, "augmented_scores"),
    }
    in_english = {
        "as recorded": answers_by_speaker(network, "scores", "english"),
        "augmented": answers_by_speaker(network, "augmented_scores", "english"),
    }
    rows = [row for row in rows_of("fold_thresholds") if row["network"] == ENTRY_OF[network]]
    assert len(rows) == 10 * 2 * 4
    for row in rows:
        speaker = int(row["speaker"])
        of_others = [own for other, own in answers["augmented"].items() if other != speaker]
        threshold = lowest_threshold([each for own in of_others for each in own])
        assert float(row["confidence_threshold"]) == pytest.approx(threshold, abs=5.1e-5)
        own = answers[row["sound"]][speaker]
        if row["utterances"] == FOREIGN:
            own = [each for each in in_english[row["sound"]][speaker] if each[0] == "german"]
        elif row["utterances"] != "both languages":
            own = [each for each in own if each[0] == row["utterances"]]
        accepted, right, right_of_all = shares(own, threshold)
        # An answer at the threshold may fall on either side, because of rounding errors. It is one
        # of at least 280.
        assert float(row["accepted"]) == pytest.approx(accepted, abs=0.004), row
        assert float(row["correct_of_all"]) == pytest.approx(right_of_all, abs=0.004), row
        if right is None:
            assert row["correct"] == "", row
        else:
            assert float(row["correct"]) == pytest.approx(right, abs=0.004), row


@pytest.mark.parametrize("path", sorted((RESULTS / "networks").glob("*.npz")), ids=lambda p: p.stem)
def test_a_networks_threshold_is_that_of_the_committed_scores(path):
    with np.load(path) as file:
        about = json.loads(str(file["about"]))
    if path.stem not in IN_USE:
        message = "name the entry whose scores gave this threshold"
        assert "confidence_threshold" not in about, message
        return
    answers = answers_by_speaker(path.stem, "augmented_scores").values()
    lowest = lowest_threshold([each for own in answers for each in own])
    # scores are averaged in another order
    assert about["confidence_threshold"] == pytest.approx(lowest, abs=1e-6)


def test_the_listener_s_own_network_has_a_threshold_that_is_checked():
    assert hear.NETWORK in IN_USE
