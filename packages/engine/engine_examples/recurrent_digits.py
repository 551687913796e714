"""Train a recurrent network on the study's data set `digits`, and test it on unseen speakers.

Type ``python -m engine_examples.recurrent_digits`` in the folder packages/engine.
"""

import argparse
import time

import numpy as np
import snntorch as snn
import torch
from snntorch import surrogate
from torch import nn

import shd_engine as engine

UNSEEN_SPEAKERS = (4, 8, 10, 11)
BATCH_SIZE = 8


class Recurrent(nn.Module):
    """A layer of recurrent neurons and a layer with a neuron for each class."""

    def __init__(self, n_units: int, n_classes: int, n_hidden: int = 128) -> None:
        super().__init__()
        self.fc1 = nn.Linear(n_units, n_hidden)
        self.lif1 = snn.RLeaky(0.95, linear_features=n_hidden, spike_grad=surrogate.fast_sigmoid())
        self.fc2 = nn.Linear(n_hidden, n_classes)
        self.lif2 = snn.Leaky(beta=0.95, reset_mechanism="none")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the mean membranes of the output layer, (batch, classes)."""
        spk1, mem1 = self.lif1.reset_mem()
        mem2 = self.lif2.reset_mem()
        mems = []
        for step in x:
            spk1, mem1 = self.lif1(self.fc1(step), spk1, mem1)
            _, mem2 = self.lif2(self.fc2(spk1), mem2)
            mems.append(mem2)
        return torch.stack(mems).mean(0)


def main() -> None:
    """Train for some epochs, and print a line for each."""
    from shd_helpers import load_events  # the benchmark does without the study

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=10)
    given = parser.parse_args()
    events = load_events("digits")
    labels = torch.from_numpy(events.labels)
    is_unseen = np.isin(events.speakers, UNSEEN_SPEAKERS)
    training, unseen = np.flatnonzero(~is_unseen), np.flatnonzero(is_unseen)
    torch.manual_seed(0)
    net = Recurrent(events.n_units, len(events.class_names))
    fast = engine.compile(net)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    fast.loss_and_gradients(events, labels[:1], [0])  # numba compiles at the first call
    for epoch in range(1, given.epochs + 1):
        start_s = time.perf_counter()
        for batch in torch.randperm(len(training)).split(BATCH_SIZE):
            index = training[batch]
            fast.loss_and_gradients(events, labels[index], index)
            optimizer.step()
        epoch_s = time.perf_counter() - start_s
        accuracy = (fast.evaluate(events, unseen)[0].argmax(1) == labels[unseen]).float().mean()
        print(
            f"epoch {epoch}: {accuracy:.1%} of unseen speakers' digits, {epoch_s:.2f} s", flush=True
        )


if __name__ == "__main__":
    main()
