"""Modules as users of snnTorch write them: some that can be compiled, and some that can't."""

import itertools

import snntorch as snn
import torch
from snntorch import surrogate, utils
from torch import nn
from torch.nn import functional
from torch.nn.utils import prune

from shd_engine import AdaptiveLeaky, scan

N_UNITS, N_HIDDEN, N_CLASSES, N_STEPS = 20, 17, 5, 25


class Pair(nn.Module):
    """Two layers with a loop over the steps that returns spikes and membranes.

    Its methods are what a variant changes.
    """

    def __init__(self, lif1=None, **leaky):
        super().__init__()
        options = {"beta": 0.9} | leaky
        self.fc1 = nn.Linear(N_UNITS, N_HIDDEN)
        self.lif1 = lif1 or snn.Leaky(**options)
        self.fc2 = nn.Linear(N_HIDDEN, N_CLASSES)
        self.lif2 = snn.Leaky(**options)
        for fc in (self.fc1, self.fc2):
            nn.init.xavier_uniform_(fc.weight, gain=2.5)
            nn.init.zeros_(fc.bias)

    def forward(self, x):
        state1 = self.start(x)
        mem2 = self.lif2.reset_mem()
        spks = []
        mems = []
        for step in self.steps(x):
            out = self.lif1(self.currents(step), *map(self.kept, state1))
            state1 = out if isinstance(self.lif1, snn.RLeaky | snn.RSynaptic) else out[1:]
            spk2, mem2 = self.lif2(self.fc2(self.between(out[0])), mem2)
            spks.append(spk2)
            mems.append(mem2)
        return self.result(torch.stack(spks), torch.stack(mems))

    def start(self, x):
        state = self.lif1.reset_mem()
        return state if isinstance(state, tuple) else (state,)

    def steps(self, x):
        return [x[t] for t in range(x.size(0))]

    def currents(self, step):
        return self.fc1(step)

    def kept(self, state):
        return state

    def between(self, spk):
        return spk

    def result(self, spk, mem):
        return spk, mem


def variant(**methods):
    """Return a class of modules in which some methods of `Pair` are others."""
    return type("Variant", (Pair,), methods)


def changed(change, make=Pair):
    """Return a module after a change."""
    module = make()
    change(module)
    return module


# --- modules that can be compiled ----------------------------------------------------------------


class BatchFirst(Pair):
    def steps(self, x):
        return [x[:, t] for t in range(x.size(1))]

    def result(self, spk, mem):
        return spk.transpose(0, 1), mem.transpose(0, 1)


MeanMembranes = variant(result=lambda self, spk, mem: mem.mean(dim=0))
LargestMembranes = variant(result=lambda self, spk, mem: mem.max(0)[0])
FewSteps = variant(steps=lambda self, x: [x[:, t] for t in range(2)])
StaticImage = variant(steps=lambda self, x: [x] * N_STEPS)


def recurrent(**rleaky):
    """Return a module whose hidden layer's spikes of the step before come back to it."""
    return Pair(snn.RLeaky(0.9, **({"linear_features": N_HIDDEN} | rleaky)))


class SumOfMembranes(Pair):
    def forward(self, x):
        mem1 = self.lif1.reset_mem()
        mem2 = self.lif2.reset_mem()
        total = 0
        for step in x:
            spk1, mem1 = self.lif1(self.fc1(step), mem1)
            _, mem2 = self.lif2(self.fc2(spk1), mem2)
            total = total + mem2
        return total


class Hidden(Pair):
    """With hidden states, which are reset at the start."""

    def __init__(self):
        super().__init__(init_hidden=True)
        self.lif2 = snn.Leaky(beta=0.9, init_hidden=True, output=True)

    def forward(self, x):
        utils.reset(self)
        spks = []
        mems = []
        for step in x:
            spk, mem = self.lif2(self.fc2(self.lif1(self.fc1(step))))
            spks.append(spk)
            mems.append(mem)
        return torch.stack(spks), torch.stack(mems)


