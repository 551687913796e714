"""Write results/networks/README.md: a card for each kind of pretrained network.

``python -m evidence.model_cards`` writes the page anew from the committed tables. It computes
nothing that isn't in them.
"""

import argparse
from typing import NamedTuple

import pandas as pd

from evidence.everybody.plan import plan
from evidence.everybody.selection import EVERYBODY, SMALL
from evidence.lists import table
from evidence.non_digits import WORDS
from shd_corpus.files import atomic
from shd_helpers.command import run
from shd_helpers.paths import networks_dir, results_dir
from shd_helpers.study.tables import read_table


class Card(NamedTuple):
    """What is said about one kind of pretrained network."""

    name: str
    is_for_use: bool  # by anybody with a microphone
    intended_use: str
    network: str
    limits: str


CARDS = (
    Card(
        EVERYBODY,
        True,
        "Recognizing the digits that somebody says into a microphone, in English or German, where "
        "size doesn't matter. `make hear` and `Listener` use it by default.",
        "A single spiking network with two hidden layers: the same 16 adaptive neurons at each of "
        "19 windows of 32 input units, then 64 adaptive neurons. It has delays before both layers, "
        "learned per-neuron time constants and thresholds, and a readout from membrane potentials. "
        "21 classes: twenty digits and *other*.",
        "It has no circuit.",
    ),
    Card(
        SMALL,
        True,
        "Recognizing digits with few parameters. The circuit in "
        "[results/circuit](../circuit/README.md) is this network.",
        "A single spiking network: the same 16 neurons at each of 19 windows of 32 input units, "
        "with delays, learned per-neuron time constants and thresholds, and a readout from "
        "membrane potentials. 21 classes: twenty digits and *other*.",
        "",
    ),
    Card(
        "study_0 to study_4",
        False,
        "The study's network, to look at what it learned. Don't use it to recognize digits: it is "
        "less accurate than the others.",
        "183 inputs, 256 hidden and 10 output neurons, spike counts. English. One file for each of "
        "five seeds.",
        "These networks have no confidence threshold, so they answer everything, also German "
        "digits.",
    ),
    Card(
        "circuit_0 to circuit_4",
        False,
        "The circuit in [results/circuit_study](../circuit_study/README.md), which is `circuit_0`. "
        "This seed was fixed beforehand, and is the best of the five. Don't confuse it with "
        "[results/circuit](../circuit/README.md), which is the *small* network as a circuit.",
        "As *study*, with shift and stretch augmentation. The last ten epochs are "
        "quantization-aware: 3-bit and 8-bit weights, 12-bit membrane potentials. English.",
        "These networks have no confidence threshold, so they answer everything, also German "
        "digits.",
    ),
)

INTRODUCTION = """\
# Pretrained networks

These networks were trained by the study. `load_pretrained("small")` loads one, and `Listener` \
classifies a sound with one:

```python
from shd_helpers import Listener

print(Listener("everybody", language="english").hear("digit.wav"))
```

@OVERVIEW@

The input has an event where a block of channels and steps has at least `pool_threshold` entries \
with a spike. Input events and [accumulates](../../docs/glossary.md#accumulate) are means for one \
utterance of the test.

## All networks

* **Training data.** The [Heidelberg Digits](../../docs/data_card.md), encoded as spikes by a \
model of the inner ear. The study's networks were trained on ten of twelve speakers. *everybody* \
and *small* were trained on all twelve, on 1,621 people of \
[Speech Commands](../../docs/data_card.md#commands), and on sounds that are no digit, for which \
they have a class *other* ([plan](../../evidence/everybody/README.md)). All say English digits, \
and the twelve also say German ones.
* **Groups of speakers.** We report accuracy for unseen speakers. We don't use what the data sets \
say about them, such as age and gender.
* **Limits.** These networks can't recognize other words. A sound that is no digit also gets a \
class, unless the network rejects it. We didn't test *everybody* and *small* with German digits of \
unseen speakers. Don't use them where a wrong answer can harm somebody, or where a microphone is \
always on. [The data card](../../docs/data_card.md) lists other limits.
* **License.** The weights have the study's [MIT license](../../LICENSE). The recordings are by \
B. Cramer, Y. Stradmann, J. Schemmel and F. Zenke, [The Heidelberg Spiking Data \
Sets](https://doi.org/10.1109/TNNLS.2020.3044364) (2022), and by P. Warden, [Speech \
Commands](https://arxiv.org/abs/1804.03209) (2018), both \
[CC BY 4.0](https://creativecommons.org/licenses/by/4.0/). They were turned into spikes. Please \
name these sources.

± is a 95 % interval over people.
"""
CLOSING = """\
## How the files were made

`python -m evidence.networks study 'sweeps/networks_hd/model=study,*'` saved the study's networks, \
and likewise `circuit`. `python -m evidence.everybody ship` saved *everybody* and *small*. \
`python -m evidence.model_cards` writes this page.
"""


def percent(fraction: float) -> str:
    """Return a fraction as a percentage with one decimal."""
    return f"{100 * fraction:.1f} %"


def judged(name: str) -> pd.DataFrame:
    """Return the rows of a network in the table of what was judged, by its people."""
    found = pd.read_csv(results_dir() / "everybody_judged.csv").query("network == @name")
    return found.set_index("tested_on")


