"""The README of an exported folder: `folder.md` is its template, and this module fills it in.

Each function below computes the values of one section of the template, by their names there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from shd_circuit import cost
from shd_circuit.hardware import lanes_text
from shd_circuit.integer import IntegerNetwork
from shd_circuit.sources import (
    Vectors,
    count_line,
    source_text,
    stored_bits,
    verilog_files,
)

TEMPLATE = "folder.md"
# the sources of data sets that are under CC BY 4.0
_PAPER = "https://doi.org/10.1109/TNNLS.2020.3044364"
_HEIDELBERG = (
    "(B. Cramer, Y. Stradmann, J. Schemmel and F. Zenke, *The Heidelberg Spiking Data Sets for the "
    f"Systematic Evaluation of Spiking Neural Networks*, IEEE TNNLS 33(7), 2022, {_PAPER})"
)
_SOURCES = {
    "digits": f"the Heidelberg Digits {_HEIDELBERG}",
    "hd": f"the Heidelberg Digits {_HEIDELBERG}",
    "shd": f"the Spiking Heidelberg Digits {_HEIDELBERG}",
    "commands": "Speech Commands (P. Warden, *Speech Commands: A Dataset for Limited-Vocabulary "
    "Speech Recognition*, 2018, https://arxiv.org/abs/1804.03209)",
}
_CC_BY = (
    "The network was trained on {sources}, under the Creative Commons Attribution 4.0 "
    "International license, CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/). You may use, "
    "change and share these data, also commercially, if you name their source, link this license, "
    "and say what you changed.\n\n"
    "| files | what they have of these data |\n"
    "|---|---|\n"
    "| `vectors.txt`, `labels.txt` | spikes of {data}, in whole milliseconds{encoded} |\n"
    "| `edges.txt` | spikes of one recording, repeated or cut |\n"
    "| `expected.txt`, `edges_expected.txt`, `trace.txt.gz` | what the network makes of these |\n"
    "| `weight1.mem`, `weight2.mem`, `bias.mem`, `threshold.mem`, `leak.mem`, `network.h`, "
    "`network.nir` where there is one | "
    "numbers of a network that was trained on them |\n\n"
    "If you pass these files on, pass this notice on with them."
)
_OTHER_DATA = (
    "The network was trained on {data}, and `vectors.txt` has spikes of these recordings. Find "
    "out under which license they are before you pass this folder on."
)
TO_CXXRTL = (
    f"read_verilog {verilog_files('core')}; hierarchy -check -top core; proc; write_cxxrtl core.cpp"
)
Values = dict[str, str | int]
CONFIDENCE_ROW = (
    "| `confidence.h` | the confidence threshold. With `-DACCEPT` the reference prints two more "
    "numbers for each utterance: the confidence of its answer (the share of its score in the "
    "softmax, in thousandths), and 1 if that reaches the threshold, else 0 |\n"
)
UNSEEN = "For speakers who aren't in its training set, this circuit reaches an accuracy of {}. "


@dataclass(frozen=True)
class Description:
    """What the README says of a circuit that isn't in the circuit itself."""

    # Of the network.
    name: str
    # A sentence or two: where the network comes from.
    origin: str
    # Of the classes, in order.
    class_names: Sequence[str]
    # Of which data the test vectors and the accuracies are.
    data: str
    # A sentence: over which utterances the accuracies are.
    scored: str
    # Of the network before rounding, and of the circuit: how many utterances are classified
    # correctly, and of how many.
    accuracies: Mapping[str, Sequence[int]]
    # From `cost.operations`.
    operations: Mapping[str, float]
    # Its network was trained with low-precision weights.
    is_quantization_aware: bool = False
    # The names of the data sets, whose licenses the folder must say. Test vectors are of the first.
    datasets: Sequence[str] = ()
    # For speakers who aren't in the network's training set; "" if it isn't known.
    unseen_accuracy: str = ""


def readme(
    network: IntegerNetwork,
    vectors: Vectors,
    description: Description,
    n_membranes: int = 1,
    has_graph: bool = True,
    has_confidence: bool = False,
    lanes: int = 1,
) -> str:
    """Write the README of an exported folder."""
    values = _network_values(network, description)
    values |= _file_values(description, has_graph)
    values |= {"confidence_row": CONFIDENCE_ROW if has_confidence else ""}
    values |= _trace_values(n_membranes)
    values |= _input_values(network)
    values |= _step_values(network)
    values |= _integer_values(network)
    values |= _memory_values(network)
    values |= _operation_values(network, description)
    values |= _accuracy_values(description)
    values |= _vector_values(network, vectors, lanes)
    values |= _answer_time_values(network, vectors, lanes)
    return source_text(TEMPLATE).format_map(values)


