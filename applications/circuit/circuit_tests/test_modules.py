"""Each module of the core does what its header says, on its own, beside a few lines of Python."""

from collections import defaultdict

import numpy as np
import pytest
from benches import lines_of
from circuits import COARSE, needs_icarus, random_circuit, random_utterances

from shd_circuit.confidence import Confidence
from shd_circuit.front_end import decision
from shd_circuit.sources import source_text

pytestmark = needs_icarus


class Module:
    """A module in Icarus Verilog: a row of inputs for each cycle, and what comes out in it."""

    def __init__(self, folder, name, inputs, outputs, **parameters):
        self.folder, self.name, self.outputs = folder, name, outputs
        self.rows = []
        self.widths = inputs
        regs = "".join(f"reg [{width - 1}:0] {port} = 0;\n" for port, width in inputs.items())
        wires = "".join(f"wire [{width - 1}:0] {port};\n" for port, width in outputs.items())
        ports = ", ".join(f".{port}({port})" for port in ("clk", *inputs, *outputs))
        given = ", ".join(f".{key}({value})" for key, value in parameters.items())
        source = source_text(f"rtl/{name}.v")
        stalls = ""
        if "input wire enable" in source:  # behind each cycle is one in which nothing may change
            regs += "reg enable = 1;\n"
            ports += ", .enable(enable)"
            stalls = (
                f"enable = 0; {{{', '.join(inputs)}}} = $random;"
                " #1 clk = 1; #1 clk = 0; enable = 1;"
            )
        scanned = f'$fscanf(file, "{" %b" * len(inputs)}", {", ".join(inputs)})'
        bench = f"""module drive; reg clk = 0; integer file;
{regs}{wires}{name} #({given}) dut ({ports});
initial begin
    file = $fopen("rows.txt", "r");
    while ({scanned} == {len(inputs)}) begin
        #1 $display("{" %b" * len(outputs)}", {", ".join(outputs)});
        clk = 1;
        #1 clk = 0;
        {stalls}
    end
end
endmodule
"""
        (folder / "drive.v").write_text(bench)
        (folder / f"{name}.v").write_text(source)

    def cycle(self, **inputs):
        """Add a cycle in which some inputs aren't 0."""
        numbers = {port: int(inputs.get(port, 0)) % (1 << w) for port, w in self.widths.items()}
        self.rows.append(" ".join(f"{n:0{self.widths[port]}b}" for port, n in numbers.items()))

    def run(self):
        """Return for each cycle the outputs, as text of bits."""
        (self.folder / "rows.txt").write_text("\n".join(self.rows))
        printed = lines_of(self.folder, "drive", "drive.v", f"{self.name}.v")
        lines = [line.split() for line in printed if "WARN" not in line]
        return [dict(zip(self.outputs, line, strict=True)) for line in lines]


def signed(bits):
    """Return the number of a text of bits in two's complement."""
    return int(bits, 2) - (int(bits[0]) << len(bits))


@pytest.mark.parametrize("leak_shift", [0, 3])
def test_a_lane_follows_the_update_rule(leak_shift, tmp_path):  # noqa: PLR0914
    rng = np.random.default_rng(0)
    states = ("takes", "compares", "leaks", "biases", "resets", "sums", "is_first")
    inputs = {state: 1 for state in states} | {"number": 12, "weight": 14}
    sizes = {"NUMBER_BITS": 12, "MEM_BITS": 10, "THRESHOLD_BITS": 9, "LEAK_BITS": 9, "BIAS_BITS": 8}
    lane = Module(
        tmp_path,
        "lane",
        inputs,
        {"membrane": 10, "is_above": 1},
        SUM_BITS=14,
        LEAK_SHIFT=leak_shift,
        FACTOR_BITS=8,
        **sizes,
    )
    wanted = []
    for i in range(60):
        old, bias = rng.integers(-512, 512), rng.integers(-128, 128)
        threshold, leak = rng.integers(1, 400), leak_shift or rng.integers(257)
        weights = rng.integers(-300, 300, rng.integers(6))
        lane.cycle(takes=1, number=old, is_first=i % 5 == 0)
        lane.cycle(compares=1, number=threshold)
        lane.cycle(leaks=1, number=leak)
        lane.cycle(biases=1, number=bias)
        lane.cycle(resets=1, number=threshold)
        for weight in weights:
            lane.cycle(sums=1, number=threshold, weight=weight)
        lane.cycle(number=threshold)
        u = 0 if i % 5 == 0 else old
        leaked = u - (u >> leak) if leak_shift else (u * leak) >> 8
        total = leaked + bias - threshold * (u > threshold) + weights.sum()
        membrane = min(max(total, -512), 511)
        wanted.append((len(lane.rows) - 1, membrane, membrane > threshold))
    done = lane.run()
    assert [
        (at, signed(done[at]["membrane"]), done[at]["is_above"] == "1") for at, _, _ in wanted
    ] == wanted


