"""Folders and CSV files of recordings: labels, speakers, and sets that are incomplete."""

import os
import unicodedata
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile

from corpus_tests.made_recordings import sound
from shd_corpus import recordings
from shd_corpus.class_names import ENGLISH, LANGUAGES
from shd_corpus.recording_list import RecordingError
from shd_corpus.recordings import encode_recordings
from shd_corpus.shd_file import read_shd

CLASSES = ("yes", "no", "stop")
SPEAKERS = ("anna", "bert", "carl")


@pytest.fixture(autouse=True)
def encoded(monkeypatch):
    """Make spikes without the cochlea; return the list of seeds that were encoded with."""
    calls = []

    def encode(wave, rate_hz, seed, encoder="cochlea"):
        calls.append(seed)
        return np.array([0.01, seed % 1000 / 2000]), np.array([1, seed % 700])

    monkeypatch.setattr(recordings, "encode", encode)
    return calls


@pytest.fixture
def folder(tmp_path) -> Path:
    """Folders of three classes, each with a recording of each of three speakers."""
    path = tmp_path / "my_wavs"
    for i, label in enumerate(CLASSES):
        (path / label).mkdir(parents=True)
        for k, speaker in enumerate(SPEAKERS):
            soundfile.write(path / label / f"{speaker}_1.wav", sound(3 * i + k), 8000)
    return path


@pytest.fixture
def table(folder) -> Path:
    """Return a CSV file that lists the same recordings."""
    path = folder / "list.csv"
    lines = ["file,label,speaker"]
    for label in CLASSES:
        lines += [f"{label}/{speaker}_1.wav,{label},{speaker}" for speaker in SPEAKERS]
    path.write_text("\n".join(lines) + "\n")
    return path


def content(files):
    """Return label, speaker and spikes of each utterance, file by file."""
    read = [read_shd(file) for file in files]
    return [
        [
            (one.keys[one.labels[i]], one.speakers[i], *map(tuple, one.spikes(i)))
            for i in range(len(one))
        ]
        for one in read
    ]


def test_a_folder_alone_is_enough(folder, encoded):
    files = encode_recordings(folder)
    spikes = folder.parent / "my_wavs_spikes"
    assert files == (spikes / "my_wavs_train.h5", spikes / "my_wavs_test.h5")
    train, test = content(files)
    assert [row[:2] for row in train] == [(c, k) for c in ("no", "stop", "yes") for k in (0, 1)]
    assert [row[:2] for row in test] == [(c, 2) for c in ("no", "stop", "yes")]
    assert read_shd(files[0]).keys == read_shd(files[1]).keys == ("no", "stop", "yes")
    assert len(encoded) == 9


def test_a_file_has_the_path_of_each_recording(folder, table, monkeypatch):
    """Relative to the folder, or to that of the CSV file. An absolute path stays as it is."""
    paths = [f"{label}/{speaker}_1.wav" for label in sorted(CLASSES) for speaker in SPEAKERS]
    monkeypatch.chdir(folder.parent)
    for source in (folder, "my_wavs", table):
        train, test = map(read_shd, encode_recordings(source))
        assert test.files == tuple(path for path in paths if "carl" in path)
        assert train.files == tuple(path for path in paths if "carl" not in path)
    written = table.read_text()
    table.write_text(written.replace("no/carl", f"{folder}/no/carl"))
    _, test = map(read_shd, encode_recordings(table))
    assert set(test.files) == {"no/carl_1.wav", "stop/carl_1.wav", "yes/carl_1.wav"}


def test_a_fifth_of_the_speakers_test_if_none_is_named(tmp_path):
    for k in range(10):
        for label in ("a", "b"):
            (tmp_path / "ten" / label).mkdir(parents=True, exist_ok=True)
            path = tmp_path / "ten" / label / f"s{k}_0.wav"
            soundfile.write(path, sound(2 * k + (label == "b")), 8000)
    train, test = map(read_shd, encode_recordings(tmp_path / "ten"))
    assert set(test.speakers) == {8, 9} and set(train.speakers) == set(range(8))
    _, test = map(read_shd, encode_recordings(tmp_path / "ten", test_speakers=["s3"]))
    assert set(test.speakers) == {3}


