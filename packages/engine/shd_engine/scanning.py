"""`scan`: one layer of spiking neurons over all steps, compiled, between layers of torch.

Whatever comes between layers of neurons, such as convolutions, normalization or dropout, can be
computed by torch for all steps at once. Only the neurons need a loop over the steps. `scan` is this
loop, forward and backward. Its arithmetic is in `kernels`, at the end, and `_described` says how
each class of neurons is written in its terms.
"""

from typing import Any

import numpy as np
import snntorch as snn
import torch
from torch.nn import functional

from shd_engine import kernels
from shd_engine.adaptive import AdaptiveLeaky, RSEAdLIF, SEAdLIF
from shd_engine.compiled_engine import (
    WORTH_A_THREAD,
    in_threads,
    refuse_second_derivatives,
    refuse_transforms,
    unusual_call,
    unusual_option,
    unusual_recurrence,
)
from shd_engine.parameter_layout import refuse_what_is_not_finite
from shd_engine.surrogates import SpikeGrad, compiled_surrogate, derivative_at

NEURONS = (snn.Leaky, snn.Synaptic, snn.Lapicque, snn.RLeaky, AdaptiveLeaky, SEAdLIF, RSEAdLIF)
_NOTHING = np.empty((0, 0), np.float32)
COLUMNS_PER_BLOCK = 4096  # some rows of them stay in the cache
REFUSAL = "scan can't compute this layer"
RECURRENT_UTTERANCES = 8  # per block, if weights are recurrent; the kernels need whole pairs
# What snntorch's names of the resets are in the kernels. Only Leaky sets the old membrane to zero.
_LATE = {"_base_sub": kernels.SUBTRACT, "_base_zero": kernels.ZERO_NEW, "_base_int": 0}
_ROWS = {
    kernels.BETAS: "beta",
    kernels.THRESHOLDS: "threshold",
    kernels.ALPHAS: "alpha",
    kernels.TO_ITSELF: "V",
}
_EARLY = {0: kernels.SUBTRACT, 1: kernels.ZERO_NEW, 2: 0}  # by reset_mechanism_val


def scan(currents: torch.Tensor, neuron: snn.SpikingNeuron) -> tuple[torch.Tensor, torch.Tensor]:
    """Take a layer of neurons through all steps, from rest on.

    It computes what a loop ``spk, *state = neuron(currents[step], *state)`` computes, many times
    faster, with gradients for the currents and for the neurons' parameters. The states that the
    neurons keep themselves, such as ``neuron.mem``, stay as they are.

    Parameters
    ----------
    currents : Tensor
        What goes into the neurons, (steps, batch, ...), in float32 on the CPU. After the batch come
        the neurons, or channels, height and width.
    neuron : Leaky, Synaptic, Lapicque, RLeaky, AdaptiveLeaky, SEAdLIF, RSEAdLIF
        The neurons. Their parameters are numbers, or tensors that broadcast to one step's currents
        of one utterance.

    Returns
    -------
    spk, mem : Tensor
        The spikes and the membrane potentials of all steps, each of the shape of the currents.

    Raises
    ------
    ValueError
        If the currents or the neurons aren't of this kind.
    """
    refuse_transforms()
    if problem := unsupported(currents, neuron):
        raise ValueError(f"{REFUSAL}: {problem}")
    settings, rows, weight = _described(neuron, currents)
    if isinstance(neuron, snn.Lapicque):  # in the order of its own forward
        currents = currents * neuron.R * (1 / (neuron.R * neuron.C)) * neuron.time_step
    stacked = _stacked(rows, currents.shape[2:])
    return _Scan.apply(currents, stacked, weight, settings, neuron.spike_grad)


