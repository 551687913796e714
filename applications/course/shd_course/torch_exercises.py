"""The exercises with PyTorch, of notebooks 2 and 3: their inputs, and what is compared.

The inputs are small multiples of powers of two, so that every correct order of a sum gives the same
bits. They begin with the smallest, so that the first one that fails is short enough to be shown.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import snntorch
import torch

from shd_course.array_exercises import Case, Exercise, WrongKindError


class _Spike(torch.autograd.Function):
    """A step whose gradient is replaced by a power of two."""

    @staticmethod
    def forward(ctx: Any, distance: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(distance)
        return (distance > 0).float()

    @staticmethod
    def backward(ctx: Any, *errors: torch.Tensor) -> torch.Tensor:
        (distance,) = ctx.saved_tensors
        return errors[0] * torch.where(distance.abs() < 0.5, 1.0, 0.25)


def _lif_cases() -> list[Case]:
    """Return the inputs on which `lif` is checked, the smallest first."""
    many = torch.randint(-4, 20, (7, 2, 4), generator=torch.Generator().manual_seed(0)) / 16
    many[:2, 0, 0] = torch.tensor([1.0, 0.5])  # just at the threshold
    single = torch.tensor([1.0, 0.5, 1.5, 0.25])  # one neuron
    spike = _Spike.apply
    return [
        Case({"currents": single, "beta": 0.75, "spike": spike}),
        Case({"currents": many, "beta": 0.75, "spike": spike}),
    ]


def _lif(function: Callable, currents: torch.Tensor, beta: float, spike: Callable) -> list[Any]:
    """Return spikes and membranes, and the gradient of the currents."""
    currents.requires_grad_()
    returned = function(currents, beta, spike)
    if returned is None:
        return [None] * 3
    if isinstance(returned, torch.Tensor) or len(returned) != 2:
        raise WrongKindError("return two tensors: spikes, membranes.")
    spikes, membranes = returned
    if isinstance(spikes, torch.Tensor) and spikes.requires_grad:
        errors = torch.arange(spikes.numel()).reshape(spikes.shape) % 5 - 2.0
        (spikes * errors).sum().backward()
    return [spikes, membranes, 0.0 if currents.grad is None else currents.grad]


def _surrogate_cases() -> list[Case]:
    """Return the inputs on which `surrogate_gradient` is checked, the smallest first."""
    distance = torch.tensor([-3.5, -1.5, -0.5, 0.0, 0.5, 1.5, 3.5])
    error = torch.tensor([1.0, -0.5, 0.75, 0.25, 2.0, -3.0, 1.5])
    return [
        Case({"error": error[1:4], "distance": distance[1:4], "slope": 2.0}),
        Case({"error": error, "distance": 2 * distance, "slope": 1.0}),
    ]


def _surrogate_gradient(
    function: Callable, error: torch.Tensor, distance: torch.Tensor, slope: float
) -> list[Any]:
    return [function(error, distance, slope)]


class _SmallNetwork(torch.nn.Module):
    """One layer without memory: frames (steps, utterances, 4) to spikes and membranes of 3 neurons.

    Both have the shape (steps, utterances, 3).
    """

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(weight.clone())

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        membranes = frames @ self.weight
        return _Spike.apply(membranes - 1), membranes


def _train_epoch_cases() -> list[Case]:
    """Return the inputs on which `train_epoch` is checked, the smallest first."""
    generator = torch.Generator().manual_seed(1)
    frames = torch.randint(0, 2, (6, 5, 4), generator=generator).float()
    weight = torch.randint(-12, 24, (4, 3), generator=generator) / 16
    labels = torch.tensor([0, 2, 1, 1, 0])
    batches = [  # whose steps don't tell the number of utterances
        (frames[n_left_out:, i], labels[i]) for n_left_out, i in enumerate(torch.arange(5).split(2))
    ]
    return [
        Case({"weight": weight, "batches": batches[:1]}, "a single batch of two utterances"),
        Case(
            {"weight": weight, "batches": batches},
            "three batches of two, two and one utterances",
        ),
    ]


def _train_epoch(
    function: Callable, weight: torch.Tensor, batches: list[tuple[torch.Tensor, torch.Tensor]]
) -> list[Any]:
    """Return the weights and the loss after all batches."""
    model = _SmallNetwork(weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.25)
    loss = function(model, batches, optimizer)
    if loss is None:
        return [None if torch.equal(model.weight, weight) else model.weight, np.nan]
    if isinstance(loss, torch.Tensor):
        raise WrongKindError("the loss is a tensor; return a number: loss.item().")
    return [model.weight, loss]


def _two_layer_cases() -> list[Case]:
    """Return the inputs on which `TwoLayerSNN` is checked, the smallest first."""
    generator = torch.Generator().manual_seed(2)
    frames = torch.randint(0, 2, (8, 3, 4), generator=generator).float()
    return [
        Case(
            {"sizes": (1, 2, 3), "frames": frames[:4, :1, :1]},
            "one input, two hidden neurons, three classes",
        ),
        Case(
            {"sizes": (4, 5, 3), "frames": frames},
            "four inputs, five hidden neurons, three classes",
        ),
    ]


def _two_layers(function: Callable, sizes: tuple[int, int, int], frames: torch.Tensor) -> list[Any]:
    """Return a network's parameters, spikes, membranes, gradients, and how many layers spike.

    Spikes and membranes are those of a second call, because a network may keep its membranes.
    """
    model = function(*sizes, 0.75, _Spike.apply)
    parameters = sorted(model.named_parameters())
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():  # the same multiples of 1/8 for every network
        for _, parameter in parameters:
            parameter.copy_(torch.randint(-3, 8, parameter.shape, generator=generator) / 8)
    names = ", ".join(f"{name} {[*parameter.shape]}" for name, parameter in parameters)
    model(frames)
    used = set()
    for module in model.modules():
        if isinstance(module, snntorch.Leaky):
            module.register_forward_hook(lambda neurons, *_: used.add(neurons))
    returned = model(frames)
    if returned is None:
        return [None] * 5
    if isinstance(returned, torch.Tensor) or len(returned) != 2:
        raise WrongKindError("`forward` must return two tensors: output spikes, output membranes.")
    spikes, membranes = returned
    if not isinstance(spikes, torch.Tensor) or not isinstance(membranes, torch.Tensor):
        raise WrongKindError("make one tensor of all steps by torch.stack, for both results.")
    gradients = []
    if spikes.requires_grad:
        errors = torch.arange(spikes.numel()).reshape(spikes.shape) % 5 - 2.0
        (spikes * errors).sum().backward()
    for _, parameter in parameters:
        gradient = parameter.grad
        gradients.append(torch.zeros_like(parameter) if gradient is None else gradient)
    flat = torch.cat([each.flatten() for each in gradients])
    return [names, spikes, membranes, flat, len(used)]


EXERCISES = {
    "lif": Exercise(
        _lif_cases,
        _lif,
        ["spikes", "membranes", "gradient of the currents"],
        "your spikes equal those of the solution, to the last bit.",
    ),
    "surrogate_gradient": Exercise(
        _surrogate_cases,
        _surrogate_gradient,
        ["gradient"],
        "your gradient equals that of the solution, to the last bit.",
    ),
    "TwoLayerSNN": Exercise(
        _two_layer_cases,
        _two_layers,
        [
            "parameters",
            "output spikes",
            "output membranes",
            "gradient of the parameters",
            "layers of neurons",
        ],
        "your spikes, membranes and gradients equal those of the solution, to the last bit.",
    ),
    "train_epoch": Exercise(
        _train_epoch_cases,
        _train_epoch,
        ["weights after the updates", "mean loss"],
        "your weights and your loss equal those of the solution.",
        1e-5,
    ),
}
