"""Data sets reduced to one spike for each bin and channel, and what networks make of them."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts import ten_ms
from shd_helpers.data.dataset_error import DatasetError
from shd_helpers.data.datasets import fingerprint, locate, locate_augmented
from shd_helpers.data.reduction import reduce_data_set, reduced
from shd_helpers.data.shd_file import read_shd
from shd_helpers.data.shd_writer import write_shd
from shd_helpers.events import Downsampling
from shd_helpers.sweeps.sweep_file import SWEEPS, read_yaml
from tests.toy import write_toy

spikes = st.lists(st.tuples(st.floats(0, 1.5, width=16), st.integers(0, 699)), max_size=60)


def naive(times, units, bin_ms):
    """Return the pairs of bin and channel that have a spike, in exact arithmetic."""
    return sorted({
        (int(Fraction(float(time)) * 1000 / bin_ms), int(unit))
        for time, unit in zip(times, units, strict=True)
    })  # fmt: skip


@given(spikes, st.sampled_from([1, 4, 10]))
def test_each_bin_and_channel_with_a_spike_keeps_one_in_its_middle(spikes, bin_ms):
    times = np.array([time for time, _ in spikes], np.float16)
    units = np.array([unit for _, unit in spikes], np.uint16)
    new_times, new_units = reduced(times, units, bin_ms)
    pairs = naive(times, units, bin_ms)
    assert new_units.tolist() == [unit for _, unit in pairs]
    middles = [(number + 0.5) * bin_ms / 1000 for number, _ in pairs]
    np.testing.assert_allclose(new_times, middles, rtol=1e-12)
    # as the file has them, they stay in their bins: reducing again changes nothing
    again = reduced(new_times.astype(np.float16), new_units, bin_ms)
    assert naive(*again, bin_ms) == pairs or bin_ms == 1


@pytest.fixture
def folder(tmp_path):
    """A small data set with one augmented copy of its training file."""
    source = tmp_path / "source"
    source.mkdir()
    write_toy(source, seed=0, takes=1)
    write_toy(source, seed=1, takes=1, name="toy_augmented1")
    (source / "toy_augmented1_test.h5").unlink()
    return source


def test_a_data_set_and_its_copies_are_reduced_row_by_row(folder, tmp_path):
    target = tmp_path / "reduced"
    written = reduce_data_set(str(folder), target)
    names = ["toy_10ms_train.h5", "toy_10ms_test.h5", "toy_10ms_augmented1_train.h5"]
    assert [path.name for path in written] == names
    for path in written:
        before = read_shd(folder / path.name.replace("_10ms", ""))
        after = read_shd(path)
        assert after.labels.tolist() == before.labels.tolist()
        assert after.speakers.tolist() == before.speakers.tolist()
        assert after.keys == before.keys
        for i in (0, 7, len(before) - 1):
            assert naive(*after.spikes(i), 10) == naive(*before.spikes(i), 10)
            assert len(after.spikes(i)[0]) == len(naive(*after.spikes(i), 10))
    # found as any data set is, under a hash of its own
    files = locate(str(target))
    assert locate_augmented(str(target), files, 0, 1) == [written[2]]
    own = fingerprint(files, {0: [written[2]]})
    source = fingerprint(locate(str(folder)), {0: [folder / "toy_augmented1_train.h5"]})
    assert own["name"] == "toy_10ms"
    for key in ("train_sha256", "test_sha256", "augmented_train_sha256"):
        assert own[key] != source[key]
    first = [path.read_bytes() for path in written]
    assert [path.read_bytes() for path in reduce_data_set(str(folder), target)] == first


def test_channels_and_names_of_recordings_are_kept(tmp_path):
    for part, n in (("train", 3), ("test", 2)):
        times = [np.array([0.001, 0.002, 0.5])] * n
        units = [np.array([1, 1, 63])] * n
        extra = {"n_channels": 64, "file": [f"{part}{i}.wav" for i in range(n)]}
        path = tmp_path / f"mine_{part}.h5"
        write_shd(path, times, units, [0] * n, [1] * n, ("yes",), extra)
    train, test = reduce_data_set(str(tmp_path), tmp_path / "new", bin_ms=5)
    assert read_shd(train).files == ("train0.wav", "train1.wav", "train2.wav")
    assert read_shd(test).n_channels == 64
    assert test.name == "mine_5ms_test.h5"
    assert len(read_shd(test).spikes(0)[0]) == 2


def test_a_data_set_is_not_reduced_into_its_own_folder(folder):
    with pytest.raises(DatasetError, match=r"is the folder of .* itself, which would then"):
        reduce_data_set(str(folder), folder)
    with pytest.raises(ValueError, match=r"bin_ms 0: must be at least 1, at most 1000"):
        reduce_data_set(str(folder), folder / "new", bin_ms=0)


def test_networks_are_judged_on_both_files_of_the_same_utterances(folder, tmp_path, monkeypatch):
    """The networks are stand-ins, which know the labels of some utterances."""
    official = tmp_path / "official.h5"
    test = read_shd(folder / "toy_test.h5")
    order = np.random.default_rng(0).permutation(len(test))
    times, units = zip(*[test.spikes(i) for i in order], strict=True)
    write_shd(official, times, units, test.labels[order], [4] * len(test), test.keys)

    class Recipe:
        language = "both"
        input = Downsampling(pool_units=50, pool_steps=100)

        @staticmethod
        def find_files():
            return folder / "toy_train.h5", folder / "toy_test.h5"

    class Trained:
        recipe = Recipe
        network = None

    class Found:
        def __init__(self, events):
            self.answers = np.where(events.labels < 10, events.labels, 10)

    rows = pd.DataFrame([{"run_name": "a", "model": "study", "seed": 3, "parameters": 9}])
    monkeypatch.setattr(ten_ms, "read_table", lambda _: rows)
    monkeypatch.setattr(ten_ms, "read_run", lambda _: None)
    monkeypatch.setattr(ten_ms, "load_network", lambda _: Trained)
    monkeypatch.setattr(ten_ms, "evaluate", lambda _, events: Found(events))
    monkeypatch.setenv("SHD_DATA_DIR", str(tmp_path / "data"))
    found = ten_ms.judge(official)
    assert found.test.tolist() == ["official", "hd"]
    assert found.utterances.tolist() == [len(test)] * 2
    assert found.english.tolist() == [1, 1]
    assert found.german.tolist() == pytest.approx([0.1, 0.1])  # all are taken for the first one
    assert found.accuracy.tolist() == pytest.approx([0.55, 0.55])
    write_shd(official, times[1:], units[1:], test.labels[order[1:]], [4] * 99, test.keys)
    with pytest.raises(
        DatasetError, match=r"official\.h5: its utterances aren't those of the test"
    ):
        ten_ms.judge(official)


def test_the_recipes_are_those_of_the_benchmark():
    own = read_yaml(SWEEPS / "ten_ms.yaml")
    benchmark = read_yaml(SWEEPS / "benchmark.yaml")
    assert own["fixed"] == benchmark["fixed"]
    assert own["seeds"] == benchmark["seeds"]
    for name, recipe in own["grid"]["model"].items():
        assert recipe == benchmark["grid"]["model"][name]
