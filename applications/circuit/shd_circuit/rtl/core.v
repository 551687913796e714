// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// The circuit: from spikes to the scores of all classes. LANES neurons are summed in parallel, group
// after group, window after window, and only active inputs are read. README.md defines what is
// computed. HARDWARE.md has the block diagram, the timing diagrams, the table of parameters and
// ports, and the memory maps. network.vh has the sizes, the .mem files have the weights.
//
// Handshake. A transfer takes place at a rising edge of clk where valid and ready are both high;
//  until then valid and the data stay. rst is synchronous; hold it for a cycle or more.
//  in_*   a spike, in_ms (from the utterance's start, ascending) and in_unit (0..699); or, with
//         in_end high, the end of the utterance, without a spike. Spikes after the window are
//         dropped. in_ready is a register: it is high when the input register is empty. A step is
//         computed once something later is taken (in silence: a spike of a unit that is dropped), at
//         in_end all that are left.
//  out_*  after the end of an utterance its classes in order, out_class and out_score; out_last
//         is high with the last one, when out_answer is the class of the highest score. Then the
//         next utterance can begin.
//  load_* the port of the memories, for use after reset, or after out_last and before the first
//         spike. At an edge with load_valid, if WRITABLE, load_data is written to load_address
//         of load_memory: 0 weight1, 1 weight2, 2 bias, 3 threshold, 4 leak, 5 mask. At an edge with
//         read_valid it is read instead; read_data has it from that edge on, until the next read or
//         until load_memory changes. Lane l has bits l B to l B + B - 1, where B is the memory's own
//         width; bits above are ignored, and are read as 0. HARDWARE.md has the addresses.
//         load_refused is high with load_valid if the core isn't WRITABLE, or no memory has the
//         address: then nothing is written.
//  mon_*  for debugging: while mon_valid is high, neurons from mon_neuron on (hidden ones first), one
//         for each lane, get the membranes mon_mem, and mon_spike says which spike. Ignore lanes
//         beyond a layer's last neuron. May be left open.
//
// Names. A *unit* is a channel of the cochlea before pooling, a *block* what pooling makes of units,
//  an *input* a block with a delay. A *group* is the LANES neurons that are summed in parallel, a
//  *window* the blocks that share weights with others; without shared weights there is one window.
//  A *bucket* is a part of the list of active inputs: those between one window's start and the
//  next's. A *slot* holds the events of an earlier step. n_x is a number of x, is_x a yes or no.
`default_nettype none
module core #(
`include "network.vh"
) (
    input wire clk,
    input wire rst,
    // spikes
    input wire in_valid,
    output wire in_ready,
    input wire in_end,
    input wire [15:0] in_ms,
    input wire [9:0] in_unit,
    // scores
    output wire out_valid,
    input wire out_ready,
    output wire out_last,
    output wire [15:0] out_class,
    output wire signed [31:0] out_score,
    output wire [15:0] out_answer,
    // memories
    input wire load_valid,
    input wire read_valid,
    input wire [2:0] load_memory,
    input wire [23:0] load_address,
    input wire [LANES*LOAD_BITS-1:0] load_data,
    output reg [LANES*LOAD_BITS-1:0] read_data,
    output wire load_refused,
    // for debugging
    output wire mon_valid,
    output wire [15:0] mon_neuron,
    output wire [LANES-1:0] mon_spike,
    output wire [LANES*MEM_BITS-1:0] mon_mem
);
    // Parameters that can't work stop elaboration here: no tool finds a module of such a name.
    generate
        if (N_WINDOWS > 1 && NEURONS_PER_WINDOW % LANES != 0) begin : refuse_lanes
            LANES_must_divide_NEURONS_PER_WINDOW stop();
        end
        if (INITIAL != 0 && LANES != MEM_LANES) begin : refuse_mem_files
            LANES_differs_from_MEM_LANES_of_the_mem_files stop();
        end
        if (INITIAL == 0 && WRITABLE == 0) begin : refuse_empty
            INITIAL_0_wants_WRITABLE_1 stop();
        end
        if (N_HIDDEN != N_WINDOWS * NEURONS_PER_WINDOW) begin : refuse_hidden
            N_HIDDEN_differs_from_N_WINDOWS_times_NEURONS_PER_WINDOW stop();
        end
        if (WEIGHT1_BITS < 2 || WEIGHT2_BITS < 2 || BIAS_BITS < 2) begin : refuse_bits
            WEIGHT1_BITS_WEIGHT2_BITS_and_BIAS_BITS_must_be_2_or_more stop();
        end
        if (RAM_STYLE != "auto" && RAM_STYLE != "block" && RAM_STYLE != "distributed"
            && RAM_STYLE != "huge" && RAM_STYLE != "registers" && RAM_STYLE != "ultra")
        begin : refuse_ram_style
            RAM_STYLE_must_be_auto_block_distributed_huge_registers_or_ultra stop();
        end
    endgenerate

    localparam N_INPUTS = N_DELAYS * N_UNITS;
    localparam N_ACTIVE = N_INPUTS > N_HIDDEN ? N_INPUTS : N_HIDDEN;
    localparam HIDDEN_GROUPS = (N_HIDDEN + LANES - 1) / LANES;
    localparam CLASS_GROUPS = (N_CLASSES + LANES - 1) / LANES;
    localparam GROUPS = HIDDEN_GROUPS + CLASS_GROUPS;
    localparam WINDOW_GROUPS = (NEURONS_PER_WINDOW + LANES - 1) / LANES; // groups of a window
    localparam N_WEIGHTS = N_DELAYS * KERNEL; // of a hidden neuron
    localparam ROWS1 = WINDOW_GROUPS * N_WEIGHTS;
    localparam ROWS2 = CLASS_GROUPS * N_HIDDEN;
    localparam N_ROWS = ROWS1 > ROWS2 ? ROWS1 : ROWS2;
    localparam N_CELLS = POOL_UNITS * POOL_STEPS; // of a block
    // bits of a counter of ...
    localparam UNIT_BITS = $clog2(N_UNITS + 1);
    localparam INPUT_BITS = $clog2(N_ACTIVE + 2);
    localparam GROUP_BITS = $clog2(GROUPS + 1);
    localparam NEURON_BITS = $clog2(N_HIDDEN + N_CLASSES + LANES + 1);
    localparam SLOT_BITS = $clog2(N_SLOTS + 1);
    localparam STEP_BITS = $clog2(N_STEPS + 1);
    localparam ROW_BITS = $clog2(N_ROWS + N_ACTIVE + 1);
    localparam CELL_BITS = $clog2(N_CELLS + 1);
    localparam LANE_BITS = $clog2(LANES + 1);
    // above / POOL_UNITS is (above * RECIPROCAL) >> QUOTIENT_SHIFT for every number of 10 bits
    localparam QUOTIENT_SHIFT = 10 + $clog2(POOL_UNITS);
    localparam RECIPROCAL = (1 << QUOTIENT_SHIFT) / POOL_UNITS + 1;
    // (no bit to spare: yosys 0.70 leaves a multiplier's spare one without a driver)
    localparam PRODUCT_BITS = $clog2(1023 * RECIPROCAL + 1);

    reg [2:0] state;
    localparam [2:0] EVENT = 0; // spikes are taken
    localparam [2:0] GATHER = 1; // events that arrive in this step are listed
    localparam [2:0] LEAK = 2; // a group's membranes leak
    localparam [2:0] BIAS = 3; // biases are added
    localparam [2:0] RESET = 4; // thresholds are subtracted
    localparam [2:0] SUM = 5; // weights are added
    localparam [2:0] FIRE = 6; // membranes are saturated, compared and written
    localparam [2:0] RESULT = 7; // scores are sent
    reg is_output; // the group is one of classes, and not of hidden neurons
    wire ends_step; // the step's last group fires
    wire ends_answer; // the last score of an utterance is sent

    // --- the input register --------------------------------------------------------------------
    // Whoever sends sees a register, and nothing of what is done with the spike.
    reg held;
    reg held_end;
    reg [15:0] held_ms;
    reg [9:0] held_unit;
    assign in_ready = !held;
    reg [STEP_BITS-1:0] step;
    reg [16:0] bin_end; // the millisecond at which the current bin ends
    reg [CELL_BITS-1:0] first_cell; // of the current bin, in each block
    reg [UNIT_BITS-1:0] clear_block; // the next block whose cells are cleared
    reg is_first; // step is 0
    reg is_over; // step is N_STEPS
    wire is_clear = clear_block == N_UNITS;
    wire is_later = held_end || held_ms >= bin_end;
    // What the input register holds is looked at in each cycle. It closes bins until its own bin is
    // the current one. Then it is taken out of the register.
    wire looks = state == EVENT && held && is_clear;
    wire takes_input = looks && (is_over || !is_later);
    wire closes_bin = looks && !is_over && is_later;
    wire starts_step = closes_bin && first_cell == N_CELLS - POOL_UNITS;
    always @(posedge clk) begin
        if (in_valid && in_ready) begin
            held <= 1;
            held_end <= in_end;
            held_ms <= in_ms;
            held_unit <= in_unit;
        end else if (takes_input) held <= 0;
        if (rst) held <= 0;
    end

    // --- time: steps and their bins ------------------------------------------------------------
    reg [SLOT_BITS-1:0] slot; // of this step
    task begin_time; begin
        step <= 0;
        slot <= 0;
        bin_end <= BIN_MS;
        is_first <= 1;
        is_over <= 0;
    end endtask
    always @(posedge clk) begin
        if (closes_bin) begin
            bin_end <= bin_end + BIN_MS;
            first_cell <= starts_step ? 0 : first_cell + POOL_UNITS;
        end
        if (ends_step) begin
            slot <= slot == N_SLOTS - 1 ? 0 : slot + 1'b1;
            step <= step + 1'b1;
            is_first <= 0;
            is_over <= step == N_STEPS - 1;
        end
        if (rst || ends_answer) begin_time;
        if (rst) first_cell <= 0;
    end

    // --- pooling -------------------------------------------------------------------------------
    // A spike every other cycle: divide; look up the block; set the cell. A block has a bit for each
    // cell, and is an event when enough are set. While neurons are computed, blocks are cleared.
    reg is_divided;
    reg is_found;
    reg [9:0] above; // units from FIRST_UNIT to the spike's
    reg [PRODUCT_BITS-1:0] product;
    reg [UNIT_BITS-1:0] block;
    reg [UNIT_BITS-1:0] n_events; // of this step
    reg [N_CELLS-1:0] cells [0:N_UNITS-1];
    reg [N_CELLS-1:0] old_cells;
    reg [N_CELLS-1:0] new_cell;
    reg [CELL_BITS-1:0] n_cells;
    wire [9:0] above_now = held_unit - FIRST_UNIT; // units below wrap, to beyond all blocks
    wire is_used = above_now < N_UNITS * POOL_UNITS;
    wire [9:0] quotient = product[PRODUCT_BITS-1:QUOTIENT_SHIFT];
    wire [CELL_BITS-1:0] cell_now = first_cell + above - quotient * POOL_UNITS;
    wire [N_CELLS-1:0] new_cells = old_cells | new_cell;
    wire is_spike = is_found && new_cells != old_cells && n_cells == POOL_THRESHOLD;
    reg is_event; // a cycle later; GATHER, which may have begun, has read nothing by then
    reg [UNIT_BITS-1:0] event_block;
    always @(posedge clk) begin
        is_event <= is_spike && !rst;
        event_block <= block;
        if (rst || ends_step) n_events <= 0;
        else n_events <= n_events + is_event;
    end
    always @(posedge clk) begin
        if (rst || starts_step) clear_block <= 0;
        else if (!is_clear) clear_block <= clear_block + 1'b1;
    end
    always @* begin : count_cells
        integer i;
        n_cells = 0;
        for (i = 0; i < N_CELLS; i = i + 1) n_cells = n_cells + new_cells[i];
    end
    always @(posedge clk) begin
        is_divided <= takes_input && !is_over && is_used && !rst;
        above <= above_now;
        product <= above_now * RECIPROCAL;
        is_found <= is_divided && !rst;
        block <= quotient;
        new_cell <= 1 << cell_now;
        if (is_divided) old_cells <= cells[quotient];
        if (is_found || !is_clear) cells[is_found ? block : clear_block] <= is_found ? new_cells : 0;
    end

    // --- delays --------------------------------------------------------------------------------
    // The events of the last steps. Those that arrive in this step are gathered in the list.
    reg [UNIT_BITS-1:0] history [0:(N_SLOTS<<UNIT_BITS)-1];
    reg [UNIT_BITS-1:0] n_history [0:N_SLOTS-1]; // events of each slot
    reg [UNIT_BITS-1:0] event_index; // the next event of the delay
    reg [UNIT_BITS-1:0] past_block; // the block of an event that was read from history
    reg [STEP_BITS-1:0] delay [0:N_DELAYS-1];
    initial $readmemh({MEM_PATH, "delay.mem"}, delay, 0, N_DELAYS - 1);
    reg has_past; // past_block was read in the cycle before
    reg [INPUT_BITS-1:0] delay_index;
    reg [INPUT_BITS-1:0] first_input; // of this delay
    reg [INPUT_BITS-1:0] past_first_input; // of past_block's delay
    wire [STEP_BITS-1:0] delay_steps = delay[delay_index];
    wire [SLOT_BITS-1:0] past_slot =
        slot >= delay_steps ? slot - delay_steps : slot + N_SLOTS - delay_steps;
    // How many events a delay has is looked up when those of the one before are gathered.
    reg [UNIT_BITS-1:0] n_past_read;
    reg [SLOT_BITS-1:0] gathered_slot;
    reg is_none; // the utterance is younger than the delay
    reg is_now; // the delay is 0
    wire [UNIT_BITS-1:0] n_past = is_none ? 0 : is_now ? n_events : n_past_read;
    wire is_next_delay = state == GATHER && event_index >= n_past;
    wire is_gathered = state == GATHER && delay_index == N_DELAYS + 1;
    // One address serves to read and to write.
    wire [SLOT_BITS+UNIT_BITS-1:0] history_address =
        is_event ? {slot, n_events} : {gathered_slot, event_index};
    always @(posedge clk) begin
        if (is_event) history[history_address] <= event_block;
        else if (state == GATHER) past_block <= history[history_address];
        if (state == GATHER) n_history[slot] <= n_events;
        if (is_next_delay) n_past_read <= n_history[past_slot];
    end
    always @(posedge clk) begin
        has_past <= 0;
        past_first_input <= first_input;
        if (starts_step) begin
            delay_index <= 0;
            event_index <= 0;
            is_none <= 1; // so that the first delay is looked up at once
            first_input <= 0 - KERNEL;
        end else if (is_next_delay && !is_gathered) begin
            delay_index <= delay_index + 1'b1;
            event_index <= 0;
            first_input <= first_input + KERNEL;
            gathered_slot <= past_slot;
            is_none <= delay_steps > step;
            is_now <= delay_steps == 0;
        end else if (state == GATHER && !is_gathered) begin
            event_index <= event_index + 1'b1;
            has_past <= 1;
        end
    end

    // --- the list ------------------------------------------------------------------------------
    // Inputs that are active now, then hidden neurons that spike now. An input's entry is the
    // address of its weights for window 0, and, where windows end within a bucket, its block. Inputs
    // lie in buckets, of the blocks between one window's start and the next's, so that a window's
    // neurons read their own SPAN buckets alone. Buckets begin at the first entry, hidden neurons are
    // listed from the last one back: one memory holds both.
    localparam BUCKET = N_WINDOWS > 1 ? STRIDE : N_UNITS; // blocks of a bucket
    localparam BUCKET_INPUTS = BUCKET * N_DELAYS;
    localparam N_BUCKETS = (N_UNITS + BUCKET - 1) / BUCKET;
    localparam SPAN = (KERNEL + BUCKET - 1) / BUCKET; // buckets of a window
    localparam N_INDICES = (N_DELAYS - 1) * KERNEL + N_UNITS;
    localparam LIST_BITS = $clog2(N_BUCKETS * BUCKET_INPUTS + N_HIDDEN);
    localparam BUCKET_BITS = $clog2(N_BUCKETS + 1);
    localparam ENTRY_BITS = $clog2(BUCKET_INPUTS + 1);
    localparam INDEX_BITS = $clog2(N_INDICES > N_HIDDEN ? N_INDICES : N_HIDDEN);
    localparam IS_EVEN = KERNEL % BUCKET == 0; // windows end where buckets end
    // entry_block / BUCKET, as above / POOL_UNITS is computed
    localparam BUCKET_SHIFT = UNIT_BITS + $clog2(BUCKET);
    localparam BUCKET_RECIPROCAL = ((1 << BUCKET_SHIFT) + BUCKET - 1) / BUCKET;
    localparam BUCKET_PRODUCT_BITS = $clog2(((1<<UNIT_BITS)-1)*BUCKET_RECIPROCAL+1);
    reg [INDEX_BITS+(IS_EVEN?0:UNIT_BITS)-1:0] list [0:(1<<LIST_BITS)-1];
    reg [INDEX_BITS+(IS_EVEN?0:UNIT_BITS)-1:0] active; // what was read from the list
    reg is_entry; // an input, a cycle after it was looked up
    reg [INDEX_BITS-1:0] weight_index;
    reg [UNIT_BITS-1:0] entry_block;
    always @(posedge clk) begin
        is_entry <= has_past;
        weight_index <= past_first_input + past_block;
        entry_block <= past_block;
    end
    reg [ENTRY_BITS-1:0] n_in_bucket [0:N_BUCKETS-1];
    reg [N_BUCKETS-1:0] has_input; // of each bucket; n_in_bucket is valid only where this is 1
    reg [SPAN-1:0] buckets_left; // the group still reads these; for classes bit 0 is all hidden spikes
    reg [BUCKET_BITS-1:0] first_bucket; // of this window
    reg [BUCKET_BITS-1:0] bucket_in_span; // the next of buckets_left
    wire [BUCKET_PRODUCT_BITS-1:0] bucket_product = entry_block * BUCKET_RECIPROCAL;
    wire [BUCKET_BITS-1:0] entry_bucket = N_BUCKETS > 1 ? bucket_product >> BUCKET_SHIFT : 0;
    wire [BUCKET_BITS-1:0] read_bucket = N_BUCKETS > 1 ? first_bucket + bucket_in_span : 0;
    wire [ENTRY_BITS-1:0] n_in_entry_bucket = has_input[entry_bucket] ? n_in_bucket[entry_bucket] : 0;
    always @* begin : next_bucket
        integer i;
        bucket_in_span = 0;
        for (i = SPAN - 1; i >= 0; i = i - 1) if (buckets_left[i]) bucket_in_span = i;
    end
    always @(posedge clk) begin
        if (is_entry) n_in_bucket[entry_bucket] <= n_in_entry_bucket + 1'b1;
        if (is_entry && state == GATHER) has_input[entry_bucket] <= 1;
        if (starts_step) has_input <= 0;
    end
    reg [INPUT_BITS-1:0] n_spikes; // hidden neurons that are listed
    reg [INPUT_BITS-1:0] list_index; // in the bucket, or of the hidden spikes
    reg is_listed; // an entry was read in the cycle before
    // Hidden neuron number i of the list is at the last address minus i. That is ~i, if i is as wide
    // as an address.
    wire [LIST_BITS-1:0] read_from_end = list_index;
    wire [LIST_BITS-1:0] written_from_end = n_spikes;
    wire [LIST_BITS-1:0] list_read =
        is_output ? ~read_from_end : read_bucket * BUCKET_INPUTS + list_index;
    wire [LIST_BITS-1:0] list_write =
        is_entry ? entry_bucket * BUCKET_INPUTS + n_in_entry_bucket : ~written_from_end;
    reg [NEURON_BITS-1:0] first_neuron; // lane 0's, in its layer
    reg [NEURON_BITS-1:0] fired_first_neuron; // in the group before
    reg [LANES-1:0] fired_lanes; // hidden neurons of that group that are still to be listed
    reg [LANE_BITS-1:0] fired_lane; // the first of them
    wire [INDEX_BITS-1:0] fired_neuron = fired_first_neuron + fired_lane;
    wire [LANES-1:0] fired_left = fired_lanes & (fired_lanes - 1'b1); // without its lowest 1
    wire lists = state == LEAK && fired_lanes != 0;
    wire [INPUT_BITS-1:0] n_listed = is_output ? n_spikes : n_in_bucket[read_bucket];
    wire reads_list = state == BIAS || state == RESET || state == SUM;
    wire reads_entry = reads_list && buckets_left != 0;
    wire is_last_entry = list_index + 1'b1 == n_listed; // of the bucket
    always @* begin : next_fired
        integer i;
        fired_lane = 0;
        for (i = LANES - 1; i >= 0; i = i - 1) if (fired_lanes[i]) fired_lane = i;
    end
    always @(posedge clk) begin
        if (reads_list) active <= list[list_read];
        if (is_entry) list[list_write] <= {entry_block, weight_index};
        else if (lists) list[list_write] <= fired_neuron;
    end
    // A group reads bucket after bucket, and in it entry after entry.
    always @(posedge clk) begin
        is_listed <= reads_entry;
        if (state == LEAK) begin
            list_index <= 0;
            buckets_left <= is_output ? n_spikes != 0 || lists : has_input >> first_bucket;
        end else if (reads_entry) begin
            list_index <= is_last_entry ? 0 : list_index + 1'b1;
            // without its lowest 1, which is the bucket that was read
            if (is_last_entry) buckets_left <= buckets_left & (buckets_left - 1'b1);
        end
    end

    // --- groups --------------------------------------------------------------------------------
    // Hidden neurons, window after window, then classes. While membranes of a group leak, the spikes
    // of the group before are listed, one in a cycle.
    reg [GROUP_BITS-1:0] group;
    reg [GROUP_BITS-1:0] group_in_window;
    reg [ROW_BITS-1:0] row; // where the weights of this group begin, less first_seen
    reg [UNIT_BITS-1:0] first_seen; // the first block that neurons of this window see
    wire [LANES-1:0] is_above; // the lane's membrane is above its threshold, so its neuron spikes
    assign ends_step = state == FIRE && group == GROUPS - 1;
    task begin_groups; begin
        group <= 0;
        first_neuron <= 0;
        is_output <= 0;
        row <= 0;
        n_spikes <= 0;
        group_in_window <= 0;
        first_bucket <= 0;
        first_seen <= 0;
    end endtask
    always @(posedge clk) begin
        if (state == LEAK) begin
            fired_lanes <= fired_left;
            n_spikes <= n_spikes + lists;
        end
        if (state == FIRE) begin
            fired_lanes <= is_output ? 0 : is_above;
            fired_first_neuron <= first_neuron;
            group <= group + 1'b1;
            first_neuron <= first_neuron + LANES;
            row <= row + (is_output ? N_HIDDEN : N_WEIGHTS);
            group_in_window <= group_in_window + 1'b1;
            if (!is_output && group_in_window == WINDOW_GROUPS - 1) begin // the next window
                group_in_window <= 0;
                first_bucket <= first_bucket + 1'b1;
                first_seen <= first_seen + STRIDE;
                row <= 0 - first_seen - STRIDE;
            end
            if (group == HIDDEN_GROUPS - 1) begin // the classes
                is_output <= 1;
                first_neuron <= 0;
                row <= 0;
            end
        end
        if (rst || ends_step) begin_groups;
        if (rst) fired_lanes <= 0;
    end

    // --- weights -------------------------------------------------------------------------------
    // Of a group's first input, second, ... then of the next group. One address serves to read and
    // to write, as memories with a single port want it.
    reg [23:0] n_words; // of the memory that is loaded
    always @* case (load_memory)
        0: n_words = ROWS1;
        1: n_words = ROWS2;
        2, 3, 4, 5: n_words = GROUPS;
        default: n_words = 0; // there is no such memory
    endcase
    wire loads = WRITABLE != 0 && load_valid && load_address < n_words;
    assign load_refused = load_valid && !loads;
    wire reads_back = read_valid && state == EVENT; // computing is not disturbed
    wire reads = state == RESET || state == SUM;
    reg [LANES*WEIGHT1_BITS-1:0] weight1 [0:ROWS1-1];
    (* ram_style = RAM_STYLE *) reg [LANES*WEIGHT2_BITS-1:0] weight2 [0:ROWS2-1];
    reg [LANES*WEIGHT1_BITS-1:0] weight1_row;
    reg [LANES*WEIGHT2_BITS-1:0] weight2_row;
    reg is_seen; // this window sees the input
    wire [ROW_BITS-1:0] weight_address =
        loads || reads_back ? load_address : row + active[INDEX_BITS-1:0];
    wire [UNIT_BITS-1:0] block_in_window = (active >> INDEX_BITS) - first_seen;
    always @(posedge clk) is_seen <= is_output || IS_EVEN || block_in_window < KERNEL;
    always @(posedge clk) begin
        if (loads && load_memory == 0) weight1[weight_address] <= load_data;
        else if (reads && !is_output || reads_back) weight1_row <= weight1[weight_address];
    end
    always @(posedge clk) begin
        if (loads && load_memory == 1) weight2[weight_address] <= load_data;
        else if (reads && is_output || reads_back) weight2_row <= weight2[weight_address];
    end

    // --- what each neuron has of its own, and its membrane -------------------------------------
    // A memory word for each group, read before the group is computed.
    reg [LANES*BIAS_BITS-1:0] bias [0:GROUPS-1];
    reg [LANES*THRESHOLD_BITS-1:0] threshold [0:GROUPS-1];
    reg [LANES*LEAK_BITS-1:0] leak [0:GROUPS-1];
    reg [LANES-1:0] mask [0:GROUPS-1];
    reg [LANES*MEM_BITS-1:0] membrane [0:GROUPS-1];
    reg [LANES*BIAS_BITS-1:0] group_bias;
    reg [LANES*THRESHOLD_BITS-1:0] group_threshold;
    reg [LANES*LEAK_BITS-1:0] group_leak;
    reg [LANES-1:0] group_mask;
    reg [LANES*MEM_BITS-1:0] group_membrane;
    wire [GROUP_BITS-1:0] fetched_group =
        reads_back ? load_address : state == FIRE ? group + 1'b1 : group;
    wire fetches = is_gathered || state == FIRE || reads_back;
    wire [LANES*MEM_BITS-1:0] new_membranes;
    always @(posedge clk) begin
        if (fetches) begin
            group_bias <= bias[fetched_group];
            group_threshold <= threshold[fetched_group];
            group_leak <= leak[fetched_group];
            group_mask <= mask[fetched_group];
            group_membrane <= membrane[fetched_group];
        end
        if (state == FIRE) membrane[group] <= new_membranes;
        if (loads && load_memory == 2) bias[load_address] <= load_data;
        if (loads && load_memory == 3) threshold[load_address] <= load_data;
        if (loads && load_memory == 4) leak[load_address] <= load_data;
        if (loads && load_memory == 5) mask[load_address] <= load_data;
    end
    always @* begin
        read_data = 0;
        if (state == EVENT) case (load_memory) // else it would toggle with each weight
            0: read_data = weight1_row;
            1: read_data = weight2_row;
            2: read_data = group_bias;
            3: read_data = group_threshold;
            4: read_data = group_leak;
            default: read_data = group_mask;
        endcase
    end
    generate if (INITIAL != 0) begin : rom
        initial begin
            $readmemh({MEM_PATH, "weight1.mem"}, weight1, 0, ROWS1 - 1);
            $readmemh({MEM_PATH, "weight2.mem"}, weight2, 0, ROWS2 - 1);
            $readmemh({MEM_PATH, "bias.mem"}, bias, 0, GROUPS - 1);
            $readmemh({MEM_PATH, "threshold.mem"}, threshold, 0, GROUPS - 1);
            $readmemh({MEM_PATH, "leak.mem"}, leak, 0, GROUPS - 1);
            $readmemh({MEM_PATH, "mask.mem"}, mask, 0, GROUPS - 1);
        end
    end endgenerate

    // --- a lane --------------------------------------------------------------------------------
    // An adder, and what it adds: x - y is x + ~y + 1.
    genvar l;
    generate for (l = 0; l < LANES; l = l + 1) begin : lane
        wire signed [WEIGHT1_BITS-1:0] own_weight1 = weight1_row[l*WEIGHT1_BITS +: WEIGHT1_BITS];
        wire signed [WEIGHT2_BITS-1:0] own_weight2 = weight2_row[l*WEIGHT2_BITS +: WEIGHT2_BITS];
        wire signed [BIAS_BITS-1:0] own_bias = group_bias[l*BIAS_BITS +: BIAS_BITS];
        wire [THRESHOLD_BITS-1:0] own_threshold = group_threshold[l*THRESHOLD_BITS +: THRESHOLD_BITS];
        wire [LEAK_BITS-1:0] own_leak = group_leak[l*LEAK_BITS +: LEAK_BITS];
        wire signed [MEM_BITS-1:0] old_mem =
            is_first ? 0 : group_membrane[l*MEM_BITS +: MEM_BITS]; // every utterance begins at 0
        reg signed [MEM_BITS+LEAK_BITS:0] leaked; // a register after the multiplier
        reg signed [SUM_BITS-1:0] sum;
        reg signed [SUM_BITS-1:0] augend;
        reg signed [SUM_BITS-1:0] addend;
        reg carry;
        reg was_above;
        wire [SUM_BITS-MEM_BITS:0] high_bits = sum[SUM_BITS-1:MEM_BITS-1]; // differ: saturate
        wire signed [MEM_BITS-1:0] limit = {sum[SUM_BITS-1], {(MEM_BITS-1){!sum[SUM_BITS-1]}}};
        wire signed [MEM_BITS-1:0] new_mem = &high_bits || ~|high_bits ? sum[MEM_BITS-1:0] : limit;
        wire signed [MEM_BITS-1:0] compared = state == FIRE ? new_mem : old_mem;
        wire above_threshold = group_mask[l] && compared > $signed({1'b0, own_threshold});
        always @* begin
            augend = sum;
            addend = 0;
            carry = 0;
            case (state)
                LEAK: if (LEAK_SHIFT != 0) begin
                    augend = old_mem;
                    addend = ~(old_mem >>> own_leak);
                    carry = 1;
                end
                BIAS: begin
                    if (LEAK_SHIFT == 0) augend = leaked >>> FACTOR_BITS;
                    addend = own_bias;
                end
                RESET: if (was_above) begin
                    addend = ~$signed({1'b0, own_threshold});
                    carry = 1;
                end
                SUM: if (is_output) addend = own_weight2 <<< SHIFT2;
                    else if (is_seen) addend = own_weight1 <<< SHIFT1;
                default: ;
            endcase
        end
        always @(posedge clk) begin
            if (state == LEAK) was_above <= above_threshold;
            if (state == LEAK) leaked <= old_mem * $signed({1'b0, own_leak});
            if (state == LEAK || state == BIAS || state == RESET || state == SUM)
                sum <= augend + addend + $signed({1'b0, carry});
        end
        assign new_membranes[l*MEM_BITS +: MEM_BITS] = new_mem;
        assign is_above[l] = above_threshold;
    end endgenerate
    assign mon_valid = state == FIRE;
    assign mon_neuron = (is_output ? N_HIDDEN : 0) + first_neuron;
    assign mon_mem = new_membranes;
    assign mon_spike = is_above;

    // --- scores --------------------------------------------------------------------------------
    // Of the classes, and the first of the highest. They are added up a cycle after the membranes
    // are there, so that comparing and adding aren't one path.
    reg [LANES*SCORE_BITS-1:0] scores [0:CLASS_GROUPS-1];
    reg [LANES*SCORE_BITS-1:0] new_scores;
    reg [LANES*MEM_BITS-1:0] added_mem;
    reg signed [SCORE_BITS-1:0] term;
    reg adds;
    reg adds_first;
    reg [LANES-1:0] added_spikes;
    reg [GROUP_BITS-1:0] score_group;
    reg [LANE_BITS-1:0] score_lane;
    reg [NEURON_BITS-1:0] class_index;
    reg [NEURON_BITS-1:0] answer; // class of the highest score so far
    reg signed [SCORE_BITS-1:0] best; // its score
    reg signed [SCORE_BITS-1:0] score;
    reg has_score; // score is this class's
    wire [LANES*SCORE_BITS-1:0] group_scores = scores[score_group];
    wire takes_score = out_valid && out_ready;
    assign ends_answer = takes_score && out_last;
    always @(posedge clk) begin
        score <= group_scores[score_lane*SCORE_BITS +: SCORE_BITS];
        has_score <= state == RESULT && !takes_score;
    end
    wire is_best = class_index == 0 || score > best;
    always @* begin : add_scores
        integer i;
        for (i = 0; i < LANES; i = i + 1) begin
            term = $signed({1'b0, added_spikes[i]});
            if (IS_MEMBRANE != 0) term = $signed(added_mem[i*MEM_BITS +: MEM_BITS]);
            new_scores[i*SCORE_BITS +: SCORE_BITS] =
                (adds_first ? 0 : group_scores[i*SCORE_BITS +: SCORE_BITS]) + term;
        end
    end
    always @(posedge clk) begin
        adds <= state == FIRE && is_output && !rst;
        adds_first <= is_first;
        added_spikes <= is_above;
        if (adds) scores[score_group] <= new_scores;
        if (state == FIRE && is_output) added_mem <= new_membranes; // else adders would toggle
    end
    task begin_scores; begin
        class_index <= 0;
        score_group <= 0;
        score_lane <= 0;
        best <= 0;
        answer <= 0;
    end endtask
    always @(posedge clk) begin
        if (adds) score_group <= score_group == CLASS_GROUPS - 1 ? 0 : score_group + 1'b1;
        if (takes_score) begin
            class_index <= class_index + 1'b1;
            score_lane <= score_lane + 1'b1;
            if (score_lane == LANES - 1) begin
                score_lane <= 0;
                score_group <= score_group + 1'b1;
            end
            if (is_best) begin
                best <= score;
                answer <= class_index;
            end
        end
        if (rst || ends_answer) begin_scores;
    end
    assign out_last = class_index == N_CLASSES - 1;
    assign out_class = class_index;
    assign out_valid = state == RESULT && has_score;
    assign out_score = score;
    assign out_answer = is_best ? class_index : answer;

    // --- control -------------------------------------------------------------------------------
    always @(posedge clk) begin
        case (state)
            EVENT:
                if (starts_step) state <= GATHER;
                else if (takes_input && is_over && held_end) state <= RESULT;
            GATHER: if (is_gathered) state <= LEAK;
            LEAK: if (fired_left == 0) state <= BIAS; // the spikes of the group before are listed
            BIAS: state <= RESET;
            RESET: state <= is_listed ? SUM : FIRE; // an entry read in BIAS is added in SUM
            SUM: if (!is_listed) state <= FIRE;
            FIRE: state <= ends_step ? EVENT : LEAK;
            RESULT: if (ends_answer) state <= EVENT;
        endcase
        if (rst) state <= EVENT;
    end
endmodule
`default_nettype wire
