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

# flags that the board sends with an answer
LATE = 1  # a spike came after one of a later millisecond
OVERRUN = 2  # the board's buffer was full, and a spike is lost


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
    ExportError
        If the port can't be opened, or nothing answers; so do the methods, also if the board is
        unplugged or takes no more bytes.
    """

    def __init__(self, port: str, baud: int = 1_000_000, wait_s: float = 5.0) -> None:
        if not 0 < wait_s < math.inf:
            raise ExportError(f"--wait {wait_s:g}: must be seconds above 0, and finite")
        self.port = port
        self.wait_s = wait_s
        try:
            # a write must not wait for ever: see `_send`
            self._file = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            tty.setraw(self._file)
            settings = termios.tcgetattr(self._file)
            speed = getattr(termios, f"B{baud}")
            settings[4] = speed  # to the board
            settings[5] = speed  # from the board
            termios.tcsetattr(self._file, termios.TCSANOW, settings)
        except (OSError, termios.error, AttributeError) as error:
            raise ExportError(f"{port}: can't be opened with {baud} baud ({error})") from error
        try:
            about = self._ask(b"I", b"i", 7)
        except ExportError:
            self.close()
            raise
        self.lanes, self.word_bytes, *sizes = struct.unpack("<BBHHB", about)
        self.sizes = tuple(sizes)
        if self.lanes < 1:
            self.close()
            raise ExportError(f"{port}: the board says that it has {self.lanes} lanes. Reset it.")

    def close(self) -> None:
        """Close the port."""
        os.close(self._file)

    def load(self, folder: Path) -> None:
        """Write a folder's integers into the core's memories.

        Parameters
        ----------
        folder : Path
            An exported folder. Its network has the sizes that the board was built for.

        Raises
        ------
        ExportError
            If it hasn't, or the folder can't be read, or the board doesn't answer.
        """
        network = read_circuit(folder)
        if network.sizes != self.sizes:
            raise ExportError(
                f"{folder}: a network of {network.sizes}; the board is for {self.sizes}"
            )
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
            words = [word for group in groups for word in group]
            for address, word in enumerate(words):
                self.write(name, address, word)
        self.flags()  # it answers when all is taken

    def write(self, memory: str, address: int, word: int) -> None:
        """Write a word of one of the core's memories.

        Parameters
        ----------
        memory : str
            One of `sources.MEMORIES`.
        address : int
            Which word: groups follow one another as in `sources.memory_words`.
        word : int
            The numbers of all lanes, the first lane's in the lowest bits.
        """
        message = bytes([ord("L"), MEMORIES.index(memory)])
        message += address.to_bytes(3, "little")
        message += word.to_bytes(self.word_bytes, "little")
        self._send(message)

    def classify(self, spikes: np.ndarray, real_time: bool = False) -> tuple[int, list[int], int]:
        """Send an utterance, and return the answer.

        Parameters
        ----------
        spikes : ndarray
            Shape (2, spikes): milliseconds, ascending, and units.
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
            `LATE` and `OVERRUN`.

        Raises
        ------
        ExportError
            If no answer comes.
        """
        if real_time:
            self._send_in_real_time(spikes)
        else:
            # later milliseconds don't fit into two bytes, and are after every window
            pairs = np.minimum(spikes, 0xFFFF).T.tolist()
            self._send(b"".join(struct.pack("<cHH", b"t", ms, unit) for ms, unit in pairs))
        self._send(b"E")
        if (letter := self._read(1)) != b"M":
            raise ExportError(f"{self.port}: {letter!r} came, no answer; reset the board")
        n_classes = self.sizes[2]
        answer_format = f"<{n_classes}iBB"
        message = self._read(struct.calcsize(answer_format))
        *scores, answer, flags = struct.unpack(answer_format, message)
        return answer, scores, flags

    def _send_in_real_time(self, spikes: np.ndarray) -> None:
        """Start the board's clock, and send each spike's unit when its millisecond begins."""
        self._send(b"S")
        start = time.monotonic()
        for ms, unit in spikes.T.tolist():
            time.sleep(max(0.0, start + ms / 1000 - time.monotonic()))
            self._send(struct.pack("<cH", b"e", unit))

    def flags(self) -> int:
        """Ask for the flags, and clear them on the board.

        Returns
        -------
        int
            `LATE` and `OVERRUN`.
        """
        return self._ask(b"?", b"s", 1)[0]

    def _ask(self, question: bytes, letter: bytes, n_bytes: int) -> bytes:
        """Send a question, and return the bytes that follow the letter of its answer."""
        self._send(question)
        first = self._read(1)
        if first != letter:
            raise ExportError(f"{self.port}: {first!r} came instead of {letter!r}; reset the board")
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
        answer = b""
        end = time.monotonic() + self.wait_s
        while len(answer) < n_bytes:
            left_s = max(0.0, end - time.monotonic())
            is_ready, _, _ = select.select([self._file], [], [], left_s)
            if not is_ready:
                raise ExportError(f"{self.port}: no answer within {self.wait_s:g} s")
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

    def _gone(self, why: object) -> ExportError:
        """Return the error of a board that was unplugged."""
        return ExportError(
            f"{self.port}: the board is gone ({why}). Plug it in and start again: what was loaded "
            "may be lost."
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Load a folder's network into a board, and print what it answers to utterances.

    Parameters
    ----------
    arguments : sequence of str, optional
        Of the command line; those that this process was started with if there are none.
    """
    parser = argparse.ArgumentParser(prog="python -m shd_circuit.board", description=__doc__)
    parser.add_argument("port", help="the serial port, such as /dev/ttyUSB1")
    parser.add_argument("vectors", type=Path, help="utterances, in an exported folder")
    parser.add_argument("--baud", type=int, default=1_000_000, help="bits in a second (1000000)")
    parser.add_argument("--wait", type=float, default=5.0, help="seconds for an answer (5)")
    parser.add_argument("--keep", action="store_true", help="what is loaded stays")
    parser.add_argument("--real-time", action="store_true", help="send each spike at its time")
    given = parser.parse_args(arguments)
    try:
        utterances = read_spikes(given.vectors)
        with closing(Board(given.port, given.baud, given.wait)) as board:
            if not given.keep:
                board.load(given.vectors.parent)
            for spikes in utterances:
                answer, scores, flags = board.classify(spikes, given.real_time)
                print(answer, *scores, flush=True)
                if flags & LATE:
                    print("late", file=sys.stderr)
                if flags & OVERRUN:
                    print("overrun: spikes are lost", file=sys.stderr)
    except ExportError as error:
        sys.exit(f"\nThe board was not used.\n{error}")


if __name__ == "__main__":
    run(main)