def test_delays_list_each_window_s_inputs_of_this_step(tmp_path):
    rng = np.random.default_rng(0)
    n_units, delays, kernel = 21, (0, 2, 5), 9
    (tmp_path / "delay.mem").write_text("0 2 5")
    one_bit = ("rst", "forgets", "step_is_over", "event_valid", "scan_starts")
    inputs = {port: 1 for port in one_bit} | {"event_unit": 5, "first_block": 5}
    outputs = {"is_cleared": 1, "scan_ends": 1, "input_valid": 1, "input_index": 5}
    module = Module(
        tmp_path, "delays", inputs, outputs, N_UNITS=n_units, N_DELAYS=3, N_SLOTS=6, KERNEL=kernel
    )
    module.cycle(rst=1)
    events = defaultdict(set)
    scans = []
    for step in range(20):
        for _ in range(4):
            module.cycle()  # the row is cleared
        if step == 12:  # another utterance
            module.cycle(forgets=1)
            events.clear()
        for unit in rng.integers(0, n_units, rng.integers(9)):
            module.cycle(event_valid=1, event_unit=unit)
            module.cycle(event_unit=rng.integers(32))
            events[step].add(unit)
        for first in (0, 4, 11):
            module.cycle(scan_starts=1, first_block=first)
            begin = len(module.rows)
            for _ in range(1 + 3 * kernel + 6):
                module.cycle(first_block=first)
            inputs_now = [
                kernel * k + unit - first
                for k, delay in enumerate(delays)
                for unit in sorted(events[step - delay])
                if first <= unit < first + kernel
            ]
            scans.append((begin, len(module.rows), inputs_now))
        module.cycle(step_is_over=1)
    done = module.run()
    for begin, end, inputs_now in scans:
        cycles = done[begin:end]
        last = [cycle["scan_ends"] for cycle in cycles].index("1")
        valid = [c for c in cycles[: last + 1] if c["input_valid"] == "1"]
        assert [int(cycle["input_index"], 2) for cycle in valid] == inputs_now
    assert sum(len(inputs_now) for _, _, inputs_now in scans) > 100


def test_the_list_gives_back_inputs_and_spikes_in_order(tmp_path):
    flags = ("forgets_inputs", "input_valid", "forgets_spikes", "fires", "selects_spikes")
    inputs = {port: 1 for port in (*flags, "restarts", "reads")}
    inputs |= {"input_index": 4, "spikes": 3, "first_neuron": 4}
    outputs = {"lists_more": 1, "entry": 4, "has_entry": 1}
    module = Module(tmp_path, "active_list", inputs, outputs, N_INPUTS=12, N_HIDDEN=9, LANES=3)

    def read(**selects):
        module.cycle(restarts=1, **selects)
        begin = len(module.rows) + 1
        for _ in range(6):
            module.cycle(reads=1, **selects)
        return begin

    module.cycle(forgets_inputs=1, forgets_spikes=1)
    for number in (3, 11, 0):
        module.cycle(input_valid=1, input_index=number)
    begins = [read()]
    for first, spikes in ((0, 0b101), (6, 0b111)):
        module.cycle(fires=1, spikes=spikes, first_neuron=first)
        for _ in range(3):
            module.cycle()
    begins.append(read(selects_spikes=1))
    module.cycle(forgets_inputs=1)
    module.cycle(input_valid=1, input_index=7)
    begins += [read(), read(selects_spikes=1)]
    done = module.run()
    found = [
        [int(c["entry"], 2) for c in done[begin : begin + 5] if c["has_entry"] == "1"]
        for begin in begins
    ]
    assert found == [[3, 11, 0], [0, 2, 6, 7, 8], [7], [0, 2, 6, 7, 8]]


