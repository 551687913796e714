"""What notebook 7 and README say of the networks that every speaker judges."""

import pandas as pd
import pytest

from shd_helpers.source import LANGUAGES
from shd_helpers.study import (
    collect_predictions,
    contrasts,
    holm,
    read_table,
    speaker_accuracies,
    summarise,
)
from shd_helpers.sweeps import plan_of
from tests.test_prose import README, percent, says, table_rows

NOTEBOOK = "07_new_speakers"
FULL, MOST = "one hidden layer", "no shared weights"


class Judged:
    """The study's network and those that judge it, with every speaker left out once."""

    def __init__(self):
        plan = plan_of("judged")
        self.best, self.comparison = plan["primary"]
        tuned = speaker_accuracies("final_hd").query("input == '183 x 333' and seed == 0")
        models = speaker_accuracies("judged_hd", "model")
        table = pd.concat([tuned.assign(input="study"), models])
        assert (table.groupby("input").speaker.nunique() == 12).all()
        self.by = 100 * table.pivot(index="speaker", columns="input", values="test_unseen_accuracy")
        new = table[table.speaker.isin(plan["strangers"])]
        self.means = summarise(new, "input", over="speaker")
        against = [(self.best, other) for other in ("study", self.comparison, FULL)]
        both = [contrasts(new, against, f"test_{part}_accuracy") for part in ("unseen", "seen")]
        adjusted = holm(pd.concat(both).p)  # one family
        self.unseen, self.seen = (
            found.droplevel("input").assign(p_holm=p)
            for found, p in zip(both, (adjusted[:3], adjusted[3:]), strict=True)
        )
        without = [pair for pair in plan["secondary"] if pair[1].startswith("no ")]
        self.owed = contrasts(new, without, "test_unseen_accuracy").droplevel("input")
        pairs = (FULL, self.comparison), ("no delays", "study"), (MOST, self.comparison)
        self.full_comparison, self.cheap, self.most = (
            contrasts(new, [pair], "test_unseen_accuracy").iloc[0] for pair in pairs
        )
        self.chose_nothing = self.by.loc[plan["not_chosen_by"]].mean()
        final, models = summarise(read_table("final_hd"), "input"), read_table("judged_hd")
        self.costs = summarise(models, "model").T.assign(study=final.loc["183 x 333"]).T
        heard = collect_predictions("judged_hd").merge(models[["hash", "model"]], on="hash")
        self.heard = heard[~heard.seen & heard.speaker.isin(plan["strangers"])]
        self.heard = self.heard.assign(wrong=self.heard.label != self.heard.predicted)


@pytest.fixture(scope="module")
def judged():
    return Judged()


def points(differences, against):
    """Return a difference with its interval, as the prose gives it."""
    row = differences.loc[against]
    return f"{row['mean']:+.1f} ± {row.ci95:.1f}"


def test_the_judged_network_in_notebook_7_and_readme(judged):
    by, best, unseen = judged.by, judged.best, judged.means.test_unseen
    better, hardest = by[best] - by.study, by.study.idxmin()
    gain, seen = judged.unseen.loc["study"], judged.seen.loc["study"]
    errors = 100 * (100 - unseen[best]) / (100 - unseen.study)
    few, many = judged.costs.loc[best], judged.costs.loc["study"]
    fewer = many.parameters / few.parameters
    gained = points(judged.unseen, "study").lstrip("+")
    for sentence in (
        f"All twelve are understood better, by {better.min():.0f} to {better.max():.0f} points; "
        f"most gains the one who was understood worst, speaker {hardest}, from "
        f"{by.study.min():.0f} to {by.loc[hardest, best]:.0f} %. Speaker {by[best].idxmin()} is "
        f"now the hardest, with {by[best].min():.0f} %.",
        f"A new speaker gets {unseen[best]:.1f} % instead of {unseen.study:.1f} % (",
        f"These are {gained} points more (p {gain.p:.4f}, adjusted {gain.p_holm:.3f}), and "
        f"{errors:.0f} % of the errors.",
        f"Speakers 4 and 5 alone rise from {judged.chose_nothing.study:.1f} to "
        f"{judged.chose_nothing[best]:.1f} %. Seen speakers gain "
        f"{points(judged.seen, 'study').lstrip('+')} points, which may be none",
        f"brings a new speaker from {unseen.study:.1f} to {unseen[best]:.1f} %, by {gained} "
        f"points, with {fewer:.1f} times fewer parameters than the study's network.",
        f"needs {fewer:.1f} times fewer parameters than the study's network, which helps",
        f"{few.effective_acs / many.effective_acs:.1f} times the accumulates, "
        f"{few.hidden_spikes / many.hidden_spikes:.1f} times the hidden spikes and "
        f"{100 * few.neuron_updates / many.neuron_updates - 100:.0f} % more neuron updates.",
        f"needs {few.unrolled_synapses / many.unrolled_synapses:.1f} times the study's.",
        f"with {few.parameters:,.0f} parameters a new speaker meets half of the errors that the "
        f"study's {many.parameters:,.0f} make",
    ):
        says(NOTEBOOK, sentence)
    assert better.idxmax() == hardest and better.min() > 0 and 45 < errors < 50
    assert gain.p_holm < 0.05 and abs(seen["mean"]) < seen.ci95
    assert 6 < fewer < 6.5
    assert f"A network with a sixth of the parameters gets {unseen[best]:.1f} %, which" in README
    row = judged.means.loc[best]
    cells = [f"{percent(row, part)} %" for part in ("test_seen", "test_unseen")]
    cost = [f"{few.parameters:,.0f}", f"{few.effective_acs / 1e6:.2f} million"]
    assert table_rows("input (hd)")["183 x 333, notebook 7's small network"] == [*cells, *cost]


