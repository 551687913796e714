"""The compiled engine's inner loops: utterances through all layers, and back.

**Steps, rows and slots.** `step` counts from 0. Its row in the matrix ``mem`` of a layer's
membranes is ``row = step + 1``, because row 0 is the state before the first step. `slot` is a row
of ``spike_errors``, a small buffer with the gradients of a few steps' spikes. The functions that
compute a single step, forward or back, take its row.

**How an event reaches a hidden neuron.** An utterance is a list of events, ordered by step.
`read_events` writes it as an `EventList`, in which the units that are active at a step are
``units[starts[step]:starts[step + 1]]``. `layer_forward` takes such a list through one layer. The
layer has a matrix ``mem`` with a row for each step and a column for each neuron, and row u of its
weights holds the weights from unit u to all neurons, side by side::

    event: unit u is active at a step
      |                                   mem
      |                           row 0   resting potential, before the first step
      |   + row u of the weights          ...
      +----------------> row = step + 1   current of the step, then its membrane potential
      |                                   ...
      |   + row u + k n_units             ...
      +---------------> row + delays[k]   the same event, later, with weights of its own
                                          ...
                      row n_steps + 1     used by the backward pass only: zeros

The units are those of the input or the neurons of the layer before. Each layer has delays of its
own, often only one of no steps (`delays_of`).

1. Rows 1 to n_steps start with the biases.
2. `add_events` adds, for every event, a row of weights to a row of ``mem``. That is the matrix
   product of weights and input, without its multiplications by zero. A delayed copy of the events
   needs no memory of its own: its row of weights is added to a later row of ``mem`` right away. An
   event that would arrive after the last step is ignored.
3. `step_forward` is called for the steps in order. It turns the currents in the step's row into
   membrane potentials, in place.
4. The neurons above their threshold form the layer's own `EventList`, which the next layer reads.

**How neurons adapt.** In a layer of `AdaptiveLeaky`, a vector with a number for each
neuron goes from step to step beside ``mem``. Other layers pass over both functions::

                                       row - 1    membrane of the step before
    adaptation of the step before  -------+               |
                                          v               v
      `subtract_adaptation`              row      current, less the adaptation
      `step_forward`                     row      membrane of this step --+
                                                                          v
      `add_to_adaptation`              adaptation of this step, fed by its membrane and spike

**How neurons of a layer reach each other.** In a layer with recurrent weights, the spikes of a step
are events that arrive one step later (`add_recurrent`). They have a matrix of their own, with a row
for each neuron, and a transposed one for the way back (`recurrent_to_spikes`).

**Teams.** On the way back, all recurrent weights count at each step, and reading them takes longer
than anything else. So up to `TEAM` utterances are trained on at once, and a weight is read once for
all of them. Their membranes are side by side: a row of ``mem`` has the neurons of the first
utterance, then those of the second, and so on. Networks without recurrent weights have teams of one
utterance, which stays in the cache.

**What is stored for the backward pass.** While an utterance is computed, its membranes stay in
memory, all layers and all steps (`membranes`), and so do the event lists of all layers
(`Workspace`). Nothing else is stored: a neuron has spiked where its membrane is above its
threshold, and the gradients need no adaptation. `backward` goes from the last layer to the first,
and from the last step to the first, and overwrites each membrane by the gradient of the loss with
respect to that step's current. The gradient of row u of the weights is then the sum of those rows
of ``mem`` at which an event of unit u has arrived, which is again an addition of rows
(`add_weight_gradients`).

**How an error comes back to a spike.** A spike has acted wherever a copy of it arrived in the next
layer. So its gradient is a sum over the copies, which `copy_errors` lays side by side to make one
product of it::

    gradients of the next layer             next_errors                     weights, by neuron
      row + delays[0]  --------------------> | copy 0 | copy 1 | ... |   x  | from copy 0 |
      row + delays[1]  -----------------------------------^                 | from copy 1 |
      a row after the last step: zeros                                      | ...         |

`block_errors` computes this product for a block of steps at once, so that each weight is read from
memory once for all of them. The result is ``spike_errors``, with a slot for each step of the block.

**How a loss outside of the kernels is used.** `work` computes the cross-entropy itself, and takes
each utterance forward and back at once. For any other loss, it is called twice. The first time, it
keeps the membranes that the loss depends on. The second time, it gets the gradients of the loss
with respect to spikes and membranes (`Given`), and takes each utterance forward again, and back.
This takes less time than to keep all membranes in memory outside of the cache.

**How the threads share the work.** Each thread calls `work` once. A batch is cut into groups of
neighboring utterances. Thread number w of n takes the groups w, w + n, w + 2 n and so on, and adds
up the gradients of a group's utterances in their order, in memory that belongs to the group. The
engine adds up the groups, again in order. The number of groups depends on the batch alone, so no
bit of the result depends on the number of threads. Threads write to different rows of `Results`,
and numba releases Python's lock, so they need not wait for each other.

**Padding.** Vectors of a processor hold 4 to 16 float32 numbers. So rows are padded to a multiple
of `LANES` neurons, whose weights, biases and betas are zero: they never spike, and their gradients
are zero.

Numba stores a function's machine code beside its source and compiles it again when this file
changes. It doesn't notice changes of other files. So a kernel may use nothing from another file of
the package.
"""

import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 16  # rows are padded to whole vectors of this many float32, and begin at a cache line

# `block_errors` multiplies a block of steps by a block of rows of the weights at a time.
STEPS_PER_BLOCK = 4
WEIGHT_ROWS_PER_BLOCK = 20  # they stay in the cache for all steps of the block
# How many steps and rows of weights `add_products` takes at once. They are written out there.
UNROLLED_STEPS = 2
UNROLLED_ROWS = 5
assert (UNROLLED_STEPS, UNROLLED_ROWS) == (2, 5), "`add_products` is written out for 2 and 5"
assert STEPS_PER_BLOCK % UNROLLED_STEPS == 0, "a block must have whole pairs of steps"
assert WEIGHT_ROWS_PER_BLOCK % UNROLLED_ROWS == 0, "a block must have whole fives of rows"

# What a layer's backward pass multiplies errors by: the derivative of a surrogate; one, where the
# class scores are means of membranes; or the derivatives of any other surrogate in `Given`.
FAST_SIGMOID = 0
ATAN = 1
SIGMOID = 2
READOUT = 3
GIVEN = 4

# The rows of a layer's neurons, after its weights.
BIASES = 0
BETAS = 1
THRESHOLDS = 2
# Three rows more of neurons that adapt.
LEFT = 3  # share of the adaptation that is left after a step
FROM_MEM = 4  # how much of the membrane potential is added to the adaptation
FROM_SPK = 5  # how much a spike adds to the adaptation
# Three rows more in `scan`, where BIASES are those of the recurrent weights.
ALPHAS = 6  # share of the synaptic current that is left after a step
GAINS = 7  # by which the current, less the adaptation, is multiplied in neurons that adapt
TO_ITSELF = 8  # weight of a neuron's spike in its own next step
N_SCAN_ROWS = 9

# Utterances that go through a network with recurrent weights at once, in training.
TEAM = 4

ZERO = np.float32(0)
ONE = np.float32(1)


