"""Time the compiled engine beside snntorch's loop and other frameworks, in one run.

The frameworks are timed as far as they are installed (``pip install -e '.[bench]'``). They get
their dense input ready-made, outside of the clock; the engine reads event lists. Every round runs
each variant once, and a ratio is the median over the rounds of snntorch's time by the variant's.
"""

import importlib.metadata
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import numpy as np
import snntorch as snn
import torch
from torch import nn
from torch.nn import functional as F

import shd_engine
from shd_helpers.data import obtain
from shd_helpers.events import Downsampling, Events, load_pair
from shd_helpers.network import NetworkConfig, SpikingNetwork
from shd_helpers.network.engine import COMPILED, SNNTORCH_LOOP
from shd_helpers.paths import data_dir

SIZES = (183, 256, 10)
BETA = 0.95
SLOPE = 25.0
SNNTORCH = "reset: subtracts the threshold one step later, detached; tie: no spike; surrogate 1/(k|x|+1)^2, k 25"  # noqa: E501


def synthetic(n: int, n_steps: int = 333, density: float = 0.02, seed: int = 0) -> Events:
    """Return n utterances of random events, of the study's 183 units."""
    rng = np.random.default_rng(seed)
    n_units = SIZES[0]
    cells = [rng.random((n_steps, SIZES[0])) < density for _ in range(n)]
    steps, units = (np.concatenate(part) for part in zip(*map(np.nonzero, cells), strict=True))
    offsets = np.concatenate([[0], np.cumsum([c.sum() for c in cells])]).astype(np.int64)
    labels = rng.integers(0, 10, n)
    names = tuple(map(str, range(10)))
    return Events(
        steps.astype(np.uint16), units.astype(np.uint16), offsets, labels, np.zeros(n, np.int64),
        names, n_steps, n_units,
    )  # fmt: skip


def speech() -> str:
    """Return the data set to measure on: `hd` where it has been made, else `digits`."""
    return "hd" if (data_dir() / "hd" / "hd.json").is_file() else "digits"


def utterances() -> tuple[Events, str]:
    """Return downsampled utterances, and a text with their data set and density."""
    events = load_pair(obtain(speech()), Downsampling())[0]
    density = len(events.steps) / len(events) / events.n_steps / events.n_units
    return events, f"{speech()}, density {density:.1%}"


