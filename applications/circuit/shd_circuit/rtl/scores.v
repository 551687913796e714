// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// Scores: adds up the spikes or membranes of each class, and sends them, with the class of the highest.
//
// Timing. At an edge with takes, membranes and spikes of a group of classes are stored; groups come in
//  order. Then adds must be high for LANES + 1 cycles. is_first says that they are the first
//  step's, and stays until then. restarts goes back to the first class. While sends is high, out_valid is
//  high every other cycle, until out_ready is, too. out_last is high with the last class; then
//  out_answer is the class of the highest score, the lowest of several.
`default_nettype none
module scores #(
    parameter LANES = 1,
    parameter N_CLASSES = 1,
    parameter MEM_BITS = 16,
    parameter SCORE_BITS = 25,
    parameter IS_MEMBRANE = 1,
    // not to be set
    parameter CLASS_BITS = $clog2(N_CLASSES + LANES + 1)
) (
    input wire clk,
    input wire enable, // without it, all stands still
    input wire restarts,
    input wire is_first,
    input wire takes,
    input wire [LANES*MEM_BITS-1:0] membranes,
    input wire [LANES-1:0] spikes,
    input wire adds,
    output wire is_added, // high in the last of these cycles
    input wire sends,
    output wire out_valid,
    input wire out_ready,
    output wire out_last,
    output wire [CLASS_BITS-1:0] out_class,
    output wire signed [SCORE_BITS-1:0] out_score,
    output wire [CLASS_BITS-1:0] out_answer
);
    localparam N_SCORES = (N_CLASSES + LANES - 1) / LANES * LANES;
    localparam LANE_BITS = $clog2(LANES + 1);
    localparam ADDRESS_BITS = $clog2(N_SCORES) > 0 ? $clog2(N_SCORES) : 1;
    // constants are as wide as what they are compared with
    // verilator lint_off WIDTHTRUNC
    localparam [LANE_BITS-1:0] N_LANES = LANES;
    localparam [CLASS_BITS-1:0] LAST = N_CLASSES - 1;
    // verilator lint_on WIDTHTRUNC
    localparam TERM_BITS = IS_MEMBRANE != 0 ? MEM_BITS : 1;
    reg signed [SCORE_BITS-1:0] memory [0:N_SCORES-1];
    reg signed [SCORE_BITS-1:0] score; // read from it
    reg [CLASS_BITS-1:0] index; // that is read
    reg [CLASS_BITS-1:0] read_index; // that was read in the cycle before
    reg [LANES*TERM_BITS-1:0] terms; // the next one is the lowest
    reg [LANE_BITS-1:0] lane;
    reg is_read;
    wire [SCORE_BITS-1:0] term;
    wire is_reading = adds && lane != N_LANES;
    assign is_added = adds && lane == N_LANES;
    wire gives = out_valid && out_ready;
    generate if (IS_MEMBRANE != 0) begin : membrane
        assign term = {{(SCORE_BITS-MEM_BITS){terms[MEM_BITS-1]}}, terms[MEM_BITS-1:0]};
        always @(posedge clk) if (enable) begin
            if (takes) terms <= membranes;
            else if (is_read) terms <= terms >> MEM_BITS;
        end
    end else begin : spike
        assign term = {{(SCORE_BITS-1){1'b0}}, terms[0]};
        always @(posedge clk) if (enable) begin
            if (takes) terms <= spikes;
            else if (is_read) terms <= terms >> 1;
        end
    end endgenerate
    always @(posedge clk) if (enable) begin
        if (adds || sends) score <= memory[index[ADDRESS_BITS-1:0]];
        if (is_read) memory[read_index[ADDRESS_BITS-1:0]] <= is_first ? term : score + term;
    end
    reg has_score;
    reg signed [SCORE_BITS-1:0] best;
    reg [CLASS_BITS-1:0] answer; // of the best so far
    wire is_best = index == 0 || score > best;
    always @(posedge clk) if (enable) begin
        lane <= is_reading ? lane + 1'b1 : 0;
        is_read <= is_reading && !restarts;
        read_index <= index;
        has_score <= sends && !gives && !restarts;
        if (is_reading || gives) index <= index + 1'b1;
        if (gives && is_best) begin
            best <= score;
            answer <= index;
        end
        if (restarts) begin
            index <= 0;
            lane <= 0;
        end
    end
    assign out_valid = sends && has_score;
    assign out_last = index == LAST;
    assign out_class = index;
    assign out_score = score;
    assign out_answer = is_best ? index : answer;
endmodule
`default_nettype wire