@pytest.mark.parametrize("is_membrane", [0, 1])
def test_scores_are_sums_over_steps_and_the_first_highest_one_is_the_answer(is_membrane, tmp_path):
    rng = np.random.default_rng(1)
    flags = ("restarts", "is_first", "takes", "adds", "sends", "out_ready")
    inputs = {port: 1 for port in flags} | {"membranes": 18, "spikes": 3}
    outputs = {"is_added": 1, "out_valid": 1, "out_last": 1, "out_class": 4, "out_score": 10}
    module = Module(
        tmp_path,
        "scores",
        inputs,
        outputs | {"out_answer": 4},
        LANES=3,
        N_CLASSES=5,
        MEM_BITS=6,
        SCORE_BITS=10,
        IS_MEMBRANE=is_membrane,
    )
    membranes = rng.integers(-32, 32, (4, 6))
    membranes[:, 3] = membranes[:, 1]  # two classes have the same score
    spikes = rng.integers(0, 2, (4, 6))
    spikes[:, 3] = spikes[:, 1]
    for step in range(4):
        module.cycle(restarts=1)
        for group in (slice(0, 3), slice(3, 6)):
            numbers = sum(int(m) % 64 << 6 * i for i, m in enumerate(membranes[step, group]))
            bits = sum(int(s) << i for i, s in enumerate(spikes[step, group]))
            module.cycle(takes=1, membranes=numbers, spikes=bits, is_first=step == 0)
            for _ in range(4):
                module.cycle(adds=1, is_first=step == 0)
    module.cycle(restarts=1)
    for i in range(30):
        module.cycle(sends=1, out_ready=i % 3 > 0)
    given = [
        cycle
        for i, cycle in enumerate(module.run()[-30:])
        if cycle["out_valid"] == "1" and i % 3 > 0
    ][:5]
    scores = (membranes if is_membrane else spikes).sum(0)[:5].tolist()
    assert [signed(cycle["out_score"]) for cycle in given] == scores
    assert [int(cycle["out_class"], 2) for cycle in given] == [0, 1, 2, 3, 4]
    assert [cycle["out_last"] for cycle in given] == [*"00001"]
    assert int(given[4]["out_answer"], 2) == scores.index(max(scores))


def test_parameters_are_loaded_read_and_refused(tmp_path):
    flags = ("reads_weight1", "reads_weight2", "fetches", "writes", "load_valid", "reads_back")
    inputs = {port: 1 for port in flags} | {"row": 3, "kind": 2, "group": 2, "membranes": 14}
    inputs |= {"load_memory": 3, "load_address": 24, "load_data": 14}
    outputs = {"weight1_row": 6, "weight2_row": 8, "numbers": 14, "read_data": 14}
    module = Module(
        tmp_path,
        "parameters",
        inputs,
        outputs | {"load_refused": 1},
        LANES=2,
        ROWS1=6,
        ROWS2=4,
        GROUPS=3,
        WEIGHT1_BITS=3,
        WEIGHT2_BITS=4,
        NUMBER_BITS=7,
        LOAD_BITS=7,
        WRITABLE=1,
    )
    n_words = (6, 4, 3, 3, 3)
    wanted = []
    for memory, n in enumerate(n_words):
        for address in range(n + 1):
            module.cycle(
                load_valid=1,
                load_memory=memory,
                load_address=address,
                load_data=9 * memory + address,
            )
            wanted.append((len(module.rows) - 1, "load_refused", int(address == n)))
    for group in range(3):
        module.cycle(writes=1, group=group, membranes=100 + group)
    for memory, n in enumerate(n_words):
        for address in range(n):
            module.cycle(reads_back=1, load_memory=memory, load_address=address)
            wanted.append((len(module.rows), "read_data", 9 * memory + address))
            module.cycle(load_memory=memory)
    for kind in range(4):
        for group in range(3):
            module.cycle(fetches=1, kind=kind, group=group)
            number = 9 * (kind + 1) + group if kind else 100 + group
            wanted.append((len(module.rows), "numbers", number))
    module.cycle(reads_weight1=1, row=5)
    wanted.append((len(module.rows), "weight1_row", 5))
    module.cycle(reads_weight2=1, row=3)
    wanted.append((len(module.rows), "weight2_row", 9 + 3))
    module.cycle()
    done = module.run()
    assert [(at, port, int(done[at][port], 2)) for at, port, _ in wanted] == wanted


