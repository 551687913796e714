"""The board's flags tell when address events counted in a later millisecond than they came."""

import subprocess

import pytest
from benches import write_core
from circuits import named, needs_icarus

pytestmark = [pytest.mark.slow, needs_icarus]

# A clock of 200 kHz: a step of the network takes at least a millisecond, because it clears 183
# blocks. The FIFO holds 16 entries.
BENCH = """
module flags #(
`include "network.vh"
);
    reg clk = 0, rst_n = 1, rx = 1, aer_req_n = 1;
    wire tx, aer_ack_n, late_led, overrun_led;
    integer i, bit_index, n_events, pause;
    shd_top #(.CLOCK_HZ(200000), .BAUD(50000), .FIFO_BITS(4)) board (
        .clk(clk), .rst_n(rst_n), .rx(rx), .tx(tx), .aer_req_n(aer_req_n), .aer_unit(10'd300),
        .aer_ack_n(aer_ack_n), .late_led(late_led), .overrun_led(overrun_led));
    always #1 clk = !clk;
    task send(input [7:0] data); begin
        rx = 0;
        #8;
        for (bit_index = 0; bit_index < 8; bit_index = bit_index + 1) begin
            rx = data[bit_index];
            #8;
        end
        rx = 1;
        #8;
    end endtask
    initial begin
        if ($value$plusargs("events=%d", n_events)) ;
        if ($value$plusargs("pause=%d", pause)) ;
        #1000 send("S");
        for (i = 0; i < n_events; i = i + 1) begin
            aer_req_n = 0;
            while (aer_ack_n) #2;
            aer_req_n = 1;
            while (!aer_ack_n) #2;
            #(2 * pause);
        end
        $display("%b%b", late_led, overrun_led);
        $finish(0);
    end
endmodule
"""


def flags_after(folder, n_events, pause):
    """Return the flags late and overrun after address events with so many cycles between them."""
    command = ["vvp", "-n", "flags", f"+events={n_events}", f"+pause={pause}"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    return ended.stdout.split()[-1]


def test_a_full_fifo_that_lets_an_address_event_wait_sets_the_flag_late(tmp_path):
    write_core(tmp_path, named("study"), lanes=4)
    (tmp_path / "flags.v").write_text(BENCH)
    command = ["iverilog", "-g2005", "-y", ".", "-s", "flags", "-o", "flags", "flags.v"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert flags_after(tmp_path, n_events=20, pause=150) == "00"
    assert flags_after(tmp_path, n_events=200, pause=0) == "10"
