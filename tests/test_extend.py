"""The how-to pages: their blocks run as printed, and import public names only."""

import os
import re

import pytest
import torch

import shd_helpers
from shd_helpers.network import NetworkConfig, build_network
from shd_helpers.paths import ROOT
from shd_helpers.sweeps.sweep_file import read_sweep
from tests.builders.documentation import blocks_of, names_of_the_reference, run_pages
from tests.test_any_data import train, write_ridges
from tests.toy import small_data

DOCS = ROOT / "docs"
PAGES = [DOCS / f"{name}.md" for name in ("own_data", "extend", "compare")]


@pytest.mark.slow
def test_the_pages_run_one_after_the_other_in_an_empty_folder(tmp_path):
    folder = tmp_path / "an empty folder"
    folder.mkdir()
    environment = dict(os.environ) | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    }
    printed = run_pages(PAGES, folder, environment | {"SHD_DATA_DIR": str(folder / "data")})
    assert "my_wavs: 36 utterances, 3 classes, 4 speakers" in printed
    assert printed.count("of the utterances of unseen speakers correctly") >= 6
    assert re.search(r"MeanOfWindows minus spiking: .* percentage points, \w+", printed)
    assert len(re.findall(r"^MeanOfWindows minus \w+ adjusted p [\d.na]+$", printed, re.M)) == 2
    assert re.search(r"^the answer is (yes|no|stop)$", printed, re.M)
    assert "(48, 1, 64) is (steps, utterances, units)" in printed
    assert (folder / "boxcar.png").stat().st_size > 5000


def test_the_block_about_a_run_loads_its_network(tmp_path, data_dir, monkeypatch, capsys):
    """The run is one of notebook 3 on five classes."""
    monkeypatch.chdir(tmp_path)
    write_ridges(tmp_path / "moves", 100)
    pooling = {"first_unit": 0, "pool_units": 10, "pool_steps": 20, "pool_threshold": 1}
    run = train(tmp_path / "runs" / "moves", tmp_path / "moves", epochs=1, **pooling)
    (block,) = (b.code for b in blocks_of(DOCS / "formats.md") if "load_network" in b.code)
    names = {}
    exec(block, names)
    assert len(names["evaluation"].answers) == len(names["events"]) == 80
    assert str(run.class_names) in capsys.readouterr().out


def test_the_sweep_of_the_page_can_start(tmp_path, monkeypatch):
    """Its runs build two networks."""
    monkeypatch.chdir(tmp_path)
    for block in blocks_of(DOCS / "extend.md"):
        if block.file:
            (tmp_path / block.file).write_text(block.code, encoding="utf-8")
    runs = read_sweep(tmp_path / "mine.yaml", {"dataset": small_data()}).runs
    configs = []
    for run in runs:
        setting = {key: run.parameters[key] for key in ("neuron", "surrogate")}
        config = NetworkConfig(**setting)
        if config not in configs:
            configs.append(config)
    assert len(runs) == 2 * len(configs) == 4
    networks = [build_network(config, 8, 3, 3.0, torch.Generator()) for config in configs]
    first, second = (network.lif1 for network in networks)
    assert first.spike_grad is not second.spike_grad


def test_the_reference_has_every_public_name_once():
    assert sorted(names_of_the_reference()["shd_helpers"]) == sorted(shd_helpers.__all__)
