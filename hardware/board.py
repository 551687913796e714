"""Speak to a board over its serial port (``python -m hardware.board PORT vectors.txt``).

`rtl/shd_top.v` is the other end, and explains the messages. Answers are printed as `reference.c`
prints them, so that they can be compared with ``expected.txt``.
"""

import argparse
import os
import select
import struct
import sys
import termios
import time
import tty
from collections.abc import Iterable, Sequence
from pathlib import Path

from hardware.folder import ExportError, packed_memories, read_parameters
from hardware.sources import MEMORIES

LATE, OVERRUN = 1, 2


class Board:
    """An open serial port with the circuit behind it; a context manager.

    Parameters
    ----------
    port : str
        Such as ``/dev/ttyUSB1``.
    baud : int
        Bits in a second, as the board was built for.
    wait_s : float
        How long an answer may take.

    Raises
    ------
    ExportError
        If the port can't be opened, or nothing answers; so do the methods.
    """

    def __init__(self, port: str, baud: int = 1_000_000, wait_s: float = 5.0) -> None:
        self.port, self.wait_s = port, wait_s
        try:
            self._file = os.open(port, os.O_RDWR | os.O_NOCTTY)
            tty.setraw(self._file)
            settings = termios.tcgetattr(self._file)
            settings[4] = settings[5] = getattr(termios, f"B{baud}")
            termios.tcsetattr(self._file, termios.TCSANOW, settings)
        except (OSError, termios.error, AttributeError) as error:
            raise ExportError(f"{port}: can't be opened with {baud} baud ({error}).") from error
        self.lanes, self.n_inputs, self.n_hidden, self.n_classes = struct.unpack(
            "<BHHB", self._ask(b"I", b"i", 6)
        )

    def __enter__(self) -> "Board":
        """Return the board."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the port."""
        os.close(self._file)

    def load(self, folder: Path) -> None:
        """Write the numbers of an exported folder into the board's memories.

        Parameters
        ----------
        folder : Path
            Of a network with the sizes that the board was built for.
        """
        sizes = read_parameters(folder)
        wanted = sizes["N_DELAYS"] * sizes["N_UNITS"], sizes["N_HIDDEN"], sizes["N_CLASSES"]
        if wanted != (there := (self.n_inputs, self.n_hidden, self.n_classes)):
            raise ExportError(f"{folder}: a network of {wanted}; the board is built for {there}.")
        n_bytes = (self.lanes * sizes["LOAD_BITS"] + 7) // 8
        for name, groups in packed_memories(folder, self.lanes).items():
            words = [word for group in groups for word in group]
            head = bytes([ord("L"), MEMORIES.index(name)])
            self._send(
                b"".join(
                    head + address.to_bytes(3, "little") + word.to_bytes(n_bytes, "little")
                    for address, word in enumerate(words)
                )
            )
        self.flags()  # it answers when all is taken

    def hear(
        self, spikes: Iterable[tuple[int, int]], real_time: bool = False
    ) -> tuple[int, list[int], int]:
        """Send a word, and return the board's answer.

        Parameters
        ----------
        spikes : iterable of (int, int)
            Millisecond, ascending, and unit.
        real_time : bool
            Send each at its time, so that the board's clock tells it; else the millisecond is sent.

        Returns
        -------
        answer : int
            The class.
        counts : list of int
            Spikes of each class.
        flags : int
            `LATE` and `OVERRUN`, as they are since they were last asked for.
        """
        if real_time:
            self._send(b"S")
            start = time.monotonic()
            for ms, unit in spikes:
                time.sleep(max(0.0, start + ms / 1000 - time.monotonic()))
                self._send(struct.pack("<cH", b"e", unit))
        else:
            self._send(b"".join(struct.pack("<cHH", b"t", min(ms, 0xFFFF), u) for ms, u in spikes))
        *counts, answer, flags = struct.unpack(
            f"<{self.n_classes}HBB", self._ask(b"E", b"A", 2 * self.n_classes + 2)
        )
        return answer, counts, flags

    def flags(self) -> int:
        """Return `LATE` and `OVERRUN` as they are, and clear them on the board."""
        return self._ask(b"?", b"s", 1)[0]

    def _ask(self, question: bytes, letter: bytes, n_bytes: int) -> bytes:
        self._send(question)
        if (found := self._read(1)) != letter:
            raise ExportError(f"{self.port}: {found!r} came instead of {letter!r}. Reset the board.")
        return self._read(n_bytes)

    def _send(self, message: bytes) -> None:
        while message:
            message = message[os.write(self._file, message[:4096]) :]

    def _read(self, n_bytes: int) -> bytes:
        found, end = b"", time.monotonic() + self.wait_s
        while len(found) < n_bytes:
            left = max(0.0, end - time.monotonic())
            if not select.select([self._file], [], [], left)[0]:
                raise ExportError(f"{self.port}: no answer within {self.wait_s:g} s.")
            found += os.read(self._file, n_bytes - len(found))
        return found


def read_words(path: Path) -> list[list[tuple[int, int]]]:
    """Return the words of ``vectors.txt``, a list of (millisecond, unit) each.

    Raises
    ------
    ExportError
        If it can't be read.
    """
    try:
        parts = path.read_text(encoding="utf-8").split("\n\n")[:-1]
        numbers = [list(map(int, part.split())) for part in parts]
        return [list(zip(word[::2], word[1::2], strict=True)) for word in numbers]
    except (OSError, ValueError) as error:
        raise ExportError(f"{path}: can't be read ({error}).") from error


def main(arguments: Sequence[str] | None = None) -> None:
    """Load a folder's network into a board, and print what it answers to words."""
    parser = argparse.ArgumentParser(prog="python -m hardware.board", description=__doc__)
    parser.add_argument("port", help="the serial port, such as /dev/ttyUSB1")
    parser.add_argument("vectors", type=Path, help="words, in an exported folder")
    parser.add_argument("--baud", type=int, default=1_000_000, help="bits in a second (1000000)")
    parser.add_argument("--wait", type=float, default=5.0, help="seconds for an answer (5)")
    parser.add_argument("--keep", action="store_true", help="what is loaded stays")
    parser.add_argument("--real-time", action="store_true", help="send each spike at its time")
    given = parser.parse_args(arguments)
    try:
        words = read_words(given.vectors)
        with Board(given.port, given.baud, given.wait) as board:
            if not given.keep:
                board.load(given.vectors.parent)
            for word in words:
                answer, counts, flags = board.hear(word, given.real_time)
                print(answer, *counts, flush=True)
                for bit, text in ((LATE, "late"), (OVERRUN, "overrun: spikes are lost")):
                    if flags & bit:
                        print(text, file=sys.stderr)
    except ExportError as error:
        sys.exit(f"\nThe board was not used.\n{error}")


if __name__ == "__main__":
    main()
