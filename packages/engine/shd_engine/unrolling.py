"""A network whose forward takes one step, as a network that takes all of them."""

from typing import Any

import snntorch as snn
import torch
from torch import nn

from shd_engine.compiling import compile


class Unrolled(nn.Module):
    """The loop over the steps around a network, from rest on."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, frames: torch.Tensor) -> Any:
        """Return what the network returns in each step, stacked."""
        for module in self.net.modules():
            if isinstance(module, snn.SpikingNeuron):
                module.reset_mem()
        outs = [self.net(frame) for frame in frames]
        if isinstance(outs[0], torch.Tensor):
            return torch.stack(outs)
        return tuple(torch.stack(each) for each in zip(*outs, strict=True))


def unroll(net: nn.Module, *, fallback: bool = False) -> nn.Module:
    """Compile a network whose forward takes one step, so that it takes all steps at once.

    It takes the place of a loop ``utils.reset(net)``, ``for frame in frames: net(frame)``.

    Parameters
    ----------
    net : Module
        A network whose neurons keep their states (``init_hidden=True``). Its forward takes a step's
        input, (batch, ...), and returns a tensor or a tuple.
    fallback : bool
        See `compile`.

    Returns
    -------
    CompiledNetwork or Module
        It takes ``frames``, (steps, batch, ...), and returns what the network returns in each step,
        (steps, batch, ...). For a static image, give ``image.expand(25, *image.shape)``.
    """
    return compile(Unrolled(net), fallback=fallback)
