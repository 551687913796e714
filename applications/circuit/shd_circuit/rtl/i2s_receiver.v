// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// Duty: clock a MEMS microphone with an I2S port, such as the INMP441 or the ICS-43434, and receive
// its samples.
//
// Timing. A bit lasts CYCLES_PER_BIT cycles, and a sample 64 bits. With a clock of 12 MHz and 12
//  cycles, the bit clock is 1 MHz and there are 15,625 samples in a second. ws changes at a falling
//  edge of sck. It is low in the 32 bits of the left microphone, whose 24 bits follow one bit later,
//  the highest first. The microphone changes sd after falling edges, and it is read in the cycle
//  before the next one. Tie the microphone's L/R pin to ground.
// Ports. sample_valid is high in one cycle for each sample.
`default_nettype none
module i2s_receiver #(
    parameter CYCLES_PER_BIT = 12
) (
    input wire clk,
    input wire rst,
    output reg sck,
    output reg ws,
    input wire sd,
    output reg sample_valid,
    output reg signed [23:0] sample
);
    localparam BITS = $clog2(CYCLES_PER_BIT + 1);
    localparam [BITS-1:0] LAST_CYCLE = CYCLES_PER_BIT[BITS-1:0] - 1'b1;
    localparam [BITS-1:0] RISES = (CYCLES_PER_BIT[BITS-1:0] >> 1) - 1'b1; // sck, in the next cycle
    reg [BITS-1:0] cycle; // of the bit
    reg [5:0] place; // of the bit, from the change of ws on
    reg line; // sd in the cycle before
    always @(posedge clk) begin
        line <= sd;
        sample_valid <= cycle == LAST_CYCLE && place == 24 && !rst;
        if (rst) begin
            sck <= 0;
            ws <= 1;
            cycle <= 0;
            place <= 63;
        end else if (cycle == LAST_CYCLE) begin
            sck <= 0;
            cycle <= 0;
            place <= place + 1'b1;
            ws <= place >= 31 && place < 63;
            if (place >= 1 && place <= 24) sample <= {sample[22:0], line};
        end else begin
            cycle <= cycle + 1'b1;
            if (cycle == RISES) sck <= 1;
        end
    end
endmodule
