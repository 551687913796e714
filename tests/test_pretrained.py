"""Pretrained networks: damaged files, the committed ones, and the figure of one utterance.

Networks that listen with the filter bank: the committed tables are those of their scores.
"""

import json
from pathlib import Path

import h5py
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from evidence.networks import write_pretrained
from shd_corpus.class_names import LANGUAGES
from shd_corpus.speech import SPEECH_RATE_HZ, synthesize
from shd_course.figures import listening
from shd_helpers.events.downsampling import Downsampling
from shd_helpers.network import NetworkConfig, build_network, choose_engine
from shd_helpers.paths import ROOT
from shd_helpers.study import evaluate, input_of, load_pretrained
from shd_helpers.study.run_folder import RunError
from shd_helpers.study.trained_network import TrainedNetwork
from tests import RESULTS

NETWORKS = RESULTS / "networks"
SEVEN = synthesize("seven", "en-us+m3"), SPEECH_RATE_HZ


@pytest.fixture
def trained():
    """An untrained network with weights large enough to spike."""
    grid = Downsampling()
    generator = torch.Generator().manual_seed(0)
    model = build_network(NetworkConfig(), grid.n_units, 10, grid.step_ms, generator)
    with torch.no_grad():
        for weights in (model.fc1.weight, model.fc2.weight):
            weights.mul_(4)
    about = {"parameters": {"language": "english"}}
    return TrainedNetwork(model, grid, LANGUAGES["english"], about, Path("trained.npz"))


@pytest.fixture
def shown(trained, monkeypatch):
    """What `say_a_word` hands to `explore`."""
    seen = {}

    def catch(figure, update, recorder, **_):
        seen.update(figure=figure, update=update, recorder=recorder)
        return figure

    monkeypatch.setattr(listening, "explore", catch)
    monkeypatch.setattr(listening, "is_live", lambda: True)
    listening.say_a_word(trained, *SEVEN, "It is right at times.")
    yield seen
    plt.close("all")


def content_of(path):
    """Return what is said about a pretrained network, and its weights."""
    with np.load(path) as file:
        arrays = dict(file)
    return json.loads(str(arrays.pop("about"))), arrays


