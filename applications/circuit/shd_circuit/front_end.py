"""Write the constants of a filter bank for the front end in Verilog.

`rtl/front_end.v` computes what `shd_corpus.filter_bank` defines.
"""

import numpy as np

from shd_corpus.filter_bank import FilterBank

# a module contains those before it
FILES = ("resonators.v", "logarithm.v", "neurons.v", "detector.v", "replay.v", "front_end.v")


def parameters(bank: FilterBank) -> str:
    """Return front_end.vh, the parameters of `front_end.v`."""
    lowest = int(bank.constants.offsets.min()) // 16
    numbers = {"n_channels": bank.n_channels} | bank.settings._asdict()
    numbers["lowest_octave"] = lowest
    lines = [f"    parameter {name.upper()} = {value}" for name, value in numbers.items()]
    return ",\n".join([*lines, '    parameter COEFFICIENTS = "coefficients.mem"']) + "\n"


def coefficients(bank: FilterBank) -> str:
    """Return coefficients.mem: two words of 32 bits for each channel.

    The first has c, a bit of the octave, and s. The second has a bit of the octave, g1, the third
    bit, and g2. The octave is by how much the channel's levels are lowered, and its lowest bit is
    that of the first word. Neither s nor a gain is negative, so they need no sign.
    """
    c, s, g1, g2, offsets = (each.astype(np.int64) for each in bank.constants)
    octave = (offsets - offsets.min()) // 16
    if min(s.min(), g1.min(), g2.min()) < 0 or octave.max() > 7:
        raise ValueError(f"{bank.n_channels} channels: a coefficient doesn't fit into its bits")
    first = (c & 0xFFFF) << 16 | (octave & 1) << 15 | s
    second = (octave >> 2) << 31 | g1 << 16 | (octave >> 1 & 1) << 15 | g2
    return "".join(f"{word:08x}\n" for pair in zip(first, second, strict=True) for word in pair)
