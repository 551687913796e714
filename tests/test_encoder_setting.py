"""The setting `encoder`: a network on the filter bank's events trains, is read back and listens."""

import pytest
import torch

from evidence.networks import write_pretrained
from shd_corpus.class_names import ENGLISH
from shd_corpus.microphone import encode_utterance_file
from shd_helpers.data import DIGITS
from shd_helpers.hear import Listener
from shd_helpers.network import build_network
from shd_helpers.study.recipe import Recipe

SETTINGS = {
    "encoder": "filter_bank",
    "first_unit": 0,
    "pool_units": 1,
    "pool_threshold": 1,
}


def test_its_grid_has_the_filter_bank_s_channels():
    recipe = Recipe.from_notebook(SETTINGS | {"dataset": "digits"})
    assert (recipe.input.n_units, recipe.input.n_steps) == (77, 333)
    with pytest.raises(ValueError, match=r"first_unit 150: .* the file has 77 channels"):
        Recipe.from_notebook({"dataset": "digits", "encoder": "filter_bank"})


def test_a_network_hears_by_its_own_encoder(tmp_path):
    recipe = Recipe.from_notebook(SETTINGS | {"dataset": "digits"})
    generator = torch.Generator().manual_seed(0)
    network = build_network(recipe.network, 77, 10, recipe.input.step_ms, generator)
    about = {"parameters": recipe.flat(), "n_channels": 77, "class_names": list(ENGLISH)}
    write_pretrained(
        tmp_path / "own.npz",
        about,
        {name: tensor.numpy() for name, tensor in network.state_dict().items()},
    )
    path = DIGITS / "lang-english_speaker-00_trial-39_digit-3.flac"
    listener = Listener(str(tmp_path / "own.npz"))
    by_filters = encode_utterance_file(path, encoder="filter_bank")
    assert by_filters.units.max() < 77 < encode_utterance_file(path).units.max()
    assert listener.hear(path) == listener.answer(by_filters)
