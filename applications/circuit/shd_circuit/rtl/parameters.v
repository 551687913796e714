// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// Parameters: the weights of both layers, and the numbers of each neuron, with its membrane.
//
// A memory word of weights has those of LANES neurons for one input. A memory word of numbers has one
// number of LANES neurons: membranes first, then thresholds, leaks and biases, group after group, so
// that four numbers of a group are read one after the other from one narrow memory.
//
// Timing. What is asked for in a cycle is there from the next cycle on, until something else of the same
//  memory is asked for. writes and loads write at the edge. While loads or reads_back is high, nothing
//  else may be asked for.
`default_nettype none
module parameters #(
    parameter LANES = 1,
    parameter ROWS1 = 1, // memory words of the first layer's weights
    parameter ROWS2 = 1,
    parameter GROUPS = 1,
    parameter WEIGHT1_BITS = 2,
    parameter WEIGHT2_BITS = 2,
    parameter NUMBER_BITS = 2,
    parameter LOAD_BITS = 2, // of the widest of them
    parameter WRITABLE = 0,
    parameter INITIAL = 0,
    parameter MEM_PATH = "./",
    parameter RAM_STYLE = "auto",
    // not to be set
    parameter ROW_BITS = $clog2((ROWS1 > ROWS2 ? ROWS1 : ROWS2) + 1),
    parameter GROUP_BITS = $clog2(GROUPS + 1)
) (
    input wire clk,
    // weights
    input wire reads_weight1,
    input wire reads_weight2,
    input wire [ROW_BITS-1:0] row,
    output reg [LANES*WEIGHT1_BITS-1:0] weight1_row,
    output reg [LANES*WEIGHT2_BITS-1:0] weight2_row,
    // numbers of neurons
    input wire fetches,
    input wire [1:0] kind, // 0 membranes, 1 thresholds, 2 leaks, 3 biases
    input wire [GROUP_BITS-1:0] group,
    output reg [LANES*NUMBER_BITS-1:0] numbers,
    input wire writes, // membranes of this group
    input wire [LANES*NUMBER_BITS-1:0] membranes,
    // from outside: 0 weight1, 1 weight2, 2 thresholds, 3 leaks, 4 biases
    input wire load_valid,
    input wire reads_back,
    input wire [2:0] load_memory,
    input wire [23:0] load_address,
    input wire [LANES*LOAD_BITS-1:0] load_data,
    output reg [LANES*LOAD_BITS-1:0] read_data,
    output wire load_refused
);
    localparam ROW1_BITS = ROWS1 > 1 ? $clog2(ROWS1) : 1;
    localparam ROW2_BITS = ROWS2 > 1 ? $clog2(ROWS2) : 1;
    localparam NUMBERS_BITS = $clog2(4 * GROUPS);
    // constants are as wide as what they are compared with
    // verilator lint_off WIDTHTRUNC
    localparam [23:0] N_ROWS1 = ROWS1;
    localparam [23:0] N_ROWS2 = ROWS2;
    localparam [23:0] N_GROUPS = GROUPS;
    // verilator lint_on WIDTHTRUNC
    reg [LANES*WEIGHT1_BITS-1:0] weight1 [0:ROWS1-1];
    (* ram_style = RAM_STYLE *) reg [LANES*WEIGHT2_BITS-1:0] weight2 [0:ROWS2-1];
    reg [LANES*NUMBER_BITS-1:0] number [0:4*GROUPS-1];

    reg [23:0] n_words; // of the memory that is loaded
    always @* case (load_memory)
        0: n_words = N_ROWS1;
        1: n_words = N_ROWS2;
        2, 3, 4: n_words = N_GROUPS;
        default: n_words = 0; // there is no such memory
    endcase
    wire loads = WRITABLE != 0 && load_valid && load_address < n_words;
    assign load_refused = load_valid && !loads;
    wire loads_number = loads && load_memory >= 2;
    wire is_outside = loads || reads_back;

    // one address serves to read and to write, as memories with a single port want it
    wire [ROW_BITS-1:0] weight_row = is_outside ? load_address[ROW_BITS-1:0] : row;
    always @(posedge clk) begin
        if (loads && load_memory == 0) weight1[weight_row[ROW1_BITS-1:0]] <= load_data[LANES*WEIGHT1_BITS-1:0];
        else if (reads_weight1 || reads_back) weight1_row <= weight1[weight_row[ROW1_BITS-1:0]];
    end
    always @(posedge clk) begin
        if (loads && load_memory == 1) weight2[weight_row[ROW2_BITS-1:0]] <= load_data[LANES*WEIGHT2_BITS-1:0];
        else if (reads_weight2 || reads_back) weight2_row <= weight2[weight_row[ROW2_BITS-1:0]];
    end

    wire [1:0] own_kind = is_outside ? load_memory[1:0] - 2'd1 : kind; // 2 becomes 1, 4 becomes 3
    wire [GROUP_BITS-1:0] own_group = is_outside ? load_address[GROUP_BITS-1:0] : group;
    reg [NUMBERS_BITS-1:0] first_of_kind;
    always @* case (own_kind)
        0: first_of_kind = 0;
        1: first_of_kind = N_GROUPS[NUMBERS_BITS-1:0];
        2: first_of_kind = 2 * N_GROUPS[NUMBERS_BITS-1:0];
        default: first_of_kind = 3 * N_GROUPS[NUMBERS_BITS-1:0];
    endcase
    wire [NUMBERS_BITS+GROUP_BITS-1:0] wide_group = {{NUMBERS_BITS{1'b0}}, own_group};
    wire [NUMBERS_BITS-1:0] address = first_of_kind + wide_group[NUMBERS_BITS-1:0];
    always @(posedge clk) begin
        if (fetches || reads_back) numbers <= number[address];
        if (writes || loads_number)
            number[address] <= loads_number ? load_data[LANES*NUMBER_BITS-1:0] : membranes;
    end

    always @* begin
        read_data = 0;
        case (load_memory)
            0: read_data[LANES*WEIGHT1_BITS-1:0] = weight1_row;
            1: read_data[LANES*WEIGHT2_BITS-1:0] = weight2_row;
            default: read_data[LANES*NUMBER_BITS-1:0] = numbers;
        endcase
    end
    generate if (INITIAL != 0) begin : rom
        initial begin
            $readmemh({MEM_PATH, "weight1.mem"}, weight1, 0, ROWS1 - 1);
            $readmemh({MEM_PATH, "weight2.mem"}, weight2, 0, ROWS2 - 1);
            $readmemh({MEM_PATH, "threshold.mem"}, number, GROUPS, 2 * GROUPS - 1);
            $readmemh({MEM_PATH, "leak.mem"}, number, 2 * GROUPS, 3 * GROUPS - 1);
            $readmemh({MEM_PATH, "bias.mem"}, number, 3 * GROUPS, 4 * GROUPS - 1);
        end
    end endgenerate
endmodule
`default_nettype wire
