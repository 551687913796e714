// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// shd_top for a board that is to draw little: its clock is a sixth of clk (2 MHz of 12 MHz), and
// stops while nothing is to be done. Spikes come as address events (aer_*), since no serial port of
// such a clock can carry them in real time; loading, S, E and answers go over the serial port, with
// 115,200 baud (17 cycles a bit, 2.1 % fast). On an iCE40 the tools put both clocks on global nets.
//
// Everything in shd_top has the clock that stops, so nothing crosses from one clock to another but
// what shd_top synchronizes anyway: rx, aer_req_n, rst_n and ms_toggle.
`default_nettype none
module slow_top #(
`include "network.vh"
    ,
    parameter CLOCK_HZ = 12000000,
    parameter DIVIDE = 6, // an even number
    parameter BAUD = 115200,
    parameter FIFO_BITS = 9
) (
    input wire clk,
    input wire rst_n,
    input wire rx,
    output wire tx,
    input wire aer_req_n,
    input wire [9:0] aer_unit,
    output wire aer_ack_n,
    output wire late_led,
    output wire overrun_led
);
    // --- the slow clock ------------------------------------------------------------------------
    localparam HALF = DIVIDE / 2;
    localparam HALF_BITS = $clog2(HALF + 1);
    reg [HALF_BITS-1:0] half_wait = 0;
    reg slow_clk = 0;
    always @(posedge clk) begin
        half_wait <= half_wait == HALF - 1 ? 0 : half_wait + 1'b1;
        if (half_wait == HALF - 1) slow_clk <= !slow_clk;
    end

    // --- the clock that stops ------------------------------------------------------------------
    // It is asked for at a falling edge of slow_clk, so that no pulse is cut. It runs on for some
    // cycles after the last work, in which what is idle becomes so.
    localparam [2:0] RUN_ON = 7;
    wire is_idle;
    wire runs;
    reg ms_toggle = 0;
    reg seen_toggle = 0; // ms_toggle a cycle ago
    reg [1:0] calls = 2'b11; // from outside, synchronized
    reg [2:0] run_on = RUN_ON;
    reg gate = 1;
    wire calls_now = !rx || !aer_req_n || !rst_n;
    wire gated_clk = slow_clk && gate;
    always @(negedge slow_clk) begin
        calls <= {calls[0], calls_now};
        seen_toggle <= ms_toggle;
        if (calls[1] || !is_idle || seen_toggle != ms_toggle) run_on <= RUN_ON;
        else if (run_on != 0) run_on <= run_on - 1'b1;
        gate <= calls[1] || seen_toggle != ms_toggle || run_on != 0;
    end

    // --- milliseconds, which are counted while the other clock stands still ---------------------
    localparam MS_CYCLES = CLOCK_HZ / DIVIDE / 1000;
    localparam MS_BITS = $clog2(MS_CYCLES + 1);
    reg [MS_BITS-1:0] ms_wait = 0;
    always @(posedge slow_clk) begin
        ms_wait <= !runs || ms_wait == 0 ? MS_CYCLES - 1 : ms_wait - 1'b1;
        if (runs && ms_wait == 0) ms_toggle <= !ms_toggle;
    end

    shd_top #(
        .LANES(LANES), .WRITABLE(WRITABLE), .INITIAL(INITIAL), .MEM_LANES(MEM_LANES),
        .MEM_PATH(MEM_PATH), .RAM_STYLE(RAM_STYLE), .CLOCK_HZ(CLOCK_HZ / DIVIDE), .BAUD(BAUD),
        .FIFO_BITS(FIFO_BITS), .EXTERNAL_MS(1)
    ) the_board (
        .clk(gated_clk),
        .rst_n(rst_n),
        .rx(rx),
        .tx(tx),
        .aer_req_n(aer_req_n),
        .aer_unit(aer_unit),
        .aer_ack_n(aer_ack_n),
        .late_led(late_led),
        .overrun_led(overrun_led),
        .ms_toggle(ms_toggle),
        .runs(runs),
        .is_idle(is_idle)
    );
endmodule
`default_nettype wire
