"""Small fixed computations that show whether changed code still computes the same.

Each takes fixed inputs through a part of the code. small_computations.json has what they returned
at today's version numbers, and test_small_computations.py compares.
``python -m tests.small_computations`` compares, too, and then records the hash of the code in
versions.py. It stores new values for a version number that was raised, and no others.
"""

import contextlib
import hashlib
import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from shd_corpus import versions as corpus_versions
from shd_corpus.class_names import LANGUAGES
from shd_corpus.cochlea import encode
from shd_corpus.shd_file import Utterances
from shd_corpus.sound_file import RATE_HZ, at_48_khz
from shd_helpers import versions
from shd_helpers.events import Augmentation, Downsampling, Events, Split, downsample
from shd_helpers.events.loading import split_utterances
from shd_helpers.network import NetworkConfig, Quantization, build_network, choose_engine, costs
from shd_helpers.network.engine import ENGINES, one_thread
from shd_helpers.study.training import TrainConfig, TrainOptions, evaluate, fit
from shd_helpers.versions import code_hash

VALUES = Path(__file__).with_suffix(".json")
# Another processor adds in another order, which changes the last digits.
TOLERANCE = 2e-4  # relative and absolute
# The cochlea's spikes are drawn, so a rounded probability may add, remove or delay one or a few.
SPIKE_TOLERANCE = 2e-3
ONE_SPIKE = 1.0  # also one millisecond of a mean time
N_DIGITS = 7  # of a stored value

N_UTTERANCES = 10
N_STEPS = 40
N_UNITS = 30
N_CLASSES = 4
NETWORKS: dict[str, dict] = {
    "fast sigmoid": {},
    "arctangent": {"surrogate": "atan", "slope": 3.0},  # at 2, one of its factors is 1
    "sigmoid": {"surrogate": "sigmoid"},
    "membrane readout": {"readout": "membrane"},
    "learned betas": {"learn_beta": True},
    "learned thresholds": {"learn_threshold": True},
    "delays": {"n_delays": 3},
    "shared weights": {"kernel_size": 8, "stride": 5, "n_hidden": 6},
    "adaptive neurons": {"neuron": "adaptive"},
    "two hidden layers": {"hidden": "12,8", "hidden_delays": "2,2"},
}
AUGMENTATION = Augmentation(shift_units=3, shift_ms=9.0, stretch=0.2, dropout=0.2)
LOW_PRECISION = Quantization(fc1_bits=3, fc2_bits=8, mem_bits=12, quantized_epochs=2)

# What a case computes, by name; a text is a digest of whole numbers, which is compared exactly.
CaseValues = Mapping[str, list[float] | str]


def compute(
    version_names: Iterable[str] = ("SPIKES", "NUMERICS"),
) -> dict[str, dict[str, CaseValues]]:
    """Return the values of all cases, by the name of their version number and by their own."""
    cases = cases_by_version()
    with one_thread():  # for products this small, waiting for a second thread takes longer
        return {
            version_name: {name: case() for name, case in cases[version_name].items()}
            for version_name in version_names
        }


def number_of(name: str) -> int:
    """Return a version number; those of sound are in shd_corpus."""
    module = versions if name == "NUMERICS" else corpus_versions
    return getattr(module, name)


def stored() -> dict:
    """Return the stored values of each version number, and under `versions` the numbers."""
    return json.loads(VALUES.read_text(encoding="utf-8"))


def differences(version_name: str, computed: Mapping[str, CaseValues]) -> list[str]:
    """Return the cases of a version number that differ from the stored ones, and which values."""
    wanted = stored()[version_name]
    different = []
    for case, values in computed.items():
        expected = wanted.get(_stored_name(case), {})
        names = [
            name
            for name in values | expected
            if not _agree(values.get(name), expected.get(name), version_name)
        ]
        if names:
            different.append(f"{case} ({', '.join(names)})")
    return different


def _stored_name(case: str) -> str:
    """Return a case's name without the engine, because all engines compute the same."""
    return case.partition(" (")[0]


def _agree(today: list[float] | str | None, wanted: list[float] | str | None, name: str) -> bool:
    """Return whether a value is the stored one, up to how processors round."""
    if not isinstance(today, list) or not isinstance(wanted, list):
        return today == wanted
    tolerances = (SPIKE_TOLERANCE, ONE_SPIKE) if name == "SPIKES" else (TOLERANCE, TOLERANCE)
    return len(today) == len(wanted) and np.allclose(today, wanted, *tolerances)


