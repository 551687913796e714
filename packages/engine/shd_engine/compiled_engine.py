"""The compiled engine: the arithmetic of snntorch's loop, compiled by numba.

snntorch's loop passes over memory once for every operation of every step. The compiled engine takes
one utterance through all steps, the loss and all steps back while its membranes stay in the cache,
and adds a row of weights only where there is an event. Its loops are in `kernels`, whose docstring
describes them, and `parameter_layout` says where parameters lie in memory. The results are
snntorch's: the same operations in float32, rounded in the same order. Only sums over inputs, steps
and utterances are added up in another order than a matrix product does.

There are as many threads as torch has: ``OMP_NUM_THREADS`` in the environment, or the caller's
`torch.set_num_threads`. Nothing is set here, and no bit of a result depends on their number.
"""

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from snntorch import Leaky, RLeaky
from torch import nn
from torch.nn import functional

from shd_engine import kernels
from shd_engine.adaptive import AdaptiveLeaky
from shd_engine.event_lists import Index, ReadsAsEvents, checked_lists, checked_utterances
from shd_engine.kernels import announce
from shd_engine.network import (
    ChannelConv1d,
    LayeredNetwork,
    Layers,
    LayerStates,
    LearnedDelays,
    Weights,
    check_sizes,
    resets,
    unfamiliar_component,
    unfamiliar_layer,
)
from shd_engine.parameter_layout import Layered, ParameterLayout, aligned, trained
from shd_engine.surrogates import compiled_surrogate, derivative_at, not_a_step

# Neurons x steps x utterances that are worth another thread: starting one takes as long.
WORTH_A_THREAD = 1_000_000
# Most partial sums of a gradient, so that no more threads work on a batch in training. With more,
# adding them up would take longer.
MOST_GROUPS = 16
SMALLEST_GROUP = 4  # utterances
Errors = tuple[torch.Tensor | None, ...]  # gradients of a loss; None if it doesn't depend on it


def forward_backward(
    model: Layered, events: ReadsAsEvents, index: Index, labels: Any, readout: str = ""
) -> tuple[float, torch.Tensor]:
    """Take a batch forward and back: what zero_grad, the loop over steps and backward() do."""
    readout = checked_readout(model, readout)
    index = checked_index(model, events, index)
    labels = labels_to_train_with(labels, index, model.layers[-1][0].out_features)
    if isinstance(model, nn.Module):
        model.zero_grad()
    if not kernels_know_the_loss(model, readout):
        return _forward_backward_by_autograd(model, events, index, labels, readout)
    loss, scores, gradients = loss_scores_and_gradients(model, events, index, labels, readout)
    with torch.enable_grad():
        tensors = trained(model)
    if tensors:  # autograd adds up what belongs to one parameter, and calls the hooks of tensors
        torch.autograd.backward(tensors, gradients)
    return loss, scores


def loss_scores_and_gradients(
    model: Layered, events: ReadsAsEvents, index: np.ndarray, labels: np.ndarray, readout: str
) -> tuple[float, torch.Tensor, list[torch.Tensor]]:
    """Take a batch forward and back; return the gradients of what is `trained`."""
    layout = ParameterLayout.of(model, readout)
    batch = batch_of(events, index, labels)
    n_groups = groups_for(index)
    n_workers = workers_for(batch, layout, n_groups)
    results = new_results(batch, layout, n_groups, n_workers, layout.n_parameters)
    nothing = nothing_given(layout)
    compute(batch, layout.pack(model), results, nothing, n_workers)
    # numpy adds row after row
    gradients = layout.gradients(model, results.gradients.sum(axis=0))
    return float(results.losses.mean()), torch.from_numpy(results.scores), gradients


def kernels_know_the_loss(model: Layered, readout: str) -> bool:
    """Tell whether the kernels can take an utterance forward and back at once."""
    surrogates = [compiled_surrogate(lif.spike_grad) for _, lif in model.layers]
    last = model.layers[-1][1]
    # Its spikes matter to the membranes of the steps after them.
    matter = readout == "membrane" and isinstance(last, AdaptiveLeaky | RLeaky)
    is_silent = LayeredNetwork.accumulates_only(last)
    kinds = [surrogate.kind for surrogate in (surrogates[:-1] if is_silent else surrogates)]
    return kernels.GIVEN not in kinds and (is_silent or not matter)


