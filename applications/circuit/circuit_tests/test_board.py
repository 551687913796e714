"""The program that speaks to a board, against the simulated Verilog."""

import os
import signal
import struct
import subprocess
import time
import tty
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

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
    memory_words,
    stored_bits,
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
    bits = stored_bits(network)
    first, second = network.layers
    assert len(words["bias"]) == 24 // 4 + 2
    n = bits["bias"]
    a, b, c, d = (bias % (1 << n) for bias in first.bias[:4].tolist())
    assert words["bias"][0] == [a + (b << n) + (c << 2 * n) + (d << 3 * n)]
    assert words["bias"][-1] == [second.bias[4] % (1 << n)]
    # of five classes the last is alone in its group: no membrane exceeds the other thresholds
    high = network.high
    beyond = (high << n) + (high << 2 * n) + (high << 3 * n)
    assert words["threshold"][-1] == [second.threshold[4] + beyond]
    last_group = words["weight1"][5]
    n = bits["weight1"]
    assert last_group[7] >> 3 * n == first.weight[23, 7] % (1 << n)
    assert [len(group) for group in words["weight2"]] == [24, 24]


def test_a_folder_that_the_board_was_not_built_for_is_refused(tmp_path):
    """It has other sizes, other leaks, or sums that are larger than the core's."""
    network, _ = exported(tmp_path / "circuit", "study", 1, lanes=LANES)
    port = object.__new__(Board)  # without a port
    port.port, port.lanes, port.sizes = "port", LANES, (183, 24, 5)
    values = verilog_values(network)
    own = values["FIXED_CRC"], values["SUM_BITS"]
    leaky = replace(network, leak_shift=network.leak_shift + 1)
    exported_circuit(tmp_path / "leaky", leaky, random_utterances(1), lanes=LANES)
    exported(tmp_path / "other", "no pooling", 1)
    for name, (crc, sum_bits), message in (
        ("other", own, r"has 700, 6, 5 and 1 .* for 183, 24, 5 and 4\. Build"),
        ("leaky", own, r"leaky: differs .* can't be loaded.*Build the board"),
        ("circuit", (own[0], own[1] - 1), r"sums need \d+ bits.*Build the board"),
    ):
        port._ask = lambda *_, about=(crc, sum_bits): struct.pack("<IB", *about)
        with pytest.raises(BoardError, match=message):
            port.load(tmp_path / name)
    with pytest.raises(SystemExit, match="can't be opened"):
        main([str(tmp_path), str(tmp_path / "circuit" / "vectors.txt")])
    port.memory_words, port.check_network = lambda _: {}, Mock()
    port.flags = lambda: REFUSED
    with pytest.raises(BoardError, match=r"flag refused.*without WRITABLE"):
        port.load(tmp_path / "circuit")


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
    top = "shd_top -chparam BAUD 3000000 -chparam FIFO_BITS 8 -chparam SILENCE_MS 20"
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
            check_threshold(board, network, spikes)
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


def check_threshold(board, network, spikes):
    """Hidden neurons 4 to 7 never spike: as if no class had them as an input."""
    first, second = network.layers
    is_on = np.arange(network.sizes[1]) // 4 != 1
    silent = replace(network, layers=(first, replace(second, weight=second.weight * is_on)))
    assert answer_of(silent, spikes) != answer_of(network, spikes)
    n_bits = stored_bits(network)["threshold"]
    never = sum(network.high << n_bits * lane for lane in range(LANES))
    board.write("threshold", 1, never)
    assert board.classify(pairs(spikes)) == answer_of(silent, spikes)
    (group,) = memory_words(network, LANES)["threshold"][1]
    board.write("threshold", 1, group)


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
