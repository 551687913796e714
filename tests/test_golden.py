"""Whoever changes what is computed is told to raise NUMERICS, and nobody else is.

Tiny runs with both engines and every option end with the weights and scores in `golden.json`.
After a change that is meant: raise NUMERICS in `shd_helpers/versions.py`, then write the values
again with ``python -m tests.test_golden``.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from shd_helpers.events import Augmentation, Downsampling, Split, downsize, load_parts
from shd_helpers.events.toy import write_toy
from shd_helpers.network import NetworkConfig, Quantisation, build_network
from shd_helpers.source.shd_file import read_shd
from shd_helpers.study import TrainConfig, evaluate, fit
from shd_helpers.versions import NUMERICS
from tests.test_engine import random_events

GOLDEN = Path(__file__).with_name("golden.json")
MEANT = "other results than before. If that is meant: " + __doc__.split("After a change")[1]
NETWORKS = {
    "study": {},
    "atan": {"surrogate": "atan"},
    "sigmoid": {"surrogate": "sigmoid", "slope": 5.0},
    "membrane readout": {"readout": "membrane"},
    "learned beta": {"learn_beta": True},
    "learned threshold": {"learn_threshold": True},
    "delays": {"n_delays": 3},
    "shared weights": {"kernel_size": 8, "stride": 5, "n_hidden": 6},
    "convolutional": {"network": "convolutional"},
}
FEW_BITS = Quantisation(fc1_bits=3, fc2_bits=8, mem_bits=12, quantised_epochs=1)
AUGMENTATION = Augmentation(shift_units=3, shift_ms=9.0, stretch=0.2, dropout=0.2)


def trained(
    engine: str,
    network: dict,
    training: dict,
    augmentation: Augmentation,
    quantisation: Quantisation | None = None,
) -> dict:
    """Train on 12 utterances for two epochs; return a few numbers that any change would move."""
    events = random_events(18, 60, 40, 4, 0.1)
    generator = torch.Generator().manual_seed(5)
    config = NetworkConfig(**{"n_hidden": 24, **network})
    model = build_network(config, events.n_units, 4, events.step_ms, generator)
    if config.network == "spiking":
        with torch.no_grad():
            model.fc1.weight *= 3  # enough spikes for gradients everywhere
    settings = TrainConfig(**{"epochs": 2, "batch_size": 6, **training})
    train, valid = events.take(np.arange(12)), events.take(np.arange(12, 18))
    history = fit(
        model, train, valid, settings, generator,
        augmentation=augmentation, quantisation=quantisation, engine=engine,
    )  # fmt: skip
    scores = evaluate(model, valid, engine).class_scores
    numbers = {"loss": [epoch["train_loss"] for epoch in history], "scores": scores.tolist()}
    for name, parameter in model.named_parameters():
        weights = parameter.detach().double().flatten()
        ramp = torch.linspace(1, 2, len(weights), dtype=torch.float64)
        numbers[name] = [weights.norm().item(), (weights * ramp).sum().item()]
    return numbers


def runs() -> dict:
    """Return the runs that are compared, by name."""
    found = {}
    for engine in ("fused", "snntorch"):
        for name, network in NETWORKS.items():
            if (engine, name) == ("snntorch", "sigmoid"):
                network = {**network, "slope": 1.0}  # snntorch's own overflows at 5
            found[f"{engine}, {name}"] = (engine, network, {}, Augmentation())
        schedule = {"epochs": 3, "lr_step": 1}
        found[f"{engine}, schedule"] = (engine, {}, schedule, Augmentation())
        found[f"{engine}, augmentation"] = (engine, {}, {}, AUGMENTATION)
        found[f"{engine}, few bits"] = (engine, {}, {}, Augmentation(), FEW_BITS)
    return found


def inputs(folder: Path) -> dict:
    """Return digests of what is exact on every machine: downsized events and splits."""
    write_toy(folder, seed=0)
    files = folder / "toy_train.h5", folder / "toy_test.h5"
    found = {}
    for name, grid in {"study": Downsampling(), "coarse": Downsampling(0, 0.7, 9, 10, 3)}.items():
        events = downsize(read_shd(files[0]), grid, "both")
        found[f"events, {name}"] = digest(events.steps, events.units, events.offsets)
    for name, split in {
        "official": Split(),
        "speakers": Split(validation="speaker", validation_speakers="1,3"),
        "leave one out": Split(protocol="leave_one_out", held_out=2),
    }.items():
        parts = load_parts(files, Downsampling(pool_units=50, pool_steps=99), "german", split, 1)
        columns = [column for part in parts for column in (part.rows, part.part, part.labels)]
        found[f"split, {name}"] = digest(*columns)
    return found


def digest(*arrays: np.ndarray) -> str:
    """Return 16 hexadecimal digits that depend on every number."""
    joined = b"".join(np.ascontiguousarray(array, dtype="<i8").tobytes() for array in arrays)
    return hashlib.sha256(joined).hexdigest()[:16]


@pytest.fixture(scope="module")
def golden():
    return json.loads(GOLDEN.read_text())


def test_golden_values_are_of_today_s_number(golden):
    assert golden["NUMERICS"] == NUMERICS, "write them again: python -m tests.test_golden"


@pytest.mark.parametrize("name", runs())
def test_runs_end_as_before(golden, name, capsys):
    found, wanted = trained(*runs()[name]), golden["runs"][name]
    assert found.keys() == wanted.keys()
    for key, values in wanted.items():
        # another processor sums in another order; a changed formula moves far more
        np.testing.assert_allclose(found[key], values, rtol=2e-4, atol=2e-4, err_msg=key + MEANT)


def test_inputs_are_as_before(golden, tmp_path, data_dir):
    assert inputs(tmp_path) == golden["inputs"], MEANT


def main() -> None:
    """Write today's values."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        values = {"NUMERICS": NUMERICS, "inputs": inputs(Path(folder))}
    values["runs"] = {name: trained(*run) for name, run in runs().items()}
    GOLDEN.write_text(json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main()