def _forward_backward_by_autograd(
    model: Layered, events: ReadsAsEvents, index: np.ndarray, labels: np.ndarray, readout: str
) -> tuple[float, torch.Tensor]:
    """Do what `forward_backward` does, with a loss that torch computes."""
    with torch.enable_grad():
        states = record(model, events, index, hidden=False)
        scores = states.mem.mean(0) if readout == "membrane" else states.spk.sum(0)
        loss = functional.cross_entropy(scores, torch.from_numpy(labels))
    if loss.requires_grad:
        loss.backward()
    return loss.item(), scores.detach()


def evaluate_batch(
    model: Layered, events: ReadsAsEvents, index: Index, readout: str = ""
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a batch forward; return class scores (batch, classes) and spikes (batch, layers)."""
    layout = ParameterLayout.of(model, checked_readout(model, readout))
    index = checked_index(model, events, index)
    batch = batch_of(events, index)
    n_workers = workers_for(batch, layout, n_groups=len(index))
    results = new_results(batch, layout, len(index), n_workers)
    compute(batch, layout.pack(model), results, nothing_given(layout), n_workers)
    return torch.from_numpy(results.scores), torch.from_numpy(results.n_spikes)


def record(model: Layered, events: ReadsAsEvents, index: Index, hidden: bool = True) -> LayerStates:
    """Run a batch forward and keep the states, with gradients, as `LayeredNetwork.record` does."""
    index = checked_index(model, events, index)
    run = Run(model, batch_of(events, index), hidden)
    states = _Recording.apply(run, *trained(model))
    n_layers = len(states) // 2
    spks = states[:n_layers]
    mems = states[n_layers:]
    return LayerStates(spks[-1], mems[-1], spks[:-1], mems[:-1])


class Run:
    """A batch that was computed, with what its backward pass needs."""

    def __init__(self, model: Layered, batch: kernels.Batch, hidden: bool) -> None:
        self.model = model
        self.batch = batch
        self.layout = ParameterLayout.of(model)
        self.network = self.layout.pack(model)
        layers = self.layout.layers
        self.recorded = range(len(layers)) if hidden else range(len(layers) - 1, len(layers))
        self.gives_derivatives = any(layer.surrogate == kernels.GIVEN for layer in layers)
        first = 0 if hidden or self.gives_derivatives else len(layers) - 1
        n_kept = self.layout.n_states(batch.n_steps, first)
        n_utterances = len(batch.utterances)
        n_workers = workers_for(batch, self.layout, n_utterances)
        results = new_results(batch, self.layout, n_utterances, n_workers, n_kept=n_kept)
        compute(batch, self.network, results, nothing_given(self.layout), n_workers)
        self.kept = results.kept
        self.is_silent = [LayeredNetwork.accumulates_only(lif) for _, lif in model.layers]

    def membranes(self, i: int) -> np.ndarray:
        """Return a layer's membranes, (batch, steps, neurons), a view."""
        return self.layout.membranes(i, self.kept, self.batch.n_steps)

    def recording(self) -> tuple[torch.Tensor, ...]:
        """Return spikes of the recorded layers, then their membranes, (steps, batch, neurons)."""
        spks = []
        mems = []
        for i in self.recorded:
            # by numpy: torch would start threads, which wait for each other on a busy machine
            mem = np.ascontiguousarray(self.membranes(i).transpose(1, 0, 2))
            threshold = self.model.layers[i][1].threshold.detach().numpy()
            mems.append(torch.from_numpy(mem))
            spks.append(torch.from_numpy((mem - threshold > 0).astype(np.float32)))
        return (*spks, *mems)

    def gradients(self, errors: Errors) -> list[torch.Tensor]:
        """Return the gradients of what is `trained`, given those with respect to `recording`."""
        layout = self.layout
        n_groups = groups_for(self.batch.utterances)
        n_workers = workers_for(self.batch, layout, n_groups)
        results = new_results(self.batch, layout, n_groups, n_workers, layout.n_parameters)
        given = self._given(errors)
        compute(self.batch, self.network, results, given, n_workers)
        return layout.gradients(self.model, results.gradients.sum(axis=0))

    def _given(self, errors: Errors) -> kernels.Given:
        """Return gradients as the kernels read them; None if the loss doesn't depend on a state."""
        n_layers = len(self.layout.layers)
        at = {"spk": np.full(n_layers, -1), "mem": np.full(n_layers, -1)}
        parts = [np.empty(0, np.float32)]
        length = 0
        half = len(errors) // 2
        for name, of_states in (("spk", errors[:half]), ("mem", errors[half:])):
            for i, error in zip(self.recorded, of_states, strict=True):
                if error is None or (name == "spk" and self.is_silent[i]):
                    continue
                at[name][i] = length
                parts.append(error.numpy().transpose(1, 0, 2).ravel())
                length += error.numel()
        return kernels.Given(
            memory=np.concatenate(parts),
            spk_at=at["spk"],
            mem_at=at["mem"],
            derivatives=self._derivatives(),
        )

    def _derivatives(self) -> np.ndarray:
        """Return the derivatives of surrogates that the kernels don't know."""
        layers = self.layout.layers
        if not self.gives_derivatives:
            return np.empty((0, 0), np.float32)
        derivatives = aligned(*self.kept.shape)
        derivatives[:] = 0
        for i, (_, lif) in enumerate(self.model.layers):
            if layers[i].surrogate == kernels.GIVEN:
                threshold = lif.threshold.detach()
                target = self.layout.membranes(i, derivatives, self.batch.n_steps)
                for b, mem in enumerate(self.membranes(i)):  # one utterance fits into the cache
                    distance = torch.from_numpy(mem) - threshold
                    target[b] = derivative_at(lif.spike_grad, distance).numpy()
        return derivatives


class _Recording(torch.autograd.Function):
    """The spikes and membranes of a `Run`, as a function of the parameters that are trained."""

    @staticmethod
    def forward(ctx: Any, run: Run, *parameters: torch.Tensor) -> tuple[torch.Tensor, ...]:
        ctx.run = run
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*parameters)
        return run.recording()

    @staticmethod
    def backward(ctx: Any, *errors: torch.Tensor | None) -> Errors:
        refuse_second_derivatives()
        if ctx.saved_tensors:  # raises an error if one was changed in place
            gradients = ctx.run.gradients(errors)
        return (None, *gradients)


