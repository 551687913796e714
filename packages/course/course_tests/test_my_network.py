"""The reader's own file: whose functions it has, and that it trains the study's network."""

import inspect
import runpy
from types import SimpleNamespace

import pandas as pd
import pytest

from course_tests.solutions import SOLUTIONS, UNTOUCHED, check, defined
from shd_corpus.class_names import ENGLISH
from shd_course import kept_functions, my_network
from shd_course.exercises import source_of
from shd_helpers.events import Downsampling, load_pair
from shd_helpers.study import evaluate
from shd_helpers.study.run_folder import RunError


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("SHD_RUNS_DIR", str(tmp_path))


def test_the_file_trains_the_studys_network(toy_dir):
    with pytest.raises(RunError, match=r"my_network\.pt: no such file\. Run my_network\.py first"):
        my_network.read()
    path = my_network.write()
    assert len(path.read_text().splitlines()) < 160
    files = tuple(toy_dir / f"toy_{part}.h5" for part in ("train", "test"))
    scores = runpy.run_path(str(path))["main"](*files, 2)
    training, test = load_pair(files, Downsampling(), "english")
    right = evaluate(my_network.read().network, test).answers == test.labels
    assert 0.1 < right.mean() < 1
    by_speaker = 100 * pd.Series(right).groupby(test.speakers).mean()
    is_seen = by_speaker.index.isin(training.speakers)
    mean, _, unseen = scores
    assert mean == pytest.approx(by_speaker[is_seen].mean())
    assert unseen.to_dict() == pytest.approx(by_speaker[~is_seen].to_dict())


def test_a_file_that_the_reader_has_changed_is_kept(capsys):
    path = my_network.write()
    changed = path.read_text() + "# mine\n"
    path.write_text(changed)
    assert my_network.write() == path
    assert path.read_text() == changed
    kept = "my_network.py has changes of yours, so it is kept. Rename it to get a new one."
    assert kept in capsys.readouterr().out
    path.rename(path.with_name("mine.py"))
    assert my_network.write().read_text() != changed


def test_it_has_the_readers_functions_where_they_are_right(capsys):
    assert not {*my_network.FUNCTIONS} - {*SOLUTIONS}
    text = inspect.getsource(SOLUTIONS["surrogate_gradient"]).replace("_solution", "")
    own = text.replace("return error /", "return 1.0 * error /")
    for wrong in (UNTOUCHED["surrogate_gradient"], defined(text.replace(") ** 2", ")"))):
        check(wrong, "surrogate_gradient")
        assert "1.0 * error" not in my_network.write().read_text()
        assert "surrogate_gradient: the study's" in capsys.readouterr().out
    check(defined(own), "surrogate_gradient")
    written = my_network.write().read_text()
    assert own.strip() in written and "1 + slope" in written
    assert "surrogate_gradient: yours, TwoLayerSNN: the study's" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(1 + slope", "(ONE + slope"),
        ("slope):", "slope, one=ONE):"),
        ("def surrogate_gradient(", "def other_name("),
    ],
)
def test_a_function_that_is_not_complete_alone_is_not_kept(old, new, capsys):
    text = inspect.getsource(SOLUTIONS["surrogate_gradient"]).replace("_solution", "")
    function = defined(f"{text}\n", ONE=1.0)
    incomplete = defined(text.replace(old, new), ONE=1.0)
    assert check(function, "surrogate_gradient") is function
    (kept,) = kept_functions.folder().glob("*.txt")
    kept.unlink()
    capsys.readouterr()
    assert check(incomplete, "surrogate_gradient") is incomplete
    assert "isn't kept" in capsys.readouterr().out
    assert not kept.exists()


def test_the_network_is_the_readers_too(capsys):
    text = source_of(SOLUTIONS["TwoLayerSNN"]).replace("_solution", "")
    own = text.replace("torch.stack(spikes)", "torch.stack(spikes, dim=0)")
    network = defined(own)
    assert check(network, "TwoLayerSNN") is network
    assert own.strip() in my_network.write().read_text()
    assert "TwoLayerSNN: yours" in capsys.readouterr().out


PROGRAM = """
import pandas as pd


def main(train, test, epochs):
    assert train.name == "toy_train.h5"
    return 80.0, epochs, pd.Series({2: 70.0})


def interval_by_speaker(right, speaker):
    return 100 * right.mean(), len(set(speaker))
"""


def test_the_readers_network_is_compared_with_the_run_above(toy_dir, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    predictions = pd.DataFrame(
        {"speaker": [0, 0, 1, 2], "label": ["one"] * 4, "predicted": ["one", "two", "one", "one"]}
    )
    earlier = SimpleNamespace(
        info={"parameters": {"dataset": str(toy_dir)}, "seen_speakers": [0, 1]},
        class_names=ENGLISH,
        predictions=predictions,
    )
    table = my_network.run(program, earlier, 3)
    assert [*table.loc["seen speakers"]] == ["80.0 ± 3.0 %", "66.7 ± 2.0 %"]
    assert [*table.loc["unseen speaker 2"]] == ["70 %", "100 %"]
