"""Write results/networks/README.md: a card for each kind of pretrained network.

``python -m evidence.model_cards`` writes the page anew from the committed tables. It computes
nothing that isn't in them.
"""

import argparse
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from evidence.accepted import on_held_out_speakers, on_other_corpus
from evidence.networks_in_use import ENTRIES
from evidence.non_digits import FILLED, SURROUNDED, TABLE, VOICES, WORDS
from shd_corpus.class_names import LANGUAGES
from shd_corpus.files import atomic
from shd_helpers.command import run
from shd_helpers.paths import networks_dir, results_dir
from shd_helpers.study import speaker_accuracies
from shd_helpers.study.tables import collect_predictions, read_table
from shd_judge import interval

UNSEEN = (4, 5)  # the official training file has no utterance of these two speakers
NOT_USED = (4, 5, 6, 7, 10, 11)  # in the selection of 2026-11-28: see evidence/README.md
KIND = {"adaptive": "ensembles", "small": "networks"}
SEEDS = {"adaptive": "class scores of three seeds averaged", "small": "three seeds"}
OPTIMISTIC = {
    "adaptive": "*adaptive* was selected on the same speakers, so they are optimistic. ",
    "small": "",
}
ALL = "both languages"
# The groups of utterances of the ten folds that the cards list, with their sounds.
OF_FOLDS = (
    ("english", "as recorded"),
    ("german", "as recorded"),
    (ALL, "augmented"),
)
# The sounds that the cards list. The table has more.
LISTED_SOUNDS = (
    *("white noise of 0.5 s", "white noise of 1 s", "pink noise of 0.5 s", "pink noise of 1 s"),
    *("mains hum", "clicks", "silence of 1 s"),
)
# Those that the cards begin with, in words
SAID_SOUNDS = {
    "white noise of 1 s": "white noises that fill a recording of one second at 48 kHz",
    "clicks": "series of clicks",
}


class Card(NamedTuple):
    """What is said about one kind of pretrained network."""

    name: str
    is_for_use: bool  # trained on all twelve speakers
    intended_use: str
    network: str
    limits: str


