"""The readable engine: snntorch's neurons in a loop over steps, gradients by autograd.

`shd_helpers.network.engine` computes the same compiled, with the same functions.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from shd_helpers.events.downsample import Events
from shd_helpers.network.spiking import LayerStates, SpikingNetwork


def forward_backward(
    model: SpikingNetwork, events: Events, index: Sequence[int] | np.ndarray
) -> tuple[float, torch.Tensor]:
    """Run a batch forward and backward and leave the gradients in the parameters' ``.grad``.

    Returns the mean cross-entropy of the class scores (nats), and these, (batch, classes).
    """
    model.zero_grad()
    recording = model(torch.from_numpy(events.to_frames(index)))
    scores = model.scores(recording)
    loss = functional.cross_entropy(scores, torch.from_numpy(events.labels[index]))
    loss.backward()
    return loss.item(), scores.detach()


@torch.no_grad()
def evaluate_batch(
    model: SpikingNetwork, events: Events, index: Sequence[int] | np.ndarray
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the class scores (batch, classes) and all spikes per layer (batch, layers)."""
    recording = record(model, events, index)
    layers = [*recording.hidden_spk, recording.spk]
    return model.scores(recording), torch.stack([spk.sum((0, 2)) for spk in layers], dim=1)


def record(model: SpikingNetwork, events: Events, index: Sequence[int] | np.ndarray) -> LayerStates:
    """Return spikes and membranes of all layers at every step, shapes as in `LayerStates`."""
    return model(torch.from_numpy(events.to_frames(index)), record_hidden=True)
