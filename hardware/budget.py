"""What the circuit holds and does: bytes, operations, memory accesses; energy as an estimate."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hardware.integer import IntegerNetwork
from hardware.sources import memory_bits
from shd_helpers.events.downsample import Events
from shd_helpers.network.costs import accumulates

# Published energies of an operation: picojoules, process, source. Nothing here was measured.
HOROWITZ = "Horowitz, ISSCC 2014, Computing's energy problem (and what we can do about it)"
ODIN = "Frenkel et al., IEEE TBioCAS 13(1), 2019, ODIN"
PUBLISHED = {
    "32-bit addition": (0.1, "45 nm, 0.9 V", HOROWITZ),
    "access to 8 kB of SRAM, 64 bits": (10.0, "45 nm, 0.9 V", HOROWITZ),
    "synaptic operation, the chip's whole power": (12.7, "28 nm", ODIN),
}


def memory(network: IntegerNetwork) -> pd.DataFrame:
    """Return what the circuit stores.

    Parameters
    ----------
    network : IntegerNetwork
        Of two layers.

    Returns
    -------
    DataFrame
        A row for each kind of number (index): `numbers`, `bits` of each, `bytes`. Delays are the
        input spikes of the last steps, a bit each; pooling is a bit a cell of the blocks.
    """
    grid, bits = network.grid, memory_bits(network)
    neurons = sum(len(layer.threshold) for layer in network.layers)
    cells = grid.n_units * grid.pool_units * grid.pool_steps
    rows = {
        f"weights, layer {i}": (layer.weight.size, bits[f"weight{i}"])
        for i, layer in enumerate(network.layers, start=1)
    }
    rows |= {
        "biases": (neurons, bits["bias"]),
        "thresholds": (neurons, bits["threshold"]),
        "membranes": (neurons, network.mem_bits),
        "delays": (grid.n_units * network.delays[-1], 1),
        "pooling": (cells, 1),
        "counts": (len(network.layers[-1].threshold), grid.n_steps.bit_length()),
    }
    table = pd.DataFrame(rows, index=["numbers", "bits"]).T
    return table.assign(bytes=table.numbers * table.bits / 8)


def operations(network: IntegerNetwork, events: Events) -> pd.Series:
    """Return what an utterance takes, means over utterances.

    Parameters
    ----------
    network : IntegerNetwork
        Of two layers.
    events : Events
        Downsized utterances.

    Returns
    -------
    Series
        `input_spikes`, `hidden_spikes`, `output_spikes`; `accumulates`, the spikes times the
        neurons they go to; `effective_accumulates`, those whose weight isn't 0, hidden spikes
        taken with their neurons' mean; `neuron_updates` (neurons x steps); `weight_reads`,
        `state_accesses` (of an update: membrane read and written, bias and threshold read).
    """
    _, n_spikes = network.count(events)
    n_neurons = [len(layer.threshold) for layer in network.layers]
    all_weights = [np.full(layer.weight.shape[1], len(layer.weight)) for layer in network.layers]
    every, effective = (
        accumulates(synapses, network.delays, events, n_spikes).mean()
        for synapses in (all_weights, network.synapses)
    )
    hidden, output = n_spikes.mean(0)
    updates = events.n_steps * sum(n_neurons)
    return pd.Series(
        {
            "input_spikes": len(events.steps) / len(events),
            "hidden_spikes": hidden,
            "output_spikes": output,
            "accumulates": every,
            "effective_accumulates": effective,
            "neuron_updates": updates,
            "weight_reads": every,
            "state_accesses": 4 * updates,
        }
    )


def energy(counted: pd.Series) -> pd.DataFrame:
    """Return estimates of an utterance's energy from published energies of an operation.

    They are no property of this circuit: process, voltage and memory will be others.

    Parameters
    ----------
    counted : Series
        From `operations`.

    Returns
    -------
    DataFrame
        A row each published energy (index): `picojoules`, `process`, `source`, `times` an
        utterance, and `microjoules`, their product. A neuron update counts as three additions
        (leak, bias, reset), and each access to a memory as one of 8 kB.
    """
    adds = counted.accumulates + 3 * counted.neuron_updates
    times = dict(
        zip(
            PUBLISHED,
            (adds, counted.weight_reads + counted.state_accesses, counted.accumulates),
            strict=True,
        )
    )
    rows = [
        (name, pj, process, source, times[name], 1e-6 * pj * times[name])
        for name, (pj, process, source) in PUBLISHED.items()
    ]
    columns = ["operation", "picojoules", "process", "source", "times", "microjoules"]
    return pd.DataFrame(rows, columns=columns).set_index("operation")


def compare(networks: Sequence[tuple[str, IntegerNetwork, Events]]) -> pd.DataFrame:
    """Return a column of bytes and operations for each network.

    Parameters
    ----------
    networks : sequence of (str, IntegerNetwork, Events)
        Name, circuit, and utterances downsized for it.

    Returns
    -------
    DataFrame
        Rows (index): bytes of each kind of number, ``all bytes``, and what `operations` gives.
    """
    columns = {}
    for name, network, events in networks:
        stored = memory(network).bytes
        stored = stored.rename(lambda what: f"bytes: {what}")
        columns[name] = pd.concat(
            [stored, pd.Series({"all bytes": stored.sum()}), operations(network, events)]
        )
    return pd.DataFrame(columns)
