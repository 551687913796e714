"""Write docs/settings.md: one table of all settings, with defaults and choices from `Recipe`.

``python -m evidence.settings_page`` writes the page anew.
"""

import argparse
from dataclasses import Field, fields
from typing import Any

from shd_corpus.files import atomic
from shd_helpers.command import run
from shd_helpers.paths import OF_A_RUN, ROOT
from shd_helpers.settings import setting_names
from shd_helpers.study.parameters import notebook_parameters
from shd_helpers.study.recipe import Recipe

PAGE = ROOT / "docs" / "settings.md"

INTRODUCTION = """\
# Settings

A run has these settings. Those with a star are in notebook 3, where `lr_step` is 5. All of them \
are in [evidence/train.ipynb](../evidence/train.ipynb), which trains as notebook 3 does. \
A [sweep](../sweeps/README.md) sets them with `notebook: train`. `make study ARGS="-p epochs 10"` \
sets any of them, and executes that notebook if notebook 3 doesn't have one. The defaults are \
not the [recipe of the results](../evidence/README.md#selected-recipes). A value that is out of \
its range is refused before anything is trained.
"""
CLOSING = """\
[data.md](data.md#training-validation-and-test) explains the protocols.

This page is generated: `python -m evidence.settings_page`.
"""
# What each setting means. Groups are in the order of a run.
DESCRIPTIONS = {
    "Data": {
        "dataset": "`digits`, `hd`, `commands`, `shd`, `spoken`, or a folder with a data set",
        "language": "which of SHD's twenty classes are used",
        "seed": "sets the split, the initial weights and the order of the batches",
        "run_name": "name of the folder below `runs/`",
    },
    "Input": {
        "first_unit": "channels below this number are dropped. They have the highest tones",
        "duration_s": "seconds of an utterance that are used. Later spikes are dropped",
        "pool_units": "height of a block, in channels",
        "pool_steps": "width of a block, in bins of 1 ms",
        "pool_threshold": "number of active entries from which a block becomes an event",
    },
    "Network": {
        "network": "`spiking`, or your own as `file.py:name`, which ignores the other network "
        "settings",
        "n_hidden": "number of hidden neurons. With shared weights, the number for each window",
        "hidden": "neurons of several hidden layers, such as `128,64`. Replaces `n_hidden`",
        "neuron": "`leaky`, `adaptive` (for hidden neurons), or your own as `file.py:name`",
        "beta": "share of the membrane potential that is left after 3 ms. Other step lengths keep "
        "the time constant",
        "adapt_ms": "time constant of the adaptation, in ms. A neuron's own is half to twice of it",
        "learn_beta": "whether a beta is learned for each neuron",
        "learn_threshold": "whether a threshold is learned for each neuron",
        "surrogate": "`fast_sigmoid`, `atan`, `sigmoid`, or your own as `file.py:name`",
        "slope": "steepness of the surrogate. A larger slope makes its derivative narrower",
        "n_delays": "number of copies of the input, each 30 ms later than the one before",
        "hidden_delays": "number of copies of each hidden layer's spikes, such as `4,1`",
        "kernel_size": "width of a window with shared weights, in units. 0: no shared weights",
        "stride": "units from one window to the next",
        "readout": "class scores are numbers of spikes, or mean membrane potentials",
    },
    "Training": {
        "epochs": "passes over the training utterances",
        "batch_size": "utterances in a batch",
        "lr": "learning rate of Adam",
        "lr_step": "epochs after which the learning rate is halved",
        "shift_units": "largest shift of an utterance, in units",
        "shift_ms": "largest shift of an utterance, in ms",
        "stretch": "an utterance becomes longer or shorter by at most this fraction",
        "dropout": "fraction of the events that is left out",
    },
    "Circuit": {
        "circuit": "also evaluates the network in integers, such as `3-8-12` "
        "([names](../applications/circuit/README.md#write-a-folder))",
    },
    "Split": {
        "protocol": "which utterances train, and which test",
        "held_out": "number of the held-out speaker (`leave_one_speaker_out`) or of the held-out "
        "fold (`folds`). -1 with other protocols",
        "validation": "whether random utterances or whole speakers validate",
        "validation_fraction": "with `random`: the fraction of the training utterances",
        "validation_speakers": "with `speaker`: their numbers, such as `3,7` or `12-20`",
        "score_test": "`False` while you choose settings: the test utterances aren't read",
    },
}


def declared() -> dict[str, Field]:
    """Find the declaration of each setting."""
    found: dict[str, Any] = {}
    for each in fields(Recipe):
        kind = each.default_factory
        if each.name == "circuit" or not isinstance(kind, type):
            found[each.name] = each
            continue
        own = {inner.name: inner for inner in fields(kind)}
        # The setting `network` has the name of its group, which this replaces.
        found.update({name: own[name] for name in setting_names(kind)})
    return found


def default_of(field: Field) -> str:
    """Return a setting's default as Python writes it."""
    value = "" if field.name == "circuit" else field.default
    return f'`"{value}"`' if isinstance(value, str) else f"`{value!r}`"


def choices_of(field: Field) -> str:
    """Return the values of a setting that has a list of them, before its meaning."""
    allowed = field.metadata.get("allowed")
    if not allowed or not isinstance(field.default, str):
        return ""
    return ", ".join(f"`{choice}`" for choice in allowed) + ": "


def render() -> str:
    """Write the page."""
    of = declared()
    in_notebook_3 = notebook_parameters(OF_A_RUN[2])
    lines = [INTRODUCTION, "| setting | default | meaning |", "|---|---|---|"]
    for group, settings in DESCRIPTIONS.items():
        lines.append(f"| **{group}** | | |")
        for name, meaning in settings.items():
            field = of[name]
            star = " *" if name in in_notebook_3 else ""
            row = (f"`{name}`{star}", default_of(field), choices_of(field) + meaning)
            lines.append("| " + " | ".join(row) + " |")
    return "\n".join([*lines, "", CLOSING])


def main() -> None:
    """Write the page to docs/settings.md."""
    argparse.ArgumentParser(
        prog="python -m evidence.settings_page", description=__doc__
    ).parse_args()
    with atomic(PAGE) as unfinished:
        unfinished.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    run(main)
