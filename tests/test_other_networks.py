"""A network that isn't the study's own has another hash, and isn't built, counted or exported."""

import argparse
import contextlib

import numpy as np
import pytest
import snntorch as snn
import torch

from evidence.networks import save_pretrained, write_pretrained
from shd_circuit.export import add_arguments, export_from
from shd_circuit.quantize import integer_network
from shd_helpers.hear import Listener
from shd_helpers.network import (
    NetworkConfig,
    Quantization,
    SpikingNetwork,
    costs,
)
from shd_helpers.network.surrogates import spike_grad, true_step
from shd_helpers.study import (
    evaluate,
    load_network,
    load_pretrained,
)
from shd_helpers.study.recipe import Recipe, identify_user_code, run_hash
from shd_helpers.study.run_folder import RunError
from shd_helpers.study.trained_network import other_network, with_layers_of
from tests.builders.networks import DATA, EVENTS, GRID, SMALL, Plain, own, written

CIRCUIT = Quantization.named("4-8-12 product")


class Leaky(snn.Leaky):
    """A subclass with the name of its base class: it could do anything."""


class OtherNetwork(SpikingNetwork):
    """A subclass that changes nothing."""


class Adaptive(snn.Leaky):
    """A neuron with a second state, which fades and is subtracted from the current."""

    def forward(self, input_, mem):
        adaptation = getattr(self, "adaptation", 0.0)
        spk, mem = super().forward(input_ - adaptation, mem)
        self.adaptation = 0.9 * adaptation + 0.1 * spk
        return spk, mem


def neuron(kind, **options):
    step_beta = NetworkConfig(beta=0.9375).step_beta(GRID.step_ms)
    given = {"beta": step_beta, "spike_grad": spike_grad("fast_sigmoid", 2.0)} | options
    return lambda model: setattr(model, "lif1", kind(**given))


OTHERS = {
    "a subclass of Leaky": neuron(Leaky),
    "a neuron with a second state": neuron(Adaptive),
    "a subclass of the network": lambda model: setattr(model, "__class__", OtherNetwork),
    "another layer": lambda model: setattr(
        model, "fc1", torch.nn.Bilinear(GRID.n_units, 1, 12).requires_grad_()
    ),
    "a layer more": lambda model: model.add_module("fc3", torch.nn.Linear(10, 10)),
    "other shapes": lambda model: setattr(model, "fc1", torch.nn.Linear(GRID.n_units, 13)),
    "another beta": neuron(snn.Leaky, beta=0.5),
    "a learned beta": neuron(snn.Leaky, learn_beta=True),
    "another reset": neuron(snn.Leaky, reset_mechanism="zero"),
    "another surrogate": lambda model: setattr(model.lif1, "spike_grad", true_step),
    "another slope": lambda model: setattr(model.lif1, "spike_grad", spike_grad("atan", 3.0)),
    "other delays": lambda model: setattr(model, "layer_delays", ((0, 1), (0,))),
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"readout": "membrane", "learn_beta": True, "learn_threshold": True},
        {"kernel_size": 30, "stride": 9, "n_delays": 2, "surrogate": "atan", "slope": 3.0},
    ],
)
def test_the_studys_own_network_leaves_the_hash_as_it_was(tmp_path, changes):
    parameters = SMALL | changes
    run = written(tmp_path / "run", own(**changes), parameters)
    assert "other_network" not in run.info
    recipe = Recipe.from_flat(parameters)
    assert run.info["hash"] == run_hash(recipe.flat(), DATA)
    assert other_network(own(**changes), recipe, 10) is None
    assert isinstance(load_network(run).network, SpikingNetwork)


def test_another_network_has_a_hash_of_its_own_and_is_not_built(tmp_path):
    hashes = {run_hash(Recipe.from_flat(SMALL).flat(), DATA)}
    for name, change in OTHERS.items():
        model = own()
        change(model)
        run = written(tmp_path / name, model)
        assert run.info["hash"] == run_hash(run.info["parameters"], DATA, run.info["other_network"])
        hashes.add(run.info["hash"])
        with pytest.raises(
            RunError, match=r"run\.json: this run trained a network that isn't"
        ) as no:
            load_network(run)
        assert "damaged" not in str(no.value) and "\n" not in str(no.value)
        with pytest.raises(RunError, match="network that isn't the study's own"):
            save_pretrained(run, tmp_path / "pretrained.npz")
    assert len(hashes) == 1 + len(OTHERS) and not (tmp_path / "pretrained.npz").exists()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda state: state.pop("fc2.weight"), r'Missing key.*"fc2\.weight"'),
        (lambda state: state.update(more=torch.zeros(3)), r'Unexpected key.*"more"'),
        (
            lambda state: state.update({"fc1.bias": torch.zeros(13)}),
            r"size mismatch for fc1\.bias",
        ),
    ],
)
def test_a_state_dict_that_does_not_fit_is_named_tensor_by_tensor(tmp_path, change, problem):
    run = written(tmp_path / "run", own())
    change(run.state)
    fits = rf"doesn't fit the network of its parameters \(.*{problem}.*\)\."
    with pytest.raises(RunError, match=rf"run/state_dict\.pt: .*{fits}.*Run 03_model") as error:
        load_network(run)
    assert "damaged" not in str(error.value)


@pytest.mark.filterwarnings("ignore:.*runs in snntorch's loop")
@pytest.mark.parametrize("kind", [Leaky, Adaptive, snn.Lapicque])
def test_a_neuron_whose_states_are_not_counted_has_no_costs(kind):
    model = own()
    neuron(kind)(model)
    evaluation = evaluate(model, EVENTS, "snntorch")
    reason = rf"can't be counted: lif1 is a \S*{kind.__name__}, not snntorch's Leaky.*Count what"
    predictions = evaluation.predictions()
    assert "effective_acs" not in predictions and len(predictions) == len(EVENTS)
    with pytest.raises(ValueError, match=reason):
        costs(model, predictions.assign(effective_acs=0.0), GRID.n_steps)