@pytest.mark.parametrize("digits", LANGUAGES.values())
def test_all_digits_of_a_language_are_labeled_as_in_shd(digits, tmp_path):
    tmp_path = tmp_path / "flat"
    tmp_path.mkdir()
    for i, digit in enumerate(digits):
        for k, speaker in enumerate(("ann", "bob")):
            soundfile.write(tmp_path / f"{digit}_{speaker}_0.wav", sound(2 * i + k), 8000)
    train, _ = map(read_shd, encode_recordings(tmp_path))
    assert train.keys == LANGUAGES["both"]
    assert sorted(train.labels) == sorted(LANGUAGES["both"].index(digit) for digit in digits)


def test_some_digits_are_classes_as_any_others(tmp_path):
    """And numbers in the names of files are SHD's labels."""
    for i, name in enumerate(("three_a_0", "one_a_0", "3_b_0", "1_b_0")):
        soundfile.write(tmp_path / f"{name}.wav", sound(i), 8000)
    train, test = map(read_shd, encode_recordings(tmp_path, tmp_path / "out", "x"))
    assert train.keys == test.keys == (ENGLISH[1], ENGLISH[3])
    assert sorted(train.labels) == sorted(test.labels) == [0, 1]


def rename(folder, old, new):
    (folder / old).rename(folder / new)


def write(folder, name, seed=50):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, sound(seed), 8000)


def copy(folder, old, new):
    (folder / new).write_bytes((folder / old).read_bytes())


def remove(folder, *names):
    for name in names:
        (folder / name).unlink()


def only(folder, speaker):
    remove(folder, *(f"{c}/{s}_1.wav" for c in CLASSES for s in SPEAKERS if s != speaker))


