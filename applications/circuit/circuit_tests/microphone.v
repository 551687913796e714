// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// A model of a MEMS microphone with an I2S port, and what is received from it. As its data sheet says,
// the left microphone sees at rising edges of sck that ws has fallen, and then drives sd after falling
// edges: 24 bits, the highest first. Else its output is in the air, here unknown. Prints each sample of
// 16 bits, and how many cycles it came after the one before. raw.hex has the microphone's samples.
`timescale 1ns / 1ns
`default_nettype none
module microphone #(
    parameter CYCLES = 12
);
    reg clk = 0;
    always #50 clk = !clk;
    reg rst = 1;
    initial begin
        repeat (5) @(negedge clk);
        rst = 0;
    end

    wire sck;
    wire ws;
    reg sd = 1'bx;
    reg [23:0] raw[0:199];
    initial $readmemh("raw.hex", raw);
    integer n = 0; // samples that were sent
    integer n_left = 0; // bits of this one
    reg was_right = 0;
    always @(posedge sck) begin
        if (was_right && !ws) n_left = 24;
        was_right = ws;
    end
    always @(negedge sck) begin
        #40 sd = 1'bx; // ns: as late as a microphone may be
        if (n_left > 0) begin
            n_left = n_left - 1;
            sd = raw[n][n_left];
            n = n + (n_left == 0);
        end
    end

    wire raw_valid;
    wire [23:0] sample;
    i2s_receiver #(
        .CYCLES_PER_BIT(CYCLES)
    ) i2s_receiver (
        .clk(clk),
        .rst(rst),
        .sck(sck),
        .ws(ws),
        .sd(sd),
        .sample_valid(raw_valid),
        .sample(sample)
    );
    wire valid;
    wire signed [15:0] scaled;
    sample_scaler #(
        .WAIT(20)
    ) sample_scaler (
        .clk(clk),
        .rst(rst),
        .in_valid(raw_valid),
        .in_sample(sample),
        .out_valid(valid),
        .out_sample(scaled)
    );
    integer cycles = 0;
    integer n_valid = 20;
    always @(posedge clk) begin
        cycles <= valid ? 1 : cycles + 1;
        if (valid) begin
            $display("%0d %0d", scaled, cycles);
            n_valid = n_valid + 1;
            if (n_valid == 200) $finish(0);
        end
    end
endmodule
