"""What notebook 7 and README say of the networks that every speaker judges."""

import pandas as pd
import pytest

from shd_helpers.source import LANGUAGES
from shd_helpers.study import (
    collect_predictions,
    contrasts,
    read_table,
    speaker_accuracies,
    summarise,
)
from shd_helpers.sweeps import plan_of
from tests.test_prose import README, percent, says, table_rows

NOTEBOOK = "07_new_speakers"


class Judged:
    """The study's network and those that judge it, with every speaker left out once."""

    def __init__(self):
        plan = plan_of("judged")
        self.best = plan["primary"][0]
        tuned = speaker_accuracies("final_hd").query("input == '183 x 333' and seed == 0")
        models = speaker_accuracies("judged_hd", "model")
        table = pd.concat([tuned.assign(input="study"), models])
        table = table[table.groupby("input").speaker.transform("size") == 12]
        self.by = 100 * table.pivot(index="speaker", columns="input", values="test_unseen_accuracy")
        new = table[table.speaker.isin(plan["strangers"])]
        self.means = summarise(new, "input", over="speaker")
        pairs = [(self.best, "study"), (self.best, "one hidden layer")]
        unseen, seen = (
            contrasts(new, pairs, f"test_{part}_accuracy") for part in ("unseen", "seen")
        )
        (self.gain, self.full), (self.seen_gain, self.seen_full) = (
            (found.loc[pairs[0]], found.loc[pairs[1]]) for found in (unseen, seen)
        )
        self.chose_nothing = self.by.loc[plan["not_chosen_by"]].mean()
        final, models = summarise(read_table("final_hd"), "input"), read_table("judged_hd")
        self.full_parameters = models[models.model == "one hidden layer"].parameters.iloc[0]
        self.costs = {
            "study": final.loc["183 x 333"],
            self.best: summarise(models, "model").loc[self.best],
        }


@pytest.fixture(scope="module")
def judged():
    return Judged()


def test_the_judged_network_in_notebook_7_and_readme(judged):
    by, best, unseen = judged.by, judged.best, judged.means.test_unseen
    better, hardest = by[best] - by.study, by.study.idxmin()
    gain = f"{judged.gain['mean']:.1f} ± {judged.gain.ci95:.1f}"
    errors = 100 * (100 - unseen[best]) / (100 - unseen.study)
    few, many = judged.costs[best], judged.costs["study"]
    fewer = many.parameters / few.parameters
    for sentence in (
        f"All twelve are understood better, by {better.min():.0f} to {better.max():.0f} points; "
        f"most gains the one who was understood worst, speaker {hardest}, from "
        f"{by.study.min():.0f} to {by.loc[hardest, best]:.0f} %. Speaker {by[best].idxmin()} is "
        f"now the hardest, with {by[best].min():.0f} %.",
        f"A new speaker gets {unseen[best]:.1f} % instead of {unseen.study:.1f} % (",
        f"These are {gain} points more (p {judged.gain.p:.4f}), and {errors:.0f} % of the errors.",
        f"Speakers 4 and 5 alone rise from {judged.chose_nothing.study:.1f} to "
        f"{judged.chose_nothing[best]:.1f} %. Seen speakers gain "
        f"{judged.seen_gain['mean']:.1f} ± {judged.seen_gain.ci95:.1f} points, which may be none",
        f"bring a new speaker from {unseen.study:.1f} to {unseen[best]:.1f} %, by {gain} points, "
        f"with {fewer:.1f} times fewer parameters than the study's network.",
        f"It needs {fewer:.1f} times fewer parameters than the study's network",
        f"{few.effective_acs / many.effective_acs:.1f} times the accumulates, "
        f"{few.hidden_spikes / many.hidden_spikes:.1f} times the hidden spikes and "
        f"{100 * few.neuron_updates / many.neuron_updates - 100:.0f} % more neuron updates.",
        f"needs {few.unrolled_synapses / many.unrolled_synapses:.1f} times the study's.",
        f"{few.parameters:,.0f} shared weights and constants halve the errors of "
        f"{many.parameters:,.0f}.",
    ):
        says(NOTEBOOK, sentence)
    full, seen = judged.full, judged.seen_full
    says(
        NOTEBOOK,
        f"One full layer with delays and its own recipe gets {unseen['one hidden layer']:.1f} %; "
        f"against it shared weights have {full['mean']:+.1f} ± {full.ci95:.1f} points, with "
        f"{judged.full_parameters / few.parameters:.0f} times fewer parameters; "
        f"seen speakers lose {-seen['mean']:.1f} ± {seen.ci95:.1f} points.",
    )
    assert better.idxmax() == hardest and better.min() > 0 and 45 < errors < 50
    assert judged.gain.p_holm < 0.05 and abs(judged.seen_gain["mean"]) < judged.seen_gain.ci95
    assert f"bring another {gain} points (one seed), half of the errors gone" in README
    row = judged.means.loc[best]
    cells = [f"{percent(row, part)} %" for part in ("test_seen", "test_unseen")]
    cost = [f"{few.parameters:,.0f}", f"{few.effective_acs / 1e6:.2f} million"]
    assert table_rows("input (hd)")["183 x 333, notebook 7's network"] == [*cells, *cost]
