// The circuit: from raw events to the spike counts of all classes. One adder sums for all neurons,
// one after the other; it meets only the weights of inputs that spike. What it computes, and in
// which order, is told in README.md; sizes are in network.vh, weights in the .mem files.
//
// Handshake. A transfer happens at a rising edge of clk where valid and ready are both high; valid
//  and the data stay until then. rst is synchronous, high for one cycle or more.
//  in_*   an event: in_ms (from the word's start, ascending) and in_unit (0..699); or, with in_end
//         high, the end of the word, without an event. Events after the window are taken and
//         dropped. in_ready falls while a step is computed, and until a word's counts are fetched.
//  out_*  after the end of a word: the classes in order, out_class and its out_count; with the last
//         one out_last is high, and out_answer is the c with the most spikes, of several the
//         lowest. Nothing remains of a word; the next one can begin.
//  mon_*  to look on: whenever mon_valid is high, neuron mon_neuron (hidden ones first) has the new
//         membrane mon_mem, and mon_spike tells whether it spikes. Leave it open otherwise.
`default_nettype none
module core #(
`include "network.vh"
) (
    input  wire clk, rst,
    input  wire in_valid, in_end,
    input  wire [15:0] in_ms,
    input  wire [9:0] in_unit,
    output wire in_ready,
    output wire out_valid, out_last,
    output wire [15:0] out_class, out_count, out_answer,
    input  wire out_ready,
    output wire mon_valid, mon_spike,
    output wire [15:0] mon_neuron,
    output wire signed [MEM_BITS-1:0] mon_mem
);
    localparam N_INPUTS = N_DELAYS * N_UNITS, N_NEURONS = N_HIDDEN + N_CLASSES;
    localparam N_CELLS = POOL_UNITS * POOL_STEPS; // of a block
    localparam UB = $clog2(N_UNITS > 1 ? N_UNITS : 2) + 1, IB = $clog2(N_INPUTS > N_HIDDEN ? N_INPUTS : N_HIDDEN) + 1;
    localparam NB = $clog2(N_NEURONS) + 1, SB = $clog2(N_SLOTS) + 1;
    localparam TB = $clog2(N_STEPS + 1) + 1, KB = $clog2(N_DELAYS) + 1;
    localparam A1B = $clog2(N_INPUTS * N_HIDDEN) + 1, A2B = $clog2(N_HIDDEN * N_CLASSES) + 1;
    localparam AB = A1B > A2B ? A1B : A2B;
    localparam signed [FACTOR_BITS+1:0] FACTOR = LEAK_FACTOR;
    localparam RECIPROCAL = (1 << 20) / POOL_UNITS + 1; // exact for 10 bits

    reg signed [WEIGHT1_BITS-1:0] weight1 [0:N_INPUTS*N_HIDDEN-1]; // a neuron after the other
    reg signed [WEIGHT2_BITS-1:0] weight2 [0:N_HIDDEN*N_CLASSES-1];
    reg signed [BIAS_BITS-1:0] bias [0:N_NEURONS-1]; // hidden neurons, then classes
    reg [MEM_BITS-2:0] threshold [0:N_NEURONS-1];
    reg [TB-1:0] delay [0:N_DELAYS-1];
    initial begin
        $readmemh("weight1.mem", weight1);
        $readmemh("weight2.mem", weight2);
        $readmemh("bias.mem", bias);
        $readmemh("threshold.mem", threshold);
        $readmemh("delay.mem", delay);
    end

    localparam WAIT = 0, EVENT = 1, CELL = 2, GATHER = 3, FETCH = 4,
        LEAK = 5, BIAS = 6, RESET = 7, SUM = 8, FIRE = 9, RESULT = 10;
    reg [3:0] state;

    // Time: the step, the bin in it, and the millisecond at which the bin ends.
    reg [TB-1:0] step;
    reg [16:0] bin_end;
    reg [$clog2(N_CELLS):0] first_cell; // of this bin in a block
    wire is_over = step == N_STEPS;
    wire is_later = in_end || in_ms >= bin_end;
    assign in_ready = state == EVENT && (is_over || !is_later);

    // Pooling: a bit for each this_cell of a block. A block whose count reaches the threshold spikes.
    reg [N_CELLS-1:0] block [0:N_UNITS-1], cells, this_cell;
    reg [UB-1:0] unit, n_new, clear;
    wire [9:0] above = in_unit - FIRST_UNIT;
    wire is_seen = in_unit >= FIRST_UNIT && above < N_UNITS * POOL_UNITS;
    wire [30:0] product = above * RECIPROCAL;
    wire [9:0] quotient = product[29:20];
    wire [N_CELLS-1:0] cells_now = cells | this_cell;
    reg [$clog2(N_CELLS+1)-1:0] n_cells;
    integer i;
    always @* begin
        n_cells = 0;
        for (i = 0; i < N_CELLS; i = i + 1) n_cells = n_cells + cells_now[i];
    end
    wire is_block = state == CELL && cells_now != cells && n_cells == POOL_THRESHOLD;
    wire is_clear = clear == N_UNITS; // they are cleared while neurons are computed
    wire [UB-1:0] block_at = state == CELL ? unit : clear;
    always @(posedge clk) begin
        cells <= block[quotient];
        if (state == CELL || !is_clear) block[block_at] <= state == CELL ? cells_now : 0;
    end

    // Delays: the input spikes of the last steps; those that arrive now are gathered in a list.
    reg [UB-2:0] history [0:(N_SLOTS<<(UB-1))-1], old;
    reg [UB-1:0] n_history [0:N_SLOTS-1], next_old;
    reg [SB-1:0] slot;
    reg [KB-1:0] k;
    reg [IB-1:0] copy, copy_old; // first input of this copy
    reg is_old;
    wire [TB-1:0] late = delay[k];
    wire [SB-1:0] from = slot >= late ? slot - late : slot + N_SLOTS - late;
    wire [UB-1:0] n_old = late > step ? 0 : late == 0 ? n_new : n_history[from];
    wire is_gathered = k == N_DELAYS;
    always @(posedge clk) begin
        old <= history[{from[SB-1:0], next_old[UB-2:0]}];
        if (is_block) history[{slot, n_new[UB-2:0]}] <= unit;
        if (state == GATHER) n_history[slot] <= n_new;
    end

    // Neurons: hidden ones (layer 0), then classes (layer 1).
    reg [NB-1:0] n, c;
    reg layer;
    reg [IB-1:0] n_in, n_spikes, e, input_now;
    reg [IB-2:0] list [0:(2<<(IB-1))-1]; // inputs, then hidden spikes
    reg [AB-1:0] row; // weights of this neuron begin here
    wire [AB-1:0] weight_at = row + input_now;
    wire [NB-1:0] n_next = n + (state == FIRE);
    wire [IB-1:0] n_active = layer ? n_spikes : n_in;
    reg signed [WEIGHT1_BITS-1:0] w1;
    reg signed [WEIGHT2_BITS-1:0] w2;
    reg signed [BIAS_BITS-1:0] bias_n;
    reg [MEM_BITS-2:0] threshold_n;
    reg signed [MEM_BITS-1:0] membrane [0:N_NEURONS-1], stored;
    wire signed [MEM_BITS-1:0] held = step == 0 ? 0 : stored; // every word begins at 0
    wire signed [MEM_BITS-1:0] after;
    wire signed [MEM_BITS-1:0] compared = state == FIRE ? after : held;
    wire is_above = compared > $signed({1'b0, threshold_n});

    // The adder.
    reg signed [SUM_BITS-1:0] sum, a, b;
    reg carry;
    wire signed [MEM_BITS-1:0] u = RESET_TO_ZERO && is_above ? 0 : held;
    wire signed [MEM_BITS+FACTOR_BITS:0] scaled = u * FACTOR;
    wire half_shift = LEAK_HALF != 0 && LEAK_SHIFT != 0 && u[LEAK_SHIFT != 0 ? LEAK_SHIFT - 1 : 0];
    wire half_scaled = LEAK_HALF != 0 && scaled[FACTOR_BITS-1];
    always @* begin
        a = sum; b = 0; carry = 0;
        case (state)
            LEAK: if (LEAK_SHIFT != 0) begin a = u; b = ~(u >>> LEAK_SHIFT); carry = !half_shift; end
                else begin a = 0; b = scaled >>> FACTOR_BITS; carry = half_scaled; end
            BIAS: b = bias_n;
            RESET: if (!RESET_TO_ZERO && is_above) begin b = ~threshold_n; carry = 1; end
            default: if (layer) b = w2 <<< SHIFT2; else b = w1 <<< SHIFT1;
        endcase
    end
    wire [SUM_BITS-MEM_BITS:0] top = sum[SUM_BITS-1:MEM_BITS-1]; // all the same: no saturation
    assign after = &top || !(|top) ? sum[MEM_BITS-1:0] : {sum[SUM_BITS-1], {(MEM_BITS-1){~sum[SUM_BITS-1]}}};
    always @(posedge clk) begin
        sum <= a + b + carry;
        stored <= membrane[n_next];
        bias_n <= bias[n_next];
        threshold_n <= threshold[n_next];
        w1 <= weight1[weight_at];
        w2 <= weight2[weight_at];
        input_now <= list[{layer, e[IB-2:0]}];
        if (state == FIRE) membrane[n] <= after;
        if (state == GATHER && is_old) list[{1'b0, n_in[IB-2:0]}] <= copy_old + old;
        else if (state == FIRE && !layer && is_above) list[{1'b1, n_spikes[IB-2:0]}] <= n;
    end

    // The counts of the classes.
    reg [TB-1:0] counts [0:N_CLASSES-1], best;
    reg [NB-1:0] answer;
    wire [TB-1:0] count = counts[c];
    always @(posedge clk)
        if (state == FIRE && layer) counts[c] <= (step == 0 ? 0 : count) + is_above;
    assign out_valid = state == RESULT;
    assign out_last = c == N_CLASSES - 1;
    assign out_class = c;
    assign out_count = count;
    assign out_answer = count > best ? c : answer; // strictly: of several, the lowest
    assign mon_valid = state == FIRE;
    assign mon_neuron = n;
    assign mon_mem = after;
    assign mon_spike = is_above;

    always @(posedge clk) begin
        is_old <= 0;
        copy_old <= copy;
        if (!is_clear) clear <= clear + 1;
        case (state)
            WAIT: if (is_clear) state <= EVENT;
            EVENT: if (in_valid)
                if (is_over) begin
                    if (in_end) state <= RESULT;
                end else if (is_later) begin
                    bin_end <= bin_end + BIN_MS;
                    first_cell <= first_cell + POOL_UNITS;
                    if (first_cell == N_CELLS - POOL_UNITS) begin
                        first_cell <= 0; clear <= 0; k <= 0; next_old <= 0; copy <= 0; n_in <= 0;
                        state <= GATHER;
                    end
                end else if (is_seen) begin
                    unit <= quotient;
                    this_cell <= 1 << (first_cell + above - quotient * POOL_UNITS);
                    state <= CELL;
                end
            CELL: begin n_new <= n_new + is_block; state <= EVENT; end
            GATHER: begin
                if (is_old) n_in <= n_in + 1;
                if (is_gathered) state <= FETCH;
                else if (next_old < n_old) begin next_old <= next_old + 1; is_old <= 1; end
                else begin k <= k + 1; next_old <= 0; copy <= copy + N_UNITS; end
            end
            FETCH: state <= LEAK;
            LEAK: begin e <= 0; state <= BIAS; end
            BIAS: begin e <= 1; state <= RESET; end // the first input is looked up, ...
            RESET: begin e <= 2; state <= n_active == 0 ? FIRE : SUM; end // ... then its weight
            SUM: begin e <= e + 1; if (e == n_active + 1) state <= FIRE; end
            FIRE: begin
                n <= n + 1;
                row <= row + (layer ? N_HIDDEN : N_INPUTS);
                if (layer) c <= c + 1; else n_spikes <= n_spikes + is_above;
                state <= LEAK;
                if (n == N_HIDDEN - 1) begin layer <= 1; row <= 0; end
                if (n == N_NEURONS - 1) begin
                    n <= 0; layer <= 0; row <= 0; c <= 0; n_spikes <= 0; n_new <= 0;
                    step <= step + 1;
                    slot <= slot == N_SLOTS - 1 ? 0 : slot + 1;
                    state <= WAIT;
                end
            end
            RESULT: if (out_ready) begin
                c <= c + 1;
                if (count > best) begin best <= count; answer <= c; end
                if (out_last) begin
                    c <= 0; best <= 0; answer <= 0; step <= 0; slot <= 0; bin_end <= BIN_MS;
                    state <= EVENT;
                end
            end
        endcase
        if (rst) begin
            state <= WAIT; clear <= 0; step <= 0; slot <= 0; bin_end <= BIN_MS; first_cell <= 0;
            n <= 0; layer <= 0; row <= 0; c <= 0; n_spikes <= 0; n_new <= 0; best <= 0; answer <= 0;
        end
    end
endmodule