class Blocks(nn.Module):
    """Blocks of a sequence, and a number of steps of its own."""

    def __init__(self):
        super().__init__()
        self.num_steps = N_STEPS
        self.net = nn.Sequential(
            nn.Linear(N_UNITS, N_HIDDEN),
            snn.Leaky(beta=0.8, init_hidden=True),
            nn.Linear(N_HIDDEN, N_CLASSES, bias=False),
            snn.Leaky(beta=0.7, init_hidden=True, output=True),
        )

    def forward(self, x):
        utils.reset(self.net)
        spks, mems = zip(*(self.net(x[step]) for step in range(self.num_steps)), strict=True)
        return torch.stack(spks), torch.stack(mems)


class HiddenSpikes(Pair):
    """The hidden layer's spikes are returned, too."""

    def forward(self, x):
        mem1, mem2 = self.lif1.reset_mem(), self.lif2.reset_mem()
        recorded = []
        for step in x:
            spk1, mem1 = self.lif1(self.fc1(step), mem=mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            recorded.append((spk1, spk2, mem2))
        spk1, spk2, mem2 = (torch.stack(each) for each in zip(*recorded, strict=True))
        return spk1, spk2.sum(0), mem2


class Chain(nn.Module):
    """Layers of any sizes in a loop over all steps of the input, or over some."""

    def __init__(
        self, sizes, make_neurons, bias=True, is_batch_first=False, n_steps=None, result="both"
    ):
        super().__init__()
        pairs = itertools.pairwise(sizes)
        self.weights = nn.ModuleList(nn.Linear(a, b, bias=bias) for a, b in pairs)
        self.neurons = nn.ModuleList(make_neurons(n) for n in sizes[1:])
        for fc in self.weights:
            nn.init.xavier_uniform_(fc.weight, gain=2.5)
        self.is_batch_first = is_batch_first
        self.n_steps = n_steps
        self.result = result

    def forward(self, x):
        x = x.transpose(0, 1) if self.is_batch_first else x
        states = [lif.reset_mem() for lif in self.neurons]
        spks, mems = [], []
        for step in range(self.n_steps or len(x)):
            spk = x[step]
            for i, (fc, lif) in enumerate(zip(self.weights, self.neurons, strict=True)):
                if isinstance(lif, snn.RLeaky):
                    spk, mem = states[i] = lif(fc(spk), *states[i])
                else:
                    spk, states[i] = lif(fc(spk), states[i])
                    mem = states[i]
            spks.append(spk)
            mems.append(mem)
        spk, mem = torch.stack(spks), torch.stack(mems)
        return {
            "both": (spk, mem),
            "counts": spk.sum(0),
            "last": mem[-1],
            "batch first": spk.transpose(0, 1),
        }[self.result]


class Boxcar(torch.autograd.Function):
    """A surrogate whose derivative is 1 near the threshold."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x > 0).float()

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * (x.abs() < 0.5)


def boxcar(x):
    return Boxcar.apply(x)


class SilentOutputs(MeanMembranes):
    """Output neurons that only add up their currents."""

    def __init__(self):
        super().__init__()
        self.lif2 = snn.Leaky(beta=0.9, threshold=torch.inf, reset_mechanism="none")


COMPILED = {
    "spikes and membranes": Pair,
    "batch first": BatchFirst,
    "batch first, result steps first": type("Other", (BatchFirst,), {"result": Pair.result}),
    "spikes alone": variant(result=lambda self, spk, mem: spk),
    "counts": variant(result=lambda self, spk, mem: spk.sum(0)),
    "mean membranes": MeanMembranes,
    "sum of membranes": SumOfMembranes,
    "largest membranes": LargestMembranes,
    "a list of the last step and a mean": variant(
        result=lambda self, spk, mem: [mem[-1], spk.mean(0)]
    ),
    "hidden states": Hidden,
    "a sequence and a fixed number of steps": Blocks,
    "fewer steps": FewSteps,
    "all steps at once": variant(
        steps=lambda self, x: self.fc1(x).unbind(0), currents=lambda self, step: step
    ),
    "hidden spikes": HiddenSpikes,
    "adaptive": lambda: Pair(AdaptiveLeaky(N_HIDDEN, 0.9, adapt_ms=20.0)),
    "recurrent": recurrent,
    "recurrent, from each to itself": lambda: recurrent(
        linear_features=None, all_to_all=False, V=torch.linspace(-1, 1, N_HIDDEN)
    ),
    "recurrent, hidden states": lambda: changed(
        lambda module: setattr(
            module, "lif1", snn.RLeaky(0.9, init_hidden=True, all_to_all=False, V=-0.3)
        ),
        Hidden,
    ),
    "no reset": lambda: Pair(reset_mechanism="none"),
    "learned": lambda: Pair(learn_beta=True, learn_threshold=True),
    "learned, no reset": lambda: Pair(learn_threshold=True, reset_mechanism="none"),
    "threshold": lambda: Pair(threshold=0.3),
    "negative threshold": lambda: Pair(threshold=-0.1),
    "fast sigmoid": lambda: Pair(spike_grad=surrogate.fast_sigmoid(slope=7.0)),
    "sigmoid": lambda: Pair(spike_grad=surrogate.sigmoid(slope=1.0)),
    "straight through": lambda: Pair(spike_grad=surrogate.straight_through_estimator()),
    "triangular": lambda: Pair(spike_grad=surrogate.triangular()),
    "sparse fast sigmoid": lambda: Pair(spike_grad=surrogate.SFS()),
    "outputs that never spike": SilentOutputs,
    "a surrogate of one's own": lambda: Pair(spike_grad=boxcar, learn_threshold=True),
}


# --- modules that can't --------------------------------------------------------------------------


class Dropout(Pair):
    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.3)

    def between(self, spk):
        return self.dropout(spk)


noise = variant(currents=lambda self, step: self.fc1(step) + 0.1 * torch.randn(len(step), N_HIDDEN))


class TwoStepsEach(Pair):
    """A call per step too many."""

    def currents(self, step):
        self.lif1(self.fc1(step))
        return self.fc1(step)


class KeptState(Pair):
    """The state of the last batch is where the next one begins."""

    def __init__(self):
        super().__init__(init_hidden=True)

    def forward(self, x):
        return torch.stack([self.lif2(self.fc2(self.lif1(self.fc1(step)))) for step in x])


class OtherLayer(HiddenSpikes):
    """It returns the hidden layer's spikes alone."""

    def forward(self, x):
        return super().forward(x)[0]


class Skip(Pair):
    """The first layer's spikes go around a layer."""

    def __init__(self):
        super().__init__()
        self.fc_mid = nn.Linear(N_HIDDEN, N_HIDDEN)
        self.lif_mid = snn.Leaky(beta=0.9)

    def forward(self, x):
        mem1, mem, mem2 = (lif.reset_mem() for lif in (self.lif1, self.lif_mid, self.lif2))
        spks = []
        for step in x:
            spk1, mem1 = self.lif1(self.fc1(step), mem1)
            spk, mem = self.lif_mid(self.fc_mid(spk1), mem)
            spk2, mem2 = self.lif2(self.fc2(spk + spk1), mem2)
            spks.append(spk2)
        return torch.stack(spks)


class SharedNeurons(Pair):
    """One object for two layers of neurons, which have as many."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(N_UNITS, N_CLASSES)
        self.fc2 = nn.Linear(N_CLASSES, N_CLASSES)
        self.lif2 = self.lif1


class OneStep(nn.Sequential):
    """A step, for a loop outside."""

    def __init__(self):
        super().__init__(
            nn.Linear(N_UNITS, N_CLASSES), snn.Leaky(beta=0.9, init_hidden=True, output=True)
        )


class LinearSubclass(nn.Linear):
    def forward(self, x):
        return super().forward(x) * 0.5


class Scanned(Pair):
    def forward(self, x):
        spk, _ = scan(self.fc1(x), self.lif1)
        return scan(self.fc2(spk), self.lif2)


class Tired(snn.Leaky):
    """Neurons whose currents count half."""

    def forward(self, input_, mem):
        return super().forward(0.5 * input_, mem)


class AllStates(nn.Module):
    """The synaptic currents are part of the result."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(N_UNITS, N_CLASSES)
        self.lif1 = snn.Synaptic(0.5, 0.8, init_hidden=True, output=True)

    def forward(self, x):
        self.lif1.reset_mem()
        outs = [self.lif1(self.fc1(step)) for step in x]
        return tuple(torch.stack(each, 1) for each in zip(*outs, strict=True))


class InPlace(Pair):
    def forward(self, x):
        mem1, mem2 = self.lif1.reset_mem(), self.lif2.reset_mem()
        total = torch.zeros(x.size(1), N_CLASSES)
        for step in x:
            current = self.fc1(step)
            current += 0.1
            spk1, mem1 = self.lif1(current.relu_(), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1.view(x.size(1), -1)), mem2)
            total += spk2
        return total / len(x)


