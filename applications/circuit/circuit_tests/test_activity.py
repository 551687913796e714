"""What the core's cells do is counted, and the energies are those of measured currents."""

import numpy as np
import pytest
from circuits import exported, needs_yosys

from shd_circuit.cost import ENERGY_PJ, total_cycles
from shd_circuit.rtl.toggles import count_activity, toggles
from shd_circuit.rtl.tools import to_cells

pytestmark = [pytest.mark.slow, needs_yosys]
METER = """
#define CXXRTL_ASSERT(x)
#include "core.cpp"
#include "toggles.h"
int main() {
    static cxxrtl_design::p_top top;
    for (int i = 0; i < CYCLES; i++) {
        top.p_clk.set<bool>(false); top.step();
        top.p_clk.set<bool>(true); top.step();
        count_toggles(top);
    }
    write_toggles();
}
"""
RING = """module top(input wire clk, output wire o);
    reg [7:0] ring = 0; assign o = ring[0];
    always @(posedge clk) ring <= {ring[6:0], ~ring[7]};
endmodule"""
# the designs of github.com/tinyvision-ai-inc/ice40_power
COUNTER = """module top(input wire clk, output wire o);
    reg [23:0] counter = 0;
    always @(posedge clk) counter <= counter + 1'b1;
    assign o = counter[23];
endmodule"""
COUNTER_AND_PRODUCT = """module top(input wire clk, output wire o);
    reg [7:0] a = 0, b = 0; reg [23:0] counter = 0; wire [15:0] result = a * b;
    always @(posedge clk) begin counter <= counter + 1'b1; a <= a + 3; b <= b + 5; end
    assign o = counter[23] | ^result;
endmodule"""
# a memory of three block RAMs that is read in every cycle, beside one that is read in every second
MEMORIES = """module twice(input wire clk, input wire now, output reg [39:0] a, output reg [7:0] b);
    reg [39:0] wide [0:255]; reg [7:0] narrow [0:255]; reg [7:0] place = 0;
    always @(posedge clk) begin
        place <= place + 1'b1; wide[place] <= {5{place}};
        if (place == 3) narrow[place] <= place;
        a <= wide[~place]; if (now) b <= narrow[~place];
    end
endmodule
module top(input wire clk, output wire o);
    reg now = 0; always @(posedge clk) now <= !now;
    wire [39:0] a; wire [7:0] b; assign o = ^{a, b};
    twice inner(clk, now, a, b);
endmodule"""


def activity_per_cycle(folder, verilog, n_cycles):
    """Return what a circuit `top` without inputs but `clk` does in a cycle."""
    folder.mkdir()
    (folder / "design.v").write_text(verilog)
    (folder / "harness.cpp").write_text(METER)
    cells = "read_verilog design.v; " + to_cells("synth_ice40", "top")
    counted, _ = count_activity(folder, cells, "top", "", f"-DCYCLES={n_cycles}")
    return counted / n_cycles


def test_changes_of_nets_and_flip_flops_are_counted(tmp_path):
    """One of eight bits changes in a cycle, and the last one's inverse every eighth time."""
    activity = activity_per_cycle(tmp_path / "ring", RING, 800)
    assert activity.clocked == 8
    assert abs(activity.changes - 9 / 8) < 0.01
    assert activity.reads == activity.writes == 0


def test_each_memory_is_counted_once(tmp_path):
    activity = activity_per_cycle(tmp_path / "memories", MEMORIES, 2560)
    assert activity.reads == 1.5
    assert activity.writes == 1 + 1 / 256


def test_energies_are_those_of_the_measured_currents(tmp_path):
    """Microamperes of these designs at 12 MHz and 1.219 V; a microwatt second is 10^6 pJ."""
    pj_of_microampere = 1.219 / 12
    cycle = (613.5 - 92.1) * pj_of_microampere
    flip_flop = (641.3 - 613.5) / 196 * pj_of_microampere
    product = (996 - 645) * pj_of_microampere
    both = activity_per_cycle(tmp_path / "both", COUNTER_AND_PRODUCT, 4096)
    more = both - activity_per_cycle(tmp_path / "counter", COUNTER, 4096)
    change = (product - more.clocked * flip_flop) / more.changes
    used = [ENERGY_PJ[activity] for activity in ("cycles", "clocked", "changes")]
    np.testing.assert_allclose(used, [cycle, flip_flop, change], rtol=0.02)


def test_a_core_s_cells_do_what_the_core_does(tmp_path):
    network, utterances = exported(tmp_path / "circuit", "no pooling", 2)
    activity = toggles(tmp_path / "circuit", lanes=2)
    reset_cycle = 1
    assert 2 * activity.cycles == total_cycles(network, utterances, 2) + reset_cycle
    n_groups = len(network.layers[0].bias) // 2 + 3
    assert activity.writes > 333 * n_groups  # every membrane in each step
    assert activity.reads > 5 * activity.cycles / 100
    assert activity.changes > activity.cycles
