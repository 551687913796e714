"""Files that can't be right are refused: one line with file and remedy, in little memory and time.

Each attack damages one of two good files and names what the message must say.
"""

import gzip
import os
import resource
import struct
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from shd_helpers.events import Downsampling, Split, load_events, load_parts
from shd_helpers.source.datasets import fingerprint, locate
from shd_helpers.source.shd_file import DatasetError, write_shd

N, ROOM_BYTES = 40, 200e6  # utterances; memory that an attack may take


def make(
    path: Path, times=(0.1, 0.101, 0.102, 0.103, 0.3), n: int = N, seed: int = 0, **settings
) -> Path:
    rng = np.random.default_rng(seed)
    rows = [np.asarray(times) + rng.uniform(0, 0.01) for _ in range(n)]
    units = [np.full(len(row), 300) for row in rows]
    write_shd(path, rows, units, np.arange(n) % 20, np.full(n, seed), **settings)
    return path


@pytest.fixture
def train(tmp_path, data_dir):
    make(tmp_path / "x_test.h5", seed=1)
    return make(tmp_path / "x_train.h5")


def put(name, value, **settings):
    """Attack: another data set, link or whatever `value` makes in place of a data set."""

    def attack(train):
        with h5py.File(train, "a") as file:
            del file[name]
            if callable(value):
                value(file, train)
            elif isinstance(value, h5py.SoftLink | h5py.ExternalLink):
                file[name] = value
            else:
                file.create_dataset(name, data=value, **settings)

    return attack


def heap(head, at=16):
    """Attack: another first entry in the file's first heap; HDF5 passes over zeros for ever."""

    def attack(train):
        content = bytearray(train.read_bytes())
        place = content.find(b"GCOL") + at
        content[place : place + len(head)] = head
        train.write_bytes(content)

    return attack


def rewritten(**settings):
    """Attack: a training file whose content is wrong, though its layout is right."""
    return lambda train: make(train, **settings)


def replaced(create):
    """Attack: something else in place of the training file."""

    def attack(train):
        train.unlink()
        create(train)

    return attack


def external(file, train):
    other = make(train.with_name("other.h5"))
    file["labels"] = h5py.ExternalLink(other.name, "labels")


def to_pipe(file, train):
    os.mkfifo(train.with_name("pipe.h5"))
    file["labels"] = h5py.ExternalLink("pipe.h5", "labels")


def outside(file, train):
    train.with_name("raw").write_bytes(bytes(2 * N))
    file.create_dataset("labels", (N,), "u2", external=[(str(train.with_name("raw")), 0, 2 * N)])


def claims(name, dtype, n):
    """Attack: a shape of which nothing was ever written."""
    return put(name, lambda file, _: file.create_dataset(name, (n,), dtype, chunks=(1000,)))


def all_claim(train):
    n, rows = 10**9, h5py.vlen_dtype(np.dtype("u2"))
    for name, dtype in (("spikes/times", rows), ("spikes/units", rows), ("labels", "u2")):
        claims(name, dtype, n)(train)
    claims("extra/speaker", "u2", n)(train)


def row_claims(train):
    """Attack: one row claims 2 GB."""
    with h5py.File(train) as file:
        at = file["spikes/times"].id.get_offset()
    content = train.read_bytes()
    train.write_bytes(content[:at] + struct.pack("<I", 2**30) + content[at + 4 :])


def bomb(suffix):
    def attack(train):
        with train.open("ab") as file:
            file.truncate(400_000_000)
        packed = train.with_name(train.name + suffix)
        if suffix == ".gz":
            with gzip.open(packed, "wb", 1) as out, train.open("rb") as file:
                while block := file.read(2**20):
                    out.write(block)
        else:
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                archive.write(train)
        train.unlink()

    return attack


def repacked(train):
    """Attack: the test utterances in another file of the same content."""
    with h5py.File(train) as file, h5py.File(train.with_name("x_test.h5"), "w") as other:
        for name in ("labels", "extra", "spikes"):
            file.copy(name, other)