CHANGES = {
    "a weight": lambda _, weights: weights.update({"fc2.bias": weights["fc2.bias"] + 1}),
    "the classes": lambda about, _: about["class_names"].reverse(),
    "the threshold": lambda about, _: about.update(confidence_threshold=0.1),
    "no threshold": lambda about, _: about.pop("confidence_threshold"),
    "no hash": lambda about, _: about.pop("sha256"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_nothing_in_a_file_can_change_unnoticed(tmp_path, change):
    about, weights = content_of(NETWORKS / "small.npz")
    about["class_names"] = list(load_pretrained("small").class_names)
    write_pretrained(tmp_path / "a.npz", about, weights)
    assert load_pretrained(tmp_path / "a.npz").class_names[1] == "one"
    about, weights = content_of(tmp_path / "a.npz")
    change(about, weights)
    np.savez_compressed(tmp_path / "a.npz", **weights, about=json.dumps(about))
    with pytest.raises(RunError, match=r"a\.npz: damaged .*its content has changed since it was w"):
        load_pretrained(tmp_path / "a.npz")


@pytest.mark.parametrize("about", [None, "[]"])
def test_what_is_no_network_is_refused(tmp_path, about):
    path = tmp_path / "a.npz"
    if about:
        np.savez_compressed(path, about=about)
    else:
        path.write_bytes((NETWORKS / "study_0.npz").read_bytes()[:1000])
    with pytest.raises(RunError, match=r"a\.npz: damaged .*git checkout HEAD -- r"):
        load_pretrained(path)


@pytest.mark.parametrize("path", sorted(NETWORKS.glob("*.npz")), ids=lambda path: path.stem)
def test_the_committed_networks_can_be_used(path):
    trained = load_pretrained(path.stem)
    assert trained.about["parameters"]["dataset"] in ("commands", "hd")
    assert path.stat().st_size < 800_000
    times = np.sort(np.random.default_rng(0).uniform(0, 0.5, 8000))
    units = np.random.default_rng(1).integers(0, 700, 8000)
    assert evaluate(trained.network, input_of(trained, times, units)).class_scores.std() > 0


@pytest.mark.parametrize("name", ["everybody", "small"])
def test_both_engines_compute_the_networks_in_use(name):
    """The engines add in another order, so scores differ by rounding errors."""
    trained = load_pretrained(name)
    word = listening.encode_utterance(*SEVEN)
    events = input_of(trained, word.times, word.units)
    scores = [
        choose_engine(engine, trained.network).evaluate_batch(trained.network, events, [0])[0]
        for engine in ("compiled", "snntorch")
    ]
    torch.testing.assert_close(scores[0], scores[1], rtol=0, atol=0.1)  # one spike changes less


def test_a_path_may_be_a_text_and_a_run_folder_gets_the_remedy(tmp_path, monkeypatch):
    name = load_pretrained("small").name
    assert load_pretrained(str(NETWORKS / "small.npz")).name == name
    monkeypatch.chdir(NETWORKS)
    assert load_pretrained("small.npz").name == name
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match=r"^runs/mine: .*load_network\(study\.read_run\(folder\)\)"):
        load_pretrained("runs/mine")


def test_an_utterance_is_classified_and_its_votes_add_up(shown, trained):
    line = shown["update"](1000)
    half = shown["update"](500)
    word = listening.encode_utterance(*SEVEN)
    counts = evaluate(trained.network, input_of(trained, word.times, word.units)).class_scores[0]
    answer = trained.class_names[int(counts.argmax())]
    assert line.startswith(f"The network answers {answer}. ")
    assert f"999 ms {answer} is ahead with {counts.max():g} votes. It is right at times." in line
    assert half != line and "498 ms" in half
    drawn = shown["figure"].axes[3].get_lines()[0]  # the 700 channels, below the sound
    assert len(drawn.get_xdata()) == len(word.times)


PLAN = yaml.safe_load((ROOT / "evidence" / "listeners.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["listener", "small_listener"])
def test_the_committed_row_is_that_of_the_frozen_scores(name):
    row = pd.read_csv(RESULTS / "listeners_judged.csv").set_index("network").loc[name]
    with h5py.File(RESULTS / "listeners_scores.h5") as file:
        test = {column: file[f"{name}/test/{column}"][:] for column in ("scores", "labels")}
        people = file[f"{name}/test/speakers"][:]
    right = np.array([np.argmax(of[:10]) for of in test["scores"]]) == test["labels"]
    by_person = [right[people == person].mean() for person in sorted(set(people))]
    assert len(by_person) == row.people == 180
    assert np.mean(by_person) == pytest.approx(row.accuracy, abs=1e-6)
    half = 1.973 * np.std(by_person, ddof=1) / np.sqrt(180)  # Student's t with 179 degrees
    assert half == pytest.approx(row.ci95, rel=1e-3)
    network = load_pretrained(name)
    assert network.encoder == "filter_bank"
    assert network.about["confidence_threshold"] == pytest.approx(row.threshold, abs=1e-5)
    assert not set(network.about["seen_speakers"]) & set(people.tolist())


@pytest.mark.parametrize("name", ["listener", "small_listener"])
def test_the_threshold_is_the_lowest_at_which_enough_accepted_answers_are_right(name):
    row = pd.read_csv(RESULTS / "listeners_judged.csv").set_index("network").loc[name]
    with h5py.File(RESULTS / "listeners_scores.h5") as file:
        shares = {}
        for whose in ("validation", "test"):
            scores = file[f"{name}/{whose}/scores"][:].astype(float)
            of_digits = np.exp(scores[:, [*range(10), 20]] - scores.max(1, keepdims=True))
            confidence = of_digits[:, :10].max(1) / of_digits.sum(1)
            right = of_digits[:, :10].argmax(1) == file[f"{name}/{whose}/labels"][:]
            confidence[scores.argmax(1) != of_digits[:, :10].argmax(1)] = 0
            shares[whose] = confidence, right
    confidence, right = shares["validation"]
    threshold = row.threshold - 1e-6
    assert right[confidence >= threshold].mean() >= PLAN["right_of_accepted"]
    lower = np.unique(confidence[(confidence > 0) & (confidence < threshold)])
    assert all(right[confidence >= level].mean() < PLAN["right_of_accepted"] for level in lower)
    confidence, right = shares["test"]
    assert (confidence >= threshold).mean() == pytest.approx(row.accepted, abs=1e-3)
    accepted_right = right[confidence >= threshold].mean()
    assert accepted_right == pytest.approx(row.right_of_accepted, abs=1e-3)


def test_the_selected_ones_are_the_most_accurate_for_validation_people():
    selection = pd.read_csv(RESULTS / "listeners_selection.csv")
    judged = pd.read_csv(RESULTS / "listeners_judged.csv").set_index("network").candidate
    for group, name in (("small", "small_listener"), ("large", "listener")):
        its = selection[selection.group == group]
        assert its.candidate.tolist() == list(PLAN[group])
        assert its.candidate[its.accuracy.idxmax()] == judged[name]