NOT_UTF8 = os.fsdecode(b"n\xf6")
FAULTS = {
    "a class with one utterance": (
        lambda f: write(f, "go/anna_1.wav"),
        "my_wavs: incomplete: only one utterance of 'go'; no utterance of 'go' by bert; .*Record",
    ),
    "a speaker without a class": (
        lambda f: remove(f, "stop/bert_1.wav"),
        "incomplete: no utterance of 'stop' by bert. Record what is missing, or take the class or",
    ),
    "only one speaker": (
        lambda f: only(f, "anna"),
        r"incomplete: only one speaker \(anna\), so nobody",
    ),
    "only one class": (
        lambda f: rename(f, "no", "../no") or rename(f, "stop", "../stop"),
        "all utterances are of the class 'yes'. Add utterances of another",
    ),
    "an empty class": (
        lambda f: (f / "go").mkdir(),
        "my_wavs/go: no recordings .* Add some, or remove the folder",
    ),
    "no speaker": (
        lambda f: rename(f, "yes/anna_1.wav", "yes/anna.wav"),
        r"yes/anna.wav: the name says no speaker. Rename it to \{speaker\}_\{take\}.wav",
    ),
    "a class that isn't UTF-8": (
        lambda f: rename(f, "no", NOT_UTF8),
        r"my_wavs/n\\udcf6: its name isn't UTF-8. Rename it",
    ),
    "a file that isn't UTF-8": (
        lambda f: rename(f, "no/anna_1.wav", f"no/{NOT_UTF8}_1.wav"),
        r"no/n\\udcf6_1.wav: its name isn't UTF-8. Rename it",
    ),
    "a class with a line break": (
        lambda f: rename(f, "no", "n\no"),
        r"label 'n\\no': the name of a class has only characters that can be printed",
    ),
    "folders and files": (
        lambda f: write(f, "yes_anna_1.wav"),
        r"recordings both in it \(yes_anna_1.wav\) and in folders of it \(no/anna_1.wav\)",
    ),
    "a folder in a class": (
        lambda f: (f / "yes/old").mkdir() or write(f, "yes/old/anna_2.wav"),
        "yes/old/anna_2.wav: in a folder within the folder of a class. Move",
    ),
    "one sound, two labels": (
        lambda f: copy(f, "no/anna_1.wav", "yes/anna_2.wav"),
        "yes/anna_2.wav: the same sound as .*no/anna_1.wav, which has another label or speaker",
    ),
    "one sound, two speakers": (
        lambda f: copy(f, "no/anna_1.wav", "no/bert_2.wav"),
        "no/bert_2.wav: the same sound as .*no/anna_1.wav, which has another label or speaker",
    ),
    "a silent one": (
        lambda f: soundfile.write(f / "yes/anna_2.wav", np.zeros(800), 8000),
        "yes/anna_2.wav: silent",
    ),
    "one that can't be read": (
        lambda f: (f / "yes/anna_2.wav").write_bytes(b"nothing"),
        "yes/anna_2.wav: no audio that can be read",
    ),
    "nothing": (
        lambda f: only(f, "nobody"),
        "my_wavs: no recordings .*, neither in it nor in folders of it",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_incomplete_set_is_refused_before_anything_is_encoded(fault, folder, encoded):
    break_it, message = FAULTS[fault]
    break_it(folder)
    with pytest.raises(RecordingError, match=message) as error:
        encode_recordings(folder)
    assert "\n" not in str(error.value) and str(error.value).isprintable()
    assert not encoded and not (folder.parent / "my_wavs_spikes").exists()


def edited(old, new):
    """Return what replaces a text in a CSV file."""

    def edit(path):
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return edit


CSV_FAULTS = {
    "a file that is not there": (
        edited("no/bert_1.wav", "no/bert_7.wav"),
        "list.csv, line 6: 'no/bert_7.wav' is not there. Remove the line, or correct the path",
    ),
    "a file that is not listed": (
        edited("no/bert_1.wav,no,bert\n", ""),
        "list.csv: .*no/bert_1.wav in the folders of the listed recordings aren't listed. Add",
    ),
    "a file twice": (
        edited("no/bert_1.wav,no", "./no/anna_1.wav,yes"),
        "line 6: './no/anna_1.wav' is listed in line 5, too. Remove one line",
    ),
    "a column that is missing": (
        edited("label", "class"),
        "list.csv: its first line doesn't name label. It must have the columns file,label,speaker",
    ),
    "semicolons": (
        lambda path: path.write_text(path.read_text().replace(",", ";")),
        "doesn't name file and label and speaker. .* with commas between them",
    ),
    "no speaker": (
        edited("no/bert_1.wav,no,bert", "no/bert_1.wav,no,"),
        "line 6: no speaker. Fill it in",
    ),
    "a value too few": (edited("no/bert_1.wav,no,bert", "no/bert_1.wav,no"), "line 6: no speaker"),
    "a value too many": (edited("no,bert", "no,bert,x"), "line 6: more values than columns"),
    "no rows": (
        lambda path: path.write_text("file,label,speaker\n"),
        "list.csv: lists no recording",
    ),
    "Latin-1": (
        lambda path: path.write_bytes("file,label,speaker\nä.wav,ä,ä\n".encode("latin-1")),
        "list.csv: not UTF-8 .*Save it as UTF-8",
    ),
    "nothing": (lambda path: path.unlink(), r"list.csv: can't be read \(No such file"),
    "another kind of file": (
        lambda path: (
            (path.parent / "no/x.txt").write_text("") or edited("no/bert_1.wav", "no/x.txt")(path)
        ),
        "line 6: 'no/x.txt' is neither wav nor flac",
    ),
    "a class with a slash": (
        edited("no/bert_1.wav,no", "no/bert_1.wav,yes/no"),
        "label 'yes/no': the name of a class has no slash",
    ),
    "a speaker without a class": (
        edited("no/bert_1.wav,no", "no/bert_1.wav,yes"),
        "list.csv: incomplete: no utterance of 'no' by bert",
    ),
}


@pytest.mark.parametrize("fault", CSV_FAULTS)
def test_a_csv_file_that_does_not_match_its_recordings_is_refused(fault, table, encoded):
    break_it, message = CSV_FAULTS[fault]
    break_it(table)
    with pytest.raises(RecordingError, match=message) as error:
        encode_recordings(table)
    assert "\n" not in str(error.value)
    assert not encoded and not list(table.parent.glob("list_spikes*"))


@pytest.mark.parametrize("character", ["\u200b", "\u2060", "\ufeff", "\u00ad"])
@pytest.mark.parametrize("source", ["folder", "table"])
def test_a_speaker_with_an_invisible_character_is_refused(folder, table, source, character):
    if source == "folder":
        old = folder / "no/anna_1.wav"
        old.rename(old.with_name(f"anna{character}_1.wav"))
    else:
        table.write_text(table.read_text().replace(",anna", f",an{character}na", 1))
    with pytest.raises(RecordingError, match=r"the speaker 'an.*na.* that can't be seen\. Rename"):
        encode_recordings(folder if source == "folder" else table)


def test_a_csv_file_as_spreadsheets_write_it(table):
    """With a mark at its beginning, names of columns in capitals, more columns, and blanks."""
    text = table.read_text().replace("file,label,speaker", " File , LABEL,speaker,remark")
    lines = [line + ("" if "remark" in line else " ,") for line in text.splitlines()]
    table.write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    train, test = encode_recordings(table)
    assert len(read_shd(train)) + len(read_shd(test)) == 9


def test_what_may_be_meant_is_only_warned_of(folder):
    copy(folder, "no/anna_1.wav", "no/anna_2.wav")
    (folder / "no/bert_7.mp3").write_bytes(b"")
    (folder / "notes.txt").write_text("not a recording")
    (folder / "no/._anna_1.wav").write_bytes(b"what macOS writes beside a file")
    with pytest.warns(UserWarning) as caught:
        train, _ = encode_recordings(folder)
    texts = [str(warning.message) for warning in caught]
    assert len(texts) == 2
    assert "bert_7.mp3: neither wav nor flac, so it isn't used. Convert" in texts[0]
    assert "no/anna_2.wav: the same sound as" in texts[1]
    assert len(read_shd(train)) == 7


def test_a_complete_set_is_encoded_without_a_warning(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encode_recordings(folder)


@pytest.mark.parametrize("name", ["./victim", "../evil", "a/b", "/tmp/evil", "", ".", ".."])
def test_a_name_that_leads_to_another_folder_is_refused(folder, tmp_path, name):
    victim = tmp_path / "out" / "victim_parts"
    victim.mkdir(parents=True)
    (victim / "thesis.txt").write_text("three years")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RecordingError, match=r"my_wavs: the name '.*' .*slash.*\(name\)\.$"):
        encode_recordings(folder, tmp_path / "out", name)
    assert sorted(tmp_path.rglob("*")) == before


def test_test_speakers_as_a_text_are_refused(folder):
    with pytest.raises(RecordingError, match=r"test_speakers 'anna': must be a list, such as \['"):
        encode_recordings(folder, test_speakers="anna")


@pytest.mark.parametrize("source", ["folders", "names", "table"])
def test_a_speaker_is_the_same_however_an_umlaut_is_spelled(source, tmp_path):
    """macOS spells it as two characters, Linux as one."""
    folder = tmp_path / "two systems"
    lines = ["file,label,speaker"]
    for number, label in enumerate(("ja", "nein")):
        for speaker in ("Anna", unicodedata.normalize(("NFC", "NFD")[number], "J\u00fcrgen")):
            name = f"{label}/{speaker}_1" if source == "folders" else f"{label}_{speaker}_1"
            lines.append(f"{name}.wav,{label},{speaker}")
            path = folder / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, sound(len(lines)), 8000)
    (folder / "list.csv").write_text("\n".join(lines) + "\n")
    listed = folder / "list.csv" if source == "table" else folder
    for form in ("NFC", "NFD"):
        speaker = unicodedata.normalize(form, "J\u00fcrgen")
        _, test = encode_recordings(listed, tmp_path / form, "x", [speaker])
        assert read_shd(test).speakers.tolist() == [1, 1]
