"""The hardware reference of an exported folder: `hardware.md` is its template.

It lists parameters, ports and memory maps, with an example of the folder's own numbers.
"""

from shd_circuit.integer import IntegerNetwork
from shd_circuit.sources import (
    memory_words,
    source_text,
    stored_bits,
    verilog_values,
)

TEMPLATE = "hardware.md"
# what the parameters in `network.vh` mean
PARAMETERS = {
    "N_CHANNELS": "units: channels of the encoder",
    "FIRST_UNIT": "the first unit of the first block",
    "BIN_MS": "milliseconds of a bin; a cell is a unit in a bin",
    "POOL_UNITS": "units of a block",
    "POOL_STEPS": "bins of a step",
    "POOL_THRESHOLD": "active cells from which a block is an event",
    "N_UNITS": "blocks",
    "N_STEPS": "steps of an utterance",
    "N_DELAYS": "number of delays: each event arrives once for each delay",
    "N_HIDDEN": "hidden neurons",
    "N_CLASSES": "classes",
    "LEAK_SHIFT": "if not 0: a neuron leaks by U - (U >> LEAK_SHIFT)",
    "LEAK_FACTOR": "if LEAK_SHIFT is 0: a neuron leaks by (U x LEAK_FACTOR) >> FACTOR_BITS; if "
    "this is 0, too, each neuron has its own factor",
    "FACTOR_BITS": "fractional bits of a leak factor",
    "SHIFT1": "by how many bits weights of the first layer are shifted left",
    "SHIFT2": "the same of the second layer",
    "KERNEL": "blocks of a window; N_UNITS if weights aren't shared",
    "STRIDE": "blocks from one window to the next",
    "N_WINDOWS": "windows; 1 if weights aren't shared",
    "NEURONS_PER_WINDOW": "hidden neurons of a window",
    "IS_MEMBRANE": "1: a score is the sum of a class's membranes; 0: of its spikes",
    "N_SLOTS": "steps whose events are kept: the longest delay and one more",
    "MEM_BITS": "bits of a membrane",
    "WEIGHT1_BITS": "bits of a weight of the first layer",
    "WEIGHT2_BITS": "bits of a weight of the second layer",
    "BIAS_BITS": "bits of a bias",
    "THRESHOLD_BITS": "bits of a threshold, without a sign",
    "LEAK_BITS": "bits of a leak, without a sign",
    "NUMBER_BITS": "bits of each of a neuron's numbers in their memory: of the widest of bias, "
    "threshold, leak and membrane",
    "SUM_BITS": "bits of a sum before it saturates: enough for the worst case",
    "SCORE_BITS": "bits of a score",
    "LOAD_BITS": "bits of the widest number that can be loaded",
    "LANES": "neurons that are summed in parallel; divides NEURONS_PER_WINDOW if there are windows",
    "WRITABLE": "1: memories can be loaded",
    "INITIAL": "1: memories begin with the `.mem` files; 0: their content is undefined",
    "MEM_LANES": "lanes that the `.mem` files are packed for",
    "MEM_PATH": "path of the `.mem` files, with a slash at the end, from where the tool runs",
    "RAM_STYLE": "`ram_style` attribute of the second layer's weights: auto, or huge on an iCE40",
}


def lanes_text(lanes: int) -> str:
    """Return a number of lanes as a sentence has it."""
    return "one lane" if lanes == 1 else f"{lanes} lanes"


def hardware(network: IntegerNetwork, lanes: int = 1) -> str:
    """Write the hardware reference of an exported folder."""
    sizes = verilog_values(network, LANES=lanes)
    rows = [
        f"| `{key}` | all | parameter | {PARAMETERS[key]} | {value} |"
        for key, value in sizes.items()
    ]
    values: dict[str, str | int] = {f"{key}_bits": n for key, n in stored_bits(network).items()}
    values["parameter_rows"] = "\n".join(rows)
    values |= _sizes(network, lanes)
    values |= _hidden_example(network, lanes)
    values |= _class_example(network, lanes)
    return source_text(TEMPLATE).format_map(values)


def _sizes(network: IntegerNetwork, lanes: int) -> dict[str, str | int]:
    """Return the sizes of the memories."""
    first = network.layers[0]
    words = memory_words(network, lanes)
    n_words = {name: sum(map(len, groups)) for name, groups in words.items()}
    window_block = "j"
    if network.kernel:
        window_block = f"{network.stride} w + j of window w"
    return {
        "lanes_text": lanes_text(lanes),
        "n_channels": len(first.weight),
        "n_weights": first.weight.shape[1],
        "kernel": network.kernel or network.grid.n_units,
        "window_block": window_block,
        "n_hidden": len(first.threshold),
        "rows1": n_words["weight1"],
        "rows2": n_words["weight2"],
        "hidden_groups": -(-len(first.threshold) // lanes),
        "groups": n_words["bias"],
    }


def _hidden_example(network: IntegerNetwork, lanes: int) -> dict[str, str | int]:
    """Return where a weight of the first layer is, for some neuron and some block."""
    first = network.layers[0]
    n_channels, n_weights = first.weight.shape
    kernel = network.kernel or network.grid.n_units
    window = min(2, len(network.window_inputs) - 1)
    channel = min(5, n_channels - 1)
    delay = min(2, len(network.delays) - 1)
    block = min(7, kernel - 1)
    number = kernel * delay + block
    group, lane = divmod(channel, lanes)
    of_input = f"block {network.stride * window * bool(network.kernel) + block}"
    if len(network.delays) > 1:
        of_input += f" with delay {delay} ({network.delays[delay]} steps)"
    where = f"neuron {channel}"
    if network.kernel:
        where = f"channel {channel} of window {window}, which begins at block "
        where += f"{network.stride * window}"
    bits = stored_bits(network)["weight1"]
    word = memory_words(network, lanes)["weight1"][group][number]
    return {
        "example_input": of_input,
        "example_hidden": n_channels * window + channel,
        "example_where": where,
        "example_group": group,
        "example_lane": lane,
        "example_number": number,
        "example_address": group * n_weights + number,
        **_number("example", word, lane, bits, lanes),
        "example_weight": int(first.weight[channel, number]),
    }


def _class_example(network: IntegerNetwork, lanes: int) -> dict[str, str | int]:
    """Return where a weight of the second layer is."""
    second = network.layers[1]
    n_classes, n_hidden = second.weight.shape
    class_index = min(6, n_classes - 1)
    source = n_hidden // 3
    group, lane = divmod(class_index, lanes)
    address = group * n_hidden + source
    bits = stored_bits(network)["weight2"]
    word = memory_words(network, lanes)["weight2"][group][source]
    return {
        "example_class": class_index,
        "example_source": source,
        "class_group": group,
        "class_lane": lane,
        "class_address": address,
        **_number("class", word, lane, bits, lanes),
        "class_weight": int(second.weight[class_index, source]),
    }


def _number(name: str, word: int, lane: int, bits: int, lanes: int) -> dict[str, str | int]:
    """Return a memory word, and a lane's bits of it."""
    n_digits = (lanes * bits + 3) // 4
    number = word >> (lane * bits) & ((1 << bits) - 1)
    return {
        f"{name}_word": f"{word:0{n_digits}x}",
        f"{name}_low": lane * bits,
        f"{name}_high": lane * bits + bits - 1,
        f"{name}_bits": f"{number:0{bits}b}",
    }
