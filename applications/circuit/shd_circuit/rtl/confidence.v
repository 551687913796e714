// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// Duty: decide whether an answer is accepted, as is_accepted() of network.c does: where the sum of the
// classes' shares isn't above LIMIT, and the answer isn't OTHER.
//
// Timing. The decision takes at most 45 cycles for each class, in which busy is high and no score may
//  come. accepted stays until the next decision.
// Ports. in_*, as `spiking_network` sends them; a score is taken at an edge with in_valid.
`default_nettype none
module confidence #(
    parameter N_CLASSES = 11,
    parameter FACTOR = 14314, // from 2^12 to 2^17 - 1
    parameter LIMIT = 43859,
    parameter OTHER = 10, // 255: there is no such class
    // 2^15 e^-x of whole numbers, from 0 in the lowest bits to 15, and a file with that of 256ths
    parameter [255:0] COARSE = 0,
    parameter FINE = "fine.mem"
) (
    input wire clk,
    input wire rst,
    input wire in_valid,
    input wire in_last,
    input wire [7:0] in_class,
    input wire signed [31:0] in_score,
    input wire [7:0] in_answer,
    output wire busy,
    output reg accepted
);
    reg [2:0] state;
    localparam [2:0] TAKE = 0; // scores
    localparam [2:0] READ = 1; // one
    localparam [2:0] BEGIN = 2;
    localparam [2:0] SCALE = 3; // 24 shifts: x in 256ths
    localparam [2:0] LOOK = 4; // up both tables
    localparam [2:0] MULTIPLY = 5; // 16 shifts: the share
    localparam [2:0] ADD = 6;
    localparam ADDRESS_BITS = $clog2(N_CLASSES);
    reg signed [31:0] scores[0:N_CLASSES-1];
    reg signed [31:0] score; // read from it
    reg signed [31:0] best;
    reg [ADDRESS_BITS-1:0] index; // of the class whose share is computed
    reg [7:0] answer;
    always @(posedge clk) begin
        if (state == READ) score <= scores[index];
        if (in_valid) begin
            scores[in_class[ADDRESS_BITS-1:0]] <= in_score;
            if (in_class == 0 || in_score > best) best <= in_score;
            answer <= in_answer;
        end
    end

    reg [15:0] fine[0:255];
    initial $readmemh(FINE, fine);
    reg [15:0] of_fraction;

    // Both products are of shifts and sums: product becomes bits x multiplicand / 2^shifts.
    reg [4:0] n_left; // shifts
    reg [31:0] bits;
    reg [16:0] product;
    reg [20:0] total; // of shares
    wire [16:0] multiplicand = state == SCALE ? FACTOR[16:0] : {of_fraction, 1'b0};
    wire [17:0] wide_sum = {1'b0, product} + (bits[0] ? {1'b0, multiplicand} : 18'd0);
    wire is_far = bits != 0 || product[16:12] != 0; // its share is 0
    wire [20:0] new_total = total + {4'd0, product};
    assign busy = state != TAKE;
    always @(posedge clk) begin
        case (state)
            TAKE: begin
                index <= 0;
                total <= 0;
                if (in_valid && in_last) state <= READ;
            end
            READ: state <= BEGIN;
            BEGIN: begin
                bits <= best - score;
                product <= 0;
                n_left <= 23;
                state <= SCALE;
            end
            LOOK: begin
                of_fraction <= fine[product[7:0]];
                bits <= is_far ? 32'd0 : {16'd0, COARSE[16*product[11:8]+:16]};
                product <= 0;
                n_left <= 15;
                state <= MULTIPLY;
            end
            ADD: begin
                total <= new_total;
                accepted <= new_total <= LIMIT[20:0] && answer != OTHER[7:0];
                index <= index + 1'b1;
                state <= index == N_CLASSES[ADDRESS_BITS-1:0] - 1'b1 ? TAKE : READ;
            end
            default: begin // SCALE and MULTIPLY
                product <= wide_sum[17:1];
                bits <= bits >> 1;
                n_left <= n_left - 1'b1;
                if (n_left == 0) state <= state + 1'b1;
            end
        endcase
        if (rst) state <= TAKE;
    end
endmodule
