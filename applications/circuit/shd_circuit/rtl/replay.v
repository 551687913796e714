// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// Duty: keep the events of the last steps, and hand an utterance's steps to the network, first those
// before it was found, then each when it has ended.
//
// Ports.
//  bit_*    whether a channel has an event, in ascending order, as `neurons` gives them.
//  step_*   at the end of a step, what it is to an utterance, as `detector` says. What is written by
//           then is the step.
//  out_*    an event of out_channel is transferred at an edge where out_valid and out_ready are high.
//           After a step's events, out_step_end is high until out_step_ready is high, too; after the
//           last step likewise out_utterance_end. At most one of the three is high.
//  out_abort is high in one cycle where the utterance is dropped: the network forgets what it has taken.
//           It stays low if the network has taken nothing, and may still compute the utterance before.
//  active   is high from an utterance's first step until its end is taken, or it is dropped.
//  overrun  is high in a cycle where an utterance is dropped because the network was too slow: it may
//           take as long as a step lasts, and from an utterance's end to the next one's start.
//
// Memory: a ring of single bits, N_STEPS x N_CHANNELS, with as many steps as a block RAM can have.
`default_nettype none
module replay #(
    parameter N_CHANNELS = 77,
    parameter REPLAYED = 21
) (
    input wire clk,
    input wire rst,
    input wire bit_valid,
    input wire bit_event,
    input wire step_end,
    input wire [2:0] step_status,
    output wire out_valid,
    input wire out_ready,
    output reg [6:0] out_channel,
    output wire out_step_end,
    output wire out_utterance_end,
    input wire out_step_ready,
    output wire out_abort,
    output wire active,
    output wire overrun
);
    localparam [2:0] BEGINS = 1, GOES_ON = 2, ENDS = 3, IS_DROPPED = 4;
    localparam FIT = 2048 / N_CHANNELS; // steps in a block RAM
    localparam N_STEPS = FIT < REPLAYED + 3 ? REPLAYED + 3 : FIT;
    localparam N_BITS = N_STEPS * N_CHANNELS;
    localparam [6:0] LAST_CHANNEL = N_CHANNELS[6:0] - 1'b1;
    localparam PLACE_BITS = $clog2(N_BITS);
    localparam COUNT_BITS = $clog2(N_STEPS + 1);
    localparam [PLACE_BITS-1:0] LAST_PLACE = N_BITS[PLACE_BITS-1:0] - 1'b1;
    localparam [PLACE_BITS-1:0] BACK = REPLAYED[PLACE_BITS-1:0] * N_CHANNELS[PLACE_BITS-1:0];

    reg [1:0] state;
    localparam [1:0] WAIT = 0; // for a step
    localparam [1:0] READ = 1; // a bit
    localparam [1:0] SEND = 2; // the event, if there is one
    localparam [1:0] END_STEP = 3;

    // --- the ring ---------------------------------------------------------------------------------
    reg ring[0:N_BITS-1];
    reg [PLACE_BITS-1:0] write_place;
    reg [PLACE_BITS-1:0] read_place;
    reg read_event;
    always @(posedge clk) begin
        if (bit_valid) ring[write_place] <= bit_event;
        if (state == READ) read_event <= ring[read_place];
        if (rst) write_place <= 0;
        else if (bit_valid)
            write_place <= write_place == LAST_PLACE ? {PLACE_BITS{1'b0}} : write_place + 1'b1;
    end

    // --- the reader ---------------------------------------------------------------------------------
    reg in_utterance;
    reg has_end; // the utterance ends after the steps that are left
    reg was_taken; // something of the utterance
    reg [COUNT_BITS-1:0] n_left; // steps, with the one that is read
    wire starts = step_end && step_status == BEGINS;
    wire goes_on = in_utterance && step_end && (step_status == GOES_ON || step_status == ENDS);
    wire is_full = goes_on && n_left == N_STEPS[COUNT_BITS-1:0] - 1'b1;
    assign overrun = in_utterance && (starts || is_full);
    wire drops = overrun || (in_utterance && step_end && step_status == IS_DROPPED);
    wire step_taken = out_step_end && out_step_ready;
    wire takes = (out_valid && out_ready) || step_taken;
    assign out_abort = drops && (takes || was_taken);
    assign active = in_utterance;
    assign out_step_end = state == END_STEP;
    assign out_utterance_end = state == WAIT && in_utterance && has_end && n_left == 0;
    assign out_valid = state == SEND && read_event;
    always @(posedge clk) begin
        was_taken <= !rst && in_utterance && !drops && (takes || was_taken);
        if (rst || (drops && !starts)) begin
            state <= WAIT;
            in_utterance <= 0;
            n_left <= 0;
            has_end <= 0;
        end else if (starts) begin
            state <= WAIT;
            in_utterance <= 1;
            n_left <= REPLAYED[COUNT_BITS-1:0];
            has_end <= 0;
            read_place <= write_place >= BACK ? write_place - BACK
                : write_place + (LAST_PLACE - BACK + 1'b1);
        end else begin
            if (goes_on && !step_taken) n_left <= n_left + 1'b1;
            if (step_taken && !goes_on) n_left <= n_left - 1'b1;
            if (step_end && step_status == ENDS) has_end <= 1;
            case (state)
                WAIT: begin
                    out_channel <= 0;
                    if (n_left != 0) state <= READ;
                    else if (out_utterance_end && out_step_ready) begin
                        in_utterance <= 0;
                        has_end <= 0;
                    end
                end
                READ: state <= SEND;
                SEND: if (!read_event || out_ready) begin
                    read_place <= read_place == LAST_PLACE ? {PLACE_BITS{1'b0}} : read_place + 1'b1;
                    out_channel <= out_channel + 1'b1;
                    state <= out_channel == LAST_CHANNEL ? END_STEP : READ;
                end
                END_STEP: if (out_step_ready) state <= WAIT;
            endcase
        end
    end
endmodule
