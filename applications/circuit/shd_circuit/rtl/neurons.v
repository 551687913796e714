// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// Duty: integrate and fire. Levels above the channel's floor, and not too far below the peak of all,
// make a channel's potential rise to its events; floors and peak follow the levels.
//
// Ports.
//  level_*  the levels of a step, one for each channel in ascending order, valid in one cycle each,
//           at least three cycles apart.
//  bit_*    whether a channel has an event, valid in one cycle for each channel, two after its level.
//  step_end is high in the cycle after the last channel's bit. excess, by how much channels exceed
//           their floors in all, and floors, their sum, are those of the step.
//  settling is held during a step: floors follow at once, and no channel has an event.
//  clearing is held with levels that make floors and potentials 0, and end no step.
//
// Memory: 12 bits x 2 N_CHANNELS, the floor and the potential of each channel.
`default_nettype none
module neurons #(
    parameter N_CHANNELS = 77,
    parameter MARGIN = 16,
    parameter SPAN = 96,
    parameter THRESHOLD = 96,
    parameter FALL_SHIFT = 2,
    parameter RISE = 4,
    parameter ATTACK = 96,
    parameter DECAY = 2
) (
    input wire clk,
    input wire rst,
    input wire clearing,
    input wire settling,
    input wire level_valid,
    input wire [7:0] level,
    output reg bit_valid,
    output reg bit_event,
    output reg step_end,
    output reg [14:0] excess,
    output reg [18:0] floors
);
    localparam CHANNEL_BITS = $clog2(N_CHANNELS);
    localparam [CHANNEL_BITS-1:0] LAST = N_CHANNELS[CHANNEL_BITS-1:0] - 1'b1;

    reg [CHANNEL_BITS-1:0] channel;
    reg at_floor; // the cycle after a level
    reg at_potential; // the one after that
    reg [7:0] now; // the level
    reg [7:0] loudest; // of the step
    reg [11:0] peak;
    reg is_last; // channel
    reg clears;
    always @(posedge clk) begin
        at_floor <= level_valid && !rst;
        at_potential <= at_floor && !rst;
        if (level_valid) {clears, now} <= {clearing, level};
        if (rst) channel <= 0;
        else if (at_potential) channel <= channel == LAST ? {CHANNEL_BITS{1'b0}} : channel + 1'b1;
        is_last <= at_potential && channel == LAST && !clears;
        step_end <= is_last && !rst;
    end

    // --- floors and potentials: old is the floor after a level, and the potential after that ---------
    reg [11:0] state[0:(2<<CHANNEL_BITS)-1];
    reg [11:0] old;
    wire [11:0] new_floor;
    wire [6:0] new_potential;
    wire [11:0] new_state = at_floor ? new_floor : {5'd0, new_potential};
    always @(posedge clk) begin
        if (at_floor || at_potential) state[{channel, at_potential}] <= clears ? 12'd0 : new_state;
        if (level_valid || at_floor) old <= state[{channel, at_floor}];
    end

    // --- the floor: it falls by a part of the distance, and rises slowly ------------------------------
    wire signed [12:0] distance = $signed({1'b0, now, 4'd0}) - $signed({1'b0, old});
    reg signed [12:0] moved;
    always @(*) begin
        if (settling) moved = distance >>> 1;
        else if (distance < 0) moved = distance >>> FALL_SHIFT;
        else if (distance > $signed(RISE[12:0])) moved = $signed(RISE[12:0]);
        else moved = distance;
    end
    assign new_floor = old + moved[11:0];

    // --- the potential: what it gets is the level above the higher one of two bases --------------------
    wire signed [9:0] from_floor = $signed({2'b00, now}) - $signed({2'b00, old[11:4]})
        - $signed(MARGIN[9:0]);
    wire signed [9:0] from_peak = $signed({2'b00, now}) - $signed({2'b00, peak[11:4]})
        + $signed(SPAN[9:0]);
    reg signed [9:0] above_floor; // registers: for the cycle of the potential
    reg signed [9:0] above_peak;
    wire signed [9:0] above = above_floor < above_peak ? above_floor : above_peak;
    wire [7:0] drive = above < 0 ? 8'd0 : above[7:0];
    wire [8:0] risen = {2'b00, old[6:0]} + {1'b0, drive};
    wire fires = risen >= THRESHOLD[8:0] && !settling;
    wire [8:0] highest = 2 * THRESHOLD[8:0] - 9'd1;
    wire [8:0] limited = risen > highest ? highest : risen;
    wire [8:0] rest = fires ? limited - THRESHOLD[8:0] : risen;
    assign new_potential = settling ? old[6:0] : rest[6:0];
    always @(posedge clk) begin
        above_floor <= from_floor;
        above_peak <= from_peak;
        bit_valid <= at_potential && !rst;
        bit_event <= fires && !clears;
    end

    // --- of all channels -------------------------------------------------------------------------------
    wire signed [12:0] to_loudest = $signed({1'b0, loudest, 4'd0}) - $signed({1'b0, peak});
    reg signed [12:0] followed;
    always @(*) begin
        if (!settling && to_loudest > $signed(ATTACK[12:0])) followed = $signed(ATTACK[12:0]);
        else if (!settling && to_loudest < -$signed(DECAY[12:0])) followed = -$signed(DECAY[12:0]);
        else followed = to_loudest;
    end
    always @(posedge clk) begin
        if (rst || clears) peak <= 0;
        else if (step_end) peak <= peak + followed[11:0];
        if (rst || clears || step_end) begin
            excess <= 0;
            floors <= 0;
            loudest <= 0;
        end else begin
            if (at_floor) floors <= floors + {7'd0, new_floor};
            if (at_floor && now > loudest) loudest <= now;
            if (at_potential && !settling && above_floor > 0)
                excess <= excess + {6'd0, above_floor[8:0]};
        end
    end
    // floors, potentials and the peak stay within their bits
    wire unused = &{moved[12], followed[12], rest[8:7]};
endmodule
