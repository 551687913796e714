"""Find recordings, their labels and their speakers, and check that the set is complete.

Recordings come in one of three forms. A folder has a folder for each class, ``yes/anna_1.wav``, or
all recordings in one place, ``yes_anna_1.wav``. Or a CSV file lists them, with the columns `file`,
`label` and `speaker`.
"""

import csv
import unicodedata
import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from shd_corpus.checks import listed
from shd_corpus.class_names import LANGUAGES, why_no_class_name
from shd_corpus.files import sha256

SUFFIXES = (".wav", ".flac")
# Sound files that aren't used: whoever has some of them is warned.
OTHER_SUFFIXES = (".aac", ".aif", ".aiff", ".caf", ".m4a", ".mp3", ".oga", ".ogg", ".opus", ".wma")
COLUMNS = ("file", "label", "speaker")  # of a CSV file


class RecordingError(ValueError):
    """A recording can't be used; the message names the file and the remedy."""


class Recording(NamedTuple):
    """A sound file with its class and its speaker."""

    path: Path
    label: str  # name of the class
    speaker: str


def normalized(text: str) -> str:
    """Return a label or speaker without blanks around it, and with one character for each umlaut.

    macOS spells an umlaut as two characters. Texts that look alike are equal in Unicode's form NFC.
    """
    return unicodedata.normalize("NFC", text).strip()


def list_recordings(source: Path, lenient: bool = False) -> list[Recording]:
    """Return the recordings of a folder or CSV file sorted by path; see `encode_recordings`.

    Raise RecordingError if there is none, a name lacks the label or the speaker, the CSV file
    doesn't match the folder, or the set is incomplete. If `lenient`, speakers may lack classes.
    """
    if source.suffix.lower() == ".csv" and not source.is_dir():
        found = _listed_in_csv(source)
    else:
        found = _found_in_folder(source)
    recordings = sorted(found)
    for recording in recordings:
        if reason := why_no_class_name(recording.label):
            raise RecordingError(
                f"{_printable(recording.path)}: label {recording.label!r}: {reason}."
            )
        if not recording.speaker.isprintable():  # or two speakers could look like one
            raise RecordingError(
                f"{_printable(recording.path)}: the speaker {recording.speaker!r} has a character "
                "that can't be seen. Rename the file, or correct the list."
            )
    check_complete(source, recordings, lenient)
    _check_copies(recordings)
    return recordings


def class_names(recordings: Sequence[Recording]) -> tuple[str, ...]:
    """Return the class names of a data set made of recordings, in the order of its labels.

    They are SHD's twenty names if the labels are all digits of English, of German or of both, so
    that networks trained on SHD's files fit. Otherwise they are the labels in alphabetical order.
    """
    labels = {recording.label for recording in recordings}
    for digits in LANGUAGES.values():
        if labels == set(digits):
            return LANGUAGES["both"]
    return tuple(sorted(labels))


# --- Folders ---------------------------------------------------------------------------------


def _found_in_folder(folder: Path) -> list[Recording]:
    """Return the recordings of a folder, in one place or in folders of classes."""
    if not folder.is_dir():
        raise RecordingError(f"{_printable(folder)}: no such folder. Check the path.")
    _warn_of_other_sounds(folder)
    direct = _sounds_in(folder)
    class_folders = [path for path in _visible(folder) if path.is_dir()]
    in_folders = [path for each in class_folders for path in _sounds_in(each)]
    if direct and in_folders:
        raise RecordingError(
            f"{_printable(folder)}: recordings both in it ({_printable(direct[0].name)}) and in "
            f"folders of it ({_printable(in_folders[0].relative_to(folder))}). Move all into "
            "folders, one for each class."
        )
    if direct:
        return [_parse_name(path) for path in direct]
    if not in_folders:
        raise RecordingError(
            f"{_printable(folder)}: no recordings ({' or '.join(SUFFIXES)}), neither in it nor in "
            "folders of it, one for each class. Check the path."
        )
    return [recording for each in class_folders for recording in _recordings_of_class(each)]