_OPTIONS: dict[str, Any] = {
    "error_model": "numpy",
    "nogil": True,
    # LLVM leaves some of the functions that a loop calls at each step as calls, and more of them
    # the more arguments they have: a training step then takes up to a fifth longer.
    "forceinline": True,
    "no_cfunc_wrapper": True,  # nothing calls it from C, and compiling takes less time without
}


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function when it is first called; a decorator.

    The function releases Python's lock, so threads run it at the same time. A division by zero
    gives an infinity as in numpy and raises no error: Python's check of each division would keep
    loops from becoming vector instructions.
    """
    try:
        return numba.njit(function, cache=True, **_OPTIONS)
    except RuntimeError:  # neither the file's folder nor the user's cache can be written to
        warnings.warn(
            "numba finds no folder to keep compiled code in, so that every start takes up to a "
            "minute longer: set NUMBA_CACHE_DIR to a folder that can be written to.",
            stacklevel=2,
        )
        return numba.njit(function, **_OPTIONS)


def inner(function: Callable[..., Any]) -> Any:
    """Compile a function that only compiled functions call, never Python; a decorator.

    Without a way in from Python, and without a cache of its own, no machine code is made of it but
    within its callers.
    """
    options = _OPTIONS | {"no_cpython_wrapper": True}
    return numba.njit(function, **options)


def inlined(function: Callable[..., Any]) -> Any:
    """Make a function a part of its only caller; a decorator.

    The optimizer then goes through it once, and not again for the caller. Numba itself takes long
    to inline, so this pays for the largest functions alone.
    """
    return numba.njit(function, inline="always", **_OPTIONS)


def announce(function: Any, *arguments: Any) -> None:
    """Say before a call of a function that it takes long, if numba has to compile it."""
    kind = (function, *map(type, arguments))
    if kind in _called or not hasattr(function, "signatures"):
        return
    _called.add(kind)
    signature = tuple(map(numba.typeof, arguments))
    cache_file = getattr(function._cache, "_cache_file", None)
    kept = {key[0] for key in cache_file._load_index()} if cache_file else set()
    if signature not in kept and signature not in function.signatures:
        print(
            "shd_engine: compiling loops to machine code. This takes up to half a minute, once: "
            "later starts read it from a cache. `python -m shd_engine` does it beforehand.",
            file=sys.stderr,
            flush=True,
        )


_called: set[tuple] = set()  # functions, with the classes of their arguments


class Layer(NamedTuple):
    """The sizes of one layer, and where its values begin in the memory that all layers share.

    The kernels read it as an element of an array of `LAYER_DTYPE`, with the same names. See
    `parameter_layout.ParameterLayout`, which draws the memory.
    """

    n_inputs: int  # each delayed copy of a unit is an input of its own
    n_copies: int  # delayed copies of the units, the one without a delay included
    delays_at: int  # index of the first copy's delay in `Network.delays`
    n_neurons: int
    width: int  # n_neurons with padding
    band: int  # neurons in a row of weights: `width`, or fewer if an input feeds few neurons
    parameters_at: int  # index of the layer's first weight
    states_at: int  # neurons of the layers before it, with padding
    by_neuron_at: int  # index of its first weight in `Network.weights_by_neuron`
    surrogate: int  # FAST_SIGMOID, ATAN, SIGMOID, READOUT or GIVEN
    resets: int  # 1 if a spike subtracts the threshold, else 0
    learns_neurons: int  # 1 if betas or thresholds are learned, else 0
    adapts: int  # 1 if the neurons adapt, else 0
    recurs: int  # 1 if the neurons have recurrent weights, else 0
    recurrent_by_neuron_at: int  # index of the first of these in `Network.weights_by_neuron`
    slope: float  # by which the surrogate multiplies the distance from the threshold
    half_slope: float  # of atan: half of snntorch's alpha


_NUMPY_TYPES = {int: np.int64, float: np.float32}
LAYER_DTYPE = np.dtype(
    [(name, _NUMPY_TYPES[kind]) for name, kind in Layer.__annotations__.items()], align=True
)


class Network(NamedTuple):
    """A network as the kernels read it."""

    layers: np.ndarray  # (layers,) LAYER_DTYPE
    # (copies + 1,) steps by which each is late, layer after layer, int64; the last is of recurrence
    delays: np.ndarray
    parameters: np.ndarray  # (parameters,) float32; see `parameter_layout.ParameterLayout`
    first_neurons: np.ndarray  # (inputs,) first neuron in a row of weights, int64; or empty
    weights_by_neuron: np.ndarray  # (weights,) float32: all layers but the first, row by neuron


class Batch(NamedTuple):
    """The utterances of a batch, as indices into the events of a data set."""

    steps: np.ndarray  # (events,) uint16
    units: np.ndarray  # (events,) uint16
    offsets: np.ndarray  # (utterances of the data set + 1,) first event of each, int64
    utterances: np.ndarray  # (batch,) utterances in the batch, int64
    labels: np.ndarray  # (batch,) classes, int64; or empty if `has_labels` is False
    has_labels: bool  # the kernels compute the loss
    n_steps: int


class Results(NamedTuple):
    """Where the kernels write what they compute."""

    # (threads, team, ...) membranes of all layers of the utterances of a team, float32
    states: np.ndarray
    kept: np.ndarray  # (batch, ...) those of each utterance from some layer on, or none, float32
    # (groups, parameters) as the parameters lie, float32; (groups, 0) without a backward pass
    gradients: np.ndarray
    losses: np.ndarray  # (batch,) float64
    scores: np.ndarray  # (batch, classes) float32, zero at first
    n_spikes: np.ndarray  # (batch, layers) int64
    # (batch,) bool: whether the events are in order and within the grid; where False, the
    # utterance's other results mean nothing
    is_valid: np.ndarray


class Given(NamedTuple):
    """What a loss outside of the kernels gives for the backward pass.

    Nothing is given if the kernels compute the loss: all arrays are empty, and the indices -1.
    """

    # Gradients of the loss, layer after layer, float32. Those of a layer's spikes, and those of its
    # membranes, are (batch, steps, neurons).
    memory: np.ndarray
    spk_at: np.ndarray  # (layers,) index of a layer's first gradient of spikes, int64; -1 for none
    mem_at: np.ndarray  # (layers,) likewise of membranes
    # (batch, ...) float32, as the membranes of all layers lie: derivatives of surrogates that are
    # GIVEN; or (0, 0)
    derivatives: np.ndarray


class LayerErrors(NamedTuple):
    """The part of `Given` for one layer and one team; without entries where nothing is given."""

    spk: np.ndarray  # (team, steps, neurons) float32
    mem: np.ndarray  # (team, steps, neurons) float32
    derivatives: np.ndarray  # (steps + 2, width) float32, of one utterance


class EventList(NamedTuple):
    """An utterance's events: at a step, ``units[starts[step]:starts[step + 1]]`` are active."""

    starts: np.ndarray  # (steps + 1,) int32
    units: np.ndarray  # (events or more,) int32


class Workspace(NamedTuple):
    """What one thread uses for each team of utterances anew."""

    # Lists of the events into each layer, and out of the last one: see `event_list`.
    starts: np.ndarray  # (team, layers + 1, steps + 1) int32
    units: np.ndarray  # (team, layers + 1, most events + 8) int32; 8: see `list_spikes`
    spiked: np.ndarray  # (team x widest layer,) uint8
    error: (
        np.ndarray
    )  # (team x widest layer,) gradient of the loss with respect to the scores, float32
    unit_starts: np.ndarray  # (most inputs + 2,) int32: see `sort_by_unit`
    arrivals: np.ndarray  # (most events,) int32: see `sort_by_unit`
    all_rows: np.ndarray  # (steps + 2,) 0, 1, 2, ..., int32


class NextLayer(NamedTuple):
    """The layer after another one, through which the errors come back to that one."""

    n_neurons: int  # 0 if there is no next layer
    delays: np.ndarray  # (copies,) steps by which each copy of this layer's spikes is late, int64
    gradients: np.ndarray  # (steps + 2, team x width of the next layer) of its currents, float32
    # (copies x neurons of the next layer, padded to UNROLLED_ROWS, width of this layer)
    weights: np.ndarray


@inner
def bounds_of(batch, b):
    """Return where the events of a batch's utterance b begin and end.

    The end is -1, which `read_events` never reaches, if they aren't within the arrays.
    """
    utterance = batch.utterances[b]
    if 0 <= utterance < len(batch.offsets) - 1:
        first = batch.offsets[utterance]
        end = batch.offsets[utterance + 1]
        if 0 <= first <= end <= min(len(batch.steps), len(batch.units)):
            return first, end
    return 0, -1


@inner
def read_events(batch, b, n_units, events):
    """List the events of a batch's utterance b by step; return whether all are valid."""
    first, end = bounds_of(batch, b)
    e = first
    for step in range(batch.n_steps):
        events.starts[step] = e - first
        previous = 0
        while e < end and batch.steps[e] == step and previous <= batch.units[e] < n_units:
            previous = batch.units[e]
            events.units[e - first] = previous
            e += 1
    events.starts[batch.n_steps] = e - first
    return e == end


@inner
def sort_by_unit(events, n_units, unit_starts, arrivals):
    """Sort an utterance's events by unit, for the gradients of the weights.

    Unit u is active at the steps whose rows in ``mem`` are
    ``arrivals[unit_starts[u]:unit_starts[u + 1]]``, in ascending order. This is a counting sort.
    """
    n_steps = len(events.starts) - 1
    # While events are placed, entry u + 1 is where the next event of unit u goes. It ends where the
    # events of unit u + 1 begin, so the counts are written one entry further: at u + 2.
    unit_starts[: n_units + 2] = 0
    for k in range(events.starts[n_steps]):
        unit_starts[events.units[k] + 2] += 1
    for u in range(2, n_units + 2):
        unit_starts[u] += unit_starts[u - 1]
    for step in range(n_steps):
        row = step + 1
        for k in range(events.starts[step], events.starts[step + 1]):
            u = events.units[k]
            arrivals[unit_starts[u + 1]] = row
            unit_starts[u + 1] += 1


def _array(context, builder, signature, arguments, position):
    """Return an array among the arguments of an intrinsic."""
    make = context.make_array(signature.args[position])
    return make(context, builder, arguments[position])


def _address(builder, matrix, row, column, pointer):
    """Return the address of an entry of a matrix of float32, as a pointer of a type."""
    row_bytes = builder.mul(row, builder.extract_value(matrix.strides, 0))
    offset = builder.add(row_bytes, builder.mul(column, column.type(4)))
    return builder.bitcast(cgutils.pointer_add(builder, matrix.data, offset), pointer)


def _row_adder(n_vectors: int) -> Callable[..., Any]:
    """Return a compiled function that adds many rows to one, `n_vectors` whole vectors wide.

    With n = LANES n_vectors columns it does ``for k in range(first, last): out[r, at : at + n] +=
    rows[index[k], low : low + n]``. Compiled from Python, the sum would go to memory and back for
    every few rows, which takes twice the time. So the loop is written in LLVM's language, with one
    vector variable for each sum, which LLVM keeps in a register.
    """

    @intrinsic
    def add(_, rows, index, first, last, low, out, r, at):  # noqa: PLR0913
        whole = types.intp
        signature = types.void(rows, index, whole, whole, whole, out, whole, whole)

        def write_code(context, builder, signature, arguments):
            given = (context, builder, signature, arguments)
            rows, index, out = (_array(*given, position) for position in (0, 1, 5))
            _, _, first, last, low, _, r, at = arguments
            whole = low.type
            vector = ir.VectorType(ir.FloatType(), LANES)

            def vector_addresses(matrix, row, column):
                """Return the addresses of the vectors of a row, from a column on."""
                begin = _address(builder, matrix, row, column, vector.as_pointer())
                return [builder.gep(begin, [whole(i)]) for i in range(n_vectors)]

            # Variables on the stack at first: LLVM moves them to registers, because their
            # addresses are never used for anything else.
            sums = [cgutils.alloca_once(builder, vector) for _ in range(n_vectors)]
            targets = vector_addresses(out, r, at)
            for total, target in zip(sums, targets, strict=True):
                builder.store(builder.load(target, align=4), total)
            with cgutils.for_range_slice(builder, first, last, whole(1)) as (k, _):
                row = builder.zext(builder.load(builder.gep(index.data, [k])), whole)
                for total, source in zip(sums, vector_addresses(rows, row, low), strict=True):
                    added = builder.fadd(builder.load(total), builder.load(source, align=4))
                    builder.store(added, total)
            for total, target in zip(sums, targets, strict=True):
                builder.store(builder.load(total), target, align=4)

        return signature, write_code

    return add


