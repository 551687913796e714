// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// Duty: write each answer as a line of text to a serial port (8 bits, no parity, one stop bit), such
// as "0000a3f1 fffffe20 = 00": the score of each class in two's complement, and the answer, hexadecimal.
// An answer that isn't accepted has a question mark instead of the equals sign.
//
// Ports.
//  in_*       the scores of an utterance's classes in order, as `spiking_network` sends them. A score
//             is taken at an edge where valid and ready are both high; in_answer comes with the last.
//  deciding   is high while nobody knows yet whether the answer is accepted, if it is then.
//  tx         the serial port. It has CYCLES_PER_BIT cycles for a bit: 104 for 115,200 bits per second
//             from 12 MHz.
//  answer     is the last one.
`default_nettype none
module answers #(
    parameter CYCLES_PER_BIT = 104
) (
    input wire clk,
    input wire rst,
    input wire in_valid,
    output wire in_ready,
    input wire in_last,
    input wire [31:0] in_score,
    input wire [7:0] in_answer,
    input wire deciding,
    input wire accepted,
    output wire tx,
    output reg [7:0] answer
);
    localparam CYCLE_BITS = $clog2(CYCLES_PER_BIT);
    localparam [CYCLE_BITS-1:0] LAST_CYCLE = CYCLES_PER_BIT[CYCLE_BITS-1:0] - 1'b1;

    // --- a character: a start bit, eight bits, the lowest first, and a stop bit -----------------------
    reg [9:0] frame; // what is left of it, 0 where nothing is
    reg [CYCLE_BITS-1:0] cycle;
    reg [7:0] character;
    wire is_sent = frame == 0;
    assign tx = is_sent || frame[0];
    wire sends; // the next character
    always @(posedge clk) begin
        if (rst) frame <= 0;
        else if (is_sent) begin
            cycle <= 0;
            if (sends) frame <= {1'b1, character, 1'b0};
        end else if (cycle == LAST_CYCLE) begin
            cycle <= 0;
            frame <= frame >> 1;
        end else cycle <= cycle + 1'b1;
    end

    // --- the characters of a score, and of an answer -----------------------------------------------------
    reg [3:0] n_left; // characters: nine of a score, and five more of the last one
    reg is_last;
    reg [31:0] score;
    wire is_sign = is_last && n_left == 5;
    assign sends = is_sent && n_left != 0 && !(is_sign && deciding);
    assign in_ready = n_left == 0 && !rst;
    reg [3:0] digit;
    always @(*) begin
        digit = score[31:28];
        if (is_last && n_left == 3) digit = answer[7:4];
        if (is_last && n_left == 2) digit = answer[3:0];
        character = {4'h3, digit}; // 0 to 9
        if (digit > 9) character = 8'd87 + {4'd0, digit}; // a to f
        if (!is_last && n_left == 1) character = " ";
        if (is_last && (n_left == 6 || n_left == 4)) character = " ";
        if (is_sign) character = accepted ? "=" : "?";
        if (is_last && n_left == 1) character = "\n";
    end
    always @(posedge clk) begin
        if (rst) n_left <= 0;
        else if (in_valid && in_ready) begin
            n_left <= in_last ? 4'd14 : 4'd9;
            is_last <= in_last;
            score <= in_score;
            if (in_last) answer <= in_answer;
        end else if (sends) begin
            n_left <= n_left - 1'b1;
            score <= score << 4;
        end
    end
endmodule
