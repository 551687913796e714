#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
# SPDX-License-Identifier: MIT
"""Speak to a board over its serial port: load the weights, send utterances, print the answers.

Needs Python 3.8 or newer and nothing else. `shd_top.v` is the other end, and explains the messages.
Answers are printed as `reference.c` prints them, so that they can be compared with `expected.txt`.
An exported folder has a copy of this file.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import select
import struct
import sys
import time
import zlib
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

if sys.platform != "win32":
    import termios
    import tty

# the core's memories, in the order of its port `load_memory`
MEMORIES = ("weight1", "weight2", "threshold", "leak", "bias")
N_CHANNELS = 700  # of the cochlea: the units of spikes are below
# flags that the board sends with an answer
LATE = 1  # a spike came after one of a later millisecond
OVERRUN = 2  # the board's buffer was full, and a spike is lost
REFUSED = 4  # a memory word was to be written where none is
LATE_TEXT = (
    "a spike arrived too late, so the answer may be wrong (flag late). Send the spikes in order of "
    "time, or more slowly."
)
OVERRUN_TEXT = (
    "the board's FIFO was full and spikes are lost (flag overrun). Send more slowly, or build the "
    "board with a larger FIFO_BITS."
)
REFUSED_TEXT = (
    "the board refused to load a memory word (flag refused): its memory has no such address, or "
    "the board was built without WRITABLE. Build the board of this folder."
)
FLAG_TEXTS = {LATE: LATE_TEXT, OVERRUN: OVERRUN_TEXT, REFUSED: REFUSED_TEXT}
QUIET_S = 0.3  # after so long without a byte the board drops a message that wasn't completed


class BoardError(ValueError):
    """What keeps a board from being used; the message names it, or the file, and the remedy."""


class Board:
    """A serial port with the circuit behind it.

    Parameters
    ----------
    port : str
        Such as ``/dev/ttyUSB1``.
    baud : int
        Bits in a second, as the board was built for.
    wait_s : float
        How many seconds an answer may take, and how long the board may take no bytes.

    Attributes
    ----------
    lanes : int
        Neurons that the board sums in parallel.
    word_bytes : int
        Bytes of a memory word in a message.
    sizes : tuple of int
        Numbers of inputs, hidden neurons and classes that it was built for.

    Raises
    ------
    BoardError
        If the port can't be opened, or nothing answers; so do the methods, also if the board is
        unplugged or takes no more bytes.
    """

    def __init__(self, port: str, baud: int = 1_000_000, wait_s: float = 5.0) -> None:
        if not 0 < wait_s < math.inf:
            raise BoardError(f"--wait {wait_s:g}: must be seconds above 0, and finite")
        if sys.platform == "win32":
            raise BoardError(f"{port}: Windows' serial ports aren't supported. Use Linux or macOS.")
        self.port = port
        self.wait_s = wait_s
        try:
            # a write must not wait for ever: see `_send`
            self._file = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as error:
            raise BoardError(f"{port}: can't be opened ({error})") from error
        try:
            tty.setraw(self._file)
            settings = termios.tcgetattr(self._file)
            speed = getattr(termios, f"B{baud}")
            settings[4] = speed  # to the board
            settings[5] = speed  # from the board
            termios.tcsetattr(self._file, termios.TCSANOW, settings)
        except (OSError, termios.error, AttributeError) as error:
            self.close()
            raise BoardError(f"{port}: can't be opened with {baud} baud ({error})") from error
        try:
            time.sleep(QUIET_S)  # what another program or noise has begun is dropped
            termios.tcflush(self._file, termios.TCIFLUSH)
            about = self._ask(b"I", b"i", 7)
        except BoardError:
            self.close()
            raise
        self.lanes, self.word_bytes, *sizes = struct.unpack("<BBHHB", about)
        self.sizes = tuple(sizes)

    def close(self) -> None:
        """Close the port."""
        os.close(self._file)

    def restart(self) -> None:
        """Let the board forget a begun utterance and its flags. What is loaded stays."""
        self._send(b"X")

    def memory_words(self, folder: Path) -> dict[str, list[int]]:
        """Return the content of the core's memories.

        Parameters
        ----------
        folder : Path
            An exported folder. Its core has the sizes and the lanes of the board.

        Returns
        -------
        dict of str to list of int
            Memory words by the names in `MEMORIES`.

        Raises
        ------
        BoardError
            If it has others, or a file can't be read.
        """
        given = parameters_of(folder)
        sizes = (given["N_DELAYS"] * given["N_UNITS"], given["N_HIDDEN"], given["N_CLASSES"])
        if (*sizes, given["MEM_LANES"]) != (*self.sizes, self.lanes):
            raise BoardError(
                f"{folder}: has {_listed((*sizes, given['MEM_LANES']))} inputs, hidden neurons, "
                f"classes and lanes, but the board was built for "
                f"{_listed((*self.sizes, self.lanes))}. Build the board of this folder."
            )
        words = {}
        for name in MEMORIES:
            path = folder / f"{name}.mem"
            try:
                words[name] = [int(digits, 16) for digits in path.read_text("utf-8").split()]
            except (OSError, ValueError) as error:
                raise BoardError(f"{path}: can't be read ({error}). Export it again.") from error
        return words

    def load(self, folder: Path) -> None:
        """Write a folder's integers into the core's memories, and check that they are there.

        Parameters
        ----------
        folder : Path
            As for `memory_words`.

        Raises
        ------
        BoardError
            If the board refuses to write, or as `memory_words`, `check_network` and `check`.
        """
        words_by_name = self.memory_words(folder)
        self.check_network(folder)
        for name, words in words_by_name.items():
            for address, word in enumerate(words):
                self.write(name, address, word)
        if self.flags() & REFUSED:
            raise BoardError(f"{self.port}: {REFUSED_TEXT}")
        self.check(folder)

    def check(self, folder: Path) -> None:
        """Compare the core's memories with a folder's, by checksums that the board computes.

        Parameters
        ----------
        folder : Path
            As for `memory_words`.

        Raises
        ------
        BoardError
            If they differ, and the message names the memories; or as `memory_words` and
            `check_network`.
        """
        words_by_name = self.memory_words(folder)
        self.check_network(folder)
        wrong = []
        for name, words in words_by_name.items():
            content = b"".join(word.to_bytes(self.word_bytes, "little") for word in words)
            if self.checksum(name, len(words)) != zlib.crc32(content):
                wrong.append(name)
        if wrong:
            raise BoardError(
                f"{self.port}: {', '.join(wrong)} on the board isn't {folder}'s. Load it again "
                "(without --keep). If that doesn't help, the board was built without WRITABLE, or "
                "the line or a memory is faulty."
            )

    def check_network(self, folder: Path) -> None:
        """Check that the board's core can hold a folder's network, once that is loaded.

        Shifts, delays and widths in bits can't be loaded. The bits of a sum follow from the weights
        of the network that the core was built for.

        Parameters
        ----------
        folder : Path
            An exported folder.

        Raises
        ------
        BoardError
            If it can't.
        """
        crc, sum_bits = struct.unpack("<IB", self._ask(b"N", b"n", 5))
        given = parameters_of(folder)
        if crc != given["FIXED_CRC"]:
            raise BoardError(
                f"{folder}: differs from the network that the board was built for in what can't be "
                "loaded: shifts, delays, or bits of a number. Build the board of this folder."
            )
        if given["SUM_BITS"] > sum_bits:
            raise BoardError(
                f"{folder}: its sums need {given['SUM_BITS']} bits, and those of the board have "
                f"{sum_bits}. Build the board of this folder."
            )

    def write(self, memory: str, address: int, word: int) -> None:
        """Write a memory word.

        Parameters
        ----------
        memory : str
            One of `MEMORIES`.
        address : int
            Where, as the README's memory maps have it.
        word : int
            The numbers of all lanes, the first lane's in the lowest bits.
        """
        message = bytes([ord("L"), MEMORIES.index(memory)])
        message += address.to_bytes(3, "little")
        message += word.to_bytes(self.word_bytes, "little")
        self._send(message)

    def checksum(self, memory: str, n_words: int) -> int:
        """Let the board read a memory, and return the checksum.

        Parameters
        ----------
        memory : str
            One of `MEMORIES`.
        n_words : int
            Memory words that are read, from address 0 on.

        Returns
        -------
        int
            The CRC-32, as zlib computes it, of these words as `write` sends them.
        """
        question = bytes([ord("C"), MEMORIES.index(memory)])
        (found,) = struct.unpack("<I", self._ask(question + n_words.to_bytes(3, "little"), b"c", 4))
        return found

    def classify(
        self, spikes: Iterable[tuple[int, int]], real_time: bool = False
    ) -> tuple[int, list[int], int]:
        """Send an utterance, and return the answer.

        Parameters
        ----------
        spikes : iterable of (int, int)
            Of each spike its millisecond, ascending, and its unit.
        real_time : bool
            Send each spike at its time, and let the board's clock tell the millisecond. Otherwise
            the millisecond is sent with the spike.

        Returns
        -------
        answer : int
            The class.
        scores : list of int
            Of each class: its spikes, or the sum of its membranes.
        flags : int
            `LATE`, `OVERRUN` and `REFUSED`, of this utterance.

        Raises
        ------
        BoardError
            If no answer comes.
        """
        if real_time:
            self._send_in_real_time(spikes)
        else:
            # later milliseconds don't fit into two bytes, and are after every window
            self._send(
                b"".join(struct.pack("<cHH", b"t", min(ms, 0xFFFF), unit) for ms, unit in spikes)
            )
        self._send(b"E")
        if (letter := self._read(1)) != b"M":
            raise self._unexpected(letter, b"M")
        n_classes = self.sizes[2]
        answer_format = f"<{n_classes}iBB"
        message = self._read(struct.calcsize(answer_format))
        *scores, answer, flags = struct.unpack(answer_format, message)
        if flags:
            self.flags()  # the board keeps them until they are asked for
        return answer, scores, flags

    def _send_in_real_time(self, spikes: Iterable[tuple[int, int]]) -> None:
        """Start the board's clock, and send each spike's unit when its millisecond begins."""
        self._send(b"S")
        start = time.monotonic()
        for ms, unit in spikes:
            time.sleep(max(0.0, start + ms / 1000 - time.monotonic()))
            self._send(struct.pack("<cH", b"e", unit))

    def flags(self) -> int:
        """Ask for the flags, and clear them on the board.

        Returns
        -------
        int
            `LATE`, `OVERRUN` and `REFUSED`.
        """
        return self._ask(b"?", b"s", 1)[0]

    def _ask(self, question: bytes, letter: bytes, n_bytes: int) -> bytes:
        """Send a question, and return the bytes that follow the letter of its answer."""
        self._send(question)
        first = self._read(1)
        if first != letter:
            raise self._unexpected(first, letter)
        return self._read(n_bytes)

    def _send(self, message: bytes) -> None:
        """Write a message; BoardError, if the board takes none of its bytes for `wait_s`."""
        while message:
            _, is_ready, _ = select.select([], [self._file], [], self.wait_s)
            if not is_ready:
                raise BoardError(
                    f"{self.port}: the board takes no bytes for {self.wait_s:g} s. Reset the "
                    "board, and check that it was built for this baud rate."
                )
            try:
                message = message[os.write(self._file, message) :]
            except BlockingIOError:  # less room than there seemed to be
                continue
            except OSError as error:
                raise self._gone(error) from error

    def _read(self, n_bytes: int) -> bytes:
        """Read an answer; BoardError, if it isn't complete within `wait_s`."""
        answer = b""
        end = time.monotonic() + self.wait_s
        while len(answer) < n_bytes:
            left_s = max(0.0, end - time.monotonic())
            is_ready, _, _ = select.select([self._file], [], [], left_s)
            if not is_ready:
                raise BoardError(
                    f"{self.port}: the board sent no answer within {self.wait_s:g} s. Check the "
                    "port and --baud, reset the board, or raise --wait."
                )
            try:
                new_bytes = os.read(self._file, n_bytes - len(answer))
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._gone(error) from error
            if not new_bytes:  # a line that was cut ends as a file does
                raise self._gone("end of the line")
            answer += new_bytes
        return answer

    def _unexpected(self, found: bytes, wanted: bytes) -> BoardError:
        """Return the error of a board whose answer begins with another letter."""
        return BoardError(
            f"{self.port}: the board sent {found!r} instead of {wanted!r}. Reset the board."
        )

    def _gone(self, why: object) -> BoardError:
        """Return the error of a board that was unplugged."""
        return BoardError(
            f"{self.port}: the board is gone ({why}). Plug it in and start again: what was loaded "
            "may be lost."
        )


