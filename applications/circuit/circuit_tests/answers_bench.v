// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// Sends the scores of scores.hex to `answers`, of two utterances with three classes each, and prints
// what comes from its serial port. The answers are class 2, and class 20, of which the second is
// accepted, after some time.
`timescale 1ns / 1ns
`default_nettype none
module answers_bench;
    localparam BIT = 20; // ns, of ten cycles
    reg clk = 0;
    always #1 clk = !clk;
    reg rst = 1;
    reg [31:0] scores[0:5];
    initial $readmemh("scores.hex", scores);
    integer n = 0;
    wire ready;
    wire tx;
    wire is_last = n % 3 == 2;
    answers #(
        .CYCLES_PER_BIT(10)
    ) answers (
        .clk(clk),
        .rst(rst),
        .in_valid(n < 6),
        .in_ready(ready),
        .in_last(is_last),
        .in_score(scores[n % 6]),
        .in_answer(n < 3 ? 8'd2 : 8'd20),
        .deciding(deciding[10]),
        .accepted(!deciding[10] && n > 3),
        .tx(tx),
        .answer()
    );
    reg [10:0] deciding = 0; // in the highest bit, after each score
    always @(posedge clk) begin
        if (ready && n < 6) n <= n + 1;
        deciding <= ready && n < 6 ? 11'h7ff : deciding - {10'd0, deciding[10]};
    end

    reg [7:0] character;
    always @(negedge tx) begin
        #(BIT / 2);
        if (tx) $display("no start bit");
        repeat (8) #(BIT) character = {tx, character[7:1]};
        #(BIT);
        if (!tx) $display("no stop bit");
        $write("%c", character);
    end
    initial begin
        #10 rst = 0;
        #20000 $finish(0);
    end
endmodule
