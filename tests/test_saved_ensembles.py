"""Networks of several runs in one file: their scores are averaged, and misfits are refused."""

import json
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from evidence import networks as save_networks
from evidence.networks import save_ensemble, write_pretrained
from shd_corpus.class_names import LANGUAGES
from shd_corpus.speech import SPEECH_RATE_HZ, synthesize
from shd_course.figures import controls, listening
from shd_course.figures.playback import Playback
from shd_helpers.events import Subsets
from shd_helpers.network import build_network
from shd_helpers.study import (
    ensemble_of,
    evaluate,
    load_network,
    load_pretrained,
    load_utterances,
)
from shd_helpers.study.one_run import RunWriter
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.run_folder import RunError, read_run
from tests.builders.events import random_events

SETTINGS = {"n_hidden": 12, "pool_steps": 10, "language": "both", "readout": "membrane"}
KINDS = {
    "adaptive": {"neuron": "adaptive", "n_delays": 2},
    "shared weights": {"kernel_size": 30, "stride": 9, "learn_beta": True},
    "two layers": {"hidden": "9,7"},
}
DATA = {"name": "hand", "train_sha256": "1", "test_sha256": "2"}
SEVEN = synthesize("seven", "en-us+m3"), SPEECH_RATE_HZ


def events_of(recipe):
    """Return random utterances of the classes of a recipe's language."""
    class_names = LANGUAGES[recipe.language]
    grid = recipe.input
    events = random_events(9, grid.n_steps, grid.n_units, len(class_names), 0.2)
    return replace(events, class_names=class_names)


def write(folder, changes, data=DATA, speakers=(0, 1)):
    """Write a run of an untrained network whose weights are large enough to spike."""
    recipe = Recipe.from_flat(SETTINGS | changes)
    events = replace(events_of(recipe), speakers=np.resize(speakers, 9))
    generator = torch.Generator().manual_seed(recipe.seed)
    n_classes = len(events.class_names)
    grid = recipe.input
    model = build_network(recipe.network, grid.n_units, n_classes, grid.step_ms, generator)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("weight"):
                parameter *= 3
    parts = Subsets(events.take(range(5)), events.take(range(5, 9)), None)
    run = RunWriter(folder, recipe.flat(), data, parts, model)
    predictions = pd.DataFrame({"speaker": [0, 1], "label": "one", "predicted": "two"})
    run.finish(model, {"test": 0.5}, predictions, {}, {})
    return read_run(folder)


@pytest.fixture
def runs(tmp_path):
    """A run of each kind."""
    return [write(tmp_path / name, changes) for name, changes in KINDS.items()]


@pytest.fixture
def ensemble(runs, tmp_path, monkeypatch):
    """The ensemble of these runs, saved under a name and loaded again."""
    monkeypatch.setenv("SHD_RESULTS_DIR", str(tmp_path / "results"))
    save_ensemble(runs, tmp_path / "results" / "networks" / "ensemble.npz")
    return load_pretrained("ensemble")


def test_the_scores_of_an_ensemble_are_the_means_of_those_of_its_networks(runs, ensemble):
    events = events_of(Recipe.from_flat(SETTINGS))
    of_members = [evaluate(load_network(run).network, events).class_scores.numpy() for run in runs]
    assert all(scores.std() > 0 for scores in of_members)
    found = evaluate(ensemble.network, events).class_scores.numpy()
    np.testing.assert_allclose(found, sum(of_members) / 3, atol=1e-6)
    for member, scores in zip(ensemble.members, of_members, strict=True):
        assert np.array_equal(evaluate(member.network, events).class_scores.numpy(), scores)
    assert [member.recipe.network for member in ensemble.members] == [
        Recipe.from_flat(run.info["parameters"]).network for run in runs
    ]


def test_an_ensemble_can_answer_in_one_language(ensemble):
    events = events_of(Recipe.from_flat(SETTINGS))
    ensemble.about["confidence_threshold"] = 0.7
    german = ensemble.speaking("german")
    assert german.about["confidence_threshold"] == 0.7
    assert german.class_names == LANGUAGES["german"]
    wanted = evaluate(ensemble.network, events).class_scores[:, 10:]
    few = replace(events, labels=events.labels % 10, class_names=german.class_names)
    found = evaluate(german.network, few)
    assert torch.equal(found.class_scores, wanted)


