"""Train SE-adLIF's published network for SHD through `scan`, on the study's `hd`.

Baronig et al. (2025), "Advancing spatio-temporal processing through adaptation in spiking neural
networks". Input, layers, loss and optimizer are those of the authors' public code
(IGITUGraz/SE-adlif@e980397, the experiment SHD_SE_adLIF). Three things differ. Every utterance has
250 steps, so spikes after one second are cut off. An epoch's last, smaller batch trains, too. And
no epoch is selected: the authors report the epoch that is best on the test file.

Type ``python -m engine_examples.se_adlif --epochs 5 --held-out 0`` in the folder packages/engine.
"""

import argparse
from dataclasses import replace

import numpy as np
import torch
from snntorch import surrogate
from torch import nn

import shd_engine as engine
from shd_helpers import Downsampling, Events, TrainConfig, TrainOptions, evaluate, fit, load_events
from shd_judge import five_folds

PUBLISHED_EPOCHS = 300
UNSCORED_STEPS = 10  # at the beginning of an utterance
ALL_SPIKES = Downsampling(first_unit=0, pool_units=1, pool_steps=1, pool_threshold=1)


def exponential(x: torch.Tensor, error: torch.Tensor, spk: torch.Tensor) -> torch.Tensor:
    """Return the gradient of the spikes, whose derivative is taken to be exp(-5 |x|)."""
    return error * torch.exp(-5 * x.abs())


class Published(nn.Module):
    """Two recurrent layers of adaptive neurons, and leaky integrators without spikes."""

    def __init__(self, n_units: int, n_classes: int, n_hidden: int = 360) -> None:
        super().__init__()
        spike_grad = surrogate.custom_surrogate(exponential)
        self.fc1 = nn.Linear(n_units, n_hidden)
        self.lif1 = engine.RSEAdLIF(n_hidden, spike_grad=spike_grad)
        self.fc2 = nn.Linear(n_hidden, n_hidden)
        self.lif2 = engine.RSEAdLIF(n_hidden, spike_grad=spike_grad)
        self.out = nn.Linear(n_hidden, n_classes)
        self.dropout = nn.Dropout(0.15)
        for layer in (self.fc1, self.fc2, self.out):
            nn.init.zeros_(layer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return class scores: how probable each class is, summed over the steps."""
        spk, _ = engine.scan(self.fc1(x), self.lif1)
        spk, _ = engine.scan(self.fc2(self.dropout(spk)), self.lif2)
        left = np.exp(-1 / 15)  # of the integrators' membranes, after a step
        mem, mems = 0, []
        currents = self.out(self.dropout(spk))
        for current in currents:
            mem = left * mem + (1 - left) * current
            mems.append(mem)
        return torch.stack(mems[UNSCORED_STEPS:]).softmax(-1).sum(0)


def adam(net: nn.Module) -> torch.optim.Optimizer:
    """Return Adam with clipped gradients, which keeps the neurons' parameters in their ranges."""

    def clip(*_):
        nn.utils.clip_grad_norm_(net.parameters(), 1.5)

    @torch.no_grad()
    def keep_in_range(*_):
        for neuron in (net.lif1, net.lif2):
            for parameter in (neuron.mem_share, neuron.adapt_share, neuron.a):
                parameter.clamp_(0, 1)
            neuron.b.clamp_(0, 2)

    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    optimizer.register_step_pre_hook(clip)
    optimizer.register_step_post_hook(keep_in_range)
    return optimizer


def constant_rate(
    optimizer: torch.optim.Optimizer, epochs: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """Return a schedule that never changes the learning rate."""
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1)


OPTIONS = TrainOptions(engine="snntorch", optimizer=adam, schedule=constant_rate)


def counted(events: Events) -> Events:
    """Count the spikes of five channels and 4 ms in each entry, from the first spike on."""
    first = np.repeat(events.steps[events.offsets[:-1]], np.diff(events.offsets))
    steps, units = (events.steps - first) // 4, events.units // 5
    utterance = np.repeat(np.arange(len(events)), np.diff(events.offsets))
    order = np.lexsort((units, steps, utterance))
    return replace(
        events, steps=steps[order], units=units[order], n_steps=250, n_units=140, step_ms=4.0
    )


def utterances(dataset: str) -> Events:
    """Load the utterances of the training file as the published network reads them."""
    events = load_events(dataset, "both", ALL_SPIKES)
    return counted(events.take(np.flatnonzero(events.file == 0)))


def main() -> None:
    """Train on four fifths of the speakers, and test on the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="hd", help="or a folder")
    parser.add_argument("--epochs", type=int, default=PUBLISHED_EPOCHS)
    parser.add_argument("--held-out", type=int, default=0, help="the fold, from 0 to 4")
    given = parser.parse_args()
    events = utterances(given.dataset)
    fold = five_folds(events.speakers)[given.held_out]
    training, test = events.take(fold.training), events.take(fold.test)
    torch.manual_seed(0)
    net = Published(events.n_units, len(events.class_names))
    config = TrainConfig(epochs=given.epochs, batch_size=256)
    fit(net, training, None, config, torch.Generator().manual_seed(0), options=OPTIONS)
    print(f"{fold.name}: {evaluate(net, test, OPTIONS.engine).accuracy:.1%}")


if __name__ == "__main__":
    main()
