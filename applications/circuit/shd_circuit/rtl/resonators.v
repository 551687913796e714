// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// Duty: filter each sample by all channels, and add up each channel's magnitudes over a step.
//
// The docstring of shd_corpus/filter_bank/bank.py defines the numbers. Two multipliers of 24 x 16 bits
// compute a resonator in three cycles, so a channel takes six, and a sample 6 (N_CHANNELS + 1):
//
//   cycle        0        1        2        3        4        5        0        1        4        5
//   multipliers  cu1-sv1  g1 d     su1+cv1  cu2-sv2  g2 u1    su2+cv2
//   sum has                                 u1       v1                u2       v2
//   written                                          u1, v1                     u2, v2            total
//
// The last columns are cycles of the next channel.
//
// Ports.
//  sample_*   a sample is taken at an edge where valid and ready are both high.
//  total_*    valid in one cycle for each channel, in ascending order, while a step's last sample is
//             filtered; octave is by how much the channel's levels are lowered.
//  clearing   after a reset, a pass clears all memories: all totals are 0 and belong to no step.
//
// Memories: 48 bits x 3 N_CHANNELS: (u1, v1), (u2, v2) and the sum of each channel; 32 bits x 2
//  N_CHANNELS: the coefficients, as `front_end.coefficients` packs them.
`default_nettype none
module resonators #(
    parameter N_CHANNELS = 77,
    parameter STEP_SAMPLES = 47,
    parameter COEFFICIENTS = "coefficients.mem"
) (
    input wire clk,
    input wire rst,
    input wire sample_valid,
    output wire sample_ready,
    input wire signed [15:0] sample,
    output wire total_valid,
    output reg [30:0] total,
    output reg [2:0] octave,
    output reg clearing
);
    localparam N_ROWS = 3 * N_CHANNELS;
    localparam ROW_BITS = $clog2(N_ROWS + 1);
    localparam WORD_BITS = $clog2(2 * N_CHANNELS + 2);
    localparam COUNT_BITS = $clog2(STEP_SAMPLES);
    localparam [ROW_BITS-1:0] END_ROW = N_ROWS[ROW_BITS-1:0];
    localparam [ROW_BITS-1:0] TWO = 2;
    localparam [ROW_BITS-1:0] THREE = 3;
    localparam [COUNT_BITS-1:0] LAST_SAMPLE = STEP_SAMPLES[COUNT_BITS-1:0] - 1'b1;

    // --- the schedule: after the last channel, a pass has six cycles in which it is completed ------
    reg busy;
    reg [1:0] third; // of a resonator
    reg second; // resonator of the channel
    reg [ROW_BITS-1:0] row; // the channel's first row
    reg [WORD_BITS-2:0] channel;
    reg [COUNT_BITS-1:0] count; // samples of this step
    reg is_last; // sample of the step
    wire is_behind = row == END_ROW; // all channels
    wire is_ahead = row == 0; // no channel comes before this one
    wire channel_ends = second && third == 2;
    wire [ROW_BITS-1:0] next_row = is_behind ? {ROW_BITS{1'b0}} : row + THREE;
    wire [WORD_BITS-2:0] next_channel = is_behind ? {(WORD_BITS - 1) {1'b0}} : channel + 1'b1;
    assign sample_ready = !busy && !clearing;
    wire starts = !busy && (clearing || sample_valid);
    always @(posedge clk) begin
        if (rst) begin
            busy <= 0;
            clearing <= 1;
            is_last <= 1;
            count <= 0;
            {second, third} <= 3'b110;
            row <= END_ROW;
            channel <= N_CHANNELS[WORD_BITS-2:0];
        end else if (starts || (busy && channel_ends && !is_behind)) begin
            busy <= 1;
            {second, third} <= 0;
            row <= next_row;
            channel <= next_channel;
        end else if (busy && channel_ends) begin
            busy <= 0;
            clearing <= 0;
        end else if (busy) begin
            third <= third == 2 ? 2'd0 : third + 1'b1;
            second <= second ^ (third == 2);
        end
        if (starts && !clearing) begin
            is_last <= count == LAST_SAMPLE;
            count <= count == LAST_SAMPLE ? {COUNT_BITS{1'b0}} : count + 1'b1;
        end
    end

    reg signed [15:0] previous;
    reg signed [16:0] difference;
    always @(posedge clk) begin
        if (rst) previous <= 0;
        else if (sample_valid && sample_ready) begin
            previous <= sample;
            difference <= sample - previous;
        end
    end

    // --- memories ---------------------------------------------------------------------------------
    // Each address is that of the next cycle. While gains are multiplied, the state isn't needed, and
    // the sum of the channel before is read.
    (* ram_style = "block" *) reg [31:0] coefficients[0:(1<<WORD_BITS)-1];
    initial $readmemh(COEFFICIENTS, coefficients, 0, 2 * N_CHANNELS - 1);
    reg [31:0] word;
    always @(posedge clk)
        if (busy || starts) word <= coefficients[channel_ends ? {next_channel, 1'b0} : {channel, third == 0}];

    reg [47:0] state[0:(1<<ROW_BITS)-1];
    reg [47:0] old;
    wire signed [23:0] u = old[47:24];
    wire signed [23:0] v = old[23:0];
    reg [ROW_BITS-1:0] read_row;
    always @(*) begin
        if (channel_ends) read_row = next_row;
        else if (second && third == 0) read_row = row - 1'b1;
        else if (second || third == 2) read_row = row + 1'b1;
        else read_row = row;
    end
    wire writes_first = third == 1 && second && !is_behind;
    wire writes_second = third == 1 && !second && !is_ahead;
    wire writes_total = channel_ends && busy && !is_ahead;
    wire [ROW_BITS-1:0] write_row = writes_first ? row : writes_total ? row - 1'b1 : row - TWO;
    wire [30:0] new_total = is_last ? 31'd0 : total; // the bits above it mean nothing
    always @(posedge clk) begin
        if (writes_first || writes_second || writes_total)
            state[write_row] <= {turned[23:7], writes_total ? new_total : {turned[6:0], truncated}};
        if (busy || starts) old <= state[read_row];
    end

    // --- the resonators: products, their sum, and its quotient by 2^15, rounded towards zero --------
    wire signed [15:0] c = word[31:16];
    wire signed [15:0] s = {1'b0, word[14:0]};
    wire signed [15:0] gain = {1'b0, second ? word[14:0] : word[30:16]};
    reg signed [15:0] left_factor;
    reg signed [23:0] left_state;
    wire signed [15:0] right_factor = third == 0 ? s : c;
    always @(*) begin
        left_factor = third == 0 ? c : s;
        left_state = u;
        if (third == 1) begin
            left_factor = gain;
            left_state = second ? turned : {difference[16], difference, 6'd0};
        end
    end
    reg signed [39:0] left;
    reg signed [39:0] right;
    reg signed [40:0] sum;
    reg signed [23:0] turned; // the new u
    wire signed [23:0] truncated = sum[38:15] + {23'd0, sum[40] && sum[14:0] != 0};
    reg [40:0] added; // to the left product: written so that there is one adder
    always @(*) begin
        if (third == 2) added = sum;
        else added = {right[39], right} ^ {41{third == 1}};
    end
    always @(posedge clk) begin
        if (clearing) begin
            left <= 0;
            right <= 0;
            sum <= 0;
            turned <= 0;
        end else begin
            left <= left_factor * left_state;
            right <= right_factor * v;
            sum <= {left[39], left} + added + {40'd0, third == 1};
            if (third == 0) turned <= truncated;
        end
    end

    // --- the channel before: its magnitude, and their sum -------------------------------------------
    reg [23:0] of_u;
    reg [23:0] of_v;
    reg [1:0] octave_high;
    wire is_larger = of_u > of_v;
    wire [23:0] larger = is_larger ? of_u : of_v;
    wire [22:0] half = is_larger ? of_v[23:1] : of_u[23:1];
    assign total_valid = writes_total && is_last;
    always @(posedge clk) begin
        if (writes_second) begin
            of_u <= (turned ^ {24{turned[23]}}) + {23'd0, turned[23]};
            of_v <= (truncated ^ {24{truncated[23]}}) + {23'd0, truncated[23]};
        end
        if (clearing) total <= 0;
        else if (second && third == 1) total <= old[30:0] + {6'd0, {1'b0, larger} + {2'd0, half}};
        if (third == 1) octave_high <= {word[31], word[15]};
        if (channel_ends) octave <= {octave_high, word[15]};
    end
endmodule