def judged_accuracies(name: str) -> str:
    """Return the table of how a network answers unseen people."""
    rows = []
    for dataset, row in judged(name).iterrows():
        people = f"{row.people} people of `commands`, their own microphones"
        if dataset != "commands":
            people = f"{row.people} speakers of `hd`, each held out"
        accuracy = f"{100 * row.accuracy:.1f} ± {100 * row.ci95:.1f} %"
        shares = row[["accuracy_all_classes", "accuracy_utterances", "accepted"]]
        right = f"{100 * row.right_of_accepted:.1f} ± {100 * row.right_of_accepted_ci95:.1f} %"
        rows.append((people, accuracy, *map(percent, shares), right))
    heading = "people,accuracy,of all classes,over utterances,accepted,of these right"
    return table(heading.split(","), rows)


def split_accuracies(model: str) -> str:
    """Return the table of accuracies of English networks on the official test file."""
    runs = read_table("networks_hd").query("model == @model").sort_values("seed")
    elsewhere = pd.read_csv(results_dir() / "other_microphones.csv")
    is_right = elsewhere.label == elsewhere.predicted
    of_network = is_right.groupby(elsewhere.network).mean()
    is_circuit = model == "circuit"
    rows = []
    for one in runs.itertuples():
        name = f"{model}_{one.seed}"
        shares = [one.test_accuracy, one.test_seen_accuracy, one.test_unseen_accuracy]
        shares.append(one.integer_test_unseen_accuracy if is_circuit else of_network[name])
        rows.append((f"`{name}`", *map(percent, shares)))
    last = "4 and 5, in integers" if is_circuit else "Free Spoken Digit Dataset"
    return table(("network", "all", "seen speakers", "speakers 4 and 5, unseen", last), rows)


def numbers(card: Card) -> list[str]:
    """Return the lines with the accuracies of a card."""
    model = card.name.split("_")[0]
    if card.is_for_use:
        return [
            "English digits of unseen people. *Accuracy* is a mean over people, if the network "
            "answers everything and chooses among the ten English digits. *Of all classes* is the "
            "same without this choice. The other columns are over utterances:",
            "",
            judged_accuracies(model),
            "",
            "The threshold was [lowered](../../evidence/everybody/README.md#what-happened) after "
            "the 180 people had been tested. For each speaker of `hd`, a network like this one was "
            "trained on the others, for English digits only.",
        ]
    return ["Accuracy on English digits of the official test file:", "", split_accuracies(model)]


def costs_of(card: Card) -> pd.Series:
    """Return what a card's networks cost, as a mean over its files."""
    model = card.name.split("_")[0]
    if card.is_for_use:
        costs = judged(model).loc["commands", ["parameters", "input_events", "accumulates"]]
        return pd.Series({**costs, "pool_threshold": plan()["base"]["pool_threshold"]})
    runs = read_table("networks_hd").query("model == @model")
    runs = runs.rename(columns={"effective_acs": "accumulates"})
    return runs[["parameters", "pool_threshold", "input_events", "accumulates"]].mean()


def sounds_sentence(name: str) -> str:
    """Say how many recordings without a digit a network accepts."""
    found = pd.read_csv(results_dir() / "non_digits.csv").query("network == @name")
    is_word = found.sound.isin(WORDS)
    counts = [
        f"{some.accepted.sum():,} of {some.recordings.sum():,} recordings"
        for some in (found[is_word], found[~is_word])
    ]
    return (
        f"It accepts {counts[0]} of [words that are no digit]"
        f"(../../docs/abstain.md#what-it-accepts), and {counts[1]} of other sounds."
    )


def render() -> str:
    """Write the page."""
    overview = []
    for card in CARDS:
        anchor = card.name.replace(" ", "-")
        tested = "180 people of `commands`" if card.is_for_use else "the official test file of `hd`"
        classes = "21" if card.is_for_use else "10"
        link = f"[{card.name}](#{anchor})"
        costs = costs_of(card)
        numbers_of_card = (
            f"{costs.parameters:,.0f}",
            f"{costs.pool_threshold:.0f}",
            f"{costs.input_events:,.0f}",
            f"{costs.accumulates / 1e6:.2f} million",
        )
        overview.append((link, classes, *numbers_of_card, tested))
    header = (
        *("card", "classes", "parameters", "`pool_threshold`", "input events", "accumulates"),
        "tested on",
    )
    lines = [INTRODUCTION.replace("@OVERVIEW@", table(header, overview))]
    for card in CARDS:
        sounds = f"{sounds_sentence(card.name)} " if card.is_for_use else ""
        lines += [
            f"## {card.name}",
            "",
            f"* **Intended use.** {card.intended_use}",
            f"* **Network.** {card.network} {costs_of(card).parameters:,.0f} parameters.",
            f"* **Limits.** {sounds}{card.limits}".rstrip(),
            "",
            *numbers(card),
            "",
        ]
    return "\n".join([*lines, CLOSING])


def main() -> None:
    """Write the page to results/networks/README.md."""
    argparse.ArgumentParser(prog="python -m evidence.model_cards", description=__doc__).parse_args()
    with atomic(networks_dir() / "README.md") as unfinished:
        unfinished.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    run(main)