class StepsThatMeet(Pair):
    def forward(self, x):
        mem1, mem2 = self.lif1.reset_mem(), self.lif2.reset_mem()
        old, spks = None, []
        for step in x:
            spk1, mem1 = self.lif1(self.fc1(step), mem1)
            both = spk1 if old is None else torch.maximum(old, spk1)
            spk2, mem2 = self.lif2(self.fc2(both), mem2)
            old = spk1
            spks.append(spk2)
        return torch.stack(spks)


class WritesByIndex(Pair):
    def forward(self, x):
        mem1, mem2 = self.lif1.reset_mem(), self.lif2.reset_mem()
        out = torch.zeros(len(x), x.shape[1], N_CLASSES)
        for number, step in enumerate(x):
            spk1, mem1 = self.lif1(self.fc1(step), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            out[number] = spk2
        return out


# Not by the engine's lists of events, but with all steps at once.
BY_PROGRAM = {
    "dropout between steps": Dropout,
    "functional dropout": variant(
        between=lambda self, spk: functional.dropout(spk, 0.3, self.training)
    ),
    "other in evaluation mode": variant(
        between=lambda self, spk: spk if self.training else 0.7 * spk
    ),
    "detached spikes": variant(between=lambda self, spk: spk.detach()),
    "a detached result": variant(result=lambda self, spk, mem: (spk, mem.detach())),
    "a scaled gradient": variant(
        between=lambda self, spk: spk.detach() + 0.5 * (spk - spk.detach())
    ),
    "another layer's output": OtherLayer,
    "a scaled result": variant(result=lambda self, spk, mem: 2 * mem),
    "a dictionary": variant(result=lambda self, spk, mem: {"spk": spk}),
    "a skip connection": Skip,
    "a static image": StaticImage,
    "recurrence, reset to zero": lambda: recurrent(reset_mechanism="zero"),
    "a convolution": lambda: changed(
        lambda module: module.add_module("conv", nn.Conv1d(1, 1, 3, padding=1)),
        variant(currents=lambda self, step: self.fc1(self.conv(step[:, None])[:, 0])),
    ),
    "shared weights": lambda: changed(
        lambda module: setattr(module.weights[1], "weight", module.weights[0].weight),
        lambda: Chain([N_UNITS, N_UNITS, N_UNITS], lambda n: snn.Leaky(beta=0.9)),
    ),
    "a subclass of Linear": lambda: changed(
        lambda module: setattr(module, "fc1", LinearSubclass(N_UNITS, N_HIDDEN))
    ),
    "a hook on a parameter": lambda: changed(
        lambda module: module.fc1.weight.register_hook(lambda gradient: gradient.clamp(-1e-3, 1e-3))
    ),
    "other neurons": lambda: Pair(snn.Lapicque(0.9, time_step=1.0, R=10.0)),
    "reset to zero": lambda: Pair(reset_mechanism="zero"),
    "reset at once": lambda: Pair(reset_delay=False),
    "graded spikes": lambda: Pair(graded_spikes_factor=0.5),
    "Alpha": lambda: Pair(snn.Alpha(0.9, 0.8)),
    "RSynaptic": lambda: Pair(snn.RSynaptic(0.9, 0.8, linear_features=N_HIDDEN)),
    "neurons of one's own": lambda: Pair(Tired(0.9)),
    "all states": AllStates,
    "operations in place": InPlace,
    "the last step alone": variant(
        result=lambda self, spk, mem: torch.cat([mem[-1], spk.amax(0)], 1).softmax(-1)
    ),
}
REFUSED = {
    "batch normalization": (
        lambda: changed(
            lambda module: module.add_module("norm", nn.BatchNorm1d(N_HIDDEN)),
            variant(currents=lambda self, step: self.norm(self.fc1(step))),
        ),
        "norm.num_batches_tracked in place .* in training",
    ),
    "detached membranes": (
        variant(kept=lambda self, mem: mem.detach()),
        "state of lif1 in step 1 isn't what step 0 has left",
    ),
    "a call per step too many": (TwoStepsEach, "lif1 in step 1 isn't of this step. Call each"),
    "state kept": (KeptState, "lif1 begins with the state that an earlier call has left"),
    "another state at the start": (
        variant(start=lambda self, x: (torch.ones(x.shape[1], N_HIDDEN),)),
        "lif1 begins with .* one that isn't 0",
    ),
    "a changed state": (
        variant(kept=lambda self, mem: 0.5 * mem),
        "state of lif1 in step 1 isn't what step 0 has left",
    ),
    "noise": (noise, "the input of lif1 in step 1 is computed otherwise"),
    "two inputs": (variant(forward=lambda self, x, mem1: x), "its forward takes 2 inputs"),
    "shared neurons": (SharedNeurons, "isn't of this step. .* neurons of its own"),
    "a single step": (OneStep, "begins with the state .* `engine.unroll`"),
    "pruned weights": (
        lambda: changed(lambda module: prune.random_unstructured(module.fc1, "weight", 0.5)),
        "fc1 has hooks. Remove them, .* by prune.remove",
    ),
    "scan": (Scanned, "calls scan, which is compiled already. Call the module itself"),
    "a hook": (
        lambda: changed(lambda module: module.lif1.register_forward_hook(lambda *_: None)),
        "lif1 has hooks. Remove them",
    ),
    "normalized weights": (
        lambda: changed(lambda module: nn.utils.parametrizations.weight_norm(module.fc1)),
        "fc1 has parametrized weights. Fold them in by",
    ),
    "float64": (lambda: Pair().double(), "parameters are torch.float64 on cpu"),
    "random spikes": (lambda: Pair(spike_grad=surrogate.SSO()), "differ"),
    "no spiking neurons": (
        lambda: nn.Linear(3, 2),
        "it has no spiking neurons of snnTorch",
    ),
    "numbers out of tensors": (
        variant(between=lambda self, spk: spk * bool(spk.sum() > 3)),
        r"reads numbers out of tensors \(by __bool__",
    ),
    "steps that meet": (StepsThatMeet, "combines values of steps 0 and 1"),
    "written by index": (WritesByIndex, "writes into a tensor by its index. Append to a list"),
    "another number of utterances": (
        variant(result=lambda self, spk, mem: spk * (spk.shape[1] == 3)),
        "has the number True for 3 utterances",
    ),
}