def unsupported(currents: torch.Tensor, neuron: Any) -> str | None:
    """Say why a layer can't be computed."""
    if currents.dim() < 3 or currents.dtype != torch.float32 or currents.device.type != "cpu":
        return (
            f"its currents are {currents.dtype} of shape {tuple(currents.shape)} on "
            f"{currents.device}. Give torch.float32 of shape (steps, batch, neurons) on the CPU"
        )
    if type(neuron) not in NEURONS:
        known = ", ".join(known.__name__ for known in NEURONS)
        return f"its neuron is {type(neuron).__name__}, none of {known}"
    if problem := unusual_call(neuron):
        return f"its neuron {problem}"
    if isinstance(neuron, (snn.RLeaky, RSEAdLIF)):
        if problem := unusual_recurrence(neuron):
            return f"its neuron {problem}"
        if neuron.all_to_all and (problem := _unusual_weight(neuron.recurrent.weight, currents)):
            return problem
    return unusual_option(neuron, "its neuron")


def _unusual_weight(weight: torch.Tensor, currents: torch.Tensor) -> str | None:
    """Say why recurrent weights can't be computed."""
    if weight.shape != (len(weight), *currents.shape[2:]) or weight.shape[0] != weight.shape[1]:
        return (
            f"it has {weight.shape[1]} recurrent neurons, but currents of shape "
            f"{tuple(currents.shape)}"
        )
    if weight.dtype != torch.float32 or weight.device.type != "cpu":
        return f"its recurrent weights are {weight.dtype} on {weight.device}, not torch.float32"
    if torch.is_autocast_enabled("cpu"):
        return "autocast would compute its recurrent weights in another format. Leave it out"
    refuse_what_is_not_finite("its recurrent weights", weight.detach().numpy())
    return None


def _described(
    neuron: Any, currents: torch.Tensor
) -> tuple[dict[str, int], dict[int, torch.Tensor], torch.Tensor]:
    """Return the options of a layer, its rows of numbers, and its recurrent weights."""
    settings = {"late": 0, "early": 0, "is_synaptic": 0, "adapts": 0, "recurrence": 0}
    weight = currents.new_empty(0, 0)
    if isinstance(neuron, SEAdLIF):
        beta, left, from_mem, from_spk = neuron.rates()
        rows = {
            kernels.BETAS: beta,
            kernels.THRESHOLDS: neuron.threshold,
            kernels.GAINS: 1 - beta,
            kernels.LEFT: left,
            kernels.FROM_MEM: from_mem,
            kernels.FROM_SPK: from_spk,
        }
        settings |= {"early": kernels.ZERO_DETACHED, "adapts": 1}
        if isinstance(neuron, RSEAdLIF):  # the kernels add to the membrane what arrives
            settings["recurrence"] = kernels.ALL_TO_ALL
            weight = (1 - beta)[:, None] * neuron.recurrent.weight
        return settings, rows, weight
    rows = {kernels.BETAS: _beta_of(neuron), kernels.THRESHOLDS: neuron.threshold}
    settings["late"] = _LATE[neuron.state_function.__name__]
    if settings["late"] == kernels.ZERO_NEW and isinstance(neuron, snn.Leaky):
        settings["late"] = kernels.ZERO_OLD
    if not getattr(neuron, "reset_delay", True):
        settings["early"] = _EARLY[int(neuron.reset_mechanism_val)]
    if isinstance(neuron, snn.Synaptic):
        settings["is_synaptic"] = 1
        rows[kernels.ALPHAS] = neuron.alpha.clamp(0, 1)
    elif isinstance(neuron, AdaptiveLeaky):
        settings["adapts"] = 1
        rows[kernels.GAINS] = torch.ones(())
        rows[kernels.LEFT] = neuron.left
        rows[kernels.FROM_MEM] = neuron.from_mem.clamp(min=0)
        rows[kernels.FROM_SPK] = neuron.from_spk.clamp(min=0)
    elif isinstance(neuron, snn.RLeaky) and neuron.all_to_all:
        settings["recurrence"] = kernels.ALL_TO_ALL
        weight = neuron.recurrent.weight
        if neuron.recurrent.bias is not None:
            rows[kernels.BIASES] = neuron.recurrent.bias
    elif isinstance(neuron, snn.RLeaky):
        settings["recurrence"] = kernels.ONE_TO_ONE
        rows[kernels.TO_ITSELF] = neuron.recurrent.V
    return settings, rows, weight


