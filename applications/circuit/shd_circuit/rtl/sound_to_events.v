// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// From a microphone's pins to the steps of utterances.
//
//   pins -> i2s_receiver -> sample_scaler -> front_end -> network
//           24 bits         16 bits          events
//
// Ports: mic_*, as `i2s_receiver` has them; out_*, active, overrun, as `replay` has them; step_end and
//  status, as `detector` has them.
// Clock. 64 CYCLES_PER_BIT x 15,625 Hz, 12 MHz with 12 cycles. 30 channels need 3 MHz, with 3 cycles.
`default_nettype none
module sound_to_events #(
    parameter CYCLES_PER_BIT = 12,
    parameter GAIN_BITS = 4,
    parameter WAIT = 8192
) (
    input wire clk,
    input wire rst,
    output wire mic_sck,
    output wire mic_ws,
    input wire mic_sd,
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
    output wire [2:0] status
);
    wire raw_valid;
    wire [23:0] raw;
    i2s_receiver #(
        .CYCLES_PER_BIT(CYCLES_PER_BIT)
    ) i2s_receiver (
        .clk(clk),
        .rst(rst),
        .sck(mic_sck),
        .ws(mic_ws),
        .sd(mic_sd),
        .sample_valid(raw_valid),
        .sample(raw)
    );

    wire sample_valid;
    wire [15:0] sample;
    sample_scaler #(
        .GAIN_BITS(GAIN_BITS),
        .WAIT(WAIT)
    ) sample_scaler (
        .clk(clk),
        .rst(rst),
        .in_valid(raw_valid),
        .in_sample(raw),
        .out_valid(sample_valid),
        .out_sample(sample)
    );

    wire [2:0] unused; // only a bench looks at them
    front_end #(
        .SAMPLE_CYCLES(64 * CYCLES_PER_BIT)
    ) front_end (
        .clk(clk),
        .rst(rst),
        .sample_valid(sample_valid),
        .sample_ready(unused[0]),
        .sample(sample),
        .out_valid(out_valid),
        .out_ready(out_ready),
        .out_channel(out_channel),
        .out_step_end(out_step_end),
        .out_utterance_end(out_utterance_end),
        .out_step_ready(out_step_ready),
        .out_abort(out_abort),
        .active(active),
        .overrun(overrun),
        .step_end(step_end),
        .status(status),
        .bit_valid(unused[1]),
        .bit_event(unused[2])
    );
endmodule