def refuse_second_derivatives() -> None:
    """Raise RuntimeError in a backward pass that is itself to be differentiated."""
    if torch.is_grad_enabled():  # as with create_graph=True, and only then
        raise RuntimeError(
            "create_graph=True: the compiled engine has no second derivatives. Leave it out, or "
            "use snnTorch's loop over the steps"
        )


def refuse_transforms() -> None:
    """Raise RuntimeError within torch.func's transforms, which can't see into the kernels."""
    if torch._C._are_functorch_transforms_active():
        raise RuntimeError(
            "torch.func can't transform what the compiled engine computes. Use loss.backward() or "
            "torch.autograd.grad, or snnTorch's loop over the steps"
        )


def refuse_autocast() -> None:
    """Raise RuntimeError where torch would compute products in another format than float32."""
    if torch.is_autocast_enabled("cpu"):
        raise RuntimeError(
            "autocast: the compiled engine computes in float32. Call it outside of torch.autocast"
        )


def checked_readout(model: Layered, readout: str) -> str:
    """Return what class scores are made of, by default the network's, after checking it."""
    readout = readout or model.readout
    if readout == "spikes" and LayeredNetwork.accumulates_only(model.layers[-1][1]):
        raise ValueError(
            "readout 'spikes': the last layer never spikes, because its threshold is infinite. "
            "Give readout='membrane'"
        )
    return readout


