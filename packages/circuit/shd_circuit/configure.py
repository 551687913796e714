#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
# SPDX-License-Identifier: MIT
"""Configure an exported core: lanes, memories, names. Needs Python 3.8 or newer and nothing else.

An exported folder has a copy of this file, which changes that folder: `network.vh`, the `.mem`
files, and, with ``--prefix``, the names of the Verilog modules.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

OWNER = "SPDX-FileCopyrightText: 2026 The SHD downsizing study authors"
MEMORIES = ("weight1", "weight2", "bias", "threshold", "leak", "mask")
MODULES = ("core", "shd_top", "bench", "board_bench")
RAM_STYLES = ("auto", "block", "distributed", "huge", "registers", "ultra")
# the parameters by which the `.mem` files are packed
_OF_MEMORIES = (
    "MEM_LANES",
    "N_WINDOWS",
    "NEURONS_PER_WINDOW",
    "N_HIDDEN",
    "N_CLASSES",
    "N_DELAYS",
    "KERNEL",
    *(f"{name.upper()}_BITS" for name in MEMORIES if name != "mask"),
)


class PartlyChanged(OSError):
    """A folder of which only some files were replaced; the message names them."""


def parameters_of(folder: Path) -> dict[str, int]:
    """Read the whole numbers of a folder's `network.vh`.

    Parameters
    ----------
    folder : Path
        An exported folder.

    Returns
    -------
    dict of str to int
        Values by their names.
    """
    return parameters_in(text_of(parameter_file(folder)))


def parameter_file(folder: Path) -> Path:
    """Find a folder's `network.vh`, whose name may have a prefix.

    Parameters
    ----------
    folder : Path
        An exported folder.

    Returns
    -------
    Path
        The file.
    """
    found = sorted(Path(folder).glob("*network.vh"))
    if len(found) != 1:
        raise ValueError(f"{folder}: has {len(found)} files *network.vh. Export it again.")
    return found[0]


def text_of(path: Path) -> str:
    """Read a text file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    str
        Its content.

    Raises
    ------
    ValueError
        If it isn't a text, and the message names the file.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: isn't a text file ({error}). Export it again with make export."
        ) from error


def read_lines(path: Path) -> list[list[int]]:
    """Read a `.mem` file.

    Parameters
    ----------
    path : Path
        As ``$readmemh`` reads it.

    Returns
    -------
    list of list of int
        The memory words of each line.

    Raises
    ------
    ValueError
        If a line has anything but hexadecimal numbers, and the message names the file and the line.
    """
    words = []
    for number, line in enumerate(text_of(path).splitlines(), start=1):
        if not re.fullmatch(r"[0-9A-Fa-f\s]*", line):
            raise ValueError(
                f"{path}: line {number} has something else than hexadecimal numbers. Export it "
                "again with make export."
            )
        words.append([int(digits, 16) for digits in line.split()])
    return words


def packed(neurons: list[list[int]], bits: int, lanes: int) -> list[list[int]]:
    """Pack the numbers of a layer's neurons into memory words.

    Parameters
    ----------
    neurons : list of list of int
        Of each neuron its numbers, of `bits` bits in two's complement, without a sign.
    bits : int
        Of a number.
    lanes : int
        Neurons that are summed in parallel: a memory word has a number of each of them, the first
        one's in the lowest bits. Where neurons are missing the numbers are 0.

    Returns
    -------
    list of list of int
        Of each group of `lanes` neurons its memory words.
    """
    groups = []
    for first in range(0, len(neurons), lanes):
        of_group = neurons[first : first + lanes]
        words = []
        for numbers in zip(*of_group):  # noqa: B905 - Python 3.8 has no strict
            word = 0
            for lane, number in enumerate(numbers):
                word |= number << (lane * bits)
            words.append(word)
        groups.append(words)
    return groups


def unpacked(groups: list[list[int]], bits: int, lanes: int, n_neurons: int) -> list[list[int]]:
    """Return what `packed` has packed.

    Parameters
    ----------
    groups : list of list of int
        Of each group its memory words.
    bits : int
        Of a number.
    lanes : int
        Neurons of a group.
    n_neurons : int
        Of the layer; the last group may have fewer than `lanes`.

    Returns
    -------
    list of list of int
        Of each neuron its numbers.
    """
    mask = (1 << bits) - 1
    neurons = []
    for words in groups:
        for lane in range(lanes):
            neurons.append([word >> (lane * bits) & mask for word in words])
    return neurons[:n_neurons]


