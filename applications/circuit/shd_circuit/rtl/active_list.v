// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// The list of what is active: the inputs of the current window, and the hidden neurons that spiked.
//
// One memory holds both: inputs from the first entry on, hidden neurons from the last one back.
//
// Timing. An input is written at an edge with input_valid. At an edge with fires, the lanes' neurons
//  that spike are taken; then one of them is written in each cycle, and lists_more is high while
//  more than one is left. Inputs must not come in these cycles. Reading starts anew at an edge with
//  restarts. At each edge with reads the next entry is looked up; entry has it from then on, and
//  has_entry is high for a cycle, if there was one left.
`default_nettype none
module active_list #(
    parameter N_INPUTS = 1, // of a window, with their delays
    parameter N_HIDDEN = 1,
    parameter LANES = 1,
    // not to be set
    parameter INPUT_BITS = $clog2(N_INPUTS + 1),
    parameter NEURON_BITS = $clog2(N_HIDDEN + LANES + 1),
    parameter ENTRY_BITS = INPUT_BITS > NEURON_BITS ? INPUT_BITS : NEURON_BITS
) (
    input wire clk,
    input wire enable, // without it, all stands still
    input wire forgets_inputs,
    input wire input_valid,
    input wire [INPUT_BITS-1:0] input_index,
    input wire forgets_spikes,
    input wire fires,
    input wire [LANES-1:0] spikes,
    input wire [NEURON_BITS-1:0] first_neuron, // lane 0's
    output wire lists_more,
    input wire selects_spikes, // hidden neurons are read, and not inputs
    input wire restarts,
    input wire reads,
    output wire [ENTRY_BITS-1:0] entry,
    output reg has_entry
);
    localparam LIST_BITS = $clog2(N_INPUTS + N_HIDDEN);
    localparam INDEX_BITS = $clog2(N_INPUTS > N_HIDDEN ? N_INPUTS : N_HIDDEN);
    localparam WIDTH = INDEX_BITS > 0 ? INDEX_BITS : 1;
    reg [WIDTH-1:0] list [0:(1<<LIST_BITS)-1];
    reg [WIDTH-1:0] found;
    reg [LIST_BITS:0] n_inputs;
    reg [LIST_BITS:0] n_spikes;
    reg [LIST_BITS:0] index; // of the next entry
    reg [LANES-1:0] waiting; // spikes that are to be written
    reg [NEURON_BITS-1:0] waiting_first;
    wire [LANES-1:0] waiting_after = waiting & (waiting - 1'b1); // without the lowest
    wire writes_spike = waiting != 0;
    reg [NEURON_BITS-1:0] lane; // the lowest that waits
    always @* begin : find_lane
        integer i;
        lane = 0;
        for (i = LANES - 1; i >= 0; i = i - 1) if (waiting[i]) lane = i[NEURON_BITS-1:0];
    end
    wire [NEURON_BITS-1:0] neuron = waiting_first + lane;
    // as wide as entries: each is below the larger number
    wire [ENTRY_BITS-1:0] wide_neuron = {{(ENTRY_BITS-NEURON_BITS){1'b0}}, neuron};
    wire [ENTRY_BITS-1:0] wide_input = {{(ENTRY_BITS-INPUT_BITS){1'b0}}, input_index};
    assign lists_more = waiting_after != 0;
    assign entry = {{(ENTRY_BITS-WIDTH){1'b0}}, found};
    wire is_left = index != (selects_spikes ? n_spikes : n_inputs);
    wire [LIST_BITS-1:0] read_address = selects_spikes ? ~index[LIST_BITS-1:0] : index[LIST_BITS-1:0];
    wire [LIST_BITS-1:0] write_address =
        input_valid ? n_inputs[LIST_BITS-1:0] : ~n_spikes[LIST_BITS-1:0];
    always @(posedge clk) if (enable) begin
        if (reads) found <= list[read_address];
        if (input_valid || writes_spike)
            list[write_address] <= input_valid ? wide_input[WIDTH-1:0] : wide_neuron[WIDTH-1:0];
    end
    always @(posedge clk) if (enable) begin
        has_entry <= reads && is_left;
        if (restarts) index <= 0;
        else if (reads && is_left) index <= index + 1'b1;
        if (forgets_inputs) n_inputs <= 0;
        else if (input_valid) n_inputs <= n_inputs + 1'b1;
        if (writes_spike) begin
            waiting <= waiting_after;
            n_spikes <= n_spikes + 1'b1;
        end
        if (fires) begin
            waiting <= spikes;
            waiting_first <= first_neuron;
        end
        if (forgets_spikes) begin
            waiting <= 0;
            n_spikes <= 0;
        end
    end
endmodule
`default_nettype wire
