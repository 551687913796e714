// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// Duty: turn the sum of a channel's magnitudes into its level, in units of 1/16 octave.
//
// Timing: combinational. The place of the leading one gives octaves, the four bits behind it are the
// rest. A channel's levels begin at the octave LOWEST + octave.
`default_nettype none
module logarithm #(
    parameter LOWEST = 9 // the place of the leading one that gives level 0, if octave is 0
) (
    input wire [30:0] total,
    input wire [2:0] octave,
    output wire [7:0] level
);
    // By halving: is the leading one in the upper half of what is left? A part that isn't needed for
    // the five bits in front is cut.
    wire in_16 = total[30:16] != 0;
    wire [19:0] of_20 = in_16 ? {1'b0, total[30:12]} : {total[15:0], 4'd0};
    wire in_8 = of_20[19:12] != 0;
    wire [11:0] of_12 = in_8 ? of_20[19:8] : of_20[11:0];
    wire in_4 = of_12[11:8] != 0;
    wire [7:0] of_8 = in_4 ? of_12[11:4] : of_12[7:0];
    wire in_2 = of_8[7:6] != 0;
    wire [5:0] of_6 = in_2 ? of_8[7:2] : of_8[5:0];
    wire in_1 = of_6[5];
    wire [3:0] rest = in_1 ? of_6[4:1] : of_6[3:0];
    wire [4:0] place = {in_16, in_8, in_4, in_2, in_1};

    wire signed [6:0] octaves = $signed({2'b00, place}) - $signed({4'd0, octave})
        - $signed(LOWEST[6:0]);
    wire is_below = octaves < 0;
    wire is_above = octaves > 15;
    assign level = is_below ? 8'd0 : is_above ? 8'd255 : {octaves[3:0], rest};
endmodule
