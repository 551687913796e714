"""Files, sounds, tables and events that nobody meant: the study reads or refuses them.

Each case runs in a child process with limits of time and memory. It passes if the call returns, or
raises one of the errors that the study documents. It fails if the process crashes, reaches a limit
or raises another error. `fuzz_targets` has the functions that are called.
"""

import multiprocessing
import os
import random
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess

import pytest
import soundfile
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz_targets import GOOD_EVENTS, serve

# The child itself limits a case's processor time. This limit is for one that waits for something.
LONGEST_WAIT_S = 300.0
MINUTES = 10.0  # of `make slow`, for all kinds of cases
EXAMPLES = {"hdf5": 40, "sound": 150, "speakers": 50, "table": 200, "list": 150, "events": 30}


class Child:
    """A process that answers cases, and is replaced after it has died."""

    def __init__(self, has_engine: bool) -> None:
        self._has_engine = has_engine
        self._process: BaseProcess | None = None

    def answer(self, name: str, case: object) -> str:
        """Return what is wrong after a case: empty, if nothing is."""
        try:
            if self._process is None:
                self._start()
            self._pipe.send((name, case))
            if self._pipe.poll(LONGEST_WAIT_S):
                return self._pipe.recv()
            wrong = f"no answer after {LONGEST_WAIT_S:g} s"
        except (EOFError, BrokenPipeError):
            self._process.join()
            wrong = f"the process ended with {self._process.exitcode}"
        self.stop()
        return wrong

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, at_the_other_end = context.Pipe()
        settings = (at_the_other_end, self._has_engine)
        self._process = context.Process(target=serve, args=settings, daemon=True)
        self._process.start()
        at_the_other_end.close()
        self._pipe.recv()  # when it is ready

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
        self._process = None


@pytest.fixture(scope="module")
def children():
    """Return a child without the engine and one with it."""
    children = Child(has_engine=False), Child(has_engine=True)
    yield children
    for child in children:
        child.stop()


# --- cases ----------------------------------------------------------------------------------------

TYPES = ("i1", "<u2", ">i4", "i8", "u8", "f2", "f4", "f8", "?", "c8", "S3", "V2")
NUMBERS = (0, 1, 2, 3, -1, 0.5, 19, 20, 700, 2**16, 2**31, 2**53, 1e300, float("nan"), float("inf"))
FILES = ("other.h5", "other_%b.h5", "other.bin", "pipe", "absent", "x_train.h5")
ENTRIES = (
    "spikes/times",
    "spikes/units",
    "labels",
    "extra/speaker",
    "extra/keys",
    "extra/file",
    "extra/n_channels",
    "extra/time_precision",
    "extra",
    "spikes",
)
shapes = st.sampled_from(((), (0,), (1,), (3,), (4,), (3, 1), (3, 2), (0, 3)))
types = st.sampled_from(TYPES)
numbers = st.sampled_from(NUMBERS)
texts = st.one_of(
    st.sampled_from(("float16", "float32", "a", "fünf", "fu\u0308nf")), st.text(max_size=3)
)
lengths = st.sampled_from((1, 3, 10**6, 2**40))
targets = st.sampled_from(("/", "/labels", "/extra/speaker", "/extra/keys", "/nowhere"))
entries = st.one_of(
    st.tuples(st.just("absent")),
    st.tuples(st.just("group")),
    st.tuples(st.just("type"), types),
    st.tuples(st.just("empty"), types),
    st.tuples(st.just("array"), types, shapes, numbers),
    st.tuples(st.just("texts"), st.lists(texts, min_size=3, max_size=4)),
    st.tuples(st.just("texts"), texts),
    st.tuples(
        st.just("lists"),
        st.sampled_from(("i1", "<u2", "i8", "u8", "f2", "f8")),
        st.lists(st.lists(numbers, max_size=3), min_size=3, max_size=3),
    ),
    st.tuples(
        st.just("declared"),
        types,
        st.tuples(lengths) | st.tuples(lengths, st.just(2)),
        st.sampled_from(({}, {"compression": "gzip"}, {"compression": "lzf"}, {"fillvalue": 1})),
    ),
    st.tuples(st.just("filter"), st.sampled_from((305, 32001, 32015))),
    st.tuples(st.just("virtual"), st.sampled_from((".", *FILES)), lengths),
    st.tuples(st.just("external"), st.sampled_from(FILES), lengths),
    st.tuples(st.just("soft link"), targets),
    st.tuples(st.just("external link"), st.sampled_from(FILES), targets),
)
shares = st.none() | st.floats(0, 0.8)
hdf5_files = st.fixed_dictionaries(
    {
        "entries": st.dictionaries(st.sampled_from(ENTRIES), entries, max_size=3),
        "suffix": st.sampled_from(("", "", ".gz", ".zip")),
        "cut": st.none() | st.none() | st.floats(0, 1),
    }
)