def microseconds(file, train):
    times = file.create_dataset("spikes/times", (N,), h5py.vlen_dtype(np.dtype("f4")))
    for i in range(N):
        times[i] = [100_000, 200_000, 300_000, 400_000, 700_000]


def linked(train):
    train.with_name("x_test.h5").unlink()
    os.link(train, train.with_name("x_test.h5"))


def zipped(train):
    with zipfile.ZipFile(train.with_name("x_test.h5.zip"), "w") as archive:
        archive.write(train)
    train.with_name("x_test.h5").unlink()


PROGRAM = "Correct the program that wrote the file"
TABLE = "and SHD layout has numbers there. Write the file with"
ATTACKS = {
    "milliseconds": (rewritten(times=[100, 200, 700]), "utterance 0: a time above 10; times are s"),
    "microseconds": (
        put("spikes/times", microseconds),
        "utterance 0: a time above 10; times are s",
    ),
    "a tenth of a second": (rewritten(times=[1, 2, 7]), r"100% of the spikes come after 1 s.*Corr"),
    "labels 1.7": (put("labels", np.full(N, 1.7)), f"utterance 0: a label without .*{PROGRAM}"),
    "labels NaN": (put("labels", np.full(N, np.nan)), f"utterance 0: a label without .*{PROGRAM}"),
    "labels in 2-D": (put("labels", np.zeros((N, 2))), f"labels is a table or group, {TABLE}"),
    "labels as text": (put("labels", [b"one"] * N), f"labels is text, {TABLE}"),
    "labels as pairs": (
        put("labels", np.zeros(N, [("a", "i4"), ("b", "f4")])),
        f"labels is neither text nor numbers, {TABLE}",
    ),
    "labels complex": (put("labels", np.zeros(N, complex)), f"neither text nor numbers, {TABLE}"),
    "no labels": (put("labels", h5py.Empty("f4")), f"labels is a table or group, {TABLE}"),
    "speakers 1.7": (put("extra/speaker", np.full(N, 1.7)), f"utterance 0: a speaker .*{PROGRAM}"),
    "speakers NaN": (put("extra/speaker", np.full(N, np.nan)), "utterance 0: a speaker that is"),
    "rows of text": (
        put(
            "spikes/times",
            lambda f, _: f.create_dataset("spikes/times", (N,), h5py.vlen_dtype(np.dtype("S3"))),
        ),
        "spikes/times is neither text nor numbers",
    ),
    "one name twice": (put("extra/keys", [b"one"] * 20), f"name stands twice .*{PROGRAM}"),
    "numbers for a group": (put("extra", np.zeros(3)), "extra/keys is missing.* Write the file"),
    "no utterance": (rewritten(n=0), "no utterance in language 'english'. Choose another"),
    "no spike": (rewritten(times=[]), "downsizing leaves no event. Check the file"),
    "a word without utterance": (
        rewritten(n=18 - 10),
        "no training utterance of eight, nine. Add some, or choose another `language`",
    ),
    "test file copied": (
        lambda train: train.with_name("x_test.h5").write_bytes(train.read_bytes()),
        "same utterances as in the training file x_train.h5.* Replace one",
    ),
    "test file linked": (
        lambda train: (
            train.with_name("x_test.h5").unlink(),
            os.link(train, train.parent / "x_test.h5"),
        ),
        "same utterances as in the training file x_train.h5.* Replace one",
    ),
    "test file zipped": (zipped, "same utterances as in the training file x_train.h5"),
    "test file repacked": (repacked, "same utterances as in the training file x_train.h5"),
    "a folder": (replaced(Path.mkdir), r"0 pairs.*x_train.h5: no file"),
    "a pipe": (replaced(os.mkfifo), r"0 pairs.*x_train.h5: no file"),
    "a device": (replaced(lambda p: p.symlink_to("/dev/zero")), "0 pairs.*x_train.h5: no file"),
    "a dangling link": (replaced(lambda p: p.symlink_to("gone")), "0 pairs.*or a link to nowhere"),
    "a link to itself": (replaced(lambda p: p.symlink_to(p)), "0 pairs.*or a link to nowhere"),
    "a link to another file": (put("labels", external), "labels is a link. Copy what it points to"),
    "a link to a pipe": (put("labels", to_pipe), "labels is a link. Copy what it points to"),
    "a link within": (put("labels", h5py.SoftLink("/extra/speaker")), "labels is a link. Copy"),
    "content elsewhere": (put("labels", outside), "labels lies in another file. Copy it into"),
    "labels that claim 80 GB": (claims("labels", "i8", 10**10), "labels takes more than.* Copy or"),
    "names that claim 90 GB": (claims("extra/keys", "S9", 10**10), "extra/keys takes more than"),
    "all claim 20 GB": (all_claim, "takes more than.* Copy or download it again"),
    "a row claims 2 GB": (row_claims, "spikes/.* takes more than.* Copy or download it again"),
    "a heap of zeros": (heap(bytes(16)), "damaged heap.*Copy or download it again"),
    "a heap beyond its end": (heap(b"\1" + bytes(14) + b"\xff"), "damaged heap.*Copy or download"),
    "a heap that isn't there": (heap(b"GONE", 0), "damaged heap.*Copy or download it again"),
    "gzip bomb": (bomb(".gz"), "x_train.h5.gz: its unpacked content takes more than"),
    "zip bomb": (bomb(".zip"), "x_train.h5.zip: its unpacked content takes more than"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_refused_with_file_and_remedy(name, train):
    attack, message = ATTACKS[name]
    attack(train)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DatasetError, match=message) as error:
        load_events(locate(str(train.parent)), Downsampling())
    assert str(train.parent / "x_t") in str(error.value) or "x_train.h5" in str(error.value)
    assert "\n" not in str(error.value)
    taken = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert taken < ROOM_BYTES


def test_what_no_attack_touched_is_read(train):
    assert [len(part) for part in load_events(locate(str(train.parent)), Downsampling())] == [
        20
    ] * 2


def test_a_short_window_is_no_sign_of_wrong_times(train):
    make(train, times=[0.1, 0.101, 0.102, 0.5, 0.6, 0.6, 0.6, 0.7])
    events, _ = load_events(locate(str(train.parent)), Downsampling(duration_s=0.3))
    assert events.n_steps == 100


@pytest.mark.parametrize("attack", ["test file copied", "test file zipped"])
def test_fingerprint_refuses_a_test_file_equal_to_the_training_file(attack, train):
    ATTACKS[attack][0](train)
    with pytest.raises(DatasetError, match="same content as the training file"):
        fingerprint(locate(str(train.parent)))


def test_a_repacked_test_file_is_refused_under_both_protocols(train):
    repacked(train)
    files = locate(str(train.parent))
    fingerprint(files)  # the bytes differ
    for split in (Split(), Split(protocol="leave_one_out", held_out=0)):
        with pytest.raises(DatasetError, match="same utterances as in the training file"):
            load_parts(files, Downsampling(), "english", split, 0)
    unscored = load_parts(files, Downsampling(), "english", Split(score_test=False), 0)
    assert unscored.test is None  # nor read


def test_a_test_file_may_lack_a_word(train):
    make(train.with_name("x_test.h5"), n=5, seed=1)
    assert len(load_events(locate(str(train.parent)), Downsampling())[1]) == 5


@pytest.mark.parametrize("filters", [{}, {"compression": "gzip", "shuffle": True}])
def test_rows_in_chunks_are_read(filters, train):
    """As PyTables writes them, which wrote the official files."""
    with h5py.File(train, "a") as file:
        for name in ("spikes/times", "spikes/units"):
            rows, dtype = file[name][:], file[name].dtype
            del file[name]
            data = file.create_dataset(name, (N,), dtype, chunks=(7,), **filters)
            for i, row in enumerate(rows):
                data[i] = row
    assert len(load_events(locate(str(train.parent)), Downsampling())[0]) == 20