def notice(description: Description) -> str:
    """Write the notice of an exported folder: which license its files have."""
    text = _OTHER_DATA
    if description.datasets and set(description.datasets) <= set(_SOURCES):
        text = _CC_BY
    encoded = ""
    if "shd" not in description.datasets:
        encoded = f", made with the model of the inner ear of Cramer et al. (2022), {_PAPER}"
    text = text.format(
        sources=" and ".join(_SOURCES.get(name, "") for name in description.datasets),
        data=description.data,
        encoded=encoded,
    )
    return source_text("notice.md").format(data_notice=text)


def _network_values(network: IntegerNetwork, description: Description) -> Values:
    """Return the values of the first lines, which say what the circuit is."""
    grid = network.grid
    _, n_hidden, n_classes = network.sizes
    hidden_layout = ""
    if network.kernel:
        n_windows = len(network.window_inputs)
        n_channels = len(network.layers[0].weight)
        hidden_layout = f", {n_channels} for each of {n_windows} windows"
    numbered = [f"{number} {name}" for number, name in enumerate(description.class_names)]
    return {
        "name": description.name,
        "origin": description.origin,
        "n_units": grid.n_units,
        "n_steps": grid.n_steps,
        "n_channels": grid.n_channels,
        "n_hidden": n_hidden,
        "hidden_layout": hidden_layout,
        "n_classes": n_classes,
        "class_names": ", ".join(numbered),
    }


def _file_values(description: Description, has_graph: bool) -> Values:
    """Return what the list of files needs besides the test vectors."""
    nir_row = ""
    if has_graph:
        rounded = "none of its numbers is rounded"
        if description.is_quantization_aware:
            rounded = "its weights are rounded already; biases, thresholds and membranes are not"
        nir_row = (
            "| `network.nir` | the network in floats, as a NIR graph, with its step, reset and "
            f"units in the metadata; {rounded} |\n"
        )
    return {"data": description.data, "nir_row": nir_row}


def _trace_values(n_membranes: int) -> Values:
    """Return of which utterances `trace.txt.gz` has the membranes."""
    membranes = ""
    if n_membranes:
        which = "utterance" if n_membranes == 1 else f"{n_membranes} utterances"
        membranes = (
            f"; in the first {which} also `u` and `v`: the step, and all hidden and output "
            "membranes after point 4"
        )
    return {"n_membranes": n_membranes, "membranes": membranes}


def _input_values(network: IntegerNetwork) -> Values:
    """Return the values of the paragraph on the input."""
    grid = network.grid
    delays = "Every event arrives at once."
    if network.delays != (0,):
        steps = ", ".join(map(str, network.delays))
        delays = (
            f"Every event arrives {len(network.delays)} times, {steps} steps late, each time at "
            f"weights of its own: input k x {grid.n_units} + block for delay number k."
        )
    has_several_delays = len(network.delays) > 1
    return {
        "first_unit": grid.first_unit,
        "end_unit": grid.first_unit + grid.n_units * grid.pool_units,
        "window_ms": int(grid.n_steps * grid.step_ms),
        "pool_units": grid.pool_units,
        "pool_steps": grid.pool_steps,
        "pool_threshold": grid.pool_threshold,
        "last_in_block": grid.pool_units - 1,
        "step_ms": int(grid.step_ms),
        "delays": delays,
        "shared_weights": _shared_weights(network),
        "late_memory": ", late events" if has_several_delays else "",
    }


def _shared_weights(network: IntegerNetwork) -> str:
    """Return the sentences on the windows of shared weights, or nothing if there are none."""
    if not network.kernel:
        return ""
    n_channels = len(network.layers[0].weight)
    return (
        f" Weights are shared: hidden neuron {n_channels} w + c is channel c of window w. It has "
        f"line c of `weight1.mem`, and takes of each delay k the {network.kernel} blocks from "
        f"{network.stride} w on. Number {network.kernel} k + j of the line is for input "
        f"{network.grid.n_units} k + {network.stride} w + j. The neuron ignores all other inputs."
    )


def _step_values(network: IntegerNetwork) -> Values:
    """Return the values of the five points of a step, and of the class."""
    first, second = network.layers
    if network.leak_shift:
        leak = f"U - (U >> {network.leak_shift})"
    elif first.factor is None:
        leak = f"(U x {network.leak_factor}) >> {network.factor_bits}"
    else:
        leak = f"(U x F) >> {network.factor_bits}, F its own factor in `leak.mem`"
    shifts = ""
    if first.shift or second.shift:
        shifts = (
            f" (shifted left by {first.shift} bits in the first layer, by {second.shift} in the "
            "second)"
        )
    return {
        "leak": f"U becomes {leak}.",
        "shifts": shifts,
        "mem_bits": network.mem_bits,
        "low": -network.high - 1,
        "high": network.high,
        "sum_bits": max(network.sum_bits(0), network.sum_bits(1)),
        "decision": _decision(network),
    }


def _decision(network: IntegerNetwork) -> str:
    """Return how the class follows from the output neurons."""
    if network.is_membrane:
        return (
            "classes never spike, because no membrane is above their thresholds. A class's score "
            "is the sum of its membranes after point 4. The answer is the class whose score is "
            "the highest; of several equally high ones, the lowest."
        )
    return (
        "the answer is the output neuron with most spikes over all steps; of several with equally "
        "many, the lowest."
    )


