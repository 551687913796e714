// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// The front end: from samples of 16 bits to the steps of utterances. Bit for bit filter_bank.c.
//
//   sample -> resonators -> logarithm -> neurons -+-> detector --+-> replay -> network
//             totals        levels                |   status     |   events, step by step
//                                                 +--------------+
//                                                   bits, a step's events
//
// Timing. A sample takes 6 (N_CHANNELS + 1) cycles: 468 for 77 channels and 186 for 30, of the 768
//  that a clock of 12 MHz has. Events of a step are known within these cycles after its last sample.
// Ports. sample_*, as `resonators` has them; out_*, active, overrun, as `replay` has them.
//  step_end is high in a cycle at the end of each step, when status is as `detector` has it.
//  bit_* and level are a step's, for a bench; they may be left open.
//  rst is synchronous; hold it for a cycle or more. It clears everything, as filter_bank_start() does.
// Parameters. front_end.vh has those of a filter bank; `shd_circuit.front_end` writes it.
`default_nettype none
module front_end #(
`include "front_end.vh"
    ,
    parameter SAMPLE_CYCLES = 768 // from sample to sample
) (
    input wire clk,
    input wire rst,
    input wire sample_valid,
    output wire sample_ready,
    input wire signed [15:0] sample,
    output wire out_valid,
    input wire out_ready,
    output wire [6:0] out_channel,
    output wire out_step_end,
    output wire out_utterance_end,
    input wire out_step_ready,
    output wire out_abort,
    output wire active,
    output wire overrun,
    output wire step_end,
    output wire [2:0] status,
    output wire bit_valid,
    output wire bit_event
);
    generate
        if (REPLAY_STEPS > SETTLING_STEPS + 1) begin : refuse_replay
            REPLAY_STEPS_must_not_reach_behind_the_first_step stop();
        end
        if (6 * (N_CHANNELS + 1) >= SAMPLE_CYCLES) begin : refuse_clock
            SAMPLE_CYCLES_is_too_low_for_N_CHANNELS stop();
        end
    endgenerate

    wire total_valid;
    wire [30:0] total;
    wire [2:0] octave;
    wire clearing;
    resonators #(
        .N_CHANNELS(N_CHANNELS),
        .STEP_SAMPLES(STEP_SAMPLES),
        .COEFFICIENTS(COEFFICIENTS)
    ) resonators (
        .clk(clk),
        .rst(rst),
        .sample_valid(sample_valid),
        .sample_ready(sample_ready),
        .sample(sample),
        .total_valid(total_valid),
        .total(total),
        .octave(octave),
        .clearing(clearing)
    );

    wire [7:0] level;
    logarithm #(
        .LOWEST(LOWEST_OCTAVE)
    ) logarithm (
        .total(total),
        .octave(octave),
        .level(level)
    );

    wire settling;
    wire [14:0] excess;
    wire [18:0] floors;
    neurons #(
        .N_CHANNELS(N_CHANNELS),
        .MARGIN(MARGIN),
        .SPAN(SPAN),
        .THRESHOLD(THRESHOLD),
        .FALL_SHIFT(FALL_SHIFT),
        .RISE(RISE),
        .ATTACK(ATTACK),
        .DECAY(DECAY)
    ) neurons (
        .clk(clk),
        .rst(rst),
        .clearing(clearing),
        .settling(settling),
        .level_valid(total_valid),
        .level(level),
        .bit_valid(bit_valid),
        .bit_event(bit_event),
        .step_end(step_end),
        .excess(excess),
        .floors(floors)
    );

    detector #(
        .ON(ON),
        .OFF(OFF),
        .MOST_RISEN(MOST_RISEN),
        .START_STEPS(START_STEPS),
        .HOLD_STEPS(HOLD_STEPS),
        .SHORTEST_STEPS(SHORTEST_STEPS),
        .LONGEST_STEPS(LONGEST_STEPS),
        .SETTLING_STEPS(SETTLING_STEPS)
    ) detector (
        .clk(clk),
        .rst(rst),
        .step_end(step_end),
        .excess(excess),
        .floors(floors),
        .status(status),
        .settling(settling)
    );

    replay #(
        .N_CHANNELS(N_CHANNELS),
        .REPLAYED(REPLAY_STEPS + START_STEPS)
    ) replay (
        .clk(clk),
        .rst(rst),
        .bit_valid(bit_valid),
        .bit_event(bit_event),
        .step_end(step_end),
        .step_status(status),
        .out_valid(out_valid),
        .out_ready(out_ready),
        .out_channel(out_channel),
        .out_step_end(out_step_end),
        .out_utterance_end(out_utterance_end),
        .out_step_ready(out_step_ready),
        .out_abort(out_abort),
        .active(active),
        .overrun(overrun)
    );
endmodule
