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
    """Two layers with a loop over the steps that returns spikes and membranes."""

    def __init__(self, **leaky):
        super().__init__()
        options = {"beta": 0.9} | leaky
        self.fc1 = nn.Linear(N_UNITS, N_HIDDEN)
        self.lif1 = snn.Leaky(**options)
        self.fc2 = nn.Linear(N_HIDDEN, N_CLASSES)
        self.lif2 = snn.Leaky(**options)
        for fc in (self.fc1, self.fc2):
            nn.init.xavier_uniform_(fc.weight, gain=2.5)
            nn.init.zeros_(fc.bias)

    def forward(self, x):
        mem1 = self.lif1.reset_mem()
        mem2 = self.lif2.reset_mem()
        spks = []
        mems = []
        for step in self.steps(x):
            spk1, mem1 = self.lif1(self.currents(step), mem1)
            spk2, mem2 = self.lif2(self.fc2(self.between(spk1)), mem2)
            spks.append(spk2)
            mems.append(mem2)
        return self.result(torch.stack(spks), torch.stack(mems))

    def steps(self, x):
        return [x[t] for t in range(x.size(0))]

    def currents(self, step):
        return self.fc1(step)

    def between(self, spk):
        return spk

    def result(self, spk, mem):
        return spk, mem


# --- modules that can be compiled ----------------------------------------------------------------


class BatchFirst(Pair):
    def steps(self, x):
        return [x[:, t] for t in range(x.size(1))]

    def result(self, spk, mem):
        return spk.transpose(0, 1), mem.transpose(0, 1)


class BatchFirstButResult(BatchFirst):
    def result(self, spk, mem):
        return spk, mem


class Spikes(Pair):
    def result(self, spk, mem):
        return spk


class Counts(Pair):
    def result(self, spk, mem):
        return spk.sum(0)


class MeanMembranes(Pair):
    def result(self, spk, mem):
        return mem.mean(dim=0)


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


class LargestMembranes(Pair):
    def result(self, spk, mem):
        return mem.max(0)[0]


class LastMembranes(Pair):
    def result(self, spk, mem):
        return [mem[-1], spk.mean(0)]


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


class FewSteps(Pair):
    """A loop over fewer steps than the traced input has."""

    def steps(self, x):
        return [x[:, t] for t in range(2)]


class AllStepsAtOnce(Pair):
    """The first layer's currents of all steps in one product."""

    def steps(self, x):
        return self.fc1(x).unbind(0)

    def currents(self, step):
        return step


