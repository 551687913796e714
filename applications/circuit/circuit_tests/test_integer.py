"""The integer model against plain Python integers, and its front against the study's downsizing.

Bytes, operations and waiting spikes of a circuit, counted one by one.
"""

from dataclasses import replace

import numpy as np
import pytest
from circuits import named, random_circuit, random_utterances
from hypothesis import given, settings
from hypothesis import strategies as st

from shd_circuit import IntegerLayer, IntegerNetwork, whole_milliseconds
from shd_circuit.cost import memory, operations
from shd_corpus.shd_file import read_shd
from shd_helpers.events.downsampling import Downsampling, Events, downsample
from tests.builders.events import grids, spike_lists, utterances
from tests.toy import write_toy

GRID = Downsampling(first_unit=688, duration_s=0.06, pool_units=2, pool_steps=3, pool_threshold=2)
RAW = st.lists(st.tuples(st.integers(0, 70), st.integers(680, 699)), max_size=200).map(sorted)


def network(seed=0, grid=GRID, delays=(0, 4), hidden=7, classes=4, mem_bits=8, **options):
    rng = np.random.default_rng(seed)
    sizes = grid.n_units * len(delays), hidden, classes
    layers = tuple(
        IntegerLayer(
            rng.integers(-4, 4, (n, n_in)), rng.integers(-3, 9, n), rng.integers(20, 60, n), shift
        )
        for n_in, n, shift in zip(sizes, sizes[1:], (2, 3), strict=False)
    )
    rule = {"leak_shift": 4} | options
    return IntegerNetwork(grid, tuple(delays), layers, mem_bits, **rule)


def naive_events(net, spikes):
    """Return of each step which blocks have an event, cell by cell."""
    g = net.grid
    cells = {(ms, unit - g.first_unit) for ms, unit in spikes}

    def n_active(step, block):
        return sum(
            (step * g.pool_steps + i, block * g.pool_units + j) in cells
            for i in range(g.pool_steps)
            for j in range(g.pool_units)
        )

    return [
        [n_active(step, block) >= g.pool_threshold for block in range(g.n_units)]
        for step in range(g.n_steps)
    ]


def naive_leak(net, layer, j, u):
    """Return what is left of neuron j's membrane; // rounds down, as the arithmetic shift."""
    if net.leak_shift:
        return u - u // 2**net.leak_shift
    if layer.factor is None:
        return u * net.leak_factor // 256
    return u * int(layer.factor[j]) // 4096


def naive_weights(net, i, j):
    """Yield what a neuron adds for each input that it sees: the input and the weight."""
    layer = net.layers[i]
    if i == 1 or not net.kernel:
        yield from enumerate(layer.weight[j].tolist())
        return
    window, channel = divmod(j, len(layer.weight))
    weights = iter(layer.weight[channel].tolist())
    for k in range(len(net.delays)):  # delay by delay, along the window
        for block in range(window * net.stride, window * net.stride + net.kernel):
            yield k * net.grid.n_units + block, next(weights)


def naive(net, spikes):
    """The circuit in Python's own integers, input by input: spikes, membranes and scores."""
    events = naive_events(net, spikes)
    low = -(2 ** (net.mem_bits - 1))
    high = 2 ** (net.mem_bits - 1) - 1
    mem = [[0] * len(layer.threshold) for layer in net.layers]
    all_spikes = [[] for _ in net.layers]
    all_mems = [[] for _ in net.layers]
    for t in range(net.grid.n_steps):
        x = [t >= d and events[t - d][u] for d in net.delays for u in range(net.grid.n_units)]
        for i, layer in enumerate(net.layers):
            for j, threshold in enumerate(layer.threshold.tolist()):
                fired = mem[i][j] > threshold
                u = naive_leak(net, layer, j, mem[i][j]) + int(layer.bias[j])
                for k, weight in naive_weights(net, i, j):
                    u += weight * 2**layer.shift if x[k] else 0
                u -= threshold if fired else 0
                mem[i][j] = max(low, min(high, u))
            x = [u > threshold for u, threshold in zip(mem[i], layer.threshold, strict=True)]
            all_spikes[i].append(x)
            all_mems[i].append(list(mem[i]))
    scores = np.sum((all_mems if net.is_membrane else all_spikes)[1], 0).tolist()
    return all_spikes, all_mems, scores


