"""Predictions are stored before the answer is shown, scored at the end, and not given away."""

import json
import re

import pytest

from shd_course import predictions
from shd_course.predictions import QUESTIONS, predict, score
from tests.builders.notebooks import cells_of


@pytest.fixture(autouse=True)
def reader(tmp_path, monkeypatch):
    """Return the list of what the reader types next."""
    monkeypatch.setenv("SHD_RUNS_DIR", str(tmp_path))
    monkeypatch.setattr(predictions, "is_live", lambda: True)
    typed = []
    monkeypatch.setattr("builtins.input", lambda _: typed.pop(0))
    return typed


def test_a_prediction_is_asked_until_it_can_be_counted_and_then_never_again(reader, tmp_path):
    reader += ["voice", "", " Digit", "about a third", "40 %", "speaker"]
    predict("alike")
    predict("kept")
    predict("alike")
    assert reader == ["speaker"]
    stored = json.loads((tmp_path / "my_predictions.json").read_text())
    assert stored == {"alike": "digit", "kept": 40.0}


def test_the_score_counts_what_was_predicted(reader, capsys):
    score(1)
    assert "You said" not in capsys.readouterr().out
    reader += ["speaker", "40", "132,352"]
    for name in QUESTIONS[1]:
        predict(name)
    score(1)
    said = capsys.readouterr().out
    assert "speaker? digit. You said speaker." in said
    assert said.endswith("2 of 3 predictions were right.\n")


def test_without_a_person_nothing_is_asked(reader, tmp_path, monkeypatch):
    monkeypatch.setattr(predictions, "is_live", lambda: False)
    predict("alike")
    assert [*tmp_path.iterdir()] == []


def read_by_a_reader(cells):
    """Return prose, comments and texts in code, with the surrogates' names as they are in code."""
    texts = []
    for cell in cells:
        strings = r"#.*|\".*?\"" if cell.cell_type == "code" else r"(?s).+"
        texts += re.findall(strings, cell.source)
    text = "\n".join(texts)
    return text.replace("fast sigmoid", "fast_sigmoid").replace("arctangent", "atan")


def mentions(text, answer):
    return len(re.findall(rf"(?<![\w.]){re.escape(str(answer))}(?![\w.]*\d)", text))


@pytest.mark.parametrize("number", QUESTIONS)
def test_the_cells_around_a_question_do_not_tell_its_answer(number):
    """Among options, the answer is named as often as another one; a number isn't named at all."""
    cells = cells_of(number)
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    asked = re.findall(r'^predict\("(\w+)"\)', code, re.MULTILINE)
    assert asked == [*QUESTIONS[number]] and len(asked) <= 3 and f"score({number})" in code
    for name, question in QUESTIONS[number].items():
        (place,) = (i for i, cell in enumerate(cells) if f'predict("{name}")' in cell.source)
        around = read_by_a_reader(cells[place - 1 : place + 1])
        assert "**Predict.**" in around
        if "options" in question:
            counts = {each: mentions(around, each) for each in map(str, question["options"])}
            assert counts[question["answer"]] <= max(
                count for each, count in counts.items() if each != question["answer"]
            ), (name, counts)
        else:
            for text in {question["answer"], f"{question['answer']:,}"}:
                assert mentions(around, text) == 0, (name, text)


def test_the_answers_in_numbers_are_what_the_notebooks_show():
    """Where a cell prints the number, its committed output has it."""
    outputs = {
        number: "\n".join(
            str(output) for cell in cells_of(number) for output in cell.get("outputs", ())
        )
        for number in (1, 4)
    }
    assert "132,352 weights" in outputs[1]
    first, second = map(int, re.search(r"\{1: (\d+), 2: (\d+)", outputs[1]).groups())
    assert round(100 * second / first) == QUESTIONS[1]["kept"]["answer"]
    half = re.search(r"utterances counted: +[\d.]+ ± ([\d.]+) %", outputs[4])[1]
    assert float(half) == QUESTIONS[4]["utterances"]["answer"]
    assert f"2 to {QUESTIONS[4]['seeds']['answer']} percentage points" in outputs[4]