def network() -> SpikingNetwork:
    """Return the study's network with a hidden rate of a few per cent."""
    config = NetworkConfig(beta=BETA, slope=SLOPE)
    model = SpikingNetwork(SIZES, config, torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.fc1.weight *= 2
    return model


# --- the variants: each makes a training step and an inference of a batch -----------------------


def backward(counts: torch.Tensor, y: torch.Tensor, parameters: list[nn.Parameter]) -> None:
    """Do what all torch variants do after the forward pass."""
    for parameter in parameters:
        parameter.grad = None
    F.cross_entropy(counts, y).backward()


def by_torch(forward: Callable, module: nn.Module, x: torch.Tensor, y: torch.Tensor):
    """Return training step and inference of a torch network that counts output spikes."""
    parameters = list(module.parameters())
    return lambda: backward(forward(x), y, parameters), torch.no_grad()(lambda: forward(x))


def compiled(events: Events, index: np.ndarray):
    """Set up this repository's engine."""
    model = network()
    return (
        lambda: COMPILED.forward_backward(model, events, index),
        lambda: COMPILED.evaluate_batch(model, events, index),
        SNNTORCH,
    )


def snntorch_loop(events: Events, index: np.ndarray):
    """Set up the readable loop."""
    model = network()
    x, y = to_frames(events, index)
    return *by_torch(model, model, x, y), SNNTORCH


def snntorch_tuned(events: Events, index: np.ndarray):
    """Set up snntorch's neurons layer by layer, each layer's products over all steps in one."""
    model = network()
    x, y = to_frames(events, index)

    def forward(x):
        for fc, lif in model.layers:
            mem = None
            spks = []
            for cur in fc(x).unbind(0):
                spk, mem = lif(cur, torch.zeros_like(cur) if mem is None else mem)
                spks.append(spk)
            x = torch.stack(spks)
        return x.sum(0)

    return *by_torch(forward, model, x, y), SNNTORCH


def spikingjelly(events: Events, index: np.ndarray):
    """Set up SpikingJelly's multi-step mode."""
    from spikingjelly.activation_based import functional, layer, neuron, surrogate

    layers = []
    for fc, _ in network().layers:
        linear = layer.Linear(fc.in_features, fc.out_features, step_mode="m")
        linear.load_state_dict(fc.state_dict())
        lif = neuron.LIFNode(
            tau=1 / (1 - BETA), decay_input=False, v_threshold=1.0, v_reset=None,
            surrogate_function=surrogate.ATan(alpha=2.0), detach_reset=True, step_mode="m",
        )  # fmt: skip
        layers += [linear, lif]
    module = nn.Sequential(*layers)
    (x, y) = to_frames(events, index)

    def forward(x):
        functional.reset_net(module)
        return module(x).sum(0)

    rule = "reset: subtracts the threshold at once, detached; tie: spike; surrogate (a/2)/(1+(pi a x/2)^2), a 2"  # noqa: E501
    return *by_torch(forward, module, x, y), rule


def norse(events: Events, index: np.ndarray):
    """Set up Norse's current-free neuron, its inputs scaled to the same membranes."""
    import norse.torch as nt
    from norse.torch.functional.lif_box import LIFBoxParameters
    from norse.torch.functional.reset import reset_subtract

    p = LIFBoxParameters(
        tau_mem_inv=torch.tensor((1 - BETA) / 1e-3), alpha=torch.tensor(SLOPE),
        reset_method=reset_subtract,
    )  # fmt: skip
    module = network()
    (x, y) = to_frames(events, index)
    with torch.no_grad():
        for fc, _ in module.layers:
            fc.weight.div_(1 - BETA)
            fc.bias.div_(1 - BETA)
    cell = nt.LIFBoxCell(p)

    def forward(x):
        for fc, _ in module.layers:
            state = None
            spks = []
            for cur in fc(x).unbind(0):  # norse.torch.Lift, by index, is quadratic in the steps
                spk, state = cell(cur, state)
                spks.append(spk)
            x = torch.stack(spks)
        return x.sum(0)

    rule = "reset: subtracts the threshold at once, not detached; tie: no spike; surrogate 1/(k|x|+1)^2, k 25"  # noqa: E501
    return *by_torch(forward, module, x, y), rule


def jax_scan(events: Events, index: np.ndarray):
    """Set up a scan over steps, compiled by XLA, products with the input outside of it."""
    import jax
    import jax.numpy as jnp

    @jax.custom_jvp
    def fire(x):
        return (x > 0).astype(jnp.float32)

    @fire.defjvp
    def _(primals, tangents):
        return fire(primals[0]), tangents[0] / (SLOPE * jnp.abs(primals[0]) + 1) ** 2

    def lif(mem, cur):
        mem = BETA * mem + cur - jax.lax.stop_gradient(fire(mem - 1))
        return mem, fire(mem - 1)

    def counts(parameters, x):
        (w1, b1), (w2, b2) = parameters

        def one(mems, cur):
            mem1, spk1 = lif(mems[0], cur)
            mem2, spk2 = lif(mems[1], spk1 @ w2.T + b2)
            return (mem1, mem2), spk2

        rest = tuple(jnp.zeros((x.shape[1], n)) for n in SIZES[1:])
        return jax.lax.scan(one, rest, x @ w1.T + b1)[1].sum(0)

    def loss(parameters, x, y):
        log_p = jax.nn.log_softmax(counts(parameters, x))
        return -log_p[jnp.arange(len(y)), y].mean()

    parameters = [tuple(p.detach().numpy() for p in fc.parameters()) for fc, _ in network().layers]
    x, y = (jnp.asarray(a.numpy()) for a in to_frames(events, index))
    train = jax.jit(jax.value_and_grad(loss))
    infer = jax.jit(counts)
    return (
        lambda: jax.block_until_ready(train(parameters, x, y)),
        lambda: jax.block_until_ready(infer(parameters, x)),
        SNNTORCH,
    )


def to_frames(events: Events, index: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Return input (steps, batch, units) and labels (batch,)."""
    return torch.from_numpy(events.to_frames(index)), torch.from_numpy(events.labels[index])


VARIANTS = {
    "compiled": (compiled, "numba"),
    "snntorch loop": (snntorch_loop, "snntorch"),
    "snntorch loop, products hoisted": (snntorch_tuned, "snntorch"),
    "SpikingJelly, multi-step": (spikingjelly, "spikingjelly"),
    "Norse": (norse, "norse"),
    "JAX scan, jit": (jax_scan, "jax"),
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


def pairwise(events: Events, batch: int, rounds: int) -> list[dict]:
    """Time a training step and an inference with all variants, round by round."""
    index = np.arange(batch)
    ready = {}
    out = []
    for name, (make, package) in VARIANTS.items():
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            out.append(row("training step", name, batch, note="not installed"))
            continue
        ready[name] = make(events, index)
    for which, benchmark in enumerate(["training step", "inference"]):
        times: dict[str, list[float]] = {name: [] for name in ready}
        for _ in range(rounds):
            for name, variant in ready.items():
                times[name].append(clock(variant[which]))  # the first call of all compiles, unseen
        for name, variant in ready.items():
            ratios = [a / b for a, b in zip(times["snntorch loop"], times[name], strict=True)]
            out.append(row(benchmark, name, batch, median(times[name]), median(ratios), variant[2]))
    return out


def larger(events: Events, rounds: int) -> list[dict]:
    """Time a training step of larger networks with both engines, round by round."""
    engines = {"compiled": COMPILED, "snntorch loop": SNNTORCH_LOOP}
    late = tuple(range(0, 80, 10))
    networks: dict[str, tuple[tuple, tuple, dict]] = {
        "eight delays": (SIZES, late, {}),
        "shared weights": ((SIZES[0], 16, SIZES[2]), late, {"kernel_size": 32}),
    }
    out = []
    for name, (sizes, delays, options) in networks.items():
        config = NetworkConfig(beta=BETA, slope=SLOPE, **options)
        generator = torch.Generator().manual_seed(0)
        model = SpikingNetwork(sizes, config, generator, delays=delays)
        with torch.no_grad():
            model.fc1.weight *= 2
        for batch in (128, 32):
            times: dict[str, list[float]] = {variant: [] for variant in engines}
            for _ in range(rounds):
                for variant, run in engines.items():
                    index = np.arange(batch)
                    times[variant].append(
                        clock(lambda r=run, m=model, i=index: r.forward_backward(m, events, i))
                    )
            for variant, own in times.items():
                ratio = median(a / b for a, b in zip(times["snntorch loop"], own, strict=True))
                out.append(row(f"training step, {name}", variant, batch, median(own), ratio))
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


def own_modules(events: Events, rounds: int) -> list[dict]:
    """Time a training step of a user's modules, compiled and in their own loops, round by round."""
    out = []
    for name, module in (("own module", OwnModule()), ("own module, recurrent", Recurrent())):
        fast = shd_engine.compile(module, strict=True)
        parameters = list(module.parameters())

        def any_loss(net, y, *x, parameters=parameters):
            backward(net(*x)[0].sum(0), y, parameters)

        for batch in (128, 32, 8):
            index = np.arange(batch)
            x, y = to_frames(events, index)
            variants = {
                "loss_and_gradients": partial(fast.loss_and_gradients, events, y, index),
                "any loss": partial(any_loss, fast, y, events, index),
                "any loss, dense input": partial(any_loss, fast, y, x),
                "snntorch loop": partial(any_loss, module, y, x),
            }
            times: dict[str, list[float]] = {variant: [] for variant in variants}
            for _ in range(rounds):
                for variant, step in variants.items():
                    times[variant].append(clock(step))
            for variant, of_variant in times.items():
                pairs = zip(times["snntorch loop"], of_variant, strict=True)
                ratio = median(loop / own for loop, own in pairs)
                out.append(row(f"training step, {name}", variant, batch, median(of_variant), ratio))
    return out


def scanned(events: Events, rounds: int) -> list[dict]:
    """Time a training step whose layers of neurons are scanned, round by round.

    Nothing that leaves the products to torch can be faster than the row "products alone".
    """
    out = []
    for benchmark, module in (("scan", OwnModule()), ("scan, recurrent", Recurrent())):

        def by_scan(x, net=module):
            spk1, _ = shd_engine.scan(net.fc1(x), net.lif1)
            return shd_engine.scan(net.fc2(spk1), net.lif2)[0].sum(0)

        forwards = {
            "scan": by_scan,
            "products alone": lambda x, net=module: net.fc2(net.fc1(x)).sum(0),
            "snntorch loop": lambda x, net=module: net(x)[0].sum(0),
        }
        for batch in (128, 32, 8):
            x, y = to_frames(events, np.arange(batch))
            times: dict[str, list[float]] = {variant: [] for variant in forwards}
            for _ in range(rounds):
                for variant, forward in forwards.items():
                    step, _ = by_torch(forward, module, x, y)
                    times[variant].append(clock(step))
            for variant, own in times.items():
                ratio = median(a / b for a, b in zip(times["snntorch loop"], own, strict=True))
                out.append(row(f"training step, {benchmark}", variant, batch, median(own), ratio))
    return out


def growth(rounds: int) -> list[dict]:
    """Time a step at four sizes each of steps, batch and events; the ratio is to the smallest."""
    sizes = {
        "steps": [(n, synthetic(64, n_steps=n), 64) for n in (83, 166, 332, 664)],
        "batch": [(n, synthetic(256), n) for n in (32, 64, 128, 256)],
        "events": [(d, synthetic(64, density=d / 100), 64) for d in (1, 2, 4, 8)],
    }
    out = []
    model = network()
    for what, cases in sizes.items():
        times: list[list[float]] = [[] for _ in cases]
        for _ in range(rounds):
            for (_, events, batch), column in zip(cases, times, strict=True):
                column.append(
                    clock(
                        lambda e=events, b=batch: COMPILED.forward_backward(model, e, np.arange(b))
                    )
                )
        x = np.array([n for n, *_ in cases], float)
        y = np.array([median(t) for t in times])
        line = np.polyval(np.polyfit(x, y, 1, w=1 / y), x)
        note = f"off a straight line by {np.max(np.abs(line / y - 1)):.0%} at most"
        for (n, _, batch), seconds in zip(cases, y, strict=True):
            variant = f"{n} {what}" if what != "events" else f"density {n} %"
            out.append(row(f"growth with {what}", variant, batch, seconds, seconds / y[0], note))
    return out


# Run as `python -m evidence.benchmarks.bench_engine TASK`: what must have a process of its own.


def task_memory(which: str) -> None:
    """Print by how many bytes one step raises the process's peak."""
    run = {"compiled": COMPILED, "snntorch loop": SNNTORCH_LOOP}[which]
    events = utterances()[0]
    model = network()
    run.forward_backward(model, events, np.arange(2))

    def status(key):
        with open("/proc/self/status") as file:  # noqa: PTH123
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith(key))

    with open("/proc/self/clear_refs", "w") as file:  # noqa: PTH123
        file.write("5")  # sets the peak back to what is in use now
    before = status("VmRSS")
    run.forward_backward(model, events, np.arange(128))
    print(status("VmHWM") - before)


def task_first_call() -> None:
    """Print how long the first step takes, and the next."""
    events = synthetic(8)
    model = network()
    for _ in range(2):
        start = time.perf_counter()
        COMPILED.forward_backward(model, events, np.arange(8))
        print(time.perf_counter() - start)


def task_worker(seconds: float = 4.0) -> None:
    """Wait for a line, then print how many steps a second are done."""
    events = utterances()[0]
    model = network()
    COMPILED.forward_backward(model, events, np.arange(128))
    print("ready", flush=True)
    sys.stdin.readline()
    start = time.perf_counter()
    n = 0
    while time.perf_counter() < start + seconds:
        COMPILED.forward_backward(model, events, np.arange(128))
        n += 1
    print(n / (time.perf_counter() - start), flush=True)


def spawn(*task: str, **environment: str) -> subprocess.Popen:
    """Start a task."""
    return subprocess.Popen(
        [sys.executable, "-m", "evidence.benchmarks.bench_engine", *task],
        text=True,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def memory() -> list[dict]:
    """Measure the peak memory of a step at batch 128, input included."""
    if sys.platform != "linux":
        return [row("peak memory", "compiled", 128, note="not measured: read from Linux's /proc")]
    size = {v: int(spawn("memory", v).communicate()[0]) for v in ("compiled", "snntorch loop")}
    return [
        row("peak memory", v, 128, None, size["snntorch loop"] / size[v], f"{n / 1e6:.0f} MB")
        for v, n in size.items()
    ]


def first_call() -> list[dict]:
    """Time the first step of a process, without and with compiled code on disk."""
    out = []
    with tempfile.TemporaryDirectory() as cache:
        for variant in ("empty cache", "warm cache"):
            first, second = spawn("first_call", NUMBA_CACHE_DIR=cache).communicate()[0].split()
            out.append(row("first call", variant, 8, float(first), None, f"then {second:.6} s"))
    return out


def processes() -> list[dict]:
    """Compare the throughput of two processes of one thread each with that of one."""
    out = []
    rates = {}
    for n in (1, 2):
        workers = [spawn("worker", OMP_NUM_THREADS="1") for _ in range(n)]
        pipes: list = [(worker.stdin, worker.stdout) for worker in workers]
        for _, out_pipe in pipes:
            out_pipe.readline()
        for in_pipe, _ in pipes:
            in_pipe.write("go\n")
            in_pipe.flush()
        rates[n] = sum(float(worker.communicate()[0]) for worker in workers)
        variant = f"{n} process{'es' * (n > 1)} of 1 thread"
        note = f"{rates[n]:.0f} steps a second in all"
        out.append(row("sweep", variant, 128, 1 / rates[n], rates[n] / rates[1], note))
    return out


def least_work(events: Events, batch: int) -> tuple[int, int]:
    """Return how many operations a training step needs at least, and how many bytes it moves."""
    _, hidden, classes = SIZES
    _, n_spikes = COMPILED.evaluate_batch(network(), events, np.arange(batch))
    n_events = int(events.offsets[batch] - events.offsets[0])
    cells = batch * events.n_steps * hidden
    operations = (
        2 * n_events * hidden  # weight rows forward, gradient rows back
        + 2 * int(n_spikes[:, 0].sum()) * classes
        + 2 * cells * classes  # the way back through the second layer's weights
        + cells * (5 + 5 + 2 + 1)  # membrane and spike, surrogate, carry, bias
    )
    traffic = 4 * hidden * 2 * n_events + 4 * cells * 4  # those rows; membranes out, in; g out, in
    return operations, traffic


def floor(events: Events, step_s: float) -> list[dict]:
    """Compare the step at batch 128 with what its arithmetic and its traffic take at peak."""
    threads = torch.get_num_threads()
    a = torch.randn(1024, 1024)
    flops = 2 * 1024**3 / clock(lambda: a @ a)  # the product uses all threads
    bytes_s = copied_bytes_s(threads)
    batch = 128
    operations, traffic = least_work(events, batch)
    arithmetic_s = operations / flops
    arithmetic = (
        f"{operations / 1e6:.0f} million operations at {flops / 1e9:.0f} G/s (matrix product)"
    )
    traffic_s = traffic / bytes_s
    copies = f"{traffic / 1e6:.0f} MB at {bytes_s / 1e9:.0f} GB/s (copy in the second cache)"
    return [
        row("floor", "arithmetic", batch, arithmetic_s, step_s / arithmetic_s, arithmetic),
        row("floor", "memory traffic", batch, traffic_s, step_s / traffic_s, copies),
    ]


def copied_bytes_s(threads: int) -> float:
    """Return how many bytes per second the threads copy in the second cache."""
    pairs = [(np.ones(64 * 1024, np.float32), np.empty(64 * 1024, np.float32)) for _ in range(8)]

    def copy(source, target):  # 256 KB each, so that both stay in the second cache
        for _ in range(2000):
            np.copyto(target, source)

    def copy_in_threads():
        jobs = [threading.Thread(target=copy, args=pair) for pair in pairs[:threads]]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join()

    n_jobs = min(threads, len(pairs))
    return n_jobs * 2000 * 2 * pairs[0][0].nbytes / clock(copy_in_threads)


def setting() -> str:
    """Return machine, versions and input in one line."""
    packages = ["torch", "snntorch", "numba", "numpy", "spikingjelly", "norse", "jax"]
    versions = []
    for package in packages:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return (
        f"{processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads; "
        f"Python {platform.python_version()}, {', '.join(versions)}; "
        f"{'-'.join(map(str, SIZES))}, 333 steps, {utterances()[1]}"
    )


def processor() -> str:
    """Return the processor's name."""
    if sys.platform == "linux":
        with open("/proc/cpuinfo") as file:  # noqa: PTH123
            for line in file:
                if line.startswith("model name"):
                    return line.split(":")[1].strip()
    return platform.processor()


def rows(rounds: int = 7) -> list[dict]:
    """Measure everything; a few minutes."""
    events, _ = utterances()
    table = [row("configuration", "", None, note=setting())]
    for batch in (128, 32, 8):
        table += pairwise(events, batch, rounds)
    step_s = next(
        r["median_s"]
        for r in table
        if (r["benchmark"], r["variant"]) == ("training step", "compiled")
    )
    table += larger(events, rounds)
    table += own_modules(events, rounds)
    table += scanned(events, rounds)
    return table + memory() + growth(rounds) + processes() + first_call() + floor(events, step_s)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        globals()[f"task_{sys.argv[1]}"](*sys.argv[2:])
    else:
        import pandas as pd

        with pd.option_context("display.width", 200, "display.max_colwidth", 100):
            print(pd.DataFrame(rows()).to_string(index=False))
