"""Time the engine beside snnTorch's loop and other frameworks, in one run.

``make bench`` in this folder measures on random input, and prints a table in CSV. It needs this
package, and times the frameworks that are installed (``pip install '.[bench]'``). They get their
dense input ready-made, outside of the clock; the engine reads lists of events. Every round runs
each variant once, and a ratio is the median over the rounds of snnTorch's time by the variant's.
"""

import argparse
import copy
import csv
import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import snntorch as snn
import torch
from snntorch import surrogate
from torch import nn
from torch.nn import functional as F

import shd_engine as engine
from engine_examples.twelve_programs import USUAL, Program, input_of, loop_of
from shd_engine.recording import leaves

SIZES = (183, 256, 10)
N_STEPS = 333
Setup = tuple[Callable, Callable, str]  # a training step, an inference, and what is computed
BATCHES = (128, 32, 8)
BETA = 0.95
SLOPE = 25.0
SNNTORCH = "reset: subtracts the threshold one step later, detached; tie: no spike; surrogate 1/(k|x|+1)^2, k 25"  # noqa: E501


@dataclass(frozen=True)
class Utterances(engine.EventLists):
    """Lists of events with labels."""

    labels: np.ndarray

    def to_frames(self, index: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return some utterances as dense input, (steps, batch, units)."""
        frames = np.zeros((self.n_steps, len(index), self.n_units), np.float32)
        for i, utterance in enumerate(index):
            of_one = slice(*self.offsets[utterance : utterance + 2])
            frames[self.steps[of_one], i, self.units[of_one]] = 1
        return frames


def synthetic(n: int, n_steps: int = N_STEPS, density: float = 0.02, seed: int = 0) -> Utterances:
    """Return n utterances of random events."""
    rng = np.random.default_rng(seed)
    frames = (rng.random((n_steps, n, SIZES[0])) < density).astype(np.float32)
    lists = engine.EventLists.of(frames)
    return Utterances(**vars(lists), labels=rng.integers(0, SIZES[2], n))


def network(delays: Sequence[int] = (0,), fc1: nn.Module | None = None) -> engine.LayeredNetwork:
    """Return the network, with a hidden rate of a few per cent."""
    torch.manual_seed(0)
    fc1 = fc1 or nn.Linear(SIZES[0] * len(delays), SIZES[1])
    layers = []
    for fc in (fc1, nn.Linear(fc1.out_features, SIZES[2])):
        nn.init.xavier_uniform_(fc.weight)
        nn.init.zeros_(fc.bias)
        layers.append((fc, snn.Leaky(BETA, spike_grad=surrogate.fast_sigmoid(SLOPE))))
    with torch.no_grad():
        fc1.weight *= 2
    return engine.LayeredNetwork(layers, layer_delays=[delays, (0,)])


# --- the variants: each makes a training step and an inference of a batch -----------------------


def backward(counts: torch.Tensor, y: torch.Tensor, parameters: list[nn.Parameter]) -> None:
    """Do what all torch variants do after the forward pass."""
    for parameter in parameters:
        parameter.grad = None
    F.cross_entropy(counts, y).backward()


def by_torch(
    forward: Callable, module: nn.Module, x: torch.Tensor, y: torch.Tensor
) -> tuple[Callable, Callable]:
    """Return training step and inference of a torch network that counts output spikes."""
    parameters = list(module.parameters())
    return lambda: backward(forward(x), y, parameters), torch.no_grad()(lambda: forward(x))


def compiled(events: Utterances, index: np.ndarray) -> Setup:
    """Set up the engine."""
    fast = engine.compile(network())
    return (
        partial(fast.loss_and_gradients, events, events.labels[index], index),
        partial(fast.evaluate, events, index),
        SNNTORCH,
    )


def snntorch_loop(events: Utterances, index: np.ndarray) -> Setup:
    """Set up the readable loop."""
    model = network()
    x, y = to_frames(events, index)
    return *by_torch(model, model, x, y), SNNTORCH


def in_spikingjelly(modules: Sequence[nn.Module]) -> Callable:
    """Return the forward of some layers with SpikingJelly's neurons, in its multi-step mode."""
    from spikingjelly.activation_based import functional, layer, neuron, surrogate

    def translated(module: nn.Module) -> nn.Module:
        if not isinstance(module, snn.Leaky):
            return layer.SeqToANNContainer(module)
        return neuron.LIFNode(
            tau=1 / (1 - module.beta.item()), decay_input=False, v_threshold=1.0, v_reset=None,
            surrogate_function=surrogate.ATan(alpha=2.0), detach_reset=True, step_mode="m",
        )  # fmt: skip

    net = nn.Sequential(*map(translated, modules))

    def forward(x):
        functional.reset_net(net)
        return net(x)

    return forward


def in_norse(modules: Sequence[nn.Module]) -> Callable:
    """Return the forward of some layers with Norse's current-free neuron.

    It multiplies its input by 1 - beta, so the weights before it are divided by that, in place.
    """
    import norse.torch as nt
    from norse.torch.functional.lif_box import LIFBoxParameters
    from norse.torch.functional.reset import reset_subtract

    translated: list[nn.Module] = []
    for module in modules:
        if hasattr(module, "weight"):
            last = module
        if isinstance(module, snn.Leaky):
            share = 1 - module.beta.item()
            for parameter in last.parameters():
                parameter.data.div_(share)
            p = LIFBoxParameters(
                tau_mem_inv=torch.tensor(share / 1e-3), alpha=torch.tensor(SLOPE),
                reset_method=reset_subtract,
            )  # fmt: skip
            module = nt.LIFBoxCell(p)
        translated.append(module)

    def forward(x):
        for module in translated:
            if isinstance(module, nt.LIFBoxCell):
                state = None
                spks = []
                for cur in x:  # norse.torch.Lift, by index, is quadratic in the steps
                    spk, state = module(cur, state)
                    spks.append(spk)
                x = torch.stack(spks)
            else:
                x = module(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return x

    return forward


def translated_network(translate: Callable, rule: str, events: Utterances, index) -> Setup:
    """Set up the network in another framework."""
    model = network()
    x, y = to_frames(events, index)
    forward = translate([each for layer in model.layers for each in layer])
    return *by_torch(lambda x: forward(x).sum(0), model, x, y), rule


SPIKINGJELLY = "reset: subtracts the threshold at once, detached; tie: spike; surrogate (a/2)/(1+(pi a x/2)^2), a 2"  # noqa: E501
NORSE = "reset: subtracts the threshold at once, not detached; tie: no spike; surrogate 1/(k|x|+1)^2, k 25"  # noqa: E501


def to_frames(events: Utterances, index: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Return input (steps, batch, units) and labels (batch,)."""
    return torch.from_numpy(events.to_frames(index)), torch.from_numpy(events.labels[index])


VARIANTS = {
    "compiled": (compiled, "numba"),
    "snntorch loop": (snntorch_loop, "snntorch"),
    "SpikingJelly, multi-step": (
        partial(translated_network, in_spikingjelly, SPIKINGJELLY),
        "spikingjelly",
    ),
    "Norse": (partial(translated_network, in_norse, NORSE), "norse"),
}

# --- measurements -------------------------------------------------------------------------------


def row(benchmark, variant, batch, median_s=None, ratio=None, note="") -> dict:
    """Return one row of the table."""
    return {
        "benchmark": benchmark, "variant": variant, "batch": batch, "median_s": median_s,
        "ratio": ratio, "note": note,
    }  # fmt: skip


def clock(action: Callable, at_least_s: float = 0.1) -> float:
    """Return the median time of a call, after one untimed: the last variant left cold caches."""
    action()
    times: list[float] = []
    while sum(times) < at_least_s:
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return median(times)


def version(package: str) -> str:
    """Return a package's version; empty if it isn't installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def pairwise(events: Utterances, batch: int, rounds: int) -> list[dict]:
    """Time a training step and an inference with all variants, round by round."""
    index = np.arange(batch)
    ready = {}
    out = []
    for name, (make, package) in VARIANTS.items():
        if not version(package):
            out.append(row("training step", name, batch, note="not installed"))
            continue
        ready[name] = make(events, index)
    for which, benchmark in enumerate(["training step", "inference"]):
        steps = {name: variant[which] for name, variant in ready.items()}
        for name, measured in timed(steps, rounds).items():
            out.append(row(benchmark, name, batch, *measured, ready[name][2]))
    return out


def timed(steps: dict[str, Callable], rounds: int) -> dict[str, tuple[float, float]]:
    """Return each step's median time, and how many times as fast as snnTorch's loop it is."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            times[name].append(clock(step))  # the first call of all compiles, unseen
    loop = times["snntorch loop"]
    return {
        name: (median(own), median(a / b for a, b in zip(loop, own, strict=True)))
        for name, own in times.items()
    }


def larger(events: Utterances, rounds: int) -> list[dict]:
    """Time a training step of larger networks, round by round."""
    late = tuple(range(0, 80, 10))
    shared = engine.ChannelConv1d(SIZES[0], len(late), n_channels=16, kernel_size=32, stride=8)
    networks = {"eight delays": network(late), "shared weights": network(late, shared)}
    out = []
    for name, model in networks.items():
        for batch in BATCHES[:2]:
            index = np.arange(batch)
            x, y = to_frames(events, index)
            fast = engine.compile(model)
            steps = {
                "compiled": partial(fast.loss_and_gradients, events, events.labels[index], index),
                "snntorch loop": by_torch(model, model, x, y)[0],
            }
            for variant, measured in timed(steps, rounds).items():
                out.append(row(f"training step, {name}", variant, batch, *measured))
    return out


class OwnModule(nn.Module):
    """The study's network as a user of snntorch writes it."""

    def __init__(self) -> None:
        super().__init__()
        (self.fc1, self.lif1), (self.fc2, self.lif2) = network().layers

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the output layer's spikes and membranes, (steps, batch, classes)."""
        mem1 = self.lif1.reset_mem()
        mem2 = self.lif2.reset_mem()
        spks = []
        mems = []
        for step in x:
            spk1, mem1 = self.lif1(self.fc1(step), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spks.append(spk2)
            mems.append(mem2)
        return torch.stack(spks), torch.stack(mems)


class Recurrent(OwnModule):
    """The same network with recurrent hidden neurons."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        hidden = SIZES[1]
        self.lif1 = snn.RLeaky(BETA, linear_features=hidden, spike_grad=self.lif2.spike_grad)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the output layer's spikes and membranes, (steps, batch, classes)."""
        spk1, mem1 = self.lif1.reset_mem()
        mem2 = self.lif2.reset_mem()
        spks = []
        mems = []
        for step in x:
            spk1, mem1 = self.lif1(self.fc1(step), spk1, mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spks.append(spk2)
            mems.append(mem2)
        return torch.stack(spks), torch.stack(mems)


def own_modules(events: Utterances, rounds: int) -> list[dict]:
    """Time a training step of a user's modules, compiled and in their own loops, round by round."""
    out = []
    for name, module in (("own module", OwnModule()), ("own module, recurrent", Recurrent())):
        fast = engine.compile(module)
        parameters = list(module.parameters())

        def any_loss(net, y, *x, parameters=parameters):
            backward(net(*x)[0].sum(0), y, parameters)

        for batch in BATCHES:
            index = np.arange(batch)
            x, y = to_frames(events, index)
            steps = {
                "loss_and_gradients": partial(fast.loss_and_gradients, events, y, index),
                "any loss": partial(any_loss, fast, y, events, index),
                "any loss, dense input": partial(any_loss, fast, y, x),
                "snntorch loop": partial(any_loss, module, y, x),
            }
            for variant, measured in timed(steps, rounds).items():
                out.append(row(f"training step, {name}", variant, batch, *measured))
    return out


def scanned(events: Utterances, rounds: int) -> list[dict]:
    """Time a training step whose layers of neurons are scanned, round by round.

    Nothing that leaves the products to torch can be faster than the row "products alone".
    """
    out = []
    for benchmark, module in (("scan", OwnModule()), ("scan, recurrent", Recurrent())):

        def by_scan(x, net=module):
            spk1, _ = engine.scan(net.fc1(x), net.lif1)
            return engine.scan(net.fc2(spk1), net.lif2)[0].sum(0)

        forwards = {
            "scan": by_scan,
            "products alone": lambda x, net=module: net.fc2(net.fc1(x)).sum(0),
            "snntorch loop": lambda x, net=module: net(x)[0].sum(0),
        }
        for batch in BATCHES:
            x, y = to_frames(events, np.arange(batch))
            steps = {name: by_torch(each, module, x, y)[0] for name, each in forwards.items()}
            for variant, measured in timed(steps, rounds).items():
                out.append(row(f"training step, {benchmark}", variant, batch, *measured))
    return out


# Those whose layers are stateless modules of torch and `Leaky`, one after the other
TRANSLATED = (
    "tutorial 5", "quick start", "tutorial 3", "tutorial 6", "tutorial 7", "population coding",
)  # fmt: skip


def in_layers(net: nn.Module, x: torch.Tensor) -> tuple[list[nn.Module], torch.Tensor]:
    """Return copies of a program's layers, and its input in each step."""
    layers = [each for each in copy.deepcopy(net).modules() if not [*each.children()]]
    if not hasattr(net, "n_steps"):
        return layers, x
    is_static = len(x) != net.n_steps
    return [nn.Flatten(), *layers], x.expand(net.n_steps, *x.shape) if is_static else x


def programs(rounds: int, twelve: dict[str, Program] = USUAL) -> list[dict]:
    """Time a training step of twelve programs as users write them, round by round."""
    out = []
    for name, program in twelve.items():
        torch.manual_seed(0)
        net = program.make()
        x = input_of(program, torch.Generator().manual_seed(0))
        fast = engine.unroll(net) if program.is_one_step else engine.compile(net)

        def step(run, x=x, net=net):
            net.zero_grad()
            sum(each.sum() for each in leaves(run(x))).backward()

        steps = {
            "compiled": partial(step, fast),
            "snntorch loop": partial(step, loop_of(program, net)),
        }
        for framework, translate in {"spikingjelly": in_spikingjelly, "norse": in_norse}.items():
            if name in TRANSLATED and version(framework):
                other, frames = in_layers(net, x)
                steps[framework] = partial(step, translate(other), frames, nn.ModuleList(other))
        for variant, measured in timed(steps, rounds).items():
            out.append(row(f"training step, program: {name}", variant, "", *measured))
    ratios = [row["ratio"] for row in out if row["variant"] == "compiled"]
    mean = float(np.exp(np.mean(np.log(ratios))))
    return [*out, row("training step, programs", "geometric mean", "", ratio=mean)]


def setting(text: str) -> str:
    """Return machine, versions and input in one line."""
    packages = ("torch", "snntorch", "numba", "numpy", "spikingjelly", "norse")
    versions = [f"{package} {version(package)}" for package in packages if version(package)]
    return (
        f"{processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads; "
        f"Python {platform.python_version()}, {', '.join(versions)}; "
        f"{'-'.join(map(str, SIZES))}, {N_STEPS} steps, {text}"
    )


def processor() -> str:
    """Return the processor's name."""
    if sys.platform == "linux":
        with open("/proc/cpuinfo") as file:  # noqa: PTH123
            for line in file:
                if line.startswith("model name"):
                    return line.split(":")[1].strip()
    return platform.processor()


def rows(events: Utterances, text: str, rounds: int = 7) -> list[dict]:
    """Measure everything; a few minutes. The text says what the input is."""
    table = [row("configuration", "", None, note=setting(text))]
    for batch in BATCHES:
        table += pairwise(events, batch, rounds)
    table += larger(events, rounds)
    table += own_modules(events, rounds)
    table += scanned(events, rounds)
    return table + programs(rounds)


def chart(ratios: dict[str, float]) -> str:
    """Return a bar chart of how many times as fast programs are, as the text of an SVG file."""
    per_unit = 380 / max(ratios.values())
    lines = []
    for i, (name, ratio) in enumerate(sorted(ratios.items(), key=lambda item: -item[1])):
        y, width = 24 * i + 10, per_unit * ratio
        color = "#4477aa" if ratio >= 1 else "#bbbbbb"
        lines += [
            f'<text x="180" y="{y + 13}" text-anchor="end">{name}</text>',
            f'<rect x="190" y="{y}" width="{width:.1f}" height="17" fill="{color}"/>',
            f'<text x="{196 + width:.1f}" y="{y + 13}">{ratio:.1f}</text>',
        ]
    loop, height = 190 + per_unit, 24 * len(ratios) + 10
    lines += [
        f'<path d="M{loop:.1f} 4V{height}" stroke="#000" stroke-dasharray="3"/>',
        f'<text x="{loop:.1f}" y="{height + 16}" text-anchor="middle">snnTorch\'s own loop</text>',
    ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="640" height="{height + 26}" '
    style = (
        'font-family="sans-serif" font-size="14">\n<rect width="100%" height="100%" fill="#fff"/>'
    )
    return "\n".join([head + style, *lines, "</svg>\n"])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--chart", metavar="FILE", help="draw the twelve programs, as SVG")
    given = parser.parse_args()
    density = 0.03
    table = rows(
        synthetic(BATCHES[0], density=density), f"random, density {density:.0%}", given.rounds
    )
    if given.chart:
        start = "training step, program: "
        ratios = {
            each["benchmark"].removeprefix(start): each["ratio"]
            for each in table
            if each["benchmark"].startswith(start) and each["variant"] == "compiled"
        }
        Path(given.chart).write_text(chart(ratios), encoding="utf-8")
    writer = csv.DictWriter(sys.stdout, table[0])
    writer.writeheader()
    writer.writerows(table)


if __name__ == "__main__":
    main()
