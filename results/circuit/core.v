// The circuit: from spikes to the spike counts of all classes. One adder sums for all neurons,
// one after the other, and meets only the weights of active inputs. What is computed, and in
// which order, stands in README.md; sizes are in network.vh, weights in the .mem files.
//
// Handshake. A transfer takes place at a rising edge of clk where valid and ready are both high;
//  until then valid and the data stay. rst is synchronous; hold it for a cycle or more.
//  in_*   a spike, in_ms (from the word's start, ascending) and in_unit (0..699); or, with in_end
//         high, the end of the word, without a spike. Spikes after the window are dropped.
//         in_ready is low for N_UNITS cycles after rst, while a step is computed, and while counts
//         wait. It follows in_ms and in_end within the cycle: a step is computed once something
//         later is offered (in silence: a spike of a unit that is dropped), at in_end all left.
//  out_*  after the end of a word its classes in order, out_class and out_count; out_last is high
//         with the last one, when out_answer is the class of most spikes. Then a word can begin.
//  mon_*  to look on: while mon_valid is high, neuron mon_neuron (hidden ones first) gets the
//         membrane mon_mem, and mon_spike tells whether it spikes. May be left open.
`default_nettype none
module core #(
`include "network.vh"
) (
    input wire clk, rst, in_valid, in_end, out_ready,
    input wire [15:0] in_ms, input wire [9:0] in_unit,
    output wire in_ready, out_valid, out_last, mon_valid, mon_spike,
    output wire [15:0] out_class, out_count, out_answer, mon_neuron,
    output wire signed [MEM_BITS-1:0] mon_mem
);
    localparam N_INPUTS = N_DELAYS * N_UNITS, N_NEURONS = N_HIDDEN + N_CLASSES;
    localparam N_CELLS = POOL_UNITS * POOL_STEPS; // of a block
    localparam N_LIST = N_INPUTS > N_HIDDEN ? N_INPUTS : N_HIDDEN;
    localparam N_ROWS = N_INPUTS > N_CLASSES ? N_INPUTS * N_HIDDEN : N_HIDDEN * N_CLASSES;
    localparam UB = $clog2(N_UNITS + 1), IB = $clog2(N_LIST + 2), NB = $clog2(N_NEURONS + 1);
    localparam SB = $clog2(N_SLOTS + 1), TB = $clog2(N_STEPS + 1), AB = $clog2(N_ROWS + N_LIST + 1);
    localparam CB = $clog2(N_CELLS + 1), RECIPROCAL = (1 << 20) / POOL_UNITS + 1; // for 10 bits
    localparam signed [FACTOR_BITS+1:0] FACTOR = LEAK_FACTOR;

    reg signed [WEIGHT1_BITS-1:0] weight1 [0:N_INPUTS*N_HIDDEN-1], w1; // a neuron after the other
    reg signed [WEIGHT2_BITS-1:0] weight2 [0:N_HIDDEN*N_CLASSES-1], w2;
    reg signed [BIAS_BITS-1:0] bias [0:N_NEURONS-1], bias_n; // hidden neurons, then classes
    reg [THRESHOLD_BITS-1:0] threshold [0:N_NEURONS-1], threshold_n;
    reg [TB-1:0] delay [0:N_DELAYS-1];
    initial begin $readmemh("weight1.mem", weight1); $readmemh("weight2.mem", weight2); end
    initial begin $readmemh("bias.mem", bias); $readmemh("threshold.mem", threshold); end
    initial $readmemh("delay.mem", delay);

    reg [3:0] state;
    reg layer, is_old;
    localparam EVENT = 0, CELL = 1, GATHER = 2, LEAK = 3, BIAS = 4, RESET = 5, SUM = 6, FIRE = 7,
        RESULT = 8;
    // Time: the step, the millisecond at which the current bin ends, the bin's first cell.
    reg [TB-1:0] step;
    reg [16:0] bin_end;
    reg [CB-1:0] first_cell, n_cells;
    reg [UB-1:0] clear; // block that is cleared
    wire is_clear = clear == N_UNITS, can_take = in_valid && is_clear;
    wire is_over = step == N_STEPS, is_later = in_end || in_ms >= bin_end;
    assign in_ready = state == EVENT && is_clear && (is_over || !is_later);
    // Pooling: a bit for each cell of a block, which spikes when enough of them are set. While the
    // neurons are computed, the blocks are cleared.
    reg [N_CELLS-1:0] block [0:N_UNITS-1], cells, this_cell;
    reg [UB-1:0] unit, n_new;
    wire [9:0] above = in_unit - FIRST_UNIT;
    wire [29:0] product = above * RECIPROCAL;
    wire [9:0] quotient = product[29:20]; // above / POOL_UNITS
    wire [N_CELLS-1:0] cells_now = cells | this_cell;
    wire is_spike = state == CELL && cells_now != cells && n_cells == POOL_THRESHOLD;
    integer i;
    always @* begin
        n_cells = 0;
        for (i = 0; i < N_CELLS; i = i + 1) n_cells = n_cells + cells_now[i];
    end
    always @(posedge clk) begin
        cells <= block[quotient];
        if (state == CELL || !is_clear)
            block[state == CELL ? unit : clear] <= state == CELL ? cells_now : 0;
    end
    // Delays: the events of the last steps. Those that arrive now are gathered in the list.
    reg [UB-1:0] history [0:(N_SLOTS<<UB)-1], n_history [0:N_SLOTS-1], next_old, old;
    reg [SB-1:0] slot;
    reg [IB-1:0] k, copy, copy_old; // a copy of the input, and the first input of it
    wire [TB-1:0] late = delay[k];
    wire [SB-1:0] from = slot >= late ? slot - late : slot + N_SLOTS - late;
    wire [UB-1:0] n_old = late > step ? 0 : late == 0 ? n_new : n_history[from];
    always @(posedge clk) begin
        old <= history[{from, next_old}];
        if (is_spike) history[{slot, n_new}] <= unit;
        if (state == GATHER) n_history[slot] <= n_new;
    end
    // Neurons: hidden ones (layer 0), then classes (layer 1).
    reg [NB-1:0] n, c; // neuron, class
    reg [IB-1:0] list [0:(2<<IB)-1], n_in, n_spikes, e, active; // inputs; then hidden spikes
    reg [AB-1:0] row; // where the weights of this neuron begin
    reg signed [MEM_BITS-1:0] membrane [0:N_NEURONS-1], stored;
    wire [AB-1:0] weight_at = row + active;
    wire [NB-1:0] n_next = n + (state == FIRE); // their numbers are looked up ahead
    wire [IB-1:0] n_active = layer ? n_spikes : n_in;
    wire signed [MEM_BITS-1:0] held = step == 0 ? 0 : stored; // every word begins at 0
    // The adder, and what it adds: x - y is x + ~y + 1.
    reg signed [SUM_BITS-1:0] sum, a, b;
    reg carry;
    wire [SUM_BITS-MEM_BITS:0] top = sum[SUM_BITS-1:MEM_BITS-1]; // not all the same: saturates
    wire [MEM_BITS-1:0] limit = {sum[SUM_BITS-1], {(MEM_BITS-1){!sum[SUM_BITS-1]}}};
    wire signed [MEM_BITS-1:0] after = &top || ~|top ? sum : limit;
    wire signed [MEM_BITS-1:0] compared = state == FIRE ? after : held;
    wire is_above = compared > $signed({1'b0, threshold_n});
    wire signed [MEM_BITS+FACTOR_BITS:0] scaled = held * FACTOR;
    always @* begin
        a = sum; b = 0; carry = 0;
        case (state)
            LEAK: if (LEAK_SHIFT != 0) begin
                a = held; b = ~(held >>> LEAK_SHIFT); carry = 1;
            end else begin
                a = 0; b = scaled >>> FACTOR_BITS;
            end
            BIAS: b = bias_n;
            RESET: if (is_above) begin b = ~threshold_n; carry = 1; end
            default: if (layer) b = w2 <<< SHIFT2; else b = w1 <<< SHIFT1;
        endcase
    end
    always @(posedge clk) begin
        sum <= a + b + carry;
        stored <= membrane[n_next];
        bias_n <= bias[n_next];
        threshold_n <= threshold[n_next];
        w1 <= weight1[weight_at];
        w2 <= weight2[weight_at];
        active <= list[{layer, e}];
        if (state == FIRE) membrane[n] <= after;
        if (state == GATHER ? is_old : state == FIRE && !layer && is_above)
            list[state == GATHER ? {1'b0, n_in} : {1'b1, n_spikes}]
                <= state == GATHER ? copy_old + old : n;
    end
    assign mon_valid = state == FIRE, mon_neuron = n, mon_mem = after, mon_spike = is_above;
    // The counts of the classes, and the first of the largest.
    reg [TB-1:0] counts [0:N_CLASSES-1], best;
    reg [NB-1:0] answer;
    wire [TB-1:0] count = counts[c];
    always @(posedge clk)
        if (state == FIRE && layer) counts[c] <= (step == 0 ? 0 : count) + is_above;
    assign out_valid = state == RESULT, out_last = c == N_CLASSES - 1, out_class = c;
    assign out_count = count, out_answer = count > best ? c : answer;
    always @(posedge clk) begin
        is_old <= 0;
        copy_old <= copy;
        if (!is_clear) clear <= clear + 1;
        case (state)
            EVENT: if (can_take && is_over) state <= in_end ? RESULT : EVENT;
            else if (can_take && is_later) begin
                bin_end <= bin_end + BIN_MS;
                first_cell <= first_cell + POOL_UNITS;
                if (first_cell == N_CELLS - POOL_UNITS) begin
                    first_cell <= 0; clear <= 0; k <= 0; next_old <= 0; copy <= 0; n_in <= 0;
                    state <= GATHER;
                end
            end else if (can_take && in_unit >= FIRST_UNIT && above < N_UNITS * POOL_UNITS) begin
                unit <= quotient;
                this_cell <= 1 << (first_cell + above - quotient * POOL_UNITS);
                state <= CELL;
            end
            CELL: begin n_new <= n_new + is_spike; state <= EVENT; end
            GATHER: begin
                n_in <= n_in + is_old;
                if (k == N_DELAYS) state <= LEAK;
                else if (next_old < n_old) begin next_old <= next_old + 1; is_old <= 1; end
                else begin k <= k + 1; next_old <= 0; copy <= copy + N_UNITS; end
            end
            LEAK: begin e <= 0; state <= BIAS; end
            BIAS: begin e <= 1; state <= n_active == 0 && !is_above ? FIRE : RESET; end
            RESET: begin e <= 2; state <= n_active == 0 ? FIRE : SUM; end // list, weight, ...
            SUM: begin e <= e + 1; if (e == n_active + 1) state <= FIRE; end
            FIRE: begin
                n <= n + 1;
                row <= n == N_HIDDEN - 1 ? 0 : row + (layer ? N_HIDDEN : N_INPUTS);
                layer <= layer || n == N_HIDDEN - 1;
                c <= c + layer;
                n_spikes <= n_spikes + (!layer && is_above);
                state <= LEAK;
                if (n == N_NEURONS - 1) begin
                    n <= 0; layer <= 0; row <= 0; c <= 0; n_spikes <= 0; n_new <= 0;
                    slot <= slot == N_SLOTS - 1 ? 0 : slot + 1;
                    step <= step + 1;
                    state <= EVENT;
                end
            end
            RESULT: if (out_ready) begin
                c <= c + 1;
                if (count > best) begin best <= count; answer <= c; end
                if (out_last) begin
                    c <= 0; best <= 0; answer <= 0; slot <= 0; step <= 0; bin_end <= BIN_MS;
                    state <= EVENT;
                end
            end
        endcase
        if (rst) begin
            state <= EVENT; clear <= 0; step <= 0; slot <= 0; bin_end <= BIN_MS; first_cell <= 0;
            n <= 0; layer <= 0; row <= 0; c <= 0; n_spikes <= 0; n_new <= 0; best <= 0; answer <= 0;
        end
    end
endmodule
