"""Compile the engine's loops to machine code, before they are needed: ``python -m shd_engine``."""

import snntorch as snn
import torch
from torch import nn

from shd_engine import EventLists, LayeredNetwork, compile, scan

for neurons in (snn.Leaky(beta=0.9), snn.RLeaky(beta=0.9, linear_features=2)):
    network = LayeredNetwork([(nn.Linear(2, 2), neurons)])
    compile(network).loss_and_gradients(EventLists.of(torch.ones(2, 1, 2)), [0])
    spk, _ = scan(torch.ones(2, 1, 2, requires_grad=True), neurons)
    spk.sum().backward()