FORMATS = [
    (name, subtype)
    for name in soundfile.available_formats()
    for subtype in soundfile.available_subtypes(name)
]
OFTEN = ("WAV", "FLAC", "OGG", "MP3")
HEADERS = (
    (b"data", 4, b"\0\0\0\0"),
    (b"data", 4, b"\xff\xff\xff\xff"),
    (b"data", 4, b"\xf0\xff\xff\x7f"),
    (b"fmt ", 10, b"\xff\x03"),  # channels
    (b"fmt ", 12, b"\x00\xb8\x0b\x00"),  # samples a second
    (b"fmt ", 20, b"\0\0"),  # bytes of a block
    (b"fact", 8, b"\xff\xff\xff\x0f"),
    (b"fLaC", 18, b"\xff\xff\xff\xff"),  # rate, channels and number of samples
    (b"fLaC", 22, b"\0\0\0\0"),
    (b"fLaC", 22, b"\xff\xff\xff\xff"),
    (b"OggS", 6, b"\xff\xff\xff\xff\xff\xff\xff\x7f"),  # the time of a page
)
sounds = st.fixed_dictionaries(
    {
        "format": st.just(""),
        "subtype": st.just(""),
        "suffix": st.sampled_from((".wav", ".flac", ".ogg", ".mp3", ".raw", ".vox", ".sd2", "")),
        "channels": st.sampled_from((1, 1, 2, 8, 64, 65, 1000)),
        "rate": st.sampled_from((1, 6000, 8000, 22_050, 48_000, 47_999, 192_000, 767_999, 10**9)),
        "n": st.sampled_from((0, 1, 100, 5000, 20_000)),
        "level": st.sampled_from((0.0, 1e-3, 0.5, 1.0, 1e300, float("nan"), float("inf"))),
        "offset": st.sampled_from((0.0, 0.0, 0.2, -1e300)),
        "cut": shares,
        "changes": st.lists(st.tuples(st.floats(0, 0.99), st.integers(0, 255)), max_size=3),
        "header": st.lists(st.sampled_from(HEADERS), max_size=2),
    }
)
kinds_of_sound = st.one_of(
    st.sampled_from(FORMATS), st.sampled_from([each for each in FORMATS if each[0] in OFTEN])
)
sound_files = st.builds(
    lambda case, kind: case | {"format": kind[0], "subtype": kind[1]}, sounds, kinds_of_sound
)

CELLS = ("1", "2", "007", "7", "NA", "None", "nan", "é", " 1", "", "0.5", "1e400", "-1", "True")
ROWS = "speaker,seed,accuracy\n"


def table(head: str, rows: list[list[str]], encoding: str) -> bytes:
    """Return a table of any cells."""
    return (head + "\n".join(",".join(row) for row in rows)).encode(encoding)


cells = st.sampled_from((*CELLS, '"', '"a,b"', "\0", "\r", "a.wav", "b.wav", "../list.csv", "/"))
heads = st.sampled_from((ROWS, "speaker,seed,accuracy,n_networks\n", "speaker,speaker,seed\n", ""))
encodings = st.sampled_from(("utf-8", "utf-8-sig", "utf-16"))
rows = st.lists(st.lists(cells, min_size=2, max_size=4), max_size=5)
speakers = st.lists(st.sampled_from(CELLS), min_size=2, max_size=5, unique=True)
tables = st.builds(table, heads, rows, encodings) | st.binary()
heads_of_lists = st.sampled_from(("file,label,speaker\n", "file,label,label,speaker\n"))
recording_lists = st.builds(table, heads_of_lists, rows, encodings) | st.binary()

integers = st.sampled_from((0, 0, 1, 2, 3, 4, 5, 8, 10, -1, 2**16, 2**31, 2**40, 2**63 - 1))
integer_types = st.sampled_from(("<u2", "<u2", "i8", "i8", "u8", "i4", ">i8", "f8", "?"))
indices = st.lists(st.integers(0, 3), min_size=1, max_size=3)


def array_of(values: st.SearchStrategy) -> st.SearchStrategy:
    """Return arrays as what numpy.array takes: a list, and a type in which the numbers fit."""
    return st.tuples(st.lists(values, max_size=8), integer_types)


event_lists = st.fixed_dictionaries(
    {
        "steps": array_of(integers) | st.just(GOOD_EVENTS["steps"]),
        "units": array_of(integers) | st.just(GOOD_EVENTS["units"]),
        "offsets": array_of(integers) | st.just(GOOD_EVENTS["offsets"]),
        "sizes": st.fixed_dictionaries(
            {"n_steps": st.sampled_from((5, 5, 1, 0, 2**16, 2.5)), "n_units": st.just(4)}
        ),
        "changes": st.lists(
            st.tuples(st.sampled_from(("steps", "units", "offsets")), st.integers(0, 7), integers),
            max_size=2,
        ),
        "index": indices,
    }
)
CASES = {
    "hdf5": hdf5_files,
    "sound": sound_files,
    "speakers": speakers,
    "table": tables,
    "list": recording_lists,
    "events": event_lists,
}


def try_cases(children: Sequence[Child], name: str, n: int, number: int) -> None:
    """Try `n` cases of a kind, which follow from a number."""

    @seed(number)
    @settings(
        max_examples=n,
        deadline=None,
        derandomize=False,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(CASES[name])
    def run(case):
        wrong = children[name == "events"].answer(name, case)
        assert not wrong, f"{name}, FUZZ_SEED={number}: {wrong}"

    run()


@pytest.mark.parametrize("name", CASES)
def test_what_nobody_meant_is_read_or_refused(name, children):
    try_cases(children, name, EXAMPLES[name], 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_for_ten_minutes_what_nobody_meant_is_read_or_refused(name, children):
    """Repeat a failure with the number that is printed: FUZZ_SEED=123 pytest -m slow ..."""
    end = time.monotonic() + 60 * MINUTES / len(CASES)
    given_seed = os.environ.get("FUZZ_SEED")
    while True:
        number = int(given_seed or random.SystemRandom().randrange(2**32))
        print(f"{name}: FUZZ_SEED={number}")
        try_cases(children, name, 1000, number)
        if given_seed or time.monotonic() > end:
            break
