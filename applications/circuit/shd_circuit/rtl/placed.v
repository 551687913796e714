// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// For placing the core alone, which has more ports than an FPGA has pins: all of its inputs come from a
// shift register, and `out` depends on all outputs but mon_*. So no memory can be left out. It
// has 128 registers, and one for each bit of load_data and of read_data.
`default_nettype none
module placed #(
`include "network.vh"
) (
    input wire clk,
    input wire in,
    output reg out
);
    localparam DATA_BITS = LANES * LOAD_BITS;
    reg [DATA_BITS+58:0] inputs;
    wire [DATA_BITS+67:0] outputs;
    reg [DATA_BITS+67:0] before;
    always @(posedge clk) begin
        inputs <= {inputs[DATA_BITS+57:0], in};
        before <= outputs;
        out <= ^before;
    end
    core core (
        .clk(clk), .rst(inputs[0]), .in_valid(inputs[1]), .in_ready(outputs[0]),
        .in_end(inputs[2]), .in_ms(inputs[18:3]), .in_unit(inputs[28:19]), .out_valid(outputs[1]),
        .out_ready(inputs[29]), .out_last(outputs[2]), .out_class(outputs[18:3]),
        .out_score(outputs[50:19]), .out_answer(outputs[66:51]), .load_valid(inputs[30]),
        .read_valid(inputs[31]), .load_memory(inputs[34:32]), .load_address(inputs[58:35]),
        .load_data(inputs[59 +: DATA_BITS]), .read_data(outputs[68 +: DATA_BITS]),
        .load_refused(outputs[67]), .mon_valid(), .mon_neuron(), .mon_spike(), .mon_mem()
    );
endmodule
`default_nettype wire