def test_what_only_one_run_has_is_refused_for_an_ensemble(ensemble):
    with pytest.raises(RunError, match=r"ensemble\.npz: it is an ensemble of 3 .*one of its `memb"):
        load_utterances(ensemble)
    single = ensemble.members[0]
    assert single.members == (single,)


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        (({"pool_steps": 20},), "another input than"),
        (({"language": "english"},), "another order or number of classes than"),
        (({}, DATA | {"test_sha256": "3"}), "another data set than"),
        (({}, DATA, (0, 2)), "another set of training speakers than"),
    ],
)
def test_networks_that_differ_in_what_they_must_share_are_refused(tmp_path, other, problem):
    runs = [write(tmp_path / "first", {}), write(tmp_path / "other", *other)]
    with pytest.raises(RunError, match=rf"network 2 \(other\) has {problem} the first one \(fir"):
        save_ensemble(runs, tmp_path / "ensemble.npz")
    assert not (tmp_path / "ensemble.npz").exists()


def test_a_run_with_augmented_copies_joins_one_without(tmp_path):
    with_copies = DATA | {"augmented_train_sha256": "4", "augmented_test_sha256": "5"}
    runs = [
        write(tmp_path / "with", {"augmented_copies": 1}, with_copies),
        write(tmp_path / "without", {}),
    ]
    save_ensemble(runs, tmp_path / "ensemble.npz")
    assert len(load_pretrained(tmp_path / "ensemble.npz").members) == 2


def test_no_network_and_an_ensemble_of_ensembles_are_refused(tmp_path, ensemble):
    with pytest.raises(RunError, match=r"none\.npz: an ensemble needs at least one network"):
        save_ensemble([], tmp_path / "none.npz")
    with pytest.raises(RunError, match="network 1 is an ensemble of several runs"):
        ensemble_of([ensemble], tmp_path / "two.npz")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda _, arrays: arrays.pop("members.0.fc2.weight"), r"Missing key.*fc2\.weight"),
        (lambda about, _: about["members"].pop(), r"weights of no network: members\.2\."),
    ],
    ids=["missing weights", "missing network"],
)
def test_an_ensemble_that_differs_from_its_runs_is_refused(ensemble, damage, message):
    arrays = dict(np.load(ensemble.file))
    about = json.loads(str(arrays.pop("about")))
    damage(about, arrays)
    write_pretrained(ensemble.file, about, arrays)
    with pytest.raises(RunError, match=rf"ensemble\.npz: .*{message}"):
        load_pretrained("ensemble")


def test_the_command_saves_all_runs_in_one_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SHD_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("SHD_RESULTS_DIR", str(tmp_path / "results"))
    write(tmp_path / "runs" / "a", KINDS["adaptive"])
    write(tmp_path / "runs" / "b", KINDS["shared weights"])
    write(tmp_path / "runs" / "c", KINDS["adaptive"] | {"language": "english"})
    monkeypatch.setattr("sys.argv", ["networks", "mine", "a", "b", "--ensemble"])
    save_networks.main()
    path = tmp_path / "results" / "networks" / "mine.npz"
    assert capsys.readouterr().out.strip() == str(path)
    assert len(load_pretrained("mine").members) == 2
    for patterns, problem in ((["a", "c"], "another order or number"), (["none*"], "at least one")):
        monkeypatch.setattr("sys.argv", ["networks", "mine", *patterns, "--ensemble"])
        with pytest.raises(SystemExit, match=problem):
            save_networks.main()


def test_the_figure_of_an_ensemble_shows_means_of_its_networks(ensemble, monkeypatch, capsys):
    monkeypatch.setattr(controls, "widgets", None)  # for a person; it would raise
    grid = ensemble.grid
    events = events_of(Recipe.from_flat(SETTINGS))
    size = (grid.n_units, grid.n_steps)
    playback = Playback(ensemble.network, size, ensemble.class_names, grid.step_ms, {"ahead": "C1"})
    scores = evaluate(ensemble.network, events).class_scores[0].numpy()
    assert playback.load(events, 0) == ensemble.class_names[scores.argmax()]
    _, leader, highest = playback.seek(playback.end_ms)
    assert leader == ensemble.class_names[scores.argmax()]
    assert highest == pytest.approx(scores.max(), abs=1e-6)
    plt.close(playback.figure)  # tests of other figures expect no open one
    listening.say_a_word(ensemble, *SEVEN, "Right at times.")
    assert "is ahead with a mean membrane of" in capsys.readouterr().out
