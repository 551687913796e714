"""The program that speaks to a board, against a board in Python and the simulated Verilog."""

import os
import select
import signal
import struct
import subprocess
import threading
import time
import tty
import zlib
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from circuits import (
    exported,
    exported_circuit,
    needs_yosys,
    outcomes,
    random_circuit,
    random_utterances,
)

from shd_circuit.board import (
    LATE,
    LATE_TEXT,
    MEMORIES,
    N_CHANNELS,
    OVERRUN,
    REFUSED,
    Board,
    BoardError,
    main,
    read_spikes,
)
from shd_circuit.rtl import compiled
from shd_circuit.sources import (
    answers_text,
    memory_bits,
    memory_words,
    verilog_values,
)
from shd_corpus import shd_file
from shd_helpers.events.downsampling import Downsampling

LANES = 4


@contextmanager
def terminal():
    """Yield a pseudo terminal: the board's descriptor, and the path of the computer's end."""
    board, computer = os.openpty()
    tty.setraw(computer)
    try:
        yield board, os.ttyname(computer)
    finally:
        os.close(board)
        os.close(computer)


class Imitation(threading.Thread):
    """Takes messages as `shd_top.v` says, keeps them, and answers every utterance alike.

    In the utterances whose numbers are in `late` a flag is set, which stays until it is asked for.
    """

    def __init__(self, port, network, scores):
        super().__init__(daemon=True)
        self.port = port
        self.network = network
        self.scores = scores
        self.loaded = {}  # words by their memory
        self.received = []  # of each spike its millisecond and unit, or its unit alone
        self.n_bits_missing = 0  # of its sums
        self.late = {0, 1}
        self.n_utterances = 0
        self.flags = 0
        self.ended = os.pipe()

    def read(self, n):
        message = b""
        while len(message) < n:
            if self.ended[0] in select.select([self.port, self.ended[0]], [], [])[0]:
                return b""  # no letter: it ends
            message += os.read(self.port, n - len(message))
        return message

    def run(self):
        while letter := self.read(1):
            if letter in (b"L", b"t", b"e"):
                self.take(letter)
            else:
                os.write(self.port, self.answer(letter))

    @property
    def word_bytes(self):
        return (LANES * max(memory_bits(self.network).values()) + 7) // 8

    def take(self, letter):
        """Keep what a message without an answer brings."""
        if letter == b"L":
            memory, *address = self.read(4)
            words = self.loaded.setdefault(MEMORIES[memory], [])
            assert int.from_bytes(address, "little") == len(words)
            words.append(int.from_bytes(self.read(self.word_bytes), "little"))
        elif letter == b"t":
            self.received.append(struct.unpack("<HH", self.read(4)))
        else:
            self.received.append(struct.unpack("<H", self.read(2)))

    def answer(self, letter):
        """Return the answer to a question, or to the end of an utterance; X has none."""
        if letter == b"I":
            return struct.pack("<cBBHHB", b"i", LANES, self.word_bytes, 183, 24, 5)
        if letter == b"N":
            values = verilog_values(self.network)
            sum_bits = values["SUM_BITS"] - self.n_bits_missing
            return struct.pack("<cIB", b"n", values["FIXED_CRC"], sum_bits)
        if letter == b"C":
            memory, *n_words = self.read(4)
            words = self.loaded[MEMORIES[memory]]
            assert int.from_bytes(n_words, "little") == len(words)
            content = b"".join(word.to_bytes(self.word_bytes, "little") for word in words)
            return struct.pack("<cI", b"c", zlib.crc32(content))
        if letter == b"?":
            flags = self.flags
            self.flags = 0
            return bytes([ord("s"), flags])
        if letter == b"E":
            if self.n_utterances in self.late:
                self.flags = LATE
            self.n_utterances += 1
            answer_format = f"<c{len(self.scores)}iBB"
            return struct.pack(answer_format, b"M", *self.scores, 3, self.flags)
        return b""

    def stop(self):
        os.write(self.ended[1], b"x")
        self.join(10)
        for file in self.ended:
            os.close(file)


@pytest.fixture
def board(tmp_path):
    """A folder of random numbers, and an imitated board for it."""
    folder = tmp_path / "circuit"
    network, _ = exported(folder, "study", 2, lanes=LANES)
    with terminal() as (port, path):
        imitation = Imitation(port, network, [1, 2, 3, 400, 5])
        imitation.start()
        try:
            yield folder, imitation, path
        finally:
            imitation.stop()


def test_integers_and_spikes_are_sent_and_answers_are_printed(board, capsys):
    folder, imitation, path = board
    main([path, str(folder / "vectors.txt")])
    printed = capsys.readouterr()
    assert printed.out == "3 1 2 3 400 5\n" * 2
    assert printed.err == "".join(f"utterance {n}: {LATE_TEXT}\n" for n in (1, 2))
    words = memory_words(imitation.network, LANES)
    assert list(imitation.loaded) == list(MEMORIES)
    for name in MEMORIES:
        assert imitation.loaded[name] == [word for group in words[name] for word in group]
    sent = []
    for utterance in random_utterances(2, n_events=600):
        sent += zip(utterance.milliseconds.tolist(), utterance.units.tolist(), strict=True)
    assert imitation.received == sent
    assert len(sent) > 250
    imitation.received.clear()
    main([path, str(folder / "vectors.txt"), "--keep", "--real-time"])
    assert [unit for (unit,) in imitation.received] == [unit for _, unit in sent]


