"""Draws of the nerve: one cut for all of them, and data sets like `commands`."""

import numpy as np

from corpus_tests.test_speech_commands import spoken
from evidence import draws
from shd_corpus.recordings import encode_file
from shd_corpus.shd_file import read_shd
from shd_corpus.speech_commands import numbered_people, person_of, read_manifest, role_of


def test_people_of_the_few_recordings_train_and_are_enough():
    names = list(read_manifest())
    few = draws.few_people(names)
    assert {role_of(person) for person in few} == {"training"}
    counts = [person_of(name) in few for name in names]
    assert draws.N_FEW <= sum(counts) < draws.N_FEW + 100
    assert draws.few_people(names, seed=1) != few


def test_data_sets_have_the_cut_of_commands_and_other_random_numbers(tmp_path, monkeypatch):
    monkeypatch.setenv("SHD_DATA_DIR", str(tmp_path / "data"))
    names = [name for name in read_manifest() if role_of(person_of(name)) == "training"][:3]
    parts = {}
    for number, name in enumerate(names):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(spoken(400 + 300 * number))
        parts[name] = tmp_path / "parts" / f"{number}.npz"
        draws.encode_recording(tmp_path / name, number < 2, parts[name])
    for name in draws.nerves_of(tmp_path / names[0], is_few=True):
        draws.write_dataset(name, parts)

    found = {
        name: read_shd(tmp_path / "data" / name / f"{name}_train.h5")
        for name in ("few_draw_0", "few_draw_1", "commands_draw_1", "commands_same", "few_expected")
    }
    for number, name in enumerate(names[:2]):
        as_commands = encode_file(tmp_path / name, cut=True)
        spikes = {each: utterances.spikes(number) for each, utterances in found.items()}
        for own, wanted in zip(spikes["few_draw_0"], as_commands, strict=True):
            np.testing.assert_array_equal(own, wanted)
        again = [spikes[each][1] for each in ("few_draw_1", "commands_draw_1")]
        np.testing.assert_array_equal(*again)
        assert not np.array_equal(again[0], as_commands[1])
    people = numbered_people(read_manifest())
    assert len(found["few_expected"].labels) == 2
    same = found["commands_same"]
    assert same.speakers.tolist() == [people.index(person_of(name)) for name in names]
    assert [same.keys[label] for label in same.labels] == [name.split("/")[0] for name in names]
