"""Time the engine beside snnTorch's loop and other frameworks, in one run.

``make bench`` in this folder measures on random input, and prints a table in CSV. It needs this
package, and times the frameworks that are installed (``pip install '.[bench]'``). Every round runs
each way once, and a ratio is the median over the rounds of snnTorch's time by that of the way.
"""

import argparse
import copy
import csv
import importlib.metadata
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import geometric_mean, median
from unittest import mock

import snntorch as snn
import torch
from snntorch import surrogate
from torch import nn

import shd_engine as engine
from engine_examples.recurrent_digits import Recurrent
from engine_examples.twelve_programs import (
    USUAL,
    Program,
    SpikesOverTime,
    StaticImage,
    input_of,
    loop_of,
)
from shd_engine.recording import leaves

SLOPE = 25.0


def of_the_study() -> nn.Module:
    """Return the study's network, whose hidden neurons spike in a few per cent of the steps."""
    net = SpikesOverTime(183, 256, n_steps=333)
    net.lif1.spike_grad = net.lif2.spike_grad = surrogate.fast_sigmoid(SLOPE)
    with torch.no_grad():
        net.fc1.weight *= 3
    return net


def recurrent() -> nn.Module:
    """Return a recurrent network of this size, whose neurons spike about as often."""
    net = Recurrent(183, 10, n_hidden=256)
    with torch.no_grad():
        net.fc1.weight *= 3
    return net


STUDY = {
    f"{name}, batches of {batch}": Program(make, (333, batch, 183), share=0.03)
    for name, make in (("the study's network", of_the_study), ("a recurrent network", recurrent))
    for batch in (128, 32, 8)
}


# --- other frameworks ---------------------------------------------------------------------------


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


FRAMEWORKS = {"spikingjelly": in_spikingjelly, "norse": in_norse}


def version(package: str) -> str:
    """Return a package's version; empty if it isn't installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


# --- measurements -------------------------------------------------------------------------------


def step(run: Callable, x: torch.Tensor, net: nn.Module) -> None:
    """Take a batch forward and back."""
    net.zero_grad()
    sum(each.sum() for each in leaves(run(x))).backward()


def ways(program: Program) -> dict[str, Callable]:
    """Return a program's training step in all ways that can express it."""
    torch.manual_seed(0)
    net = program.make()
    x = input_of(program, torch.Generator().manual_seed(0))
    fast = engine.unroll(net) if program.is_one_step else engine.compile(net)
    found = {
        "compiled": partial(step, fast, x, net),
        "snntorch loop": partial(step, loop_of(program, net), x, net),
    }
    if isinstance(net, SpikesOverTime | Recurrent):
        events, labels = engine.EventLists.of(x), torch.arange(x.shape[1]) % 10
        found["loss_and_gradients"] = partial(fast.loss_and_gradients, events, labels)
    if program.is_one_step or isinstance(net, StaticImage):
        for framework, translate in FRAMEWORKS.items():
            if version(framework):
                layers = [each for each in copy.deepcopy(net).modules() if not [*each.children()]]
                frames = x
                if isinstance(net, StaticImage):
                    layers = [nn.Flatten(), *layers]
                    if not isinstance(net, SpikesOverTime):
                        frames = x.expand(net.n_steps, *x.shape)
                parameters = nn.ModuleList(layers)
                found[framework] = partial(step, translate(layers), frames, parameters)
    return found


def clock(action: Callable, at_least_s: float = 0.1) -> float:
    """Return the median time of a call, after one untimed: the last way left cold caches."""
    action()
    times: list[float] = []
    while sum(times) < at_least_s:
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return median(times)


def measured(rounds: int, programs: dict[str, Program]) -> list[dict]:
    """Return a row for each program and way."""
    rows = []
    for name, program in programs.items():
        steps = ways(program)
        times: dict[str, list[float]] = {way: [] for way in steps}
        for _ in range(rounds):
            for way, run in steps.items():
                times[way].append(clock(run))
        for way, own in times.items():
            ratios = [a / b for a, b in zip(times["snntorch loop"], own, strict=True)]
            rows.append(
                {"program": name, "variant": way, "median_s": median(own), "ratio": median(ratios)}
            )
    return rows


def first_call(share: float) -> float:
    """Return how long the first training step of the study's network takes, in seconds."""
    net = of_the_study()
    program = Program(of_the_study, (333, 8, 183), share=share)
    x = input_of(program, torch.Generator().manual_seed(0))
    start = time.perf_counter()
    step(engine.compile(net), x, net)
    return time.perf_counter() - start


def first_calls() -> list[dict]:
    """Return a row for each kind of input, measured in a process that finds no machine code."""
    rows = []
    for kind, share in (("zeros and ones", 0.03), ("any numbers", 0.0)):
        with (
            tempfile.TemporaryDirectory() as cache,
            mock.patch.dict(os.environ, {"NUMBA_CACHE_DIR": cache}),
            ProcessPoolExecutor(1, get_context("spawn")) as pool,
        ):
            seconds = pool.submit(first_call, share).result()
        rows.append({"program": "the first call", "variant": kind, "median_s": seconds})
    return rows


def setting() -> str:
    """Return machine and versions in one line."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    packages = ("torch", "snntorch", "numba", "numpy", *FRAMEWORKS)
    versions = [f"{package} {version(package)}" for package in packages if version(package)]
    return (
        f"{[*names, platform.processor()][0]}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads; Python {platform.python_version()}, "
        f"{', '.join(versions)}"
    )


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
    twelve = measured(given.rounds, USUAL)
    ratios = {row["program"]: row["ratio"] for row in twelve if row["variant"] == "compiled"}
    if given.chart:
        Path(given.chart).write_text(chart(ratios), encoding="utf-8")
    mean = {"program": "all twelve", "variant": "geometric mean"}
    mean["ratio"] = geometric_mean(ratios.values())
    table = [*twelve, mean, *measured(given.rounds, STUDY), *first_calls()]
    writer = csv.DictWriter(sys.stdout, [*table[0], "note"])
    writer.writeheader()
    writer.writerows([table[0] | {"note": setting()}, *table[1:]])


if __name__ == "__main__":
    main()
