"""Which engine runs a network, and how two of them compare."""

import time
import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch

from shd_helpers.events.downsample import Events
from shd_helpers.network import convolutional
from shd_helpers.network.convolutional import ConvolutionalNetwork
from shd_helpers.network.engines import fused, loop
from shd_helpers.network.spiking import SpikingNetwork

ENGINES = ("fused", "snntorch")
Network = SpikingNetwork | ConvolutionalNetwork
Index = Sequence[int] | np.ndarray


class Engine(Protocol):
    """What a module must have to run the kinds of network that it can run."""

    def forward_backward(
        self, model: Any, events: Events, index: Index
    ) -> tuple[float, torch.Tensor]:
        """Leave the gradients in the parameters; return mean loss and scores (batch, classes)."""

    def evaluate_batch(
        self, model: Any, events: Events, index: Index
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return class scores (batch, classes) and numbers of spikes (batch, layers)."""


def choose_engine(name: str, model: Network) -> Engine:
    """Return the module that runs the network.

    Parameters
    ----------
    name : str
        ``"snntorch"``, the readable loop, or ``"fused"``, the same arithmetic compiled.
    model : SpikingNetwork or ConvolutionalNetwork
        What the compiled engine can't do is done by the loop, with a warning that says why. A
        network without spikes is run by torch, whatever the name.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    if name not in ENGINES:
        raise ValueError(f"engine {name!r}: unknown; take one of {', '.join(ENGINES)}")
    if isinstance(model, ConvolutionalNetwork):
        return convolutional
    if name == "snntorch":
        return loop
    if reason := fused.unsupported_reason(model):
        warnings.warn(f"snntorch's loop runs, not the fused engine: {reason}", stacklevel=2)
        return loop
    return fused


def compare_engines(model: SpikingNetwork, events: Events, index: np.ndarray) -> pd.DataFrame:
    """Take one training step's gradients and spikes with each engine; nothing is updated.

    Parameters
    ----------
    model : SpikingNetwork
        Any network that the compiled engine can run.
    events : Events
        Utterances.
    index : ndarray
        Which of them are the batch, shape (batch,).

    Returns
    -------
    DataFrame
        A row per engine: `loss` (nats), `spikes` (all layers, neurons and steps), `gradient_error`
        (distance from snntorch's gradients over their length), `step_s` (median of 3, seconds).
    """
    rows, gradients = {}, {}
    for name in ENGINES:
        run = choose_engine(name, model)
        loss, _ = run.forward_backward(model, events, index)  # compiles on the first call ever
        gradients[name] = torch.cat(
            [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        ).cpu()
        times = []
        for _ in range(3):
            start = time.perf_counter()
            run.forward_backward(model, events, index)
            times.append(time.perf_counter() - start)
        spikes = int(run.evaluate_batch(model, events, index)[1].sum())
        rows[name] = {"loss": loss, "spikes": spikes, "step_s": float(np.median(times))}
    wanted = gradients["snntorch"]
    for name, row in rows.items():
        row["gradient_error"] = float((gradients[name] - wanted).norm() / wanted.norm())
    return pd.DataFrame(rows).T
