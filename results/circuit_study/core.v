// The circuit: from spikes to the spike counts of all classes. LANES neurons are summed side by
// side, group after group, and only weights of active inputs are met. What is computed, and in
// which order, stands in README.md; sizes are in network.vh, weights in the .mem files.
//
// Handshake. A transfer takes place at a rising edge of clk where valid and ready are both high;
//  until then valid and the data stay. rst is synchronous; hold it for a cycle or more.
//  in_*   a spike, in_ms (from the word's start, ascending) and in_unit (0..699); or, with in_end
//         high, the end of the word, without a spike. Spikes after the window are dropped.
//         in_ready is a register: it is high when the input register is empty. A step is computed
//         once something later is taken (in silence: a spike of a unit that is dropped), at in_end
//         all that are left.
//  out_*  after the end of a word its classes in order, out_class and out_count, the score; out_last
//         is high with the last one, when out_answer is the class of the highest. Then a word can
//         begin.
//  load_* where WRITABLE, writes a memory's word at an edge with load_valid. load_memory: 0 weight1,
//         1 weight2, 2 bias, 3 threshold, 4 leak, 5 mask (a neuron that is off never spikes). A word
//         has a number for each lane, lane 0 lowest, each as wide as the memory's (WEIGHT1_BITS, ..,
//         the mask's is 1); bits above mean nothing. load_address: an input's or hidden neuron's
//         weights follow one another, then those of the next group; of all others a word a group,
//         hidden ones first. Lanes beyond a layer's last neuron need the mask 0. Load after reset,
//         or after out_last, before a word's first spike.
//  mon_*  to look on: while mon_valid is high, neurons from mon_neuron on (hidden ones first), one a
//         lane, get the membranes mon_mem, and mon_spike tells which spike. Lanes beyond a layer's
//         last neuron mean nothing. May be left open.
// Lint (verilator -Wall): widths follow from the network's sizes, so that operands of one expression
// seldom have the same; each grows to the widest, and what is assigned is cut, as Verilog has it.
// Of the parameters, and of some words, a part is used.
/* verilator lint_off WIDTH */
/* verilator lint_off UNUSEDPARAM */
/* verilator lint_off UNUSEDSIGNAL */
`default_nettype none
module core #(
`include "network.vh"
) (
    input wire clk, rst, in_valid, in_end, out_ready, load_valid,
    input wire [15:0] in_ms, input wire [9:0] in_unit,
    input wire [2:0] load_memory, input wire [23:0] load_address,
    input wire [LANES*LOAD_BITS-1:0] load_data,
    output wire in_ready, out_valid, out_last, mon_valid,
    output wire [15:0] out_class, out_count, out_answer, mon_neuron,
    output wire [LANES-1:0] mon_spike, output wire [LANES*MEM_BITS-1:0] mon_mem
);
    localparam N_INPUTS = N_DELAYS * N_UNITS, N_ACTIVE = N_INPUTS > N_HIDDEN ? N_INPUTS : N_HIDDEN;
    localparam GROUPS1 = (N_HIDDEN + LANES - 1) / LANES; // of hidden neurons
    localparam GROUPS = GROUPS1 + (N_CLASSES + LANES - 1) / LANES;
    localparam ROWS1 = GROUPS1 * N_INPUTS, ROWS2 = (GROUPS - GROUPS1) * N_HIDDEN;
    localparam N_ROWS = ROWS1 > ROWS2 ? ROWS1 : ROWS2;
    localparam N_CELLS = POOL_UNITS * POOL_STEPS; // of a block
    localparam UB = $clog2(N_UNITS + 1), IB = $clog2(N_ACTIVE + 2), VB = $clog2(N_ACTIVE);
    localparam GB = $clog2(GROUPS + 1), NB = $clog2(N_HIDDEN + N_CLASSES + LANES + 1);
    localparam SB = $clog2(N_SLOTS + 1), TB = $clog2(N_STEPS + 1), AB = $clog2(N_ROWS + N_ACTIVE + 1);
    localparam CB = $clog2(N_CELLS + 1), LB = $clog2(LANES + 1);
    // above / POOL_UNITS is (above * RECIPROCAL) >> QUOTIENT_SHIFT for every number of 10 bits
    localparam QUOTIENT_SHIFT = 10 + $clog2(POOL_UNITS);
    // (PB has no bit to spare: yosys 0.70 leaves a multiplier's spare one without a driver)
    localparam RECIPROCAL = (1 << QUOTIENT_SHIFT) / POOL_UNITS + 1, PB = $clog2(1023 * RECIPROCAL + 1);

    reg [2:0] state;
    localparam [2:0] EVENT = 0, GATHER = 1, LEAK = 2, BIAS = 3, RESET = 4, SUM = 5, FIRE = 6,
        RESULT = 7;
    reg layer;

    // The input register: whoever sends sees a register, and nothing of what is done with the spike.
    reg held, held_end;
    reg [15:0] held_ms;
    reg [9:0] held_unit;
    assign in_ready = !held;
    // Time: the step, the millisecond at which the current bin ends, the bin's first cell.
    reg [TB-1:0] step;
    reg [16:0] bin_end;
    reg [CB-1:0] first_cell;
    reg [UB-1:0] clear; // block that is cleared
    reg is_first, is_over; // step is 0; is N_STEPS
    wire is_clear = clear == N_UNITS;
    wire is_later = held_end || held_ms >= bin_end;
    wire looks = state == EVENT && held && is_clear; // at what is in the input register
    wire takes = looks && (is_over || !is_later); // it out of there
    wire closes = looks && !is_over && is_later; // the bin
    wire computes = closes && first_cell == N_CELLS - POOL_UNITS; // the step
    always @(posedge clk) begin
        if (in_valid && in_ready) begin
            held <= 1; held_end <= in_end; held_ms <= in_ms; held_unit <= in_unit;
        end else if (takes) held <= 0;
        if (rst) held <= 0;
    end

    // Pooling, a spike every other cycle: divide; look up the block; set the cell. A block has a bit
    // for each cell, and spikes when enough are set. While neurons are computed, blocks are cleared.
    reg is_divided, is_found;
    reg [9:0] above;
    reg [PB-1:0] product;
    reg [UB-1:0] unit, n_new;
    reg [N_CELLS-1:0] block [0:N_UNITS-1], cells, this_cell;
    reg [CB-1:0] n_cells;
    wire [9:0] above_now = held_unit - FIRST_UNIT; // units below wrap, to beyond all blocks
    wire is_used = above_now < N_UNITS * POOL_UNITS;
    wire [9:0] quotient = product[PB-1:QUOTIENT_SHIFT];
    wire [CB-1:0] cell_now = first_cell + above - quotient * POOL_UNITS;
    wire [N_CELLS-1:0] cells_now = cells | this_cell;
    wire is_spike = is_found && cells_now != cells && n_cells == POOL_THRESHOLD;
    always @* begin : count_cells
        integer i;
        n_cells = 0;
        for (i = 0; i < N_CELLS; i = i + 1) n_cells = n_cells + cells_now[i];
    end
    always @(posedge clk) begin
        is_divided <= takes && !is_over && is_used && !rst;
        above <= above_now;
        product <= above_now * RECIPROCAL;
        is_found <= is_divided && !rst;
        unit <= quotient;
        this_cell <= 1 << cell_now;
        if (is_divided) cells <= block[quotient];
        if (is_found || !is_clear) block[is_found ? unit : clear] <= is_found ? cells_now : 0;
    end

    // Delays: the events of the last steps. Those that arrive now are gathered in the list.
    reg [UB-1:0] history [0:(N_SLOTS<<UB)-1], n_history [0:N_SLOTS-1], next_old, old;
    reg [TB-1:0] delay [0:N_DELAYS-1];
    initial $readmemh("delay.mem", delay);
    reg is_old;
    reg [SB-1:0] slot;
    reg [IB-1:0] k, copy, copy_old; // a copy of the input, and the first input of it
    wire [TB-1:0] late = delay[k];
    wire [SB-1:0] from = slot >= late ? slot - late : slot + N_SLOTS - late;
    wire [UB-1:0] n_old = late > step ? 0 : late == 0 ? n_new : n_history[from];
    wire is_gathered = state == GATHER && k == N_DELAYS;
    always @(posedge clk) begin
        if (state == GATHER) old <= history[{from, next_old}];
        if (is_spike) history[{slot, n_new}] <= unit;
        if (state == GATHER) n_history[slot] <= n_new;
    end

    // The list: inputs that are active now, then hidden neurons that spike now.
    reg [VB-1:0] list [0:(2<<VB)-1], active;
    reg [IB-1:0] n_in, n_spikes, e;
    reg [NB-1:0] n, n_fired; // lane 0's number in its layer; in the group before
    reg [LANES-1:0] fired; // hidden neurons of that group that are still to be listed
    reg [LB-1:0] first_fired;
    wire [LANES-1:0] fired_left = fired & (fired - 1'b1);
    wire lists = state == LEAK && fired != 0;
    wire [IB-1:0] n_active = layer ? n_spikes : n_in;
    always @* begin : next_fired
        integer i;
        first_fired = 0;
        for (i = LANES - 1; i >= 0; i = i - 1) if (fired[i]) first_fired = i;
    end
    always @(posedge clk) begin
        if (state == BIAS || state == RESET || state == SUM) active <= list[{layer, e[VB-1:0]}];
        if (is_old) list[{1'b0, n_in[VB-1:0]}] <= copy_old + old;
        else if (lists) list[{1'b1, n_spikes[VB-1:0]}] <= n_fired + first_fired;
    end

    // Weights: of a group's first input, second, ... then of the next group. One address serves to
    // read and to write, as memories with a single port want it.
    reg [LANES*WEIGHT1_BITS-1:0] weight1 [0:ROWS1-1], w1;
    reg [LANES*WEIGHT2_BITS-1:0] weight2 [0:ROWS2-1], w2;
    reg [AB-1:0] row; // where the weights of this group begin
    wire loads = WRITABLE != 0 && load_valid, reads = state == RESET || state == SUM;
    wire [AB-1:0] weight_at = loads ? load_address : row + active;
    always @(posedge clk) begin
        if (loads && load_memory == 0) weight1[weight_at] <= load_data;
        else if (reads && !layer) w1 <= weight1[weight_at];
    end
    always @(posedge clk) begin
        if (loads && load_memory == 1) weight2[weight_at] <= load_data;
        else if (reads && layer) w2 <= weight2[weight_at];
    end
    // What each neuron has of its own, and its state: a word a group, read before it is computed.
    reg [LANES*BIAS_BITS-1:0] bias [0:GROUPS-1], bias_g;
    reg [LANES*THRESHOLD_BITS-1:0] threshold [0:GROUPS-1], threshold_g;
    reg [LANES*LEAK_BITS-1:0] leak [0:GROUPS-1], leak_g;
    reg [LANES-1:0] mask [0:GROUPS-1], mask_g;
    reg [LANES*MEM_BITS-1:0] membrane [0:GROUPS-1], stored;
    reg [GB-1:0] g;
    wire [GB-1:0] g_next = state == FIRE ? g + 1'b1 : g;
    wire fetches = is_gathered || state == FIRE;
    wire [LANES*MEM_BITS-1:0] after;
    wire [LANES-1:0] is_above;
    always @(posedge clk) begin
        if (fetches) begin
            bias_g <= bias[g_next];
            threshold_g <= threshold[g_next];
            leak_g <= leak[g_next];
            mask_g <= mask[g_next];
            stored <= membrane[g_next];
        end
        if (state == FIRE) membrane[g] <= after;
        if (loads && load_memory == 2) bias[load_address] <= load_data;
        if (loads && load_memory == 3) threshold[load_address] <= load_data;
        if (loads && load_memory == 4) leak[load_address] <= load_data;
        if (loads && load_memory == 5) mask[load_address] <= load_data;
    end
    generate if (INITIAL != 0) begin : rom
        initial begin
            $readmemh("weight1.mem", weight1); $readmemh("weight2.mem", weight2);
            $readmemh("bias.mem", bias); $readmemh("threshold.mem", threshold);
            $readmemh("leak.mem", leak); $readmemh("mask.mem", mask);
        end
    end endgenerate

    // A lane: an adder, and what it adds: x - y is x + ~y + 1.
    genvar l;
    generate for (l = 0; l < LANES; l = l + 1) begin : lane
        wire signed [WEIGHT1_BITS-1:0] first = w1[l*WEIGHT1_BITS +: WEIGHT1_BITS];
        wire signed [WEIGHT2_BITS-1:0] second = w2[l*WEIGHT2_BITS +: WEIGHT2_BITS];
        wire signed [BIAS_BITS-1:0] bias_n = bias_g[l*BIAS_BITS +: BIAS_BITS];
        wire [THRESHOLD_BITS-1:0] threshold_n = threshold_g[l*THRESHOLD_BITS +: THRESHOLD_BITS];
        wire [LEAK_BITS-1:0] leak_n = leak_g[l*LEAK_BITS +: LEAK_BITS];
        wire signed [MEM_BITS-1:0] old_mem =
            is_first ? 0 : stored[l*MEM_BITS +: MEM_BITS]; // every word begins at 0
        reg signed [MEM_BITS+LEAK_BITS:0] scaled; // a register after the multiplier
        reg signed [SUM_BITS-1:0] sum, a, b;
        reg carry, was_above;
        wire [SUM_BITS-MEM_BITS:0] top = sum[SUM_BITS-1:MEM_BITS-1]; // not all the same: saturates
        wire signed [MEM_BITS-1:0] limit = {sum[SUM_BITS-1], {(MEM_BITS-1){!sum[SUM_BITS-1]}}};
        wire signed [MEM_BITS-1:0] new_mem = &top || ~|top ? sum[MEM_BITS-1:0] : limit;
        wire signed [MEM_BITS-1:0] compared = state == FIRE ? new_mem : old_mem;
        wire above_threshold = mask_g[l] && compared > $signed({1'b0, threshold_n});
        always @* begin
            a = sum; b = 0; carry = 0;
            case (state)
                LEAK: if (LEAK_FACTOR == 0) begin
                    a = old_mem; b = ~(old_mem >>> leak_n); carry = 1;
                end
                BIAS: begin
                    if (LEAK_FACTOR != 0) a = scaled >>> FACTOR_BITS;
                    b = bias_n;
                end
                RESET: if (was_above) begin b = ~$signed({1'b0, threshold_n}); carry = 1; end
                SUM: if (layer) b = second <<< SHIFT2; else b = first <<< SHIFT1;
                default: ;
            endcase
        end
        always @(posedge clk) begin
            if (state == LEAK) was_above <= above_threshold;
            if (state == LEAK) scaled <= old_mem * $signed({1'b0, leak_n});
            if (state == LEAK || state == BIAS || state == RESET || state == SUM)
                sum <= a + b + $signed({1'b0, carry});
        end
        assign after[l*MEM_BITS +: MEM_BITS] = new_mem;
        assign is_above[l] = above_threshold;
    end endgenerate
    assign mon_valid = state == FIRE, mon_neuron = (layer ? N_HIDDEN : 0) + n;
    assign mon_mem = after, mon_spike = is_above;

    // The counts of the classes, and the first of the largest. A spike is counted a cycle after it,
    // so that comparing and adding aren't one path.
    reg [LANES*TB-1:0] counts [0:GROUPS-GROUPS1-1], counts_now;
    reg adds, adds_first;
    reg [LANES-1:0] added;
    reg [GB-1:0] count_group;
    reg [LB-1:0] count_lane;
    reg [NB-1:0] c, answer; // classes
    reg [TB-1:0] best;
    wire [LANES*TB-1:0] counts_g = counts[count_group];
    wire [TB-1:0] count = counts_g[count_lane*TB +: TB];
    always @* begin : add_spikes
        integer i;
        for (i = 0; i < LANES; i = i + 1)
            counts_now[i*TB +: TB] = (adds_first ? 0 : counts_g[i*TB +: TB]) + added[i];
    end
    always @(posedge clk) begin
        adds <= state == FIRE && layer && !rst;
        adds_first <= is_first;
        added <= is_above;
        if (adds) counts[count_group] <= counts_now;
    end
    assign out_last = c == N_CLASSES - 1, out_class = c;
    assign out_valid = state == RESULT;
    assign out_count = count, out_answer = count > best ? c : answer;

    always @(posedge clk) begin
        is_old <= 0;
        copy_old <= copy;
        n_new <= n_new + is_spike;
        if (!is_clear) clear <= clear + 1'b1;
        if (adds) count_group <= count_group == GROUPS - GROUPS1 - 1 ? 0 : count_group + 1'b1;
        case (state)
            EVENT: begin
                if (takes && is_over && held_end) state <= RESULT;
                if (closes) begin
                    bin_end <= bin_end + BIN_MS;
                    first_cell <= first_cell + POOL_UNITS;
                end
                if (computes) begin
                    first_cell <= 0; clear <= 0; k <= 0; next_old <= 0; copy <= 0; n_in <= 0;
                    state <= GATHER;
                end
            end
            GATHER: begin
                n_in <= n_in + is_old;
                if (is_gathered) state <= LEAK;
                else if (next_old < n_old) begin next_old <= next_old + 1'b1; is_old <= 1; end
                else begin k <= k + 1'b1; next_old <= 0; copy <= copy + N_UNITS; end
            end
            LEAK: begin // which waits until the spikes of the group before are listed
                e <= 0; fired <= fired_left; n_spikes <= n_spikes + lists;
                if (fired_left == 0) state <= BIAS;
            end
            BIAS: begin e <= 1; state <= RESET; end
            RESET: begin e <= 2; state <= n_active == 0 ? FIRE : SUM; end // list, weight, sum
            SUM: begin e <= e + 1'b1; if (e == n_active + 1'b1) state <= FIRE; end
            FIRE: begin
                fired <= layer ? 0 : is_above;
                n_fired <= n;
                g <= g + 1'b1;
                n <= n + LANES;
                row <= row + (layer ? N_HIDDEN : N_INPUTS);
                if (g == GROUPS1 - 1) begin layer <= 1; n <= 0; row <= 0; end
                state <= LEAK;
                if (g == GROUPS - 1) begin
                    g <= 0; n <= 0; layer <= 0; row <= 0;
                    n_spikes <= 0; n_new <= 0;
                    slot <= slot == N_SLOTS - 1 ? 0 : slot + 1'b1;
                    step <= step + 1'b1;
                    is_first <= 0; is_over <= step == N_STEPS - 1;
                    state <= EVENT;
                end
            end
            RESULT: if (out_valid && out_ready) begin
                c <= c + 1'b1;
                count_lane <= count_lane + 1'b1;
                if (count_lane == LANES - 1) begin
                    count_lane <= 0; count_group <= count_group + 1'b1;
                end
                if (count > best) begin best <= count; answer <= c; end
                if (out_last) begin
                    c <= 0; best <= 0; answer <= 0; slot <= 0; step <= 0; bin_end <= BIN_MS;
                    is_first <= 1; is_over <= 0;
                    count_lane <= 0; count_group <= 0;
                    state <= EVENT;
                end
            end
        endcase
        if (rst) begin
            state <= EVENT; clear <= 0; step <= 0; slot <= 0; bin_end <= BIN_MS; first_cell <= 0;
            is_first <= 1; is_over <= 0; fired <= 0;
            g <= 0; n <= 0; layer <= 0; row <= 0; n_spikes <= 0; n_new <= 0;
            c <= 0; count_lane <= 0; count_group <= 0; best <= 0; answer <= 0;
        end
    end
endmodule
/* verilator lint_on WIDTH */
/* verilator lint_on UNUSEDPARAM */
/* verilator lint_on UNUSEDSIGNAL */
`default_nettype wire
