"""The original study in one file, from the spikes to its figures: python study.py [EPOCHS].

It trains a small spiking network on the 640 spoken digits that this repository contains, and asks
whether it is still accurate on 183 x 333 inputs instead of 700 x 1000. Notebooks 1 to 4 explain
each step. It takes a minute or two, and writes three figures to img_of_study/.
"""

import sys
from pathlib import Path

import h5py
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import snntorch as snn
import torch
from snntorch import surrogate

import shd_engine as engine
from shd_helpers.data import obtain

EPOCHS = int(sys.argv[1]) if len(sys.argv) > 1 else 30
COMBINATIONS = [(1e-3, EPOCHS), (2e-3, EPOCHS), (1e-3, max(1, EPOCHS // 3))]  # rate, epochs
FIRST_UNIT, POOL, THRESHOLD = 150, 3, 2  # 0, 1 and 1 are the whole input, 700 x 1000
HIDDEN, BETA, SLOPE, BATCH = 256, 0.95, 2.0, 8
WORDS = b"zero one two three four five six seven eight nine".split()

# --- 1. Load: an utterance is a list of spikes, each a time in seconds and one of 700 units ------

torch.manual_seed(0)
torch.set_num_threads(1)
(FIGURES := Path("img_of_study")).mkdir(exist_ok=True)
training_file, _ = obtain("digits")  # the repository has its content
with h5py.File(training_file) as file:
    times = file["spikes/times"][:]
    units = file["spikes/units"][:]
    classes = file["extra/keys"][:][file["labels"][:]]  # names such as b"three"
labels = torch.tensor([WORDS.index(name) for name in classes])
print(f"{len(labels)} utterances, {sum(map(len, times)):,} spikes")

figure, axes = plt.subplots(1, 3, figsize=(12, 3.5), layout="constrained")
axes[0].hist(1000 * np.concatenate(times), bins=50)
axes[0].set(xlabel="time of a spike (ms)", ylabel="spikes")
axes[1].hist(np.concatenate(units), bins=50)
axes[1].set(xlabel="unit of a spike", ylabel="spikes")
axes[2].plot(1000 * times[0], units[0], ".", markersize=1)
axes[2].set(title=classes[0].decode(), xlabel="time (ms)", ylabel="unit")
figure.savefig(FIGURES / "spikes.png")


# --- 2. Downsample: drop units, cut time into bins of 1 ms, count spikes in blocks of 3 x 3 -------
def frames_of(utterance):
    """Return the input of the network: (steps, units), 1 where a block has enough spikes."""
    bins = (1000 * times[utterance].astype(float)).astype(int)
    kept = (bins < 1000) & (units[utterance] >= FIRST_UNIT)
    matrix = np.zeros((1000, 700 - FIRST_UNIT))
    matrix[bins[kept], units[utterance][kept] - FIRST_UNIT] = 1
    n_steps, n_units = np.array(matrix.shape) // POOL
    blocks = matrix[: n_steps * POOL, : n_units * POOL].reshape(n_steps, POOL, n_units, POOL)
    return blocks.sum((1, 3)) >= THRESHOLD


frames = torch.from_numpy(np.stack([frames_of(i) for i in range(len(labels))], axis=1))
print("frames (steps, utterances, units):", tuple(frames.shape))
order = torch.randperm(len(labels))  # a tenth validates
validation, training = order[: len(order) // 10], order[len(order) // 10 :]


# --- 3. The network: two layers of LIF neurons. A surrogate replaces the gradient of a spike ------
class SNN(torch.nn.Module):
    """Frames (steps, utterances, units) to spikes and membranes of the ten output neurons."""

    def __init__(self):
        super().__init__()
        spike_grad = surrogate.fast_sigmoid(slope=SLOPE)
        self.fc1 = torch.nn.Linear(frames.shape[2], HIDDEN)
        self.lif1 = snn.Leaky(beta=BETA, spike_grad=spike_grad)
        self.fc2 = torch.nn.Linear(HIDDEN, len(WORDS))
        self.lif2 = snn.Leaky(beta=BETA, spike_grad=spike_grad)
        for layer in (self.fc1, self.fc2):
            torch.nn.init.xavier_uniform_(layer.weight)
            torch.nn.init.zeros_(layer.bias)

    def forward(self, frames):
        mem1, mem2 = self.lif1.reset_mem(), self.lif2.reset_mem()
        spikes, membranes = [], []
        for frame in frames:
            spk1, mem1 = self.lif1(self.fc1(frame), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spikes.append(spk2)
            membranes.append(mem2)
        return torch.stack(spikes), torch.stack(membranes)


# --- 4. Train and validate: cross-entropy of spike counts, Adam, a rate that halves every 5 epochs -
def run_epoch(net, utterances, optimizer=None):
    """Return loss and accuracy over some utterances; with an optimizer, update the weights."""
    loss_sum = n_right = 0
    for batch in utterances.split(BATCH):
        spikes, _ = net(frames[:, batch].float())
        counts = spikes.sum(0)
        loss = torch.nn.functional.cross_entropy(counts, labels[batch])
        if optimizer:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        loss_sum += loss.item() * len(batch)
        n_right += (counts.argmax(1) == labels[batch]).sum().item()
    return loss_sum / len(utterances), 100 * n_right / len(utterances)


def train(lr, epochs):
    """Return (loss, accuracy) after each epoch, of training and validation, and the weights."""
    net = SNN()
    fast = engine.compile(net)  # the same network, many times as fast
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=5, gamma=0.5)
    curves, weights = [], [net.fc1.weight.detach().clone()]
    for _ in range(epochs):
        shuffled = training[torch.randperm(len(training))]
        while_training = run_epoch(fast, shuffled, optimizer)
        with torch.no_grad():
            curves.append((while_training, run_epoch(fast, validation)))
        scheduler.step()
        weights.append(net.fc1.weight.detach().clone())
    return np.array(curves), weights


results = {}
for lr, epochs in COMBINATIONS:
    results[lr, epochs] = curves, weights = train(lr, epochs)
    print(f"learning rate {lr:g}, {epochs} epochs: {curves[-1, 1, 1]:.0f} % in validation")

# --- 5. Look at it: accuracy and loss, weights over the epochs, weight matrices ------------------

curves, weights = results[COMBINATIONS[0]]
figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
for quantity, (axis, name) in enumerate(zip(axes, ("loss", "accuracy (%)"), strict=True)):
    axis.plot(range(1, len(curves) + 1), curves[:, :, quantity], label=["training", "validation"])
    axis.set(xlabel="epoch", ylabel=name)
    axis.legend()
figure.savefig(FIGURES / "accuracy_and_loss.png")

figure, axes = plt.subplots(1, 3, figsize=(12, 3.5), layout="constrained")
for axis, epoch in zip(axes[:2], (1, len(weights) - 1), strict=True):
    sns.heatmap(weights[epoch], center=0, cmap="RdBu_r", vmin=-0.5, vmax=0.5, ax=axis)
    axis.set(title=f"fc1 after epoch {epoch}", xlabel="input unit", ylabel="hidden neuron")
for epoch in (0, len(weights) // 2, len(weights) - 1):
    sns.kdeplot(weights[epoch].flatten()[::10], ax=axes[2], label=f"epoch {epoch}")
axes[2].set(xlabel="weight of fc1", yscale="log", ylim=(1e-3, None))
axes[2].legend()
figure.savefig(FIGURES / "weights.png")