def test_a_flag_is_printed_for_its_own_utterance_alone(board, capsys):
    """The board keeps flags until they are asked for."""
    folder, imitation, path = board
    imitation.late = {0}
    main([path, str(folder / "vectors.txt")])
    assert imitation.n_utterances == 2
    assert capsys.readouterr().err == f"utterance 1: {LATE_TEXT}\n"


def test_a_board_that_refuses_a_memory_word_is_named(board):
    folder, imitation, path = board
    imitation.flags = REFUSED
    with pytest.raises(SystemExit, match=r"flag refused.*without WRITABLE"):
        main([path, str(folder / "vectors.txt")])


def test_a_last_utterance_may_end_with_the_file(tmp_path):
    """`reference.c` answers it, too; only an empty line makes an utterance of nothing."""
    path = tmp_path / "vectors.txt"
    wanted = {
        "": [],
        "\n": [[]],
        "12 300\n13 301\n": [[(12, 300), (13, 301)]],
        "12 300\n\n0 1": [[(12, 300)], [(0, 1)]],
        "12 300\n \t\n\n": [[(12, 300)], []],
    }
    for text, utterances in wanted.items():
        path.write_text(text)
        assert read_spikes(path) == utterances
    assert N_CHANNELS == shd_file.N_CHANNELS


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("12 1324", "unit 1324: the cochlea has 0 to 699"),
        ("12 700", "unit 700"),
        ("12 70000", "unit 70000"),
        ("-1 5", "two whole numbers from 0"),
        ("12", "two whole numbers from 0"),
        ("12 1_0", "two whole numbers from 0"),
        ("9 5", "earlier than the line before"),
    ],
)
def test_a_line_that_reference_c_refuses_is_named(line, says, tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text(f"11 5\n\n10 699\n10 0\n{line}\n\n")
    with pytest.raises(BoardError, match=rf"vectors\.txt: line 5 .*{says}"):
        read_spikes(path)


def test_memory_words_of_several_lanes_by_hand():
    network = random_circuit()
    words = memory_words(network, LANES)
    bits = memory_bits(network)
    first, second = network.layers
    assert len(words["bias"]) == 24 // 4 + 2
    assert words["mask"][-1] == [1]  # of five classes the last is alone in its group
    n = bits["bias"]
    a, b, c, d = (bias % (1 << n) for bias in first.bias[:4].tolist())
    assert words["bias"][0] == [a + (b << n) + (c << 2 * n) + (d << 3 * n)]
    assert words["bias"][-1] == [second.bias[4] % (1 << n)]
    last_group = words["weight1"][5]
    n = bits["weight1"]
    assert last_group[7] >> 3 * n == first.weight[23, 7] % (1 << n)
    assert [len(group) for group in words["weight2"]] == [24, 24]


def test_a_folder_or_port_that_cannot_be_used_is_named(board, tmp_path):
    folder, _, path = board
    exported(tmp_path / "other", "no pooling", 1)
    with pytest.raises(SystemExit, match=r"has 700, 6, 5 and 1 .* for 183, 24, 5 and 4\. Build"):
        main([path, str(tmp_path / "other" / "vectors.txt")])
    with pytest.raises(SystemExit, match=r"nothing\.txt: can't be read as spikes"):
        main([path, str(folder / "nothing.txt")])
    with pytest.raises(SystemExit, match="can't be opened"):
        main([str(tmp_path), str(folder / "vectors.txt")])


def test_a_network_that_the_core_can_t_hold_is_refused(board, tmp_path):
    """It has the sizes that the board was built for, but other leaks, or larger sums."""
    folder, imitation, path = board
    leaky = replace(imitation.network, leak_shift=imitation.network.leak_shift + 1)
    exported_circuit(tmp_path / "other", leaky, random_utterances(1), lanes=LANES)
    with pytest.raises(SystemExit, match=r"other: differs .* can't be loaded.*Build the board"):
        main([path, str(tmp_path / "other" / "vectors.txt")])
    imitation.n_bits_missing = 1
    with pytest.raises(SystemExit, match=r"sums need \d+ bits.*Build the board"):
        main([path, str(folder / "vectors.txt")])
    assert imitation.loaded == {}


CHANGES = {
    "leak_shift": 3,
    "delays": (1,),
    "mem_bits": 13,
    "is_membrane": True,
    "grid": Downsampling(first_unit=149),
}


def test_the_checksum_of_what_cannot_be_loaded_changes_with_it_alone():
    network = random_circuit()
    fixed = verilog_values(network)["FIXED_CRC"]
    for name, value in CHANGES.items():
        assert verilog_values(replace(network, **{name: value}))["FIXED_CRC"] != fixed, name
    first, second = network.layers
    shifted = replace(network, layers=(replace(first, shift=1), second))
    assert verilog_values(shifted)["FIXED_CRC"] != fixed
    # all weights of the first layer are smaller, but one, and none needs more bits
    weight = np.zeros_like(first.weight)
    weight[0, 0] = np.abs(first.weight).max()
    smaller = replace(network, layers=(replace(first, weight=weight), second))
    assert verilog_values(smaller)["FIXED_CRC"] == fixed


def test_a_board_that_does_not_answer_is_named():
    with (
        terminal() as (_, path),
        pytest.raises(BoardError, match=r"no answer within 0\.1 s\..*--wait"),
    ):
        Board(path, wait_s=0.1)


@contextmanager
def simulated_board(folder, **build):
    """Yield the path of a terminal with a folder's board, and the process that simulates it."""
    harness = Path(__file__).with_name("board.cpp")
    top = "shd_top -chparam BAUD 3000000 -chparam FIFO_BITS 7 -chparam SILENCE_MS 20"
    with (
        terminal() as (port, path),
        compiled(folder, harness, top, ["-DDIVIDER=4"], **build) as program,
        subprocess.Popen([program, str(port)], pass_fds=[port]) as simulator,
    ):
        try:
            yield path, simulator
        finally:
            simulator.kill()


def pairs(spikes):
    """Return milliseconds and units as `Board.classify` takes them."""
    return spikes.T.tolist()


def answer_of(network, spikes):
    """Return what a board must answer if nothing goes wrong."""
    run = network.run(*spikes)
    return run.answer, list(run.scores), 0


@pytest.mark.slow
@needs_yosys
@pytest.mark.parametrize("name", ["study", pytest.param("small", marks=pytest.mark.full)])
def test_the_simulated_board_answers_as_the_integer_model(name, tmp_path, capsys):
    """Weights come over the line. All in one test: they take it long to come."""
    folder = tmp_path / "circuit"
    network, utterances = exported(folder, name, 3, lanes=LANES)
    # its memories hold nothing at first
    with simulated_board(folder, LANES=LANES, WRITABLE=1, INITIAL=0) as (path, simulator):
        main([path, str(folder / "vectors.txt"), "--wait", "120"])
        printed = capsys.readouterr()
        assert printed.out == answers_text(outcomes(network, utterances))
        assert printed.err == ""
        spikes = np.stack(utterances[1].spikes)
        with closing(Board(path, wait_s=120)) as board:
            check_mask(board, network, spikes)
            check_milliseconds_after_the_window(board, network, spikes)
            check_flags(board)
            check_clock(board, network)
            check_checksums(board, folder)
            check_reset(board, network, spikes, simulator)


def check_checksums(board, folder):
    """One bit in each memory is flipped; the memory is named, and put right again."""
    board.check(folder)
    for name, words in board.memory_words(folder).items():
        address = len(words) // 2
        board.write(name, address, words[address] ^ 1)
        with pytest.raises(BoardError, match=rf": {name} on the board isn't"):
            board.check(folder)
        board.write(name, address, words[address])
    board.check(folder)


def check_reset(board, network, spikes, simulator):
    """The pin lets the board forget a begun utterance; what is loaded stays."""
    board._send(struct.pack("<cHH", b"t", 5, 300) * 9)
    assert board.flags() == 0
    simulator.send_signal(signal.SIGUSR1)
    time.sleep(1)
    assert board.classify(pairs(spikes)) == answer_of(network, spikes)


def check_mask(board, network, spikes):
    """Hidden neurons 4 to 7 are switched off: as if no class had them as an input."""
    first, second = network.layers
    is_on = np.arange(network.sizes[1]) // 4 != 1
    masked = replace(network, layers=(first, replace(second, weight=second.weight * is_on)))
    assert answer_of(masked, spikes) != answer_of(network, spikes)
    board.write("mask", 1, 0)
    assert board.classify(pairs(spikes)) == answer_of(masked, spikes)
    board.write("mask", 1, 15)


def check_milliseconds_after_the_window(board, network, spikes):
    """Of ten bits, a millisecond beyond the window would be one of its beginning."""
    early = spikes[:, spikes[0] < 400]
    beyond = np.stack([np.full(60, 1030), np.arange(300, 360)])
    assert board.classify(pairs(np.hstack([early, beyond]))) == answer_of(network, early)


def check_flags(board):
    """A spike comes too late, then more than the buffer holds while steps are computed."""
    _, _, flags = board.classify([(20, 300), (10, 300)])
    assert flags == LATE
    assert board.flags() == 0
    many = np.full((2, 2000), [[998], [300]])
    _, _, flags = board.classify(pairs(many))
    assert flags == OVERRUN
    assert board.flags() == 0


def check_clock(board, network):
    """Its own clock closes milliseconds: soon a spike of the first one is late."""
    board._send(b"S")
    flags = 0
    end = time.monotonic() + 60
    while flags != LATE and time.monotonic() < end:
        board._send(struct.pack("<cHH", b"t", 0, 0))
        flags = board.flags()
    assert flags == LATE
    board._send(struct.pack("<cH", b"e", 0))  # now, of a unit that is dropped
    nothing = np.empty((2, 0), np.int64)
    assert board.classify([]) == answer_of(network, nothing)
