"""Compile the engine's loops to machine code, before they are needed: ``python -m shd_engine``."""

import snntorch as snn
import torch
from torch import nn

from shd_engine import EventLists, LayeredNetwork, compile, scan

network = LayeredNetwork([(nn.Linear(2, 2), snn.Leaky(beta=0.9))])
compile(network).loss_and_gradients(EventLists.of(torch.ones(2, 1, 2)), [0])
spk, _ = scan(torch.ones(2, 1, 2, requires_grad=True), snn.Leaky(beta=0.9))
spk.sum().backward()