def repack(folder: Path, lanes: int) -> dict[str, str]:
    """Pack a folder's `.mem` files for another number of lanes.

    Parameters
    ----------
    folder : Path
        An exported folder.
    lanes : int
        Neurons that are summed in parallel.

    Returns
    -------
    dict of str to str
        The new texts by the files' names.

    Raises
    ------
    ValueError
        If the circuit can't have this number of lanes, or a file has too few numbers, or numbers of
        too many bits.
    """
    sizes = _packing_sizes(folder)
    check_lanes(sizes, lanes)
    old_lanes = sizes["MEM_LANES"]
    n_in_window = sizes["NEURONS_PER_WINDOW"]
    both = (sizes["N_HIDDEN"], sizes["N_CLASSES"])
    layers = {"weight1": (n_in_window,), "weight2": (sizes["N_CLASSES"],)}
    n_words = {"weight1": sizes["N_DELAYS"] * sizes["KERNEL"], "weight2": sizes["N_HIDDEN"]}
    texts = {}
    for name in MEMORIES:
        bits = 1 if name == "mask" else sizes[f"{name.upper()}_BITS"]
        memory = Path(folder) / f"{name}.mem"
        groups = read_lines(memory)
        n_neurons_of = layers.get(name, both)
        n_lines = sum(-(-n // old_lanes) for n in n_neurons_of)
        if [len(words) for words in groups] != n_lines * [n_words.get(name, 1)]:
            raise ValueError(
                f"{memory}: numbers are missing, or it isn't packed for MEM_LANES {old_lanes}. "
                "Export it again."
            )
        if any(word >> old_lanes * bits for words in groups for word in words):
            raise ValueError(
                f"{memory}: a number has more than {bits} bits ({name.upper()}_BITS). Export it "
                "again."
            )
        new_groups = []
        for n_neurons in n_neurons_of:
            n_groups = -(-n_neurons // old_lanes)
            neurons = unpacked(groups[:n_groups], bits, old_lanes, n_neurons)
            groups = groups[n_groups:]
            new_groups += packed(neurons, bits, lanes)
        texts[f"{name}.mem"] = hex_text(new_groups, lanes * bits)
    return texts


def _packing_sizes(folder: Path) -> dict[str, int]:
    """Return the parameters of a folder; ValueError, if one that `repack` needs is missing."""
    path = parameter_file(folder)
    sizes = parameters_of(folder)
    _check_has(path, sizes, _OF_MEMORIES)
    if sizes["MEM_LANES"] < 1:
        raise ValueError(f"{path}: MEM_LANES is {sizes['MEM_LANES']}. Export it again.")
    return sizes


def check_lanes(sizes: dict[str, int], lanes: int) -> None:
    """Check that a core can sum this number of neurons in parallel.

    Parameters
    ----------
    sizes : dict of str to int
        The parameters of its `network.vh`.
    lanes : int
        How many neurons.

    Raises
    ------
    ValueError
        If it can't.
    """
    n_in_window = sizes["NEURONS_PER_WINDOW"]
    if lanes < 1 or (sizes["N_WINDOWS"] > 1 and n_in_window % lanes):
        raise ValueError(f"lanes {lanes}: must divide the {n_in_window} neurons of a window")


def _check_has(path: Path, parameters: dict[str, int], names: Sequence[str]) -> None:
    """Raise ValueError if a `network.vh` lacks one of these parameters."""
    for name in names:
        if name not in parameters:
            raise ValueError(f"{path}: has no parameter {name}. Export it again.")


def hex_text(groups: list[list[int]], bits: int) -> str:
    """Write memory words as ``$readmemh`` reads them.

    Parameters
    ----------
    groups : list of list of int
        The memory words of each line.
    bits : int
        Of a memory word.

    Returns
    -------
    str
        A line for each group.
    """
    n_digits = (bits + 3) // 4
    lines = [" ".join(f"{word:0{n_digits}x}" for word in words) for words in groups]
    return "\n".join(lines) + "\n"


def configure(folder: Path, prefix: str | None = None, **values: int | str) -> None:
    """Change a folder's `network.vh` and, as far as they depend on it, its other files.

    Parameters
    ----------
    folder : Path
        An exported folder.
    prefix : str, optional
        What the names of the Verilog modules and of `network.vh` are to begin with.
    **values : int or str
        New values of parameters: LANES, WRITABLE, INITIAL, RAM_STYLE, MEM_PATH. A MEM_PATH without
        a slash at its end gets one.

    Raises
    ------
    ValueError
        If a value doesn't fit; nothing is changed then.
    OSError
        If a file can't be read or written. Nothing is changed then, except with `PartlyChanged`.
    """
    folder = Path(folder)
    path = parameter_file(folder)
    text = text_of(path)
    if values.get("MEM_PATH"):
        values["MEM_PATH"] = f"{str(values['MEM_PATH']).rstrip('/')}/"
    lanes = int(values.get("LANES", parameters_in(text).get("LANES", 1)))
    texts = repack(folder, lanes)  # this checks the files, also if their lanes stay
    values |= {"LANES": lanes, "MEM_LANES": lanes}
    style = values.get("RAM_STYLE", "auto")
    if style not in RAM_STYLES:
        raise ValueError(f"RAM_STYLE {style!r}: must be one of {', '.join(RAM_STYLES)}")
    for name, value in values.items():
        written = _quoted(name, value) if isinstance(value, str) else str(value)
        pattern = rf'(parameter {name} =) ("[^"]*"|\d+)'
        found = re.search(pattern, text)
        if found is None:
            raise ValueError(f"{path}: has no parameter {name}. Export it again.")
        begin, end = found.span(2)
        text = text[:begin] + written + text[end:]
    parameters = parameters_in(text)
    _check_has(path, parameters, ("INITIAL", "WRITABLE"))
    if parameters["INITIAL"] + parameters["WRITABLE"] == 0:
        raise ValueError("initial 0 and writable 0: the memories would never hold anything")
    new_path = path
    if prefix is not None:
        texts.update(renamed(folder, path.name[: -len("network.vh")], prefix))
        new_path = folder / f"{prefix}network.vh"
    texts[new_path.name] = text
    _replace(folder, texts, path if new_path != path else None)


def _quoted(name: str, value: str) -> str:
    """Return a text as Verilog has it; ValueError, if it has a sign that would end it."""
    if not value.isprintable() or '"' in value or "\\" in value:
        raise ValueError(f"{name} {value!r}: must have no quote, backslash or line break")
    return f'"{value}"'


def _replace(folder: Path, texts: dict[str, str], old: Path | None) -> None:
    """Replace a folder's files, once all new ones are written, and remove the old `network.vh`."""
    parts = {name: folder / f"{name}.part" for name in texts}
    replaced: list[str] = []
    try:
        for name, part in parts.items():
            part.write_bytes(texts[name].encode())
            if (folder / name).is_file():  # it keeps its permissions
                part.chmod((folder / name).stat().st_mode & 0o7777)
        for name, part in parts.items():
            part.replace(folder / name)
            replaced.append(name)
        if old is not None:
            old.unlink()
    except OSError as error:
        if replaced:
            raise PartlyChanged(
                f"{folder}: only {', '.join(replaced)} could be replaced ({error}). Export it "
                "again."
            ) from error
        raise
    finally:
        for part in parts.values():
            if part.is_file():
                part.unlink()


def parameters_in(text: str) -> dict[str, int]:
    """Return the whole numbers in the text of a `network.vh`, by their names.

    Parameters
    ----------
    text : str
        The text.

    Returns
    -------
    dict of str to int
        The numbers.
    """
    return {name: int(value) for name, value in re.findall(r"parameter (\w+) = (\d+)", text)}


def renamed(folder: Path, old: str, new: str) -> dict[str, str]:
    """Return the Verilog files whose modules have another prefix.

    Parameters
    ----------
    folder : Path
        An exported folder.
    old : str
        The prefix that the names have now.
    new : str
        The one that they get.

    Returns
    -------
    dict of str to str
        The new texts by the files' names.

    Raises
    ------
    ValueError
        If `new` can't begin a name.
    """
    if not re.fullmatch(r"([A-Za-z_]\w*)?", new, re.ASCII):
        raise ValueError(
            f"prefix {new!r}: must begin with a letter or an underscore, and go on with letters of "
            "ASCII, digits or underscores"
        )
    texts = {}
    for path in sorted(folder.glob("*.v")):
        text = text_of(path)
        for module in MODULES:
            text = re.sub(rf"\b{old}{module}(?= #\()", new + module, text)
        texts[path.name] = text.replace(
            f'`include "{old}network.vh"', f'`include "{new}network.vh"'
        )
    for path in sorted(folder.glob("*.core")):  # FuseSoC's
        text = text_of(path)
        names = "|".join(MODULES)
        text = re.sub(rf"(toplevel: |shd:circuit:){old}({names})\b", rf"\g<1>{new}\2", text)
        texts[path.name] = text.replace(f"- {old}network.vh", f"- {new}network.vh")
    return texts


def main(arguments: Sequence[str] | None = None) -> None:
    """Configure the folder that this file is in, from the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Instead of the command line's.
    """
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lanes", type=int, help="neurons that are summed in parallel")
    parser.add_argument(
        "--writable",
        type=int,
        choices=(0, 1),
        help="1: the memories can be loaded between two utterances; 0: they are read-only",
    )
    parser.add_argument(
        "--initial",
        type=int,
        choices=(0, 1),
        help="1: the memories start with the content of the .mem files; 0: they start empty",
    )
    parser.add_argument(
        "--ram-style",
        help=f"kind of RAM for the second layer's weights: one of {', '.join(RAM_STYLES)}; huge is "
        "an iCE40's single-port RAM",
    )
    parser.add_argument("--mem-path", help="where tools find the .mem files, such as ./ or digits/")
    parser.add_argument(
        "--prefix", help="prefix for the names of the Verilog modules and of network.vh"
    )
    parser.add_argument(
        "--folder",
        default=Path(__file__).parent,
        help="exported folder to change (default: the folder of this file)",
    )
    given = vars(parser.parse_args(arguments))
    folder = Path(given.pop("folder"))
    prefix = given.pop("prefix")
    values = {name.upper(): value for name, value in given.items() if value is not None}
    try:
        configure(folder, prefix, **values)
    except PartlyChanged as error:
        sys.exit(str(error))
    except (OSError, ValueError) as error:
        sys.exit(f"Nothing was configured.\n{error}")


if __name__ == "__main__":
    main()
