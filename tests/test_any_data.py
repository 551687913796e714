"""Data sets with classes, channels and durations of their own, from the file to a run folder."""

import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest

from corpus_tests.made_files import write
from evidence.networks import save_pretrained
from shd_corpus import shd_file
from shd_corpus.checks import DatasetError
from shd_corpus.class_names import ENGLISH, GERMAN, language_classes
from shd_corpus.shd_file import channels_of, read_in_slices, read_shd, write_shd
from shd_helpers import data as datasets
from shd_helpers import study
from shd_helpers.events import Downsampling, downsample, load_events, load_pair
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.trained_network import input_of
from tests.builders.run_folders import trained_run

CLASSES = ("Yes", "no", "stop", "go", "nicht jetzt")


def write_ridges(folder: Path, n_channels: int, classes=CLASSES, duration_s: float = 0.8) -> None:
    """Write a data set in which each class has spikes in channels of its own."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    band = n_channels // len(classes)
    for part, speakers, takes in (("train", (0, 1, 2), 4), ("test", (0, 3), 2)):
        rows = []
        for label in range(len(classes)):
            for speaker in speakers:
                for _ in range(takes):
                    times = np.sort(rng.uniform(0, duration_s, 400))
                    units = rng.integers(label * band, (label + 1) * band, 400)
                    rows.append((times, units, label, speaker))
        times, units, labels, speakers_of = zip(*rows, strict=True)
        extra = {"n_channels": n_channels}
        write_shd(folder / f"own_{part}.h5", times, units, labels, speakers_of, classes, extra)


# --- Classes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["english", "german", "both"])
def test_classes_that_are_not_both_languages_are_used_whatever_the_language(language):
    for keys in (CLASSES, ENGLISH, GERMAN[::-1], (*ENGLISH, *GERMAN, "yes"), ("zero", "one")):
        assert language_classes(keys, language) == {i: i for i in range(len(keys))}


def test_a_language_matters_where_a_file_has_two():
    keys = GERMAN + ENGLISH
    assert language_classes(keys, "english") == {10 + i: i for i in range(10)}
    assert list(language_classes(keys, "both")) == [*range(10, 20), *range(10)]
    with pytest.raises(DatasetError, match=r"language 'latin': unknown\. Choose one of english"):
        language_classes(CLASSES, "latin")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["yes", "yes"], "extra/keys lists the class 'yes' 2 times"),
        (["yes", ""], "extra/keys: '': a class needs a name"),
        (["yes", "a/b"], "extra/keys: 'a/b': the name of a class has no slash"),
        (["yes", ".."], r"extra/keys: '\.\.': the name of a class .* isn't only dots"),
        (["yes", "a\nb"], r"extra/keys: 'a\\nb': the name .* can be printed. Rename the class"),
        ([], "a label without a name in extra/keys"),
    ],
)
def test_names_that_cannot_be_classes_are_refused(keys, message, tmp_path):
    content = {"labels": [0, 1, 0], "keys": np.array([key.encode() for key in keys], "S9")}
    with pytest.raises(DatasetError, match=message):
        read_shd(write(tmp_path / "x.h5", **content))


# --- Channels --------------------------------------------------------------------------------


def with_channels(path: Path, value, units=((0, 1, 2), (), (7,))) -> Path:
    """Write a file by h5py alone, which says its number of channels."""
    write(path, units=units)
    if value is not None:
        with h5py.File(path, "a") as file:
            file["extra/n_channels"] = value
    return path


def test_a_file_says_how_many_channels_it_has(tmp_path):
    path = with_channels(tmp_path / "x.h5", 2048, [[0, 2047, 5], [], [7]])
    assert channels_of(path) == read_shd(path).n_channels == 2048
    path = with_channels(tmp_path / "y.h5", None)
    assert channels_of(path) == read_shd(path).n_channels == 700


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "extra/n_channels is 0: a file has 1 to 65,536 channels, because units are stored in"),
        (70_000, "extra/n_channels is 70,000: a file has 1 to 65,536 channels.*Correct the number"),
        (7, r"utterance 2: a unit outside 0\.\.6\. Correct"),
        (64.5, "extra/n_channels is 64.5, but must be a whole number"),
        ([64], "extra/n_channels must be one whole number"),
        ("many", "extra/n_channels must be one whole number"),
    ],
)
def test_a_number_of_channels_that_cannot_be_is_refused(value, message, tmp_path):
    with pytest.raises(DatasetError, match=message):
        read_shd(with_channels(tmp_path / "x.h5", value))


def test_more_than_700_channels_must_be_said(tmp_path):
    message = r"utterance 2: a unit outside 0\.\.699.*If the file has more than 700.*n_channels"
    with pytest.raises(DatasetError, match=message):
        read_shd(with_channels(tmp_path / "x.h5", None, [[0, 1, 2], [], [812]]))


def test_writing_refuses_channels_that_cannot_be(tmp_path):
    row = ([[0.1]], [[12]], [0], [0], ["yes"])
    for n_channels in (0, 70_000):
        with pytest.raises(DatasetError, match=f"n_channels is {n_channels:,}: a file has 1 to"):
            write_shd(tmp_path / "x.h5", *row, {"n_channels": n_channels})
    with pytest.raises(DatasetError, match=r"x.h5: utterance 0: a unit outside 0\.\.9"):
        write_shd(tmp_path / "x.h5", *row, {"n_channels": 10})
    write_shd(tmp_path / "x.h5", *row, {"n_channels": 700})
    with h5py.File(tmp_path / "x.h5") as file:
        assert "n_channels" not in file["extra"]


def test_downsampling_uses_the_channels_of_the_file(tmp_path):
    path = with_channels(tmp_path / "x.h5", 12, [[0, 11, 4], [], [7]])
    grid = Downsampling(2, pool_units=3, pool_steps=1, pool_threshold=1)
    events = downsample(read_shd(path), grid, "both")
    assert (events.n_units, events.n_channels) == (3, 12)  # unit 11 fills no block
    assert events.units.tolist() == [0]  # 4: the first block; 7 comes after a second
    with pytest.raises(DatasetError, match=r"first_unit 150: .* because the file has 12 ch"):
        downsample(read_shd(path), Downsampling(), "both")


# --- Slices and load_events ------------------------------------------------------------------


def test_slices_are_the_file_piece_by_piece(tmp_path, monkeypatch, data_dir):
    write_ridges(tmp_path, 100)
    path = tmp_path / "own_train.h5"
    whole = read_shd(path)
    grid = Downsampling(0, pool_units=1)
    at_once = downsample(whole, grid)
    monkeypatch.setattr(shd_file, "ROWS_OF_A_SLICE", 7)
    slices = list(read_in_slices(path))
    assert [len(part) for part in slices] == [7] * 8 + [4]
    assert np.array_equal(np.concatenate([part.times for part in slices]), whole.times)
    assert np.array_equal(np.concatenate([part.labels for part in slices]), whole.labels)
    loaded = load_pair((path, tmp_path / "own_test.h5"), grid)[0]
    for name, value in vars(at_once).items():
        if name != "file":
            assert np.array_equal(getattr(loaded, name), value), name


def test_load_events_takes_a_folder_or_two_files(tmp_path, data_dir, monkeypatch, capsys):
    write_ridges(tmp_path / "own", 100)
    grid = Downsampling(0, pool_units=1)
    events = load_events(str(tmp_path / "own"), downsampling=grid)
    said = capsys.readouterr().out
    assert said == (
        "own: 80 utterances, 5 classes, 4 speakers; duration_s 1 cuts off 0.0 % of the spikes\n"
    )
    assert events.class_names == CLASSES
    assert events.file.tolist() == [0] * 60 + [1] * 20
    assert events.rows.tolist() == [*range(60), *range(20)]
    assert set(events.speakers[:60]) == {0, 1, 2} and set(events.speakers[60:]) == {0, 3}
    files = (str(tmp_path / "own" / "own_train.h5"), tmp_path / "own" / "own_test.h5")
    monkeypatch.chdir(tmp_path)
    for dataset in (files, list(files), Path("own"), "own", "./own"):
        again = load_events(dataset, downsampling=grid)
        assert np.array_equal(again.steps, events.steps) and len(again) == 80
    with pytest.raises(DatasetError, match="1 files: a data set has two"):
        load_events(files[:1])
    with pytest.raises(DatasetError, match="no such folder"):
        load_events("absent")


# The words of the Spiking Speech Commands, in the order of its paper's figure
SSC = (
    "yes no up down left right on off stop go backward forward follow learn "
    "zero one two three four five six seven eight nine "
    "bed bird cat dog happy house marvin sheila tree wow visual"
).split()


def test_files_of_the_spiking_speech_commands_are_read(tmp_path, data_dir, capsys):
    """Official files have 35 classes, a third file for validation, and facts about speakers."""
    labels = [*range(35), 14]
    for name, first in (("train", 0), ("valid", 7), ("test", 3)):
        path = tmp_path / f"ssc_{name}.h5"
        write(
            path,
            times=[[0.01 * (first + 1), 0.02 * (first + 1)]] * 36,
            units=[[699 - first, label] for label in labels],
            labels=np.array(labels, np.uint16),
            speaker=np.arange(first, 36 + first, dtype=np.uint16),
            keys=[word.encode() for word in SSC],
        )
        with h5py.File(path, "r+") as file:
            file["extra/meta_info/gender"] = [b"f"] * 36
    events = load_events(tmp_path, downsampling=Downsampling(first_unit=0, pool_threshold=1))
    assert len(events) == 72 and events.class_names == tuple(SSC)
    digits = events.of_classes(ENGLISH)
    assert digits.class_names == ENGLISH and len(digits) == 2 * 11
    assert digits.labels.tolist() == [*range(10), 0] * 2


def test_load_events_takes_a_language_where_there_are_two(toy_dir, data_dir):
    assert load_events(toy_dir).class_names == ENGLISH + GERMAN
    german = load_events(toy_dir, "german")
    assert german.class_names == GERMAN and set(german.labels) == set(range(10))


def test_two_files_of_different_data_sets_are_refused(tmp_path, data_dir):
    write_ridges(tmp_path / "a", 100)
    write_ridges(tmp_path / "b", 100, CLASSES[:4])
    write_ridges(tmp_path / "c", 90)
    grid = Downsampling(0)
    for other, what in (("b", "other classes"), ("c", "another number of channels")):
        files = (tmp_path / "a" / "own_train.h5", tmp_path / other / "own_test.h5")
        with pytest.raises(DatasetError, match=f"own_test.h5: {what} than in the training file"):
            load_events(files, downsampling=grid)


# --- Durations -------------------------------------------------------------------------------


def test_the_share_that_is_cut_is_counted_and_warned_of(tmp_path, data_dir):
    """Times are uniform from 0 to 0.8 s, so 0.7 s cuts an eighth."""
    write_ridges(tmp_path, 100)
    files = datasets.obtain(str(tmp_path))
    times = np.concatenate([read_shd(file).times.astype(float) for file in files])
    for _ in range(2):  # the second time from the cache
        with pytest.warns(UserWarning, match=r"own_t.*h5: duration_s 0.7 cuts off 1\d\.\d % of"):
            events = load_events(files, downsampling=Downsampling(0, 0.7, 1))
        assert events.cut_share == pytest.approx(np.mean(times >= 0.7), abs=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        events = load_events(files, downsampling=Downsampling(0, 0.79, 1))
    assert events.cut_share == np.mean(times >= 0.79) > 0


def test_channels_without_events_are_told(tmp_path, data_dir):
    """The files don't say that they have 100 channels, so 700 are assumed."""
    write_ridges(tmp_path, 100)
    for path in tmp_path.glob("*.h5"):
        with h5py.File(path, "r+") as file:
            del file["extra/n_channels"]
    with pytest.warns(UserWarning, match=r"all events are in the first \d+ of 700 units"):
        load_events(str(tmp_path), downsampling=Downsampling(0, 1.0, 1))