_add_eight_vectors = _row_adder(8)
_add_four_vectors = _row_adder(4)
_add_one_vector = _row_adder(1)


@inner
def add_rows(rows, index, first, last, low, out, r, at, n):  # noqa: PLR0913
    """Add some rows of a matrix, one after the other, to a part of one row of another matrix.

    It does ``for k in range(first, last): out[r, at : at + n] += rows[index[k], low : low + n]``.
    """
    j = 0 if first < last else n
    while j + 8 * LANES <= n:
        _add_eight_vectors(rows, index, first, last, low + j, out, r, at + j)
        j += 8 * LANES
    while j + 4 * LANES <= n:
        _add_four_vectors(rows, index, first, last, low + j, out, r, at + j)
        j += 4 * LANES
    while j < n:
        _add_one_vector(rows, index, first, last, low + j, out, r, at + j)
        j += LANES


@intrinsic
def _add_team_products(_, weights, mem, row, width, last, errors, slot, block):  # noqa: PLR0913
    """Compute `recurrent_to_spikes` for the neurons of one vector.

    As in `_row_adder`, the sums stay in registers. An utterance's neurons begin at a multiple of
    `width`, and those of the last one at `last`. A team that isn't whole computes these again.
    """
    whole = types.intp
    signature = types.void(weights, mem, whole, whole, whole, errors, whole, whole)

    def write_code(context, builder, signature, arguments):  # noqa: PLR0914
        given = (context, builder, signature, arguments)
        weights, mem, errors = (_array(*given, position) for position in (0, 1, 5))
        address = partial(_address, builder)
        _, _, row, width, last, _, slot, block = arguments
        size = row.type
        vector = ir.VectorType(ir.FloatType(), LANES)
        of_vector = vector.as_pointer()
        of_one = ir.FloatType().as_pointer()
        nowhere = ir.Constant(vector, ir.Undefined)
        first_lane = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        fused = ("contract",)  # a product and a sum in one instruction
        in_team = [builder.mul(size(t), width) for t in range(TEAM)]
        begins = [builder.select(builder.icmp_signed("<", at, last), at, last) for at in in_team]
        columns = [builder.add(at, builder.mul(block, size(LANES))) for at in begins]
        sums = [cgutils.alloca_once(builder, vector) for _ in columns]
        for total, at in zip(sums, columns, strict=True):
            source = address(errors, slot, at, of_vector)
            builder.store(builder.load(source, align=4), total)
        n_rows = builder.extract_value(weights.shape, 0)
        with cgutils.for_range(builder, n_rows) as loop:
            weight = builder.load(address(weights, loop.index, size(0), of_vector), align=4)
            for total, at in zip(sums, begins, strict=True):
                one = builder.load(address(mem, row, builder.add(at, loop.index), of_one))
                filled = builder.insert_element(nowhere, one, ir.IntType(32)(0))
                many = builder.shuffle_vector(filled, nowhere, first_lane)
                product = builder.fmul(many, weight, flags=fused)
                builder.store(builder.fadd(builder.load(total), product, flags=fused), total)
        for total, at in zip(sums, columns, strict=True):
            target = address(errors, size(STEPS_PER_BLOCK), at, of_vector)
            builder.store(builder.load(total), target, align=4)

    return signature, write_code


@inner
def add_products(errors, weights, out, slot, is_first):  # noqa: PLR0914
    """Add ``errors[slot] @ weights`` to ``out[slot]``, and the same for the next slot.

    The loop over the rows of `weights` is written out by hand: a pass over the columns takes
    `UNROLLED_STEPS` (2) slots and `UNROLLED_ROWS` (5) rows of weights. Reading takes longer than
    arithmetic here. So a weight is read once for two slots, and a sum is read and written once for
    five weights, where a plain loop would do so for every product. The products are added in the
    order of the rows, however many of them a pass takes, so no bit depends on these numbers.
    """
    next_slot = slot + 1
    for k in range(0, len(weights), UNROLLED_ROWS):
        a0 = errors[slot, k]
        a1 = errors[slot, k + 1]
        a2 = errors[slot, k + 2]
        a3 = errors[slot, k + 3]
        a4 = errors[slot, k + 4]
        b0 = errors[next_slot, k]
        b1 = errors[next_slot, k + 1]
        b2 = errors[next_slot, k + 2]
        b3 = errors[next_slot, k + 3]
        b4 = errors[next_slot, k + 4]
        if k == 0 and is_first:
            for j in range(out.shape[1]):
                w0 = weights[k, j]
                w1 = weights[k + 1, j]
                w2 = weights[k + 2, j]
                w3 = weights[k + 3, j]
                w4 = weights[k + 4, j]
                out[slot, j] = (((a0 * w0 + a1 * w1) + a2 * w2) + a3 * w3) + a4 * w4
                out[next_slot, j] = (((b0 * w0 + b1 * w1) + b2 * w2) + b3 * w3) + b4 * w4
        else:
            for j in range(out.shape[1]):
                w0 = weights[k, j]
                w1 = weights[k + 1, j]
                w2 = weights[k + 2, j]
                w3 = weights[k + 3, j]
                w4 = weights[k + 4, j]
                a = out[slot, j]
                b = out[next_slot, j]
                out[slot, j] = ((((a + a0 * w0) + a1 * w1) + a2 * w2) + a3 * w3) + a4 * w4
                out[next_slot, j] = ((((b + b0 * w0) + b1 * w1) + b2 * w2) + b3 * w3) + b4 * w4


@inner
def multiply(errors, weights, out):
    """Write to a block of slots: ``out[: len(errors)] = errors @ weights``."""
    for low in range(0, len(weights), WEIGHT_ROWS_PER_BLOCK):
        some_errors = errors[:, low : low + WEIGHT_ROWS_PER_BLOCK]
        some_weights = weights[low : low + WEIGHT_ROWS_PER_BLOCK]
        for slot in range(0, len(errors), UNROLLED_STEPS):
            add_products(some_errors, some_weights, out, slot, low == 0)


@compiled
def exp(x):
    """Return exp(x) to about one unit in the last place.

    This is expf of the Cephes library (S. Moshier, https://www.netlib.org/cephes). Unlike the C
    library's function, LLVM can compute it for a whole vector at once.
    """
    n = np.floor(x * np.float32(1.44269504) + np.float32(0.5))  # exp(x) = 2^n exp(r)
    r = (x - n * np.float32(0.693359375)) + n * np.float32(2.12194440e-4)  # log(2) in two parts
    p = np.float32(1.9875691500e-4) * r + np.float32(1.3981999507e-3)
    p = (p * r + np.float32(8.3334519073e-3)) * r + np.float32(4.1665795894e-2)
    p = (p * r + np.float32(1.6666665459e-1)) * r + np.float32(5.0000001201e-1)
    p = (p * (r * r) + r) + np.float32(1)
    power = np.int32((np.int32(n) + 127) << 23).view(np.float32)  # 2^n, by its exponent bits
    return p * power


@inner
def matrix(memory, at, n_rows, n_columns):
    """Return a matrix that lies in a long array from index `at` on."""
    return memory[at : at + n_rows * n_columns].reshape(n_rows, n_columns)


@inner
def weights_of(layer, memory):
    """Return a layer's weights, (inputs, band), from the parameters; or their gradients."""
    return matrix(memory, layer.parameters_at, layer.n_inputs, layer.band)


@inner
def neurons_of(layer, memory):
    """Return the rows of a layer's neurons, or their gradients.

    They are BIASES, BETAS and THRESHOLDS; for neurons that adapt also LEFT, FROM_MEM and FROM_SPK.
    """
    at = layer.parameters_at + layer.n_inputs * layer.band
    n_rows = 6 if layer.adapts else 3
    return matrix(memory, at, n_rows, layer.width)


@inner
def recurrent_of(layer, memory):
    """Return the recurrent weights, (neurons, width), from neuron to neuron; or their gradients."""
    at = layer.parameters_at + layer.n_inputs * layer.band + 3 * layer.width
    return matrix(memory, at, layer.n_neurons if layer.recurs else 0, layer.width)


