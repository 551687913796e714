"""The numbers of "How not to fool yourself", counted again from the committed table."""

import csv
import statistics

import matplotlib.pyplot as plt
import pytest

from shd_course import traps
from shd_course.figures import listening
from tests import RESULTS
from tests.builders.notebooks import prose_of

STUDENT_T_11 = 2.200985  # 0.975 quantile, 11 degrees of freedom


@pytest.fixture(scope="module")
def percent():
    """Return percentages for the held-out speaker by input, speaker and seed."""
    found = {"183 x 333": {}, "700 x 1000": {}}
    with (RESULTS / "final_hd.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["input"] in found:
                seeds = found[row["input"]].setdefault(int(row["held_out"]), {})
                seeds[int(row["seed"])] = 100 * float(row["test_unseen_accuracy"])
    return found


def test_ranges_of_seeds_and_speakers_are_those_of_the_prose(percent, tmp_path, monkeypatch):
    small = percent["183 x 333"].values()
    spreads = [max(seeds.values()) - min(seeds.values()) for seeds in small]
    means = [statistics.mean(seeds.values()) for seeds in small]
    assert f"means range from {min(means):.0f} to {max(means):.0f} %" in prose_of(4)
    monkeypatch.setenv("SHD_IMG_DIR", str(tmp_path))
    figure = traps.seeds_and_speakers()
    title = figure.get_suptitle()
    assert title == (
        f"With 183 x 333, seeds of one speaker differ by {min(spreads):.0f} to "
        f"{max(spreads):.0f} percentage points, speakers by up to {max(means) - min(means):.0f}"
    )
    plt.close(figure)


def test_each_trap_has_the_numbers_of_the_table(percent):
    table = traps.table()
    small = percent["183 x 333"]
    speakers = [statistics.mean(seeds.values()) for seeds in small.values()]
    half = STUDENT_T_11 * statistics.stdev(speakers) / 12**0.5
    mean = statistics.mean(speakers)
    careful = table["careful report"]
    assert careful["seen speakers"] == f"{mean:.1f} % for unseen speakers"
    assert careful["utterances counted"] == f"{mean:.1f} ± {half:.1f} % over speakers"
    full = percent["700 x 1000"]
    paired = [a - statistics.mean(full[s].values()) for s, a in zip(small, speakers, strict=True)]
    half = STUDENT_T_11 * statistics.stdev(paired) / 12**0.5
    assert careful["not paired"].startswith(f"± {half:.1f},")
    assert f"changes {statistics.mean(paired):+.1f} ± " in table["careless report"]["not paired"]
    worst, best = min(small[2].values()), max(small[2].values())
    assert table["careless report"]["the lucky seed"] == f"speaker 2: {best:.0f} %"
    assert careful["the lucky seed"].endswith(f"; {worst:.0f} % with the worst seed")
    choosing = [small[s] for s in sorted(small)[::2]]
    means = [statistics.mean(seeds[k] for seeds in choosing) for k in range(5)]
    assert f": {max(means):.1f} % (all" in table["careless report"]["chosen on the test"]


def test_the_sentence_under_an_answer_has_the_committed_accuracy():
    with (RESULTS / "everybody_judged.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["network"] == "small"]
    (row,) = [row for row in rows if row["tested_on"] == "commands"]
    percent = f"{100 * float(row['accuracy']):.0f} % of the digits of {row['people']} unseen people"
    assert percent in listening._chances()
