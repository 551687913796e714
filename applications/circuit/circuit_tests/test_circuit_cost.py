"""Bytes, operations and waiting spikes of a circuit, counted one by one."""

import numpy as np
import pytest
from circuits import named, random_circuit, random_utterances

from shd_circuit.cost import memory, operations
from shd_helpers.events.downsampling import Events

NETWORK = random_circuit(delays=(0, 10, 400))  # the last copy never arrives
UTTERANCES = random_utterances(4)


@pytest.fixture(scope="module")
def events():
    return pooled(NETWORK, UTTERANCES)


def pooled(network, utterances):
    """Return utterances as the circuit's front downsamples them."""
    each = [network.pool(*utterance.spikes) for utterance in utterances]
    steps = np.concatenate([steps for steps, _ in each]).astype(np.uint16)
    units = np.concatenate([units for _, units in each]).astype(np.uint16)
    offsets = np.cumsum([0, *(len(steps) for steps, _ in each)])
    labels = np.zeros(len(utterances), np.int64)
    grid = network.grid
    return Events(steps, units, offsets, labels, labels, ("a",), grid.n_steps, grid.n_units)


def test_operations_are_those_of_a_loop_over_spikes(events):
    counted = operations(NETWORK, events)
    adds = effective = hidden = 0
    for utterance in UTTERANCES:
        run = NETWORK.run(*utterance.spikes)
        for step, unit in zip(*NETWORK.pool(*utterance.spikes), strict=True):
            for k, delay in enumerate(NETWORK.delays):
                if step + delay < NETWORK.grid.n_steps:
                    adds += 24
                    weights = NETWORK.layers[0].weight[:, k * NETWORK.grid.n_units + unit]
                    effective += np.count_nonzero(weights)
        hidden += run.spk[0].sum()
        adds += 5 * run.spk[0].sum()
    effective += hidden * np.count_nonzero(NETWORK.layers[1].weight) / 24
    assert counted.accumulates == adds / 4
    assert counted.hidden_spikes == hidden / 4 > 0
    assert counted.effective_accumulates == pytest.approx(effective / 4)
    assert counted.neuron_updates == 333 * 29


def test_bytes_are_those_counted_by_hand():
    table = memory(NETWORK)
    assert table.bytes["weights, layer 1"] == 24 * 3 * 183 * 3 / 8  # of 3 bits
    assert table.bytes["weights, layer 2"] == 24 * 5
    assert table.bytes["membranes"] == 29 * 12 / 8
    assert table.bytes["delays"] == 183 * 400 / 8
    assert table.bytes["pooling"] == 183 * 9 / 8


def test_a_small_network_is_counted_as_by_hand():
    """Weights are stored once, and an input costs where it is seen."""
    network = named("small")  # 4 neurons at each of 8 windows, 4 delays
    table = memory(network)
    assert table.bytes["weights, layer 1"] == 4 * 4 * 64 * 3 / 8
    assert table.bytes["weights, layer 2"] == 32 * 5
    assert table.bytes["leaks"] == 37 * 13 / 8
    assert table.bytes["scores"] == 5 * (16 + 9) / 8
    utterance = random_utterances(2, n_events=600, end_ms=300)[1]
    run = network.run(*utterance.spikes)
    _, blocks = network.pool(*utterance.spikes)
    n_windows = sum(16 * p <= block < 16 * p + 64 for block in blocks for p in range(8))
    counted = operations(network, pooled(network, [utterance]))
    assert counted.accumulates == 4 * 4 * n_windows + 5 * run.spk[0].sum()
    assert counted.neuron_updates == 333 * 37
