"""The engines that run PyTorch modules: frames in, class scores out, gradients by autograd.

A network is any `torch.nn.Module` whose ``forward`` takes frames, zeros and ones of shape (steps,
batch, units), and returns class scores of shape (batch, classes), or the output layer's spikes and
membranes of all steps, of which the spikes are counted. Nothing else is required. The functions
are those of the other engines, so that `study.training` trains every network alike. Frames are
moved to the device that the network's parameters are on.

snntorch's loop is this engine for a `SpikingNetwork`. It also counts the spikes of all layers
(`evaluate_spiking_batch`), which other modules don't tell.
"""

import itertools

import torch
from torch import nn
from torch.nn import functional

from shd_engine import CompiledNetwork, LayeredNetwork, LayerStates
from shd_engine.event_lists import Index
from shd_helpers.events.event_lists import Events


def forward_backward(model: nn.Module, events: Events, index: Index) -> tuple[float, torch.Tensor]:
    """Run a batch forward and backward; leave the gradients in the parameters' ``grad``."""
    model.train()
    model.zero_grad()
    scores = class_scores(model, events, index)
    if not scores.requires_grad:
        raise TypeError(
            f"{_forward(model)} returned class scores without a gradient, so it can't be trained. "
            "It must compute them from its parameters, without argmax, .detach() or torch.no_grad()"
        )
    labels = torch.from_numpy(events.labels[index]).to(scores.device)
    loss = functional.cross_entropy(scores, labels)
    loss.backward()
    return loss.item(), scores.detach().cpu()


@torch.no_grad()
def evaluate_batch(
    model: nn.Module, events: Events, index: Index
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a batch forward."""
    model.eval()
    scores = class_scores(model, events, index)
    return scores.cpu(), torch.zeros(len(index), 2, dtype=torch.int64)


def record(model: nn.Module, events: Events, index: Index) -> LayerStates:
    """Return what a network's own method ``record`` returns for a batch."""
    name = type(model).__name__
    if not can_record(model):
        raise ValueError(
            f"{name} has no method record(frames), so there are no spikes and no membranes to "
            "show. Give it one that returns LayerStates, or leave this figure out"
        )
    model.eval()
    recording = model.record(frames_for(model, events, index))  # type: ignore[operator]
    if not isinstance(recording, LayerStates):
        raise TypeError(f"{name}.record returned {_described(recording)} instead of LayerStates")
    wanted = (events.n_steps, len(index), len(events.class_names))
    for field in ("spk", "mem"):
        shape = tuple(getattr(recording, field).shape)
        if shape != wanted:
            raise TypeError(
                f"{name}.record returned {field} of shape {shape}. Its shape must be {wanted}, "
                "which are (steps, batch, classes)"
            )
    return recording


@torch.no_grad()
def evaluate_spiking_batch(
    model: LayeredNetwork, events: Events, index: Index
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a batch forward; count spikes."""
    recording = model.record(frames_for(model, events, index))
    layers = [*recording.hidden_spk, recording.spk]
    n_spikes = torch.stack([spk.sum((0, 2)) for spk in layers], dim=1)
    return model.scores(recording).cpu(), n_spikes.cpu()


def can_record(model: nn.Module) -> bool:
    """Tell whether a network has a method that returns its spikes and membranes."""
    return callable(getattr(model, "record", None))


def device_of(model: nn.Module) -> torch.device:
    """Return the device that a network computes on."""
    # A generator, because this is called for every batch and the first tensor suffices.
    tensors = itertools.chain(model.parameters(), model.buffers())
    first = next(tensors, None)
    return torch.device("cpu") if first is None else first.device


def frames_for(model: nn.Module, events: Events, index: Index) -> torch.Tensor:
    """Return the frames of a batch on the device of a network."""
    return torch.from_numpy(events.to_frames(index)).to(device_of(model))


def class_scores(model: nn.Module, events: Events, index: Index) -> torch.Tensor:
    """Run a batch forward, check what the network returns, and return it."""
    frames = frames_for(model, events, index)
    module = model.module if isinstance(model, CompiledNetwork) else model
    scores = module(frames)
    if type(scores) is tuple and [getattr(each, "ndim", 0) for each in scores] == [3, 3]:
        scores = scores[0].sum(0)  # of spikes and membranes, the spikes are counted
    wanted = (len(index), len(events.class_names))
    problem = _problem(scores, wanted, tuple(frames.shape))
    if problem:
        raise TypeError(
            f"{_forward(model)} returned {problem}. From frames of shape {tuple(frames.shape)}, "
            f"which are (steps, batch, units), it must compute class scores of shape {wanted}, "
            "which are (batch, classes)"
        )
    if scores.isnan().any():
        n_utterances = int(scores.isnan().any(1).sum())
        raise ValueError(
            f"{_forward(model)} returned NaN as class scores of {n_utterances} of {len(index)} "
            "utterances. Most likely it divides by 0, or takes a logarithm of 0, or, after some "
            "updates, lr is too large"
        )
    return scores


def _forward(model: nn.Module) -> str:
    """Return how messages call a network's method."""
    return f"{type(model).__name__}.forward"


def _problem(scores: object, wanted: tuple[int, int], frames_shape: tuple) -> str | None:
    """Say what a network returned if that can't be class scores of the wanted shape."""
    if scores is None:
        return "None (is a `return` missing?)"
    if not isinstance(scores, torch.Tensor):
        return _described(scores)
    shape = tuple(scores.shape)
    if shape == (frames_shape[0], *wanted):
        return f"a tensor of shape {shape} (take the sum or mean over the steps)"
    if shape != wanted:
        return f"a tensor of shape {shape}"
    if not scores.is_floating_point():
        return f"a tensor of {scores.dtype}, which are no floats"
    return None


def _described(thing: object) -> str:
    """Return what a wrong result is, as part of a sentence."""
    if isinstance(thing, tuple | list):
        return f"a {type(thing).__name__} of {len(thing)}"
    return f"an object of type {type(thing).__name__}"