def test_pooling_makes_the_events_of_the_integer_model(tmp_path):
    network = random_circuit(grid=COARSE)
    milliseconds, units = random_utterances(2, n_events=6000)[1].spikes
    inputs = {"rst": 1, "in_valid": 1, "in_end": 1, "in_ms": 16, "in_unit": 10, "step_ready": 1}
    outputs = {"in_ready": 1, "event_valid": 1, "event_unit": 7, "step_end": 1, "utterance_end": 1}
    module = Module(
        tmp_path,
        "pool",
        inputs,
        outputs,
        FIRST_UNIT=COARSE.first_unit,
        POOL_UNITS=COARSE.pool_units,
        POOL_STEPS=COARSE.pool_steps,
        POOL_THRESHOLD=COARSE.pool_threshold,
        N_UNITS=COARSE.n_units,
        N_STEPS=COARSE.n_steps,
    )
    module.cycle(rst=1)
    for _ in range(COARSE.n_units):
        module.cycle(step_ready=1)
    step_ms = int(COARSE.step_ms)
    before = 0
    for ms, unit in zip(milliseconds.tolist(), units.tolist(), strict=True):
        module.cycle(step_ready=1, in_valid=1, in_ms=ms, in_unit=unit)
        end = COARSE.n_steps * step_ms
        n_steps = min(ms, end) // step_ms - min(before, end) // step_ms
        for _ in range(1 + min(ms, end) - min(before, end) + n_steps * (2 + COARSE.n_units)):
            module.cycle(step_ready=1)
        before = ms
    module.cycle(step_ready=1, in_valid=1, in_end=1)
    for _ in range(4):
        module.cycle(step_ready=1)
    step = 0
    found = []
    for cycle in module.run():
        if cycle["event_valid"] == "1":
            found.append((step, int(cycle["event_unit"], 2)))
        step += cycle["step_end"] == "1"
    steps, blocks = network.pool(milliseconds, units)
    assert sorted(found) == list(zip(steps.tolist(), blocks.tolist(), strict=True))
    assert step == COARSE.n_steps and len(found) > 50


def test_an_answer_is_accepted_where_python_accepts_it(tmp_path):
    rng = np.random.default_rng(0)
    accepts = Confidence(14314, 43859, 3)
    lines = decision(accepts, tmp_path).replace("parameter ", "").replace(",", "").splitlines()
    given = dict(line.strip().split(" = ") for line in lines)
    inputs = {"rst": 1, "in_valid": 1, "in_last": 1, "in_class": 8, "in_score": 32, "in_answer": 8}
    outputs = {"busy": 1, "accepted": 1}
    module = Module(tmp_path, "confidence", inputs, outputs, N_CLASSES=4, **given)
    module.cycle(rst=1)
    wanted = []
    for below in 10 ** rng.uniform(0, 8, 100):
        scores = np.append(rng.uniform(-below, 0, 3), 0).astype(int) + rng.integers(-(2**24), 2**24)
        scores = rng.permutation(scores).tolist()
        for number, score in enumerate(scores):
            answer = scores.index(max(scores))
            at = {"in_last": number == 3, "in_class": number, "in_answer": answer}
            module.cycle(in_valid=1, in_score=score, **at)
        for _ in range(4 * 45 + 1):
            module.cycle()
        wanted.append((len(module.rows) - 1, accepts.of(scores)[1]))
    done = module.run()
    assert [(at, int(done[at]["accepted"])) for at, _ in wanted] == wanted
    assert {done[at]["busy"] for at, _ in wanted} == {"0"}
    assert 10 < sum(accepted for _, accepted in wanted) < 90
