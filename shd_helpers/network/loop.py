"""The readable engine: snntorch's neurons in a loop over steps, gradients by autograd.

`shd_helpers.network.compiled_engine` has the same functions, compiled. A training step is that of
`network.module_engine`, because a `SpikingNetwork` maps frames to class scores as any module does.
This engine also counts the network's spikes, which that of other modules can't.
"""

from collections.abc import Sequence

import numpy as np
import torch

from shd_helpers.events.event_lists import Events
from shd_helpers.network.module_engine import forward_backward, frames_for
from shd_helpers.network.spiking import LayerStates, SpikingNetwork

__all__ = ["evaluate_batch", "forward_backward", "record"]


@torch.no_grad()
def evaluate_batch(
    model: SpikingNetwork, events: Events, index: Sequence[int] | np.ndarray
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a batch forward; count spikes."""
    recording = record(model, events, index)
    layers = [*recording.hidden_spk, recording.spk]
    n_spikes = torch.stack([spk.sum((0, 2)) for spk in layers], dim=1)
    return model.scores(recording).cpu(), n_spikes.cpu()


def record(model: SpikingNetwork, events: Events, index: Sequence[int] | np.ndarray) -> LayerStates:
    """Run a batch forward and keep the spikes and membranes of all layers."""
    return model.record(frames_for(model, events, index))
