"""The hardware reference says what the Verilog does: ports, timing diagrams, memory maps."""

import re

import pytest
from benches import lines_of, write_core
from circuits import exported, named, needs_icarus

from shd_circuit.sources import source_text

TEXT = source_text("hardware.md")


def rows_of(module):
    """Return the rows of the table of parameters and ports that name a module, by their name."""
    rows = {}
    for line in TEXT.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) == 5 and f"`{module}`" in cells[1]:
            rows[cells[0].strip("`")] = cells[2:]
    return rows


def test_ports_are_the_module_s():
    text = source_text("rtl/core.v")
    head = text[text.index("module core") : text.index("\n);")]
    ports = re.findall(r"(input|output) (?:wire|reg)(?: signed)?(?: \[(.*?):0\])? (\w+)", head)
    rows = rows_of("core")
    assert set(rows) == {name for _, _, name in ports}
    for direction, high, name in ports:
        kind, _, bits = rows[name]
        assert kind == direction.removesuffix("put"), name
        declared = f"{int(high) + 1}" if high.isdigit() else high.removesuffix("-1") or "1"
        assert bits.replace("`", "").replace(" x ", "*") == declared, name


@pytest.mark.parametrize("lanes", [1, 3])
def test_the_examples_of_the_memory_maps_are_in_the_memories(lanes, tmp_path):
    """The addresses lead to the weights, also in files that are packed for three lanes."""
    folder = tmp_path / "circuit"
    network, _ = exported(folder, "narrow windows", 1, lanes=lanes)
    text = (folder / "HARDWARE.md").read_text()
    examples = re.findall(
        r"address is .* = (\d+), and the number has bits (\d+) to (\d+)\.\n"
        r"\* The memory word is `(\w+)`, so the number is ([01]+), which is (-?\d+)\.",
        text,
    )
    assert len(examples) == 2
    for i, (address, low, high, word, bits, weight) in enumerate(examples, start=1):
        words = (folder / f"weight{i}.mem").read_text().split()
        assert words[int(address)] == word
        width = int(high) + 1 - int(low)
        assert f"{int(word, 16) >> int(low) & (2**width - 1):0{width}b}" == bits
        assert int(bits, 2) - (2**width if bits[0] == "1" else 0) == int(weight)
    hidden, block, delay = map(
        int, re.search(r"block (\d+) with delay (\d+) .* neuron (\d+)\.", text).group(3, 1, 2)
    )
    window, channel = divmod(hidden, len(network.layers[0].weight))
    number = network.kernel * delay + block - network.stride * window
    assert network.layers[0].weight[channel, number] == int(examples[0][-1])
    source, class_index = map(
        int, re.search(r"hidden neuron (\d+) for class (\d+)\.", text).groups()
    )
    assert network.layers[1].weight[class_index, source] == int(examples[1][-1])


# --- timing diagrams ------------------------------------------------------------------------------

INPUTS = (
    "in_valid",
    "in_end",
    "in_ms",
    "out_ready",
    "load_valid",
    "read_valid",
    "load_address",
    "load_data",
)
OUTPUTS = ("in_ready", "out_valid", "out_class", "out_last", "read_data")
VALUES = {"____": 0, "~~~~": 1, "a": 3, "x": 5}
PAUSE = ".."
BENCH = """
module timing #(
`include "network.vh"
);
    reg clk = 0, rst = 1, in_valid = 0, in_end = 0, out_ready = 0, load_valid = 0, read_valid = 0;
    reg [15:0] in_ms = 0;
    reg [23:0] load_address = 0;
    reg [LANES*LOAD_BITS-1:0] load_data = 0;
    wire in_ready, out_valid, out_last;
    wire [15:0] out_class;
    wire [LANES*LOAD_BITS-1:0] read_data;
    core #(.WRITABLE(1)) dut (
        .clk(clk), .rst(rst), .in_valid(in_valid), .in_end(in_end), .in_ms(in_ms),
        .in_unit(10'd300), .in_ready(in_ready), .out_ready(out_ready), .out_valid(out_valid),
        .out_class(out_class), .out_last(out_last), .load_valid(load_valid),
        .read_valid(read_valid), .load_memory(3'd0), .load_address(load_address),
        .load_data(load_data), .read_data(read_data));
    task edge_of_clk; begin clk = 1; #5 clk = 0; #1; end endtask
    initial begin
        repeat (2) edge_of_clk;
        rst = 0;
        repeat (N_UNITS + 1) edge_of_clk;
SCRIPT
        $display("end");
    end
endmodule
"""


def diagrams(heading):
    """Return the columns of a section's diagrams: values by signal, or None for a pause."""
    section = TEXT[TEXT.index(f"## {heading}\n") :].split("\n## ")[0]
    for block in re.findall(r"^```\n(.*?)^```", section, re.DOTALL | re.MULTILINE):
        lines = block.splitlines()
        begin = lines[0].index("~~__")
        n_columns = (len(lines[0]) - begin) // 4
        columns = [{} for _ in range(n_columns)]
        for line in lines[1:]:
            name, wave = line[:begin].strip(), line[begin:].ljust(4 * n_columns)
            for i in range(n_columns):
                columns[i][name] = wave[4 * i : 4 * i + 4].strip()
        yield [None if PAUSE in column.values() else column for column in columns]


def script_of(columns):
    """Return the Verilog that drives a diagram's inputs and prints where an output differs."""
    lines = []
    waits = False
    for number, column in enumerate(columns):
        if column is None:
            waits = True
            continue
        values = {name: VALUES.get(text, text) for name, text in column.items() if text != "?"}
        lines += [f"{name} = {values[name]};" for name in INPUTS if name in values]
        wanted = [f"{name} === {values[name]}" for name in OUTPUTS if name in values]
        condition = " && ".join(wanted) or "1"
        if waits:
            lines.append(f"#1; while (!({condition})) edge_of_clk;")
        lines += [f'#4 if (!({condition})) $display("column {number}");', "edge_of_clk;"]
        waits = False
    return "\n".join(lines)


@needs_icarus
@pytest.mark.slow
def test_the_core_does_what_the_timing_diagrams_show(tmp_path):
    write_core(tmp_path, named("membranes"), lanes=1)
    found = list(diagrams("Timing"))
    assert [sum(column is None for column in columns) for columns in found] == [1, 2, 0]
    script = "\n".join(map(script_of, found))
    (tmp_path / "timing.v").write_text(BENCH.replace("SCRIPT", script))
    assert lines_of(tmp_path, "timing", "timing.v", "core.v") == ["end"]
