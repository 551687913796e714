// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// Duty: turn a microphone's 24 bits into the 16 bits of the filter bank: without the offset, louder,
// and saturated.
//
// With x the sample and m a register that begins with 0, in each sample
//     y = x - (m >> 10)    m <- m + y    out = y >> (8 - GAIN_BITS), at most 2^15 - 1, at least -2^15
// So m >> 10 is the mean of the last 66 ms. A gain of 4 bits is 24 dB: a microphone whose full scale
// is 120 dB of sound pressure then saturates at 96 dB. The first WAIT samples, in which a microphone
// starts up and the offset is found, aren't passed on.
//
// Timing. out_valid is high in one cycle, the one after in_valid.
`default_nettype none
module sample_scaler #(
    parameter GAIN_BITS = 4, // 0 to 8
    parameter WAIT = 8192 // samples, 0.52 s
) (
    input wire clk,
    input wire rst,
    input wire in_valid,
    input wire signed [23:0] in_sample,
    output reg out_valid,
    output reg signed [15:0] out_sample
);
    localparam WAIT_BITS = $clog2(WAIT + 1);
    reg [WAIT_BITS-1:0] waited;
    wire is_waiting = waited != WAIT[WAIT_BITS-1:0];
    reg signed [33:0] mean;
    wire signed [24:0] without = {in_sample[23], in_sample} - {mean[33], mean[33:10]};
    wire signed [24:0] louder = without >>> (8 - GAIN_BITS);
    wire is_inside = louder[24:15] == {10{louder[24]}};
    always @(posedge clk) begin
        out_valid <= in_valid && !is_waiting && !rst;
        if (rst) begin
            mean <= 0;
            waited <= 0;
        end else if (in_valid) begin
            mean <= mean + {{9{without[24]}}, without};
            if (is_waiting) waited <= waited + 1'b1;
            out_sample <= is_inside ? louder[15:0] : {louder[24], {15{!louder[24]}}};
        end
    end
endmodule
