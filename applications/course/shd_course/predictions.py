"""Predictions that count: the reader answers, then the answer is drawn, and a score follows."""

import json
from pathlib import Path

from shd_corpus.files import atomic
from shd_course.figures.controls import is_live
from shd_helpers.command import from_extra
from shd_helpers.paths import runs_dir

with from_extra("study"):
    from ruamel.yaml import YAML

# Of each notebook, by name: what is asked, its answer, and the options or how far off is right.
QUESTIONS = YAML(typ="safe", pure=True).load(Path(__file__).with_suffix(".yaml"))


def _file() -> Path:
    return runs_dir() / "my_predictions.json"


def _stored() -> dict[str, str | float]:
    """Return the reader's predictions so far, by name."""
    return json.loads(_file().read_text(encoding="utf-8")) if _file().is_file() else {}


def _understood(text: str, question: dict) -> str | float | None:
    """Return what the reader has typed as an option or a number; None if it is neither."""
    if "options" in question:
        return next((each for each in question["options"] if each == text.strip().lower()), None)
    try:
        return float(text.replace(",", "").removesuffix("%"))
    except ValueError:
        return None


def predict(name: str) -> None:
    """Ask the reader for a prediction and store it, before the rest of the cell shows the answer.

    If nobody is there to answer, nothing is asked. The first prediction counts.
    """
    if not is_live() or name in _stored():
        return
    question = {name: each for its in QUESTIONS.values() for name, each in its.items()}[name]
    options = question.get("options")
    wanted = f"one of: {', '.join(options)}" if options else "a number, such as 33"
    prediction = None
    while prediction is None:
        prediction = _understood(input(f"{question['ask']} ({wanted}) "), question)
    with atomic(_file()) as unfinished:
        unfinished.write_text(json.dumps(_stored() | {name: prediction}), encoding="utf-8")


def is_right(prediction: str | float, question: dict) -> bool:
    """Return whether a prediction is the answer, or a number that is near enough."""
    if "options" in question:
        return prediction == question["answer"]
    return abs(float(prediction) - question["answer"]) <= question["within"]


def score(notebook: int) -> None:
    """Print the answers to the questions of a notebook, and how many the reader predicted."""
    questions, stored = QUESTIONS[notebook], _stored()
    for name, question in questions.items():
        yours = f" You said {stored[name]}." if name in stored else ""
        answer = question["answer"]
        print(f"{question['ask']} {answer if 'options' in question else f'{answer:,}'}.{yours}")
    predicted = [name for name in questions if name in stored]
    n_right = sum(is_right(stored[name], questions[name]) for name in predicted)
    if predicted:
        print(f"{n_right} of {len(predicted)} predictions were right.")
