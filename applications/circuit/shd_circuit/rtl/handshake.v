// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// What the core's handshakes keep, for a model checker (handshake.sby; `rtl.prove` writes the sizes).
// It tries all that a sender and a receiver may do in a number of clock cycles from reset on, under
// these assumptions:
//  - rst is high in the first cycle, and never again;
//  - nothing is loaded or read back;
//  - in_valid and the data stay until they are accepted;
//  - milliseconds ascend within an utterance, and at most the last three are after the window;
//  - spikes come from the last four units, of which the circuit counts some and drops the others.
//
// The circuit is a tiny one, `rtl.counter`. Its class c counts the steps in which unit FIRST_UNIT + c
// had a spike in POOL_THRESHOLD bins: in such a step one input, the unit's hidden neurons and one
// class are active. So a spike that is lost, counted twice, taken late or made up shows in the answer.
`default_nettype none
module handshake #(
`include "network.vh"
) (
    input wire clk,
    input wire rst,
    input wire in_valid,
    input wire in_end,
    input wire out_ready,
    input wire [15:0] in_ms,
    input wire [9:0] in_unit
);
    wire in_ready;
    wire out_valid;
    wire out_last;
    wire [15:0] out_class;
    wire [15:0] out_answer;
    wire signed [31:0] out_score;
    wire mon_valid;
    wire [15:0] mon_neuron;
    wire [LANES-1:0] mon_spike;
    wire [LANES*MEM_BITS-1:0] mon_mem;
    core core (
        .clk(clk),
        .rst(rst),
        .in_valid(in_valid),
        .in_ready(in_ready),
        .in_end(in_end),
        .in_ms(in_ms),
        .in_unit(in_unit),
        .out_valid(out_valid),
        .out_ready(out_ready),
        .out_last(out_last),
        .out_class(out_class),
        .out_score(out_score),
        .out_answer(out_answer),
        .load_valid(1'b0),
        .read_valid(1'b0),
        .load_memory(3'd0),
        .load_address(24'd0),
        .load_data({LANES*LOAD_BITS{1'b0}}),
        .read_data(),
        .mon_valid(mon_valid),
        .mon_neuron(mon_neuron),
        .mon_spike(mon_spike),
        .mon_mem(mon_mem)
    );
    wire accepts = in_valid && in_ready;
    wire accepts_end = accepts && in_end;
    wire gives = out_valid && out_ready;
    wire gives_last = gives && out_last;

    // --- the accepted spikes --------------------------------------------------------------------
    // Of each utterance a bit for each millisecond of the window and each unit: a cell. A second
    // utterance may have begun, and even be over, before the first is answered.
    localparam N = N_CLASSES; // units that are counted
    localparam WINDOW_MS = N_STEPS * POOL_STEPS; // a bin is a millisecond
    localparam N_CELLS = WINDOW_MS * N;
    reg [N_CELLS-1:0] accepted; // of the utterance that is sent
    reg [N_CELLS-1:0] unanswered; // of the utterance whose end was accepted first
    reg [N_CELLS-1:0] unanswered_next; // and of the one after it
    reg [1:0] n_unanswered; // utterances whose end was accepted
    reg [15:0] now; // the last spike's millisecond
    wire [1:0] n_left = n_unanswered - gives_last;
    integer i;
    always @(posedge clk) begin
        if (accepts) now <= in_end ? 0 : in_ms;
        if (accepts && !in_end && in_ms < WINDOW_MS) begin
            for (i = 0; i < N; i = i + 1) begin
                if (in_unit == FIRST_UNIT + i) accepted[in_ms * N + i] <= 1;
            end
        end
        n_unanswered <= n_left + accepts_end;
        if (gives_last) unanswered <= unanswered_next;
        if (accepts_end) begin
            accepted <= 0;
            if (n_left == 0) unanswered <= accepted;
            else unanswered_next <= accepted;
        end
        if (rst) begin
            n_unanswered <= 0;
            now <= 0;
            accepted <= 0;
        end
    end

    // Of each step and each unit: whether enough of its cells are set.
    function [N_STEPS*N-1:0] events_of(input [N_CELLS-1:0] cells);
        integer step_index;
        integer unit;
        integer bin;
        reg [3:0] n_set;
        begin
            for (step_index = 0; step_index < N_STEPS; step_index = step_index + 1) begin
                for (unit = 0; unit < N; unit = unit + 1) begin
                    n_set = 0;
                    for (bin = 0; bin < POOL_STEPS; bin = bin + 1)
                        n_set = n_set + cells[(step_index * POOL_STEPS + bin) * N + unit];
                    events_of[step_index * N + unit] = n_set >= POOL_THRESHOLD;
                end
            end
        end
    endfunction

    // --- the neurons, step after step -----------------------------------------------------------
    // The membrane of a class is 1 in a step in which its unit had an event. Then a hidden neuron's is
    // 2, and it spikes. Otherwise both are 0.
    localparam HIDDEN = N_HIDDEN / N; // hidden neurons of a unit
    wire [N_STEPS*N-1:0] computed_events = events_of(n_unanswered == 0 ? accepted : unanswered);
    reg [2:0] step; // that the core computes
    reg [2:0] n_computed [0:N-1]; // active steps so far, of each class
    wire is_class = mon_neuron >= N_HIDDEN;
    wire [15:0] first_neuron = mon_neuron - (is_class ? N_HIDDEN : 0); // lane 0's, in its layer
    reg [LANES-1:0] is_active; // the lane's unit had an event
    integer j;
    always @* begin
        for (j = 0; j < LANES; j = j + 1) begin
            if (is_class) is_active[j] = computed_events[step * N + first_neuron + j];
            else is_active[j] = computed_events[step * N + (first_neuron + j) / HIDDEN];
        end
    end
    always @(posedge clk) begin
        if (mon_valid && is_class) begin
            for (j = 0; j < LANES; j = j + 1) begin
                if (first_neuron + j < N)
                    n_computed[first_neuron + j] <= n_computed[first_neuron + j] + is_active[j];
            end
            if (first_neuron + LANES >= N) step <= step + 1'b1;
        end
        if (rst || gives_last) begin
            step <= 0;
            for (j = 0; j < N; j = j + 1) n_computed[j] <= 0;
        end
    end

    // --- the answer that is expected ------------------------------------------------------------
    wire [N_STEPS*N-1:0] answered_events = events_of(unanswered);
    reg [1:0] next_class;
    reg [1:0] best_class;
    reg [2:0] best_score;
    reg [2:0] expected_score; // of the next class
    wire is_better = next_class == 0 || expected_score > best_score;
    always @* begin
        expected_score = 0;
        for (i = 0; i < N_STEPS; i = i + 1)
            expected_score = expected_score + answered_events[i * N + next_class];
    end
    always @(posedge clk) begin
        if (gives) begin
            next_class <= out_last ? 0 : next_class + 1'b1;
            if (is_better) begin
                best_score <= expected_score;
                best_class <= next_class;
            end
        end
        if (rst) next_class <= 0;
    end

    // --- how long the core lets others wait -----------------------------------------------------
    // An answer doesn't take longer than all steps of its utterance if everything spikes: for each
    // step as `cost.step_cycles` counts them, with two cycles more for a spike that was accepted.
    localparam HIDDEN_GROUPS = (N_HIDDEN + LANES - 1) / LANES;
    localparam CLASS_GROUPS = (N + LANES - 1) / LANES;
    localparam SCAN_CYCLES = 1 + POOL_STEPS + N_UNITS * N_DELAYS * (1 + N);
    localparam HIDDEN_CYCLES = HIDDEN_GROUPS * (7 + N) + N_HIDDEN - HIDDEN_GROUPS;
    localparam CLASS_CYCLES = CLASS_GROUPS * (7 + LANES + 1 + N_HIDDEN);
    localparam LONGEST_WAIT =
        N_UNITS + 4 + N_STEPS * (SCAN_CYCLES + HIDDEN_CYCLES + CLASS_CYCLES + 2);
    reg [7:0] out_waits; // cycles for which the core has given nothing, though an utterance is over
    always @(posedge clk) begin
        out_waits <= n_unanswered == 0 || out_valid || rst ? 0 : out_waits + 1'b1;
    end

    // --- the cycle before -----------------------------------------------------------------------
    reg is_begun = 0;
    reg in_waited; // the sender waited for the core
    reg out_waited; // the core waited for the receiver
    reg was_ready; // the core waited for the sender
    reg last_in_end;
    reg [15:0] last_in_ms;
    reg [9:0] last_in_unit;
    reg last_out_last;
    reg [15:0] last_out_class;
    reg [15:0] last_out_answer;
    reg [31:0] last_out_score;
    always @(posedge clk) begin
        is_begun <= 1;
        in_waited <= in_valid && !in_ready && !rst;
        out_waited <= out_valid && !out_ready && !rst;
        was_ready <= in_ready && !in_valid && !rst;
        last_in_end <= in_end;
        last_in_ms <= in_ms;
        last_in_unit <= in_unit;
        last_out_last <= out_last;
        last_out_class <= out_class;
        last_out_answer <= out_answer;
        last_out_score <= out_score;
    end

    // --- what is assumed ------------------------------------------------------------------------
    always @* begin
        assume (rst == !is_begun);
        if (is_begun) begin
            if (in_waited) begin
                assume (in_valid);
                assume (in_end == last_in_end);
                assume (in_ms == last_in_ms);
                assume (in_unit == last_in_unit);
            end
            if (in_valid) assume (in_end || in_ms >= now);
            assume (in_unit[9:2] == FIRST_UNIT / 4); // the last four units
            assume (in_ms < WINDOW_MS + 3);
        end
    end

    // --- what is proven -------------------------------------------------------------------------
    always @* begin
        if (is_begun && !rst) begin
            // an accepted spike counts once, and nothing else counts
            if (mon_valid) begin
                for (j = 0; j < LANES; j = j + 1) begin
                    if (first_neuron + j < (is_class ? N : N_HIDDEN)) begin
                        assert (mon_spike[j] == (is_active[j] && !is_class));
                        assert (mon_mem[j*MEM_BITS +: MEM_BITS] == is_active[j] << !is_class);
                    end
                end
            end
            // the answer is that of the accepted spikes
            if (out_valid) begin
                assert (n_unanswered != 0);
                assert (out_class == next_class);
                assert (out_last == (next_class == N - 1));
                assert (n_computed[next_class] == expected_score);
                assert (out_score == expected_score);
                if (out_last) assert (out_answer == (is_better ? next_class : best_class));
            end
            // nothing is taken back
            if (out_waited) begin
                assert (out_valid);
                assert (out_class == last_out_class);
                assert (out_last == last_out_last);
                assert (out_score == last_out_score);
                assert (out_answer == last_out_answer);
            end
            if (was_ready) assert (in_ready);
            // no answer waits too long
            assert (out_waits < LONGEST_WAIT);
        end
    end
endmodule
`default_nettype wire
