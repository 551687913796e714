// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// What the core's handshakes keep, whoever sends and whoever takes: for a model checker, which tries
// all that they may do (handshake.sby; `rtl.prove` writes the sizes). The circuit is a tiny one,
// whose class c counts the cells of unit FIRST_UNIT + c: in each step in which that unit had a spike
// one input, one hidden neuron and one class are active. So a spike that is lost, counted twice,
// taken late or made up shows in the answer.
`default_nettype none
module handshake #(
`include "network.vh"
) (
    input wire clk, rst, in_valid, in_end, out_ready,
    input wire [15:0] in_ms, input wire [9:0] in_unit
);
    wire in_ready, out_valid, out_last;
    wire [15:0] out_class, out_answer, mon_neuron;
    wire mon_valid;
    wire [LANES-1:0] mon_spike;
    wire [LANES*MEM_BITS-1:0] mon_mem;
    wire signed [31:0] out_score;
    core core (
        .clk(clk), .rst(rst), .in_valid(in_valid), .in_ready(in_ready), .in_end(in_end),
        .in_ms(in_ms), .in_unit(in_unit), .out_valid(out_valid), .out_ready(out_ready),
        .out_last(out_last), .out_class(out_class), .out_score(out_score),
        .out_answer(out_answer), .load_valid(1'b0), .load_memory(3'd0), .load_address(24'd0),
        .load_data({LANES*LOAD_BITS{1'b0}}), .read_valid(1'b0), .read_data(), .is_idle(), .mon_valid(mon_valid),
        .mon_neuron(mon_neuron), .mon_spike(mon_spike), .mon_mem(mon_mem)
    );
    wire accepts = in_valid && in_ready, gives = out_valid && out_ready;

    // What was accepted: of each step, which units had a spike. A second utterance may have begun, and
    // even be over, before the first is answered.
    localparam N = N_CLASSES, BITS = N_STEPS * N;
    localparam HIDDEN = N_HIDDEN / N; // neurons of a unit
    reg [BITS-1:0] heard, due, due_next;
    reg [1:0] n_due;
    reg [15:0] now;
    wire [1:0] n_left = n_due - (gives && out_last);
    wire [BITS-1:0] computed = n_due == 0 ? heard : due; // the utterance that the core is at
    integer i, j;
    always @(posedge clk) begin
        if (gives && out_last) due <= due_next;
        n_due <= n_left + (accepts && in_end);
        if (accepts) now <= in_end ? 0 : in_ms;
        if (accepts && in_end) begin
            heard <= 0;
            if (n_left == 0) due <= heard; else due_next <= heard;
        end else if (accepts && in_ms < N_STEPS)
            for (i = 0; i < N; i = i + 1)
                if (in_unit == FIRST_UNIT + i) heard[in_ms * N + i] <= 1;
        if (rst) begin n_due <= 0; now <= 0; heard <= 0; end
    end

    // What the neurons do, a step after the other, and what it comes to.
    reg [2:0] step, tally [0:N-1];
    wire is_class = mon_neuron >= N_HIDDEN;
    wire [15:0] first = mon_neuron - (is_class ? N_HIDDEN : 0);
    // a class's membrane is 1 where the unit had a spike, and is read; a hidden one is 2, and spikes
    reg [LANES-1:0] is_active; // the unit that a neuron stands for had a spike
    always @* for (j = 0; j < LANES; j = j + 1)
        is_active[j] = computed[step*N + (is_class ? first + j : (first + j) / HIDDEN)];
    always @(posedge clk) begin
        if (mon_valid && is_class) begin
            for (j = 0; j < LANES; j = j + 1)
                if (first + j < N) tally[first + j] <= tally[first + j] + is_active[j];
            if (first + LANES >= N) step <= step + 1'b1;
        end
        if (rst || gives && out_last) begin
            step <= 0;
            for (j = 0; j < N; j = j + 1) tally[j] <= 0;
        end
    end

    // The answer as it must come.
    reg [1:0] at, answer;
    reg [2:0] best, n_heard;
    wire is_better = at == 0 || n_heard > best;
    always @* begin
        n_heard = 0;
        for (i = 0; i < N_STEPS; i = i + 1) n_heard = n_heard + due[i*N + at];
    end
    always @(posedge clk) begin
        if (gives) begin
            at <= out_last ? 0 : at + 1'b1;
            if (is_better) begin best <= n_heard; answer <= at; end
        end
        if (rst) at <= 0;
    end

    // How long the core has wanted nothing, or has given nothing though an utterance is over:
    // not longer than all its steps take, if everything spikes.
    localparam GROUPS1 = (N_HIDDEN + LANES - 1) / LANES, GROUPS2 = (N + LANES - 1) / LANES;
    localparam STEP = 6 + N + GROUPS1 * (4 + N) + N_HIDDEN - GROUPS1 + GROUPS2 * (4 + N_HIDDEN);
    localparam WAIT = N_UNITS + N_STEPS * STEP;
    reg [7:0] waits, waits_out;
    always @(posedge clk) begin
        waits <= in_ready || out_valid && !out_ready || rst ? 0 : waits + 1'b1;
        waits_out <= n_due == 0 || out_valid || rst ? 0 : waits_out + 1'b1;
    end

    // Whoever sends: valid and the data stay until they are taken; milliseconds ascend in an utterance.
    reg is_begun = 0, had_in, had_out;
    reg had_end, had_ready, had_last;
    reg [15:0] had_ms, had_class, had_answer;
    reg [31:0] had_score;
    reg [9:0] had_unit;
    always @(posedge clk) begin
        is_begun <= 1;
        had_in <= in_valid && !in_ready && !rst; had_out <= out_valid && !out_ready && !rst;
        had_ready <= in_ready && !in_valid && !rst;
        had_end <= in_end; had_ms <= in_ms; had_unit <= in_unit; had_last <= out_last;
        had_class <= out_class; had_answer <= out_answer; had_score <= out_score;
    end
    always @* begin
        assume (rst == !is_begun);
        if (is_begun) begin
            if (had_in) assume (in_valid && in_end == had_end && in_ms == had_ms && in_unit == had_unit);
            if (in_valid) assume (in_end || in_ms >= now);
            // enough of each: the last units and two that are dropped, and two milliseconds too late
            assume (in_unit[9:2] == FIRST_UNIT / 4 && in_ms[15:2] == 0);
        end
        if (is_begun && !rst) begin
            // counted once, and nothing else is
            if (mon_valid) for (j = 0; j < LANES; j = j + 1)
                if (first + j < (is_class ? N : N_HIDDEN)) begin
                    assert (mon_spike[j] == (is_active[j] && !is_class));
                    assert (mon_mem[j*MEM_BITS +: MEM_BITS] == is_active[j] << !is_class);
                end
            if (out_valid) begin
                assert (n_due != 0);
                assert (out_class == at && out_last == (at == N_CLASSES - 1));
                assert (tally[at] == n_heard);
                assert (out_score == n_heard);
                if (out_last) assert (out_answer == (is_better ? at : answer));
            end
            // nothing is taken back
            if (had_out) assert (out_valid && out_class == had_class && out_last == had_last
                && out_score == had_score && out_answer == had_answer);
            if (had_ready) assert (in_ready);
            // nothing stands still
            assert (waits < WAIT);
            assert (waits_out < WAIT);
        end
    end
endmodule
`default_nettype wire