def _beta_of(neuron: Any) -> torch.Tensor:
    """Return the share of the membrane potential that is left after a step."""
    if isinstance(neuron, snn.Lapicque):
        return 1 - neuron.time_step / (neuron.R * neuron.C)
    return neuron.beta.clamp(0, 1)


def _stacked(rows: dict[int, torch.Tensor], shape: torch.Size) -> torch.Tensor:
    """Return rows of numbers as the kernels read them, (N_SCAN_ROWS, neurons)."""
    nothing = torch.zeros(())
    given = [rows.get(row, nothing).float() for row in range(kernels.N_SCAN_ROWS)]
    return torch.stack([_expanded(each, row, shape) for row, each in enumerate(given)])


def _expanded(values: torch.Tensor, row: int, shape: torch.Size) -> torch.Tensor:
    """Return a row of numbers, one for each neuron."""
    # Of shape (1, neurons), they would broadcast to the batch.
    of_neurons = values[0] if values.dim() > len(shape) and len(values) == 1 else values
    try:
        return of_neurons.expand(shape).reshape(-1)
    except RuntimeError as error:
        raise ValueError(
            f"{REFUSAL}: its {_ROWS.get(row, 'adaptation')} of shape "
            f"{tuple(values.shape)} doesn't broadcast to neurons of shape {tuple(shape)}"
        ) from error


