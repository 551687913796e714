"""What notebook 7 and README say of downsizing where words are augmented."""

import pytest

from shd_helpers.study import contrasts, difference, read_table, speaker_accuracies, summarise
from shd_helpers.sweeps import plan_of
from tests.test_prose import README, says

NOTEBOOK = "07_new_speakers"


class Inputs:
    """Three inputs with the ladder's recipe, and with the tuned one; every speaker left out."""

    def __init__(self):
        plan = plan_of("inputs")
        self.small, self.full = plan["primary"]
        self.learned = self.of_new("inputs_hd", plan)
        tuned = self.of_new("final_hd", plan).query("seed == 0")
        self.tuned = tuned[tuned.input.isin(self.learned.input)]
        assert (self.learned.groupby("input").speaker.nunique() == 10).all()
        pairs = [plan["primary"], *plan["secondary"]]
        self.unseen, self.seen = (
            contrasts(self.learned, pairs, f"test_{part}_accuracy") for part in ("unseen", "seen")
        )
        self.change = difference(self.lost(self.learned), self.lost(self.tuned), "loss", "speaker")

    @staticmethod
    def of_new(name, plan):
        table = speaker_accuracies(name)
        return table[table.speaker.isin(plan["strangers"])]

    def lost(self, runs):
        by = runs.pivot(index=["speaker", "seed"], columns="input", values="test_unseen_accuracy")
        return (by[self.full] - by[self.small]).rename("loss").reset_index()


@pytest.fixture(scope="module")
def inputs():
    return Inputs()