# --- A run -----------------------------------------------------------------------------------


def train(folder: Path, dataset: Path, **settings):
    """Return a run on a data set, as notebook 3 does it."""
    settings = {"epochs": 4, "n_hidden": 16, "batch_size": 8, "lr": 5e-3} | settings
    recipe = Recipe.from_notebook({"dataset": str(dataset), "run_name": "five"} | settings)
    return trained_run(recipe, folder)[1]


@pytest.mark.parametrize("n_channels", [100, 900])
def test_a_run_with_five_classes_goes_all_the_way(n_channels, tmp_path, data_dir, monkeypatch):
    write_ridges(tmp_path / "data", n_channels)
    pooling = {"first_unit": 0, "pool_units": 10, "pool_steps": 20, "pool_threshold": 1}
    run = train(tmp_path / "five", tmp_path / "data", **pooling)
    assert run.info["class_names"] == list(CLASSES) and run.info["n_channels"] == n_channels
    assert "other_network" not in run.info
    assert run.class_names == CLASSES
    assert run.source == "data: own, 5 classes; seed 0"
    assert set(run.predictions.label) == set(CLASSES)
    assert set(run.examples) <= set(CLASSES)
    assert run.info["scores"]["test"] > 0.5, "chance is 0.2"

    trained = study.load_network(run)
    assert trained.class_names == CLASSES and trained.grid.n_channels == n_channels
    assert trained.classes_of("english") == trained.classes_of("german") == list(range(5))
    assert trained.speaking("german").class_names == CLASSES
    save_pretrained(run, tmp_path / "kept.npz")
    kept = study.load_pretrained(tmp_path / "kept.npz")
    assert kept.class_names == CLASSES and kept.grid == trained.grid
    assert len(study.load_utterances(trained).test) == 20
    with pytest.raises(ValueError, match=f"five: its input has {n_channels} channels, but the coc"):
        input_of(trained, np.array([0.1]), np.array([50]))


def test_a_circuit_has_700_channels_at_most(tmp_path):
    write_ridges(tmp_path, 701)
    settings = {"dataset": str(tmp_path), "circuit": "3-8-12", "beta": 0.9375, "first_unit": 0}
    with pytest.raises(
        ValueError, match="circuit: a circuit takes at most 700 channels, but the data set has 701"
    ):
        Recipe.from_notebook(settings)
