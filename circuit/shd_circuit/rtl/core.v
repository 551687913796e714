// The circuit: from spikes to the scores of all classes. LANES neurons are summed side by side,
// group after group, place after place, and only active inputs are met. What is computed, and in
// which order, stands in README.md; sizes are in network.vh, weights in the .mem files. LANES
// divides N_AT_PLACE, or there is one place.
//
// Handshake. A transfer takes place at a rising edge of clk where valid and ready are both high;
//  until then valid and the data stay. rst is synchronous; hold it for a cycle or more.
//  in_*   a spike, in_ms (from the word's start, ascending) and in_unit (0..699); or, with in_end
//         high, the end of the word, without a spike. Spikes after the window are dropped.
//         in_ready is a register: it is high when the input register is empty. A step is computed
//         once something later is taken (in silence: a spike of a unit that is dropped), at in_end
//         all that are left.
//  out_*  after the end of a word its classes in order, out_class and out_score; out_last
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
    output wire [15:0] out_class, out_answer, mon_neuron, output wire signed [31:0] out_score,
    output wire [LANES-1:0] mon_spike, output wire [LANES*MEM_BITS-1:0] mon_mem
);
    localparam N_INPUTS = N_DELAYS * N_UNITS, N_ACTIVE = N_INPUTS > N_HIDDEN ? N_INPUTS : N_HIDDEN;
    localparam GROUPS1 = (N_HIDDEN + LANES - 1) / LANES; // of hidden neurons
    localparam GROUPS = GROUPS1 + (N_CLASSES + LANES - 1) / LANES;
    localparam GROUPS_AT_PLACE = (N_AT_PLACE + LANES - 1) / LANES, N_WEIGHTS = N_DELAYS * KERNEL;
    localparam ROWS1 = GROUPS_AT_PLACE * N_WEIGHTS, ROWS2 = (GROUPS - GROUPS1) * N_HIDDEN;
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
    generate if (N_PLACES > 1 && N_AT_PLACE % LANES != 0) begin : refused
        LANES_must_divide_N_AT_PLACE stop(); // no such module: tools stop here
    end endgenerate

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
    reg is_event; // a cycle later; GATHER, which may have begun, has read nothing by then
    reg [UB-1:0] event_unit;
    always @(posedge clk) begin is_event <= is_spike && !rst; event_unit <= unit; end
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
    // How many events a delay has is looked up when those of the one before are gathered.
    reg [UB-1:0] n_before;
    reg [SB-1:0] from_old;
    reg is_none, is_now; // the word is younger than the delay; the delay is 0
    wire [UB-1:0] n_old = is_none ? 0 : is_now ? n_new : n_before;
    wire is_next = state == GATHER && next_old >= n_old; // delay
    wire is_gathered = state == GATHER && k == N_DELAYS + 1;
    // One address serves to read and to write.
    wire [SB+UB-1:0] history_at = is_event ? {slot, n_new} : {from_old, next_old};
    always @(posedge clk) begin
        if (is_event) history[history_at] <= event_unit;
        else if (state == GATHER) old <= history[history_at];
        if (state == GATHER) n_history[slot] <= n_new;
        if (is_next) n_before <= n_history[from];
    end

    // The list: inputs that are active now, then hidden neurons that spike now.
    // An input's entry is the address of its weights for place 0, and, where windows end within a
    // bin, its block. Inputs lie in bins, of the blocks between one place and the next, so that a
    // place's neurons meet their own SPAN bins alone. Bins begin at the first entry, hidden neurons
    // are listed from the last one back: one memory holds both.
    localparam BIN = N_PLACES > 1 ? STRIDE : N_UNITS, BIN_INPUTS = BIN * N_DELAYS;
    localparam N_BINS = (N_UNITS + BIN - 1) / BIN, SPAN = (KERNEL + BIN - 1) / BIN;
    localparam N_INDICES = (N_DELAYS - 1) * KERNEL + N_UNITS;
    localparam QB = $clog2(N_BINS * BIN_INPUTS + N_HIDDEN), BB = $clog2(N_BINS + 1);
    localparam EB = $clog2(BIN_INPUTS + 1);
    localparam WB = $clog2(N_INDICES > N_HIDDEN ? N_INDICES : N_HIDDEN), IS_EVEN = KERNEL % BIN == 0;
    // block_at / BIN, as above / POOL_UNITS is computed
    localparam BIN_SHIFT = UB + $clog2(BIN), BIN_RECIPROCAL = ((1 << BIN_SHIFT) + BIN - 1) / BIN;
    reg [WB+(IS_EVEN?0:UB)-1:0] list [0:(1<<QB)-1], active;
    wire [WB-1:0] neuron = n_fired + first_fired;
    reg is_entry; // an input, a cycle after it was looked up
    reg [WB-1:0] weight_index;
    reg [UB-1:0] block_at;
    always @(posedge clk) begin is_entry <= is_old; weight_index <= copy_old + old; block_at <= old; end
    reg [EB-1:0] n_in_bin [0:N_BINS-1];
    reg [N_BINS-1:0] has_input; // bins; n_in_bin is valid only where this is 1
    reg [SPAN-1:0] bins_left; // of this group, still to be read; of classes bit 0 is all hidden spikes
    reg [BB-1:0] first_bin, bin_in_span; // of this place; the next of bins_left
    wire [$clog2(((1<<UB)-1)*BIN_RECIPROCAL+1)-1:0] bin_product = block_at * BIN_RECIPROCAL;
    wire [BB-1:0] bin_at = N_BINS > 1 ? bin_product >> BIN_SHIFT : 0;
    wire [BB-1:0] bin = N_BINS > 1 ? first_bin + bin_in_span : 0;
    wire [EB-1:0] n_at = has_input[bin_at] ? n_in_bin[bin_at] : 0;
    always @* begin : next_bin
        integer i;
        bin_in_span = 0;
        for (i = SPAN - 1; i >= 0; i = i - 1) if (bins_left[i]) bin_in_span = i;
    end
    always @(posedge clk) if (is_entry) n_in_bin[bin_at] <= n_at + 1'b1;
    reg [IB-1:0] n_spikes, e;
    reg is_listed; // what is read from the list
    wire [QB-1:0] read_at = layer ? ~e : bin * BIN_INPUTS + e;
    wire [QB-1:0] write_at = is_entry ? bin_at * BIN_INPUTS + n_at : ~n_spikes;
    reg [NB-1:0] n, n_fired; // lane 0's number in its layer; in the group before
    reg [LANES-1:0] fired; // hidden neurons of that group that are still to be listed
    reg [LB-1:0] first_fired;
    wire [LANES-1:0] fired_left = fired & (fired - 1'b1);
    wire lists = state == LEAK && fired != 0;
    wire [IB-1:0] n_listed = layer ? n_spikes : n_in_bin[bin];
    wire reads_list = state == BIAS || state == RESET || state == SUM;
    always @* begin : next_fired
        integer i;
        first_fired = 0;
        for (i = LANES - 1; i >= 0; i = i - 1) if (fired[i]) first_fired = i;
    end
    always @(posedge clk) begin
        if (reads_list) active <= list[read_at];
        if (is_entry) list[write_at] <= {block_at, weight_index};
        else if (lists) list[write_at] <= neuron;
    end

    // Weights: of a group's first input, second, ... then of the next group. One address serves to
    // read and to write, as memories with a single port want it.
    // What holds nothing at power-up may lie in a UP5K's large memories, if yosys is told; no other
    // tool knows "huge".
    localparam STYLE = INITIAL != 0 ? "auto" : "huge";
    reg [LANES*WEIGHT1_BITS-1:0] weight1 [0:ROWS1-1];
    (* ram_style = STYLE *) reg [LANES*WEIGHT2_BITS-1:0] weight2 [0:ROWS2-1];
    reg [LANES*WEIGHT1_BITS-1:0] w1;
    reg [LANES*WEIGHT2_BITS-1:0] w2;
    reg [AB-1:0] row; // where the weights of this group begin, less first_seen
    reg [UB-1:0] first_seen; // the first block that neurons of this place see
    reg [GB-1:0] at_place; // groups of this place that are done
    reg is_seen;
    wire loads = WRITABLE != 0 && load_valid, reads = state == RESET || state == SUM;
    wire [AB-1:0] weight_at = loads ? load_address : row + active[WB-1:0];
    wire [UB-1:0] block_seen = (active >> WB) - first_seen;
    always @(posedge clk) is_seen <= layer || IS_EVEN || block_seen < KERNEL;
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
                LEAK: if (LEAK_SHIFT != 0) begin
                    a = old_mem; b = ~(old_mem >>> leak_n); carry = 1;
                end
                BIAS: begin
                    if (LEAK_SHIFT == 0) a = scaled >>> FACTOR_BITS;
                    b = bias_n;
                end
                RESET: if (was_above) begin b = ~$signed({1'b0, threshold_n}); carry = 1; end
                SUM: if (layer) b = second <<< SHIFT2; else if (is_seen) b = first <<< SHIFT1;
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

    // The scores of the classes, and the first of the largest. They are added up a cycle after the
    // membranes are there, so that comparing and adding aren't one path.
    localparam SW = SCORE_BITS;
    reg [LANES*SW-1:0] scores [0:GROUPS-GROUPS1-1], scores_now;
    reg [LANES*MEM_BITS-1:0] added_mem;
    reg signed [SW-1:0] term;
    reg adds, adds_first;
    reg [LANES-1:0] added;
    reg [GB-1:0] score_group;
    reg [LB-1:0] score_lane;
    reg [NB-1:0] c, answer; // classes
    reg signed [SW-1:0] best, score;
    reg has_score; // this class's
    wire [LANES*SW-1:0] scores_g = scores[score_group];
    always @(posedge clk) begin
        score <= scores_g[score_lane*SW +: SW];
        has_score <= state == RESULT && !(out_valid && out_ready);
    end
    wire is_best = c == 0 || score > best;
    always @* begin : add_scores
        integer i;
        for (i = 0; i < LANES; i = i + 1) begin
            term = $signed({1'b0, added[i]});
            if (IS_MEMBRANE != 0) term = $signed(added_mem[i*MEM_BITS +: MEM_BITS]);
            scores_now[i*SW +: SW] = (adds_first ? 0 : scores_g[i*SW +: SW]) + term;
        end
    end
    always @(posedge clk) begin
        adds <= state == FIRE && layer && !rst;
        adds_first <= is_first;
        added <= is_above;
        if (adds) scores[score_group] <= scores_now;
        added_mem <= after;
    end
    assign out_last = c == N_CLASSES - 1, out_class = c;
    assign out_valid = state == RESULT && has_score;
    assign out_score = score, out_answer = is_best ? c : answer;

    always @(posedge clk) begin
        is_old <= 0;
        copy_old <= copy;
        is_listed <= reads_list && bins_left != 0;
        if (reads_list && bins_left != 0) begin
            e <= e + 1'b1;
            if (e + 1'b1 == n_listed) begin e <= 0; bins_left <= bins_left & (bins_left - 1'b1); end
        end
        n_new <= n_new + is_event;
        if (!is_clear) clear <= clear + 1'b1;
        if (adds) score_group <= score_group == GROUPS - GROUPS1 - 1 ? 0 : score_group + 1'b1;
        case (state)
            EVENT: begin
                if (takes && is_over && held_end) state <= RESULT;
                if (closes) begin
                    bin_end <= bin_end + BIN_MS;
                    first_cell <= first_cell + POOL_UNITS;
                end
                if (computes) begin
                    first_cell <= 0; clear <= 0; k <= 0; next_old <= 0; has_input <= 0;
                    is_none <= 1; copy <= 0 - KERNEL;
                    state <= GATHER;
                end
            end
            GATHER: begin
                if (is_entry) has_input[bin_at] <= 1;
                if (is_gathered) state <= LEAK;
                else if (is_next) begin
                    k <= k + 1'b1; next_old <= 0; copy <= copy + KERNEL; from_old <= from;
                    is_none <= late > step; is_now <= late == 0;
                end else begin next_old <= next_old + 1'b1; is_old <= 1; end
            end
            LEAK: begin // which waits until the spikes of the group before are listed
                e <= 0; fired <= fired_left; n_spikes <= n_spikes + lists;
                bins_left <= layer ? n_spikes != 0 || lists : has_input >> first_bin;
                if (fired_left == 0) state <= BIAS;
            end
            BIAS: state <= RESET;
            RESET: state <= is_listed ? SUM : FIRE; // list, weight, sum
            SUM: if (!is_listed) state <= FIRE;
            FIRE: begin
                fired <= layer ? 0 : is_above;
                n_fired <= n;
                g <= g + 1'b1;
                n <= n + LANES;
                row <= row + (layer ? N_HIDDEN : N_WEIGHTS);
                at_place <= at_place + 1'b1;
                if (!layer && at_place == GROUPS_AT_PLACE - 1) begin
                    at_place <= 0; first_bin <= first_bin + 1'b1;
                    first_seen <= first_seen + STRIDE; row <= 0 - first_seen - STRIDE;
                end
                if (g == GROUPS1 - 1) begin layer <= 1; n <= 0; row <= 0; end
                state <= LEAK;
                if (g == GROUPS - 1) begin
                    g <= 0; n <= 0; layer <= 0; row <= 0;
                    n_spikes <= 0; n_new <= 0;
                    at_place <= 0; first_bin <= 0; first_seen <= 0;
                    slot <= slot == N_SLOTS - 1 ? 0 : slot + 1'b1;
                    step <= step + 1'b1;
                    is_first <= 0; is_over <= step == N_STEPS - 1;
                    state <= EVENT;
                end
            end
            RESULT: if (out_valid && out_ready) begin
                c <= c + 1'b1;
                score_lane <= score_lane + 1'b1;
                if (score_lane == LANES - 1) begin
                    score_lane <= 0; score_group <= score_group + 1'b1;
                end
                if (is_best) begin best <= score; answer <= c; end
                if (out_last) begin
                    c <= 0; best <= 0; answer <= 0; slot <= 0; step <= 0; bin_end <= BIN_MS;
                    is_first <= 1; is_over <= 0;
                    score_lane <= 0; score_group <= 0;
                    state <= EVENT;
                end
            end
        endcase
        if (rst) begin
            state <= EVENT; clear <= 0; step <= 0; slot <= 0; bin_end <= BIN_MS; first_cell <= 0;
            is_first <= 1; is_over <= 0; fired <= 0;
            g <= 0; n <= 0; layer <= 0; row <= 0; n_spikes <= 0; n_new <= 0;
            at_place <= 0; first_bin <= 0; first_seen <= 0;
            c <= 0; score_lane <= 0; score_group <= 0; best <= 0; answer <= 0;
        end
    end
endmodule
/* verilator lint_on WIDTH */
/* verilator lint_on UNUSEDPARAM */
/* verilator lint_on UNUSEDSIGNAL */
`default_nettype wire
