"""Write the front end in Verilog for a filter bank, and the listener for a network.

`rtl/front_end.v` computes what `shd_corpus.filter_bank` defines.
"""

from importlib import resources
from pathlib import Path

import numpy as np

from shd_circuit.confidence import COARSE, FINE, ONE, Confidence
from shd_circuit.integer import IntegerNetwork
from shd_circuit.sources import memories, source_text, verilog_parameters
from shd_corpus.filter_bank import FilterBank

# front_end.v and the modules in it, and with the microphone's
FRONT_END = ("resonators.v", "logarithm.v", "neurons.v", "detector.v", "replay.v", "front_end.v")
WITH_MICROPHONE = (*FRONT_END, "i2s_receiver.v", "sample_scaler.v", "sound_to_events.v")


def write_front_end(folder: Path, bank: FilterBank) -> None:
    """Write the front end of a filter bank into a folder: its Verilog, and its constants."""
    texts = {file: source_text(f"rtl/{file}") for file in WITH_MICROPHONE}
    texts |= {"front_end.vh": parameters(bank), "coefficients.mem": coefficients(bank)}
    for file, text in texts.items():
        (folder / file).write_text(text, encoding="utf-8")


def write_listener(
    folder: Path, network: IntegerNetwork, bank: FilterBank, accepts: Confidence | None
) -> None:
    """Write a listener into a folder: all Verilog, and the constants of its parts."""
    write_front_end(folder, bank)
    texts = {"network.vh": verilog_parameters(network, LANES=1)} | memories(network, 1)
    accepts = accepts or Confidence(4096, ONE * network.sizes[-1])
    texts["confidence.vh"] = decision(accepts, folder)
    for path in (resources.files("shd_circuit") / "rtl").iterdir():
        if path.name.endswith((".v", ".pcf", ".lpf")):
            texts[path.name] = path.read_text(encoding="utf-8")
    for file, text in texts.items():
        (folder / file).write_text(text, encoding="utf-8")


def parameters(bank: FilterBank) -> str:
    """Return front_end.vh, the parameters of `front_end.v`."""
    numbers = {"n_channels": bank.n_channels} | bank.settings._asdict()
    numbers["lowest_octave"] = bank.constants.offsets.min() // 16
    lines = [f"    parameter {name.upper()} = {value}" for name, value in numbers.items()]
    return ",\n".join([*lines, '    parameter COEFFICIENTS = "coefficients.mem"']) + "\n"


def decision(accepts: Confidence, folder: Path) -> str:
    """Return confidence.vh, the parameters of `confidence.v`, and write its table into a folder."""
    if not 1 << 12 <= accepts.factor < 1 << 17:
        raise ValueError(f"factor {accepts.factor} of the confidence: must have 13 to 17 bits")
    (folder / "fine.mem").write_text("".join(f"{number:04x}\n" for number in FINE))
    numbers = {"FACTOR": accepts.factor, "LIMIT": accepts.limit, "FINE": '"fine.mem"'}
    numbers["OTHER"] = 255 if accepts.other is None else accepts.other
    numbers["COARSE"] = "256'h" + "".join(f"{number:04x}" for number in COARSE[::-1])
    return ",\n".join(f"    parameter {name} = {value}" for name, value in numbers.items()) + "\n"


def coefficients(bank: FilterBank) -> str:
    """Return coefficients.mem: two words of 32 bits for each channel.

    From the highest bit on, the first has c (16 bits), the octave's lowest bit, and s (15). The
    second has the octave's highest bit, g1 (15), the octave's other bit, and g2 (15). The octave is
    by how much the channel's levels are lowered. Neither s nor a gain is ever negative.
    """
    c, s, g1, g2, offsets = (each.astype(np.int64) for each in bank.constants)
    octave = (offsets - offsets.min()) // 16
    first = (c & 0xFFFF) << 16 | (octave & 1) << 15 | s
    second = octave >> 2 << 31 | g1 << 16 | (octave >> 1 & 1) << 15 | g2
    return "".join(f"{word:08x}\n" for pair in zip(first, second, strict=True) for word in pair)