class _Scan(torch.autograd.Function):
    """A layer's spikes and membranes as a function of its currents and parameters."""

    @staticmethod
    def forward(
        ctx: Any,
        currents: torch.Tensor,
        rows: torch.Tensor,
        weight: torch.Tensor,
        settings: dict[str, int],
        spike_grad: SpikeGrad,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        ctx.layer = _layer(rows, weight, settings, spike_grad, ctx.needs_input_grad[1])
        ctx.states = states = _new_states(ctx.layer, _columns_of(currents))
        ctx.spike_grad = spike_grad
        n_workers = workers_for(ctx.layer, states)
        in_threads(kernels.scan_forward, n_workers, ctx.layer, states, _extras(ctx.layer))
        spk = torch.from_numpy(states.spk.reshape(currents.shape))
        mem = torch.from_numpy(states.mem[1:].reshape(currents.shape))
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(currents, rows, weight, spk, mem)
        return spk, mem

    @staticmethod
    def backward(ctx: Any, *errors: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        refuse_second_derivatives()
        currents, rows, _, spk, _ = ctx.saved_tensors  # raises an error if one was changed
        layer = ctx.layer
        states = ctx.states
        d_spk, d_mem = (_NOTHING if each is None else _columns_of(each) for each in errors)
        columns = np.empty_like(states.currents)
        blocks = np.zeros((_n_blocks(layer, states), *layer.neurons.shape), np.float32)
        in_threads(
            kernels.scan_backward,
            workers_for(layer, states),
            layer,
            states,
            kernels.ScanErrors(d_spk, d_mem, _derivatives(ctx, rows)),
            columns,
            blocks,
            _extras(layer),
        )
        d_currents = torch.from_numpy(columns).view(currents.shape)
        d_rows = torch.from_numpy(blocks).unflatten(2, (-1, layer.n_neurons))
        d_weight = None
        if ctx.needs_input_grad[2]:
            d_weight = d_currents[1:].flatten(0, 1).T @ spk[:-1].flatten(0, 1)
            if layer.adapts:  # these currents are multiplied by the gains, the weights aren't
                d_weight /= rows[kernels.GAINS][:, None]
        return d_currents, d_rows.sum((0, 2)), d_weight, None, None


def _extras(layer: kernels.ScanLayer) -> bool | None:
    """Return None if the neurons have no state but the membrane, and no recurrent weights."""
    return True if layer.is_synaptic or layer.adapts or layer.recurrence else None


def _derivatives(ctx: Any, rows: torch.Tensor) -> np.ndarray:
    """Return the derivatives of a surrogate that the kernels don't know."""
    if ctx.layer.surrogate != kernels.GIVEN:
        return _NOTHING
    derivatives = np.empty_like(ctx.states.spk)
    # step by step, so that what torch computes in between stays in the cache
    for potentials, out in zip(ctx.states.potentials[1:], derivatives, strict=True):
        distance = torch.from_numpy(potentials).view(-1, rows.shape[1]) - rows[kernels.THRESHOLDS]
        out[:] = derivative_at(ctx.spike_grad, distance).flatten().numpy()
    return derivatives


def _layer(
    rows: torch.Tensor,
    weight: torch.Tensor,
    settings: dict[str, int],
    spike_grad: SpikeGrad,
    learns: bool,
) -> kernels.ScanLayer:
    """Return a layer as the kernels read it."""
    surrogate = compiled_surrogate(spike_grad)
    n = rows.shape[1]
    n_utterances = max(1, COLUMNS_PER_BLOCK // n)
    weights_from = weights_to = _NOTHING
    if settings["recurrence"] == kernels.ALL_TO_ALL:
        n_utterances = RECURRENT_UTTERANCES
        weights_from = np.ascontiguousarray(_padded(weight, kernels.LANES).T)
        weights_to = np.ascontiguousarray(_padded(weight, kernels.UNROLLED_ROWS))
    return kernels.ScanLayer(
        **settings,
        learns=int(learns),
        surrogate=surrogate.kind,
        slope=np.float32(surrogate.slope),
        half_slope=np.float32(surrogate.half_slope),
        n_neurons=n,
        neurons=np.tile(rows.detach().numpy(), n_utterances),
        weights_from=weights_from,
        weights_to=weights_to,
    )


def _padded(weight: torch.Tensor, multiple: int) -> np.ndarray:
    """Return weights with rows of zeros below, so that their number is a multiple."""
    return functional.pad(weight.detach(), (0, 0, 0, -len(weight) % multiple)).numpy()


def _new_states(layer: kernels.ScanLayer, currents: np.ndarray) -> kernels.ScanStates:
    """Return memory for what a layer does, at rest before the first step."""
    n_steps, n_columns = currents.shape

    def at_rest(is_needed: bool) -> np.ndarray:
        if not is_needed:
            return _NOTHING
        states = np.empty((n_steps + 1, n_columns), np.float32)
        states[0] = 0
        return states

    potentials = at_rest(True)
    return kernels.ScanStates(
        currents=currents,
        spk=np.empty_like(currents),
        potentials=potentials,
        mem=at_rest(True) if layer.early else potentials,
        synapses=at_rest(bool(layer.is_synaptic)),
        adaptations=at_rest(bool(layer.adapts)),
    )


def _columns_of(tensor: torch.Tensor) -> np.ndarray:
    """Return a tensor of (steps, batch, ...) as a matrix with a row for each step."""
    return tensor.detach().flatten(1).contiguous().numpy()


def _n_blocks(layer: kernels.ScanLayer, states: kernels.ScanStates) -> int:
    """Return into how many blocks of utterances a batch is cut."""
    return -(-states.spk.shape[1] // layer.neurons.shape[1])


def workers_for(layer: kernels.ScanLayer, states: kernels.ScanStates) -> int:
    """Return how many threads shall compute a layer: more for more work."""
    n_threads = min(torch.get_num_threads(), states.spk.size // WORTH_A_THREAD)
    return max(1, min(_n_blocks(layer, states), n_threads))
