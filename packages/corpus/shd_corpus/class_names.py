"""The names of classes: SHD's digits in two languages, or those of any other data set."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from shd_corpus.checks import DatasetError

ENGLISH = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
GERMAN = ("null", "eins", "zwei", "drei", "vier", "fuenf", "sechs", "sieben", "acht", "neun")
LANGUAGES = {"english": ENGLISH, "german": GERMAN, "both": ENGLISH + GERMAN}


def why_no_class_name(name: str) -> str:
    """Return why a text can't be the name of a class, as part of a sentence; empty if it can.

    Run folders store examples under the names of classes, and tables list them.
    """
    if not name.strip():
        return "a class needs a name"
    if "/" in name or not name.strip("."):
        return "the name of a class has no slash and isn't only dots"
    if not name.isprintable():
        return "the name of a class has only characters that can be printed"
    return ""


def used_classes(keys: Sequence[str], language: str) -> tuple[str, ...]:
    """Return the names of the classes that a run uses, in the order of its class numbers.

    Parameters
    ----------
    keys : sequence of str
        A file's class names, in the order of its labels.
    language : str
        A key of `LANGUAGES`. It matters only for SHD's digits in two languages.

    Returns
    -------
    tuple of str
        The language's digits in the study's order, because published descriptions disagree about
        the order of SHD's labels. For any other file, all its names in its own order.

    Raises
    ------
    DatasetError
        If the language is unknown, or the file has no class names.
    """
    if language not in LANGUAGES:
        raise DatasetError(f"language {language!r}: unknown. Choose one of {', '.join(LANGUAGES)}.")
    if len(keys) == 0:
        raise DatasetError("extra/keys is empty. Write the names of the classes there.")
    has_two_languages = sorted(keys) == sorted(LANGUAGES["both"])  # in whatever order
    return LANGUAGES[language] if has_two_languages else tuple(keys)


def language_classes(keys: Sequence[str], language: str) -> dict[int, int]:
    """Map a file's labels to the classes 0, 1, ... that a run uses: see `used_classes`.

    Labels of another language are left out.
    """
    names = used_classes(keys, language)
    return {list(keys).index(name): number for number, name in enumerate(names)}


def checked_class_names(path: Path, written: Sequence[str]) -> tuple[str, ...]:
    """Return the class names of a file, SHD's digits as `LANGUAGES` spells them.

    An umlaut may be written as one character or as two, which look alike. It becomes one.
    Raise DatasetError if a name can't be that of a class, or two classes have the same name.
    """
    names = tuple(unicodedata.normalize("NFC", name) for name in written)
    digits = tuple(name.lower().replace("ü", "ue") for name in names)
    if set(digits) <= set(LANGUAGES["both"]):
        names = digits
    for name, count in Counter(names).items():
        if reason := why_no_class_name(name):
            raise DatasetError(f"{path}: extra/keys: {name!r}: {reason}. Rename the class.")
        if count > 1:
            raise DatasetError(
                f"{path}: extra/keys lists the class {name!r} {count} times. Give each class a "
                "name of its own."
            )
    return names