CARDS = (
    Card(
        "adaptive",
        True,
        "Recognizing English or German digits, with the option to abstain, where size doesn't "
        "matter.",
        "An ensemble of three spiking networks, whose class scores are averaged. Each has 128 "
        "adaptive hidden neurons, delays, learned per-neuron time constants and thresholds, and a "
        "readout from membrane potentials. 20 classes.",
        "It is much larger than *small*, and has no circuit. No planned comparison shows that it "
        "is more accurate. Its confidence threshold was set so that 97 % of the accepted answers "
        "to augmented recordings should be right. On another corpus it accepts too few answers to "
        "tell whether as many are right.",
    ),
    Card(
        "small",
        True,
        "Recognizing English or German digits with few parameters, and with the option to abstain. "
        "`make hear` and `Listener` use it by default. The circuit in "
        "[results/circuit](../circuit/README.md) is this network.",
        "A single spiking network: the same 16 neurons at each of 19 windows of 32 input units, "
        "with delays, learned per-neuron time constants and thresholds, and a readout from "
        "membrane potentials. 20 classes.",
        "Its mean accuracy on the [ten folds](../../docs/folds.md#baselines) is lower than that of "
        "*adaptive*. This comparison wasn't planned, so it has no verdict. Its confidence "
        "threshold was found in the same way, and it abstains more often.",
    ),
    Card(
        "small_0 to small_4",
        False,
        "Repeating SHD's benchmark: *small*, trained on the official training file.",
        "As *small*. One file for each of five seeds.",
        "These networks have no confidence threshold, so they answer everything.",
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

print(Listener("small", language="english").hear("digit.wav"))
```

@OVERVIEW@

*Tested on no speaker* means that the network was trained on all twelve speakers. Its accuracy \
must be inferred from networks of the same settings that were tested on held-out speakers.

The input has an event where a block of channels and steps has at least `pool_threshold` spikes. \
Input events and [accumulates](../../docs/glossary.md#accumulate) are means for one utterance: of \
the test file, or of the validation utterances of a network that was tested on no speaker. The \
three networks of *adaptive* share the input, and their accumulates are added.

## All networks

* **Training data.** The [Heidelberg Digits](../../docs/data_card.md), encoded as spikes by a \
model of the inner ear. *adaptive* and *small* were trained on all twelve speakers, and the \
others on the ten speakers of the official training file. For *adaptive*, *small* and small_0 to \
small_4, one [augmented copy](../../docs/data.md#augmented-recordings) of each recording was \
added. The settings are in [networks.yaml](../../sweeps/networks.yaml) and \
[benchmark.yaml](../../evidence/sweeps/benchmark.yaml).
* **Groups of speakers.** We report accuracy for seen and unseen speakers, and for each language \
where a network has both. The data set has more information about its speakers, such as age and \
gender. We don't use it, and twelve people are too few for such groups.
* **Limits.** Twelve people recorded digits in a studio. These networks can't recognize other \
words. A sound that is no digit also gets a class, unless the network abstains. Don't use them \
where a wrong answer can harm somebody, or where a microphone is always on. \
[The data card](../../docs/data_card.md) lists other limits.
* **License.** The weights have the study's [MIT license](../../LICENSE). The recordings are by \
B. Cramer, Y. Stradmann, J. Schemmel and F. Zenke, [The Heidelberg Spiking Data \
Sets](https://doi.org/10.1109/TNNLS.2020.3044364) (2022), \
[CC BY 4.0](https://creativecommons.org/licenses/by/4.0/). They were turned into spikes, and \
augmented. Please name this source.

± is a 95 % interval over speakers and seeds, or over speakers only for an ensemble.
"""
CLOSING = """\
## How the files were made

`python -m evidence.networks study 'sweeps/networks_hd/model=study,*'` saved the study's networks, \
and likewise `circuit` and `small`. For small_0 to small_4 the last word is \
`'sweeps/benchmark_hd/model=small,*'`. For *adaptive* this command saved the ensemble:

```
python -m evidence.networks adaptive 'sweeps/networks_hd/model=adaptive,*' --ensemble
```

Their confidence thresholds were found on the \
[ten folds](../../evidence/README.md#the-selection-on-ten-folds), by \
`python -m scripts.fold_thresholds` at commit `fddb86fa`. \
`python -m evidence.model_cards` writes this page.
"""


def percent(fraction: float) -> str:
    """Return a fraction as a percentage with one decimal."""
    return f"{100 * fraction:.1f} %"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table in Markdown."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (header, *rows)]
    return [lines[0], "|" + "---|" * len(header), *lines[1:]]


def mean_with_interval(accuracies: pd.DataFrame, column: str = "test_unseen_accuracy") -> str:
    """Return a mean over speakers, and over seeds if there are several, with its interval."""
    by_seed = accuracies.pivot(index="speaker", columns="seed", values=column)
    mean, half = interval(100 * by_seed.to_numpy())
    return f"{mean:.1f} ± {half:.1f} %"


def held_out_accuracies(name: str) -> list[str]:
    """Return the table of accuracies of a network's settings with each speaker held out."""
    if name == "adaptive":
        found = pd.read_csv(results_dir() / "judged_winner.csv")
        single = speaker_accuracies("judged_speakers_hd", "candidate")
        rows = [
            ("seen, one network of the ensemble", mean_with_interval(single, "test_seen_accuracy")),
            ("unseen, all twelve, of whom ten selected it", mean_with_interval(found)),
        ]
    else:
        found = speaker_accuracies("reference_hd", "model").query("input == @name")
        six = found[found.speaker.isin(NOT_USED)]
        rows = [
            ("seen", mean_with_interval(found, "test_seen_accuracy")),
            ("unseen, all twelve", mean_with_interval(found)),
            (
                "unseen, the [six](../../evidence/README.md#the-six-speakers) not used in the "
                "selection of 2026-11-28",
                mean_with_interval(six),
            ),
        ]
    of_speaker = found.groupby("speaker").test_unseen_accuracy.mean()
    pair = of_speaker[[*UNSEEN]].mean()
    worst = of_speaker.idxmin()
    return table(
        ("speakers", "accuracy"),
        [
            *rows,
            ("unseen, 4 and 5", percent(pair)),
            (f"unseen, the worst of twelve (speaker {worst})", percent(of_speaker[worst])),
        ],
    )


def accepted_answers(name: str) -> list[str]:
    """Return the table of how many answers a network gives, and how many of them are right."""
    rows = []
    for utterances, sound in OF_FOLDS:
        on_hd = on_held_out_speakers(name, utterances, sound)
        what = "`hd`, English and German" if utterances == ALL else f"`hd`, {utterances.title()}"
        shares = (on_hd.share_accepted, on_hd.accuracy, on_hd.accuracy_of_all)
        rows.append((f"{what}, {sound}", *map(percent, shares)))
    answers = pd.read_csv(results_dir() / "accepted.csv").query("network == @name")
    elsewhere = on_other_corpus(answers)
    shares = (elsewhere.share_accepted, elsewhere.accuracy, elsewhere.accuracy_of_all)
    what = "Free Spoken Digit Dataset, 100 recordings, 5 speakers"
    rows.append((what, *map(percent, shares)))
    return table(("utterances", "answered", "of these right", "right if it answers all"), rows)


def benchmark_accuracies(model: str) -> list[str]:
    """Return the table of the benchmark's accuracies by seed, group of speakers and language."""
    runs = read_table("benchmark_hd").query("model == @model").sort_values("seed")
    predictions = collect_predictions("benchmark_hd")
    rows = []
    for one in runs.itertuples():
        answers = predictions[predictions["hash"] == one.hash]
        is_right = answers.label == answers.predicted
        is_german = answers.label.isin(LANGUAGES["german"])
        groups = (is_right, is_right[answers.seen], is_right[~answers.seen])
        languages = (is_right[~is_german], is_right[is_german])
        shares = [percent(right.mean()) for right in (*groups, *languages)]
        rows.append((f"`{model}_{one.seed}`", *shares))
    header = ("network", "all", "seen speakers", "speakers 4 and 5, unseen", "English", "German")
    return table(header, rows)


def split_accuracies(model: str) -> list[str]:
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
            f"Accuracy of {KIND[model]} with the same settings, but ten English classes, with "
            f"each speaker held out in turn ({SEEDS[model]}):",
            "",
            *held_out_accuracies(model),
            "",
            *_nested_selection(model),
            "How often it answers, and how many of these answers are right. The rows of `hd` are "
            "from networks with the same settings, each tested on one held-out training speaker. "
            "Each utterance is classified as a digit of its own language. The threshold for each "
            "speaker comes from the other nine. The numbers are means over the ten. "
            f"{OPTIMISTIC[model]}On the other corpus, the pretrained network itself was tested:",
            "",
            *accepted_answers(model),
            "",
            *_by_language(model),
            "",
            "How many sounds without a digit it accepts (and as which digit most often), if "
            "`Listener` may answer English digits "
            "([all sounds](../../docs/abstain.md#what-it-accepts)):",
            "",
            *accepted_sounds(model),
        ]
    if model == "small":
        return ["Accuracy on the official test file, 20 classes:", "", *benchmark_accuracies(model)]
    return ["Accuracy on English digits of the official test file:", "", *split_accuracies(model)]


def _nested_selection(name: str) -> list[str]:
    """Return a paragraph on the nested accuracy of *adaptive*; nothing for another network."""
    if name != "adaptive":
        return []
    nested = pd.read_csv(results_dir() / "nested.csv")
    return [
        "The accuracy for all twelve is optimistic, because ten of them selected the network. If "
        "each of these ten speakers is tested with what the other nine folds select, the accuracy "
        f"is {mean_with_interval(nested)} ([nested](../../docs/glossary.md#nested)). With all 20 "
        "classes, the [ten folds](../../docs/folds.md#baselines) show what to expect.",
        "",
    ]


def _by_language(name: str) -> list[str]:
    """Return a sentence on how much accuracy differs between the languages."""
    if name == "adaptive":
        found = pd.read_csv(results_dir() / "official.csv")
        is_own = (found.entry == ENTRIES[name]) & (found.speakers == "all")
        accuracy = found[is_own].set_index("language").accuracy
        english = f"{accuracy['english']:.1f} %"
        german = f"{accuracy['german']:.1f} %"
        how_many = "20 classes, one ensemble"
    else:
        found = pd.read_csv(results_dir() / "benchmark_speakers.csv")
        found = found.query("model == @name and average == 'all utterances'").set_index("language")
        halves = found.ci95
        english = f"{found.accuracy['english']:.1f} ± {halves['english']:.1f} %"
        german = f"{found.accuracy['german']:.1f} ± {halves['german']:.1f} %"
        how_many = "20 classes, five seeds, ± over seeds"
    return [
        f"On the official split, accuracy is lower in German. Of the test utterances, {KIND[name]} "
        f"with the same settings classify {english} of the English and {german} of the German ones "
        f"correctly ({how_many})."
    ]


def costs_of(card: Card) -> pd.Series:
    """Return what a card's networks cost, as a mean over its files: see the columns of the tables.

    The parameters and accumulates of an ensemble are those of all its networks.
    """
    model = card.name.split("_")[0]
    is_benchmark = not card.is_for_use and model == "small"
    runs = read_table("benchmark_hd" if is_benchmark else "networks_hd")
    runs = runs[runs.model == model]
    costs = runs[["parameters", "pool_threshold", "input_events", "effective_acs"]].mean()
    if model == "adaptive":
        costs[["parameters", "effective_acs"]] *= len(runs)
    return costs


def sounds_sentence(name: str) -> str:
    """Say how often a network accepts the sounds of `SAID_SOUNDS` that fill the recording."""
    rows = _of_sounds(name, FILLED)
    parts = []
    for sound, text in SAID_SOUNDS.items():
        row = rows.loc[sound]
        mostly = f", mostly as *{row.answer}*" if row.answer else ""
        parts.append(f"{row.accepted} of {row.recordings} {text}{mostly}")
    return f"It accepts {', and '.join(parts)}."


def accepted_sounds(name: str) -> list[str]:
    """Return the table of sounds without a digit that a network accepts, as lines in Markdown."""
    groups = {sound: [sound] for sound in LISTED_SOUNDS}
    groups[f"{len(WORDS)} English words, each by {len(VOICES)} synthetic voices"] = [*WORDS]
    rows = []
    for label, sounds in groups.items():
        filled, surrounded = (
            _accepted(_of_sounds(name, surroundings).loc[sounds])
            for surroundings in (FILLED, SURROUNDED)
        )
        rows.append((label, filled, surrounded))
    return table(("sound", "fills the recording", "silence around it"), rows)


def _of_sounds(name: str, surroundings: str) -> pd.DataFrame:
    """Return a network's rows of the table of sounds, by sound."""
    sounds = pd.read_csv(results_dir() / TABLE, keep_default_na=False)
    is_own = (sounds.network == name) & (sounds.surroundings == surroundings)
    return sounds[is_own].set_index("sound")


def _accepted(rows: pd.DataFrame) -> str:
    """Return how many recordings are accepted and, of a single sound, the answer."""
    counts = f"{rows.accepted.sum()} of {rows.recordings.sum()}"
    answer = rows.answer.iloc[0]
    return f"{counts} ({answer})" if len(rows) == 1 and answer else counts


def render() -> str:
    """Write the page."""
    overview = []
    for card in CARDS:
        anchor = card.name.replace(" ", "-")
        tested = "no speaker" if card.is_for_use else "the official test file"
        classes = "10" if card.name.startswith(("study", "circuit")) else "20"
        link = f"[{card.name}](#{anchor})"
        costs = costs_of(card)
        numbers_of_card = (
            f"{costs.parameters:,.0f}",
            f"{costs.pool_threshold:.0f}",
            f"{costs.input_events:,.0f}",
            f"{costs.effective_acs / 1e6:.2f} million",
        )
        overview.append((link, classes, *numbers_of_card, tested))
    header = (
        *("card", "classes", "parameters", "`pool_threshold`", "input events", "accumulates"),
        "tested on",
    )
    lines = [INTRODUCTION.replace("@OVERVIEW@", "\n".join(table(header, overview)))]
    for card in CARDS:
        sounds = f"{sounds_sentence(card.name)} " if card.is_for_use else ""
        lines += [
            f"## {card.name}",
            "",
            f"* **Intended use.** {card.intended_use}",
            f"* **Network.** {card.network} {costs_of(card).parameters:,.0f} parameters.",
            f"* **Limits.** {sounds}{card.limits}",
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