def _integer_values(network: IntegerNetwork) -> Values:
    """Return the values of the table of ``.mem`` files."""
    n_inputs, n_hidden, _ = network.sizes
    bits = stored_bits(network)
    order = ", input b for block b"
    if len(network.delays) > 1:
        order = ", one delay after the other"
    weight1_line = f"a hidden neuron | its weights of inputs 0 to {n_inputs - 1}{order}"
    if network.kernel:
        n_channels, n_weights = network.layers[0].weight.shape
        weight1_line = f"one of {n_channels} channels | its {n_weights} weights{order}"
    values: Values = {f"{name}_bits": n for name, n in bits.items()}
    values |= {
        "weight1_line": weight1_line,
        "last_hidden": n_hidden - 1,
        "leak_kind": "shift" if network.leak_shift else "factor",
        "minus_one": f"{2 ** bits['weight1'] - 1:x}",
    }
    return values


def _memory_values(network: IntegerNetwork) -> Values:
    """Return the values of the table of what is stored."""
    stored = cost.memory(network)
    rows = [
        f"| {name} | {row.numbers:,.0f} | {row.bits:.0f} | {row.bytes:,.0f} |"
        for name, row in stored.iterrows()
    ]
    list_bytes = cost.list_bits(network) / 8
    with_lists = stored.bytes.sum() + list_bytes
    return {
        "memory_rows": "\n".join(rows),
        "all_bytes": f"{stored.bytes.sum():,.0f}",
        "all_with_lists": f"{with_lists:,.0f}",
        "list_bytes": f"{list_bytes:,.0f}",
        "highest": network.high,
        "core_files": verilog_files("core"),
    }


def _operation_values(network: IntegerNetwork, description: Description) -> Values:
    """Return the values of the paragraph on operations."""
    accumulates = description.operations["accumulates"]
    effective = description.operations["effective_accumulates"] / max(accumulates, 1)
    _, n_hidden, n_classes = network.sizes
    n_neurons = n_hidden + n_classes
    n_updates = network.grid.n_steps * n_neurons
    return {
        "neuron_updates": f"{n_updates:,.0f}",
        "updates_a_step": n_neurons,
        "accumulates": f"{accumulates:,.0f}",
        "accumulates_a_step": f"{accumulates / n_updates * n_neurons:,.0f}",
        "effective": f"{effective:.0%}",
    }


def _accuracy_values(description: Description) -> Values:
    """Return the values of the table of accuracies."""
    rows = [
        f"| {name} | {n} | {n_correct / n:.1%} |"
        for name, (n_correct, n) in description.accuracies.items()
    ]
    unseen = ""
    if known := description.unseen_accuracy:
        rows.insert(0, f"| integers, as exported, unseen speakers | | {known} |")
        unseen = UNSEEN.format(known)
    return {
        "unseen": unseen,
        "n_scored": max(n for _, n in description.accuracies.values()),
        "accuracy_rows": "\n".join(rows),
        "scored": description.scored,
    }


def _vector_values(network: IntegerNetwork, vectors: Vectors, lanes: int) -> Values:
    """Return what is said of the test vectors, and what the commands print for them."""
    utterances, runs, edges, edge_runs = vectors
    n_correct = sum(
        run.answer == utterance.label for run, utterance in zip(runs, utterances, strict=True)
    )
    return {
        "n_utterances": len(utterances),
        "n_edges": len(edges),
        "lanes": lanes_text(lanes),
        "edges": "; ".join(edges),
        "count_line": count_line(network, utterances, runs),
        "n_correct": n_correct,
        "to_cxxrtl": TO_CXXRTL,
        "core_line": cost.core_line(network, utterances, lanes, runs),
        "core_edge_line": cost.core_line(network, list(edges.values()), lanes, edge_runs),
    }


def _answer_time_values(network: IntegerNetwork, vectors: Vectors, lanes: int) -> Values:
    """Return how long the core takes to its answer, with and without ticks."""
    without_ticks = []
    with_ticks = []
    for utterance, run in zip(vectors.utterances, vectors.runs, strict=True):
        without_ticks.append(cost.answer_cycles(network, utterance, lanes, run))
        with_ticks.append(cost.last_step_cycles(network, utterance, lanes, run))
    tick_sentence = ""
    if network.grid.first_unit:
        tick_sentence = "This circuit also drops unit 0, because its first block begins later. "
    return {
        "answer_cycles": f"{np.mean(without_ticks):,.0f}",
        "tick_sentence": tick_sentence,
        "last_low": f"{min(with_ticks):,}",
        "last_high": f"{max(with_ticks):,}",
    }


def is_readme(text: bytes) -> bool:
    """Recognize an exported README by its first line."""
    mark = source_text(TEMPLATE).partition("\n")[0].removeprefix("# {name}")
    return text.partition(b"\n")[0].endswith(mark.encode())