@inner
def recurrent_by_neuron_of(layer, network):
    """Return the recurrent weights, (width / LANES, neurons, LANES), by where they lead to."""
    n = layer.n_neurons if layer.recurs else 0
    at = layer.recurrent_by_neuron_at
    memory = network.weights_by_neuron[at : at + n * layer.width]
    return memory.reshape(layer.width // LANES, n, LANES)


@inner
def delays_of(layer, network):
    """Return by how many steps each copy of the events that go into a layer is late."""
    return network.delays[layer.delays_at : layer.delays_at + layer.n_copies]


@inner
def membranes(layer, n_steps, state, team):
    """Return a layer's membranes: a row before the first step, the steps, a row after the last."""
    at = layer.states_at * (n_steps + 2) * team
    return matrix(state, at, n_steps + 2, layer.width * team)


@inner
def side_by_side(neurons, team):
    """Return the rows of a layer's neurons for each utterance of a team."""
    n_rows, width = neurons.shape
    if team == 1:
        return neurons
    repeated = np.empty((n_rows, team * width), np.float32)
    for i in range(n_rows):
        for j in range(team * width):
            repeated[i, j] = neurons[i, j % width]
    return repeated


@inner
def event_list(space, t, i):
    """Return the list of the events of a team's utterance t that go into layer i."""
    return EventList(starts=space.starts[t, i], units=space.units[t, i])


@inner
def add_events(layer, weights, first_neurons, delays, events, mem, at):
    """Add to ``mem`` the rows of weights of all events, and of their delayed copies.

    The columns of the utterance's neurons begin at `at`.
    """
    n_steps = len(events.starts) - 1
    n_units = len(weights) // len(delays)
    starts = events.starts
    units = events.units
    band = layer.band
    is_banded = band < layer.width
    n_in_fours = band // (4 * LANES) * (4 * LANES)
    # Copy after copy, instead of step after step: the weights of one copy nearly fit into the first
    # level of the cache.
    for k in range(len(delays)):
        copy = weights[k * n_units : (k + 1) * n_units]
        for step in range(n_steps - delays[k]):
            row = step + 1 + delays[k]  # in which this copy arrives
            if is_banded:
                # Rows of different units begin at different neurons, so each is added alone. A call
                # of `add_rows` would take as long as the addition. All delayed copies of a unit
                # begin at the same neuron.
                for e in range(starts[step], starts[step + 1]):
                    low = at + first_neurons[units[e]]
                    for j in range(0, n_in_fours, 4 * LANES):
                        _add_four_vectors(copy, units, e, e + 1, j, mem, row, low + j)
                    for j in range(n_in_fours, band, LANES):
                        _add_one_vector(copy, units, e, e + 1, j, mem, row, low + j)
            else:
                first, end = np.int64(starts[step]), np.int64(starts[step + 1])
                add_rows(copy, units, first, end, 0, mem, row, at, band)


@inlined
def layer_forward(i, layer, network, space, mem, team, extras):  # noqa: C901
    """Take a team's events through layer i: write its membranes and its own events."""
    neurons = neurons_of(layer, network.parameters)
    weights = weights_of(layer, network.parameters)
    n_steps = len(mem) - 2
    width = layer.width
    adaptation = np.zeros(mem.shape[1] if layer.adapts else 0, np.float32)
    if extras is not None:
        recurrent = recurrent_of(layer, network.parameters)
        neurons = side_by_side(neurons, team)
    for j in range(mem.shape[1]):
        mem[0, j] = ZERO
    for row in range(1, n_steps + 1):
        for j in range(mem.shape[1]):  # numba's assignment of slices is many times slower
            mem[row, j] = neurons[BIASES, j]
    delays = delays_of(layer, network)
    for t in range(team):
        events = event_list(space, t, i)
        add_events(layer, weights, network.first_neurons, delays, events, mem, t * width)
        space.starts[t, i + 1, 0] = 0
    eights = space.spiked.view(np.uint64)  # not zero if any of eight neurons spikes
    for step in range(n_steps):
        row = step + 1
        if extras is not None and layer.recurs and step > 0:  # what spiked in the step before
            for t in range(team):
                first = np.int64(space.starts[t, i + 1, step - 1])
                end = np.int64(space.starts[t, i + 1, step])
                spikes = space.units[t, i + 1]
                add_rows(recurrent, spikes, first, end, 0, mem, row, t * width, width)
        if extras is not None and layer.adapts:
            subtract_adaptation(adaptation, mem, row)
        step_forward(layer, neurons, mem, row)
        find_spikes(neurons, mem, row, space.spiked)
        if extras is not None and layer.adapts:
            add_to_adaptation(neurons, mem, row, space.spiked, adaptation)
        for t in range(team):
            list_spikes(space, eights, t, i + 1, step, width)


@inner
def list_spikes(space, eights, t, i, step, width):
    """Append the neurons of a team's utterance t that spike in a step to its list i."""
    n_events = np.int64(space.starts[t, i, step])
    at = t * width
    for eight in range(at // 8, (at + width) // 8):
        if eights[eight]:  # few neurons spike: most eights are skipped
            for j in range(8 * eight, 8 * eight + 8):
                # Each is written, and stays only if the count goes on: no branch, which the
                # processor would guess wrongly. The list has eight entries more for that.
                space.units[t, i, n_events] = j - at
                n_events += space.spiked[j]
    space.starts[t, i, step + 1] = n_events


# What a step does, forward and back. These functions take whole arrays and the number of the step's
# row, and each loop writes one array. Given views of single rows, numba would count references to
# each of them; and if a loop wrote two arrays, LLVM would take no vectors. Either takes longer than
# the arithmetic.


@inner
def subtract_adaptation(adaptation, mem, row):
    """Subtract the adaptation of the step before from the currents in a row.

    It does ``mem[row] -= adaptation``.
    """
    for j in range(mem.shape[1]):
        mem[row, j] -= adaptation[j]


@inner
def add_to_adaptation(neurons, mem, row, spiked, adaptation):
    """Turn the adaptation of the step before into that of this step, as `AdaptiveLeaky` does.

    It does ``adaptation = LEFT * adaptation + (1 - LEFT) * (FROM_MEM * mem[row] + FROM_SPK *
    spiked)``.
    """
    for j in range(mem.shape[1]):
        left = neurons[LEFT, j]
        fed = neurons[FROM_MEM, j] * mem[row, j] + neurons[FROM_SPK, j] * np.float32(spiked[j])
        adaptation[j] = left * adaptation[j] + (ONE - left) * fed


@inner
def step_forward(layer, neurons, mem, row):
    """Turn the currents in a row into the membranes of that step.

    It does ``mem[row] = beta * mem[row - 1] + mem[row] - reset``. The reset is the threshold where
    the neuron has spiked in the step before, else 0. The neuron is snntorch's `Leaky` with a reset
    by subtraction, or without any, rounded in the same order.
    """
    if layer.resets:
        for j in range(mem.shape[1]):
            beta = neurons[BETAS, j]
            threshold = neurons[THRESHOLDS, j]
            reset = threshold if mem[row - 1, j] - threshold > ZERO else ZERO
            mem[row, j] = (beta * mem[row - 1, j] + mem[row, j]) - reset
    else:
        for j in range(mem.shape[1]):
            mem[row, j] = neurons[BETAS, j] * mem[row - 1, j] + mem[row, j]


@inner
def find_spikes(neurons, mem, row, spiked):
    """Say in `spiked` which neurons spike in a step: 1 or 0."""
    for j in range(mem.shape[1]):
        spiked[j] = mem[row, j] - neurons[THRESHOLDS, j] > ZERO


@inner
def check_surrogate(kind):
    """Raise ValueError if `step_back` has no derivative for a number."""
    if kind < FAST_SIGMOID or kind > GIVEN:
        raise ValueError("no surrogate has this number: see shd_engine/surrogates.py")


@inner
def step_back(layer, neurons, mem, row, spike_errors, slot):
    """Replace the membranes in a row by the gradients of that step's currents.

    It does ``mem[row] = spike_errors[slot] * surrogate'(mem[row] - threshold) + beta *
    mem[row + 1]``, rounded as snntorch's derivatives are. `check_surrogate` refuses a number that
    no surrogate has, once for all steps: with another branch here, whether it raises or not, every
    step back takes a tenth to a fifth longer.
    """
    kind = layer.surrogate
    slope = layer.slope
    half_slope = layer.half_slope
    width = mem.shape[1]
    if kind == FAST_SIGMOID:
        for j in range(width):
            x = slope * abs(mem[row, j] - neurons[THRESHOLDS, j]) + ONE
            mem[row, j] = spike_errors[slot, j] / (x * x) + neurons[BETAS, j] * mem[row + 1, j]
    elif kind == ATAN:
        for j in range(width):
            x = slope * (mem[row, j] - neurons[THRESHOLDS, j])
            derivative = ONE / (x * x + ONE) * half_slope
            mem[row, j] = derivative * spike_errors[slot, j] + neurons[BETAS, j] * mem[row + 1, j]
    elif kind == READOUT:
        for j in range(width):
            mem[row, j] = spike_errors[slot, j] + neurons[BETAS, j] * mem[row + 1, j]
    elif kind == SIGMOID:
        for j in range(width):
            # The derivative is even, so it can be computed on the side where exp doesn't overflow.
            # snntorch's exp(-slope x) is NaN (inf / inf) below -89 / slope, where many membranes
            # are. Below -87 float32 has no normal numbers.
            x = slope * (mem[row, j] - neurons[THRESHOLDS, j])
            e = exp(max(-abs(x), np.float32(-87)))
            d = e + ONE
            through_spike = spike_errors[slot, j] * slope * e / (d * d)
            mem[row, j] = through_spike + neurons[BETAS, j] * mem[row + 1, j]


@inner
def step_back_given(neurons, mem, row, spike_errors, slot, errors):
    """Do what `step_back` does, with derivatives that are given.

    It is a function of its own: numba counts references to arrays, so with another argument of
    `step_back` the whole backward pass takes half as long again.
    """
    for j in range(mem.shape[1]):
        through_spike = spike_errors[slot, j] * errors.derivatives[row, j]
        mem[row, j] = through_spike + neurons[BETAS, j] * mem[row + 1, j]


@inner
def adaptation_back(neurons, mem, row, d_adaptation, d_fed):
    """Take the gradient of the adaptation one step back.

    The adaptation A of a step is subtracted from the current of the next step, whose gradient is
    ``mem[row + 1]``, and LEFT of it remains in the next step's adaptation. So it does
    ``d_adaptation = LEFT * d_adaptation - mem[row + 1]``. What feeds the adaptation counts with
    1 - LEFT: ``d_fed = (1 - LEFT) * d_adaptation``.
    """
    for j in range(mem.shape[1]):
        d_adaptation[j] = neurons[LEFT, j] * d_adaptation[j] - mem[row + 1, j]
    for j in range(mem.shape[1]):
        d_fed[j] = (ONE - neurons[LEFT, j]) * d_adaptation[j]


@inner
def add_adaptation_gradients(neurons, mem, row, d_fed, d_neurons):
    """Add the gradients of FROM_MEM and FROM_SPK in a step.

    They are ``d_fed * mem[row]``, and ``d_fed`` where the neuron spikes.
    """
    for j in range(mem.shape[1]):
        d_neurons[FROM_MEM, j] += d_fed[j] * mem[row, j]
    for j in range(mem.shape[1]):
        if_spiked = d_fed[j]
        has_spiked = mem[row, j] - neurons[THRESHOLDS, j] > ZERO
        d_neurons[FROM_SPK, j] += if_spiked if has_spiked else ZERO


@inner
def adaptation_to_spikes(neurons, d_fed, spike_errors, slot, total_slot):
    """Write dL/dspk of a step with what comes back through the adaptation.

    It does ``spike_errors[total_slot] = spike_errors[slot] + d_fed * FROM_SPK``.
    """
    for j in range(spike_errors.shape[1]):
        spike_errors[total_slot, j] = spike_errors[slot, j] + d_fed[j] * neurons[FROM_SPK, j]


@inner
def recurrent_to_spikes(by_neuron, mem, row, spike_errors, slot):
    """Write dL/dspk of a step with what comes back through the recurrent weights.

    For each utterance of the team, it does ``spike_errors[STEPS_PER_BLOCK] = spike_errors[slot] +
    mem[row + 1] @ weights``. Each weight is read from memory once for all of them.
    """
    width = len(by_neuron) * LANES
    last = mem.shape[1] - width
    for block in range(len(by_neuron)):
        _add_team_products(  # type: ignore[call-arg]
            by_neuron[block], mem, row + 1, width, last, spike_errors, slot, block
        )


@inner
def adaptation_to_membranes(neurons, mem, row, d_fed, d_neurons):
    """Add to the gradients in a row what comes back from the adaptation that the membranes fed.

    It does ``mem[row] += d_fed * FROM_MEM``. The threshold isn't in this path, but
    `add_neuron_gradients` finds it in mem[row] and subtracts it. So it is added here.
    """
    for j in range(mem.shape[1]):
        mem[row, j] += d_fed[j] * neurons[FROM_MEM, j]
    for j in range(mem.shape[1]):
        d_neurons[THRESHOLDS, j] += d_fed[j] * neurons[FROM_MEM, j]


@inner
def give_spike_errors(errors, is_output, spike_errors, row, slot):
    """Add the given gradients of a step's spikes to those that come from the next layer."""
    step = row - 1
    team = len(errors.spk)
    for t in range(team):
        at = spike_errors.shape[1] // team * t
        if is_output:  # what the slot has is left from another step
            for j in range(errors.spk.shape[2]):
                spike_errors[slot, at + j] = errors.spk[t, step, j]
        else:
            for j in range(errors.spk.shape[2]):
                spike_errors[slot, at + j] += errors.spk[t, step, j]


@inner
def give_membrane_errors(errors, mem, row, d_neurons):
    """Add the given gradients of a step's membranes to the gradients in its row.

    As in `adaptation_to_membranes`, the threshold isn't in this path.
    """
    step = row - 1
    team = len(errors.mem)
    for t in range(team):
        at = mem.shape[1] // team * t
        for j in range(errors.mem.shape[2]):
            mem[row, at + j] += errors.mem[t, step, j]
        for j in range(errors.mem.shape[2]):
            d_neurons[THRESHOLDS, at + j] += errors.mem[t, step, j]


@inner
def add_neuron_gradients(layer, neurons, mem, row, d_neurons):
    """Add the gradients of beta and threshold in a step.

    Row `row` and those after it are gradients g already, row - 1 is still a membrane U. Beta
    multiplies U[row - 1], so its gradient is g[row] U[row - 1]. The threshold counts twice. The
    surrogate has the distance U[row] - threshold, whose gradient is g[row] - beta g[row + 1], but 0
    if the class scores are means of membranes. And the threshold is subtracted from U[row] if the
    neuron resets and has spiked in the step before.
    """
    for j in range(mem.shape[1]):
        d_neurons[BETAS, j] += mem[row, j] * mem[row - 1, j]
    if layer.surrogate != READOUT:
        for j in range(mem.shape[1]):
            d_neurons[THRESHOLDS, j] -= mem[row, j] - neurons[BETAS, j] * mem[row + 1, j]
    if layer.resets:
        for j in range(mem.shape[1]):
            if_reset = mem[row, j]
            is_reset = mem[row - 1, j] - neurons[THRESHOLDS, j] > ZERO
            d_neurons[THRESHOLDS, j] -= if_reset if is_reset else ZERO


@inner
def repeat_error(output_error, spike_errors):
    """Write the errors of the output neurons to the slots of a block of steps."""
    for slot in range(STEPS_PER_BLOCK):
        for j in range(spike_errors.shape[1]):
            spike_errors[slot, j] = output_error[j]


@inner
def copy_errors(next_layer, last_row, n_steps, team, next_errors):
    """Copy the gradients of the next layer that come back to the spikes of a block of steps.

    A slot of `next_errors` has, copy after copy of the spikes, the gradients of the next layer's
    neurons in the row in which this copy has arrived. The last step of the block has slot 0, or as
    many slots as there are utterances in the team.
    """
    n_next = next_layer.n_neurons
    for slot in range(STEPS_PER_BLOCK * team):
        row = last_row - slot // team
        at = next_layer.gradients.shape[1] // team * (slot % team)
        for k in range(len(next_layer.delays)):
            arrival = row + next_layer.delays[k]
            if row > 0 and arrival <= n_steps:
                for j in range(n_next):
                    next_errors[slot, k * n_next + j] = next_layer.gradients[arrival, at + j]
            else:  # before the first step, or this copy would arrive after the last one
                for j in range(n_next):
                    next_errors[slot, k * n_next + j] = ZERO


@inner
def block_errors(next_layer, last_row, n_steps, team, next_errors, slots):
    """Write dL/dspk of a block of steps: the next layer's gradients times its weights.

    It does ``slots[: team * STEPS_PER_BLOCK] = next_errors @ next_layer.weights``.
    """
    copy_errors(next_layer, last_row, n_steps, team, next_errors)
    multiply(next_errors, next_layer.weights, slots)


@inlined
def layer_backward(  # noqa: C901, PLR0913
    layer, neurons, mem, output_error, errors, next_layer, network, d_neurons, team, extras
):
    """Turn a layer's membranes into the gradients of its currents, in place.

    The gradient of a step's current I is that of its membrane U, because the current is added to
    the membrane. It is g[row] = dL/dspk surrogate'(U[row] - threshold) + beta g[row + 1]; snntorch
    detaches the reset. dL/dspk is the next layer's g times its weights, added up over the delayed
    copies of the spikes (`block_errors`). In the output layer it is `output_error` at all steps.
    If the layer learns betas or thresholds, `d_neurons` gets their gradients: what is subtracted at
    a reset is the threshold, and only the moment of the reset is detached. If it adapts, both
    dL/dspk and g also get what comes back through the adaptation; dL/dspk, what comes back through
    recurrent weights. And both get what `errors` gives.
    """
    check_surrogate(layer.surrogate)
    n_steps = len(mem) - 2
    width = mem.shape[1]
    is_output = next_layer.n_neurons == 0
    next_errors = np.zeros((STEPS_PER_BLOCK * team, len(next_layer.weights)), np.float32)
    # The rows of a block, and one for a step to which adaptation or recurrent weights add.
    total_slot = STEPS_PER_BLOCK
    spike_errors = np.zeros((STEPS_PER_BLOCK + 1, width), np.float32)
    slots = spike_errors.reshape((STEPS_PER_BLOCK + 1) * team, layer.width)
    d_adaptation = np.zeros(width if layer.adapts else 0, np.float32)
    d_fed = np.empty(len(d_adaptation), np.float32)
    mem[n_steps + 1] = ZERO  # no gradient comes from after the last step
    gives_spk = len(errors.spk) > 0
    gives_mem = len(errors.mem) > 0
    if extras is not None:
        by_neuron = recurrent_by_neuron_of(layer, network)
    if is_output:
        repeat_error(output_error, spike_errors)
    for row in range(n_steps, 0, -1):
        slot = (n_steps - row) % STEPS_PER_BLOCK
        if not is_output and slot == 0:
            block_errors(next_layer, row, n_steps, team, next_errors, slots)
        if gives_spk:
            give_spike_errors(errors, is_output, spike_errors, row, slot)
        if extras is not None and layer.adapts:
            adaptation_back(neurons, mem, row, d_adaptation, d_fed)
            add_adaptation_gradients(neurons, mem, row, d_fed, d_neurons)
            adaptation_to_spikes(neurons, d_fed, spike_errors, slot, total_slot)
            slot = total_slot
        if extras is not None and layer.recurs:
            recurrent_to_spikes(by_neuron, mem, row, spike_errors, slot)
            slot = total_slot
        if layer.surrogate == GIVEN:
            step_back_given(neurons, mem, row, spike_errors, slot, errors)
        else:
            step_back(layer, neurons, mem, row, spike_errors, slot)
        if extras is not None and layer.adapts:
            adaptation_to_membranes(neurons, mem, row, d_fed, d_neurons)
        if gives_mem:
            give_membrane_errors(errors, mem, row, d_neurons)
        if layer.learns_neurons:
            add_neuron_gradients(layer, neurons, mem, row, d_neurons)


@inner
def add_weight_gradients(layer, first_neurons, delays, events, mem, at, space, d_weights):  # noqa: PLR0913
    """Add the gradients of a layer's weights: rows of ``mem`` at which a unit's events arrived.

    The columns of the utterance's neurons begin at `at`.
    """
    n_steps = len(events.starts) - 1
    band = d_weights.shape[1]
    n_units = len(d_weights) // len(delays)
    arrivals = space.arrivals
    sort_by_unit(events, n_units, space.unit_starts, arrivals)
    is_banded = band < layer.width
    for k in range(len(delays)):
        copy = d_weights[k * n_units : (k + 1) * n_units]
        later = mem[delays[k] :]  # its row r is the one at which this copy of an event arrives
        for u in range(n_units):
            first = np.int64(space.unit_starts[u])
            end = np.int64(space.unit_starts[u + 1])
            while end > first and arrivals[end - 1] + delays[k] > n_steps:
                end -= 1  # this copy would arrive after the last step
            low = at + (first_neurons[u] if is_banded else 0)
            add_rows(later, arrivals, first, end, low, copy, u, 0, band)


@compiled
def loss(scores, label, n_utterances, error):
    """Return the cross-entropy of one utterance's scores.

    `error` becomes the gradient of the batch's mean loss with respect to these scores.
    """
    top = scores[0]  # the largest, subtracted, so that exp can't overflow
    for c in range(len(scores)):
        top = max(top, scores[c])  # numba takes a second to compile scores.max()
    total = 0.0
    for c in range(len(scores)):
        total += np.exp(np.float64(scores[c] - top))
    error[:] = ZERO
    for c in range(len(scores)):
        p = np.exp(np.float64(scores[c] - top)) / total
        error[c] = (p - (1.0 if c == label else 0.0)) / n_utterances
    return np.log(total) + top - scores[label]


@inlined
def forward(b, team, batch, network, state, space, results, extras):  # noqa: PLR0913
    """Take a team, from a batch's utterance b on, through all layers; write scores and spikes."""
    layers = network.layers
    n_layers = len(layers)
    n_steps = batch.n_steps
    n_units = layers[0].n_inputs // layers[0].n_copies
    scores = results.scores
    for t in range(team):
        results.is_valid[b + t] = read_events(batch, b + t, n_units, event_list(space, t, 0))
    for i in range(n_layers):
        mem = membranes(layers[i], n_steps, state, team)
        layer_forward(i, layers[i], network, space, mem, team, extras)
    last = layers[n_layers - 1]
    mem = membranes(last, n_steps, state, team)
    for t in range(team):
        for i in range(n_layers):
            results.n_spikes[b + t, i] = space.starts[t, i + 1, n_steps]
        for k in range(space.starts[t, n_layers, n_steps]):
            scores[b + t, space.units[t, n_layers, k]] += ONE
        if last.surrogate == READOUT:
            for j in range(scores.shape[1]):
                total = ZERO
                for row in range(1, n_steps + 1):
                    total += mem[row, t * last.width + j]
                scores[b + t, j] = total / np.float32(n_steps)


@inner
def next_layer_of(i, network, n_steps, state, team):
    """Return the layer through which errors come back to layer i."""
    layers = network.layers
    if i + 1 == len(layers):
        no_weights = network.weights_by_neuron[:0].reshape(0, 0)
        # numba needs arrays, even if none is read
        return NextLayer(
            n_neurons=0,
            delays=network.delays[:0],
            gradients=membranes(layers[i], n_steps, state, team),
            weights=no_weights,
        )
    following = layers[i + 1]
    n_rows = following.n_copies * following.n_neurons
    n_padded = (n_rows + UNROLLED_ROWS - 1) // UNROLLED_ROWS * UNROLLED_ROWS
    return NextLayer(
        n_neurons=following.n_neurons,
        delays=delays_of(following, network),
        gradients=membranes(following, n_steps, state, team),
        weights=matrix(
            network.weights_by_neuron, following.by_neuron_at, n_padded, layers[i].width
        ),
    )


@inner
def errors_at(at, b, team, memory, n_steps, n):
    """Return the gradients that are given for a layer's spikes, or membranes, and a team."""
    if at < 0:
        return memory[:0].reshape(0, 0, 0)
    first = at + b * n_steps * n
    return memory[first : first + team * n_steps * n].reshape(team, n_steps, n)


@inner
def errors_of(i, b, team, layer, given, n_steps):
    """Return what is given for layer i and a team, from a batch's utterance b on."""
    n = layer.n_neurons
    derivatives = given.memory[:0].reshape(0, 0)
    if len(given.derivatives):
        derivatives = membranes(layer, n_steps, given.derivatives[b], 1)
    return LayerErrors(
        spk=errors_at(given.spk_at[i], b, team, given.memory, n_steps, n),
        mem=errors_at(given.mem_at[i], b, team, given.memory, n_steps, n),
        derivatives=derivatives,
    )


@inlined
def backward(b, team, network, state, space, given, gradients, extras):  # noqa: PLR0913, PLR0914
    """Add the gradients of a team that `forward` has computed, from the last layer on."""
    layers = network.layers
    n_layers = len(layers)
    n_steps = space.starts.shape[2] - 1
    for i in range(n_layers - 1, -1, -1):
        layer = layers[i]
        mem = membranes(layer, n_steps, state, team)
        delays = delays_of(layer, network)
        next_layer = next_layer_of(i, network, n_steps, state, team)
        neurons = neurons_of(layer, network.parameters)
        d_neurons = neurons_of(layer, gradients)
        errors = errors_of(i, b, team, layer, given, n_steps)
        of_team = d_neurons
        if extras is not None:
            neurons = side_by_side(neurons, team)
            of_team = d_neurons if team == 1 else np.zeros_like(neurons)
        layer_backward(
            layer, neurons, mem, space.error, errors, next_layer, network, of_team, team, extras
        )
        for t in range(team):
            at = t * layer.width
            events = event_list(space, t, i)
            d_weights = weights_of(layer, gradients)
            add_weight_gradients(
                layer, network.first_neurons, delays, events, mem, at, space, d_weights
            )
            if extras is not None and layer.recurs:
                events = event_list(space, t, i + 1)
                late = network.delays[len(network.delays) - 1 :]
                d_weights = recurrent_of(layer, gradients)
                add_weight_gradients(
                    layer, network.first_neurons, late, events, mem, at, space, d_weights
                )
            if extras is not None and team > 1:
                for k in range(len(d_neurons)):
                    for j in range(layer.width):
                        d_neurons[k, j] += of_team[k, at + j]
            # The current is the bias plus weights, so its gradient is the sum over all steps.
            rows = space.all_rows
            add_rows(mem, rows, 1, n_steps + 1, at, d_neurons, BIASES, 0, layer.width)


@inlined
def new_workspace(batch, network, team):
    """Return a thread's `Workspace`, large enough for each team of a batch."""
    n_layers = len(network.layers)
    n_steps = batch.n_steps
    most_inputs = 0
    widest = 0
    for i in range(n_layers):
        most_inputs = max(most_inputs, network.layers[i].n_inputs, network.layers[i].n_neurons)
        widest = max(widest, network.layers[i].width)
    most_events = n_steps * widest  # of a layer whose neurons all spike at every step
    for b in range(len(batch.utterances)):
        first, end = bounds_of(batch, b)
        most_events = max(most_events, end - first)
    return Workspace(
        starts=np.empty((team, n_layers + 1, n_steps + 1), np.int32),
        units=np.empty((team, n_layers + 1, most_events + 8), np.int32),
        spiked=np.empty(team * widest, np.uint8),
        error=np.zeros(team * widest, np.float32),
        unit_starts=np.empty(most_inputs + 2, np.int32),
        arrivals=np.empty(most_events, np.int32),
        all_rows=np.arange(n_steps + 2).astype(np.int32),
    )


@compiled
def work(worker, n_workers, batch, network, results, given, extras):
    """Do one thread's share of a batch: take utterances forward, and back if there are errors.

    `extras` is None if no layer adapts or recurs. Numba then compiles nothing of what these do,
    which takes a third less time.
    """
    most = results.states.shape[1]
    space = new_workspace(batch, network, most)
    state = results.states[worker].reshape(-1)
    n_groups = len(results.gradients)
    n_utterances = len(batch.utterances)
    last_layer = network.layers[len(network.layers) - 1]
    for group in range(worker, n_groups, n_workers):
        gradients = results.gradients[group]
        gradients[:] = ZERO
        end = (group + 1) * n_utterances // n_groups
        for b in range(group * n_utterances // n_groups, end, most):
            team = 1
            if extras is not None:
                team = min(most, end - b)
            forward(b, team, batch, network, state, space, results, extras)
            keep(state, results.kept[b])
            for t in range(team if batch.has_labels else 0):
                error = space.error[t * last_layer.width : (t + 1) * last_layer.width]
                label = batch.labels[b + t]
                results.losses[b + t] = loss(results.scores[b + t], label, n_utterances, error)
                if last_layer.surrogate == READOUT:
                    error /= np.float32(batch.n_steps)  # the scores are means over the steps
            if len(gradients):
                backward(b, team, network, state, space, given, gradients, extras)


@inner
def keep(state, kept):
    """Copy the last of an utterance's membranes."""
    first = len(state) - len(kept)
    for k in range(len(kept)):
        kept[k] = state[first + k]


@compiled
def spread_windows(weights, inputs, columns, rows):
    """Write each shared weight wherever it counts; see `parameter_layout.WindowLayout`."""
    n_channels = weights.shape[1]
    for window in range(inputs.shape[0]):
        for k in range(inputs.shape[1]):
            column = columns[window, k]
            target = rows[inputs[window, k], column : column + n_channels]
            for c in range(n_channels):
                target[c] = weights[k, c]


@compiled
def gather_windows(rows, inputs, columns, weights):
    """Add up, window after window, from where `spread_windows` writes; for gradients."""
    n_channels = weights.shape[1]
    for window in range(inputs.shape[0]):
        for k in range(inputs.shape[1]):
            column = columns[window, k]
            source = rows[inputs[window, k], column : column + n_channels]
            for c in range(n_channels):
                weights[k, c] += source[c]


# One layer of neurons over all steps: `scanning.scan`. The currents are given, and so are the
# gradients of spikes and membranes. A matrix has a row for each step and a column for each neuron
# of each utterance; that of a state has a row more, before the first step. Functions take the row
# of a step's states. `step` is the row before it: the step's row in the currents and spikes, and
# that of the states before the step. Whole utterances, from column `first` to `end`, are a block.
# A block goes from step to step together, so that small layers fill vectors, and each weight of
# large ones is read from memory once for several utterances.

# `ScanLayer.late`: what happens to a neuron whose membrane was above its threshold after the step
# before. It is detached, as in snntorch.
NO_RESET = 0
SUBTRACT = 1  # the threshold is subtracted from the new membrane
ZERO_OLD = 2  # the old membrane counts as zero
ZERO_NEW = 3  # the new membrane is zero
# `ScanLayer.early`: what happens to a neuron in the step of its spike. SUBTRACT and ZERO_NEW have a
# gradient here, and spare neurons that `late` has reset.
ZERO_DETACHED = 4  # the membrane is zero, without a gradient

# `ScanLayer.recurrence`
ONE_TO_ONE = 1
ALL_TO_ALL = 2


class ScanLayer(NamedTuple):
    """The neurons of a layer as `scan`'s kernels read them."""

    late: int
    early: int
    is_synaptic: int  # 1 if a synaptic current comes before the membrane, else 0
    adapts: int  # 1 if the neurons adapt, else 0
    recurrence: int  # 0, ONE_TO_ONE or ALL_TO_ALL
    learns: int  # 1 if gradients of `neurons` are wanted, else 0
    surrogate: int  # FAST_SIGMOID, ATAN, SIGMOID or GIVEN
    slope: np.float32  # see `Layer`
    half_slope: np.float32
    n_neurons: int
    neurons: np.ndarray  # (N_SCAN_ROWS, columns of a block) float32
    # Recurrent weights, float32; (0, 0) if not ALL_TO_ALL. Row i has those from neuron i to all
    # others, padded to whole vectors; and those to neuron i, with UNROLLED_ROWS padding the rows.
    weights_from: np.ndarray
    weights_to: np.ndarray


class ScanStates(NamedTuple):
    """What a layer does over all steps; states that its neurons don't have are (0, 0)."""

    currents: np.ndarray  # (steps, columns), given, float32 as all others
    spk: np.ndarray  # (steps, columns) 1 or 0
    potentials: np.ndarray  # (steps + 1, columns) membranes before an early reset
    mem: np.ndarray  # (steps + 1, columns) after it; `potentials` if there is none
    synapses: np.ndarray  # (steps + 1, columns) synaptic currents
    adaptations: np.ndarray  # (steps + 1, columns)


class ScanErrors(NamedTuple):
    """The gradients of a loss that are given; (0, 0) where nothing is."""

    spk: np.ndarray  # (steps, columns) float32
    mem: np.ndarray  # (steps, columns) float32
    derivatives: np.ndarray  # (steps, columns) of a surrogate that is GIVEN


class ScanGradients(NamedTuple):
    """Gradients of a block in one step, (columns of a block,) each, float32."""

    spk: np.ndarray
    mem: np.ndarray  # of the membrane after an early reset
    fed: np.ndarray  # of what feeds the adaptation
    through_spk: np.ndarray  # the part of `potential` that comes through the surrogate
    potential: np.ndarray  # of the membrane before an early reset
    base: np.ndarray  # of the membrane before a late reset
    synapse: np.ndarray  # of the synaptic current
    adaptation: np.ndarray


@compiled
def scan_forward(worker, n_workers, layer, states, extras):
    """Do one thread's share of a batch: write spikes and states of all steps.

    `extras` is None if no neuron has a synapse, adapts or recurs, as that of `work`.
    """
    n_columns = states.spk.shape[1]
    width = layer.neurons.shape[1]
    n = layer.n_neurons
    index = np.empty(n, np.int32)
    arriving = np.empty((1, max(n, layer.weights_from.shape[1])), np.float32)
    for first in range(worker * width, n_columns, n_workers * width):
        end = min(first + width, n_columns)
        for row in range(1, len(states.mem)):
            drive(layer, states, row, first, end, extras)
            decay(layer, states, row, first, end)
            if extras is not None and layer.recurrence == ONE_TO_ONE and row > 1:
                recur_one_to_one(layer, states, row, first, end)
            if extras is not None and layer.recurrence == ALL_TO_ALL:
                for at in range(first, end, n):
                    recur_all_to_all(layer, states, row, at, index, arriving)
            reset_late(layer, states, row, first, end)
            spike(layer, states, row, first, end)
            if extras is not None and layer.adapts:
                adapt(layer, states, row, first, end)


@inner
def drive(layer, states, row, first, end, extras):
    """Write what drives the membranes in a step: currents less the adaptation, or synapses."""
    step = row - 1
    current = states.currents[step, first:end]
    out = states.potentials[row, first:end]
    if extras is not None and layer.adapts:
        gain = layer.neurons[GAINS]
        adaptation = states.adaptations[step, first:end]
        for j in range(len(out)):
            out[j] = gain[j] * (current[j] - adaptation[j])
    elif extras is not None and layer.is_synaptic:
        alpha = layer.neurons[ALPHAS]
        old = states.synapses[step, first:end]
        synapse = states.synapses[row, first:end]
        for j in range(len(out)):
            synapse[j] = alpha[j] * old[j] + current[j]
        for j in range(len(out)):
            out[j] = synapse[j]
    else:
        for j in range(len(out)):
            out[j] = current[j]


@inner
def decay(layer, states, row, first, end):
    """Add what is left of the membranes of the step before."""
    beta = layer.neurons[BETAS]
    threshold = layer.neurons[THRESHOLDS]
    old = states.mem[row - 1, first:end]
    out = states.potentials[row, first:end]
    if layer.late == ZERO_OLD:
        for j in range(len(out)):
            out[j] = beta[j] * (ZERO if old[j] - threshold[j] > ZERO else old[j]) + out[j]
    else:
        for j in range(len(out)):
            out[j] = beta[j] * old[j] + out[j]


@inner
def recur_one_to_one(layer, states, row, first, end):
    """Add what arrives from each neuron's own spike of the step before."""
    weight = layer.neurons[TO_ITSELF]
    spk = states.spk[row - 2, first:end]
    out = states.potentials[row, first:end]
    for j in range(len(out)):
        out[j] += spk[j] * weight[j]


@inner
def recur_all_to_all(layer, states, row, at, index, arriving):
    """Add what arrives from all spikes of an utterance in the step before, which begins at `at`."""
    n = layer.n_neurons
    width = layer.weights_from.shape[1]
    for j in range(n):
        arriving[0, j] = layer.neurons[BIASES, j]
    if row > 1:
        spk = states.spk[row - 2, at : at + n]
        n_spikes = 0
        for j in range(n):
            index[n_spikes] = j
            n_spikes += spk[j] > ZERO
        add_rows(layer.weights_from, index, 0, n_spikes, 0, arriving, 0, 0, width)
    out = states.potentials[row, at : at + n]
    for j in range(n):
        out[j] += arriving[0, j]


@inner
def reset_late(layer, states, row, first, end):
    """Reset the neurons whose membranes were above their thresholds after the step before."""
    threshold = layer.neurons[THRESHOLDS]
    old = states.mem[row - 1, first:end]
    out = states.potentials[row, first:end]
    if layer.late == SUBTRACT:
        for j in range(len(out)):
            out[j] -= threshold[j] if old[j] - threshold[j] > ZERO else ZERO
    elif layer.late == ZERO_NEW:
        for j in range(len(out)):
            out[j] = ZERO if old[j] - threshold[j] > ZERO else out[j]


@inner
def spike(layer, states, row, first, end):
    """Write the spikes of a step, and the membranes after an early reset."""
    threshold = layer.neurons[THRESHOLDS]
    old = states.mem[row - 1, first:end]
    potential = states.potentials[row, first:end]
    spk = states.spk[row - 1, first:end]
    mem = states.mem[row, first:end]
    for j in range(len(spk)):
        spk[j] = ONE if potential[j] - threshold[j] > ZERO else ZERO
    if layer.early == SUBTRACT:
        for j in range(len(mem)):
            late = ONE if old[j] - threshold[j] > ZERO else ZERO
            mem[j] = potential[j] - (spk[j] - late) * threshold[j]
    elif layer.early == ZERO_NEW:
        for j in range(len(mem)):
            late = ONE if old[j] - threshold[j] > ZERO else ZERO
            mem[j] = potential[j] - (spk[j] - late) * potential[j]
    elif layer.early == ZERO_DETACHED:
        for j in range(len(mem)):
            mem[j] = potential[j] * (ONE - spk[j])


@inner
def adapt(layer, states, row, first, end):
    """Write the adaptation after a step, as `add_to_adaptation` does."""
    left = layer.neurons[LEFT]
    from_mem = layer.neurons[FROM_MEM]
    from_spk = layer.neurons[FROM_SPK]
    mem = states.mem[row, first:end]
    spk = states.spk[row - 1, first:end]
    old = states.adaptations[row - 1, first:end]
    out = states.adaptations[row, first:end]
    for j in range(len(out)):
        fed = from_mem[j] * mem[j] + from_spk[j] * spk[j]
        out[j] = left[j] * old[j] + (ONE - left[j]) * fed


@compiled
def scan_backward(worker, n_workers, layer, states, errors, d_currents, d_neurons, extras):  # noqa: PLR0913
    """Do one thread's share of a batch: write the gradients of the currents.

    Each block has gradients of the neurons' rows in `d_neurons`, (blocks, N_SCAN_ROWS, columns of a
    block), so that no bit depends on the number of threads. They stay as they are unless the layer
    `learns`.
    """
    n_steps, n_columns = d_currents.shape
    width = layer.neurons.shape[1]
    n = layer.n_neurons
    padded = np.zeros((width // n, len(layer.weights_to)), np.float32)
    for block in range(worker, len(d_neurons), n_workers):
        first = block * width
        end = min(first + width, n_columns)
        back = new_scan_gradients(width)
        for row in range(n_steps, 0, -1):
            receive(layer, errors, back, row, first, end, extras)
            through_spikes(layer, states, errors, back, row, first, end)
            through_resets(layer, states, back, row, first, end)
            to_currents(layer, back, d_currents[row - 1, first:end], extras)
            if layer.learns:
                add_membrane_gradients(layer, states, back, d_neurons[block], row, first, end)
                if extras is not None:
                    add_drive_gradients(layer, states, back, d_neurons[block], row, first, end)
                if extras is not None and layer.adapts:
                    add_gradients_of_adaptation(
                        layer, states, back, d_neurons[block], row, first, end
                    )
            to_step_before(layer, states, back, d_currents, row, first, end, extras)
            if extras is not None and layer.recurrence == ALL_TO_ALL:
                for j in range(width):
                    padded[j // n, j % n] = back.base[j]
                multiply(padded, layer.weights_to, back.spk.reshape(width // n, n))


@inner
def new_scan_gradients(width):
    """Return gradients of zero, which come from after the last step."""
    return ScanGradients(
        spk=np.zeros(width, np.float32),
        mem=np.zeros(width, np.float32),
        fed=np.zeros(width, np.float32),
        through_spk=np.zeros(width, np.float32),
        potential=np.zeros(width, np.float32),
        base=np.zeros(width, np.float32),
        synapse=np.zeros(width, np.float32),
        adaptation=np.zeros(width, np.float32),
    )


@inner
def receive(layer, errors, back, row, first, end, extras):
    """Add to the gradients of spikes and membranes what is given, and what comes by adaptation."""
    d_spk = back.spk
    d_mem = back.mem
    n = end - first
    if len(errors.spk):
        given = errors.spk[row - 1, first:end]
        for j in range(n):
            d_spk[j] += given[j]
    if len(errors.mem):
        given = errors.mem[row - 1, first:end]
        for j in range(n):
            d_mem[j] += given[j]
    if extras is not None and layer.adapts:
        left = layer.neurons[LEFT]
        from_mem = layer.neurons[FROM_MEM]
        from_spk = layer.neurons[FROM_SPK]
        d_adaptation = back.adaptation
        fed = back.fed
        for j in range(n):
            fed[j] = (ONE - left[j]) * d_adaptation[j]
        for j in range(n):
            d_spk[j] += fed[j] * from_spk[j]
        for j in range(n):
            d_mem[j] += fed[j] * from_mem[j]


@inner
def through_spikes(layer, states, errors, back, row, first, end):
    """Write the gradients that come to the membranes through the spikes of a step."""
    threshold = layer.neurons[THRESHOLDS]
    slope = layer.slope
    half_slope = layer.half_slope
    potential = states.potentials[row, first:end]
    n = end - first
    d_spk = back.spk
    out = back.through_spk
    through_early_reset(layer, back, potential)
    if layer.surrogate == FAST_SIGMOID:
        for j in range(n):
            x = slope * abs(potential[j] - threshold[j]) + ONE
            out[j] = d_spk[j] / (x * x)
    elif layer.surrogate == ATAN:
        for j in range(n):
            x = slope * (potential[j] - threshold[j])
            out[j] = ONE / (x * x + ONE) * half_slope * d_spk[j]
    elif layer.surrogate == SIGMOID:
        for j in range(n):  # see `step_back`
            x = slope * (potential[j] - threshold[j])
            e = exp(max(-abs(x), np.float32(-87)))
            d = e + ONE
            out[j] = d_spk[j] * slope * e / (d * d)
    else:
        derivative = errors.derivatives[row - 1, first:end]
        for j in range(n):
            out[j] = d_spk[j] * derivative[j]


@inner
def through_early_reset(layer, back, potential):
    """Add to the gradients of spikes what comes from an early reset."""
    threshold = layer.neurons[THRESHOLDS]
    d_mem = back.mem
    d_spk = back.spk
    if layer.early == SUBTRACT:
        for j in range(len(potential)):
            d_spk[j] -= d_mem[j] * threshold[j]
    elif layer.early == ZERO_NEW:
        for j in range(len(potential)):
            d_spk[j] -= d_mem[j] * potential[j]


@inner
def through_resets(layer, states, back, row, first, end):
    """Write the gradients of the membranes before an early and before a late reset."""
    threshold = layer.neurons[THRESHOLDS]
    old = states.mem[row - 1, first:end]
    spk = states.spk[row - 1, first:end]
    n = end - first
    d_mem = back.mem
    through_spk = back.through_spk
    out = back.potential
    base = back.base
    if layer.early == ZERO_NEW:
        for j in range(n):
            late = ONE if old[j] - threshold[j] > ZERO else ZERO
            out[j] = d_mem[j] * (ONE - (spk[j] - late)) + through_spk[j]
    elif layer.early == ZERO_DETACHED:
        for j in range(n):
            out[j] = d_mem[j] * (ONE - spk[j]) + through_spk[j]
    else:
        for j in range(n):
            out[j] = d_mem[j] + through_spk[j]
    if layer.late == ZERO_NEW:
        for j in range(n):
            base[j] = ZERO if old[j] - threshold[j] > ZERO else out[j]
    else:
        for j in range(n):
            base[j] = out[j]


@inner
def to_currents(layer, back, out, extras):
    """Write the gradients of a step's currents."""
    base = back.base
    if extras is not None and layer.is_synaptic:
        alpha = layer.neurons[ALPHAS]
        synapse = back.synapse
        for j in range(len(out)):
            synapse[j] = base[j] + alpha[j] * synapse[j]
        for j in range(len(out)):
            out[j] = synapse[j]
    elif extras is not None and layer.adapts:
        gain = layer.neurons[GAINS]
        for j in range(len(out)):
            out[j] = base[j] * gain[j]
    else:
        for j in range(len(out)):
            out[j] = base[j]


@inner
def to_step_before(layer, states, back, d_currents, row, first, end, extras):  # noqa: PLR0913
    """Write the gradients that come to the states and spikes of the step before."""
    beta = layer.neurons[BETAS]
    threshold = layer.neurons[THRESHOLDS]
    weight = layer.neurons[TO_ITSELF]  # 0 unless ONE_TO_ONE
    old = states.mem[row - 1, first:end]
    n = end - first
    base = back.base
    d_mem = back.mem
    d_spk = back.spk
    if layer.late == ZERO_OLD:
        for j in range(n):
            d_mem[j] = ZERO if old[j] - threshold[j] > ZERO else beta[j] * base[j]
    else:
        for j in range(n):
            d_mem[j] = beta[j] * base[j]
    for j in range(n):
        d_spk[j] = weight[j] * base[j]
    if extras is not None and layer.adapts:
        left = layer.neurons[LEFT]
        d_current = d_currents[row - 1, first:end]
        d_adaptation = back.adaptation
        for j in range(n):
            d_adaptation[j] = left[j] * d_adaptation[j] - d_current[j]


@inner
def add_membrane_gradients(layer, states, back, d_neurons, row, first, end):
    """Add the gradients of a step for BETAS and THRESHOLDS."""
    threshold = layer.neurons[THRESHOLDS]
    old = states.mem[row - 1, first:end]
    spk = states.spk[row - 1, first:end]
    n = end - first
    base = back.base
    through_spk = back.through_spk
    d_beta = d_neurons[BETAS]
    d_threshold = d_neurons[THRESHOLDS]
    if layer.late == ZERO_OLD:
        for j in range(n):
            d_beta[j] += base[j] * (ZERO if old[j] - threshold[j] > ZERO else old[j])
    else:
        for j in range(n):
            d_beta[j] += base[j] * old[j]
    for j in range(n):
        d_threshold[j] -= through_spk[j]
    if layer.early == SUBTRACT:
        d_mem = back.mem
        for j in range(n):
            late = ONE if old[j] - threshold[j] > ZERO else ZERO
            d_threshold[j] -= d_mem[j] * (spk[j] - late)
    if layer.late == SUBTRACT:
        d_potential = back.potential
        for j in range(n):
            d_threshold[j] -= d_potential[j] if old[j] - threshold[j] > ZERO else ZERO


@inner
def add_drive_gradients(layer, states, back, d_neurons, row, first, end):
    """Add the gradients of a step for BIASES and TO_ITSELF, and for ALPHAS."""
    n = end - first
    base = back.base
    if layer.recurrence == ALL_TO_ALL:
        d_bias = d_neurons[BIASES]
        for j in range(n):
            d_bias[j] += base[j]
    elif layer.recurrence == ONE_TO_ONE and row > 1:
        d_weight = d_neurons[TO_ITSELF]
        spk_before = states.spk[row - 2, first:end]
        for j in range(n):
            d_weight[j] += base[j] * spk_before[j]
    elif layer.is_synaptic:
        d_alpha = d_neurons[ALPHAS]
        d_synapse = back.synapse
        synapse = states.synapses[row - 1, first:end]
        for j in range(n):
            d_alpha[j] += d_synapse[j] * synapse[j]


@inner
def add_gradients_of_adaptation(layer, states, back, d_neurons, row, first, end):
    """Add the gradients of a step for GAINS, LEFT, FROM_MEM and FROM_SPK."""
    from_mem = layer.neurons[FROM_MEM]
    from_spk = layer.neurons[FROM_SPK]
    mem = states.mem[row, first:end]
    spk = states.spk[row - 1, first:end]
    current = states.currents[row - 1, first:end]
    adaptation = states.adaptations[row - 1, first:end]
    n = end - first
    base = back.base
    fed = back.fed
    d_adaptation = back.adaptation
    d_gain = d_neurons[GAINS]
    d_left = d_neurons[LEFT]
    d_from_mem = d_neurons[FROM_MEM]
    d_from_spk = d_neurons[FROM_SPK]
    for j in range(n):
        d_gain[j] += base[j] * (current[j] - adaptation[j])
    for j in range(n):
        now = from_mem[j] * mem[j] + from_spk[j] * spk[j]
        d_left[j] += d_adaptation[j] * (adaptation[j] - now)
    for j in range(n):
        d_from_mem[j] += fed[j] * mem[j]
    for j in range(n):
        d_from_spk[j] += fed[j] * spk[j]
