"""The integer model: the definition of the circuit, from spikes to a class, without a float.

**The input.** Events are pairs (millisecond, unit), in the order of their milliseconds. Units below
`first_unit` and those that fill no block at the upper edge are dropped; a cell is one unit in one
bin of time, and however many spikes fall into it, it is active once; a block of `pool_units` x
`pool_steps` cells is an event if at least `pool_threshold` of its cells are active. A circuit
needs a bit a unit (active in this bin?) and a counter a block of units.

**A step of a layer**, for each neuron, with its membrane U from the step before:

1. if U > threshold, the neuron notes that the threshold is to be subtracted: the reset comes one
   step late, as in snntorch.
2. the leak: U - (U >> leak_shift), or, where that is 0, (U leak_factor) >> 8; >> is arithmetic, it
   rounds down. Where neurons have factors of their own it is (U factor) >> 12.
3. plus the bias, plus (weight << shift) of every active input, minus the noted threshold.
4. the membrane saturates to mem_bits bits, once, after all of these additions: sums need more bits
   on the way, see `IntegerNetwork.sum_bits`.
5. the neuron spikes if U > threshold, strictly.

The second layer's inputs at a step are the first layer's spikes of the same step. With delays,
input k n_units + u is the event of unit u, delays[k] steps ago. Membranes begin at 0. The
class is the output neuron with most spikes; **of several with equally many, the lowest class**.

**With shared weights** (`kernel` above 0) neuron p n_channels + c of the first layer has the
weights of channel c. It sees the units from p stride on, kernel many, of every delay: its weight
k kernel + j is that of input k n_units + p stride + j. Whatever isn't seen is passed over.

**With `is_membrane`** an output neuron's score is the sum of its membranes over the steps, after
point 4, and the class is the one with the highest score. Its threshold is the highest membrane,
which no membrane is above: so it never spikes, and nothing is subtracted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from shd_helpers.compiled import compiled
from shd_helpers.data.shd_file import N_CHANNELS, Utterances
from shd_helpers.events.downsampling import Downsampling, Events
from shd_helpers.network.engine import answers

FACTOR_BITS = 8  # of a leak by product: beta is about leak_factor / 2^8
OWN_FACTOR_BITS = 12  # where every neuron has a factor of its own: many learn a beta close to 1


@dataclass(frozen=True)
class IntegerLayer:
    """Integers of a layer: weights in few bits, all others in units of the membrane."""

    weight: np.ndarray  # (neurons, inputs) int64; shared ones (channels, delays x kernel)
    bias: np.ndarray  # (neurons,) int64
    threshold: np.ndarray  # (neurons,) int64, above 0
    shift: int = 0  # bits by which a weight is shifted left when it is added
    factor: np.ndarray | None = None  # (neurons,) int64, 0..2^12: leaks of their own


class IntegerRun(NamedTuple):
    """What the circuit did with one utterance.

    The inputs that are active at step t are ``inputs[start[t] : start[t + 1]]``.
    """

    scores: np.ndarray  # (classes,) int64: output spikes, or sums of membranes
    spk: tuple[np.ndarray, ...]  # a layer each: (steps, neurons) bool
    mem: tuple[np.ndarray, ...]  # a layer each: (steps, neurons) int64, before the reset
    start: np.ndarray  # (steps + 1,) int32
    inputs: np.ndarray  # (active inputs,) int32, ascending within a step

    @property
    def answer(self) -> int:
        """Return the class: the highest score, the lowest of those with equally high ones."""
        return int(answers(self.scores))


@dataclass(frozen=True)
class IntegerNetwork:
    """The circuit; the module's text says what it does.

    Raises
    ------
    ValueError
        If a layer has other inputs than there are, or only one layer has leaks of its own.
    """

    grid: Downsampling
    delays: tuple[int, ...]  # steps, ascending
    layers: tuple[IntegerLayer, ...]
    mem_bits: int  # a membrane is -2^(mem_bits - 1) .. 2^(mem_bits - 1) - 1
    leak_shift: int  # 0: the leak is a product
    leak_factor: int = 0  # 0: the leak is a shift, or the layers have factors of their own
    kernel: int = 0  # units that a neuron of the first layer sees, with shared weights; 0: all
    stride: int = 1  # units between places
    is_membrane: bool = False  # scores are sums of membranes, not spike counts

    def __post_init__(self) -> None:
        """Refuse layers that don't fit: the compiled loops check no index."""
        for rows, layer in zip(self.rows, self.layers, strict=True):
            if rows.shape[1] != len(layer.threshold):
                raise ValueError(f"{len(layer.threshold)} neurons with weights of {rows.shape[1]}")
        if len({layer.factor is None for layer in self.layers}) > 1:
            raise ValueError("leaks of their own in one layer alone")

    @property
    def factor_bits(self) -> int:
        """Return by how many bits a leak's product is shifted."""
        return FACTOR_BITS if self.layers[0].factor is None else OWN_FACTOR_BITS

    def leaks(self, layer: int) -> np.ndarray:
        """Return each neuron's leak in layer 0 or 1, a shift or a factor: (neurons,) int64."""
        part = self.layers[layer]
        own = np.full(len(part.bias), self.leak_factor or self.leak_shift)
        return own if part.factor is None else part.factor

    @property
    def sizes(self) -> tuple[int, ...]:
        """Return how many inputs there are, delayed ones among them, hidden neurons and classes."""
        return self.grid.n_units * len(self.delays), *(len(layer.bias) for layer in self.layers)

    @cached_property
    def columns(self) -> np.ndarray:
        """Return which inputs the neurons see at each place: (places, weights of a channel)."""
        n_units = self.grid.n_units
        seen = np.arange(len(self.delays))[:, None] * n_units + np.arange(self.kernel or n_units)
        first = np.arange(0, n_units - (self.kernel or n_units) + 1, self.stride)
        return first[:, None] + seen.ravel()

    @cached_property
    def rows(self) -> list[np.ndarray]:
        """Return what an active input adds to each membrane, by layer: (inputs, neurons) int64."""
        first, *others = (np.ascontiguousarray(p.weight.T << p.shift) for p in self.layers)
        sizes = [self.columns.shape[1], *(len(p.bias) for p in self.layers)]
        for rows, n_in in zip((first, *others), sizes, strict=False):
            if len(rows) != n_in:
                raise ValueError(f"a layer of {len(rows)} inputs behind {n_in}")
        spread = np.zeros((self.sizes[0], len(self.columns), first.shape[1]), np.int64)
        for p, columns in enumerate(self.columns):
            spread[columns, p] = first
        return [spread.reshape(len(spread), -1), *others]

    @cached_property
    def fan_out(self) -> list[np.ndarray]:
        """Return how many neurons each input of a layer is added to, (inputs,) by layer."""
        n_places = np.bincount(self.columns.ravel(), minlength=self.sizes[0])
        n_channels = len(self.layers[0].weight)
        return [n_places * n_channels, np.full(self.sizes[1], self.sizes[2])]

    @property
    def high(self) -> int:
        """Return the highest membrane; the lowest is -high - 1."""
        return (1 << (self.mem_bits - 1)) - 1

    @property
    def synapses(self) -> list[np.ndarray]:
        """Return how many weights that aren't 0 each input of a layer meets, (inputs,) by layer."""
        return [np.count_nonzero(rows, axis=1) for rows in self.rows]

    def sum_bits(self, layer: int) -> int:
        """Return how many bits hold any sum of layer 0 or 1 before it saturates, in any order."""
        part = self.layers[layer]
        weights = np.abs(self.rows[layer]).sum(0)
        most = self.high + 1 + np.abs(part.bias) + weights + part.threshold
        return int(most.max()).bit_length() + 1

    def pool(
        self, milliseconds: Sequence[int] | np.ndarray, units: Sequence[int] | np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return steps and units of the events, ordered by step, then unit.

        Parameters
        ----------
        milliseconds, units : sequence of int
            Spikes, shape (spikes,), milliseconds ascending, units 0..699.

        Raises
        ------
        ValueError
            If they are no integers, out of order or out of range.
        """
        times, channels = np.asarray(milliseconds), np.asarray(units)
        if len(times) == 0:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        if times.dtype.kind not in "iu" or channels.dtype.kind not in "iu":
            raise ValueError("events: milliseconds and units must be integers")
        times, channels = times.astype(np.int64), channels.astype(np.int64)
        if times.shape != channels.shape or times[0] < 0 or (np.diff(times) < 0).any():
            raise ValueError("events: out of order; give milliseconds from 0 upwards, and units")
        if not 0 <= channels.min() <= channels.max() < N_CHANNELS:
            raise ValueError(f"events: a unit is not in 0..{N_CHANNELS - 1}")
        grid = self.grid
        return _pool(
            times, channels - grid.first_unit, grid.n_steps, grid.n_units,
            grid.pool_steps, grid.pool_units, grid.pool_threshold,
        )  # fmt: skip

    def run(
        self, milliseconds: Sequence[int] | np.ndarray, units: Sequence[int] | np.ndarray
    ) -> IntegerRun:
        """Take one utterance's spikes to scores, and keep what happened on the way; see `pool`."""
        return self._run(*self.pool(milliseconds, units))

    def _run(self, steps: np.ndarray, units: np.ndarray) -> IntegerRun:
        """Take one utterance's events to scores; arguments as `pool` returns them."""
        spk, mem = [], []
        first = start, inputs = self._inputs(steps.astype(np.int64), units.astype(np.int64))
        for i, layer in enumerate(self.layers):
            mem.append(np.zeros((self.grid.n_steps + 1, len(layer.threshold)), np.int64))
            start, inputs = _run_layer(
                self.rows[i], layer.bias, layer.threshold, self.high, self.leaks(i),
                0 if self.leak_shift else self.factor_bits, start, inputs, mem[-1],
            )  # fmt: skip
            spk.append(mem[-1][1:] > layer.threshold)
        states = tuple(each[1:] for each in mem)
        scores = (states[-1] if self.is_membrane else spk[-1]).sum(0)
        return IntegerRun(scores, tuple(spk), states, *first)

    def _inputs(self, steps: np.ndarray, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where each step's inputs begin, and all inputs, delayed copies among them."""
        delays = np.array(self.delays)[:, None]
        late = (steps + delays).ravel()
        inputs = (units + self.grid.n_units * np.arange(len(delays))[:, None]).ravel()
        order = np.argsort(late, kind="stable")
        start = np.searchsorted(late[order], np.arange(self.grid.n_steps + 1))
        return start.astype(np.int32), inputs[order][: start[-1]].astype(np.int32)

    def runs(self, events: Events) -> Iterator[IntegerRun]:
        """Yield what `run` gives for each of many utterances that `events.downsample` has made.

        ValueError, if the events are of another grid.
        """
        if (events.n_units, events.n_steps) != (self.grid.n_units, self.grid.n_steps):
            raise ValueError(f"events of {events.n_units} units x {events.n_steps} steps don't fit")
        for low, high in pairwise(events.offsets):
            yield self._run(events.steps[low:high], events.units[low:high])

    def evaluate(self, events: Events) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores and spikes of many downsized utterances; see `runs`.

        Scores, output spikes or sums of membranes, (utterances, classes) int64; and spikes of each
        layer, (utterances, layers) int64.
        """
        n, sizes = len(events), [len(layer.threshold) for layer in self.layers]
        scores, n_spikes = np.zeros((n, sizes[-1]), np.int64), np.zeros((n, len(sizes)), np.int64)
        for i, run in enumerate(self.runs(events)):
            scores[i], n_spikes[i] = run.scores, [spk.sum() for spk in run.spk]
        return scores, n_spikes


def milliseconds(utterances: Utterances, i: int) -> tuple[np.ndarray, np.ndarray]:
    """Return milliseconds and units of utterance `i`, int64, in the circuit's order."""
    times, units = utterances.spikes(i)
    whole = np.floor(times * 1000).astype(np.int64)
    order = np.lexsort((units, whole))
    return whole[order], units[order].astype(np.int64)


@compiled
def _pool(bins, units, n_steps, n_units, pool_steps, pool_units, threshold):
    """Cut and pool as a circuit does: a bit a unit, a counter a block, no list of cells."""
    is_active = np.zeros(n_units * pool_units, np.bool_)  # in this bin
    counters = np.zeros(n_units, np.int64)  # of active cells in this step
    steps_out, units_out = np.empty(len(bins), np.int64), np.empty(len(bins), np.int64)
    found, now, step = 0, 0, 0
    for e in range(len(bins) + 1):
        later = bins[e] if e < len(bins) else n_steps * pool_steps
        if later != now:
            is_active[:] = False
        if later // pool_steps != step:
            for u in range(n_units):
                if counters[u] >= threshold and step < n_steps:
                    steps_out[found], units_out[found] = step, u
                    found += 1
                counters[u] = 0
        now, step = later, later // pool_steps
        if e < len(bins) and 0 <= units[e] < len(is_active) and not is_active[units[e]]:
            is_active[units[e]] = True
            counters[units[e] // pool_units] += 1
    return steps_out[:found], units_out[:found]


@compiled
def _run_layer(rows, bias, threshold, high, leaks, factor_bits, start, inputs, mem):
    """Run a layer; mem[t + 1] becomes the membrane of step t. Return its spikes by step.

    Leaks are shifts where factor_bits is 0.

    The inputs that are active at step t are inputs[start[t]:start[t + 1]]; so are those returned.
    """
    n_steps, n = len(start) - 1, len(bias)
    start_out, spikes = np.empty(n_steps + 1, np.int32), np.empty(n_steps * n, np.int32)
    found = 0
    for t in range(n_steps):
        start_out[t] = found
        for j in range(n):
            u = mem[t, j]
            leaked = (u * leaks[j]) >> factor_bits if factor_bits else u - (u >> leaks[j])
            mem[t + 1, j] = leaked + bias[j] - (threshold[j] if u > threshold[j] else 0)
        for k in range(start[t], start[t + 1]):
            row = rows[inputs[k]]
            for j in range(n):
                mem[t + 1, j] += row[j]
        for j in range(n):
            mem[t + 1, j] = min(max(mem[t + 1, j], -high - 1), high)
            if mem[t + 1, j] > threshold[j]:
                spikes[found] = j
                found += 1
    start_out[n_steps] = found
    return start_out, spikes[:found]
