"""Speak to a board over its serial port (``python -m shd_circuit.board PORT vectors.txt``).

`rtl/shd_top.v` is the other end, and explains the messages. Answers are printed as `reference.c`
prints them, so that they can be compared with ``expected.txt``.
"""

import argparse
import math
import os
import select
import struct
import sys
import termios
import time
import tty
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from shd_circuit.folder import ExportError, read_circuit, read_spikes
from shd_circuit.sources import MEMORIES, memory_bits, memory_words
from shd_helpers.command import run

LATE, OVERRUN = 1, 2  # flags


class Board:
    """A serial port with the circuit behind it.

    Parameters
    ----------
    port : str
        Such as ``/dev/ttyUSB1``.
    baud : int
        Bits in a second, as the board was built for.
    wait_s : float
        How long an answer may take, and how long the board may take no bytes.

    Raises
    ------
    ExportError
        If the port can't be opened, or nothing answers; so do the methods, also if the board is
        unplugged or takes no more bytes.
    """

    def __init__(self, port: str, baud: int = 1_000_000, wait_s: float = 5.0) -> None:
        if not 0 < wait_s < math.inf:
            raise ExportError(f"--wait {wait_s:g}: must be seconds above 0, and finite")
        self.port, self.wait_s = port, wait_s
        try:
            # a write must not wait for ever: see `_send`
            self._file = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            tty.setraw(self._file)
            settings = termios.tcgetattr(self._file)
            settings[4] = settings[5] = getattr(termios, f"B{baud}")
            termios.tcsetattr(self._file, termios.TCSANOW, settings)
        except (OSError, termios.error, AttributeError) as error:
            raise ExportError(f"{port}: can't be opened with {baud} baud ({error})") from error
        try:
            about = self._ask(b"I", b"i", 7)
        except ExportError:
            self.close()
            raise
        self.lanes, self.word_bytes, *sizes = struct.unpack("<BBHHB", about)
        self.sizes = tuple(sizes)  # inputs, hidden neurons, classes
        if self.lanes < 1:
            self.close()
            raise ExportError(f"{port}: the board says that it has {self.lanes} lanes. Reset it.")

    def close(self) -> None:
        """Close the port."""
        os.close(self._file)

    def load(self, folder: Path) -> None:
        """Write a folder's integers into the core's memories; the board's sizes must be theirs."""
        network = read_circuit(folder)
        if (wanted := network.sizes) != self.sizes:
            raise ExportError(f"{folder}: a network of {wanted}; the board is for {self.sizes}")
        lane_bits = max(memory_bits(network).values())
        if self.lanes * lane_bits > 8 * self.word_bytes:
            raise ExportError(
                f"{folder}: {self.lanes} lanes of {lane_bits} bits; the board's memory words have "
                f"{8 * self.word_bytes}. Build the board of this folder."
            )
        try:
            memories = memory_words(network, self.lanes)
        except ValueError as error:
            raise ExportError(f"{folder}: {error}. Build the board with other lanes.") from error
        for name, groups in memories.items():
            for address, word in enumerate(word for group in groups for word in group):
                self.write(name, address, word)
        self.flags()  # it answers when all is taken

    def write(self, memory: str, address: int, word: int) -> None:
        """Write a word of one of `sources.MEMORIES`, as `sources.memory_words` has it."""
        place = bytes([ord("L"), MEMORIES.index(memory)]) + address.to_bytes(3, "little")
        self._send(place + word.to_bytes(self.word_bytes, "little"))

    def hear(self, spikes: np.ndarray, real_time: bool = False) -> tuple[int, list[int], int]:
        """Send a word, and return the answer.

        Parameters
        ----------
        spikes : ndarray
            Shape (2, spikes): milliseconds, ascending, and units.
        real_time : bool
            Send each at its time, for the board's clock to tell; else its millisecond is sent.

        Returns
        -------
        answer : int
            The class.
        scores : list of int
            Of each class: its spikes, or the sum of its membranes.
        flags : int
            `LATE` and `OVERRUN`.
        """
        if real_time:
            self._send(b"S")
            start = time.monotonic()
            for ms, unit in spikes.T.tolist():
                time.sleep(max(0.0, start + ms / 1000 - time.monotonic()))
                self._send(struct.pack("<cH", b"e", unit))
        else:
            pairs = np.minimum(spikes, 0xFFFF).T.tolist()
            self._send(b"".join(struct.pack("<cHH", b"t", *pair) for pair in pairs))
        n_classes = self.sizes[2]
        self._send(b"E")
        if (letter := self._read(1)) != b"M":
            raise ExportError(f"{self.port}: {letter!r} came, no answer; reset the board")
        form = f"<{n_classes}iBB"
        *scores, answer, flags = struct.unpack(form, self._read(struct.calcsize(form)))
        return answer, scores, flags

    def flags(self) -> int:
        """Return `LATE` and `OVERRUN`, and clear them on the board."""
        return self._ask(b"?", b"s", 1)[0]

    def _ask(self, question: bytes, letter: bytes, n_bytes: int) -> bytes:
        self._send(question)
        if (found := self._read(1)) != letter:
            raise ExportError(f"{self.port}: {found!r} came instead of {letter!r}; reset the board")
        return self._read(n_bytes)

    def _send(self, message: bytes) -> None:
        """Write a message; ExportError, if the board takes none of its bytes for `wait_s`."""
        while message:
            _, is_ready, _ = select.select([], [self._file], [], self.wait_s)
            if not is_ready:
                raise ExportError(
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
        """Read an answer; ExportError, if it isn't complete within `wait_s`."""
        found = b""
        end = time.monotonic() + self.wait_s
        while len(found) < n_bytes:
            left_s = max(0.0, end - time.monotonic())
            is_ready, _, _ = select.select([self._file], [], [], left_s)
            if not is_ready:
                raise ExportError(f"{self.port}: no answer within {self.wait_s:g} s")
            try:
                new = os.read(self._file, n_bytes - len(found))
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._gone(error) from error
            if not new:  # a line that was cut ends as a file does
                raise self._gone("end of the line")
            found += new
        return found

    def _gone(self, why: object) -> ExportError:
        return ExportError(
            f"{self.port}: the board is gone ({why}). Plug it in and start again: what was loaded "
            "may be lost."
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Load a folder's network into a board, and print what it answers to words."""
    parser = argparse.ArgumentParser(prog="python -m shd_circuit.board", description=__doc__)
    parser.add_argument("port", help="the serial port, such as /dev/ttyUSB1")
    parser.add_argument("vectors", type=Path, help="words, in an exported folder")
    parser.add_argument("--baud", type=int, default=1_000_000, help="bits in a second (1000000)")
    parser.add_argument("--wait", type=float, default=5.0, help="seconds for an answer (5)")
    parser.add_argument("--keep", action="store_true", help="what is loaded stays")
    parser.add_argument("--real-time", action="store_true", help="send each spike at its time")
    given = parser.parse_args(arguments)
    try:
        words = read_spikes(given.vectors)
        with closing(Board(given.port, given.baud, given.wait)) as board:
            if not given.keep:
                board.load(given.vectors.parent)
            for spikes in words:
                answer, scores, flags = board.hear(spikes, given.real_time)
                print(answer, *scores, flush=True)
                for bit, text in ((LATE, "late"), (OVERRUN, "overrun: spikes are lost")):
                    if flags & bit:
                        print(text, file=sys.stderr)
    except ExportError as error:
        sys.exit(f"\nThe board was not used.\n{error}")


if __name__ == "__main__":
    run(main)
