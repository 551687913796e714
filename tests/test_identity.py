"""The rules by which runs are the same run; each hash is computed a second time by hand."""

import ast
import hashlib
import json
import re

import pytest

from shd_helpers.study import identity
from shd_helpers.study.identity import current_names, run_hash

# Constants of the study that were settings once: they are part of every hash (rule 5).
ALWAYS = {"bin_ms": 1.0, "duration_s": 1.0, "lr_gamma": 0.5}
DATA = {"name": "hd", "train_sha256": "aa", "test_sha256": "bb"}
CONTENTS = {"train_sha256": "aa", "test_sha256": "bb"}


def by_hand(settings, contents=CONTENTS, numerics=1, *more):
    """Return the hash of what counts, with nothing but JSON and SHA-256."""
    text = json.dumps([settings | ALWAYS, contents, numerics, *more], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def test_the_example_of_the_module_is_computed_as_it_says():
    parameters, data, hashed = re.findall(
        r"(?<=\n\n)((?:    .+\n)+)", identity.__doc__.partition("An example")[2]
    )
    parameters = ast.literal_eval(parameters.strip())
    text = json.dumps(json.loads(hashed), sort_keys=True)
    wanted = hashlib.sha256(text.encode()).hexdigest()[:16]
    assert run_hash(parameters, ast.literal_eval(data.strip())) == wanted
    assert f"the run's hash, {wanted}." in identity.__doc__.replace("\n", " ")


def test_1_a_setting_counts_by_name_and_value_and_locations_do_not():
    hashes = {
        run_hash({name: value, "dataset": "hd", "run_name": "mine"}, DATA)
        for name, value in (("slope", 2.0), ("slope", 3.0), ("beta", 2.0))
    }
    assert hashes == {by_hand({"slope": 2.0}), by_hand({"slope": 3.0}), by_hand({"beta": 2.0})}
    elsewhere = {"slope": 2.0, "dataset": "/another/folder", "run_name": "other"}
    assert run_hash(elsewhere, DATA) == by_hand({"slope": 2.0})


def test_2_data_count_by_their_content_and_not_by_their_name():
    assert run_hash({}, DATA | {"name": "renamed"}) == run_hash({}, DATA) == by_hand({})
    changed = CONTENTS | {"test_sha256": "cc"}
    assert run_hash({}, DATA | changed) == by_hand({}, changed) != by_hand({})


def test_3_the_version_of_what_the_code_computes_counts(monkeypatch):
    monkeypatch.setattr(identity, "NUMERICS", 7)
    assert run_hash({"slope": 2.0}, DATA) == by_hand({"slope": 2.0}, CONTENTS, 7)


@pytest.mark.parametrize(
    ("name", "neutral", "other"),
    [
        ("kernel_size", 0, 32),
        ("learn_beta", False, True),
        ("readout", "spikes", "membrane"),
        ("dropout", 0.0, 0.1),
        ("protocol", "official", "everybody"),
    ],
)
def test_4_a_later_setting_counts_unless_it_is_neutral(name, neutral, other):
    assert run_hash({name: neutral}, DATA) == run_hash({}, DATA) == by_hand({})
    assert run_hash({name: other}, DATA) == by_hand({name: other})


@pytest.mark.parametrize(
    ("name", "value", "needed", "needed_value"),
    [("stride", 8, "kernel_size", 32), ("held_out", -1, "protocol", "everybody")],
)
def test_4_a_setting_that_needs_another_one_counts_with_it(name, value, needed, needed_value):
    assert run_hash({name: value}, DATA) == by_hand({})
    both = {name: value, needed: needed_value}
    assert run_hash(both, DATA) == by_hand(both)


def test_5_a_constant_that_came_with_a_setting_counts_with_it():
    assert run_hash({"n_delays": 1}, DATA) == by_hand({})
    assert run_hash({"n_delays": 3}, DATA) == by_hand({"n_delays": 3, "delay_ms": 30.0})


def test_6_a_circuit_counts_by_its_settings_and_with_the_constants_of_circuits():
    bits = {"fc1_bits": 4, "fc2_bits": 8, "mem_bits": 12}
    constants = {"weight_scale": "neuron", "headroom": 4.0, "rounding": "floor"}
    counted = bits | constants | {"leak": "product"}
    assert run_hash({"circuit": "4-8-12 product"}, DATA) == by_hand(counted)
    assert run_hash(bits | {"leak": "product", "quantized_epochs": 0}, DATA) == by_hand(counted)
    assert run_hash({"circuit": ""}, DATA) == by_hand({})


def test_7_the_version_of_the_augmentation_counts_with_augmented_recordings(monkeypatch):
    monkeypatch.setattr(identity, "WAVEFORMS", 5)
    assert run_hash({"augmented_copies": 0}, DATA) == by_hand({})
    assert run_hash({"augmented_copies": 1}, DATA) == by_hand({"changed": 1, "changes": 5})


def test_8_another_network_counts_by_its_description():
    described = {"lif1": "mine.Neuron"}
    assert run_hash({}, DATA, described) == by_hand({}, CONTENTS, 1, described)
    assert run_hash({}, DATA, None) == by_hand({})


def test_9_a_renamed_setting_counts_under_its_first_name_and_value():
    assert run_hash({"ensemble_size": 4}, DATA) == by_hand({"members": 4})
    renamed = {"protocol": "leave_one_speaker_out", "held_out": 3}
    assert run_hash(renamed, DATA) == by_hand({"protocol": "leave_one_out", "held_out": 3})
    quantized = run_hash({"circuit": "3-8-12 QAT"}, DATA)
    bits = {"fc1_bits": 3, "fc2_bits": 8, "mem_bits": 12, "leak": "shift"}
    constants = {"weight_scale": "neuron", "headroom": 4.0, "rounding": "floor"}
    assert quantized == by_hand(bits | constants | {"quantised_epochs": 10})


def test_first_names_are_read_as_todays():
    first = {"members": 2, "changed": 1, "protocol": "leave_one_out", "circuit": "3-8-12 tuned"}
    assert current_names(first) == {
        "ensemble_size": 2,
        "augmented_copies": 1,
        "protocol": "leave_one_speaker_out",
        "circuit": "3-8-12 QAT",
    }


def test_10_a_users_object_counts_by_reference_and_content_wherever_its_file_is(tmp_path):
    for folder in ("here", "elsewhere"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text("def boxcar(x):\n    return x\n")
    here = {"surrogate": f"{tmp_path}/here/mine.py:boxcar"}
    elsewhere = {"surrogate": f"{tmp_path}/elsewhere/mine.py:boxcar"}
    files = identity.identify_objects(here)
    first = run_hash(here, DATA | files)
    of_file = hashlib.sha256(b"def boxcar(x):\n    return x\n").hexdigest()
    digest = hashlib.sha256(f"{of_file}mine.py".encode()).hexdigest()
    contents = CONTENTS | {"objects_sha256": f"mine.py {digest}"}
    assert first == by_hand({"surrogate": "mine.py:boxcar"}, contents)
    assert run_hash(elsewhere, DATA | identity.identify_objects(elsewhere)) == first
    other_name = {"surrogate": f"{tmp_path}/here/mine.py:other"}
    assert run_hash(other_name, DATA | files) != first
    (tmp_path / "here" / "mine.py").write_text("def boxcar(x):\n    return 2 * x\n")
    assert run_hash(here, DATA | identity.identify_objects(here)) != first


def test_10_settings_without_references_identify_no_object():
    assert identity.identify_objects({"surrogate": "fast_sigmoid", "network": "spiking"}) == {}