def _recordings_of_class(folder: Path) -> list[Recording]:
    """Return the recordings of a folder whose name is their class."""
    _check_text(folder)
    paths = _sounds_in(folder)
    if not paths:
        raise RecordingError(
            f"{folder}: no recordings ({' or '.join(SUFFIXES)}) in this folder of a class. Add "
            "some, or remove the folder."
        )
    deeper = [path for each in _visible(folder) if each.is_dir() for path in _sounds_in(each)]
    if deeper:
        raise RecordingError(
            f"{_printable(deeper[0])}: in a folder within the folder of a class. Move the "
            f"recordings up into {folder.name}, or away."
        )
    label = normalized(folder.name)
    recordings = []
    for path in paths:
        _check_text(path)
        before, underscore, _ = path.stem.partition("_")
        speaker = normalized(before)
        if not speaker or not underscore:
            raise RecordingError(
                f"{path}: the name says no speaker. Rename it to {{speaker}}_{{take}}"
                f"{path.suffix}, such as anna_1{path.suffix}."
            )
        recordings.append(Recording(path, label, speaker))
    return recordings


def _parse_name(path: Path) -> Recording:
    """Read label and speaker from a recording's name. Raise RecordingError if it has another form.

    The numbers 0 to 19 are the labels of SHD: they stand for its class names.
    """
    _check_text(path)
    fields = [normalized(field) for field in path.stem.split("_")]
    if len(fields) != 3 or not all(fields):
        raise RecordingError(
            f"{path}: the name is not {{label}}_{{speaker}}_{{take}}{path.suffix}. Rename it, or "
            "move the recordings into folders, one for each class."
        )
    label, speaker, _ = fields
    names = {str(number): name for number, name in enumerate(LANGUAGES["both"])}
    return Recording(path, names.get(label, label), speaker)


def _visible(folder: Path) -> list[Path]:
    """Return what is in a folder, sorted, without hidden files and those of archive programs."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX")))


def _sounds_in(folder: Path) -> list[Path]:
    """Return the recordings that are directly in a folder, sorted."""
    return [path for path in _visible(folder) if path.suffix.lower() in SUFFIXES]


def _warn_of_other_sounds(folder: Path) -> None:
    """Warn of sound files that aren't used, in a folder and in its folders."""
    paths = _visible(folder)
    for path in tuple(paths):
        if path.is_dir():
            paths += _visible(path)
    others = [path for path in paths if path.suffix.lower() in OTHER_SUFFIXES]
    if others:
        more = f", and neither are {len(others) - 1} more" if len(others) > 1 else ""
        warnings.warn(
            f"{_printable(others[0])}: neither wav nor flac, so it isn't used{more}. Convert such "
            "files to wav.",
            stacklevel=2,
        )


def _check_text(path: Path) -> None:
    """Raise RecordingError if a name isn't UTF-8, in which files of spikes have their texts."""
    # Python has replaced other bytes by surrogates, which can't be encoded.
    if path.name != path.name.encode(errors="ignore").decode():
        raise RecordingError(f"{_printable(path)}: its name isn't UTF-8. Rename it.")


def _printable(path: str | Path) -> str:
    """Return a path as messages show it: on one line, with the numbers of what isn't text."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(path))


# --- CSV files -------------------------------------------------------------------------------


def _listed_in_csv(path: Path) -> list[Recording]:
    """Return the recordings that a CSV file lists: exactly those that are in their folders."""
    recordings = []
    row_of: dict[Path, int] = {}
    for number, row in _read_rows(path):
        where = f"{path}, line {number}"
        _check_row(where, row)
        file = path.parent / row["file"].strip()
        if not file.is_file():
            raise RecordingError(
                f"{where}: {row['file']!r} is not there. Remove the line, or correct the path, "
                f"which counts from {path.parent.resolve()}/."
            )
        if file.suffix.lower() not in SUFFIXES:
            raise RecordingError(
                f"{where}: {row['file']!r} is neither wav nor flac. Convert it to wav."
            )
        same = file.resolve()
        if same in row_of:
            raise RecordingError(
                f"{where}: {row['file']!r} is listed in line {row_of[same]}, too. Remove one line."
            )
        row_of[same] = number
        _check_text(file)
        recordings.append(Recording(file, normalized(row["label"]), normalized(row["speaker"])))
    _check_all_listed(path, recordings)
    return recordings


def _read_rows(path: Path) -> list[tuple[int, dict]]:
    """Return the rows of a CSV file, each with the number of its line."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            names = [name.strip().lower() for name in reader.fieldnames or []]
            reader.fieldnames = names
            rows = [(reader.line_num, row) for row in reader]
    except UnicodeDecodeError as error:
        raise RecordingError(f"{path}: not UTF-8 ({error}). Save it as UTF-8.") from None
    except OSError as error:
        raise RecordingError(f"{path}: can't be read ({error.strerror}). Check the path.") from None
    except csv.Error as error:
        raise RecordingError(f"{path}: not a CSV file ({error}). Export it as CSV.") from None
    absent = [name for name in COLUMNS if name not in names]
    if absent:
        raise RecordingError(
            f"{path}: its first line doesn't name {' and '.join(absent)}. It must have the columns "
            f"{','.join(COLUMNS)}, with commas between them."
        )
    if not rows:
        raise RecordingError(f"{path}: lists no recording. Add a line for each.")
    return rows


