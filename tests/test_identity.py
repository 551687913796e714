"""What makes two runs the same run; each hash is computed a second time by hand."""

import hashlib
import json

import pytest

from shd_helpers.study import recipe
from shd_helpers.study.recipe import DEFAULTS, run_hash

DATA = {"name": "hd", "train_sha256": "aa", "test_sha256": "bb"}
CONTENTS = {"train_sha256": "aa", "test_sha256": "bb"}


def by_hand(settings, contents=CONTENTS, numerics=1, *more):
    """Return the hash of what counts, with nothing but JSON and SHA-256."""
    text = json.dumps([settings, contents, numerics, *more], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def test_a_setting_counts_by_name_and_value_and_locations_do_not():
    hashes = {
        run_hash({name: value, "dataset": "hd", "run_name": "mine"}, DATA)
        for name, value in (("slope", 4.0), ("slope", 3.0), ("beta", 4.0))
    }
    assert hashes == {by_hand({"slope": 4.0}), by_hand({"slope": 3.0}), by_hand({"beta": 4.0})}
    elsewhere = {"slope": 4.0, "dataset": "/another/folder", "run_name": "other"}
    assert run_hash(elsewhere, DATA) == by_hand({"slope": 4.0})


def test_data_count_by_their_content_and_not_by_their_name():
    assert run_hash({}, DATA | {"name": "renamed"}) == run_hash({}, DATA) == by_hand({})
    changed = CONTENTS | {"test_sha256": "cc"}
    assert run_hash({}, DATA | changed) == by_hand({}, changed) != by_hand({})


def test_the_version_of_what_the_code_computes_counts(monkeypatch):
    monkeypatch.setattr(recipe, "NUMERICS", 7)
    assert run_hash({"slope": 4.0}, DATA) == by_hand({"slope": 4.0}, CONTENTS, 7)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("seed", 1),
        ("kernel_size", 32),
        ("learn_beta", True),
        ("readout", "membrane"),
        ("protocol", "everybody"),
        ("circuit", "3-8-12 QAT"),
    ],
)
def test_a_setting_counts_unless_it_is_at_its_default(name, other):
    assert run_hash({name: DEFAULTS[name]}, DATA) == run_hash({}, DATA) == by_hand({})
    assert run_hash({name: other}, DATA) == by_hand({name: other})


def test_a_parameter_that_is_no_setting_always_counts():
    assert run_hash({"temperature": 0}, DATA) == by_hand({"temperature": 0})


def test_a_default_changes_only_with_the_version_of_what_the_code_computes():
    """Runs at a default don't say its value, so another default is another version.

    Where the data are and where the run is stored doesn't count.
    """
    counted = {name: value for name, value in DEFAULTS.items() if name not in recipe._LOCATIONS}
    text = json.dumps(counted, sort_keys=True)
    assert (recipe.NUMERICS, hashlib.sha256(text.encode()).hexdigest()[:8]) == (1, "b827bd01")


def test_another_network_counts_by_its_description():
    described = {"lif1": "mine.Neuron"}
    assert run_hash({}, DATA, described) == by_hand({}, CONTENTS, 1, described)
    assert run_hash({}, DATA, None) == by_hand({})


def test_a_users_object_counts_by_reference_and_content_wherever_its_file_is(tmp_path):
    for folder in ("here", "elsewhere"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text("def boxcar(x):\n    return x\n")
    here = {"surrogate": f"{tmp_path}/here/mine.py:boxcar"}
    elsewhere = {"surrogate": f"{tmp_path}/elsewhere/mine.py:boxcar"}
    files = recipe.identify_user_code(here)
    first = run_hash(here, DATA | files)
    of_file = hashlib.sha256(b"def boxcar(x):\n    return x\n").hexdigest()
    digest = hashlib.sha256(f"{of_file}mine.py".encode()).hexdigest()
    contents = CONTENTS | {"user_code_sha256": f"mine.py {digest}"}
    assert first == by_hand({"surrogate": "mine.py:boxcar"}, contents)
    assert run_hash(elsewhere, DATA | recipe.identify_user_code(elsewhere)) == first
    other_name = {"surrogate": f"{tmp_path}/here/mine.py:other"}
    assert run_hash(other_name, DATA | files) != first
    (tmp_path / "here" / "mine.py").write_text("def boxcar(x):\n    return 2 * x\n")
    assert run_hash(here, DATA | recipe.identify_user_code(here)) != first