def parameters_of(folder: Path) -> dict[str, int]:
    """Return the whole numbers of a folder's `network.vh` by their names; BoardError without it."""
    path = folder / "network.vh"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise BoardError(f"{path}: can't be read ({error}). Export it again.") from error
    return {name: int(value) for name, value in re.findall(r"parameter (\w+) = (\d+)", text)}


def _listed(sizes: Sequence[int]) -> str:
    """Return sizes as a sentence lists them."""
    *first, last = map(str, sizes)
    return f"{', '.join(first)} and {last}"


class Confidence:
    """How confident an answer is, and whether that is enough: as `reference.c` with ``-DACCEPT``.

    Parameters
    ----------
    folder : Path
        An exported folder with ``confidence.h``.

    Raises
    ------
    BoardError
        If there is none.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "confidence.h"
        try:
            text = path.read_text(encoding="utf-8")
            numbers = map(int, re.findall(r"#define CONFIDENCE_\w+ (\d+)", text))
            self.factor, self.limit, *self.other = numbers
            tables = re.findall(r"\[\d+\] = \{(.*?)\}", text)
            self.coarse, self.fine = ([int(n) for n in table.split(",")] for table in tables)
        except (OSError, ValueError) as error:
            raise BoardError(f"{path}: has no threshold ({error}). Leave out --accept.") from error

    def of(self, scores: Sequence[int]) -> list[int]:
        """Return the confidence of an answer in thousandths, and 1 if it is accepted, else 0.

        Parameters
        ----------
        scores : sequence of int
            Of each class.

        Returns
        -------
        list of int
            Both numbers.
        """
        total = 0
        for score in scores:
            exponent = (max(scores) - score) * self.factor >> 24
            if exponent >> 8 < len(self.coarse):
                total += self.coarse[exponent >> 8] * self.fine[exponent & 255] >> 15
        is_digit = scores.index(max(scores)) not in self.other
        return [1000 * 32768 // total, int(is_digit and total <= self.limit)]


def read_spikes(path: Path) -> list[list[tuple[int, int]]]:
    """Read a file such as ``vectors.txt``, and refuse the lines that `reference.c` refuses.

    Parameters
    ----------
    path : Path
        With a line for each spike, and an empty line after each utterance. The last utterance may
        end with the file instead.

    Returns
    -------
    list of list of (int, int)
        Of each utterance its spikes: millisecond and unit.

    Raises
    ------
    BoardError
        If the file can't be read, a line isn't "millisecond unit", a unit is none of the cochlea's,
        or an utterance's milliseconds don't ascend.
    """
    utterances = []
    spikes: list[tuple[int, int]] = []
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if line.strip():
                last_ms = spikes[-1][0] if spikes else 0
                spikes.append(_spike(number, line, last_ms))
            else:
                utterances.append(spikes)
                spikes = []
    except (OSError, UnicodeDecodeError) as error:
        raise BoardError(f"{path}: can't be read as spikes ({error})") from error
    except ValueError as error:
        raise BoardError(f"{path}: {error}") from error
    if spikes:
        utterances.append(spikes)
    return utterances


def _spike(number: int, line: str, last_ms: int) -> tuple[int, int]:
    """Return a line's millisecond and unit; ValueError, if `reference.c` would refuse it."""
    texts = line.split()
    is_whole = all(text.isascii() and text.isdigit() for text in texts)
    if len(texts) != 2 or not is_whole:
        raise ValueError(f'line {number} is not "millisecond unit", two whole numbers from 0')
    millisecond, unit = map(int, texts)
    if unit >= N_CHANNELS:
        raise ValueError(f"line {number} has unit {unit}: the cochlea has 0 to {N_CHANNELS - 1}")
    if millisecond < last_ms:
        raise ValueError(f"line {number} is earlier than the line before: sort the spikes")
    return millisecond, unit


