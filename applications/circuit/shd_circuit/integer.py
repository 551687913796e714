"""The integer model: the definition of the circuit, from spikes to a class, without a float.

**Input.** Spikes are pairs (millisecond, unit) in the order of their milliseconds. A *cell* is one
unit in one bin of 1 ms. It is active if at least one spike falls into it, however many these are.
A *block* is `pool_units` units x `pool_steps` bins. It is an *event* of its step if at least
`pool_threshold` of its cells are active. Units below `first_unit` are dropped, and so are units at
the upper edge that don't fill a block. `core.v` keeps one bit for each cell of a block.
`reference.c` keeps the last bin of each unit, and counts the active cells of each block.

With delays, every event arrives once for each delay: input k n_units + b is the event of block b,
delays[k] steps ago.

**A step of a layer.** Each neuron has a membrane U, which is 0 at the start, a bias b and a
threshold T. With x_i = 1 for an active input i and 0 otherwise:

1. Reset, one step late, as in snnTorch: R = T if U > T (the neuron spiked in the step before),
   else R = 0.
2. Leak: L(U) = U - (U >> leak_shift), or, where leak_shift is 0, L(U) = (U leak_factor) >> 8.
   Neurons with factors of their own have L(U) = (U factor) >> 12. The shift >> is arithmetic: it
   rounds down.
3. Sum: V = L(U) + b + sum over i of (w_i << shift) x_i - R.
4. Saturation, once, after all of these additions: the new U is V, but at least
   -2^(mem_bits - 1) and at most 2^(mem_bits - 1) - 1. The sum needs more bits on the way; see
   `IntegerNetwork.sum_bits`.
5. Spike, if the new U > T, strictly.

The second layer's inputs at a step are the first layer's spikes of the same step. The class is the
output neuron with most spikes. **Of several with equally many, it is the lowest class.**

**Shared weights** (`kernel` above 0). The first layer looks at windows of `kernel` blocks, each
`stride` blocks after the one before. Every window has the same n_channels neurons: neuron
p n_channels + c has channel c's weights at window p. Its weight k kernel + j is that of input
k n_units + p stride + j. It doesn't see any other input.

**Membranes as scores** (`is_membrane`). An output neuron's score is the sum of its membranes over
the steps, after point 4, and the class is the one with the highest score. Its threshold is the
highest membrane that is possible, which no membrane exceeds. So it never spikes, and nothing is
subtracted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from shd_corpus.compiled import compiled
from shd_corpus.shd_file import Utterances
from shd_helpers.events.downsampling import Downsampling, Events

FACTOR_BITS = 8  # of a leak by product: beta is about leak_factor / 2^8
OWN_FACTOR_BITS = 12  # where every neuron has a factor of its own: many learn a beta close to 1


@dataclass(frozen=True)
class IntegerLayer:
    """The integers of a layer: low-precision weights, all else in the units of the membrane.

    Parameters
    ----------
    weight : ndarray
        Shape (neurons, inputs), int64. Shared ones have the shape (channels, delays x kernel).
    bias : ndarray
        Shape (neurons,), int64.
    threshold : ndarray
        Shape (neurons,), int64, above 0.
    shift : int
        By how many bits a weight is shifted left when it is added.
    factor : ndarray, optional
        Shape (neurons,), int64, 0 to 2^12: leaks of the neurons' own.
    """

    weight: np.ndarray
    bias: np.ndarray
    threshold: np.ndarray
    shift: int = 0
    factor: np.ndarray | None = None


class IntegerRun(NamedTuple):
    """What the circuit did with one utterance.

    Parameters
    ----------
    scores : ndarray
        Each class's output spikes, or its sum of membranes: shape (classes,), int64.
    spk : tuple of ndarray
        Of each layer, which neurons spiked: shape (steps, neurons), bool.
    mem : tuple of ndarray
        Of each layer, the membranes before the reset: shape (steps, neurons), int64.
    start : ndarray
        Where each step's inputs begin in `inputs`: shape (steps + 1,), int32.
    inputs : ndarray
        The inputs that are active, ascending within a step: shape (active inputs,), int32. Those of
        step t are ``inputs[start[t] : start[t + 1]]``.
    """

    scores: np.ndarray
    spk: tuple[np.ndarray, ...]
    mem: tuple[np.ndarray, ...]
    start: np.ndarray
    inputs: np.ndarray

    @property
    def answer(self) -> int:
        """Return the class: the highest score, the lowest of those with equally high ones."""
        return int(self.scores.argmax())


@dataclass(frozen=True)
class IntegerNetwork:
    """A circuit of two layers; the module's docstring defines what it computes.

    Parameters
    ----------
    grid : Downsampling
        How spikes become events.
    delays : tuple of int
        In steps, ascending.
    layers : tuple of IntegerLayer
        The hidden layer and the output layer.
    mem_bits : int
        A membrane is at least -2^(mem_bits - 1) and at most 2^(mem_bits - 1) - 1.
    leak_shift : int
        0 if the leak is a product.
    leak_factor : int
        0 if the leak is a shift, or the layers have factors of their own.
    kernel : int
        Blocks in a window of shared weights; 0 if weights aren't shared, so that every neuron sees
        all blocks.
    stride : int
        Blocks from one window to the next.
    is_membrane : bool
        Scores are sums of membranes, not numbers of spikes.

    Raises
    ------
    ValueError
        If a layer has other inputs than there are, or only one layer has leaks of its own.
    """

    grid: Downsampling
    delays: tuple[int, ...]
    layers: tuple[IntegerLayer, ...]
    mem_bits: int
    leak_shift: int
    leak_factor: int = 0
    kernel: int = 0
    stride: int = 1
    is_membrane: bool = False

    def __post_init__(self) -> None:
        """Refuse layers that don't fit: the compiled loops check no index."""
        for weights, layer in zip(self.dense_weights, self.layers, strict=True):
            n_neurons = len(layer.threshold)
            if weights.shape[1] != n_neurons:
                raise ValueError(
                    f"a layer has {n_neurons} neurons, but weights for {weights.shape[1]}"
                )
        has_factors = {layer.factor is not None for layer in self.layers}
        if len(has_factors) > 1:
            raise ValueError("either both layers or neither must have a leak for each neuron")

    @property
    def factor_bits(self) -> int:
        """Return by how many bits a leak's product is shifted right."""
        return FACTOR_BITS if self.layers[0].factor is None else OWN_FACTOR_BITS

    def leaks(self, layer: int) -> np.ndarray:
        """Return the leak of each neuron.

        Parameters
        ----------
        layer : int
            0 or 1.

        Returns
        -------
        ndarray
            Shifts, or factors if `leak_shift` is 0: shape (neurons,), int64.
        """
        own_factors = self.layers[layer].factor
        if own_factors is not None:
            return own_factors
        return np.full(len(self.layers[layer].bias), self.leak_factor or self.leak_shift)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Return the numbers of inputs (with their delayed copies), hidden neurons and classes."""
        n_inputs = self.grid.n_units * len(self.delays)
        n_hidden, n_classes = (len(layer.bias) for layer in self.layers)
        return n_inputs, n_hidden, n_classes

    @property
    def high(self) -> int:
        """Return the highest membrane; the lowest is -high - 1."""
        return (1 << (self.mem_bits - 1)) - 1

    @cached_property
    def window_inputs(self) -> np.ndarray:
        """Return which inputs each window's neurons see, shape (windows, weights of a channel).

        Without shared weights there is one window, of all inputs.
        """
        n_units = self.grid.n_units
        kernel = self.kernel or n_units
        # of the first window: delay by delay, block by block
        first_of_delay = n_units * np.arange(len(self.delays))
        of_first_window = (first_of_delay[:, None] + np.arange(kernel)).ravel()
        first_blocks = np.arange(0, n_units - kernel + 1, self.stride)
        return first_blocks[:, None] + of_first_window

    @cached_property
    def dense_weights(self) -> list[np.ndarray]:
        """Return what an active input adds to each membrane, by layer: (inputs, neurons) int64.

        These are the shifted weights; shared ones are repeated for each window. A row is one
        piece of memory, because the compiled loop adds a row for each active input.
        """
        first, second = (
            np.ascontiguousarray(layer.weight.T << layer.shift) for layer in self.layers
        )
        n_windows, n_weights = self.window_inputs.shape
        n_inputs, n_hidden, _ = self.sizes
        for weights, n_expected in ((first, n_weights), (second, n_hidden)):
            if len(weights) != n_expected:
                raise ValueError(
                    f"a layer has weights for {len(weights)} inputs, but receives {n_expected}"
                )
        n_channels = first.shape[1]
        repeated = np.zeros((n_inputs, n_windows, n_channels), np.int64)
        for window, inputs in enumerate(self.window_inputs):
            repeated[inputs, window] = first
        return [repeated.reshape(n_inputs, n_windows * n_channels), second]

    @cached_property
    def fan_out(self) -> list[np.ndarray]:
        """Return how many neurons each input of a layer is added to, (inputs,) by layer."""
        n_inputs, n_hidden, n_classes = self.sizes
        n_windows = np.bincount(self.window_inputs.ravel(), minlength=n_inputs)
        n_channels = len(self.layers[0].weight)
        return [n_windows * n_channels, np.full(n_hidden, n_classes)]

    @property
    def synapses(self) -> list[np.ndarray]:
        """Return how many weights of each input aren't 0, shape (inputs,), by layer."""
        return [np.count_nonzero(weights, axis=1) for weights in self.dense_weights]

    def sum_bits(self, layer: int) -> int:
        """Return how many bits hold any sum of a layer before it saturates, in any order.

        Parameters
        ----------
        layer : int
            0 or 1.

        Returns
        -------
        int
            Bits in two's complement.
        """
        own = self.layers[layer]
        weights = np.abs(self.dense_weights[layer]).sum(0)
        largest = self.high + 1 + np.abs(own.bias) + weights + own.threshold
        return int(largest.max()).bit_length() + 1  # one for the sign

    def pool(
        self, milliseconds: Sequence[int] | np.ndarray, units: Sequence[int] | np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Downsample an utterance's spikes to events, as the circuit's front does.

        Parameters
        ----------
        milliseconds : sequence of int
            Of each spike, shape (spikes,), ascending.
        units : sequence of int
            Of each spike, shape (spikes,), below the grid's `n_channels`.

        Returns
        -------
        steps : ndarray
            Of each event, ascending: shape (events,), int64.
        units : ndarray
            The block of each event, ascending within a step: shape (events,), int64.

        Raises
        ------
        ValueError
            If they are no integers, out of order or out of range.
        """
        grid = self.grid
        times = np.asarray(milliseconds)
        channels = np.asarray(units)
        if len(times) == 0:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        if times.dtype.kind not in "iu" or channels.dtype.kind not in "iu":
            raise ValueError("events: milliseconds and units must be integers")
        # unsigned differences would never be negative
        times = times.astype(np.int64)
        channels = channels.astype(np.int64)
        if times.shape != channels.shape or times[0] < 0 or (np.diff(times) < 0).any():
            raise ValueError("events: out of order; give milliseconds from 0 upwards, and units")
        if not 0 <= channels.min() <= channels.max() < grid.n_channels:
            raise ValueError(f"events: a unit is not in 0..{grid.n_channels - 1}")
        return _pool(
            times,
            channels - grid.first_unit,
            grid.n_steps,
            grid.n_units,
            grid.pool_steps,
            grid.pool_units,
            grid.pool_threshold,
        )

    def run(
        self, milliseconds: Sequence[int] | np.ndarray, units: Sequence[int] | np.ndarray
    ) -> IntegerRun:
        """Compute an utterance's scores, and keep all that happens on the way.

        Parameters
        ----------
        milliseconds : sequence of int
            Of each spike, see `pool`.
        units : sequence of int
            Of each spike, see `pool`.

        Returns
        -------
        IntegerRun
            Scores, and all spikes and membranes.

        Raises
        ------
        ValueError
            As `pool`.
        """
        return self.run_events(*self.pool(milliseconds, units))

    def run_events(self, steps: np.ndarray, units: np.ndarray) -> IntegerRun:
        """Compute an utterance's scores from its events, such as those of a front end.

        Parameters
        ----------
        steps : ndarray
            Of each event, ascending, below the grid's `n_steps`: shape (events,), int64.
        units : ndarray
            The block of each event, ascending within a step: shape (events,), int64.

        Returns
        -------
        IntegerRun
            As `run`.
        """
        first_start, first_inputs = self._inputs(steps.astype(np.int64), units.astype(np.int64))
        start = first_start
        inputs = first_inputs
        spikes: list[np.ndarray] = []
        membranes: list[np.ndarray] = []
        for i, layer in enumerate(self.layers):
            # one row more than steps: the first is the membrane at the start, 0
            mem = np.zeros((self.grid.n_steps + 1, len(layer.threshold)), np.int64)
            # a layer's spikes are the next one's inputs
            start, inputs = _run_layer(
                self.dense_weights[i],
                layer.bias,
                layer.threshold,
                self.high,
                self.leaks(i),
                0 if self.leak_shift else self.factor_bits,
                start,
                inputs,
                mem,
            )
            spikes.append(mem[1:] > layer.threshold)
            membranes.append(mem[1:])
        summed = membranes[-1] if self.is_membrane else spikes[-1]
        return IntegerRun(summed.sum(0), tuple(spikes), tuple(membranes), first_start, first_inputs)

    def _inputs(self, steps: np.ndarray, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where each step's inputs begin, and all inputs, delayed copies among them.

        An event that would arrive after the last step isn't among them.
        """
        # of each delay (rows) and event (columns): when it arrives, and at which input
        delays = np.array(self.delays)[:, None]
        first_of_delay = self.grid.n_units * np.arange(len(delays))[:, None]
        arrival = (steps + delays).ravel()
        inputs = (units + first_of_delay).ravel()
        # inputs stay in ascending order within a step, because the sort is stable
        order = np.argsort(arrival, kind="stable")
        start = np.searchsorted(arrival[order], np.arange(self.grid.n_steps + 1))
        return start.astype(np.int32), inputs[order][: start[-1]].astype(np.int32)

    def runs(self, events: Events) -> Iterator[IntegerRun]:
        """Yield what `run` returns, for utterances that are downsampled already.

        Parameters
        ----------
        events : Events
            From `events.downsample`, on this circuit's grid.

        Yields
        ------
        IntegerRun
            Of each utterance, in order.

        Raises
        ------
        ValueError
            If the events are of another grid.
        """
        if (events.n_units, events.n_steps) != (self.grid.n_units, self.grid.n_steps):
            raise ValueError(
                f"the events have {events.n_units} units x {events.n_steps} steps, but the circuit "
                f"needs {self.grid.n_units} x {self.grid.n_steps}"
            )
        for low, high in pairwise(events.offsets):
            yield self.run_events(events.steps[low:high], events.units[low:high])

    def evaluate(self, events: Events) -> tuple[np.ndarray, np.ndarray]:
        """Compute the scores of utterances, and how many spikes they take.

        Parameters
        ----------
        events : Events
            As for `runs`.

        Returns
        -------
        scores : ndarray
            Output spikes or sums of membranes: shape (utterances, classes), int64.
        n_spikes : ndarray
            Spikes of each layer: shape (utterances, layers), int64.

        Raises
        ------
        ValueError
            As `runs`.
        """
        n_classes = self.sizes[-1]
        scores = np.zeros((len(events), n_classes), np.int64)
        n_spikes = np.zeros((len(events), len(self.layers)), np.int64)
        for i, run in enumerate(self.runs(events)):
            scores[i] = run.scores
            n_spikes[i] = [spikes.sum() for spikes in run.spk]
        return scores, n_spikes


def whole_milliseconds(utterances: Utterances, i: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an utterance's spikes as the circuit gets them: in whole milliseconds, in order.

    Parameters
    ----------
    utterances : Utterances
        With times in seconds, as a file of the data set has them.
    i : int
        Which utterance.

    Returns
    -------
    milliseconds : ndarray
        Rounded down, ascending: shape (spikes,), int64.
    units : ndarray
        Ascending within a millisecond: shape (spikes,), int64.
    """
    times, units = utterances.spikes(i)
    milliseconds = np.floor(times * 1000).astype(np.int64)
    order = np.lexsort((units, milliseconds))  # by the last key first
    return milliseconds[order], units[order].astype(np.int64)


@compiled
def _pool(bins, units, n_steps, n_units, pool_steps, pool_units, threshold):
    """Count active cells as a circuit does: a bit for each unit, a counter for each block.

    Takes each spike's bin, ascending, and its unit, counted from the first one that is used.
    Returns each event's step and block.
    """
    is_active = np.zeros(n_units * pool_units, np.bool_)  # which units, in this bin
    n_active = np.zeros(n_units, np.int64)  # active cells of each block, in this step
    # a block needs a spike to become an event
    event_steps = np.empty(len(bins), np.int64)
    event_units = np.empty(len(bins), np.int64)
    n_events = 0
    current_bin = 0
    current_step = 0
    # one round more than spikes, in the bin after the last step: it closes what is open
    for spike in range(len(bins) + 1):
        is_spike = spike < len(bins)
        new_bin = bins[spike] if is_spike else n_steps * pool_steps
        if new_bin != current_bin:
            is_active[:] = False
        if new_bin // pool_steps != current_step:
            for block in range(n_units):
                # steps after the window end without events
                if n_active[block] >= threshold and current_step < n_steps:
                    event_steps[n_events] = current_step
                    event_units[n_events] = block
                    n_events += 1
                n_active[block] = 0
        current_bin = new_bin
        current_step = new_bin // pool_steps
        # a unit that is out of range is dropped, and a second spike in a cell counts nothing
        if is_spike and 0 <= units[spike] < len(is_active) and not is_active[units[spike]]:
            is_active[units[spike]] = True
            n_active[units[spike] // pool_units] += 1
    return event_steps[:n_events], event_units[:n_events]


@compiled
def _run_layer(weights, bias, threshold, high, leaks, factor_bits, start, inputs, mem):  # noqa: PLR0913
    """Run a layer over all steps, by the points 1 to 5 of the module's docstring.

    `weights` has a row for each input, `leaks` are factors, or shifts where `factor_bits` is 0. The
    inputs that are active at step t are inputs[start[t] : start[t + 1]]. Writes the membranes of
    step t into mem[t + 1]; mem[0] is what they are at the start. Returns the layer's spikes in the
    form of `start` and `inputs`.
    """
    n_steps = len(start) - 1
    n_neurons = len(bias)
    spike_start = np.empty(n_steps + 1, np.int32)
    spikes = np.empty(n_steps * n_neurons, np.int32)
    n_spikes = 0
    for t in range(n_steps):
        spike_start[t] = n_spikes
        # 1 to 3: late reset, leak and bias
        for j in range(n_neurons):
            u = mem[t, j]
            leaked = (u * leaks[j]) >> factor_bits if factor_bits else u - (u >> leaks[j])
            mem[t + 1, j] = leaked + bias[j] - (threshold[j] if u > threshold[j] else 0)
        # 3: the weights of active inputs; most inputs aren't, so these are not looked at
        for k in range(start[t], start[t + 1]):
            row = weights[inputs[k]]
            for j in range(n_neurons):
                mem[t + 1, j] += row[j]
        # 4 and 5: saturate once, then compare
        for j in range(n_neurons):
            mem[t + 1, j] = min(max(mem[t + 1, j], -high - 1), high)
            if mem[t + 1, j] > threshold[j]:
                spikes[n_spikes] = j
                n_spikes += 1
    spike_start[n_steps] = n_spikes
    return spike_start, spikes[:n_spikes]