def test_the_judged_network_against_others_in_notebook_7(judged):
    unseen, cost, comparison = judged.means.test_unseen, judged.costs, judged.comparison
    few, row, full = cost.loc[judged.best], judged.unseen.loc[comparison], judged.unseen.loc[FULL]
    between, larger = judged.full_comparison, cost.parameters[FULL] / few.parameters
    contest = read_table("contest_hd").groupby("contestant").validation_accuracy.max()
    ahead = 100 * (contest[comparison] - contest[judged.best])
    for sentence in (
        f"gets {unseen[comparison]:.1f} % of a new speaker's words. Shared weights get "
        f"{points(judged.unseen, comparison).lstrip('-')} points less (p {row.p:.3f}, adjusted "
        f"{row.p_holm:.3f}), which isn't shown. Seen speakers have "
        f"{points(judged.seen, comparison)} (adjusted {judged.seen.p_holm[comparison]:.3f}). In "
        f"the contest it was ahead by {ahead:.1f} points; two speakers say little.",
        f"gets {unseen[FULL]:.1f} %. Against it shared weights have "
        f"{points(judged.unseen, FULL)} points, with {larger:.0f} times fewer parameters; a loss "
        f"above {full.excluded_loss:.1f} is excluded. Seen speakers have "
        f"{points(judged.seen, FULL)}.",
        f"no difference is seen: {between['mean']:+.1f} ± {between.ci95:.1f} points. This pair "
        f"wasn't planned; a loss above {between.excluded_loss:.1f} is excluded.",
        f"is a full layer with the small network's recipe and {larger:.0f} times its parameters. "
        f"It gets {unseen[MOST]:.1f} %, with a third of the study's errors. A convolutional "
        f"network without spikes gets {unseen[comparison]:.1f} %.",
    ):
        says(NOTEBOOK, sentence)
    assert row.p < 0.05 < row.p_holm and full.p > 0.05 and between.p > 0.05


def test_what_the_judged_network_owes_in_notebook_7(judged):
    owed, unseen = judged.owed, judged.means.test_unseen
    assert len(owed) == 3 and unseen.idxmax() == MOST
    most, errors = judged.most, (100 - unseen[MOST]) / (100 - unseen.study)
    for name in owed.index:
        says(
            NOTEBOOK,
            f"**{name.capitalize()}**: {unseen[name]:.1f} %; the small network has "
            f"{points(owed, name)} points against it, and a loss above "
            f"{owed.excluded_loss[name]:.1f} points is excluded.",
        )
    assert (owed.p > 0.05).all() and 0.31 < errors < 0.35  # "a third"
    assert f"a full layer with delays {unseen[MOST]:.1f} %." in README
    cheap, cost = judged.cheap, judged.costs
    few, many = cost.loc["no delays"], cost.loc["study"]
    saved = many.effective_acs / few.effective_acs
    gain = f"{cheap['mean']:.1f} ± {cheap.ci95:.1f} points"
    for sentence in (
        f"it has {few.parameters:,.0f} parameters, and an answer takes "
        f"{few.effective_acs / 1e6:.2f} million accumulates, {saved:.1f} times fewer than the "
        f"study's. Against the study's a new speaker gains {gain}. This pair wasn't planned. Seen "
        f"speakers get {judged.means.test_seen['no delays']:.1f} %.",
        f"taken from the final network it is worth {points(owed, 'no augmentation')}. Neither is",
        f"In the small network it is worth {points(owed, 'no augmentation')}.",
        f"The full layer with this recipe gets {unseen[MOST]:.1f} %, the most of all here, with "
        f"{100 * errors:.0f} % of the study's errors: {most['mean']:+.1f} ± {most.ci95:.1f} points "
        f"against the comparison (p {most.p:.2f}; not planned)",
    ):
        says(NOTEBOOK, sentence)
    assert cheap.p < 0.05


def test_what_is_still_wrong_in_notebook_7(judged):
    heard, best, other = judged.heard, judged.best, judged.comparison
    by_word, speakers = (
        100 * heard.pivot_table("wrong", by, "model") for by in ("label", "speaker")
    )
    assert (by_word[best] - by_word[other]).idxmax() == 0
    wrong = heard[(heard.model == best) & heard.wrong]
    words = [*LANGUAGES["english"]]
    (first, n), (second, m) = wrong.groupby(["label", "predicted"]).size().nlargest(2).items()
    pairs = [f"*{words[a]}* for *{words[b]}*" for b, a in (first, second)]
    share = 100 * wrong.groupby("speaker").size() / len(wrong)
    worst = share.nlargest(3)
    table = heard.pivot_table("wrong", ["part", "row"], "model").astype(bool)
    shared = table[other][table[best]].mean()
    assert shared < 0.5  # most errors are its own
    for sentence in (
        f"Of the {len(wrong)} wrong words {worst.sum():.0f} % are of three of the ten speakers, "
        f"{', '.join(map(str, sorted(worst.index)[:2]))} and {sorted(worst.index)[2]}.",
        f"Shared weights hear {pairs[0]} {n} times, {pairs[1]} {m} times.",
        f"the comparison gets {100 * shared:.0f} % wrong, too; of all words it is "
        f"{100 * table[other].mean():.0f} %.",
        f"Speaker 11 is hard for both ({speakers[best][11]:.0f} and {speakers[other][11]:.0f} % "
        f"wrong), speaker 10 for the spiking network alone ({speakers[best][10]:.0f} and "
        f"{speakers[other][10]:.0f} %).",
        f"The two differ most in *zero*: {by_word[best][0]:.1f} % are wrong, and "
        f"{by_word[other][0]:.1f} % with the comparison.",
    ):
        says(NOTEBOOK, sentence)
