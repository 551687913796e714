// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// Duty: find where utterances begin and end, and let the floors settle.
//
// Ports. A step ends at an edge with step_end high; excess and floors are those of the step. In the
//  same cycle status says what the step is to an utterance: 0 it belongs to none, 1 one begins, with
//  the last REPLAY_STEPS + START_STEPS steps, 2 it goes on, 3 it ends, 4 it is dropped. settling is
//  high while floors settle, in the steps after a reset and after an utterance that took too long.
`default_nettype none
module detector #(
    parameter ON = 924,
    parameter OFF = 616,
    parameter MOST_RISEN = 34496,
    parameter START_STEPS = 4,
    parameter HOLD_STEPS = 50,
    parameter SHORTEST_STEPS = 30,
    parameter LONGEST_STEPS = 399,
    parameter SETTLING_STEPS = 16
) (
    input wire clk,
    input wire rst,
    input wire step_end,
    input wire [14:0] excess,
    input wire [18:0] floors,
    output reg [2:0] status,
    output wire settling
);
    localparam [2:0] IDLE = 0, BEGINS = 1, GOES_ON = 2, ENDS = 3, IS_DROPPED = 4;
    localparam SETTLING_BITS = $clog2(SETTLING_STEPS + 1);
    localparam LOUD_BITS = $clog2(START_STEPS + 1);
    localparam QUIET_BITS = $clog2(HOLD_STEPS + 1);
    localparam LENGTH_BITS = $clog2(LONGEST_STEPS + 1);

    reg [SETTLING_BITS-1:0] to_settle; // steps
    reg in_utterance;
    reg [LOUD_BITS-1:0] n_loud; // steps before a start
    reg [QUIET_BITS-1:0] n_quiet; // steps since one was loud
    reg [LENGTH_BITS-1:0] length; // steps of the utterance
    reg [18:0] floors_before; // when it began
    assign settling = to_settle != 0;

    wire [LOUD_BITS-1:0] now_loud = excess >= ON[14:0] ? n_loud + 1'b1 : {LOUD_BITS{1'b0}};
    wire [QUIET_BITS-1:0] now_quiet = excess >= OFF[14:0] ? {QUIET_BITS{1'b0}} : n_quiet + 1'b1;
    wire [LENGTH_BITS-1:0] now_long = length + 1'b1;
    wire begins = now_loud == START_STEPS[LOUD_BITS-1:0];
    wire is_over = now_quiet == HOLD_STEPS[QUIET_BITS-1:0];
    wire is_too_long = now_long == LONGEST_STEPS[LENGTH_BITS-1:0] && !is_over;
    // the pause behind an utterance doesn't count
    wire is_long = now_long >= SHORTEST_STEPS[LENGTH_BITS-1:0] + HOLD_STEPS[LENGTH_BITS-1:0];
    wire is_risen = {1'b0, floors} > {1'b0, floors_before} + MOST_RISEN[19:0];
    always @(*) begin
        if (settling) status = IDLE;
        else if (!in_utterance) status = begins ? BEGINS : IDLE;
        else if (is_over) status = is_long && !is_risen ? ENDS : IS_DROPPED;
        else status = is_too_long ? IS_DROPPED : GOES_ON;
    end
    always @(posedge clk) begin
        if (rst) begin
            to_settle <= SETTLING_STEPS[SETTLING_BITS-1:0];
            in_utterance <= 0;
            n_loud <= 0;
        end else if (step_end && settling) to_settle <= to_settle - 1'b1;
        else if (step_end && !in_utterance) begin
            in_utterance <= begins;
            n_loud <= begins ? {LOUD_BITS{1'b0}} : now_loud;
            n_quiet <= 0;
            length <= START_STEPS[LENGTH_BITS-1:0];
            if (now_loud <= 1) floors_before <= floors;
        end else if (step_end) begin
            in_utterance <= !is_over && !is_too_long;
            n_quiet <= now_quiet;
            length <= now_long;
            if (is_too_long) to_settle <= SETTLING_STEPS[SETTLING_BITS-1:0];
        end
    end
endmodule
