// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// Control: says what is done in each cycle, step by step, group by group of LANES neurons.
//
// A step begins when step_end is accepted. In each window its active inputs are listed; then its groups
// are computed, and after all windows the groups of classes. After utterance_end the steps that are
// left of N_STEPS are computed without waiting, and the scores are sent.
//
// Timing. For each group:
//   lists     hidden neurons of the group before are listed, until lists_more is low
//   scans     before the first group of a window: its inputs are listed, until scan_ends
//   takes, compares, leaks, biases, resets    a cycle each: see lane.v
//   sums      a cycle for each entry of the list
//   fires     a cycle: membranes are written, spikes are taken over
//   adds      for classes, until is_added
// reads looks up an entry of the list, reads_weight the weights of the entry before.
`default_nettype none
module control #(
    parameter LANES = 1,
    parameter N_STEPS = 1,
    parameter N_WINDOWS = 1,
    parameter STRIDE = 1, // blocks from one window to the next
    parameter WINDOW_GROUPS = 1, // groups of a window
    parameter CLASS_GROUPS = 1,
    parameter N_WEIGHTS = 1, // of a hidden neuron
    parameter N_HIDDEN = 1,
    parameter UNIT_BITS = 1,
    parameter GROUP_BITS = 1,
    parameter NEURON_BITS = 1,
    parameter ROW_BITS = 1
) (
    input wire clk,
    input wire enable, // without it, all stands still
    input wire rst,
    input wire step_end,
    input wire utterance_end,
    output wire step_ready,
    output wire is_idle, // events may come
    output reg is_over, // all steps are computed, so that events are dropped
    input wire is_cleared,
    input wire lists_more,
    input wire scan_ends,
    input wire has_entry,
    input wire is_added,
    input wire gives_last, // score
    output reg is_first, // step
    output reg is_output, // the group is one of classes
    output reg [GROUP_BITS-1:0] group,
    output reg [NEURON_BITS-1:0] first_neuron, // of the group, in its layer
    output reg [UNIT_BITS-1:0] first_block, // of the window
    output reg [ROW_BITS-1:0] first_row, // of the group's weights
    output wire step_starts,
    output wire scan_starts,
    output wire takes,
    output wire compares,
    output wire leaks,
    output wire biases,
    output wire resets,
    output wire sums,
    output wire fires,
    output wire adds,
    output wire sends,
    output wire fetches,
    output wire [1:0] kind,
    output wire reads,
    output wire reads_weight,
    output wire step_is_over
);
    localparam [3:0] EVENT = 0;
    localparam [3:0] LIST = 1;
    localparam [3:0] SCAN = 2;
    localparam [3:0] TAKE = 3;
    localparam [3:0] COMPARE = 4;
    localparam [3:0] LEAK = 5;
    localparam [3:0] BIAS = 6;
    localparam [3:0] RESET = 7;
    localparam [3:0] SUM = 8;
    localparam [3:0] FIRE = 9;
    localparam [3:0] ADD = 10;
    localparam [3:0] RESULT = 11;
    localparam STEP_BITS = $clog2(N_STEPS + 1);
    // constants are as wide as what they are compared with
    // verilator lint_off WIDTHTRUNC
    localparam [STEP_BITS-1:0] LAST_STEP = N_STEPS - 1;
    localparam [GROUP_BITS-1:0] LAST_OF_WINDOW = WINDOW_GROUPS - 1;
    localparam [GROUP_BITS-1:0] LAST_HIDDEN = N_WINDOWS * WINDOW_GROUPS - 1;
    localparam [GROUP_BITS-1:0] LAST_GROUP = N_WINDOWS * WINDOW_GROUPS + CLASS_GROUPS - 1;
    localparam [UNIT_BITS-1:0] WINDOW_STRIDE = STRIDE;
    localparam [NEURON_BITS-1:0] N_LANES = LANES;
    localparam [ROW_BITS-1:0] HIDDEN_ROWS = N_WEIGHTS;
    localparam [ROW_BITS-1:0] CLASS_ROWS = N_HIDDEN;
    // verilator lint_on WIDTHTRUNC
    reg [3:0] state;
    reg [STEP_BITS-1:0] step;
    reg is_ending; // the utterance is over
    reg [GROUP_BITS-1:0] group_in_window;
    wire needs_scan = !is_output && group_in_window == 0;
    assign is_idle = state == EVENT && is_cleared && !is_ending;
    assign step_ready = is_idle;
    assign step_starts = state == EVENT && is_cleared && !is_over && (is_ending || step_end);
    assign scan_starts = state == LIST && !lists_more && needs_scan;
    assign takes = state == TAKE;
    assign compares = state == COMPARE;
    assign leaks = state == LEAK;
    assign biases = state == BIAS;
    assign resets = state == RESET;
    assign sums = state == SUM;
    assign fires = state == FIRE;
    assign adds = state == ADD;
    assign sends = state == RESULT;
    // the number that the next state needs
    assign fetches = state == LIST || takes || compares || leaks || biases;
    assign kind = takes || biases ? 2'd1 : compares ? 2'd2 : leaks ? 2'd3 : 2'd0;
    assign reads = biases || resets || sums;
    assign reads_weight = resets || sums;
    wire ends_group = fires && !is_output || is_added;
    assign step_is_over = is_added && group == LAST_GROUP;
    always @(posedge clk) if (enable) begin
        case (state)
            EVENT:
                if (step_starts) state <= LIST;
                else if (is_ending && is_over && is_cleared) state <= RESULT;
            LIST: if (!lists_more) state <= needs_scan ? SCAN : TAKE;
            SCAN: if (scan_ends) state <= TAKE;
            TAKE: state <= COMPARE;
            COMPARE: state <= LEAK;
            LEAK: state <= BIAS;
            BIAS: state <= RESET;
            RESET: state <= has_entry ? SUM : FIRE;
            SUM: if (!has_entry) state <= FIRE;
            FIRE: state <= is_output ? ADD : LIST;
            ADD: if (is_added) state <= group == LAST_GROUP ? EVENT : LIST;
            default: if (gives_last) state <= EVENT;
        endcase
        if (rst) state <= EVENT;
    end
    always @(posedge clk) if (enable) begin
        if (utterance_end && step_ready) is_ending <= 1;
        if (step_is_over) begin
            step <= step + 1'b1;
            is_first <= 0;
            is_over <= step == LAST_STEP;
        end
        if (rst || gives_last) begin
            is_ending <= 0;
            is_over <= 0;
            is_first <= 1;
            step <= 0;
        end
    end
    always @(posedge clk) if (enable) begin
        if (ends_group) begin
            group <= group + 1'b1;
            first_neuron <= first_neuron + N_LANES;
            first_row <= first_row + (is_output ? CLASS_ROWS : HIDDEN_ROWS);
            group_in_window <= group_in_window + 1'b1;
            if (group_in_window == LAST_OF_WINDOW && !is_output) begin // the next window
                group_in_window <= 0;
                first_block <= first_block + WINDOW_STRIDE;
                first_row <= 0;
            end
            if (group == LAST_HIDDEN) begin // the classes
                is_output <= 1;
                first_neuron <= 0;
                first_row <= 0;
            end
        end
        if (rst || step_is_over) begin
            group <= 0;
            group_in_window <= 0;
            is_output <= 0;
            first_neuron <= 0;
            first_block <= 0;
            first_row <= 0;
        end
    end
endmodule
`default_nettype wire