def report(computed: Mapping[str, Mapping[str, CaseValues]]) -> str:
    """Return which version numbers don't belong to what the code computes, and what to do."""
    sentences = []
    for name, cases in computed.items():
        number = number_of(name)
        if number != stored()["versions"][name]:
            continue  # it was raised
        if different := differences(name, cases):
            sentences.append(
                f"versions.py: {name} is {number}, but this code computes different "
                f"results than that version: {'; '.join(different)}. If the change is a mistake, "
                f"undo it. If it is intended, raise {name} to {number + 1}."
            )
    return " ".join(sentences)


def record(computed: Mapping[str, Mapping[str, CaseValues]]) -> None:
    """Store the values of version numbers that were raised, and the hash of the code."""
    content = stored()
    for name, cases in computed.items():
        number = number_of(name)
        if number != content["versions"][name]:
            content["versions"][name] = number
            content[name] = {_stored_name(case): _rounded(cases[case]) for case in cases}
    VALUES.write_text(_as_json(content), encoding="utf-8")
    path = Path(versions.__file__)
    text = re.sub('COMPUTING_CODE = ".*"', f'COMPUTING_CODE = "{code_hash()}"', path.read_text())
    path.write_text(text, encoding="utf-8")


def _rounded(values: CaseValues) -> CaseValues:
    """Return values with as many digits as a comparison needs."""
    return {
        name: value if isinstance(value, str) else [float(f"{x:.{N_DIGITS}g}") for x in value]
        for name, value in values.items()
    }


def _as_json(content: Mapping[str, Mapping]) -> str:
    """Return JSON with a line for each case."""
    groups = []
    for group, cases in content.items():
        lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in cases.items()]
        groups.append(f" {json.dumps(group)}: {{\n" + ",\n".join(lines) + "\n }")
    return "{\n" + ",\n".join(groups) + "\n}\n"


def cases_by_version() -> dict[str, dict[str, Callable[[], CaseValues]]]:
    """Return the computations, by the name of their version number and by their own name."""
    numerics: dict[str, Callable[[], CaseValues]] = {
        "downsampling and splits": downsampling_and_splits
    }
    for engine in ENGINES:
        for name, network in NETWORKS.items():
            numerics[f"{name} ({engine})"] = partial(one_update, network, engine)
    numerics["steps of 6 ms"] = partial(one_update, {"n_delays": 3}, "compiled", step_ms=6.0)
    numerics["training"] = training
    numerics["augmentation"] = partial(training, augmentation=AUGMENTATION)
    numerics["quantization-aware training"] = partial(training, quantization=LOW_PRECISION)
    numerics["costs"] = measured_costs
    return {
        "SPIKES": {"cochlea": cochlea},
        "NUMERICS": numerics,
    }


def cochlea() -> CaseValues:
    """Encode a fixed sound, once made at 48 kHz and once resampled from 16 kHz."""
    values: dict[str, list[float] | str] = {}
    for name, rate_hz in {"48 kHz": RATE_HZ, "16 kHz": 16_000}.items():
        wave = at_48_khz(_sound(rate_hz), rate_hz)
        times, units = encode(wave, RATE_HZ, seed=3)
        group = units // 100
        counts = np.bincount(group, minlength=7)
        sums_s = np.bincount(group, times, minlength=7)
        values[f"{name}: spikes of 100 channels each"] = counts.astype(float).tolist()
        values[f"{name}: their mean times, ms"] = (1000 * sums_s / np.maximum(counts, 1)).tolist()
    return values


def downsampling_and_splits() -> CaseValues:
    """Downsample fixed utterances, and split them by each protocol."""
    values: dict[str, list[float] | str] = {}
    grids = {"study": Downsampling(), "coarse": Downsampling(0, 0.7, 9, 10, 3)}
    for name, grid in grids.items():
        events = downsample(_utterances(seed=0), grid, "both")
        values[f"events, {name}"] = _digest(events.steps, events.units, events.offsets)
    files = []
    for file_number in (0, 1):
        events = downsample(_utterances(seed=file_number), grids["coarse"], "german")
        files.append(replace(events, file=np.full(len(events), file_number, np.uint8)))
    train, test = files
    splits = {
        "official": Split(),
        "by speaker": Split(validation="speaker", validation_speakers="1,3"),
        "leave one speaker out": Split(protocol="leave_one_speaker_out", held_out=2),
    }
    for name, split in splits.items():
        parts = split_utterances(train, test, split, seed=1)
        rows: list[np.ndarray] = []
        for chosen in parts:
            assert chosen is not None and chosen.rows is not None and chosen.file is not None
            rows += [chosen.rows, chosen.file, chosen.labels]
        values[f"split, {name}"] = _digest(*rows)
    return values


