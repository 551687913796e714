"""The integer model: the definition of the circuit, from raw events to a class, without a float.

**The input.** Events are pairs (millisecond, unit), in the order of their milliseconds. Units below
`first_unit` and those that fill no block at the upper edge are dropped; a cell is one unit in one
bin of time, and however many events fall into it, it is active once; a block of `pool_units` x
`pool_steps` cells is an input spike if at least `pool_threshold` of its cells are active. A circuit
needs a bit a unit (active in this bin?) and a counter a block of units.

**A step of a layer**, for each neuron, with its membrane U from the step before:

1. if U > threshold, the neuron notes that the threshold is to be subtracted: the reset comes one
   step late, as in snntorch.
2. the leak: U - (U >> leak_shift), or, where that is 0, (U leak_factor) >> 8; >> is arithmetic, it
   rounds down.
3. plus the bias, plus (weight << shift) of every active input, minus the noted threshold.
4. the membrane saturates to mem_bits bits, once, after all of these additions: sums need more bits
   on the way, see `IntegerNetwork.sum_bits`.
5. the neuron spikes if U > threshold, strictly.

The second layer's inputs at a step are the first layer's spikes of the same step. With delays,
input k n_units + u is the input spike of unit u, delays[k] steps ago. Membranes begin at 0. The
class is the output neuron with most spikes; **of several with equally many, the lowest class**.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hardware.kernels import FACTOR_BITS, run_layer, run_pool
from shd_helpers.checks import check_whole
from shd_helpers.events.downsample import Downsampling, Events
from shd_helpers.network.answers import answers
from shd_helpers.source.shd_file import N_CHANNELS, Utterances


@dataclass(frozen=True)
class IntegerLayer:
    """Integers of a layer: weights in few bits, all others in units of the membrane."""

    weight: np.ndarray  # (neurons, inputs) int64
    bias: np.ndarray  # (neurons,) int64
    threshold: np.ndarray  # (neurons,) int64, above 0
    shift: int = 0  # bits by which a weight is shifted left when it is added

    def __post_init__(self) -> None:
        """Refuse what is no layer of integers."""
        n = len(self.threshold)
        if self.weight.shape[:1] != (n,) or self.weight.ndim != 2 or self.bias.shape != (n,):
            raise ValueError("a layer needs weights (neurons, inputs), a bias and a threshold each")
        for name in ("weight", "bias", "threshold"):
            if getattr(self, name).dtype != np.int64:
                raise ValueError(f"{name}: must be int64, not {getattr(self, name).dtype}")
        if self.threshold.min() < 1:
            raise ValueError(f"threshold {self.threshold.min()}: must be at least 1")
        check_whole("shift", self.shift, 0, 31)


class IntegerRun(NamedTuple):
    """What the circuit did with one utterance."""

    counts: np.ndarray  # (classes,) int64 output spikes
    spk: tuple[np.ndarray, ...]  # a layer each: (steps, neurons) bool
    mem: tuple[np.ndarray, ...]  # a layer each: (steps, neurons) int64, before the reset

    @property
    def answer(self) -> int:
        """Return the class: most output spikes, the lowest of those with equally many."""
        return int(answers(self.counts))


@dataclass(frozen=True)
class IntegerNetwork:
    """The circuit; the module's text says what it does.

    Raises
    ------
    ValueError
        If parts don't fit together, or bins are no whole milliseconds.
    """

    grid: Downsampling
    delays: tuple[int, ...]  # steps, ascending
    layers: tuple[IntegerLayer, ...]
    mem_bits: int  # a membrane is -2^(mem_bits - 1) .. 2^(mem_bits - 1) - 1
    leak_shift: int  # 0: the leak is a product
    leak_factor: int = 0  # 0: the leak is a shift

    def __post_init__(self) -> None:
        """Refuse what is no circuit."""
        check_whole("mem_bits", self.mem_bits, 2, 32)
        check_whole("leak_shift", self.leak_shift, 0, 31)
        check_whole("leak_factor", self.leak_factor, 0, 1 << FACTOR_BITS)
        if self.leak_shift and self.leak_factor:
            raise ValueError("leak_shift, leak_factor: the leak is one of the two")
        if list(self.delays) != sorted({*self.delays}) or not self.delays or self.delays[0] < 0:
            raise ValueError(f"delays {list(self.delays)}: give steps from 0 upwards, ascending")
        sizes = [self.grid.n_units * len(self.delays)]
        for layer in self.layers:
            if layer.weight.shape[1] != sizes[-1]:
                raise ValueError(f"a layer of {layer.weight.shape[1]} inputs behind {sizes[-1]}")
            sizes.append(len(layer.threshold))
            if layer.threshold.max() > self.high:
                raise ValueError(f"threshold {layer.threshold.max()}: no membrane gets above it")

    @property
    def high(self) -> int:
        """Return the highest membrane; the lowest is -high - 1."""
        return (1 << (self.mem_bits - 1)) - 1

    @property
    def synapses(self) -> list[np.ndarray]:
        """Return how many weights that aren't 0 each input of a layer meets, (inputs,) by layer."""
        return [np.count_nonzero(layer.weight, axis=0) for layer in self.layers]

    def sum_bits(self, layer: int) -> int:
        """Return how many bits hold any sum of a layer before it saturates, in any order.

        Parameters
        ----------
        layer : int
            0 or 1.
        """
        part = self.layers[layer]
        weights = np.abs(part.weight).sum(1) << part.shift
        most = self.high + 1 + np.abs(part.bias) + weights + part.threshold
        return int(most.max()).bit_length() + 1

    def pool(
        self, milliseconds: Sequence[int] | np.ndarray, units: Sequence[int] | np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return steps and units of the input spikes, ordered by step, then unit.

        Parameters
        ----------
        milliseconds, units : sequence of int
            Raw events, shape (events,), milliseconds ascending, units 0..699.

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
        return run_pool(
            times, channels - grid.first_unit, grid.n_steps, grid.n_units,
            grid.pool_steps, grid.pool_units, grid.pool_threshold,
        )  # fmt: skip

    def run(
        self, milliseconds: Sequence[int] | np.ndarray, units: Sequence[int] | np.ndarray
    ) -> IntegerRun:
        """Take one utterance's raw events to spike counts, and keep what happened on the way.

        Parameters
        ----------
        milliseconds, units
            As in `pool`, which also says what is raised.
        """
        return self.run_pooled(*self.pool(milliseconds, units))

    def run_pooled(self, steps: np.ndarray, units: np.ndarray) -> IntegerRun:
        """Take one utterance's input spikes to spike counts, as `run` does.

        Parameters
        ----------
        steps, units : ndarray
            As `pool` returns them, shape (input spikes,).

        Raises
        ------
        ValueError
            If they are out of order or out of range.
        """
        n_steps, spk, mem = self.grid.n_steps, [], []
        start, inputs = self._inputs(steps, units)
        for layer in self.layers:
            mem.append(np.zeros((n_steps + 1, len(layer.threshold)), np.int64))
            start, inputs = run_layer(self._integers(layer), start, inputs, mem[-1])
            spk.append(mem[-1][1:] > layer.threshold)
        return IntegerRun(spk[-1].sum(0), tuple(spk), tuple(states[1:] for states in mem))

    def count(
        self, events: Events, index: Sequence[int] | np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Run many utterances from their input spikes on; the numbers are those of `run`.

        Parameters
        ----------
        events : Events
            Downsized utterances: `pool` gives the same events as `events.downsize`.
        index : sequence of int, optional
            Which of them; all by default.

        Returns
        -------
        counts : ndarray
            Output spikes, shape (batch, classes), int64.
        n_spikes : ndarray
            Spikes of each layer, shape (batch, layers), int64.

        Raises
        ------
        ValueError
            If the events are of another grid.
        """
        if (events.n_units, events.n_steps) != (self.grid.n_units, self.grid.n_steps):
            raise ValueError(f"events of {events.n_units} units x {events.n_steps} steps don't fit")
        index = np.arange(len(events)) if index is None else np.asarray(index, np.int64)
        integers = [self._integers(layer) for layer in self.layers]
        states = [np.zeros((events.n_steps + 1, len(part.threshold)), int) for part in self.layers]
        counts = np.zeros((len(index), len(self.layers[-1].threshold)), np.int64)
        n_spikes = np.zeros((len(index), len(self.layers)), np.int64)
        for b, i in enumerate(index):
            part = slice(events.offsets[i], events.offsets[i + 1])
            start, inputs = self._inputs(events.steps[part], events.units[part])
            for k, (layer, mem) in enumerate(zip(integers, states, strict=True)):
                start, inputs = run_layer(layer, start, inputs, mem)
                n_spikes[b, k] = len(inputs)
            counts[b] = np.bincount(inputs, minlength=counts.shape[1])
        return counts, n_spikes

    def _inputs(self, steps: np.ndarray, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the first layer's inputs by step, delayed copies among them."""
        n_steps, n_units, delays = self.grid.n_steps, self.grid.n_units, np.array(self.delays)
        cells = np.stack([steps, units]).astype(np.int64)
        is_inside = (cells >= 0).all() and (cells < [[n_steps], [n_units]]).all()
        if not is_inside or (np.diff(cells[0] * n_units + cells[1]) < 0).any():
            raise ValueError("events are out of order, or outside of the grid of steps and units")
        late = (cells[0] + delays[:, None]).ravel()
        inputs = (cells[1] + n_units * np.arange(len(delays))[:, None]).ravel()
        order = np.argsort(late, kind="stable")
        start = np.searchsorted(late[order], np.arange(n_steps + 1))
        return start.astype(np.int32), inputs[order].astype(np.int32)

    def _integers(self, layer: IntegerLayer) -> tuple:
        """Return what `run_layer` needs of a layer: weights by input, and the rule in numbers."""
        rows = np.ascontiguousarray(layer.weight.T << layer.shift)
        rule = self.high, self.leak_shift, self.leak_factor
        return rows, layer.bias, layer.threshold, rule


def milliseconds(utterances: Utterances, i: int) -> tuple[np.ndarray, np.ndarray]:
    """Return milliseconds and units of an utterance, int64, in the order that the circuit reads.

    Parameters
    ----------
    utterances : Utterances
        Spikes in SHD layout.
    i : int
        Which utterance.
    """
    times, units = utterances.spikes(i)
    whole = np.floor(times * 1000).astype(np.int64)
    order = np.lexsort((units, whole))
    return whole[order], units[order].astype(np.int64)
