"""What notebooks 1 to 4 say, against what they print and against committed tables."""

import re

import nbformat
import numpy as np
import pytest

from shd_helpers.figures import listening
from shd_helpers.paths import NOTEBOOKS
from shd_helpers.source.microphone import hear
from shd_helpers.source.speech import SPEECH_RATE_HZ, synthesise
from shd_helpers.study import evaluate, input_of, read_network, read_table
from shd_helpers.sweeps import plan_of
from tests.test_prose import README, says, table_rows

SURROGATES, TRAINING, RESULTS = (
    "02_surrogate_visualization",
    "03_model_training",
    "04_results_analysis",
)


def printed(notebook):
    """Return all that a notebook's cells print, in one line."""
    cells = nbformat.read(NOTEBOOKS / f"{notebook}.ipynb", as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return " ".join(" ".join(output.get("text", "") for output in outputs).split())


def table(notebook, caption):
    """Return the numbers of the first table whose HTML holds a word."""
    cells = nbformat.read(NOTEBOOKS / f"{notebook}.ipynb", as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    html = [output.get("data", {}).get("text/html", "") for output in outputs]
    first = next(text for text in html if caption in text)
    return [float(number) for number in re.findall(r">(-?[\d.]+)%?</td>", first)]


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_notebook_has_the_run_time_that_readme_has(number):
    (path,) = NOTEBOOKS.glob(f"{number:02d}_*.ipynb")
    first = nbformat.read(path, as_version=4).cells[0].source
    (time,) = re.findall(rf"^\| \[{number} · .* \| (\d+ s) \|$", README, re.M)
    assert f"\n| run time | {time} " in first


def test_a_sample_of_notebook_1():
    says("01_data_preprocessing", f"a *sample* lasts {1000 / (SPEECH_RATE_HZ // 2):.3f} ms")


def test_the_error_at_the_median_membrane_of_notebook_2():
    numbers = np.array(table(SURROGATES, "fast_sigmoid")).reshape(3, 6)
    gentle, steep = numbers[:, 3], numbers[:, 5]  # medians at the slopes 2 and 25
    assert 0.09 < gentle.min() < 0.1 and 0.2 < gentle.max() < 0.22 and steep.max() < 0.01
    assert "at the median membrane, 1.00 below the threshold" in printed(SURROGATES)
    says(
        SURROGATES,
        "Most membranes rest near zero, at -1 on these axes. At the median membrane a gentle "
        "surrogate (slope 2) passes on a tenth to a fifth of the error, a steep one (25) less than "
        "a hundredth.",
    )


def test_guessing_in_notebook_2():
    says(SURROGATES, f"guessing among ten words costs ln 10, about {np.log(10):.1f}")


def test_scores_and_lesson_of_notebook_3():
    run = read_table("chosen_spoken").query("seed == 0").iloc[0]  # the default run
    seen, unseen = (100 * run[f"test_{part}_accuracy"] for part in ("seen", "unseen"))
    says(TRAINING, f"about {seen:.0f} % for seen speakers and {unseen:.0f} % for unseen ones")
    code = (NOTEBOOKS / f"{TRAINING}.ipynb").read_text(encoding="utf-8")
    assert "range(min(16, len(parts.training)))" in code
    says(TRAINING, "Here *validation* is the same sixteen utterances, scored after the epoch.")
    right = [
        float(x) / 100 * 16 for x in re.findall(r"/2 .*?validation +([\d.]+)%", printed(TRAINING))
    ]
    assert right == pytest.approx(np.round(right), abs=0.01) and len(right) == 2


def test_errors_of_notebook_4():
    found = re.findall(
        r"(\w+) speakers: (\d+) errors in (\d+) pairs of words; (\d+) are in the three largest "
        r"pairs, (\d+) are one speaker's",
        printed(RESULTS),
    )
    errors = {name: [*map(int, numbers)] for name, *numbers in found}
    unseen, pairs, three, _ = errors["unseen"]
    assert three == unseen / 2 and pairs > 10
    seen, pairs, three, one = errors["seen"]
    assert pairs > seen / 2 and three < seen / 2 < one
    *_, seen_accuracy, unseen_accuracy = table(RESULTS, "test_seen")
    utterances = seen / (1 - seen_accuracy / 100)  # of ten words and ten speakers
    assert utterances / 10 == pytest.approx(20)
    assert unseen / (1 - unseen_accuracy / 100) / 2 == pytest.approx(80, abs=0.2)
    lowest = float(re.search(r"seen speakers: 10, the lowest (\d+) %", printed(RESULTS))[1])
    assert one == round((1 - lowest / 100) * utterances / 10)
    shares = table(RESULTS, ">eight</")
    assert shares == [15, 10, 10, 10, 10, 38, 38, 31, 12, 12, 12, 12, 12]
    for sentence in (
        "unseen speakers' errors gather in three pairs (*eight* heard as *two* or *six*, *six* as "
        "*two*): half of them. Seen speakers' errors hardly gather in pairs: a 10 in their matrix "
        "is two utterances of 20. Most come from one speaker",
        f"{one} of the {seen} errors of seen speakers are that speaker's.",
        "unseen speakers' errors gather in a few pairs of words, seen speakers' in one speaker.",
    ):
        says(RESULTS, sentence)


def test_new_speakers_under_the_answer_of_notebook_4():
    judged = read_table("judged_hd").query("model == 'shared weights'")
    new = judged[judged.held_out.isin(plan_of("judged")["strangers"])]
    assert len(new) == 10 and new.held_out.nunique() == 10
    right = 100 * new.test_unseen_accuracy.mean()
    assert f"New speakers of its recordings: {right:.0f} % are right" in printed(RESULTS)
    says(RESULTS, "ten speakers on whom no recipe was tuned, each left out once")
    by_input = table_rows("input (hd)")["183 x 333, notebook 7's small network"]
    assert by_input[1].startswith(f"{right:.1f} ± ")


def test_the_word_of_notebook_4():
    kept = read_network("best_0")
    p = kept.about["parameters"]
    assert p["n_delays"] - 1 == 7 and p["readout"] == "membrane"
    says(
        RESULTS,
        f"This network has {kept.network.fc2.in_features} hidden neurons. They hear seven more "
        f"copies of the sound, each {p['delay_ms']:.0f} ms later",
    )
    figure = listening.say_a_word(kept, synthesise("seven", "en-us+m3"), SPEECH_RATE_HZ, "Maybe.")
    membranes = figure.axes[2]
    assert membranes.get_title(loc="left") == "answer: eight (largest mean)"
    says(RESULTS, "which this network takes for *eight*; the four others of its kind hear *seven*.")
    word = hear(synthesise("seven", "en-us+m3"), SPEECH_RATE_HZ)
    others = [read_network(f"best_{seed}") for seed in range(1, 5)]
    heard = [evaluate(k.network, input_of(k, word.times, word.units)).answers[0] for k in others]
    assert [k.class_names[i] for k, i in zip(others, heard, strict=True)] == ["seven"] * 4
    assert membranes.get_ylabel() == "membrane\n(thresholds)"
    lines = np.array([line.get_ydata() for line in membranes.lines[:10]])
    assert kept.class_names[lines.mean(1).argmax()] == "eight"