def one_update(network: Mapping, engine: str, step_ms: float = 3.0) -> CaseValues:
    """Take a batch forward and backward through a small network."""
    events = _events(step_ms)
    model = _model(network, step_ms)
    index = np.arange(len(events))
    chosen = choose_engine(engine, model)
    loss, scores = chosen.forward_backward(model, events, index)
    values: dict[str, list[float] | str] = {"loss": [loss], "training scores": _summary(scores)}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            values[f"gradient of {name}"] = _summary(parameter.grad)
    scores, n_spikes = chosen.evaluate_batch(model, events, index)
    values["scores"] = _summary(scores)
    values["spikes"] = _summary(n_spikes.double().sum(0))
    return values


def training(
    augmentation: Augmentation | None = None, quantization: Quantization | None = None
) -> CaseValues:
    """Train a small network for three epochs with a learning rate that changes."""
    events = _events()
    model = _model({"n_hidden": 12})
    config = TrainConfig(3, 4, 0.01, lr_step=1)
    generator = torch.Generator().manual_seed(6)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints a line for each epoch
        history = fit(
            model,
            events,
            events,
            config,
            generator,
            options=TrainOptions(augmentation, quantization),
        )
    values: dict[str, list[float] | str] = {
        "losses": [epoch["train_loss"] for epoch in history],
        "rates": [epoch["lr"] for epoch in history],
        "scores": _summary(evaluate(model, events).class_scores),
    }
    for name, parameter in model.named_parameters():
        values[name] = _summary(parameter)
    return values


def measured_costs() -> CaseValues:
    """Count what an utterance costs, as a row of a table has it."""
    events = _events()
    model = _model({"n_delays": 3})
    predictions = evaluate(model, events).predictions()
    values = costs(model, predictions, events.n_steps)
    return {name: [float(value)] for name, value in values.items()}


def _sound(rate_hz: int) -> np.ndarray:
    """Return a buzz of 0.15 s that glides from 110 to 150 Hz, with its overtones: (samples,)."""
    t = np.arange(round(0.15 * rate_hz)) / rate_hz
    phase = 2 * np.pi * (110 * t + 40 / 0.3 * t**2)
    overtones = np.arange(1, 45)[:, None]
    return np.sum(np.sin(overtones * phase) / overtones**0.7, axis=0) * np.hanning(len(t))


def _utterances(seed: int) -> Utterances:
    """Return one utterance of each of 20 classes by each of four speakers, of 500 spikes each."""
    rng = np.random.default_rng(seed)
    n_spikes = 500
    keys = LANGUAGES["both"]
    labels = np.repeat(np.arange(len(keys)), 4)
    times = np.sort(rng.uniform(0, 0.9, (len(labels), n_spikes)), axis=1)
    centers = 100 + 25 * labels[:, None] + 100 * times
    units = np.clip(np.rint(rng.normal(centers, 15)), 0, 699)
    return Utterances(
        times.flatten().astype(np.float16),
        units.flatten().astype(np.uint16),
        np.arange(len(labels) + 1) * n_spikes,
        labels,
        np.tile(np.arange(4), len(keys)),
        keys,
    )


def _events(step_ms: float = 3.0) -> Events:
    """Return a few utterances whose events are drawn anywhere with the same probability."""
    rng = np.random.default_rng(0)
    active = rng.random((N_UTTERANCES, N_STEPS, N_UNITS)) < 0.12
    _, steps, units = np.nonzero(active)
    offsets = np.concatenate([[0], np.cumsum(active.sum((1, 2)))])
    return Events(
        steps.astype(np.uint16),
        units.astype(np.uint16),
        offsets,
        np.arange(N_UTTERANCES) % N_CLASSES,
        np.zeros(N_UTTERANCES, np.int64),
        LANGUAGES["english"][:N_CLASSES],
        N_STEPS,
        N_UNITS,
        step_ms,
    )


def _model(network: Mapping, step_ms: float = 3.0) -> nn.Module:
    """Return a small network that spikes often enough for gradients everywhere."""
    config = NetworkConfig(**{"n_hidden": 20, **network})
    generator = torch.Generator().manual_seed(5)
    model = build_network(config, N_UNITS, N_CLASSES, step_ms, generator)
    with torch.no_grad():
        first = model.get_parameter("fc1.weight")
        first *= torch.linspace(0.5, 4, len(first))[:, None]  # neurons differ as after training
    return model


def _summary(values: torch.Tensor) -> list[float]:
    """Return two numbers that change with any of the values: their norm and a weighted sum."""
    flat = values.detach().double().flatten()
    ramp = torch.linspace(1, 2, len(flat), dtype=torch.float64)
    return [flat.norm().item(), (flat * ramp).sum().item()]


def _digest(*arrays: np.ndarray) -> str:
    """Return 16 hexadecimal digits that depend on every whole number in the arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array, dtype="<i8").tobytes())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    computed = compute()
    if message := report(computed):
        sys.exit(message)
    record(computed)
    print(f"The code computes the same as before. Recorded its hash in {versions.__file__}")