def main(arguments: Sequence[str] | None = None) -> None:
    """Load a folder's network into a board, and print what it answers to utterances.

    Parameters
    ----------
    arguments : sequence of str, optional
        Of the command line; those that this process was started with if there are none.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("port", help="the serial port, such as /dev/ttyUSB1")
    parser.add_argument(
        "vectors",
        type=Path,
        help="file of utterances in an exported folder, such as vectors.txt",
    )
    parser.add_argument(
        "--baud", type=int, default=1_000_000, help="bits per second (default: 1000000)"
    )
    parser.add_argument(
        "--wait", type=float, default=5.0, help="seconds to wait for an answer (default: 5)"
    )
    parser.add_argument(
        "--keep",
        action="store_true",
        help="don't load the network: only check that the board already holds it",
    )
    parser.add_argument(
        "--accept",
        action="store_true",
        help="also print the confidence of each answer in thousandths, and 1 if the answer is "
        "accepted, else 0",
    )
    parser.add_argument(
        "--real-time",
        action="store_true",
        help="send each spike at its own time instead of as fast as possible",
    )
    given = parser.parse_args(arguments)
    try:
        utterances = read_spikes(given.vectors)
        confidence = Confidence(given.vectors.parent) if given.accept else None
        with closing(Board(given.port, given.baud, given.wait)) as board:
            board.restart()
            if given.keep:
                board.check(given.vectors.parent)
            else:
                board.load(given.vectors.parent)
            for number, spikes in enumerate(utterances, start=1):
                answer, scores, flags = board.classify(spikes, given.real_time)
                columns = [answer, *scores]
                if confidence is not None:
                    columns += confidence.of(scores)
                print(*columns, flush=True)
                for flag, text in FLAG_TEXTS.items():
                    if flags & flag:
                        print(f"utterance {number}: {text}", file=sys.stderr)
    except BoardError as error:
        sys.exit(f"\nboard.py stopped.\n{error}")


if __name__ == "__main__":
    main()