REFUSED = {
    **{name: OTHERS[name] for name in ("a subclass of Leaky", "a subclass of the network")},
    **{name: OTHERS[name] for name in ("a neuron with a second state", "another layer")},
    **{name: OTHERS[name] for name in ("another beta", "another reset")},
    "Synaptic": neuron(snn.Synaptic, alpha=0.5),
    "Lapicque": neuron(snn.Lapicque),
    "inhibition": neuron(snn.Leaky, inhibition=True),
    "graded spikes": neuron(snn.Leaky, graded_spikes_factor=0.5),
    "another forward": lambda model: setattr(model.lif1, "forward", lambda x, mem: (x, mem)),
}


@pytest.mark.filterwarnings("ignore:Inhibition is an unstable feature")
@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED.keys())
def test_only_the_studys_networks_become_circuits(change):
    config = Recipe.from_flat(SMALL).network
    assert integer_network(own(), config, GRID, CIRCUIT).sizes == (GRID.n_units, 12, 10)
    model = own()
    change(model)
    with pytest.raises(ValueError, match=r"the (network is|network has|beta of) .*\.$"):
        integer_network(model, config, GRID, CIRCUIT)


LEAK = """
import snntorch as snn

def slow(n_neurons, **options):
    return snn.Leaky(beta=0.9, **options)
"""


def test_a_changed_file_of_an_object_is_named(tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text(LEAK)
    setting = {"neuron": f"{mine}:slow"}
    data = DATA | identify_user_code(setting)
    run = written(tmp_path / "run", own(**setting), SMALL | setting, data)
    save_pretrained(run, tmp_path / "pretrained.npz")
    assert float(load_network(run, trust=True).network.lif1.beta) == pytest.approx(0.9)
    mine.write_text(LEAK.replace("0.9", "0.5"))
    wanted = r"^\S*mine\.py: this file, or one that it imports, has changed since .*run\.json was"
    with pytest.raises(RunError, match=wanted):
        load_network(run, trust=True)
    with pytest.raises(RunError, match=r"mine\.py: this file, .*pretrained\.npz was"):
        load_pretrained(tmp_path / "pretrained.npz", trust=True)
    mine.unlink()
    with pytest.raises(RunError, match="needs a user's own object, which can't be loaded"):
        load_network(run, trust=True)


EVIL = """
import pathlib
pathlib.Path(__file__).with_name("ran").touch()
"""


@pytest.mark.parametrize("setting", ["network", "neuron", "surrogate"])
@pytest.mark.parametrize("is_other", [False, True], ids=["as its settings say", "another one"])
def test_no_file_that_a_network_names_runs_unless_it_is_trusted(tmp_path, setting, is_other):
    """Neither that of a pretrained network, nor that of a run folder."""
    exporting = argparse.ArgumentParser()
    add_arguments(exporting)
    (tmp_path / "evil.py").write_text(EVIL)
    run = written(tmp_path / "run", own())
    if is_other:
        run.info["other_network"] = {"lif1": "another neuron"}
    run.info["parameters"] |= {setting: f"{tmp_path}/evil.py:f"}
    run.info["hash"] = run_hash(run.info["parameters"], DATA)
    about = {name: value for name, value in run.info.items() if name != "files"}
    path = tmp_path / "pretrained.npz"
    write_pretrained(path, about, {"fc1.bias": np.zeros(12, np.float32)})
    refused = (
        rf"its {setting} is \S*evil\.py:f, and this Python file would run .*trust=True to load"
    )
    for load in (
        lambda: load_pretrained(path),
        lambda: load_network(run),
        lambda: Listener(str(path)),
        lambda: export_from(exporting.parse_args([str(path), "--out", str(tmp_path / "out")])),
    ):
        with pytest.raises(RunError, match=refused):
            load()
    with contextlib.suppress(RunError):
        save_pretrained(run, tmp_path / "saved.npz")
    assert not (tmp_path / "ran").exists()
    if not is_other:
        with pytest.raises(RunError, match=r"there is no f in it"):
            load_pretrained(path, trust=True)
        assert (tmp_path / "ran").exists()


class Doubled(Plain):
    def forward(self, frames):
        return super().forward(2 * frames)


def test_a_users_module_lends_its_layers_to_the_studys_network():
    """So that its run has the hash of the settings, and training it trains the network."""
    recipe = Recipe.from_flat(SMALL)
    torch.manual_seed(0)
    sizes = GRID.n_units, recipe.network.n_hidden, len(EVENTS.class_names)
    module = Plain(sizes, beta=recipe.network.step_beta(GRID.step_ms))
    network = with_layers_of(module, recipe, EVENTS)
    assert other_network(network, recipe, len(EVENTS.class_names)) is None
    with torch.no_grad():
        module.fc1.weight += 0.1
    frames = torch.from_numpy(EVENTS.to_frames([0, 1]))
    torch.testing.assert_close(network(frames), module(frames)[0].sum(0), rtol=0, atol=0)


def test_a_module_that_computes_something_else_is_refused():
    recipe = Recipe.from_flat(SMALL)
    torch.manual_seed(0)
    module = Doubled((GRID.n_units, recipe.network.n_hidden, len(EVENTS.class_names)))
    with pytest.raises(
        RunError, match=r"other class scores than the study's network .*compare\.md"
    ):
        with_layers_of(module, recipe, EVENTS)
