// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// The network: from the events of steps to the scores of all classes. LANES neurons are summed in
// parallel, group after group, window after window, and only active inputs are read.
//
//   event_* --> delays --> active_list --> parameters --> lane (LANES times) --> scores --> out_*
//                              ^            (weights,         |   ^
//   step_end, utterance_end,   |             numbers) ------->|   |
//   abort --> control          +--- hidden spikes ------------+   +-- membranes <--> parameters
//
// Handshakes. A transfer takes place at a rising edge of clk where valid and ready are both high; until
//  then valid and the data stay. rst is synchronous; hold it for a cycle or more.
//  event_*        block event_unit has an event in this step. A block counts once in a step.
//  step_end       the step is over: it is transferred where step_ready is high, too. An event that is
//                 transferred at this edge still belongs to the step. Then the step's neurons are
//                 computed; meanwhile event_ready and step_ready are low. Steps after N_STEPS are
//                 dropped.
//  utterance_end  the utterance is over, likewise with step_ready, and never together with step_end.
//                 Steps that are left of N_STEPS are computed as silent ones, the first of them with
//                 events that no step_end came after. Then the scores are sent.
//  abort          at an edge where it is high, the utterance is forgotten, without an answer.
//  out_*          its classes in order, out_class and out_score; out_last is high with the last one,
//                 when out_answer is the class of the highest score. Then the next utterance can begin.
//  load_*         the port of the memories, for use while no utterance is under way. At an edge with
//                 load_valid, if WRITABLE, load_data is written to load_address of load_memory: 0
//                 weight1, 1 weight2, 2 threshold, 3 leak, 4 bias. At an edge with read_valid it is read
//                 instead; read_data has it from that edge on, until the next read or until
//                 load_memory changes. Lane l has bits l B to l B + B - 1, where B is the memory's own
//                 width; bits above are ignored, and are read as 0. load_refused is high with
//                 load_valid if the core isn't WRITABLE, or no memory has the address.
//  mon_*          for debugging: while mon_valid is high, neurons from mon_neuron on (hidden ones first),
//                 one for each lane, get the membranes mon_mem, and mon_spike says which spike.
//                 Ignore lanes beyond a layer's last neuron. May be left open.
//
// Names. A *block* is a channel after pooling, an *input* a block with a delay. A *group* is the LANES
//  neurons that are summed in parallel, a *window* the blocks that share weights with others; without
//  shared weights there is one window. n_x is a number of x, is_x a yes or no.
`default_nettype none
module spiking_network #(
`include "network.vh"
    ,
    // not to be set
    parameter UNIT_BITS = $clog2(N_UNITS + 1)
) (
    input wire clk,
    input wire rst,
    // events
    input wire event_valid,
    output wire event_ready,
    input wire [UNIT_BITS-1:0] event_unit,
    input wire step_end,
    output wire step_ready,
    input wire utterance_end,
    input wire abort,
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
    output wire [LANES*LOAD_BITS-1:0] read_data,
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
        // verilator lint_off WIDTHEXPAND
        if (RAM_STYLE != "auto" && RAM_STYLE != "block" && RAM_STYLE != "distributed"
            && RAM_STYLE != "huge" && RAM_STYLE != "registers" && RAM_STYLE != "ultra")
        begin : refuse_ram_style
            RAM_STYLE_must_be_auto_block_distributed_huge_registers_or_ultra stop();
        end
        // verilator lint_on WIDTHEXPAND
    endgenerate

    localparam WINDOW_GROUPS = (NEURONS_PER_WINDOW + LANES - 1) / LANES; // groups of a window
    localparam CLASS_GROUPS = (N_CLASSES + LANES - 1) / LANES;
    localparam GROUPS = N_WINDOWS * WINDOW_GROUPS + CLASS_GROUPS;
    localparam N_WEIGHTS = N_DELAYS * KERNEL; // of a hidden neuron
    localparam ROWS1 = WINDOW_GROUPS * N_WEIGHTS;
    localparam ROWS2 = CLASS_GROUPS * N_HIDDEN;
    // bits of a counter of ...
    localparam GROUP_BITS = $clog2(GROUPS + 1);
    localparam HIDDEN_BITS = $clog2(N_HIDDEN + LANES + 1);
    localparam CLASS_BITS = $clog2(N_CLASSES + LANES + 1);
    localparam NEURON_BITS = HIDDEN_BITS > CLASS_BITS ? HIDDEN_BITS : CLASS_BITS;
    localparam ROW_BITS = $clog2((ROWS1 > ROWS2 ? ROWS1 : ROWS2) + 1);
    localparam INPUT_BITS = $clog2(N_WEIGHTS + 1);
    localparam ENTRY_BITS = INPUT_BITS > HIDDEN_BITS ? INPUT_BITS : HIDDEN_BITS;

    wire gives_last = out_valid && out_ready && out_last;
    wire restarts = rst || abort;
    // While nothing is offered or computed, control, delays, list and scores stand still.
    wire enable = restarts || event_valid || step_end || utterance_end || !event_ready;
    wire is_idle;
    wire is_over;
    wire is_first;
    wire is_output;
    wire step_starts;
    wire scan_starts;
    wire takes;
    wire compares;
    wire leaks;
    wire biases;
    wire resets;
    wire sums;
    wire fires;
    wire adds;
    wire sends;
    wire fetches;
    wire reads;
    wire reads_weight;
    wire step_is_over;
    wire [1:0] kind;
    wire [GROUP_BITS-1:0] group;
    wire [NEURON_BITS-1:0] first_neuron;
    wire [UNIT_BITS-1:0] first_block;
    wire [ROW_BITS-1:0] first_row;
    wire is_cleared;
    wire scan_ends;
    wire lists_more;
    wire has_entry;
    wire is_added;
    control #(
        .LANES(LANES), .N_STEPS(N_STEPS), .N_WINDOWS(N_WINDOWS), .STRIDE(STRIDE),
        .WINDOW_GROUPS(WINDOW_GROUPS), .CLASS_GROUPS(CLASS_GROUPS), .N_WEIGHTS(N_WEIGHTS),
        .N_HIDDEN(N_HIDDEN), .UNIT_BITS(UNIT_BITS), .GROUP_BITS(GROUP_BITS),
        .NEURON_BITS(NEURON_BITS), .ROW_BITS(ROW_BITS)
    ) the_control (
        .clk(clk), .enable(enable), .rst(restarts),
        .step_end(step_end), .utterance_end(utterance_end), .step_ready(step_ready),
        .is_idle(is_idle), .is_over(is_over), .is_cleared(is_cleared), .lists_more(lists_more),
        .scan_ends(scan_ends), .has_entry(has_entry), .is_added(is_added),
        .gives_last(gives_last), .is_first(is_first), .is_output(is_output), .group(group),
        .first_neuron(first_neuron), .first_block(first_block), .first_row(first_row),
        .step_starts(step_starts), .scan_starts(scan_starts), .takes(takes),
        .compares(compares), .leaks(leaks), .biases(biases), .resets(resets), .sums(sums),
        .fires(fires), .adds(adds), .sends(sends), .fetches(fetches), .kind(kind),
        .reads(reads), .reads_weight(reads_weight), .step_is_over(step_is_over)
    );

    wire input_valid;
    wire [INPUT_BITS-1:0] input_index;
    wire is_writable; // the row of events
    assign event_ready = is_idle && is_writable;
    delays #(
        .N_UNITS(N_UNITS), .N_DELAYS(N_DELAYS), .N_SLOTS(N_SLOTS), .KERNEL(KERNEL),
        .MEM_PATH(MEM_PATH)
    ) the_delays (
        .clk(clk), .enable(enable), .rst(restarts), .forgets(gives_last), .step_is_over(step_is_over),
        .is_cleared(is_cleared), .event_valid(event_valid && is_idle && !is_over), .event_ready(is_writable), .event_unit(event_unit),
        .scan_starts(scan_starts), .first_block(first_block), .scan_ends(scan_ends),
        .input_valid(input_valid), .input_index(input_index)
    );

    wire [LANES-1:0] spikes;
    wire [ENTRY_BITS-1:0] entry;
    active_list #(.N_INPUTS(N_WEIGHTS), .N_HIDDEN(N_HIDDEN), .LANES(LANES)) the_list (
        .clk(clk), .enable(enable), .forgets_inputs(scan_starts), .input_valid(input_valid),
        .input_index(input_index), .forgets_spikes(step_starts || restarts),
        .fires(fires && !is_output), .spikes(spikes),
        .first_neuron(first_neuron[HIDDEN_BITS-1:0]), .lists_more(lists_more),
        .selects_spikes(is_output), .restarts(takes), .reads(reads), .entry(entry),
        .has_entry(has_entry)
    );

    wire [LANES*WEIGHT1_BITS-1:0] weight1_row;
    wire [LANES*WEIGHT2_BITS-1:0] weight2_row;
    wire [LANES*NUMBER_BITS-1:0] numbers;
    wire [LANES*NUMBER_BITS-1:0] new_numbers; // membranes as wide as all numbers
    wire [ROW_BITS+ENTRY_BITS-1:0] wide_entry = {{ROW_BITS{1'b0}}, entry};
    parameters #(
        .LANES(LANES), .ROWS1(ROWS1), .ROWS2(ROWS2), .GROUPS(GROUPS),
        .WEIGHT1_BITS(WEIGHT1_BITS), .WEIGHT2_BITS(WEIGHT2_BITS), .NUMBER_BITS(NUMBER_BITS),
        .LOAD_BITS(LOAD_BITS), .WRITABLE(WRITABLE), .INITIAL(INITIAL), .MEM_PATH(MEM_PATH),
        .RAM_STYLE(RAM_STYLE)
    ) the_parameters (
        .clk(clk), .reads_weight1(reads_weight && !is_output),
        .reads_weight2(reads_weight && is_output), .row(first_row + wide_entry[ROW_BITS-1:0]),
        .weight1_row(weight1_row), .weight2_row(weight2_row), .fetches(fetches), .kind(kind),
        .group(group), .numbers(numbers), .membranes(new_numbers),
        .writes(fires && !rst), // before the first reset a write could hit anything
        .load_valid(load_valid), .reads_back(read_valid && is_idle), .load_memory(load_memory),
        .load_address(load_address), .load_data(load_data), .read_data(read_data),
        .load_refused(load_refused)
    );

    wire [LANES*MEM_BITS-1:0] membranes;
    genvar l;
    generate for (l = 0; l < LANES; l = l + 1) begin : lanes
        wire signed [WEIGHT1_BITS-1:0] weight1 = weight1_row[l*WEIGHT1_BITS +: WEIGHT1_BITS];
        wire signed [WEIGHT2_BITS-1:0] weight2 = weight2_row[l*WEIGHT2_BITS +: WEIGHT2_BITS];
        wire signed [SUM_BITS-1:0] wide1 = {{(SUM_BITS-WEIGHT1_BITS){weight1[WEIGHT1_BITS-1]}}, weight1};
        wire signed [SUM_BITS-1:0] wide2 = {{(SUM_BITS-WEIGHT2_BITS){weight2[WEIGHT2_BITS-1]}}, weight2};
        wire signed [MEM_BITS-1:0] membrane;
        lane #(
            .NUMBER_BITS(NUMBER_BITS), .MEM_BITS(MEM_BITS), .THRESHOLD_BITS(THRESHOLD_BITS),
            .LEAK_BITS(LEAK_BITS), .BIAS_BITS(BIAS_BITS), .SUM_BITS(SUM_BITS),
            .LEAK_SHIFT(LEAK_SHIFT), .FACTOR_BITS(FACTOR_BITS)
        ) the_lane (
            .clk(clk), .is_first(is_first), .takes(takes), .compares(compares), .leaks(leaks),
            .biases(biases), .resets(resets), .sums(sums),
            .number(numbers[l*NUMBER_BITS +: NUMBER_BITS]),
            .weight(is_output ? wide2 <<< SHIFT2 : wide1 <<< SHIFT1), .membrane(membrane),
            .is_above(spikes[l])
        );
        assign membranes[l*MEM_BITS +: MEM_BITS] = membrane;
        // its sign fills the bits above
        wire signed [NUMBER_BITS:0] wide = {{(NUMBER_BITS-MEM_BITS+1){membrane[MEM_BITS-1]}}, membrane};
        assign new_numbers[l*NUMBER_BITS +: NUMBER_BITS] = wide[NUMBER_BITS-1:0];
    end endgenerate

    wire [CLASS_BITS-1:0] class_index;
    wire [CLASS_BITS-1:0] answer;
    wire signed [SCORE_BITS-1:0] score;
    scores #(
        .LANES(LANES), .N_CLASSES(N_CLASSES), .MEM_BITS(MEM_BITS), .SCORE_BITS(SCORE_BITS),
        .IS_MEMBRANE(IS_MEMBRANE)
    ) the_scores (
        .clk(clk), .enable(enable), .restarts(restarts || gives_last || step_is_over), .is_first(is_first),
        .takes(fires && is_output), .membranes(membranes), .spikes(spikes), .adds(adds),
        .is_added(is_added), .sends(sends), .out_valid(out_valid), .out_ready(out_ready),
        .out_last(out_last), .out_class(class_index), .out_score(score), .out_answer(answer)
    );
    assign out_class = {{(16-CLASS_BITS){1'b0}}, class_index};
    assign out_answer = {{(16-CLASS_BITS){1'b0}}, answer};
    assign out_score = {{(32-SCORE_BITS){score[SCORE_BITS-1]}}, score};
    // constants are as wide as what they are compared with
    // verilator lint_off WIDTHTRUNC
    localparam [15:0] FIRST_CLASS = N_HIDDEN;
    // verilator lint_on WIDTHTRUNC
    wire [16+NEURON_BITS-1:0] wide_neuron = {16'd0, first_neuron};
    assign mon_valid = fires;
    assign mon_neuron = wide_neuron[15:0] + (is_output ? FIRST_CLASS : 16'd0);
    assign mon_mem = membranes;
    assign mon_spike = spikes;
endmodule
`default_nettype wire
