"""Ways of damaging a file that its reader must name, and none of which may hang."""

import os
from pathlib import Path

import numpy as np
import pytest


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path):
    """Some bits of every seventh byte."""
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    content[::7] ^= 0x55
    path.write_bytes(content.tobytes())


def piped(path):
    path.unlink()
    os.mkfifo(path)


WAYS = {"gone": Path.unlink, "cut": cut, "flipped": flipped, "a pipe": piped}
damages = pytest.mark.parametrize("damage", WAYS.values(), ids=WAYS)