def _check_row(where: str, row: dict) -> None:
    """Raise RecordingError if a row of a CSV file has too many or too few values."""
    if None in row:  # csv's key for values without a column
        raise RecordingError(
            f"{where}: more values than columns. Put a value with a comma into quotation marks."
        )
    empty = [name for name in COLUMNS if not (row[name] or "").strip()]
    if empty:
        raise RecordingError(f"{where}: no {', '.join(empty)}. Fill it in, or remove the line.")


def _check_all_listed(path: Path, recordings: Sequence[Recording]) -> None:
    """Raise RecordingError if the folders of the listed recordings hold others.

    A recording may be a link. Then the folder of the link counts, and not that of its target.
    """
    targets = {recording.path.resolve() for recording in recordings}
    folders = sorted({recording.path.parent.resolve() for recording in recordings})
    there = [file for folder in folders for file in _sounds_in(folder)]
    missing = [_printable(file) for file in there if file.resolve() not in targets]
    if missing:
        raise RecordingError(
            f"{path}: {listed(missing, 1)} in the folders of the listed recordings aren't listed. "
            "Add lines, or move these files away."
        )


# --- Completeness ----------------------------------------------------------------------------


def check_complete(source: Path, recordings: Sequence[Recording], lenient: bool = False) -> None:
    """Raise RecordingError if a class or speaker can't be held out, because something is missing.

    There must be two classes and two speakers, two utterances of each class and, unless `lenient`,
    each class by each speaker.
    """
    classes_of = defaultdict(set)
    for recording in recordings:
        classes_of[recording.speaker].add(recording.label)
    n_utterances = Counter(recording.label for recording in recordings)
    labels = sorted(n_utterances)
    if len(labels) == 1:
        raise RecordingError(
            f"{source}: all utterances are of the class {labels[0]!r}. Add utterances of another."
        )
    faults = []
    if len(classes_of) == 1:
        faults.append(
            f"only one speaker ({next(iter(classes_of))}), so nobody would be left to test with"
        )
    faults.extend(
        f"only one utterance of {label!r}" for label in labels if n_utterances[label] == 1
    )
    for speaker in sorted(classes_of):
        absent = [label for label in labels if label not in classes_of[speaker]]
        if absent and not lenient:
            classes = listed([repr(label) for label in absent])
            faults.append(f"no utterance of {classes} by {speaker}")
    if faults:
        raise RecordingError(
            f"{source}: incomplete: {listed(faults, separator='; ')}. Record what is missing, or "
            "take the class or the speaker out."
        )


def _check_copies(recordings: Sequence[Recording]) -> None:
    """Refuse one sound under two labels or speakers; warn of one that appears twice."""
    first_with: dict[str, Recording] = {}
    for recording in recordings:
        if not recording.path.is_file():  # a pipe, which is refused when it is read as a sound
            continue
        first = first_with.setdefault(sha256(recording.path), recording)
        if first is recording:
            continue
        if (first.label, first.speaker) != (recording.label, recording.speaker):
            raise RecordingError(
                f"{recording.path}: the same sound as {first.path}, which has another label or "
                "speaker. Remove one of them."
            )
        warnings.warn(
            f"{recording.path}: the same sound as {first.path}. Remove one of them.", stacklevel=2
        )