def checked_index(model: Layered, events: ReadsAsEvents, index: Index) -> np.ndarray:
    """Return the indices of a batch as an array, after checking that the engine can compute it."""
    check_sizes(model.layers, model.layer_delays)  # which may have been changed
    if reason := unsupported(model):
        raise ValueError(f"The compiled engine can't compute this network: {reason}")
    n_inputs = model.layers[0][0].in_features
    n_delays = len(model.layer_delays[0])
    if events.n_units * n_delays != n_inputs:
        raise ValueError(
            f"The events have {events.n_units} units, but the network was built for "
            f"{n_inputs // n_delays}. Downsample the data as for the network's training, or build "
            f"a network for {events.n_units} units"
        )
    return checked_utterances(index, len(events.offsets) - 1)


def labels_to_train_with(labels: Any, index: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the labels of a batch's utterances, after checking them."""
    labels = np.asarray(labels)
    problem = None
    if labels.shape != index.shape:
        problem = f"there are {labels.size} labels for {len(index)} utterances"
    elif len(labels) == 0:
        problem = "the batch has no utterances"
    elif labels.dtype.kind not in "iu":
        problem = f"the labels are {labels.dtype} instead of whole numbers"
    elif not 0 <= labels.min() <= labels.max() < n_classes:
        problem = f"the labels are from {labels.min()} to {labels.max()}"
    if problem:
        raise ValueError(
            f"events: {problem}. Training needs utterances with labels from 0 to {n_classes - 1}, "
            "because the network has as many classes"
        )
    return labels.astype(np.int64, copy=False)


def batch_of(
    events: ReadsAsEvents, index: np.ndarray, labels: np.ndarray | None = None
) -> kernels.Batch:
    """Return a batch as the kernels read it, with labels if there is a backward pass."""
    events = checked_lists(events)
    return kernels.Batch(
        steps=events.steps,
        units=events.units,
        offsets=events.offsets,
        utterances=index,
        labels=np.empty(0, np.int64) if labels is None else labels,
        has_labels=labels is not None,
        n_steps=events.n_steps,
    )


def nothing_given(layout: ParameterLayout) -> kernels.Given:
    """Return that nothing is given from outside of the kernels."""
    nowhere = np.full(len(layout.layers), -1)
    nothing = np.empty((0, 0), np.float32)
    return kernels.Given(nothing.ravel(), nowhere, nowhere, nothing)


def groups_for(index: np.ndarray) -> int:
    """Return into how many groups a batch is cut, each with gradients of its own."""
    return min(MOST_GROUPS, -(-len(index) // SMALLEST_GROUP))


def workers_for(batch: kernels.Batch, layout: ParameterLayout, n_groups: int) -> int:
    """Return how many threads shall compute a batch: more for more work."""
    n_states = layout.n_states(batch.n_steps)
    # Recurrent weights are all read in each step back: a state takes about 1/16 longer for each.
    n_states += sum(each.recurs * each.width**2 for each in layout.layers) // 16 * batch.n_steps
    n_states *= len(batch.utterances)
    return max(1, min(n_groups, torch.get_num_threads(), n_states // WORTH_A_THREAD))


def new_results(
    batch: kernels.Batch,
    layout: ParameterLayout,
    n_groups: int,
    n_workers: int,
    n_parameters: int = 0,
    n_kept: int = 0,
) -> kernels.Results:
    """Return memory for the results of a batch."""
    n_utterances = len(batch.utterances)
    team = layout.team if n_parameters else 1
    return kernels.Results(
        states=aligned(n_workers, team, layout.n_states(batch.n_steps)),
        kept=aligned(n_utterances, n_kept),
        gradients=aligned(n_groups, n_parameters),
        losses=np.zeros(n_utterances),
        scores=np.zeros((n_utterances, layout.layers[-1].n_neurons), np.float32),
        n_spikes=np.empty((n_utterances, len(layout.layers)), np.int64),
        is_valid=np.empty(n_utterances, np.bool_),
    )


def compute(
    batch: kernels.Batch,
    network: kernels.Network,
    results: kernels.Results,
    given: kernels.Given,
    n_workers: int,
) -> None:
    """Compute a batch, with several threads if it is worth them, and write the results."""
    extras = True if (network.layers["adapts"] | network.layers["recurs"]).any() else None
    in_threads(kernels.work, n_workers, batch, network, results, given, extras)
    if not results.is_valid.all():
        raise ValueError(
            "events: some are out of order, or outside of the grid of steps and units. Sort each "
            "utterance's events by step, and check n_steps and n_units"
        )


def in_threads(work: Callable[..., None], n_workers: int, *arguments: Any) -> None:
    """Let several threads do their shares of some work, one of them this thread."""
    announce(work, 0, n_workers, *arguments)
    if n_workers > 1:
        end_waiting_threads()
    with ThreadPoolExecutor(max(1, n_workers - 1)) as pool:  # starts threads only when needed
        others = [
            pool.submit(work, worker, n_workers, *arguments) for worker in range(1, n_workers)
        ]
        work(0, n_workers, *arguments)
    for other in others:
        other.result()  # raises what the thread has raised


SOFT_PAUSE = 1  # OpenMP's omp_pause_soft: what torch has set stays


@cache
def _openmps_pause() -> Callable[[int], int] | None:
    """Return the function of torch's OpenMP library that ends threads.

    None if torch came without such a library, or with one that is older than OpenMP 5.0.
    """
    for path in (Path(torch.__file__).parent / "lib").glob("libgomp*.so*"):
        return getattr(ctypes.CDLL(str(path)), "omp_pause_resource_all", None)
    return None


def end_waiting_threads() -> bool:
    """End the threads of torch that wait for work; torch starts others when it needs them.

    After each operation, such as a loss, they wait actively for some milliseconds, on cores that
    the engine's threads need. Return whether they could be ended.
    """
    pause = _openmps_pause()
    return pause is not None and pause(SOFT_PAUSE) == 0


# The classes of neurons that the compiled engine supports. Subclasses are refused.
COMPILED_NEURONS = (Leaky, RLeaky, AdaptiveLeaky)


def unsupported(model: Layered) -> str | None:
    """Say why the compiled engine can't compute a network.

    It computes layers of `Leaky` or `AdaptiveLeaky` neurons with per-neuron, learned or unequal
    betas and thresholds. Each layer may have delays and a surrogate of its own.
    """
    if isinstance(model, LayeredNetwork):
        if reason := unfamiliar_component(model, COMPILED_NEURONS):
            return reason
        if any(lif.init_hidden for _, lif in model.layers):
            return "its neurons keep their state (init_hidden)"
    elif reason := unfamiliar_layer(model.layers, COMPILED_NEURONS):
        return reason
    return unsupported_layers(model.layers)


def unsupported_layers(layers: Layers) -> str | None:
    """Say what in the layers of a network the kernels don't have."""
    for i, (fc, lif) in enumerate(layers, start=1):
        if reason := (
            _unsupported_modules(i, fc, lif)
            or _unsupported_weights(i, fc, lif)
            or _unsupported_neurons(i, lif)
        ):
            return reason
    return None


def _unsupported_modules(i: int, fc: Weights, lif: Leaky) -> str | None:
    """Say what is unusual about how layer i is called."""
    for module, name in ((fc, f"fc{i}"), (lif, f"lif{i}")):
        if problem := unusual_call(module):
            return f"{name} {problem}"
    if not isinstance(fc.weight, nn.Parameter) and not isinstance(fc, LearnedDelays):
        return f"fc{i} is not a plain Linear layer"
    return None


def _unsupported_weights(i: int, fc: Weights, lif: Leaky) -> str | None:
    """Say what is unusual about the tensors of layer i."""
    weight = fc.weight
    tensors = [weight, lif.beta, lif.threshold, *lif.parameters()]
    if problem := _unsupported_shapes(i, fc, weight, lif):
        return problem
    if fc.bias is not None:
        tensors.append(fc.bias)
    if any(tensor._backward_hooks for tensor in tensors):
        return f"a parameter of layer {i} has hooks. Remove them"
    if any(tensor.device.type != "cpu" for tensor in tensors):
        return f"its parameters are on the device {weight.device}"
    if isinstance(lif, AdaptiveLeaky):
        per_neuron = [lif.left, lif.from_mem, lif.from_spk]
        if any(tensor.shape != (fc.out_features,) for tensor in per_neuron):
            return f"the adaptation of lif{i} isn't one of {fc.out_features} neurons"
        tensors += per_neuron
    if any(tensor.dtype != torch.float32 and tensor.dim() for tensor in tensors):
        return f"layer {i} is not in float32"
    shapes = {(), (1,), (fc.out_features,)}
    if lif.beta.shape not in shapes or lif.threshold.shape not in shapes:
        return f"the beta or threshold of lif{i} is neither one number nor one per neuron"
    return None


def _unsupported_shapes(i: int, fc: Weights, weight: torch.Tensor, lif: Leaky) -> str | None:
    """Say which weights of layer i aren't of its shape, as they are if they were replaced."""
    wanted = (fc.out_features, fc.in_features)
    if isinstance(fc, ChannelConv1d):
        if i > 1:
            return f"fc{i} is a ChannelConv1d, which only the first layer can be"
        wanted = (fc.sizes.n_channels, fc.sizes.n_delays * fc.sizes.kernel_size)
    if weight.shape != wanted or (fc.bias is not None and fc.bias.shape != wanted[:1]):
        return f"the weights of fc{i} have the shape {tuple(weight.shape)} instead of {wanted}"
    square = (fc.out_features, fc.out_features)
    if isinstance(lif, RLeaky) and lif.all_to_all and lif.recurrent.weight.shape != square:
        return f"the recurrent weights of lif{i} haven't the shape {square}"
    return None


def _unsupported_neurons(i: int, lif: Leaky) -> str | None:
    """Say which option of snntorch's neurons in layer i the kernels don't have."""
    # Leaky's attribute reset_mechanism can be changed later, but that changes nothing in it.
    subtracts = lif.state_function.__name__ == "_base_sub"
    if not lif.reset_delay or (resets(lif) and not subtracts):
        return (
            f"lif{i} doesn't subtract its threshold one step after a spike, as it does with "
            "reset_mechanism='subtract' and reset_delay=True. `engine.scan` has all resets"
        )
    if isinstance(lif, RLeaky):
        if problem := unusual_recurrence(lif):
            return f"lif{i} {problem}"
        if LayeredNetwork.accumulates_only(lif):
            return f"lif{i} has recurrent weights, but never spikes"
    return unusual_option(lif, f"lif{i}")


def unusual_call(module: nn.Module) -> str | None:
    """Say what a module's call does that no kernel does."""
    for name, value in vars(module).items():
        if callable(value) and hasattr(type(module), name) and not name.startswith("_"):
            return f"has a {name} that was replaced. Remove it"
    return added_to_call(module)


def added_to_call(module: nn.Module) -> str | None:
    """Say what a module's call does beside its forward."""
    if nn.utils.parametrize.is_parametrized(module):
        return (
            "has parametrized weights. Fold them in by "
            "torch.nn.utils.parametrize.remove_parametrizations"
        )
    if has_hooks(module):
        return (  # pruning and older kinds of normalization compute weights in a hook
            "has hooks. Remove them, those of torch.nn.utils by prune.remove, remove_weight_norm "
            "or remove_spectral_norm"
        )
    return None


def has_hooks(module: nn.Module) -> bool:
    """Tell whether a module has hooks, which the engine wouldn't call."""
    forward = module._forward_hooks or module._forward_pre_hooks
    return bool(forward or module._backward_hooks or module._backward_pre_hooks)


def unusual_recurrence(lif: RLeaky) -> str | None:
    """Say which recurrent weights no kernel has."""
    if problem := unusual_call(lif.recurrent):
        return f"has recurrent weights, whose module {problem}"
    if lif.all_to_all and type(lif.recurrent) is not nn.Linear:
        return "has recurrent weights that are no nn.Linear"
    return None


def unusual_option(lif: Any, name: str) -> str | None:
    """Say which option of snntorch's neurons no kernel has."""
    for option in ("inhibition", "state_quant"):
        if getattr(lif, option):
            return f"{name} has the option {option}, which must be False"
    if lif.graded_spikes_factor.requires_grad or (lif.graded_spikes_factor != 1).any():
        return (
            f"the spikes of {name} are graded. Leave its graded_spikes_factor at 1, and "
            "learn_graded_spikes_factor at False"
        )
    if problem := not_a_step(lif.spike_grad):
        return f"the surrogate of {name} {problem}"
    return None