class HiddenSpikes(nn.Module):
    """The hidden layer's spikes are returned, too."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(N_UNITS, N_HIDDEN)
        self.lif1 = snn.Leaky(beta=0.9)
        self.fc2 = nn.Linear(N_HIDDEN, N_CLASSES)
        self.lif2 = snn.Leaky(beta=0.9)

    def forward(self, x):
        mem1, mem2 = self.lif1.reset_mem(), self.lif2.reset_mem()
        recorded = []
        for step in x:
            spk1, mem1 = self.lif1(self.fc1(step), mem=mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            recorded.append((spk1, spk2, mem2))
        spk1, spk2, mem2 = (torch.stack(each) for each in zip(*recorded, strict=True))
        return spk1, spk2.sum(0), mem2


class Adaptive(Pair):
    def __init__(self):
        super().__init__()
        self.lif1 = AdaptiveLeaky(N_HIDDEN, 0.9, adapt_ms=20.0)

    def forward(self, x):
        state = self.lif1.reset_mem()
        mem2 = self.lif2.reset_mem()
        spks = []
        mems = []
        for step in x:
            spk, *state = self.lif1(self.fc1(step), *state)
            spk2, mem2 = self.lif2(self.fc2(spk), mem2)
            spks.append(spk2)
            mems.append(mem2)
        return torch.stack(spks), torch.stack(mems)


class Recurrent(Pair):
    """The hidden layer's spikes of the step before come back to it."""

    def __init__(self, **rleaky):
        super().__init__()
        self.lif1 = snn.RLeaky(0.9, **({"linear_features": N_HIDDEN} | rleaky))

    def forward(self, x):
        spk1, mem1 = self.lif1.reset_mem()
        mem2 = self.lif2.reset_mem()
        spks = []
        for step in x:
            spk1, mem1 = self.lif1(self.fc1(step), spk1, mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spks.append(spk2)
        return torch.stack(spks)


class DetachedRecurrence(Recurrent):
    """Only the spikes that come back are detached."""

    def forward(self, x):
        spk1, mem1 = self.lif1.reset_mem()
        mem2 = self.lif2.reset_mem()
        spks = []
        for step in x:
            spk1, mem1 = self.lif1(self.fc1(step), spk1.detach(), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spks.append(spk2)
        return torch.stack(spks)


class HiddenRecurrence(Recurrent):
    """Neurons that keep their states, the recurrent ones too."""

    def __init__(self):
        super().__init__(init_hidden=True, all_to_all=False, linear_features=None, V=-0.3)
        self.lif2 = snn.Leaky(0.9, init_hidden=True, output=True)

    def forward(self, x):
        self.lif1.reset_mem()
        self.lif2.reset_mem()
        return torch.stack([self.lif2(self.fc2(self.lif1(self.fc1(step))))[0] for step in x])


class Chain(nn.Module):
    """Any number of layers."""

    def __init__(self, sizes, make_neurons, bias=True):
        super().__init__()
        pairs = itertools.pairwise(sizes)
        self.weights = nn.ModuleList(nn.Linear(a, b, bias=bias) for a, b in pairs)
        self.neurons = nn.ModuleList(make_neurons(n) for n in sizes[1:])
        for fc in self.weights:
            nn.init.xavier_uniform_(fc.weight, gain=2.5)

    def forward(self, x):
        states = [lif.reset_mem() for lif in self.neurons]
        recorded = []
        for spk in x:
            for i, (fc, lif) in enumerate(zip(self.weights, self.neurons, strict=True)):
                if isinstance(lif, snn.RLeaky):
                    spk, mem = states[i] = lif(fc(spk), *states[i])
                else:
                    spk, mem = lif(fc(spk), states[i])
                    states[i] = mem
            recorded.append((spk, mem))
        spks, last = zip(*recorded, strict=True)
        return torch.stack(spks), torch.stack(last)


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
    "batch first, result steps first": BatchFirstButResult,
    "spikes alone": Spikes,
    "counts": Counts,
    "mean membranes": MeanMembranes,
    "sum of membranes": SumOfMembranes,
    "largest membranes": LargestMembranes,
    "a list of the last step and a mean": LastMembranes,
    "hidden states": Hidden,
    "a sequence and a fixed number of steps": Blocks,
    "fewer steps": FewSteps,
    "all steps at once": AllStepsAtOnce,
    "hidden spikes": HiddenSpikes,
    "adaptive": Adaptive,
    "recurrent": Recurrent,
    "recurrent, from each to itself": lambda: Recurrent(
        linear_features=None, all_to_all=False, V=torch.linspace(-1, 1, N_HIDDEN)
    ),
    "recurrent, hidden states": HiddenRecurrence,
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


class FunctionalDropout(Pair):
    def between(self, spk):
        return functional.dropout(spk, 0.3, self.training)


class DropoutInTraining(Pair):
    """The same as `FunctionalDropout`, in evaluation mode."""

    def between(self, spk):
        return spk if self.training else 0.7 * spk


class Detached(Pair):
    def between(self, spk):
        return spk.detach()


class DetachedMembranes(Pair):
    def forward(self, x):
        mem1, mem2 = self.lif1.reset_mem(), self.lif2.reset_mem()
        spks = []
        for step in x:
            spk1, mem1 = self.lif1(self.fc1(step), mem1.detach())
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spks.append(spk2)
        return torch.stack(spks)


class DetachedResult(Pair):
    def result(self, spk, mem):
        return spk, mem.detach()


class ScaledGradient(Pair):
    """The values are the spikes, and the gradient is another one."""

    def between(self, spk):
        return spk.detach() + 0.5 * (spk - spk.detach())


class BatchNormalized(Pair):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(N_HIDDEN)

    def currents(self, step):
        return self.norm(self.fc1(step))


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


class LearnedStart(Pair):
    def forward(self, x):
        mem1 = torch.ones(x.shape[1], N_HIDDEN)
        mem2 = self.lif2.reset_mem()
        spks = []
        for step in x:
            spk1, mem1 = self.lif1(self.fc1(step), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spks.append(spk2)
        return torch.stack(spks)


class ChangedState(Pair):
    def forward(self, x):
        mem1, mem2 = self.lif1.reset_mem(), self.lif2.reset_mem()
        spks = []
        for step in x:
            spk1, mem1 = self.lif1(self.fc1(step), 0.5 * mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spks.append(spk2)
        return torch.stack(spks)


class OtherLayer(Pair):
    """It returns the hidden layer's spikes alone."""

    def forward(self, x):
        mem1, mem2 = self.lif1.reset_mem(), self.lif2.reset_mem()
        spks = []
        for step in x:
            spk1, mem1 = self.lif1(self.fc1(step), mem1)
            _, mem2 = self.lif2(self.fc2(spk1), mem2)
            spks.append(spk1)
        return torch.stack(spks)


class ScaledResult(Pair):
    def result(self, spk, mem):
        return 2 * mem


class Dictionary(Pair):
    def result(self, spk, mem):
        return {"spk": spk}


class Noise(Pair):
    def currents(self, step):
        return self.fc1(step) + 0.1 * torch.randn(len(step), N_HIDDEN)


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


class StaticImage(Pair):
    """The same input at each step, as for an image that isn't encoded."""

    def steps(self, x):
        return [x] * N_STEPS


class Convolution(Pair):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1)

    def currents(self, step):
        return self.fc1(self.conv(step[:, None])[:, 0])


class WithoutNeuronsAtTheEnd(Pair):
    def forward(self, x):
        mem1 = self.lif1.reset_mem()
        outs = []
        for step in x:
            spk1, mem1 = self.lif1(self.fc1(step), mem1)
            outs.append(self.fc2(spk1))
        return torch.stack(outs)


class TwoInputs(Pair):
    def forward(self, x, mem1):
        return super().forward(x + mem1)


class SharedNeurons(Pair):
    """One object for two layers of neurons, which have as many."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(N_UNITS, N_CLASSES)
        self.fc2 = nn.Linear(N_CLASSES, N_CLASSES)
        self.lif2 = self.lif1


class SharedWeights(Chain):
    def __init__(self):
        super().__init__([N_UNITS, N_UNITS, N_UNITS], lambda n: snn.Leaky(beta=0.9))
        self.weights[1].weight = self.weights[0].weight


class Pruned(Pair):
    def __init__(self):
        super().__init__()
        prune.random_unstructured(self.fc1, "weight", 0.5)


class OtherNeurons(Pair):
    def __init__(self, *names):
        super().__init__()
        for name in names:
            setattr(self, name, snn.Lapicque(0.9, time_step=1.0, R=10.0))


class OneStep(nn.Sequential):
    """A step, for a loop outside."""

    def __init__(self):
        super().__init__(
            nn.Linear(N_UNITS, N_CLASSES), snn.Leaky(beta=0.9, init_hidden=True, output=True)
        )


class LinearSubclass(nn.Linear):
    def forward(self, x):
        return super().forward(x) * 0.5


class OwnLinear(Pair):
    def __init__(self):
        super().__init__()
        self.fc1 = LinearSubclass(N_UNITS, N_HIDDEN)


class Clipped(Pair):
    """A hook on a parameter changes its gradient."""

    def __init__(self):
        super().__init__()
        self.fc1.weight.register_hook(lambda gradient: gradient.clamp(-1e-3, 1e-3))


class Scanned(Pair):
    def forward(self, x):
        spk, _ = scan(self.fc1(x), self.lif1)
        return scan(self.fc2(spk), self.lif2)


class Hooked(Pair):
    def __init__(self):
        super().__init__()
        self.lif1.register_forward_hook(lambda *_: None)


class WeightNormalized(Pair):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.utils.parametrizations.weight_norm(self.fc1)


REFUSED = {
    "dropout between steps": (Dropout, "calls dropout, a Dropout"),
    "functional dropout": (
        FunctionalDropout,
        "the input of fc2 in step 0 isn't the spikes of lif1",
    ),
    "other in evaluation mode": (DropoutInTraining, "input of fc2 in step . isn't the spikes of"),
    "detached spikes": (Detached, "the input of fc2 is detached from the spikes of lif1"),
    "detached membranes": (DetachedMembranes, "the state of lif1 is detached between steps"),
    "a detached result": (DetachedResult, "the gradient of .* differs"),
    "a scaled gradient": (ScaledGradient, "the gradient of .* differs"),
    "batch normalization": (BatchNormalized, "calls norm, a BatchNorm1d"),
    "a call per step too many": (
        TwoStepsEach,
        "first neurons are called 10 times for 5 steps. Call each layer once in a step",
    ),
    "state kept": (KeptState, "lif1 begins with the state that an earlier call has left"),
    "another state at the start": (LearnedStart, "lif1 begins with .* one that isn't 0"),
    "a changed state": (ChangedState, "state of lif1 in step 1 isn't what step 0 has left"),
    "another layer's output": (OtherLayer, "returns nothing of the last layer"),
    "a scaled result": (ScaledResult, r"a tensor of shape \(5, 3, 5\) that isn't spikes or"),
    "a dictionary": (Dictionary, "returns a dict"),
    "noise": (Noise, "the input of lif1 in step 0 isn't the output of fc1"),
    "a skip connection": (Skip, "the input of fc2 in step 0 isn't the spikes of lif_mid"),
    "a static image": (StaticImage, r"or type engine.scan\(self.fc1\(image\).expand"),
    "detached recurrence": (DetachedRecurrence, "the state of lif1 is detached between steps"),
    "recurrence, reset to zero": (
        lambda: Recurrent(reset_mechanism="zero"),
        "lif1 doesn't subtract its threshold",
    ),
    "a convolution": (Convolution, "calls conv, a Conv1d.* `engine.scan` computes one layer"),
    "no neurons at the end": (WithoutNeuronsAtTheEnd, "must call nn.Linear, snn.Leaky, nn.Linear"),
    "two inputs": (TwoInputs, "raised TypeError: .*missing 1 required positional argument"),
    "shared neurons": (SharedNeurons, "10 times for 5 steps. .* neurons of its own"),
    "shared weights": (SharedWeights, "two of its layers share a parameter"),
    "a single step": (OneStep, r"currents of shape \(5, 3, 5\) instead of \(batch, neurons\)"),
    "a subclass of Linear": (OwnLinear, "no plain Linear, ChannelConv1d or LearnedDelays"),
    "a hook on a parameter": (Clipped, "a parameter of layer 1 has hooks"),
    "pruned weights": (Pruned, "fc1 has hooks. Remove them, .* by prune.remove"),
    "scan": (Scanned, "calls scan, which is compiled already. Call the module itself"),
    "a hook": (Hooked, "lif1 has hooks. Remove them"),
    "other neurons": (lambda: OtherNeurons("lif1"), "calls lif1, a Lapicque.* Lapicque either"),
    "other neurons alone": (
        lambda: OtherNeurons("lif1", "lif2"),
        "It has Lapicque. `engine.scan` doesn't compute Lapicque either",
    ),
    "normalized weights": (WeightNormalized, "fc1 has parametrized weights. Fold them in by"),
    "float64": (lambda: Pair().double(), "parameters are torch.float64 on cpu"),
    "reset to zero": (lambda: Pair(reset_mechanism="zero"), "lif1 doesn't subtract its threshold"),
    "reset at once": (lambda: Pair(reset_delay=False), "lif1 doesn't subtract its threshold"),
    "graded spikes": (lambda: Pair(graded_spikes_factor=0.5), "graded"),
    "random spikes": (lambda: Pair(spike_grad=surrogate.SSO()), "the surrogate of lif1 doesn't"),
    "spikes without a gradient": (lambda: Pair(surrogate_disable=True), "lif1 has no gradient"),
    "no spiking neurons": (
        lambda: nn.Linear(3, 2),
        "AdaptiveLeaky. It has no spiking neurons. ",
    ),
}
