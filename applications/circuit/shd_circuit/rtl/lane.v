// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// A lane: the membrane of one neuron in a step, with one adder.
//
// Timing. One of these is high in a cycle, in this order, and number is then, or weight:
//   takes     the membrane of the step before; is_first: it counts as 0
//   compares  the threshold; did the membrane exceed it, so that the neuron spiked?
//   leaks     the leak, a factor or a shift
//   biases    the bias
//   resets    the threshold, which is subtracted after a spike
//   sums      weight is added, in any number of cycles
//   (then)    number is the threshold: membrane is the saturated sum, is_above whether it spikes
`default_nettype none
module lane #(
    parameter NUMBER_BITS = 16, // of each of a neuron's numbers, in its lowest bits:
    parameter MEM_BITS = 16, // a membrane, signed
    parameter THRESHOLD_BITS = 15,
    parameter LEAK_BITS = 13,
    parameter BIAS_BITS = 16, // signed
    parameter SUM_BITS = 18,
    parameter LEAK_SHIFT = 0, // not 0: leaks are shifts
    parameter FACTOR_BITS = 12
) (
    input wire clk,
    input wire is_first,
    input wire takes,
    input wire compares,
    input wire leaks,
    input wire biases,
    input wire resets,
    input wire sums,
    input wire [NUMBER_BITS-1:0] number,
    input wire signed [SUM_BITS-1:0] weight,
    output wire signed [MEM_BITS-1:0] membrane,
    output wire is_above
);
    localparam LEAKED_BITS = FACTOR_BITS + MEM_BITS;
    localparam FULL_BITS = MEM_BITS + LEAK_BITS + 1;
    localparam PRODUCT_BITS = FULL_BITS > LEAKED_BITS ? FULL_BITS : LEAKED_BITS;
    wire signed [SUM_BITS-1:0] old_membrane =
        {{(SUM_BITS-MEM_BITS){number[MEM_BITS-1]}}, number[MEM_BITS-1:0]};
    wire signed [SUM_BITS-1:0] bias =
        {{(SUM_BITS-BIAS_BITS){number[BIAS_BITS-1]}}, number[BIAS_BITS-1:0]};
    wire signed [SUM_BITS-1:0] threshold = {{(SUM_BITS-THRESHOLD_BITS){1'b0}}, number[THRESHOLD_BITS-1:0]};
    wire [LEAK_BITS-1:0] leak = number[LEAK_BITS-1:0];
    reg signed [PRODUCT_BITS-1:0] product;
    reg signed [SUM_BITS-1:0] sum;
    reg was_above;
    wire [SUM_BITS-MEM_BITS:0] high_bits = sum[SUM_BITS-1:MEM_BITS-1]; // differ: saturate
    wire [MEM_BITS-1:0] limit = {sum[SUM_BITS-1], {(MEM_BITS-1){!sum[SUM_BITS-1]}}};
    assign membrane = &high_bits || ~|high_bits ? sum[MEM_BITS-1:0] : limit;
    wire signed [SUM_BITS-1:0] compared =
        {{(SUM_BITS-MEM_BITS){membrane[MEM_BITS-1]}}, membrane};
    assign is_above = compared > threshold;
    // a leak makes no membrane larger
    wire signed [SUM_BITS-1:0] leaked =
        {{(SUM_BITS-MEM_BITS){product[LEAKED_BITS-1]}}, product[FACTOR_BITS +: MEM_BITS]};
    wire signed [PRODUCT_BITS-1:0] wide_leak = {{(PRODUCT_BITS-LEAK_BITS){1'b0}}, leak};
    wire signed [PRODUCT_BITS-1:0] wide_mem = {{(PRODUCT_BITS-MEM_BITS){membrane[MEM_BITS-1]}}, membrane};

    // x - y is x + ~y + 1
    reg signed [SUM_BITS-1:0] augend;
    reg signed [SUM_BITS-1:0] addend;
    reg carry;
    always @* begin
        augend = sum;
        addend = weight;
        carry = 0;
        if (takes) begin
            augend = 0;
            addend = is_first ? 0 : old_membrane;
        end
        if (leaks) begin // by a shift
            addend = ~(sum >>> leak);
            carry = 1;
        end
        if (biases) begin
            if (LEAK_SHIFT == 0) augend = leaked;
            addend = bias;
        end
        if (resets) begin
            addend = was_above ? ~threshold : 0;
            carry = was_above;
        end
    end
    always @(posedge clk) begin
        if (compares) was_above <= is_above;
        if (leaks) product <= wide_mem * wide_leak;
        if (takes || leaks && LEAK_SHIFT != 0 || biases || resets || sums)
            sum <= augend + addend + {{(SUM_BITS-1){1'b0}}, carry};
    end
endmodule
`default_nettype wire