@settings(max_examples=40, deadline=None)
@given(RAW, st.integers(0, 99), st.sampled_from([4, 1, 0]), st.sampled_from([6, 8]))
def test_all_steps_equal_a_loop_over_integers(events, seed, shift, mem_bits):
    """Membranes of 6 bits saturate at both ends, and thresholds are met exactly."""
    net = network(seed, mem_bits=mem_bits, leak_shift=shift, leak_factor=0 if shift else 243)
    got = net.run([ms for ms, _ in events], [unit for _, unit in events])
    same(got, naive(net, events))


def same(got, wanted):
    """All steps, and the scores."""
    spikes, mems, scores = wanted
    for i in range(2):
        np.testing.assert_array_equal(got.spk[i], spikes[i])
        np.testing.assert_array_equal(got.mem[i], mems[i])
    assert got.scores.tolist() == scores and got.answer == scores.index(max(scores))


@pytest.mark.parametrize("seed", range(16))
def test_windows_own_leaks_and_membranes_equal_the_loop(seed):
    """Windows leave a unit unseen."""
    rng = np.random.default_rng(seed)
    windows, own, is_membrane = (bool(seed >> i & 1) for i in range(3))
    net = network(seed, hidden=8, is_membrane=is_membrane)
    first, second = net.layers
    if own:
        first, second = (
            replace(layer, factor=rng.integers(0, 4097, len(layer.bias))) for layer in net.layers
        )
    if windows:  # two windows of 4 neurons
        first = replace(first, weight=rng.integers(-4, 4, (4, 6)))
    if is_membrane:
        second = replace(second, threshold=np.full(4, 127))
    window = {"kernel": 3, "stride": 2} if windows else {}
    shift = {"leak_shift": 0} if own else {}
    net = replace(net, layers=(first, second), **window, **shift)
    ms = rng.integers(0, 20, 60)
    units = rng.integers(688, 700, 60)
    order = np.argsort(ms, kind="stable")
    got = net.run(ms[order], units[order])
    same(got, naive(net, list(zip(ms, units, strict=True))))
    assert len(net.pool(ms[order], units[order])[0]) > 5


@settings(max_examples=100, deadline=None)
@given(spike_lists, grids, st.integers(1, 4))
def test_the_front_gives_the_events_of_downsizing(spikes, grid, pool_threshold):
    pool_threshold = min(pool_threshold, grid.pool_units * grid.pool_steps)
    grid = Downsampling(**{**vars(grid), "pool_threshold": pool_threshold})
    times_and_units = [([t for t, _ in pairs], [u for _, u in pairs]) for pairs in spikes]
    raw = utterances(times_and_units)
    wanted = downsample(raw, grid, "both")
    net = network(grid=grid, delays=(0,))
    pooled = [net.pool(*whole_milliseconds(raw, i)) for i in range(len(raw))]
    steps, units = np.concatenate(pooled, axis=1).tolist()
    assert steps == wanted.steps.tolist()
    assert units == wanted.units.tolist()


@pytest.mark.parametrize("grid", [Downsampling(), Downsampling(150, 0.5, 9, 10, 1)])
def test_many_utterances_at_once_give_the_same_as_one_by_one(tmp_path, grid):
    write_toy(tmp_path, seed=0, takes=1)
    rows = read_shd(tmp_path / "toy_test.h5")
    net = network(grid=grid, delays=(0, 10), hidden=20, classes=10)
    events = downsample(rows, grid, "both")
    scores, n_spikes = net.evaluate(events)
    for i in range(0, len(rows), 9):
        run = net.run(*whole_milliseconds(rows, i))
        assert run.scores.tolist() == scores[i].tolist()
        assert [int(spk.sum()) for spk in run.spk] == n_spikes[i].tolist()
    assert n_spikes.min() > 0


def test_sums_fit_into_their_bits():
    net = network()
    for i, layer in enumerate(net.layers):
        most = 128 + (np.abs(layer.weight).sum(1) << layer.shift) + np.abs(layer.bias)
        most = int((most + layer.threshold).max())
        assert 2 ** (net.sum_bits(i) - 2) <= most < 2 ** (net.sum_bits(i) - 1)


@pytest.mark.parametrize("ms, units", [([3, 2], [699, 699]), ([0.5], [699]), ([0], [700])])
def test_spikes_out_of_order_or_range_are_refused(ms, units):
    with pytest.raises(ValueError, match="events: "):
        network().run(ms, units)


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
